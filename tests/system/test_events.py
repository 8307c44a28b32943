"""What a server tells over ZeroMQ: events, replay, snapshots, and to whom."""

import os
import random
import re
import struct
import subprocess
import time

import msgpack
import pytest
import zmq
from harness import SERVER, Chain, chain_of, free_port, single_layout, split_layout, wait_for

NODE = "node-a:50055"
TOPIC = f"kv@{NODE}@model".encode()
NOTHING = 2**64 - 1  # the sequence before the first
PATIENCE_MS = 10_000


def low_word(block_hash: bytes) -> int:
    return int.from_bytes(block_hash[-8:], "big")


def words(hashes) -> list[int]:
    return [low_word(h) for h in hashes]


class Subscriber:
    """Follows a server's topics with plain pyzmq: applies what it hears to a set of blocks."""

    def __init__(self, endpoint: str, replay: str | None = None, keys=None) -> None:
        self.context = zmq.Context()
        self.sub = self.context.socket(zmq.SUB)
        self.dealer = self.context.socket(zmq.DEALER)
        for socket in (self.sub, self.dealer):
            socket.linger = 0
            if keys:
                socket.curve_serverkey, socket.curve_publickey, socket.curve_secretkey = keys
        self.sub.subscribe(b"")
        self.sub.connect(endpoint)
        if replay:
            self.dealer.connect(replay)
        self.messages: list[tuple[bytes, int, list]] = []
        self.pods: dict | None = None  # how the last snapshot began

    def close(self) -> None:
        self.sub.close()
        self.dealer.close()
        self.context.term()

    def hear(self, timeout_ms: int = PATIENCE_MS):
        """The next message, or None: (topic, sequence, batch)."""
        if not self.sub.poll(timeout_ms):
            return None
        topic, sequence, payload = self.sub.recv_multipart()
        batch = msgpack.unpackb(payload, raw=False)
        assert isinstance(batch[0], float) and len(batch) == 3
        self.messages.append((topic, struct.unpack(">Q", sequence)[0], batch))
        return self.messages[-1]

    def events(self, done, timeout: float = 20):
        """Every event heard until `done(events)`."""
        events = []
        end = time.monotonic() + timeout
        while not done(events):
            assert time.monotonic() < end, f"not heard in time; heard {events}"
            message = self.hear(100)
            if message:
                events += message[2][1]
        return events

    def ask(self, *frames: bytes):
        """The frames of each answer behind the empty one, the end included."""
        self.dealer.send_multipart([b"", *frames])
        answers = []
        while True:
            assert self.dealer.poll(PATIENCE_MS), f"no answer in time; {len(answers)} came"
            answer = self.dealer.recv_multipart()
            assert answer[0] == b"" and len(answer) == 4
            answers.append(answer[1:])
            if answer[3] == b"":
                return answers

    def replay(self, start: int, *topic: bytes):
        *answers, end = self.ask(struct.pack(">Q", start), *topic)
        assert end == [b"", b"\xff" * 8, b""]
        return [(t, struct.unpack(">Q", s)[0], msgpack.unpackb(p)) for t, s, p in answers]

    def snapshot(self, topic: bytes = TOPIC):
        """(sequence, events)"""
        *answers, end = self.ask(b"snapshot", topic)
        assert end[0] == topic
        assert all(a[0] == topic and a[1] == end[1] for a in answers)
        events = [event for a in answers for event in msgpack.unpackb(a[2])[1]]
        self.pods = events.pop(0) if events else None
        return struct.unpack(">Q", end[1])[0], events


def stored_of(events) -> list:
    return [h for e in events if e["type"] == "BlockStored" for h in e["block_hashes"]]


def removed_of(events) -> list:
    return [h for e in events if e["type"] == "BlockRemoved" for h in e["block_hashes"]]


def apply(believed: set, events) -> None:
    for event in events:
        if event["type"] == "BlockStored":
            assert believed.isdisjoint(event["block_hashes"])
            believed.update(event["block_hashes"])
        else:
            assert believed.issuperset(event["block_hashes"])
            believed.difference_update(event["block_hashes"])


