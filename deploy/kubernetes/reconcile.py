#!/usr/bin/env python3
"""Tells an index which pods of a Kubernetes namespace publish KV cache events.

Watches pods by a label and keeps the index in step through its API: PUT for each pod that runs, and
DELETE for each that is gone. Needs Python alone. What a pod may say about itself by annotations:

    headrace.io/events-port   where it publishes (--events-port)
    headrace.io/replay-port   where it replays (--replay-port; 0: nowhere)
    headrace.io/model         its model, for topics that name none
"""

from __future__ import annotations

import argparse
import http.client
import json
import logging
import os
import pathlib
import signal
import ssl
import sys
import threading
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

ACCOUNT = pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount")
ANNOTATION = "headrace.io/"
GONE = 410  # of a watch: the version it asked for is not kept any more
MOST_PAUSE = 30.0  # seconds between attempts
log = logging.getLogger("reconcile")


class AskFailed(Exception):
    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status} {text}")
        self.status = status


@dataclass(frozen=True)
class Options:
    index: str
    index_token_file: str
    api: str
    api_token_file: str
    ca_file: str
    namespace: str
    selector: str
    events_port: int
    replay_port: int
    resync: float


class Site:
    """An HTTP server that is asked for JSON."""

    def __init__(self, url: str, token_file: str, ca_file: str, timeout: float) -> None:
        self._url = urllib.parse.urlsplit(url)
        self._token_file = token_file
        self._ca_file = ca_file
        self._timeout = timeout

    def _connect(self) -> http.client.HTTPConnection:
        host, port = self._url.hostname, self._url.port
        if self._url.scheme != "https":
            return http.client.HTTPConnection(host, port, timeout=self._timeout)
        context = ssl.create_default_context(cafile=self._ca_file or None)
        return http.client.HTTPSConnection(host, port, timeout=self._timeout, context=context)

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._token_file:  # read each time: Kubernetes renews it
            for line in pathlib.Path(self._token_file).read_text().splitlines():
                words = line.split()
                if words and not words[0].startswith("#"):
                    return {**headers, "Authorization": f"Bearer {words[0]}"}
        return headers

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        connection = self._connect()
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, path, data, self._headers())
            reply = connection.getresponse()
            text = reply.read().decode("utf-8", "replace")
            if reply.status >= 300:
                raise AskFailed(reply.status, text.strip()[:200])
            return json.loads(text)
        finally:
            connection.close()

    def lines(self, path: str) -> Iterator[Any]:
        """One JSON value a line, as they come, to the end of the answer."""
        connection = self._connect()
        try:
            connection.request("GET", path, headers=self._headers())
            reply = connection.getresponse()
            if reply.status >= 300:
                raise AskFailed(reply.status, reply.read(200).decode("utf-8", "replace").strip())
            while line := reply.readline():
                yield json.loads(line)
        finally:
            connection.close()


def port_of(annotations: dict[str, str], name: str, default: int) -> int:
    text = annotations.get(ANNOTATION + name, "")
    return int(text) if text.isdigit() and int(text) < 65536 else default


def source_of(pod: dict[str, Any], options: Options) -> dict[str, str] | None:
    """What the index is told of a pod; None: it does not run."""
    status, metadata = pod.get("status", {}), pod["metadata"]
    address = status.get("podIP", "")
    if status.get("phase") != "Running" or not address or metadata.get("deletionTimestamp"):
        return None
    host = f"[{address}]" if ":" in address else address
    annotations = metadata.get("annotations") or {}
    port = port_of(annotations, "events-port", options.events_port)
    source = {"endpoint": f"tcp://{host}:{port}"}
    replay_port = port_of(annotations, "replay-port", options.replay_port)
    if replay_port:
        source["replay_endpoint"] = f"tcp://{host}:{replay_port}"
    if model := annotations.get(ANNOTATION + "model"):
        source["model"] = model
    return source


