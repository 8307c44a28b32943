"""Many streams at once, on plain asyncio: no HTTP library, so that the client costs little."""

import asyncio
import json
import time

from process import MODEL

DONE = b"data: [DONE]\n\n"


def words(tokens):
    return " ".join(f"w{i}" for i in range(tokens))


def request(tokens):
    body = json.dumps({"model": MODEL, "stream": True, "prompt": words(tokens)}).encode()
    return (b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body)) + body


def body_of(answer):
    """Of chunks, or of what comes until the end."""
    head, _, rest = answer.partition(b"\r\n\r\n")
    if b"chunked" not in head.lower():
        return rest
    body = b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        body += rest[:length]
        rest = rest[length + 2:]
    return body


def text_of(answer):
    """What the stream said; "" when it is not whole."""
    body = body_of(answer)
    if not answer.startswith(b"HTTP/1.1 200 ") or not body.endswith(DONE):
        return ""
    frames = [json.loads(x.removeprefix(b"data: ")) for x in body[:-len(DONE)].split(b"\n\n") if x]
    return "".join(x["choices"][0]["text"] for x in frames if x["choices"])


class Stream:
    """One request: when its first and its last token came, and whether all of it was right."""

    def __init__(self, tokens):
        self.tokens = tokens
        self.first_s = self.total_s = 0.0
        self.right = False

    async def run(self, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        begun = time.monotonic()
        writer.write(request(self.tokens))
        answer, recent = [], b""  # a token may come in two pieces
        last = b'"w%d"' % (self.tokens - 1)
        while data := await reader.read(65536):
            now = time.monotonic()
            answer.append(data)
            recent = recent[-32:] + data
            if self.first_s == 0 and b'"text":"w0' in recent:
                self.first_s = now - begun
            if self.total_s == 0 and last in recent:
                self.total_s = now - begun
        writer.close()
        self.right = self.total_s > 0 and text_of(b"".join(answer)) == words(self.tokens)


async def run_streams(port, count, tokens):
    streams = [Stream(tokens) for _ in range(count)]
    await asyncio.gather(*[x.run(port) for x in streams], return_exceptions=True)
    return streams
