"""Conversations that are rendered with each template, and what each shows."""

import datetime

NOW = datetime.datetime(2024, 7, 6, 15, 4, 5)

SPECIAL = {"bos_token": "<s>", "eos_token": {"content": "</s>", "lstrip": False},
           "pad_token": None, "model_max_length": 4096}

WEATHER = {"type": "function", "function": {
    "name": "get_weather", "description": "The weather \"now\" in a place, für <Städte> & 日本",
    "parameters": {"type": "object", "properties": {
        "place": {"type": "string", "description": "city\tor\\village"},
        "unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "default": None},
        "days": {"type": "integer", "minimum": 0, "maximum": 14.5}},
        "required": ["place"], "additionalProperties": False}}}
SEARCH = {"type": "function", "function": {
    "name": "search", "description": "", "parameters": {"type": "object", "properties": {}},
    "return": {"type": "string"}}}


def user(text):
    return {"role": "user", "content": text}


def assistant(text):
    return {"role": "assistant", "content": text}


def system(text):
    return {"role": "system", "content": text}


def call(name, arguments, identity="call00001"):
    return {"id": identity, "type": "function",
            "function": {"name": name, "arguments": arguments}}


TALK = [system("  You are terse. "), user("Hi, wie geht's?\n\n"), assistant(" Gut 😀 \n"),
        user("<b>1 & 2</b> \"quoted\" 'single' \\ \u2028 end")]
THOUGHT = [user("2+2?"), assistant("<think>\n\nfour?\n</think>\n\n4"), user("sure?"),
           {"role": "assistant", "content": "yes", "reasoning_content": "\nI am\n"},
           user("<reply>not a question</reply>")]
CALLED = [system("Use tools."), user("Weather in Köln?"),
          {"role": "assistant", "content": "",
           "tool_calls": [call("get_weather", {"place": "Köln", "days": 3, "x": [1.0, None]})]},
          {"role": "tool", "content": "{\"t\": 21.5}", "name": "get_weather",
           "tool_call_id": "call00001"},
          assistant("21.5 degrees"), user("Thanks")]
CALLED_NONE = [user("both"), {"role": "assistant", "content": None, "tool_calls": [
    call("a", {"q": "x"}), call("b", {}, "call00002")]},
    {"role": "tool", "content": "1", "tool_call_id": "call00001"},
    {"role": "tool", "content": "2", "tool_call_id": "call00002"}]
BLOCKS = [user([{"type": "text", "text": "see "}, {"type": "image"},
                {"type": "text", "text": "this"}])]
BAD_TURNS = [user("a"), user("b")]
TWO_CALLS = [user("both"), {"role": "assistant", "tool_calls": [call("a", {}), call("b", {})]}]
BUILTIN = [user("find"), {"role": "assistant", "content": "",
                          "tool_calls": [call("search", {"query": "rain", "where": "here"})]},
           {"role": "ipython", "content": {"found": [1, {"deep": True}]}}]

VALUES = {"z": 1, "a": [1.5, 1e22, 1e-7, True, None, "\u00e9\u4e2d\U0001f600\x7f\x01/<>&'\""],
          "m": {"y": {}, "x": []}, "big": 2**53 + 1, "negative": -3}
TREE = {"b": {"d": [1, "two"], "c": None}, "a": "leaf"}


def case(messages, **more):
    """variables are chat_template_kwargs."""
    return {"messages": messages, "tools": None, "variables": {}, "add_generation_prompt": True,
            **more}


def cases():
    """Template -> name -> case."""
    talks = {"talk": case(TALK), "closed": case(TALK, add_generation_prompt=False),
             "tools": case(TALK, tools=[WEATHER, SEARCH]), "called": case(CALLED),
             "called with tools": case(CALLED, tools=[WEATHER])}
    return {
        "llama": {**talks, "tools before": case(TALK, tools=[WEATHER],
                                                variables={"in_user_turn": False}),
                  "date given": case(TALK, variables={"today": "26 Jul 2024"}),
                  "built in": case(BUILTIN, variables={"builtin_tools": ["search", "interpreter"]}),
                  "two calls": case(TWO_CALLS), "no turn": case([system("x")], tools=[WEATHER]),
                  "continued": case(TALK[:3], continued="content", add_generation_prompt=False)},
        "qwen": {**talks, "thought": case(THOUGHT),
                 "no thinking": case(THOUGHT, variables={"enable_thinking": False}),
                 "last thought": case(THOUGHT[:-1], add_generation_prompt=False),
                 "replies": case(CALLED_NONE),
                 "continued": case(TALK[:3], continued="content", add_generation_prompt=False)},
        "mistral": {"talk": case(TALK), "no system": case(TALK[1:]),
                    "tools": case(TALK, tools=[WEATHER, SEARCH]), "called": case(CALLED),
                    "blocks": case(BLOCKS), "bad turns": case(BAD_TURNS)},
        "deepseek": {**talks, "thought": case(THOUGHT), "none": case(CALLED_NONE),
                     "thinking": case(THOUGHT, variables={"thinking": True}),
                     "no content": case([{"role": "assistant"}])},
        "constructs": {"all": case(TALK, variables={"values": VALUES, "tree": TREE})},
    }


def special_tokens():
    """SPECIAL as a template sees it."""
    return {name: value["content"] if isinstance(value, dict) else value
            for name, value in SPECIAL.items() if isinstance(value, (str, dict))}
