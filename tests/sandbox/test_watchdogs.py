"""Engines that hang, drip or refuse, and what killed harnesses leave: bounded time, and no finished unit is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.conftest import SPEC
from tests.sandbox.fake_engine import CALLS, FakeEngine, fake_engine
from unlearn_bench.sandbox import stage
from unlearn_bench.sandbox.backends import load
from unlearn_bench.sandbox.engine import client
from unlearn_bench.sandbox.engine.client import EngineSilent, within
from unlearn_bench.sandbox.types import Job

SOURCE = "def unlearn(model, retain): return model"
BEFORE = sorted(set(CALLS) - {"kill", "wait", "remove", "list"})
AFTER = ["kill", "wait", "remove", "inspect later"]
pytestmark = pytest.mark.timeout(120)


def failures(calls: list[str], quick: str) -> list[Any]:
    """Every call with everything that may go wrong with it; what has to be waited for is slow, but for one call."""
    waits = [(call, wrong) for call in calls for wrong in ("hang", "drip")]
    return [(call, "something broke") for call in calls] + [
        pytest.param(call, wrong, marks=[] if call == quick else [pytest.mark.slow]) for call, wrong in waits
    ]


@pytest.fixture
def engine(template: Job, private_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeEngine]:
    """A fake engine whose containers deliver the original's weights; every call to it may take 1.5 s."""
    path = private_tmp / "engine.sock"
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    monkeypatch.setattr(client, "TIMEOUT", 1.5)
    with fake_engine(path, template.weights) as fake:
        yield fake


def test_the_fake_engine_serves_a_whole_unit(engine: FakeEngine, make_job: Callable[..., Job]) -> None:
    outcome = load("docker").run(make_job(SOURCE), nullcontext())
    assert (outcome.status, outcome.reason, outcome.warnings) == ("ok", "", ())
    assert outcome.environment["engine"] == "fake"
    assert set(engine.calls) == set(CALLS) - {"list"}, "every call is exercised below"
    assert engine.containers == {}


def test_an_engine_without_control_groups_runs_no_unit(engine: FakeEngine, make_job: Callable[..., Job]) -> None:
    """As one without root on control groups v1 is: it accepts limits, reports them back and ignores them."""
    engine.info = {"MemoryLimit": False, "PidsLimit": False, "CPUSet": True}
    outcome = load("docker").run(make_job(SOURCE), nullcontext())
    assert outcome.status == "infra" and engine.containers == {}
    assert "no control over memory, pids" in outcome.reason and "; use an engine" in outcome.reason


@pytest.mark.parametrize("call, wrong", failures(BEFORE, "start"))
def test_an_engine_that_fails_before_the_weights_is_an_infra_error_with_a_remedy(
    engine: FakeEngine, make_job: Callable[..., Job], private_tmp: Path, call: str, wrong: str
) -> None:
    engine.bad = {call: wrong}
    outcome = load("docker").run(make_job(SOURCE), nullcontext())
    assert outcome.status == "infra"
    assert "docker info" in outcome.reason and "\n" not in outcome.reason
    assert list(private_tmp.glob("unlearn-bench-unit-*")) == []
    if wrong == "something broke":
        assert wrong in outcome.reason
        assert engine.containers == {}


@pytest.mark.parametrize("call, wrong", failures(AFTER, "remove"))
def test_weights_that_arrived_count_though_the_engine_fails_to_clean_up(
    engine: FakeEngine, make_job: Callable[..., Job], call: str, wrong: str
) -> None:
    class Clock:
        def __enter__(self) -> None:
            engine.bad = {call.partition(" ")[0]: wrong}

        def __exit__(self, *error: object) -> None: ...

    backend = load("docker")
    outcome = backend.run(make_job(SOURCE), Clock())  # type: ignore[arg-type]
    assert outcome.status == "ok" and outcome.weights is not None
    if call == "kill" and wrong == "something broke":
        assert outcome.warnings == (), "it has ended by itself, as wait tells"
        return
    assert len(outcome.warnings) == 1, outcome.warnings
    if call == "remove":
        (name,) = engine.containers
        refused = backend.run(make_job(SOURCE), nullcontext())
        assert refused.status == "infra", "no unit starts beside what may still run"
        assert set(engine.containers) == {name}
    engine.bad = {}
    assert backend.run(make_job(SOURCE), nullcontext()).warnings == ()
    assert engine.containers == {}, "what could not be removed goes before the next unit"


