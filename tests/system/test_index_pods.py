"""Pods come and go while the index runs: by a watched file, over HTTP, from vLLM's own API."""

import contextlib
import http.server
import json
import threading

import pytest
import zmq
from harness import wait_for
from publisher import MODEL, Publisher, stored, tokens_of


def line_of(pod: str, publisher: Publisher) -> str:
    return f"{pod} {publisher.endpoint} {publisher.replay}\n"


def test_pods_come_and_go_by_a_watched_file(make_index, tmp_path):
    file = tmp_path / "pods"

    def write(text: str) -> None:
        fresh = tmp_path / "pods.new"
        fresh.write_text(text)
        fresh.rename(file)

    write("")
    index = make_index(listed=False, more=f"podsFile: {file}\n")
    a, b = index.publishers.values()
    a.publish(stored(tokens_of(3), 1))
    b.publish(stored(tokens_of(2), 1))
    write(line_of("pod-a", a))
    index.wait_score(tokens_of(3), {"pod-a": 3})  # what it told before is replayed
    write("# two of them\n" + line_of("pod-a", a) + line_of("pod-b", b))
    index.wait_score(tokens_of(3), {"pod-a": 3, "pod-b": 2})
    write(line_of("pod-a", a) + "pod-b nonsense\n")  # changes nothing
    wait_for(lambda: "nonsense" in index.server.log() or "line 2" in index.server.log(), 20,
             "the line is refused aloud")
    assert index.score(tokens_of(3)) == {"pod-a": 3, "pod-b": 2}
    moved = index.publishers["moved"] = Publisher("pod-a")
    moved.publish(stored(tokens_of(1), 1))
    write(line_of("pod-a", moved) + line_of("pod-b", b))
    index.wait_score(tokens_of(3), {"pod-a": 1, "pod-b": 2})
    write(line_of("pod-a", moved))
    index.wait_score(tokens_of(3), {"pod-a": 1})
    b.publish(stored(tokens_of(1), 9))
    moved.publish(stored(tokens_of(2), 1))
    index.wait_score(tokens_of(3), {"pod-a": 2})


def test_pods_come_and_go_over_http(make_index):
    index = make_index(listed=False)
    a, b = index.publishers.values()
    a.publish(stored(tokens_of(2), 1))
    status, put = index.put_pod("pod-a", a)
    assert status == 201 and put["endpoint"] == a.endpoint and put["by"] == "api", put
    index.wait_score(tokens_of(3), {"pod-a": 2})
    assert index.put_pod("pod-a", a)[0] == 200
    assert index.put_pod("pod-b", b)[0] == 201
    b.publish(stored(tokens_of(3), 1))
    index.wait_score(tokens_of(3), {"pod-a": 2, "pod-b": 3})
    listed = index.ask("GET", "/v1/index/pods")[1]
    assert [x["pod"] for x in listed["sources"]] == ["pod-a", "pod-b"]
    assert {x["pod"]: x["state"] for x in listed["pods"]} == {"pod-a": "live", "pod-b": "live"}

    assert index.ask("DELETE", "/v1/index/pods/pod-a") == (200, {"removed": "pod-a"})
    assert index.score(tokens_of(3)) == {"pod-b": 3}
    a.publish(stored(tokens_of(1), 8))  # nobody listens any more
    b.publish(stored(tokens_of(4), 1))
    index.wait_score(tokens_of(4), {"pod-b": 4})
    assert index.ask("DELETE", "/v1/index/pods/pod-a")[0] == 404

    moved = index.publishers["moved"] = Publisher("pod-b")
    moved.publish(stored(tokens_of(1), 1))
    assert index.put_pod("pod-b", moved)[0] == 200  # another place: what it was told is over
    index.wait_score(tokens_of(4), {"pod-b": 1})


def test_bad_pods_are_refused_with_the_field(make_index):
    index = make_index()
    cases = [
        (b"[]", 400, ""),
        ({}, 400, "endpoint"),
        ({"endpoint": "tcp://*:1"}, 400, "endpoint"),
        ({"endpoint": "tcp://127.0.0.1:1", "replay": "x"}, 400, "replay"),
    ]
    for body, expected, field in cases:
        status, answer = index.ask("PUT", "/v1/index/pods/pod-c", body)
        assert (status, answer["error"]["field"]) == (expected, field), answer
    status, answer = index.ask("PUT", "/v1/index/pods/pod-a", {"endpoint": "tcp://127.0.0.1:1"})
    assert status == 409 and "configuration" in answer["error"]["message"]


