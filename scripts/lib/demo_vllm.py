"""The demo with a real vLLM on the CPU: a long prompt is computed once, then loaded, also by a vLLM
that was restarted. scripts/demo --vllm calls it.
"""

import contextlib
import random
import signal
import sys

import build
import processes
import python_suites

sys.path.insert(0, str(build.ROOT / "bench"))
import vllm_fleet  # noqa: E402  the same servers as in scripts/bench vllm

PROMPT_TOKENS = 4096
ANSWER_TOKENS = 16
START_SECONDS = 400
TELL_SECONDS = 15
HITS = "vllm:external_prefix_cache_hits_total"


def say(text):
    print(f"==> {text}", file=sys.stderr, flush=True)


def make_model(venv):
    directory = build.ROOT / ".cache" / "models" / "mid"
    build.run([venv / "bin" / "python", build.ROOT / "scripts" / "vllm" / "make_model.py", "mid",
               directory])
    return directory


class Prompts:
    """Token ids at random: no two prompts share a prefix."""

    def __init__(self):
        self.chance = random.Random(8)

    def next(self, tokens=PROMPT_TOKENS):
        return [self.chance.randrange(3, 259) for _ in range(tokens)]


@contextlib.contextmanager
def serving(model, server, prompts):
    """A vLLM with our connector, warmed up: its first requests are slow whatever they are."""
    say("starting vLLM with the connector (half a minute or more)")
    vllm = vllm_fleet.VLLM("vllm", model, vllm_fleet.headrace_connector(server))
    try:
        told = [0.0]

        def tell(elapsed):
            if elapsed - told[0] > TELL_SECONDS:
                told[0] = elapsed
                print(f"    {elapsed:.0f} s", file=sys.stderr, flush=True)

        processes.wait_for(f"http://127.0.0.1:{vllm.port}/health", vllm.child, vllm.log.name,
                           START_SECONDS, tell)
        vllm.complete(prompts.next(300), ANSWER_TOKENS)
        vllm.complete(prompts.next(), ANSWER_TOKENS)
        yield vllm
    finally:
        vllm.stop()


class Table:
    """Times to the first token; each row compares its tokens with those of the first."""

    def __init__(self):
        self.rows = []

    def add(self, title, vllm, prompt):
        hits = vllm.metric(HITS)
        answer = vllm.complete(prompt, ANSWER_TOKENS)
        loaded = int(vllm.metric(HITS) - hits)
        first = self.rows[0][1]["ids"] if self.rows else answer["ids"]
        same = "yes" if answer["ids"] == first else "no"
        self.rows.append((title, answer, loaded, same))
        say(f"{title}: {answer['ttft']:.3f} s, {loaded} tokens loaded, same tokens: {same}")

    def text(self):
        lines = [f"  {PROMPT_TOKENS} tokens of prompt      time to first token   from Headrace   "
                 "same tokens"]
        lines += [f"  {title:28}{answer['ttft']:>17.3f} s{loaded:>16}   {same:>11}"
                  for title, answer, loaded, same in self.rows]
        return "\n".join(lines)


def run(model, server):
    prompts, table = Prompts(), Table()
    prompt = prompts.next()
    with serving(model, server, prompts) as vllm:
        table.add("cold: computed", vllm, prompt)
        table.add("vLLM's own cache", vllm, prompt)
        vllm.reset_prefix_cache()
        vllm.complete(prompts.next(), ANSWER_TOKENS)
        table.add("after /reset_prefix_cache", vllm, prompt)
    say("vLLM is gone; the server keeps the blocks")
    with serving(model, server, prompts) as vllm:
        table.add("after a restart of vLLM", vllm, prompt)
    print(table.text(), flush=True)
    if any(same == "no" for *_, same in table.rows):
        print("  bf16 sums differ a little between chunk shapes, and random weights turn that into "
              "other\n  tokens; vLLM's own cache does so too.")
    return 0 if all(loaded > 0 for _, _, loaded, _ in table.rows[2:]) else 1


def main():
    processes.exit_on_sigterm()
    try:
        venv = python_suites.install_vllm(build.run)
        model = make_model(venv)
        say("starting a server with a pool of 2 GiB")
        server = vllm_fleet.Headrace("2gb")
        try:
            return run(model, server)
        finally:
            server.stop()
    except (processes.StartFailed, build.BuildError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
    return 1


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main())