class Reconciler:
    """The pods as Kubernetes tells them, and what of them the index knows."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._index = Site(options.index, options.index_token_file, "", timeout=10)
        # A watch is silent for as long as nothing changes.
        patience = options.resync + 30
        self._api = Site(options.api, options.api_token_file, options.ca_file, patience)
        self._wanted: dict[str, dict[str, str]] = {}
        self._told: dict[str, dict[str, str]] = {}
        self._refused: dict[str, dict[str, str]] = {}
        self._version = ""

    def _path(self, **query: Any) -> str:
        query["labelSelector"] = self._options.selector
        namespace = urllib.parse.quote(self._options.namespace)
        return f"/api/v1/namespaces/{namespace}/pods?{urllib.parse.urlencode(query)}"

    def _take(self, pod: dict[str, Any], gone: bool = False) -> None:
        name, source = pod["metadata"]["name"], source_of(pod, self._options)
        if gone or source is None:
            self._wanted.pop(name, None)
        else:
            self._wanted[name] = source

    def list(self) -> None:
        answer = self._api.ask("GET", self._path())
        self._wanted.clear()
        for pod in answer["items"]:
            self._take(pod)
        self._version = answer["metadata"]["resourceVersion"]

    def resync(self) -> None:
        """An index that began anew knows nothing of what it was told: look what it has."""
        answer = self._index.ask("GET", "/v1/index/pods")
        known = {x["pod"] for x in answer["sources"] if x["by"] == "api"}
        self._told = {name: self._told.get(name, {}) for name in known}
        self._refused.clear()
        self.apply()

    def apply(self) -> None:
        for name in [x for x in self._told if x not in self._wanted]:
            self._remove(name)
        for name, source in self._wanted.items():
            if source not in (self._told.get(name), self._refused.get(name)):
                self._put(name, source)

    def _put(self, name: str, source: dict[str, str]) -> None:
        try:
            self._index.ask("PUT", "/v1/index/pods/" + urllib.parse.quote(name, ""), source)
        except AskFailed as error:
            if not 400 <= error.status < 500 or error.status in (401, 403):
                raise
            # One pod that says nonsense about itself is no reason to leave the others.
            log.warning("pod %s is not followed: %s", name, error)
            self._refused[name] = source
        else:
            log.info("pod %s is followed at %s", name, source["endpoint"])
            self._told[name] = source

    def _remove(self, name: str) -> None:
        try:
            self._index.ask("DELETE", "/v1/index/pods/" + urllib.parse.quote(name, ""))
        except AskFailed as error:
            if error.status != 404:
                raise
        log.info("pod %s is forgotten", name)
        del self._told[name]

    def watch(self) -> None:
        """Follows changes until the watch ends, which it does after the time of a resync."""
        seconds = max(1, round(self._options.resync))
        path = self._path(
            watch=1,
            allowWatchBookmarks="true",
            resourceVersion=self._version,
            timeoutSeconds=seconds,
        )
        for event in self._api.lines(path):
            kind, pod = event["type"], event["object"]
            if kind == "ERROR":
                raise AskFailed(pod.get("code", 500), pod.get("message", ""))
            self._version = pod["metadata"]["resourceVersion"]
            if kind != "BOOKMARK":
                self._take(pod, gone=kind == "DELETED")
                self.apply()

    def run(self, stop: threading.Event) -> None:
        pause = 1.0
        while not stop.is_set():
            try:
                if not self._version:
                    self.list()
                self.resync()
                self.watch()
                pause = 1.0
            except (AskFailed, OSError, http.client.HTTPException, ValueError, KeyError) as error:
                self._version = ""  # whatever was missed: look at all of it again
                if isinstance(error, AskFailed) and error.status == GONE:
                    continue
                log.warning("again in %g s: %s: %s", pause, type(error).__name__, error)
                stop.wait(pause)
                pause = min(2 * pause, MOST_PAUSE)


def default_api() -> str:
    host = os.environ.get("KUBERNETES_SERVICE_HOST", "kubernetes.default.svc")
    port = os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


def default_namespace() -> str:
    file = ACCOUNT / "namespace"
    return file.read_text().strip() if file.exists() else "default"


def read_options(arguments: list[str]) -> Options:
    inside = ACCOUNT.exists()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--index", default="http://127.0.0.1:9091", metavar="URL")
    parser.add_argument("--index-token-file", default="", metavar="FILE")
    parser.add_argument("--api", default=default_api(), metavar="URL", help="of Kubernetes")
    parser.add_argument("--api-token-file", default=str(ACCOUNT / "token") if inside else "")
    parser.add_argument("--ca-file", default=str(ACCOUNT / "ca.crt") if inside else "")
    parser.add_argument("--namespace", default=default_namespace())
    parser.add_argument("--selector", default="headrace.io/events=on", help="labels of the pods")
    parser.add_argument("--events-port", type=int, default=5557)
    parser.add_argument("--replay-port", type=int, default=5558, help="0: none")
    parser.add_argument("--resync", type=float, default=30.0, metavar="SECONDS")
    return Options(**vars(parser.parse_args(arguments)))


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    stop = threading.Event()

    def end(*_: object) -> None:
        stop.set()
        raise SystemExit(0)  # out of a watch, which may be silent for long

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    Reconciler(read_options(sys.argv[1:])).run(stop)
    return 0


if __name__ == "__main__":
    sys.exit(main())
