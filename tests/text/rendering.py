"""Renders a case of chats.py, by transformers and by us; a refusal is its text."""

import calendar
import json

import chats
import probe

RAISED = "raised: "  # by raise_exception: the text is the user's to read
REFUSED = "refused"  # by Jinja: the text is each engine's own


def source(name):
    return (probe.DATA / "templates" / f"{name}.jinja").read_text(encoding="utf-8")


def by_transformers(name, case):
    import datetime

    import jinja2
    from transformers.utils import chat_template_utils

    class Stopped(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return chats.NOW

    before, chat_template_utils.datetime = chat_template_utils.datetime, Stopped
    try:
        texts, _ = chat_template_utils.render_jinja_template(
            [case["messages"]], tools=case["tools"], chat_template=source(name),
            add_generation_prompt=case["add_generation_prompt"],
            continue_final_message=case.get("continued") or False,
            **chats.special_tokens(), **case["variables"])
        return texts[0]
    except jinja2.exceptions.UndefinedError:
        return REFUSED
    except jinja2.exceptions.TemplateError as error:
        return RAISED + str(error)
    except (TypeError, ValueError):
        return REFUSED
    finally:
        chat_template_utils.datetime = before


def request(case):
    """For text_probe."""
    return {"messages": json.dumps(case["messages"]), "tools": json.dumps(case["tools"]),
            "variables": json.dumps(case["variables"]), "continued": case.get("continued", ""),
            "add_generation_prompt": case["add_generation_prompt"],
            "now_s": calendar.timegm(chats.NOW.timetuple())}


def by_us(asked, name, case):
    """`asked` is the probe."""
    asked.must("template", config=json.dumps(chats.SPECIAL), jinja=source(name))
    answer = asked.ask("render", **request(case))
    return answer["text"] if "text" in answer else RAISED + answer["error"]


def same(want, got):
    return got.startswith(RAISED) if want == REFUSED else want == got
