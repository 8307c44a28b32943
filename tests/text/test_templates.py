"""Templates of many kinds are rendered byte for byte as transformers renders them."""

import json
import random

import chats
import pytest
import rendering

pytest.importorskip("transformers")

CASES = [(name, title) for name, cases in chats.cases().items() for title in cases]
LETTERS = list("abc AB\n\t'\"\\<>{}%#[]&é日😀\u2028\x00\x7f\x1f\x85")


@pytest.mark.parametrize(("name", "title"), CASES)
def test_case(probe, name, title):
    case = chats.cases()[name][title]
    want = rendering.by_transformers(name, case)
    got = rendering.by_us(probe, name, case)
    assert rendering.same(want, got), (want, got)


def random_json(source, depth):
    kind = source.randrange(8 if depth else 6)
    if kind == 0:
        return source.choice([None, True, False])
    if kind == 1:
        return source.choice([0, -1, 2**63 - 1, -2**63, source.randrange(10**6)])
    if kind == 2:
        return source.choice([0.0, -0.0, 1e16, 1e15, 1e-4, 1e-5, 5e-324, 1.7976931348623157e308,
                              source.uniform(-1, 1) * 10.0 ** source.randrange(-20, 20)])
    if kind < 6:
        return "".join(source.choice(LETTERS) for _ in range(source.randrange(8)))
    inner = [random_json(source, depth - 1) for _ in range(source.randrange(4))]
    if kind == 6:
        return inner
    return {"".join(source.choice(LETTERS) for _ in range(3)) + str(n): x
            for n, x in enumerate(inner)}


@pytest.mark.parametrize("template", [
    "{{ messages | tojson }}", "{{ messages | tojson(indent=4) }}", "{{ messages }}",
    "{{ messages | tojson(ensure_ascii=true, sort_keys=true) }}",
    "{% for m in messages %}{{ m }}|{{ m | string | trim }}|{{ m is string }}{{ m is mapping }}"
    "{{ m is iterable }}{{ m is sequence }}{{ m is number }}{{ m is none }}{{ not m }};"
    "{% endfor %}"])
def test_any_json(probe, template):
    from transformers.utils import chat_template_utils
    source = random.Random(template)
    probe.must("template", config="{}", jinja=template)
    for _ in range(150):
        messages = [random_json(source, 3) for _ in range(3)]
        want = chat_template_utils.render_jinja_template([messages], chat_template=template)[0][0]
        got = probe.must("render", messages=json.dumps(messages))["text"]
        assert got == want, messages
