import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from harness import SERVER, Engine, Server  # noqa: E402
from index_harness import Index  # noqa: E402


def pytest_sessionstart(session):
    if not SERVER.exists():
        raise pytest.UsageError(f"{SERVER} is not built; run scripts/build first")


@pytest.fixture
def start_server():
    """start_server(*flags, pool=...) -> Server; ended after the test."""
    servers = []

    def start(*flags, **options) -> Server:
        servers.append(Server(*flags, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def server(start_server) -> Server:
    return start_server()


@pytest.fixture
def start_engine():
    """start_engine(endpoint, ...) -> Engine; closed after the test."""
    engines = []

    def start(*arguments, **options) -> Engine:
        engines.append(Engine(*arguments, **options))
        return engines[-1]

    yield start
    for engine in engines:
        engine.close()


@pytest.fixture
def make_index(start_server, tmp_path):
    """make_index(*flags, ...) -> Index; its publishers are closed after the test."""
    made = []

    def make(*flags, **options) -> Index:
        made.append(Index(start_server, tmp_path / "index.yaml", *flags, **options))
        return made[-1]

    yield make
    for index in made:
        index.close()
