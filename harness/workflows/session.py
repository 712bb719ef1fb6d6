"""What the commands that run entries have in common: references, sandbox, slots, and the ends of a run."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from itertools import chain
from pathlib import Path

from unlearn_bench.harness.entries.entry import Entry, baseline, read
from unlearn_bench.harness.executors.choice import current
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import Role, roles, shadow_roles, swap_roles
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.errors import EXIT_CODES, USAGE, BenchError
from unlearn_bench.harness.support.files import write_file
from unlearn_bench.harness.support.progress import Bar, span
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.harness.units import (
    disclosure,
    entry_sources,
    probe_units,
    shadow_units,
    swap_units,
    timed_units,
    unit_store,
)
from unlearn_bench.harness.units.blame import BLAME
from unlearn_bench.harness.units.records import Record, ShadowRecord
from unlearn_bench.harness.units.runner import Runner, UntimedResult
from unlearn_bench.harness.units.sandbox_choice import choose_sandbox, device_name
from unlearn_bench.harness.units.sandbox_runner import SandboxRunner
from unlearn_bench.harness.units.slots import timed_slots
from unlearn_bench.harness.units.unit_kinds import SeedUnit, Unit
from unlearn_bench.harness.units.unit_progress import UnitProgress
from unlearn_bench.harness.units.unit_run import UnitContext
from unlearn_bench.harness.units.worker_runner import WorkerRunner

logger = logging.getLogger(__name__)


def open_references(track: Track, gpu: int | None = None) -> References:
    """A track's references, trained where they lack (on ``gpu``, if given), every file read against its digest."""
    import torch

    torch.set_num_threads(1)
    references = References(track, Store())
    train_missing(references, roles(track), None, _gpus(gpu))
    for _ in references.verify():  # a damaged file is named before anything runs
        pass
    return references


def find_entry(name: str) -> Entry:
    """A submission by its path, or a shipped method by its name."""
    return read(Path(name)) if name.endswith(".py") else baseline(name)


def nothing_to_tune(entry: Entry) -> BenchError:
    return BenchError(
        f"{entry.name} declares no SEARCH_SPACE", "your method", "declare one; see submissions/README.md", USAGE
    )


def open_bench(track: Track, sandbox: str, gpu: int | None) -> tuple[UnitContext, str]:
    """References (trained where they lack) and the sandbox, with one line that says which it is.

    Raises:
        BenchError: no usable sandbox, a data set that is missing, a damaged store.
    """
    if (cluster := current()) is not None:
        return cluster.bench(open_references(track, gpu), sandbox, gpu is not None)
    backend, line = choose_sandbox(track, sandbox, gpu)
    return UnitContext(open_references(track, gpu), backend, run_id=secrets.token_hex(8)), line


def open_runner(
    references: References, entries: Sequence[Entry], sandbox: str, gpu: int | None = None
) -> tuple[AbstractContextManager[Runner], str]:
    """What runs untimed units of these entries, and one line that says which it is.

    With ``auto``, files that ship with the benchmark run in worker processes: their source is known.
    Everything else runs in the sandbox of that name.

    Raises:
        BenchError: no usable sandbox.
    """
    if (cluster := current()) is not None:
        return cluster.runner(references, entries, sandbox, gpu is not None)
    if sandbox == "auto" and all(entry.kind != "entry" for entry in entries):
        where = _here(_gpus(gpu))
        return WorkerRunner(
            references.track, *where
        ), "untimed units of shipped methods: in worker processes, without a sandbox"
    backend, line = choose_sandbox(references.track, sandbox, gpu)
    bench = UnitContext(references, backend, run_id=secrets.token_hex(8))
    return nullcontext(SandboxRunner(bench, device_name(gpu))), line


def _here(gpus: Sequence[int]) -> list[str]:
    """Names of these GPUs for torch in this process.

    Raises:
        BenchError: one is absent; it is never replaced by the CPU.
    """
    if gpus:
        import torch

        for gpu in gpus:
            if gpu >= torch.cuda.device_count():
                what = f"torch sees no CUDA device {gpu} on this machine"
                raise BenchError(what, "this machine", f"run `bench doctor --gpu {gpu}`", EXIT_CODES["infra"])
    return [device_name(gpu) for gpu in dict.fromkeys(gpus)]