class KvEventSources(http.server.BaseHTTPRequestHandler):
    """vLLM's GET /kv_event_sources; `sources` stands at the server."""

    def do_GET(self) -> None:
        body = json.dumps(self.server.sources).encode()
        self.send_response(200 if self.path == "/kv_event_sources" else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments) -> None:
        pass


@contextlib.contextmanager
def vllm_api(sources):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), KvEventSources)
    server.sources = sources
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def source_of(publisher: Publisher) -> dict:
    return {"enable_kv_cache_events": True, "publisher": "zmq",
            "endpoint": f"tcp://*:{publisher.port}",
            "replay_endpoint": f"tcp://*:{publisher.replay_port}",
            "topic": publisher.topic}


def test_publishers_are_discovered_from_vllm(make_index):
    with vllm_api({}) as api:
        index = make_index("--discover", f"127.0.0.1:{api.server_port}", listed=False)
        a, b = index.publishers.values()
        a.publish(stored(tokens_of(2), 1))
        b.publish(stored(tokens_of(1), 1))
        api.sources = {"0": source_of(a), "1": source_of(b)}
        index.wait_score(tokens_of(2), {"pod-a": 2, "pod-b": 1})
        api.sources = {"0": source_of(a)}
        index.wait_score(tokens_of(2), {"pod-a": 2})


def test_what_a_router_announces_counts_for_a_while(make_index):
    index = make_index()
    a, b = index.publishers.values()
    b.publish(stored(tokens_of(1), 1))
    index.wait_score(tokens_of(2), {"pod-b": 1})
    body = {"model": MODEL, "token_ids": tokens_of(2), "pod": "pod-a", "ttl_seconds": 1}
    status, answer = index.ask("POST", "/v1/index/announce", body)
    assert (status, answer["blocks"]) == (200, 2), answer
    assert index.score(tokens_of(2)) == {"pod-a": 2, "pod-b": 1}
    index.wait_score(tokens_of(2), {"pod-b": 1})
    assert index.ask("POST", "/v1/index/announce", {**body, "ttl_seconds": 600})[0] == 200
    a.publish(stored(tokens_of(2), 1))

    def confirmed():
        index.answer_replays()
        return index.ask("GET", "/v1/index/stats")[1]["speculative"] == 0

    wait_for(confirmed, 20, "the pod's own events take the place of what was announced")
    assert index.score(tokens_of(2)) == {"pod-a": 2, "pod-b": 1}
    status, answer = index.ask("POST", "/v1/index/announce", {**body, "pod": "nobody"})
    assert status == 404 and answer["error"]["field"] == "pod"


@pytest.mark.skipif(not zmq.has("curve"), reason="pyzmq without CURVE")
def test_publishers_with_a_key_are_followed_by_who_has_one(make_index, start_server, tmp_path):
    public, secret = zmq.curve_keypair()
    file = tmp_path / "secret"
    file.write_bytes(zmq.curve_keypair()[1] + b"\n")
    file.chmod(0o640)
    server = start_server("--index-curve-secret-file", str(file), pool="0", ready=False)
    assert server.process.wait(10) == 2 and "--index-curve-secret-file: others" in server.log()
    file.chmod(0o600)
    index = make_index("--index-curve-secret-file", str(file), listed=False)
    closed = index.publishers["closed"] = Publisher("pod-c", (public, secret))
    closed.publish(stored(tokens_of(2), 1))
    assert index.put_pod("pod-c", closed)[0] == 201  # in the clear: it does not answer
    assert index.put_pod("pod-c", closed, server_key=public.decode())[0] == 200
    index.wait_score(tokens_of(2), {"pod-c": 2})
    assert index.put_pod("pod-c", closed)[0] == 200
    index.wait_score(tokens_of(2), {})
    wait_for(lambda: index.ask("GET", "/v1/index/stats")[1]["sources"]["refused"] > 0, 20,
             "it was refused without the key")
    assert index.put_pod("pod-d", closed, server_key="short")[0] == 400


def test_a_key_needs_one_of_our_own(make_index):
    index = make_index(listed=False)
    status, answer = index.put_pod("pod-a", index.publishers["pod-a"], server_key="x" * 40)
    assert status == 400 and answer["error"]["field"] == "endpoint", answer
