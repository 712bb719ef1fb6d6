"""The campaign of ``tests/benchmarks``: its list, its bundles, and that kills lose nothing and count nothing twice."""

from __future__ import annotations

import hashlib
import re
import shlex
import signal
import threading
import time
from collections import Counter
from dataclasses import replace
from multiprocessing import forkserver
from pathlib import Path

import pytest

import tests.benchmarks.campaign.__main__ as command
from tests.benchmarks.campaign import bundle, dry_run, plan
from tests.benchmarks.campaign.step import Run, Step
from tests.benchmarks.campaign.unit_steps import SeedUnits
from tests.harness import forked
from unlearn_bench.harness.entries.entry import baseline
from unlearn_bench.harness.executors import RunOptions, local
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import Role
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support import workers
from unlearn_bench.harness.support.errors import BenchError, DataError
from unlearn_bench.harness.units import unit_store
from unlearn_bench.harness.units.unit_kinds import SeedUnit
from unlearn_bench.harness.units.unit_run import unit_record
from unlearn_bench.sandbox.types import Outcome

NO_WEIGHTS: list[str] = []


def store_of(path: Path, **records: bytes) -> Store:
    """A store with a record for each name, which names a blob with this content."""
    store = Store(path, behind=None)
    for name, content in records.items():
        store.write("units/track", name, {"logits": store.put(content)})
    return store


def moved(store: Store, folder: Path, target: Path, limit: int = 10 * bundle.MIB) -> Store:
    """Another store, with what a bundle of this one brings."""
    bundle.write(folder, store.root, frozenset(), NO_WEIGHTS, limit, part=limit)
    other = Store(target, behind=None)
    bundle.unpack(folder, other)
    return other


def records(store: Store) -> set[str]:
    return {name for name, _ in store.all("units")}


def test_a_bundle_brings_records_and_what_they_name_to_another_store(tmp_path: Path) -> None:
    store = moved(store_of(tmp_path / "a", one=b"x", two=b"y"), tmp_path / "files", tmp_path / "b")
    assert records(store) == {"track/one", "track/two"}
    assert store.get(hashlib.sha256(b"x").hexdigest()) == b"x"


def test_a_record_whose_arrays_have_no_room_is_left_behind(tmp_path: Path) -> None:
    store = store_of(tmp_path / "a", large=b"x" * 3 * bundle.MIB, little=b"y")
    written = bundle.write(tmp_path / "files", store.root, frozenset(), NO_WEIGHTS, 2 * bundle.MIB, bundle.MIB)
    assert written.left_out == ("units/track/large.json",)
    other = Store(tmp_path / "b", behind=None)
    bundle.unpack(tmp_path / "files", other)
    assert records(other) == {"track/little"}


def test_what_came_in_a_bundle_goes_on_as_a_record_without_its_arrays(tmp_path: Path) -> None:
    store = moved(store_of(tmp_path / "a", old=b"x"), tmp_path / "files", tmp_path / "b")
    store.write("units/track", "new", {"logits": store.put(b"y")})
    earlier = bundle.unpack(tmp_path / "files", store)
    bundle.write(tmp_path / "more", store.root, earlier, NO_WEIGHTS, 10 * bundle.MIB, bundle.MIB)
    third = Store(tmp_path / "c", behind=None)
    bundle.unpack(tmp_path / "more", third)
    assert records(third) == {"track/old", "track/new"}
    assert [third.has(hashlib.sha256(content).hexdigest()) for content in (b"x", b"y")] == [False, True]


def test_a_bundle_is_unpacked_once_so_that_later_work_stays(tmp_path: Path) -> None:
    store = moved(store_of(tmp_path / "a", one=b"x"), tmp_path / "files", tmp_path / "b")
    store.write("units/track", "one", {"logits": store.put(b"later")})
    bundle.unpack(tmp_path / "files", store)
    assert store.read("units/track", "one") == {"logits": hashlib.sha256(b"later").hexdigest()}