def await_subscription(subscriber, engine) -> None:
    """A subscription takes effect some time after connect: save until something is heard."""
    for attempt in range(200):
        engine.save(chain_of(("probe", attempt), 1), [0])
        if subscriber.hear(50):
            while subscriber.hear(100):
                pass
            return
    raise AssertionError("the subscription never took effect")


@pytest.fixture
def publishing(start_server):
    """publishing(*flags) -> server with .events and .replay endpoints on loopback."""

    def start(*flags, host="127.0.0.1", **options):
        endpoints = [f"tcp://{host}:{free_port()}" for _ in range(2)]
        server = start_server(
            "--events-endpoint",
            endpoints[0],
            "--events-replay-endpoint",
            endpoints[1],
            "--events-topic-node",
            NODE,
            *flags,
            **options,
        )
        server.events, server.replay = (e.replace("*", "127.0.0.1") for e in endpoints)
        return server

    return start


@pytest.fixture
def subscribe():
    subscribers = []

    def start(*arguments, **options) -> Subscriber:
        subscribers.append(Subscriber(*arguments, **options))
        return subscribers[-1]

    yield start
    for subscriber in subscribers:
        subscriber.close()


def test_a_save_is_told_with_hashes_parent_topic_and_sequence(publishing, subscribe, start_engine):
    server = publishing()
    engine = start_engine(server.endpoint)
    subscriber = subscribe(server.events)
    await_subscription(subscriber, engine)
    last = subscriber.messages[-1][1]
    hashes = chain_of("told", 6)
    engine.save(hashes[:4])
    engine.save(hashes[4:], depth=4, parent=hashes[3])
    events = subscriber.events(lambda seen: len(stored_of(seen)) == 6)
    assert stored_of(events) == words(hashes)
    assert all(e["medium"] == "cpu" and e["block_size"] == 16 for e in events)
    assert all(e["token_ids"] == [] and e["lora_id"] is None for e in events)
    parents = {e["block_hashes"][0]: e["parent_block_hash"] for e in events}
    assert parents[low_word(hashes[0])] is None
    if len(events) > 1:
        assert parents[low_word(hashes[4])] == low_word(hashes[3])
    assert {topic for topic, _, _ in subscriber.messages} == {TOPIC}
    sequences = [sequence for _, sequence, _ in subscriber.messages]
    assert sequences == list(range(sequences[0], sequences[-1] + 1)) and sequences[-1] > last
    assert server.metric("headrace_events_published_total") >= 6
    assert server.metrics()[
        f'headrace_events_last_sequence{{topic="{TOPIC.decode()}"}}'
    ] == float(sequences[-1])


def test_the_first_message_has_sequence_zero(publishing, subscribe, start_engine):
    server = publishing()
    start_engine(server.endpoint).save(chain_of("first", 3))
    subscriber = subscribe(server.events, server.replay)
    first = wait_for(lambda: subscriber.replay(0), 10, "the message is kept")[0]
    assert first[:2] == (TOPIC, 0)


def test_each_namespace_is_a_topic_with_its_own_sequence(publishing, subscribe, start_engine):
    server = publishing()
    subscriber = subscribe(server.events, server.replay)
    for name in ("one", "a@b"):
        start_engine(server.endpoint, name_space=name, instance=name).save(chain_of(name, 2))
    replayed = wait_for(lambda: len(subscriber.replay(0)) >= 2 and subscriber.replay(0), 10, "both")
    topics = {f"kv@{NODE}@one".encode(), f"kv@{NODE}@a%40b".encode()}
    assert {(topic, sequence) for topic, sequence, _ in replayed} == {(t, 0) for t in topics}
    for topic in topics:
        assert [t for t, _, _ in subscriber.replay(0, topic)] == [topic]


def test_an_eviction_is_told_with_its_reason(publishing, subscribe, start_engine):
    server = publishing("--page-size", "1mb", pool="4mb")
    engine = start_engine(server.endpoint, single_layout(128))  # 32 KiB a block: 128 fill the pool
    subscriber = subscribe(server.events)
    await_subscription(subscriber, engine)
    for number in range(6):
        engine.save(chain_of(("evicting", number), 32), list(range(32)))
    events = subscriber.events(lambda seen: len(removed_of(seen)) >= 32)
    assert {e["reason"] for e in events if e["type"] == "BlockRemoved"} == {"evicted"}
    assert all(e["medium"] == "cpu" for e in events)


