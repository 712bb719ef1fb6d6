"""A store of its own for every test, and a track small enough to train in seconds."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

from tests.harness import forked, warm_command
from tests.harness.sealed_track import sealed_track
from unlearn_bench.harness.cli import bench
from unlearn_bench.harness.entries.entry import retrain
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.store import documents
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.hardware import machine_id
from unlearn_bench.harness.support.progress import Observer, Unobserved
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.harness.units import core_interference, disturbance, retrain_times
from unlearn_bench.harness.units.core_interference import Interference
from unlearn_bench.harness.units.records import track_folder
from unlearn_bench.harness.units.retrain_times import TimesNow, look
from unlearn_bench.harness.units.slots import Slot
from unlearn_bench.harness.units.unit_kinds import SeedUnit
from unlearn_bench.harness.units.unit_run import UnitContext

SMALL = """
[data]
name = "digits"
classes = 10
image_size = 8
rotation_seed = 123
mean = [0.2652]
std = [0.3205]

[splits]
rule = "per-seed"
seed = 5
retain = 192
forget = 64
val = 64
test = 128

[model]
name = "resnet18_narrow"
width = 8
channels = 1

[recipe]
epochs = 5
batch_size = 16
lr = 0.1
schedule = "one-cycle"
seed = 1
weights = "float16"

