"""A killed harness, a killed engine, a full disk: nothing finished is lost, nothing counts twice, nothing is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness.conftest import SMALL, run
from tests.harness.test_submit import FINE_TUNE
from tests.sandbox.private_engine import PrivateEngine, private_engine, skip_or_fail
from unlearn_bench.harness.entries.entry import read
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.errors import StoreError
from unlearn_bench.harness.units.slots import Slot
from unlearn_bench.harness.units.unit_kinds import SeedUnit
from unlearn_bench.harness.units.unit_run import ATTEMPTS, UnitContext, attempt
from unlearn_bench.sandbox.stage import PREFIX
from unlearn_bench.sandbox.types import Outcome


@pytest.fixture
def entry(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(FINE_TUNE)
    return path


def records(home: Path) -> dict[str, str]:
    """The records of ``mine``."""
    texts = {path.name: path.read_text() for path in (home / "units").rglob("*.json")}
    return {name: text for name, text in texts.items() if json.loads(text)["name"] == "mine"}


# the disk


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mount a file system of this size (mount's notation); needs root."""
    place = tmp_path / "disk"

    def mount(size: str) -> Path:
        place.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
        if os.getuid() != 0 or subprocess.run(command, capture_output=True).returncode != 0:
            pytest.skip("FULL DISKS ARE NOT TESTED: mounting a small file system needs root")
        return place

    yield mount
    if place.is_mount():
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(place: Path) -> Path:
    filler = place / "filler"
    with pytest.raises(OSError, match="No space left"), filler.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    return filler


def test_a_full_disk_leaves_nothing_half_written(tiny_disk: Callable[[str], Path]) -> None:
    store = Store(tiny_disk("256k"), behind=None)
    kept = store.put(b"before")
    store.write("kind", "name", {"version": 1})
    with pytest.raises(StoreError) as caught:
        store.put(b"x" * 2**20)
    assert "disk" in str(caught.value) and str(store.root) in str(caught.value) and "free" in caught.value.remedy
    filler = fill(store.root)
    with pytest.raises(StoreError):
        store.write("kind", "name", {"version": 2, "text": "y" * 8192})
    assert store.get(kept) == b"before"
    assert store.read("kind", "name") == {"version": 1}, "a document is replaced whole or not at all"
    filler.unlink()
    assert list(store.root.rglob("*.part")) == []
    store.write("kind", "name", {"version": 3})
    assert store.read("kind", "name") == {"version": 3}


@pytest.mark.slow
def test_submit_on_a_full_disk_names_it_and_goes_on_when_there_is_space(
    prepared: References, small: Path, entry: Path, tiny_disk: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tiny_disk("64m") / "home"
    subprocess.run(["cp", "-r", str(prepared.store.root), str(home)], check=True)
    monkeypatch.setenv("BENCH_HOME", str(home))
    command = ("submit", str(entry), "--track", str(small), "--sandbox", "process")
    assert run(*command, "--seeds", "1").exit_code == 0
    before = records(home)
    filler = fill(home)
    full = run(*command)
    assert full.exit_code == 20
    assert "disk" in full.stderr and str(home) in full.stderr and "whose:  this machine" in full.stderr
    assert records(home) == before
    assert list(home.rglob("*.part")) == []
    filler.unlink()
    assert run(*command).exit_code == 0
    after = records(home)
    assert len(after) == 2 and before.items() <= after.items(), "what was finished is not run again"


# attempts


class Failing:
    """A back end that fails ``times`` times through the machine's fault."""

    name, trusted = "failing", False

    def __init__(self, times: int, then: Outcome) -> None:
        self.left, self.then, self.runs = times, then, 0

    def unavailable(self, model: object, device: str) -> None: ...

    def reap(self) -> int:
        return 0

    def run(self, job: object, clock: object, stop: object = None) -> Outcome:
        self.runs += 1
        self.left -= 1
        return Outcome("infra", "the engine is away") if self.left >= 0 else self.then


@pytest.mark.parametrize("times, runs, status", [(0, 1, "crash"), (2, 3, "crash"), (5, ATTEMPTS, "infra")])
def test_a_unit_is_tried_again_at_most_twice(
    prepared: References, entry: Path, times: int, runs: int, status: str
) -> None:
    backend = Failing(times, Outcome("crash", "the entry's own"))
    bench = UnitContext(prepared, backend, run_id="attempts")
    _, outcome = attempt(bench, SeedUnit(read(entry), prepared.track, 0), Slot(), 1.0)
    assert (backend.runs, outcome.status) == (runs, status)


# a real engine


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateEngine]:
    with skip_or_fail(), private_engine(tmp_path_factory.mktemp("own") / "engine") as started:
        yield started


@pytest.fixture
def submit(
    prepared: References, tmp_path: Path, home: Path, entry: Path, engine: PrivateEngine, program: str
) -> Submit:
    """``bench submit mine.py`` with one seed in containers of the private engine; its unit takes a while."""
    track = tmp_path / "calm.toml"
    track.write_text(SMALL.replace("deadline_floor = 6", "deadline_floor = 120"))
    entry.write_text(FINE_TUNE.replace("    return model", "    import time\n    time.sleep(4)\n    return model"))
    command = [program, "submit", str(entry), "--track", str(track), "--seeds", "1"]
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    environment = {**os.environ, "BENCH_HOME": str(home), "DOCKER_HOST": engine.host, "TMPDIR": str(scratch)}
    return Submit([*command, "--sandbox", "docker"], environment, scratch, engine)


class Submit:
    def __init__(self, command: list[str], environment: dict[str, str], scratch: Path, engine: PrivateEngine) -> None:
        self.command, self.environment, self.scratch, self.engine = command, environment, scratch, engine

    def until_mid_unit(self) -> subprocess.Popen[str]:
        """Start it; it returns while the entry's unit runs."""
        process = subprocess.Popen(
            self.command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith(("the first unit", "units")):
                break
        while process.poll() is None and not self.engine.running():
            time.sleep(0.1)
        time.sleep(3)
        assert process.poll() is None, process.communicate()
        return process

    def to_the_end(self) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command, env=self.environment, capture_output=True, text=True)

    def left(self) -> list[str]:
        """Containers and folders of units."""
        return [*self.engine.containers(), *map(str, self.scratch.glob(f"{PREFIX}*"))]


@pytest.mark.docker
@pytest.mark.slow
def test_a_killed_harness_leaves_nothing_after_the_next_start(submit: Submit, home: Path) -> None:
    process = submit.until_mid_unit()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert records(home) == {}
    assert len(submit.left()) == 2, "its container and its folder are still there"
    done = submit.to_the_end()
    assert done.returncode == 0, done.stderr
    (text,) = records(home).values()
    assert json.loads(text)["status"] == "ok"
    assert submit.left() == []


@pytest.mark.docker
@pytest.mark.slow
def test_a_killed_engine_is_this_machine_s_failure_and_the_same_command_goes_on(submit: Submit, home: Path) -> None:
    process = submit.until_mid_unit()
    submit.engine.send(signal.SIGKILL)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 20, errors
    assert "infra" in errors and "docker info" in errors and "whose:  this machine" in errors
    assert records(home) == {}, "a failure of the machine is no result"
    submit.engine.start()
    done = submit.to_the_end()
    assert done.returncode == 0, done.stderr
    (text,) = records(home).values()
    assert json.loads(text)["status"] == "ok"
    assert submit.left() == []