def test_a_clear_and_a_purge_are_told_with_their_reasons(publishing, subscribe, start_engine):
    server = publishing()
    engine = start_engine(server.endpoint)
    subscriber = subscribe(server.events)
    await_subscription(subscriber, engine)
    hashes = chain_of("reasons", 6)
    engine.save(hashes)
    engine.client.purge(hashes[4])
    events = subscriber.events(lambda seen: len(removed_of(seen)) >= 2)
    gone = [e for e in events if e["type"] == "BlockRemoved"]
    assert sorted(removed_of(gone)) == sorted(words(hashes[4:]))
    assert {e["reason"] for e in gone} == {"purged"}
    engine.client.clear()
    left = set(words(hashes[:4]))
    events = subscriber.events(lambda seen: left.issubset(removed_of(seen)))
    assert {e["reason"] for e in events} == {"cleared"}


def test_what_was_missed_is_replayed(publishing, subscribe, start_engine):
    server = publishing()
    engine = start_engine(server.endpoint)
    saved = []
    published = "headrace_events_published_total"
    for number in range(20):
        hashes = chain_of(("missed", number), 2)
        engine.save(hashes, [0, 1])
        saved += words(hashes)
        # A message each: what is saved within a window shares one.
        wait_for(lambda: server.metric(published) == len(saved), 10, "it is told")
    subscriber = subscribe(server.events, server.replay)

    def told(replayed) -> list[int]:
        return stored_of(event for message in replayed for event in message[2][1])

    wait_for(lambda: len(told(subscriber.replay(0))) == 40, 10, "all are kept")
    whole = subscriber.replay(0)
    assert told(whole) == saved
    sequences = [m[1] for m in whole]
    assert sequences == list(range(20))
    part = subscriber.replay(7)
    assert part == whole[7:]
    assert subscriber.replay(10_000) == []
    assert server.metric("headrace_events_replays_total") >= 3


def test_a_replay_beyond_the_buffer_shows_the_gap(publishing, subscribe, start_engine):
    server = publishing("--events-buffer-steps", "5", "--events-window", "0")
    engine = start_engine(server.endpoint)
    subscriber = subscribe(server.events, server.replay)
    saved = 0

    def enough() -> bool:
        """On a busy machine one message tells of several saves."""
        nonlocal saved
        engine.save(chain_of(("beyond", saved), 1), [0])
        saved += 1
        return subscriber.snapshot()[0] + 1 in range(8, 1000)

    wait_for(enough, 20, "messages were published")
    replayed = subscriber.replay(0)
    assert len(replayed) == 5 and replayed[0][1] > 0
    wait_for(lambda: len(stored_of(subscriber.snapshot()[1])) == saved, 10, "all are resident")


def test_a_snapshot_of_nothing_names_no_sequence(publishing, subscribe):
    server = publishing()
    subscriber = subscribe(server.events, server.replay)
    assert subscriber.snapshot(b"kv@nobody@nothing") == (NOTHING, [])


def test_what_is_no_request_is_counted_and_ignored(publishing, subscribe, start_engine):
    server = publishing()
    engine = start_engine(server.endpoint)
    subscriber = subscribe(server.events, server.replay)
    for frames in ([b"x"], [b"", b"short"], [b"", b"snapshot"], [b"", b"1", b"2", b"3", b"4"]):
        subscriber.dealer.send_multipart(frames)
    assert subscriber.replay(0) == []
    assert server.metric("headrace_events_requests_malformed_total") == 4
    engine.save(chain_of("alive", 2))
    wait_for(lambda: subscriber.replay(0), 10, "it publishes as before")


