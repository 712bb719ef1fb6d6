"""A real engine that is killed, frozen or full in the middle of a unit."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.private_engine import PrivateEngine, private_engine, skip_or_fail
from unlearn_bench.sandbox.backends.docker import Docker
from unlearn_bench.sandbox.engine import client
from unlearn_bench.sandbox.engine.cgroup import Cgroup
from unlearn_bench.sandbox.types import Job

pytestmark = [pytest.mark.docker, pytest.mark.slow]

IDENTITY = "def unlearn(model, retain): return model"
SLEEP = "import time\ndef unlearn(model, retain): time.sleep(600)"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateEngine]:
    before = interfaces()
    with skip_or_fail(), private_engine(tmp_path_factory.mktemp("own") / "engine") as engine:
        yield engine
    assert before <= interfaces(), "the second engine took network interfaces away from the first"


def interfaces() -> set[str]:
    """Network interfaces of this machine, but those of single containers."""
    return {path.name for path in Path("/sys/class/net").iterdir() if not path.name.startswith("veth")}


@pytest.fixture
def engine(own: PrivateEngine, monkeypatch: pytest.MonkeyPatch, private_tmp: Path) -> Iterator[PrivateEngine]:
    """The private engine in the place of the machine's; a call to it may take six seconds."""
    monkeypatch.setenv("DOCKER_HOST", own.host)
    monkeypatch.setattr(client, "TIMEOUT", 6)
    yield own
    assert own.containers() == []
    assert list(private_tmp.glob("unlearn-bench-unit-*")) == []


class After:
    """A clock that sends the engine a signal a second after the unit was let go."""

    def __init__(self, engine: PrivateEngine, what: signal.Signals) -> None:
        self.timer = threading.Timer(1, engine.send, [what])

    def __enter__(self) -> None:
        self.timer.start()

    def __exit__(self, *error: object) -> None:
        self.timer.join()


def frozen_at_the_end(engine: PrivateEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine hangs from the moment at which a unit is to be stopped."""
    read = Cgroup.peak_memory

    def freeze(self: Cgroup) -> int | None:
        engine.send(signal.SIGSTOP)
        return read(self)

    monkeypatch.setattr(Cgroup, "peak_memory", freeze)


def run(backend: Docker, job: Job, clock: Any = None) -> Any:
    return backend.run(job, clock or nullcontext())


def test_an_engine_killed_in_mid_unit(engine: PrivateEngine, make_job: Callable[..., Job]) -> None:
    backend = Docker()
    outcome = run(backend, make_job(SLEEP, deadline=300), After(engine, signal.SIGKILL))
    assert outcome.status == "infra" and "docker info" in outcome.reason, outcome
    assert run(backend, make_job(IDENTITY)).status == "infra", "it is not there yet"
    engine.start()
    again = run(backend, make_job(IDENTITY))
    assert (again.status, again.warnings) == ("ok", ())


def test_an_engine_that_hangs_in_mid_unit(engine: PrivateEngine, make_job: Callable[..., Job]) -> None:
    backend = Docker()
    outcome = run(backend, make_job(SLEEP, deadline=5), After(engine, signal.SIGSTOP))
    assert outcome.status == "infra" and "no answer within 6 s" in outcome.reason, outcome
    engine.send(signal.SIGCONT)
    again = run(backend, make_job(IDENTITY))
    assert (again.status, again.reason, again.warnings) == ("ok", "", ()), "the container of before is removed first"


def test_an_engine_that_hangs_on_kill_loses_no_weights(
    engine: PrivateEngine, make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = Docker()
    with monkeypatch.context() as patch:
        frozen_at_the_end(engine, patch)
        outcome = run(backend, make_job(IDENTITY))
    assert outcome.status == "ok" and outcome.weights is not None and outcome.seconds is not None
    assert any("not stopped" in warning for warning in outcome.warnings)
    assert any("removes it" in warning for warning in outcome.warnings)
    engine.send(signal.SIGCONT)
    assert run(backend, make_job(IDENTITY)).warnings == ()


def test_a_full_disk_of_the_engine(engine: PrivateEngine, make_job: Callable[..., Job]) -> None:
    filler = engine.root / "data-root" / "filler"
    with pytest.raises(OSError, match="No space left"), filler.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 2**16)
    outcome = run(Docker(), make_job(IDENTITY))
    filler.unlink()
    assert outcome.status == "infra" and "engine's disk is full" in outcome.reason, outcome
    assert run(Docker(), make_job(IDENTITY)).status == "ok"