def test_no_file_of_a_bundle_is_larger_than_a_part(tmp_path: Path) -> None:
    content = b"".join(hashlib.sha256(bytes([i % 256, i // 256])).digest() for i in range(4096))
    store = store_of(tmp_path / "a", one=content)
    bundle.write(tmp_path / "files", store.root, frozenset(), NO_WEIGHTS, 10 * bundle.MIB, part=50_000)
    sizes = [path.stat().st_size for path in (tmp_path / "files").iterdir()]
    assert len(sizes) == 4
    assert max(sizes) == 50_000
    assert records(moved(store, tmp_path / "files", tmp_path / "b")) == {"track/one"}


@pytest.mark.parametrize("damage", ["missing", "changed"])
def test_a_bundle_that_is_not_whole_is_refused(tmp_path: Path, damage: str) -> None:
    store = store_of(tmp_path / "a", one=b"x")
    bundle.write(tmp_path / "files", store.root, frozenset(), NO_WEIGHTS, 10 * bundle.MIB, bundle.MIB)
    part = next(path for path in (tmp_path / "files").iterdir() if path.name != bundle.INDEX)
    if damage == "missing":
        part.unlink()
    else:
        part.write_bytes(b"other")
    with pytest.raises(BenchError, match=r"not a whole bundle|does not match its digest"):
        bundle.unpack(tmp_path / "files", Store(tmp_path / "b", behind=None))


def campaign(*methods: str) -> Run:
    options = RunOptions()
    return Run(local.connect(options), local.connect(options), options, methods, trials=1)


def test_the_list_says_what_is_done_and_what_has_to_wait(prepared: References, small: Path) -> None:
    in_order = plan.steps(campaign("ft"), [str(small)])
    counts = {step.title: (step.total() - step.pending(), step.total()) for step in in_order}
    assert counts["reference models"] == (6, 6)
    assert counts["search"] == (0, 1)
    assert counts["seed units"] == (0, 4)
    assert counts["shadow units"] == (0, 8)
    assert [step.title for step in in_order if not step.obstacle()] == ["reference models", "search"]
    assert len(plan.table(in_order)) == 1 + len(in_order)


class Unavailable(Step):
    title, counted = "work", "units"

    def total(self) -> int:
        return 1

    def pending(self) -> int:
        return 1

    def seconds(self) -> float:
        return 1.0

    def work(self, left: object) -> None:
        raise DataError(f"{self.references.track.name} has no data", "get it")


def test_a_track_whose_data_is_missing_does_not_end_the_work_on_others(references: References) -> None:
    other = References(replace(references.track, name="other"), references.store)
    steps = [Unavailable(campaign(), each) for each in (references, references, other)]
    failures = plan.work(steps, lambda: 60.0)
    assert [error.message for error in failures] == ["small has no data", "other has no data"]


def test_units_on_a_model_that_was_trained_again_and_came_out_differently_run_again(prepared: References) -> None:
    store, track, original = prepared.store, prepared.track, Role("original", 0)
    for seed in (0, 1):
        unit_record(SeedUnit(baseline("ft"), track, seed), Outcome("ok"), None, True, {}).save(store)
    stored = prepared.manifest.roles[original.name]
    prepared.keep(original, replace(stored, logits="0" * 64))  # of a training elsewhere, whose files are not here
    assert SeedUnits(campaign("ft"), prepared).train([original], lambda: 60.0)
    assert prepared.manifest.roles[original.name].logits == stored.logits
    seeds = [record.seed for record in unit_store.seed_records(store, track) if record.name == "ft"]
    assert seeds == [1]


def sleep_on(ignored: bool) -> None:
    if ignored:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    time.sleep(3600)


@pytest.mark.parametrize("ignored", [False, True])
def test_a_session_ends_although_its_work_does_not(small: Path, monkeypatch: pytest.MonkeyPatch, ignored: bool) -> None:
    monkeypatch.setattr(command, "GRACE", 0.2)
    monkeypatch.setattr(plan, "work", lambda steps, left: sleep_on(ignored))
    options = command.parsed(["--tracks", str(small)])
    assert command.watch(options, frozenset(), time.monotonic() + 2, threading.Event()) == 0


def test_a_session_ends_when_there_is_as_much_to_bring_back_as_is_allowed(
    small: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(command, "LOOK", 0.0)
    monkeypatch.setattr(plan, "work", lambda steps, left: sleep_on(False))
    store_of(Store().root, one=b"x" * bundle.MIB)
    options = command.parsed(["--tracks", str(small), "--out", str(tmp_path / "files"), "--max-mib", "1"])
    assert command.watch(options, frozenset(), time.monotonic() + 3600, threading.Event()) == 0


def test_work_that_fails_decides_the_exit_code(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "work", lambda steps, left: [DataError("there is no data", "get it")])
    options = command.parsed(["--tracks", str(small)])
    code = command.watch(options, frozenset(), time.monotonic() + 3600, threading.Event())
    assert code == DataError("", "").exit_code


def test_the_commands_of_the_readme_can_be_typed() -> None:
    text = (Path(dry_run.__file__).parents[1] / "README.md").read_text()
    lines = re.findall(r"^python -m tests.benchmarks.campaign (.*)$", text, re.M)
    assert len(lines) == 4
    for line in lines:
        command.parsed(shlex.split(line, comments=True))


def test_differences_name_what_is_missing_in_excess_or_double() -> None:
    unit = ("track", "ft", 0)
    whole = dry_run.Contents(frozenset({"units/a"}), frozenset({"m"}), Counter([unit]), Counter({"j": 2}))
    assert dry_run.differences(whole, whole) == []
    for other in (
        replace(whole, documents=frozenset()),
        replace(whole, models=frozenset({"m", "n"})),
        replace(whole, units=Counter([unit, unit])),
        replace(whole, trials=Counter({"j": 3})),
    ):
        assert len(dry_run.differences(whole, other)) == 1


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_kills_and_moves_to_other_machines_lose_nothing_and_count_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh_processes: None
) -> None:
    monkeypatch.setattr(workers, "WorkerContext", forked.get_context)  # units on the clock start as the product's do
    forked.get_context()
    forkserver.ensure_running()
    monkeypatch.setattr(forkserver._forkserver, "ensure_running", lambda: None)  # for sessions, which share the server
    arguments = ["--tracks", *dry_run.write_tracks(tmp_path, 1), "--methods", "ft", "--trials", "1"]
    arguments += ["--sandbox", "process"]
    trial = dry_run.Trial(tmp_path, tuple(arguments))
    assert dry_run.drive(trial, dry_run.Breaks(machines=1, kills=2, seconds=(5.0, 30.0), seed=0)) == []