def test_snapshot_and_events_equal_what_queries_find(publishing, subscribe, start_engine):
    """1000 random saves, clears and purges in a pool that evicts, with snapshots in between."""
    server = publishing("--page-size", "1mb", pool="4mb")
    engine = start_engine(server.endpoint, single_layout(128))
    subscriber = subscribe(server.events, server.replay)
    await_subscription(subscriber, engine)
    choose = random.Random(4)
    chains = [chain_of(("random", number), 24) for number in range(40)]
    base, events = subscriber.snapshot()
    believed: set[int] = set(stored_of(events))
    heard = base

    def catch_up(to: int) -> None:
        nonlocal heard
        while heard < to:
            message = subscriber.hear()
            assert message, f"nothing after {heard}, {to} is out"
            if message[1] <= heard:
                continue
            assert message[1] == heard + 1
            heard = message[1]
            apply(believed, message[2][1])

    for step in range(1000):
        chain = choose.choice(chains)
        begin = choose.randrange(0, 1 + min(20, engine.hit(chain)))
        count = choose.randrange(1, 25 - begin)
        kind = choose.random()
        if kind < 0.01:
            engine.client.clear()
        elif kind < 0.05:
            engine.client.purge(chain[begin])
        else:
            engine.save(
                chain[begin : begin + count],
                list(range(count)),
                depth=begin,
                parent=chain[begin - 1] if begin else None,
                fill=False,
            )
        if step % 50 == 49:
            sequence, events = subscriber.snapshot()
            catch_up(sequence)
            found = stored_of(events)
            assert len(found) == len(set(found))
            known = set()
            for event in events:  # parents come before their children
                assert event["parent_block_hash"] in known | {None}
                known.update(event["block_hashes"])
            assert set(found) == believed

    engine.save(chains[0], list(range(24)), fill=False)

    def truth() -> set[int]:
        return {low_word(h) for c in chains for h in c[: engine.hit(c)]}

    def agree() -> bool:
        # Sweeps of the last clear may still be on their way.
        return set(stored_of(subscriber.snapshot()[1])) - probes == truth()

    probes = {low_word(h) for n in range(200) for h in chain_of(("probe", n), 1)}
    wait_for(agree, 10, "the snapshot is what queries find")
    sequence, _ = subscriber.snapshot()
    catch_up(sequence)
    assert believed - probes == truth() and len(truth()) >= 24
    assert server.metric("headrace_evicted_blocks_total") > 100
    assert server.metric("headrace_purged_blocks_total") > 20
    assert server.metric("headrace_cleared_blocks_total") > 10
    assert server.metric("headrace_events_dropped_total") == 0


def test_dropped_events_are_counted_told_and_made_good(publishing, subscribe, start_engine):
    server = publishing("--events-queue", "1024", "--events-window", "300ms")
    engine = start_engine(server.endpoint, split_layout(512, layers=1, segment=4096))
    subscriber = subscribe(server.events, server.replay)
    await_subscription(subscriber, engine)
    sequence, events = subscriber.snapshot()
    believed = set(stored_of(events))
    chains = [chain_of(("flood", number), 400) for number in range(8)]
    for chain in chains:
        engine.save(chain, list(range(400)), fill=False)
    wait_for(lambda: server.metric("headrace_events_dropped_total") > 0, 10, "events are dropped")
    wait_for(lambda: server.metric("headrace_events_gaps_total") >= 1, 10, "and told")
    saved = {low_word(h) for chain in chains for h in chain}
    jumped = False
    while not saved.issubset(believed):
        message = subscriber.hear()
        assert message, f"{len(saved - believed)} blocks never told"
        if message[1] <= sequence:
            continue
        jumped = jumped or message[1] > sequence + 1
        sequence = message[1]
        apply(believed, message[2][1])
    assert jumped
    assert set(stored_of(subscriber.snapshot()[1])) == believed


def test_token_ids_only_by_option(publishing, subscribe, start_engine):
    for flags, told in (((), 0), (("--events-token-ids",), 32)):
        server = publishing(*flags)
        engine = start_engine(server.endpoint)
        hashes = chain_of("tokens", 2)
        for block, block_hash in enumerate(hashes):
            engine.fill(block, block_hash)
        chain = Chain(hashes, [0, 1], tokens=list(range(100, 132)))
        engine.wait(engine.client.save([chain]))
        subscriber = subscribe(server.events, server.replay)
        replayed = wait_for(lambda: subscriber.replay(0), 10, "the message is kept")
        event = replayed[0][2][1][0]
        assert event["token_ids"] == list(range(100, 100 + told))
        assert subscriber.snapshot()[1][0]["token_ids"] == event["token_ids"]


