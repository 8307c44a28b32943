"""deploy/: the reconciler against an API server that speaks Kubernetes' watch protocol, and a real
index; the manifests, as far as they can be checked without a cluster."""

from __future__ import annotations

import json
import queue
import re
import signal
import subprocess
import sys
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from harness import ROOT, wait_for
from index_harness import IndexAsker
from publisher import MODEL, LivePublisher, stored, tokens_of

DEPLOY = ROOT / "deploy" / "kubernetes"
TOKEN = "token-of-the-index-0123456789"
API_TOKEN = "token-of-kubernetes"
NAMESPACE = "inference"
SELECTOR = "headrace.io/events=on"


class ApiServer:
    """GET /api/v1/namespaces/NS/pods, with and without watch=1."""

    def __init__(self) -> None:
        self.pods: dict[str, dict] = {}
        self.version = 100
        self.asked: list[dict[str, str]] = []  # the query of each request
        self._watchers: list[queue.Queue] = []
        self._lock = threading.Lock()
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                api.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self.end_watches()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        place = urllib.parse.urlsplit(request.path)
        query = dict(urllib.parse.parse_qsl(place.query))
        assert request.headers["Authorization"] == f"Bearer {API_TOKEN}"
        assert place.path == f"/api/v1/namespaces/{NAMESPACE}/pods"
        assert query["labelSelector"] == SELECTOR
        with self._lock:
            self.asked.append(query)
            items, version = list(self.pods.values()), str(self.version)
            events: queue.Queue = queue.Queue()
            if "watch" in query:
                self._watchers.append(events)
        request.send_response(200)
        request.send_header("Content-Type", "application/json")
        request.end_headers()
        if "watch" not in query:
            answer = {"kind": "PodList", "metadata": {"resourceVersion": version}, "items": items}
            request.wfile.write(json.dumps(answer).encode())
            return
        while True:
            try:
                event = events.get(timeout=float(query["timeoutSeconds"]))
            except queue.Empty:
                return
            if event is None:
                return
            request.wfile.write(json.dumps(event).encode() + b"\n")
            request.wfile.flush()

    def tell(self, kind: str, item: dict) -> None:
        with self._lock:
            self.version += 1
            if kind != "ERROR":
                item["metadata"]["resourceVersion"] = str(self.version)
            for watcher in self._watchers:
                watcher.put({"type": kind, "object": item})

    def end_watches(self) -> None:
        with self._lock:
            for watcher in self._watchers:
                watcher.put(None)
            self._watchers.clear()

    def watches(self) -> int:
        return sum("watch" in x for x in self.asked)

    def set(self, name: str, publisher: LivePublisher, host: str = "127.0.0.1", **status) -> None:
        pod = {
            "metadata": {
                "name": name,
                "annotations": {
                    "headrace.io/events-port": str(publisher.port),
                    "headrace.io/replay-port": str(publisher.replay_port),
                    "headrace.io/model": MODEL,
                },
            },
            "status": {"phase": "Running", "podIP": host, **status},
        }
        kind = "MODIFIED" if name in self.pods else "ADDED"
        self.pods[name] = pod
        self.tell(kind, pod)

    def delete(self, name: str) -> None:
        self.tell("DELETED", self.pods.pop(name))


@pytest.fixture
def api():
    server = ApiServer()
    yield server
    server.close()


@pytest.fixture
def publish():
    """publish(pod, ...) -> LivePublisher; closed after the test."""
    made = []

    def make(pod: str, **options) -> LivePublisher:
        made.append(LivePublisher(pod, **options))
        return made[-1]

    yield make
    for publisher in made:
        publisher.close()


@pytest.fixture
def index_server(start_server, tmp_path):
    (tmp_path / "tokens").write_text(TOKEN + "\n")
    config = tmp_path / "index.yaml"
    config.write_text((DEPLOY / "index.yaml").read_text())  # what is deployed
    flags = ["--index-config", str(config), "--index-token-file", str(tmp_path / "tokens")]
    return start_server(*flags, pool="0")


@pytest.fixture
def reconcile(api, index_server, tmp_path):
    """A running reconcile.py; ended after the test, and what it logged is shown."""
    (tmp_path / "api-token").write_text(API_TOKEN)
    words = [
        *("--index", f"http://127.0.0.1:{index_server.http}"),
        *("--index-token-file", str(tmp_path / "tokens")),
        *("--api", api.url, "--api-token-file", str(tmp_path / "api-token")),
        *("--namespace", NAMESPACE, "--selector", SELECTOR, "--resync", "1"),
    ]
    with (tmp_path / "reconcile.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, str(DEPLOY / "reconcile.py"), *words], stdout=log, stderr=log
        )
    yield process
    if process.poll() is None:
        process.kill()
    process.wait(10)
    print((tmp_path / "reconcile.log").read_text())


def test_the_index_follows_the_pods_of_the_cluster(api, index_server, publish, reconcile):
    index = IndexAsker(index_server, TOKEN)
    a, b = publish("pod-a"), publish("pod-b")
    a.publish(stored(tokens_of(3), 1))
    b.publish(stored(tokens_of(2), 1))
    api.set("pod-a", a)
    index.wait_score(tokens_of(3), {"pod-a": 3})
    api.set("pod-b", b, phase="Pending")
    wait_for(lambda: api.watches() >= 1, 20, "it watches")
    assert index.score(tokens_of(3)) == {"pod-a": 3}
    api.set("pod-b", b)
    index.wait_score(tokens_of(3), {"pod-a": 3, "pod-b": 2})
    api.delete("pod-a")
    index.wait_score(tokens_of(3), {"pod-b": 2})
    api.set("pod-b", b, phase="Succeeded")
    index.wait_score(tokens_of(3), {})


