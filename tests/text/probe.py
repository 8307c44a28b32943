"""Talks with text_probe, the program that speaks for the library under text/."""

import json
import os
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("HEADRACE_BUILD", ROOT / "build"))
DATA = ROOT / "tests" / "data" / "text"


class Probe:
    def __init__(self):
        subprocess.run(["ninja", "-C", str(BUILD), "text/text_probe"], check=True,
                       stdout=subprocess.DEVNULL)
        self._process = subprocess.Popen([BUILD / "text" / "text_probe"], stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, encoding="utf-8")

    def ask(self, op, **more):
        self._process.stdin.write(json.dumps({"op": op, **more}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"text_probe died: {self._process.wait()}"
        return json.loads(line)

    def must(self, op, **more):
        answer = self.ask(op, **more)
        assert "error" not in answer, answer
        return answer

    def ids(self, data, special=False, op="encode"):
        return self.must(op, hex=data.hex(), special=special)["ids"]

    def close(self):
        self._process.stdin.close()
        assert self._process.wait(10) == 0