def test_the_array_form_and_whole_hashes(publishing, subscribe, start_engine):
    server = publishing("--events-form", "array", "--events-hashes", "bytes")
    engine = start_engine(server.endpoint)
    hashes = chain_of("array", 3)
    engine.save(hashes)
    engine.save(chain_of("array", 5)[3:], depth=3, parent=hashes[2])
    subscriber = subscribe(server.events, server.replay)
    wait_for(lambda: len(stored_array(subscriber)) == 5, 10, "five blocks")
    assert stored_array(subscriber) == chain_of("array", 5)
    events = [e for m in subscriber.replay(0) for e in m[2][1]]
    assert all(e[0] == "BlockStored" and e[3] == [] and e[4] == 16 for e in events)
    assert [e[2] for e in events][0] is None and all(e[6] == "cpu" for e in events)


def stored_array(subscriber) -> list[bytes]:
    return [h for m in subscriber.replay(0) for e in m[2][1] for h in e[1]]


def test_a_restart_begins_again_at_zero(publishing, subscribe, start_engine):
    server = publishing()
    start_engine(server.endpoint).save(chain_of("before", 3))
    subscriber = subscribe(server.events, server.replay)
    wait_for(lambda: subscriber.replay(0), 10, "the first life")
    server.kill()
    os.unlink(server.socket)
    server.start()
    again = subscribe(server.events, server.replay)
    assert again.replay(0) == []
    start_engine(server.endpoint).save(chain_of("after", 2))
    replayed = wait_for(lambda: again.replay(0), 10, "the second life")
    assert replayed[0][1] == 0
    assert stored_of(e for m in replayed for e in m[2][1]) == words(chain_of("after", 2))


def pods_of(messages) -> list[tuple[list[str], str | None]]:
    """Each list of pods that these messages tell, with its model."""
    events = [e for _, _, batch in messages for e in batch[1]]
    return [(e["pods"], e.get("pods_model")) for e in events if "pods" in e]


def test_a_node_tells_which_pods_it_serves(publishing, subscribe, start_engine):
    server = publishing()
    subscriber = subscribe(server.events, server.replay)
    engine = start_engine(server.endpoint, pods=["10.0.0.1:8000"], pods_model="org/m@r")
    engine.save(chain_of("served", 2))
    replayed = wait_for(lambda: len(subscriber.replay(0)) >= 2 and subscriber.replay(0), 10, "told")
    assert pods_of(replayed[:1]) == [(["10.0.0.1:8000"], "org/m@r")]
    assert replayed[0][2][1][0]["block_hashes"] == []
    assert stored_of(e for m in replayed for e in m[2][1]) == words(chain_of("served", 2))

    other = start_engine(server.endpoint, instance="other", pods=["b"], pods_model="org/m@r")
    both = (["10.0.0.1:8000", "b"], "org/m@r")
    wait_for(lambda: pods_of(subscriber.replay(0))[-1] == both, 10, "both pods")
    engine.client.close()
    wait_for(lambda: pods_of(subscriber.replay(0))[-1] == (["b"], "org/m@r"), 10, "one is left")
    _, events = subscriber.snapshot()
    assert (subscriber.pods["pods"], subscriber.pods["pods_model"]) == (["b"], "org/m@r")
    assert set(stored_of(events)) == set(words(chain_of("served", 2)))
    other.client.close()
    wait_for(lambda: pods_of(subscriber.replay(0))[-1] == ([], "org/m@r"), 10, "none is left")
    subscriber.snapshot()
    assert subscriber.pods["pods"] == []


def test_pods_are_told_again_to_who_comes_late(publishing, subscribe, start_engine):
    server = publishing("--events-heartbeat", "100ms", "--events-form", "array")
    engine = start_engine(server.endpoint, pods=["p"], pods_model="m")
    engine.save(chain_of("late", 1))
    late = subscribe(server.events)
    message = wait_for(late.hear, 10, "a heartbeat")
    assert message[2][1] == [
        ["BlockStored", [], None, [], 16, None, "cpu"] + [None] * 8 + [["p"], "m"]
    ]


def test_quiet_topics_say_that_nothing_was_missed(publishing, subscribe, start_engine):
    server = publishing("--events-heartbeat", "100ms")
    engine = start_engine(server.endpoint)
    subscriber = subscribe(server.events, server.replay)
    await_subscription(subscriber, engine)
    assert wait_for(lambda: (m := subscriber.hear(200)) and m[2][1] == [] and m, 10, "a heartbeat")