def _gpus(gpu: int | None) -> tuple[int, ...]:
    return () if gpu is None else (gpu,)


def train_missing(
    references: References,
    wanted: Sequence[Role],
    workers: int | None = None,
    gpus: Sequence[int] = (),
    in_flight: int | None = None,
) -> None:
    """Announce the cost of the ``wanted`` reference models that lack, and train them with a progress bar.

    One command at a time: another one waits, and then trains what still lacks.
    """
    track = references.track
    if not references.missing(wanted):
        return
    with references.store.lock(f"training-{track.reference_digest}", f"trains reference models of {track.name}"):
        if references.missing(wanted):
            _train(references, wanted, workers, gpus, in_flight)


def _train(
    references: References, wanted: Sequence[Role], workers: int | None, gpus: Sequence[int], in_flight: int | None
) -> None:
    from unlearn_bench.harness.training.plan import plan_training
    from unlearn_bench.harness.training.run import run_plan

    cluster, devices = current(), _here(gpus)
    if cluster is not None:
        workers = workers or cluster.trainings(bool(gpus))
    elif devices:
        workers = len(devices)
    plan = plan_training(references, workers, wanted, devices, in_flight)
    track = references.track
    at_once = f"{plan.workers} at a time"
    if plan.devices:
        at_once = f"{plan.in_flight} in flight on {' and '.join(plan.devices)}"
    memory = "" if plan.memory is None else f", {plan.memory / 1e9:.1f} GB of GPU memory per model in flight"
    logger.info(
        f"{track.name}: {plan.models} reference models to train, {at_once}: "
        f"about {span(plan.seconds)}, {plan.disk / 1e6:.1f} MB of disk{memory}"
        + (f"; {plan.done} of {plan.epochs} epochs were done before an interruption" if plan.done else "")
    )
    if plan.compile_obstacle:
        logger.info("steps are not compiled, which would save time: %s", plan.compile_obstacle)
    references.store.needs_room(plan.disk)
    unit, pool = "GPU" if plan.devices else "CPU", None if cluster is None else cluster.train
    with (
        Bar(f"training {track.name}", plan.epochs, unit="epochs", done=plan.done) as bar,
        closing(run_plan(references, plan, lambda count: bar.at(plan.done + count), pool)) as models,
    ):
        for trained in models:
            bar.line(f"trained {trained.role.name} in {trained.seconds:.1f} {unit} s")


def needs_shadows(track: Track) -> None:
    """Raises ``BenchError`` for a track that declares no U-LiRA protocol."""
    if not track.protocol.lira_splits:
        raise BenchError(
            f"track {track.name} declares no U-LiRA protocol",
            "your command",
            "use a track that does (see `bench tracks`), or set protocol.lira_splits and lira_forget_sets in your own",
            USAGE,
        )


def run_shadows(
    references: References,
    entries: Sequence[Entry],
    sandbox: str,
    gpu: int | None,
    narrow: float | None,
    again: bool,
) -> list[ShadowRecord]:
    """Run the shadow units that these entries lack, shadow models first; says the cost before.

    A failed run is left alone unless ``again`` asks for it. Ctrl-C keeps what is finished.
    """
    track = references.track
    needs_shadows(track)
    train_missing(references, shadow_roles(track), None, _gpus(gpu))
    shadow_units.reference_rows(references)
    total = track.protocol.lira_splits // 2
    found = {entry.id: shadow_units.find(references, entry) for entry in entries}
    todo = []
    for entry in entries:
        known = found[entry.id]
        done = known is not None and (known.status != "ok" or known.pairs == total or known.narrow == narrow)
        if not done or (again and known is not None and known.status != "ok"):
            todo.append(entry)
    if not todo:
        return [record for record in found.values() if record is not None]
    opened, line = open_runner(references, todo, sandbox, gpu)
    logger.info(line)
    with opened as runner:
        probes = {entry.id: probe_units.pending(references, entry) for entry in todo}
        waiting = {entry.id: shadow_units.pending(references, entry) for entry in todo}
        count = sum(map(len, waiting.values()))
        costs = [shadow_units.estimate(references, units, runner) for units in waiting.values()]
        cost = "" if None in costs else f": about {span(sum(s for s in costs if s is not None))}"
        logger.info("U-LiRA: %d shadow units, %d at a time%s", count, runner.at_once, cost)
        with Bar("shadow units", count + sum(map(len, probes.values())), "units") as bar:
            for entry in todo:
                for unit, result in probe_units.measure(references, probes[entry.id], runner):
                    bar.step()
                    if result.status != "ok":
                        record = shadow_units.failed(references, entry, runner, unit, result)
                        break
                else:
                    record = shadow_units.run(references, entry, runner, narrow, lambda unit, result: bar.step())
                found[entry.id] = record
                ended = disclosure.said(track, record.status, record.reason)
                bar.line(f"{entry.name}: {ended}, {record.pairs} of {total} pairs of splits")
    return [record for record in found.values() if record is not None]