def test_a_pod_that_comes_back_elsewhere_is_followed_there(api, index_server, publish, reconcile):
    index = IndexAsker(index_server, TOKEN)
    first = publish("pod-a")
    first.publish(stored(tokens_of(3), 1))
    api.set("pod-a", first)
    index.wait_score(tokens_of(3), {"pod-a": 3})
    second = publish("pod-a", host="127.0.0.2", topic="")  # the list's name and model count
    second.publish(stored(tokens_of(1), 1))
    api.set("pod-a", second, host="127.0.0.2")
    index.wait_score(tokens_of(3), {"pod-a": 1})


def test_an_index_that_began_anew_is_told_again(api, index_server, publish, reconcile):
    index = IndexAsker(index_server, TOKEN)
    a = publish("pod-a")
    a.publish(stored(tokens_of(3), 1))
    api.set("pod-a", a)
    index.wait_score(tokens_of(3), {"pod-a": 3})
    index_server.kill()
    index_server.start(pool_wait=False)
    index.wait_score(tokens_of(3), {"pod-a": 3})


def test_a_watch_that_is_too_old_makes_it_look_anew(api, index_server, publish, reconcile):
    index = IndexAsker(index_server, TOKEN)
    a, b = publish("pod-a"), publish("pod-b")
    a.publish(stored(tokens_of(3), 1))
    b.publish(stored(tokens_of(2), 1))
    api.set("pod-a", a)
    index.wait_score(tokens_of(3), {"pod-a": 3})
    wait_for(lambda: api.watches() >= 1, 20, "it watches")
    # What happens unseen, and then the watch fails.
    gone = api.pods.pop("pod-a")
    api.pods["pod-b"] = {**gone, "metadata": {**gone["metadata"], "name": "pod-b"}}
    api.pods["pod-b"]["metadata"]["annotations"] = {
        "headrace.io/events-port": str(b.port),
        "headrace.io/replay-port": str(b.replay_port),
    }
    lists = sum("watch" not in x for x in api.asked)
    api.tell("ERROR", {"kind": "Status", "code": 410, "message": "too old resource version"})
    index.wait_score(tokens_of(3), {"pod-b": 2})
    assert sum("watch" not in x for x in api.asked) > lists


def test_watches_go_on_where_they_ended_and_it_ends_when_told(api, index_server, reconcile):
    wait_for(lambda: api.watches() >= 1, 20, "it watches")
    bookmark = {"kind": "Pod", "metadata": {}}
    api.tell("BOOKMARK", bookmark)
    expected = str(api.version)
    wait_for(lambda: api.asked[-1].get("resourceVersion") == expected, 20, "from the bookmark on")
    reconcile.send_signal(signal.SIGTERM)
    assert reconcile.wait(10) == 0


def test_the_manifests_fit_together():
    yaml = pytest.importorskip("yaml", reason="PyYAML is not there")
    documents = list(yaml.safe_load_all((DEPLOY / "indexer.yaml").read_text()))
    by_kind = {x["kind"]: x for x in documents}
    assert set(by_kind) == {"ServiceAccount", "Role", "RoleBinding", "Service", "Deployment"}
    pod = by_kind["Deployment"]["spec"]["template"]
    account = by_kind["ServiceAccount"]["metadata"]["name"]
    assert pod["spec"]["serviceAccountName"] == account
    assert by_kind["RoleBinding"]["subjects"][0]["name"] == account
    assert by_kind["RoleBinding"]["roleRef"]["name"] == by_kind["Role"]["metadata"]["name"]
    assert by_kind["Role"]["rules"] == [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}
    ]
    labels = pod["metadata"]["labels"]
    assert by_kind["Service"]["spec"]["selector"] == labels
    assert by_kind["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    volumes = {x["name"]: x for x in pod["spec"]["volumes"]}
    for container in pod["spec"]["containers"]:
        assert {x["name"] for x in container["volumeMounts"]} <= set(volumes)
    kustomization = yaml.safe_load((DEPLOY / "kustomization.yaml").read_text())
    (generated,) = kustomization["configMapGenerator"]
    assert generated["name"] == volumes["config"]["configMap"]["name"]
    for name in [*generated["files"], *kustomization["resources"]]:
        assert (DEPLOY / name).exists()


def test_the_manifests_flags_are_flags_of_the_programs(index_server):
    text = (DEPLOY / "indexer.yaml").read_text()
    flags = re.findall(r"^ +- --([a-z-]+)=", text, re.MULTILINE)
    assert len(flags) == 10
    server = subprocess.run(
        [index_server.process.args[0], "--help"], capture_output=True, text=True, timeout=20
    ).stdout
    program = subprocess.run(
        [sys.executable, str(DEPLOY / "reconcile.py"), "--help"],
        capture_output=True,
        text=True,
        timeout=20,
    ).stdout
    assert all(f"--{x}" in server for x in flags[:7])
    assert all(f"--{x}" in program for x in flags[7:])
