"""Scenario 1: what a person types first, and what they mistype."""

import os
import signal
import socket
import subprocess
import time

import pytest
from harness import SERVER, Server, free_port, wait_for


def run(*flags: str, **env: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [str(SERVER), *flags], capture_output=True, text=True, timeout=20, env={**os.environ, **env}
    )


@pytest.mark.parametrize("devices", [["--device", "cpu"], ["--devices", "cpu"], ["--device=cpu"]])
def test_health_and_metrics_answer_within_two_seconds(tmp_path, devices):
    port, start = free_port(), time.monotonic()
    process = subprocess.Popen(
        [
            str(SERVER),
            *devices,
            "--pool-size",
            "256mb",
            "--addr",
            f"127.0.0.1:{free_port()}",
            "--http-addr",
            f"127.0.0.1:{port}",
            "--socket",
            str(tmp_path / "s"),
        ],
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(
            lambda: _answers(port, "/health") and _answers(port, "/metrics"), 2, "HTTP answers"
        )
        assert time.monotonic() - start < 2
    finally:
        process.terminate()
        assert process.wait(5) == 0


def _answers(port: int, path: str) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as link:
            link.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
            return b" 200 " in link.recv(4096)
    except OSError:
        return False


@pytest.mark.parametrize(
    ("flags", "option"),
    [
        (["--pool-size", "abc"], "--pool-size"),
        (["--pool-size", "-1gb"], "--pool-size"),
        (["--pool-size", "1.5gb"], "--pool-size"),
        (["--pool-size", "900tb"], "--pool-size"),
        (["--page-size", "3"], "--page-size"),
        (["--device", "gpu"], "--device"),
        (["--device", "cpu,0"], "--device"),
        (["--device", "0"], "--device"),
        (["--addr", "nowhere"], "--addr"),
        (["--http-addr", "127.0.0.1:99999"], "--http-addr"),
        (["--socket", ""], "--socket"),
        (["--socket", "/no/such/folder/socket"], "--socket"),
        (["--log-level", "loud"], "--log-level"),
        (["--pol-size", "1gb"], "--pol-size"),
        (["--config", "/no/such/file.yaml"], "--config"),
        (["--high-water", "7"], "--high-water"),
    ],
)
def test_a_wrong_flag_is_one_clear_line_and_exit_code_2(tmp_path, flags, option):
    base = [
        "--device",
        "cpu",
        "--socket",
        str(tmp_path / "s"),
        "--pool-size",
        "64mb",
        "--addr",
        "127.0.0.1:0",
        "--http-addr",
        "127.0.0.1:0",
    ]
    given = {flag for flag in flags if flag.startswith("--")}
    kept = [w for i in range(0, len(base), 2) if base[i] not in given for w in base[i : i + 2]]
    result = run(*kept, *flags)
    assert result.returncode == 2, result.stderr
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    assert len(lines) == 1 and option in lines[0], result.stderr


def test_device_0_without_cuda_names_device_cpu(tmp_path):
    result = run("--device", "0", "--socket", str(tmp_path / "s"), "--pool-size", "64mb")
    assert result.returncode == 2
    assert "--device" in result.stderr and "--device cpu" in result.stderr


def test_a_pool_larger_than_the_machine_is_refused_with_what_it_could_give(tmp_path):
    result = run("--device", "cpu", "--socket", str(tmp_path / "s"), "--pool-size", "500gb")
    assert result.returncode == 2
    assert "--pool-size" in result.stderr and "GiB" in result.stderr


@pytest.mark.parametrize("which", ["addr", "http-addr"])
def test_a_port_in_use_names_its_option(tmp_path, which):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports = {"addr": free_port(), "http-addr": free_port(), which: taken.getsockname()[1]}
        result = run(
            "--device",
            "cpu",
            "--pool-size",
            "64mb",
            "--socket",
            str(tmp_path / "s"),
            "--addr",
            f"127.0.0.1:{ports['addr']}",
            "--http-addr",
            f"127.0.0.1:{ports['http-addr']}",
        )
    assert result.returncode == 2
    assert f"--{which}" in result.stderr and "in use" in result.stderr


def test_a_socket_in_use_is_refused_and_a_stale_one_replaced(start_server):
    first = start_server()
    result = run(
        "--device",
        "cpu",
        "--pool-size",
        "64mb",
        "--socket",
        first.socket,
        "--addr",
        "127.0.0.1:0",
        "--http-addr",
        "127.0.0.1:0",
    )
    assert result.returncode == 2 and "--socket" in result.stderr and "in use" in result.stderr
    first.kill()
    assert os.path.exists(first.socket)
    first.start()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("pool", ["64mb", "4gb"])
def test_signals_drain_and_exit_0_within_three_seconds(start_server, number, pool):
    server = start_server(pool=pool, pool_wait=False)  # the larger pool is still growing
    start = time.monotonic()
    server.signal(number)
    assert server.process.wait(5) == 0
    assert time.monotonic() - start < 3
    assert not os.path.exists(server.socket)


def test_serves_within_a_second_whatever_the_pool_and_says_how_far_it_is(start_server):
    start = time.monotonic()
    server = start_server(pool="6gb", pool_wait=False)
    assert time.monotonic() - start < 1
    first = server.json("/ready")["pool"]
    assert first["total_bytes"] == 6 << 30 and first["ready_bytes"] < 6 << 30
    wait_for(
        lambda: server.json("/ready")["pool"]["ready_bytes"] > first["ready_bytes"], 10, "it grows"
    )


def test_pool_size_0_is_valid(start_server, start_engine):
    server = start_server(pool="0")
    assert server.get("/ready")[0] == 200
    engine = start_engine(server.endpoint)
    assert engine.registered and engine.save([b"h" * 32]).refused == 1


def test_flag_beats_environment_beats_file(tmp_path):
    config = tmp_path / "server.yaml"
    config.write_text("pool-size: 64mb\nmover-threads: 2\nlog-level: warn\n")
    server = Server("--config", str(config), pool="128mb", env={"HEADRACE_MOVER_THREADS": "3"})
    try:
        metrics = server.metrics()
        assert metrics["headrace_pool_bytes"] == 128 << 20
        assert metrics['headrace_limit{name="mover-threads"}'] == 3
        assert "info" not in server.log()
    finally:
        server.close()


def test_help_and_version_exit_0():
    text = run("--help")
    assert text.returncode == 0
    for option in ["--addr", "--device", "--pool-size", "--socket", "--http-addr", "--config"]:
        assert option in text.stdout
    assert run("--version").stdout.startswith("headrace-server ")
