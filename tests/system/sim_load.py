"""Everything at once for a simulator: clients that ask for all it has, break what they send, and
go in the middle. They count what they sent and what became of it."""

import asyncio
import json
import random
import re
from dataclasses import dataclass, field

from sim_wire import CHAT, MODEL, chat, http

TOOL = {"type": "function", "function": {
    "name": "weather", "parameters": {"type": "object", "required": ["city"], "properties": {
        "city": {"type": "string"}, "days": {"type": "integer"},
        "hours": {"type": "array", "items": {"type": "number"}}}}}}
ADAPTERS = ["first", "second", "third", "fourth"]
REFUSALS = (400, 401, 404, 429, 500, 503)  # failures on purpose among them
ENDS = (b"data: [DONE]\n\n", b'data: {"type":"message_stop"}\n\n')


@dataclass
class Counts:
    """As the clients see it. A request whose client went may have ended in any way."""

    success: int = 0
    failure: int = 0
    gone: int = 0
    plain: int = 0
    by_kind: dict = field(default_factory=dict)
    by_status: dict = field(default_factory=dict)

    def sent(self):
        return self.success + self.failure + self.gone


class Client:
    """One connection after the other, one request at a time."""

    def __init__(self, port, seed, counts):
        self.port = port
        self.chance = random.Random(seed)
        self.counts = counts
        self.reader = self.writer = None

    async def run(self, end):
        """Until the loop's clock says `end`."""
        loop = asyncio.get_running_loop()
        kinds = [getattr(self, x) for x in dir(self) if x.startswith("make_")]
        while loop.time() < end:
            make = self.chance.choice(kinds)
            await self.ask(make.__name__.removeprefix("make_"), *make())
        self.hang_up()

    def hang_up(self):
        if self.writer is not None:
            self.writer.close()
        self.reader = self.writer = None

    async def ask(self, kind, path, body, more=""):
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.counts.by_kind[kind] = self.counts.by_kind.get(kind, 0) + 1
        method = "GET" if body is None else "POST"
        self.writer.write(http(path, b"" if body is None else body, method, more=more))
        counted = path.startswith(("/v1/", "/inference")) and body is not None \
            and "lora" not in path and "embed" not in path
        if counted and self.chance.random() < 0.1:
            return await self.go()
        status, answer = await self.answer()
        self.judge(kind, status, answer, counted)

    def judge(self, kind, status, answer, counted):
        self.counts.by_status[status] = self.counts.by_status.get(status, 0) + 1
        if not counted:
            self.counts.plain += 1
            assert status in (200, 400, 404), (kind, status, answer[:300])
        elif status == 200:
            self.counts.success += 1
        else:
            self.counts.failure += 1
            assert status in REFUSALS, (kind, status, answer[:300])
            assert json.loads(answer)["error"]["message"], (kind, answer[:300])

    async def go(self):
        """Now, or after a part of the answer."""
        if self.chance.random() < 0.7:
            await self.reader.read(self.chance.choice([1, 100, 1000]))
        self.hang_up()
        self.counts.gone += 1

    async def answer(self):
        head = await self.reader.readuntil(b"\r\n\r\n")
        status = int(head.split()[1])
        if b"chunked" not in head.lower():
            length = int(re.search(rb"content-length: (\d+)", head.lower())[1])
            return status, await self.reader.readexactly(length)
        body = b""
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            body += (await self.reader.readexactly(size + 2))[:-2]
        await self.reader.readexactly(2)
        assert body.endswith(ENDS), body[-300:]
        return status, body

    def text(self):
        """Beginnings are shared, so that the cache has hits."""
        topic = self.chance.randrange(20)
        words = [f"t{topic}w{i}" for i in range(self.chance.choice([5, 40, 150]))]
        return " ".join([*words, str(self.chance.random())])

    def sampling(self, name="max_tokens"):
        return {name: self.chance.choice([1, 5, 20]), "stream": self.chance.random() < 0.5}

    def make_chat(self):
        return CHAT, chat(self.text(), **self.sampling(), logprobs=self.chance.random() < 0.3)

    def make_tools(self):
        return CHAT, chat(self.text(), **self.sampling(), tools=[TOOL], tool_choice="required")

    def make_completion(self):
        prompt = self.chance.choice([self.text(), [self.text(), self.text()], [1, 2, 3]])
        return "/v1/completions", {"model": MODEL, "prompt": prompt, **self.sampling(),
                                   "n": self.chance.choice([1, 1, 2])}

    def make_adapter_chat(self):
        """Of one that is there, that waits for another to end, or that is not there."""
        return CHAT, {**chat(self.text(), **self.sampling()), "model": self.chance.choice(ADAPTERS)}

    def make_responses(self):
        return "/v1/responses", {"model": MODEL, "input": self.text(),
                                 "max_output_tokens": 10}

    def make_messages(self):
        return "/v1/messages", {"model": MODEL, **self.sampling(),
                                "messages": [{"role": "user", "content": self.text()}]}

    def make_generate(self):
        ids = list(range(self.chance.randrange(1, 60)))
        return "/inference/v1/generate", {"model": MODEL, "token_ids": ids,
                                          "sampling_params": {"max_tokens": 7}}

    def make_malformed(self):
        return self.chance.choice([CHAT, "/v1/completions"]), b'{"model":' + b"[" * 1000

    def make_unknown_model(self):
        return CHAT, {**chat(), "model": "unknown"}

    def make_too_long(self):
        return "/v1/completions", {"model": MODEL, "prompt": "a " * 3000}

    def make_wanted_error(self):
        return CHAT, chat(), "X-Return-Error: server_error\r\n"

    def make_load(self):
        return "/v1/load_lora_adapter", {"lora_name": self.chance.choice(ADAPTERS),
                                         "lora_path": "/p"}

    def make_unload(self):
        return "/v1/unload_lora_adapter", {"lora_name": self.chance.choice(ADAPTERS)}

    def make_embedding(self):
        return "/v1/embeddings", {"model": MODEL, "input": self.text()}

    def make_tokenize(self):
        return "/tokenize", {"model": MODEL, "prompt": self.text()}

    def make_scrape(self):
        return "/metrics", None


async def run_clients(port, count, seconds, counts):
    end = asyncio.get_running_loop().time() + seconds
    await asyncio.gather(*[Client(port, seed, counts).run(end) for seed in range(count)])