def run_swaps(references: References, entries: Sequence[Entry], sandbox: str, gpu: int | None) -> None:
    """Run the swapped units that these entries lack, their originals first; the first failure ends it.

    Raises:
        BenchError: a unit failed.
    """
    train_missing(references, swap_roles(references.track), None, _gpus(gpu))
    todo = [unit for entry in entries for unit in swap_units.pending(references, entry)]
    if not todo:
        return
    probes = [unit for entry in entries for unit in probe_units.pending(references, entry)]
    opened, line = open_runner(references, entries, sandbox, gpu)
    logger.info(line)
    with opened as runner, Bar("swapped units", len(probes) + len(todo), "units") as bar:
        measured = probe_units.measure(references, probes, runner)
        for unit, result in chain[tuple[Unit, UntimedResult]](measured, swap_units.run(references, todo, runner)):
            bar.step()
            label = unit.entry.name if unit.track.sealed else unit.label
            ended = disclosure.said(unit.track, result.status, result.reason)
            bar.line(f"{label} {ended}")
            if result.status != "ok":
                whose, remedy = BLAME[result.status]
                raise BenchError(f"{label}: {ended}", whose, remedy, EXIT_CODES[result.status])


def execute(bench: UnitContext, todo: Sequence[SeedUnit], gpu: int | None, *, keep: bool = True) -> list[Record]:
    """Run units with progress. Ctrl-C stops what runs and keeps what is finished."""
    if not todo:
        return []
    slots = bench.slots or timed_slots(bench.references.store, device_name(gpu))
    return timed_units.run(bench, todo, slots, UnitProgress(), keep=keep)


def run_seeds(
    bench: UnitContext, entry: Entry, seeds: Sequence[int], gpu: int | None, again: bool = False
) -> dict[int, Record]:
    """Run what lacks of an entry's seed units, and keep its source with them; every record that there is, by seed."""
    store, track = bench.references.store, bench.references.track
    entry_sources.keep(store, entry)
    done = execute(bench, timed_units.pending(store, entry, track, seeds, again), gpu)
    stored = [unit_store.find(store, SeedUnit(entry, track, seed)) for seed in seeds]
    found = {record.seed: record for record in [*(one for one in stored if one is not None), *done]}
    return dict(sorted(found.items()))


def failure(store: Store, track: Track, record: Record | ShadowRecord) -> BenchError:
    """The three lines and the exit code for a unit that failed, with its log in a file.

    On a sealed track the status is all.
    """
    whose, remedy = BLAME[record.status]
    if track.sealed:
        remedy = remedy if whose == "this machine" else "find it on a public track; a sealed one says no more"
        return BenchError(f"{record.name}: {record.status}", whose, remedy, EXIT_CODES[record.status])
    place = f"seed {record.seed}" if isinstance(record, Record) else record.failed
    log = ""
    if record.log:
        path = store.root / "logs" / f"{record.name}-{place.replace(' ', '-')}-{record.entry[:8]}.txt"
        write_file(path, record.log.encode() + b"\n")
        log = str(path)
    what = f"{record.name}, {place}: {record.status}: {record.reason}"
    return BenchError(what, whose, remedy, EXIT_CODES[record.status], log)