def test_silence_until_the_deadline_is_held_against_nobody_whose_engine_hangs(
    engine: FakeEngine, make_job: Callable[..., Job]
) -> None:
    engine.delivers = None
    assert load("docker").run(make_job(SOURCE, deadline=0.5), nullcontext()).status == "timeout"
    engine.bad = {"kill": "hang"}
    assert load("docker").run(make_job(SOURCE, deadline=0.5), nullcontext()).status == "infra"


def test_a_full_disk_of_the_engine_is_named(engine: FakeEngine, make_job: Callable[..., Job]) -> None:
    engine.bad = {"create": "write /var/lib/docker/containers/x: no space left on device"}
    reason = load("docker").run(make_job(SOURCE), nullcontext()).reason
    assert "engine's disk is full" in reason and "Docker Root Dir" in reason


@pytest.mark.parametrize(
    "wrong", [*(pytest.param(wrong, marks=pytest.mark.slow) for wrong in ("hang", "drip")), "something broke"]
)
def test_looking_for_an_engine_that_fails_ends_and_says_what_to_do(engine: FakeEngine, wrong: str) -> None:
    engine.bad = {"version": wrong, "list": wrong}
    reason = load("docker").unavailable(SPEC, "cpu")
    assert reason is not None and "; install Docker" in reason
    load("docker").reap()
    del engine.bad["version"]
    load("docker").reap()


def test_a_bounded_call_returns_raises_or_is_given_up() -> None:
    assert within(60, lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        within(60, lambda: 1 // 0)
    with pytest.raises(EngineSilent, match=r"0\.1 s"):
        within(0.1, lambda: time.sleep(60))


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB; needs root."""
    place = tmp_path / "tiny"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=1777", "tmpfs", str(place)]
    if os.getuid() != 0 or subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("FULL DISKS ARE NOT TESTED: mounting a small file system needs root")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["process", "docker"])
def test_a_full_temporary_folder_is_named_and_nothing_is_left(
    engine: FakeEngine, make_job: Callable[..., Job], tiny_disk: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tiny_disk))
    filler = tiny_disk / "filler"
    with pytest.raises(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    backend = load(name)
    outcome = backend.run(make_job(SOURCE), nullcontext())
    assert outcome.status == "infra"
    assert "is full" in outcome.reason and str(tiny_disk) in outcome.reason and "TMPDIR" in outcome.reason
    assert list(tiny_disk.iterdir()) == [filler]
    filler.unlink()
    assert backend.run(make_job(SOURCE), nullcontext()).status == "ok"
    assert list(tiny_disk.iterdir()) == []


HOLD = """
import sys, tempfile, time
from sandbox import stage

with stage.owned(sys.argv[1]) as folder:
    (folder / "in").mkdir()
    (folder / "in" / "entry.py").touch()
    print(folder, flush=True)
    time.sleep(600)
"""


def test_folders_of_a_killed_harness_are_reaped_and_those_of_the_living_are_not(private_tmp: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(private_tmp)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    theirs = Path(holder.stdout.readline().strip())
    stranger = private_tmp / "unrelated"
    stranger.mkdir()
    try:
        with stage.owned() as mine:
            assert stage.reap() == []
            assert mine.is_dir() and theirs.is_dir()
            holder.send_signal(signal.SIGKILL)
            holder.wait()
            assert load("process").reap() >= 1
            assert mine.is_dir() and not theirs.exists() and stranger.is_dir()
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    assert not mine.exists()


def test_a_link_in_the_place_of_a_folder_is_not_followed(private_tmp: Path) -> None:
    victim = private_tmp / "victim"
    victim.mkdir()
    (private_tmp / f"{stage.PREFIX}link").symlink_to(victim)
    stage.reap()
    assert victim.is_dir()