[protocol]
seeds = 2
seed = 2
memory_mib = 1600
deadline_floor = 6
lira_splits = 4
lira_forget_sets = 2
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty user's store; what ships stays behind it."""
    place = tmp_path / "home"
    monkeypatch.setenv("BENCH_HOME", str(place))
    monkeypatch.setenv("BENCH_LOCKS", str(tmp_path / "locks"))
    monkeypatch.delenv("BENCH_DATA", raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    return place


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """As worker processes have it: tests run side by side, and threads that wait for one another stop each other."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def interruptible() -> None:
    """Let commands that tests start receive Ctrl-C, which a shell makes its background jobs ignore."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def warm_processes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fork units of ``process`` and workers from a server that has torch; ``fresh_processes`` says not to."""
    if "fresh_processes" not in request.fixturenames:
        forked.install(monkeypatch)


@pytest.fixture
def fresh_processes() -> None:
    """Start units and workers as the product does."""


@pytest.fixture(autouse=True)
def retrain_measured_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Believe Retrain's times that a store has of the back end; ``retrain_looked_at`` says not to."""
    if "retrain_looked_at" not in request.fixturenames:
        monkeypatch.setattr(retrain_times, "look", measured_once)


@pytest.fixture(autouse=True)
def unwatched_clock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Believe every time: tests run side by side on the cores of timed units; ``watched_clock`` says not to."""
    if "watched_clock" not in request.fixturenames:
        monkeypatch.setattr(disturbance, "account", no_account)


@pytest.fixture(autouse=True)
def quiet_neighbours(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Believe that busy cores do not disturb each other; ``measured_neighbours`` says not to."""
    if "measured_neighbours" not in request.fixturenames:
        monkeypatch.setattr(core_interference, "neighbours_cost", no_cost)


@pytest.fixture
def measured_neighbours() -> None:
    """Measure in a new store how much cores disturb each other, as the product does, for ten seconds."""


def no_cost(cores: Sequence[int]) -> float:
    """Stand in for ``core_interference.neighbours_cost``."""
    return 0.0


def no_account(cores: Sequence[int]) -> None:
    """Stand in for ``disturbance.account`` where the kernel keeps none."""


def believe_every_time() -> None:
    """Do what ``unwatched_clock`` and ``quiet_neighbours`` do, in a program of its own."""
    disturbance.account = no_account
    core_interference.neighbours_cost = no_cost


def believe_stored_times() -> None:
    """Do that and what ``retrain_measured_once`` does, in a program of its own."""
    believe_every_time()
    retrain_times.look = measured_once


@pytest.fixture
def watched_clock() -> None:
    """Judge the clock of timed units, as the product does."""


@pytest.fixture
def retrain_looked_at() -> None:
    """Repeat two seeds of Retrain in every command, as the product does."""


def measured_once(context: UnitContext, slots: Sequence[Slot], observer: Observer, seeds: Collection[int]) -> TimesNow:
    """Stand in for ``retrain_times.look``: believe what the store has of the back end."""
    track, store = context.references.track, context.references.store
    kind = f"retrain/{track_folder(track)}"
    for _, times in documents.read_all(store, kind, retrain_times.RetrainTimes):
        if times.environment["backend"] == context.sandbox.name:
            known = {int(seed): seconds for seed, seconds in times.seconds.items()}
            missing = [SeedUnit(retrain(track), track, seed) for seed in sorted(seeds) if seed not in known]
            return TimesNow(known, missing=tuple(missing))
    return look(context, slots, observer, seeds)


def measured_retrain(context: UnitContext) -> TimesNow:
    """Retrain's times once this command has measured what it has to."""
    times = look(context, [Slot()], Unobserved(), range(context.references.track.protocol.seeds))
    for unit in times.missing:
        times = retrain_times.add(context, times, retrain_times.run(context, unit, Slot()))
    return times


@pytest.fixture
def program(tmp_path: Path) -> Iterator[str]:
    """The command as a program that starts at once: what a test kills, or starts beside another."""
    path = tmp_path / "bench"
    with warm_command.program(path, believe_stored_times):
        yield str(path)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """The file of a tiny track."""
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return path


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that ``make`` fills once per test run, whichever of the parallel workers comes first."""
    base = factory.getbasetemp()
    place = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    with place.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "done").exists():
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            (place / "small.toml").write_text(SMALL)
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("BENCH_HOME", str(place / "home"))
                patch.setenv("BENCH_LOCKS", str(place / "locks"))
                patch.setattr(retrain_times, "look", measured_once)
                patch.setattr(disturbance, "account", no_account)
                patch.setattr(core_interference, "neighbours_cost", no_cost)
                forked.install(patch)
                make(place)
            (place / "done").touch()
    return place / "home"


def undisturbed() -> None:
    """Let the store know that busy cores do not disturb each other, which would take ten seconds to measure."""
    documents.write(Store(), "machines", machine_id(), Interference(len(os.sched_getaffinity(0)), 0.0))


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which the tiny track's references are trained, by the command, and Retrain's time is known; to be
    copied, not changed."""

    def make(place: Path) -> None:
        undisturbed()
        result = run("prepare", str(place / "small.toml"))
        assert result.exit_code == 0, result.output
        assert "6 reference models to train, " in result.stderr
        assert "6 of 6 reference models, every file verified" in result.stdout
        references = References(load_track(str(place / "small.toml")), Store())
        measured_retrain(UnitContext(references, forked.WarmUnits(), "trained"))
        shutil.rmtree(place / "home" / "inputs")

    return once(tmp_path_factory, "trained", make)


@pytest.fixture
def prepared(trained: Path, home: Path, references: References) -> References:
    """References of the tiny track, trained."""
    shutil.copytree(trained, home)
    return references


@pytest.fixture
def cup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of the tiny track, sealed, with a quota of two; its secret lies in ``BENCH_SECRETS``."""
    return sealed_track(SMALL, tmp_path, monkeypatch)


@pytest.fixture
def small_track(small: Path) -> Track:
    return load_track(str(small))


@pytest.fixture
def references(small_track: Track) -> References:
    """References of the tiny track, in the test's own store, not trained yet."""
    return References(small_track, Store())


def with_recipe(track: Track, **changes: object) -> References:
    """References of a track that differs in its recipe, in the test's own store."""
    return References(replace(track, recipe=replace(track.recipe, **changes)), Store())  # type: ignore[arg-type]


def run(*arguments: str, env: dict[str, str] | None = None) -> Result:
    """Run a command in this process, with these environment variables on top."""
    return CliRunner(env=env).invoke(bench, list(arguments), catch_exceptions=False)