@pytest.fixture
def curve_files(tmp_path):
    """(server public key, client pair, flags)"""
    server_public, server_secret = zmq.curve_keypair()
    client = zmq.curve_keypair()
    secret, clients = tmp_path / "server.secret", tmp_path / "clients"
    secret.write_bytes(server_secret + b"\n")
    secret.chmod(0o600)
    clients.write_bytes(b"# who may listen\n" + client[0] + b" the indexer\n")
    flags = ["--events-curve-secret-file", str(secret), "--events-curve-clients-file", str(clients)]
    return server_public, client, flags


def test_with_curve_only_the_right_key_hears(publishing, subscribe, start_engine, curve_files):
    server_public, client, flags = curve_files
    server = publishing(*flags, host="*")
    engine = start_engine(server.endpoint)
    right = subscribe(server.events, server.replay, keys=(server_public, *client))
    other_server = zmq.curve_keypair()[0]
    wrong = [
        subscribe(server.events, server.replay, keys=(server_public, *zmq.curve_keypair())),
        subscribe(server.events, server.replay, keys=(other_server, *client)),
        subscribe(server.events, server.replay),  # in the clear
    ]
    for stranger in wrong:
        stranger.dealer.send_multipart([b"", b"snapshot", TOPIC])
    await_subscription(right, engine)
    assert right.snapshot()[1]
    engine.save(chain_of("secret", 4))
    assert stored_of(right.events(lambda seen: len(stored_of(seen)) == 4)) == words(
        chain_of("secret", 4)
    )
    for stranger in wrong:
        assert stranger.hear(200) is None
        assert not stranger.dealer.poll(0)
    refused = "headrace_events_clients_refused_total"
    wait_for(lambda: server.metric(refused) > 0, 10, "it is counted")


@pytest.mark.parametrize(
    "flags, named",
    [
        (["--events-endpoint", "tcp://*:5557"], "--events-curve-secret-file"),
        (["--events-endpoint", "tcp://0.0.0.0:0"], "--events-curve-secret-file"),
        (
            ["--events-endpoint", "tcp://127.0.0.1:0", "--events-replay-endpoint", "tcp://*:0"],
            "--events-curve-secret-file",
        ),
        (["--events-endpoint", "nonsense"], "--events-endpoint"),
        (["--events-replay-endpoint", "tcp://127.0.0.1:0"], "--events-endpoint"),
        (
            ["--events-endpoint", "tcp://127.0.0.1:0", "--events-curve-secret-file", "/nowhere"],
            "--events-curve-secret-file",
        ),
        (["--events-endpoint", "tcp://127.0.0.1:0", "--events-dial"], "--events-dial"),
    ],
)
def test_a_start_that_would_tell_strangers_is_refused(flags, named, tmp_path):
    start = [SERVER, "--device", "cpu", "--pool-size", "64mb", "--socket", tmp_path / "s"]
    start += ["--addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0", *flags]
    done = subprocess.run(start, capture_output=True, text=True, timeout=20)
    assert done.returncode == 2
    assert named in done.stderr and len(done.stderr.splitlines()) == 1


def test_off_loopback_needs_the_list_of_clients_too(tmp_path, curve_files):
    _, _, flags = curve_files
    start = [SERVER, "--device", "cpu", "--pool-size", "64mb", "--socket", tmp_path / "s"]
    start += ["--addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0"]
    start += ["--events-endpoint", "tcp://*:0", *flags[:2]]
    done = subprocess.run(start, capture_output=True, text=True, timeout=20)
    assert done.returncode == 2 and "--events-curve-clients-file" in done.stderr


def test_an_endpoint_in_use_is_refused_by_name(publishing, tmp_path):
    server = publishing()
    start = [SERVER, "--device", "cpu", "--pool-size", "64mb", "--socket", tmp_path / "s"]
    start += ["--addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0"]
    done = subprocess.run(
        [*start, "--events-endpoint", server.events], capture_output=True, text=True, timeout=20
    )
    assert done.returncode == 2
    assert re.match(r"headrace-server: --events-endpoint: .*in use", done.stderr), done.stderr
