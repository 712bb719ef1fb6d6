"""Probes of finished models, right after their units: which models have still to be looked at, and what that costs."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from unlearn_bench.harness.executors import RunOptions
from unlearn_bench.harness.probes import panel, stored
from unlearn_bench.harness.probes.panel import InvalidProbe, Probe
from unlearn_bench.harness.probes.stored import ProbeResult
from unlearn_bench.harness.probes.work import Found, ProbedSubject, Task, side_by_side
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import Role, RoleKind
from unlearn_bench.harness.support.errors import USAGE, BenchError
from unlearn_bench.harness.support.progress import Observer, span
from unlearn_bench.harness.units import result_names, unit_store, unlearned_weights
from unlearn_bench.harness.units.records import Record
from unlearn_bench.harness.units.sandbox_choice import device_name
from unlearn_bench.harness.units.unit_kinds import SeedUnit

logger = logging.getLogger(__name__)

SUBJECTS: tuple[RoleKind, ...] = ("original", "retrained", "null")
"""Reference models that every probe looks at, too."""
EPOCHS = 19
"""The panel on one model costs as much as so many epochs of its training: 3.1 against 0.165 CPU s on digits-class, the
medians of 110 models (2026-11-30, 2 cores). For the estimate of a track that has not been probed."""


@dataclass(frozen=True)
class ProbeNumbers:
    """Numbers of one probe on every model that it could look at."""

    probe: str
    title: str
    entries: dict[str, list[dict[str, float]]]
    """By name of the entry, or ``original``, ``retrain`` or ``null``; one mapping per model, in the order of seeds."""
    faults: tuple[str, ...]
    """Of models of which it found no numbers."""


def require_references(references: References, own: bool = False, again: bool = False) -> None:
    """Raise ``BenchError`` unless the store has the weights of the models that probes compare with.

    Only probes of retrained and null models load those of null models: where the panel's are done, they may be missing.

    Args:
        references: of the track.
        own: a probe of the user's own is to run.
        again: probes that failed are to run again.
    """
    track = references.track
    if not references.has_null:
        what = f"the reference models of {track.name} have no second retrained model, the null of every probe"
        raise BenchError(what, "your command", "do without --probes, or import null models, too", USAGE)
    for kind in SUBJECTS:
        for seed in range(track.protocol.seeds):
            done = kind == "null" and not own and _references_done(references, seed, again)
            if not done and not references.has_weights(Role(kind, seed)):
                what = f"the store has no weights of {kind}/{seed} of {track.name}, and probes compare with them"
                remedy = f"train the reference models here: bench prepare {track.name} --from-scratch"
                raise BenchError(what, "your command", remedy, USAGE)


def _references_done(references: References, seed: int, again: bool) -> bool:
    names = [result_names.of_reference(references, kind, seed) for kind in SUBJECTS if kind != "original"]
    return not any(_missing(references, name, again) for name in names)


def lacking(references: References, options: RunOptions, probes: bool) -> Callable[[SeedUnit], bool]:
    """Return whether a finished unit has to run again for its weights, which are to be kept or looked at."""
    store, track = references.store, references.track

    def lacks(unit: SeedUnit) -> bool:
        if unit.entry.kind == "reference":
            return False
        if options.keep_weights is not None and unlearned_weights.find_kept(store, track, unit.key) is None:
            return True
        record = unit_store.find(store, unit) if probes else None
        if record is None or unlearned_weights.available(store, track, unit.key):
            return False
        return bool(_missing(references, result_names.of_unit(references, record)))

    return lacks


def run_probes(references: References, records: Sequence[Record], options: RunOptions) -> None:
    """Run the panel's missing probes on finished units and on the reference models, and keep what they find.

    It says first what that costs. A probe that fails is named, and the others stand; on a sealed track it is named
    without the seed and the reason. Weights that were held for the probes are removed. Ctrl-C keeps what is finished.

    Args:
        references: of the track.
        records: finished units, whose weights are kept or held.
        options: the device; ``again`` also runs the probes that failed.
    """
    require_references(references, again=options.again)
    store, track = references.store, references.track
    subjects = [ProbedSubject(seed, kind=kind) for seed in range(track.protocol.seeds) for kind in SUBJECTS]
    finished = [record for record in records if record.status == "ok"]
    subjects += [
        ProbedSubject(record.seed, record.key)
        for record in finished
        if unlearned_weights.available(store, track, record.key)
    ]
    by_key = {record.key: record for record in finished}
    places = {each: _name(references, each, by_key) for each in subjects}
    tasks = [Task(each, tuple(_missing(references, places[each], options.again))) for each in subjects]
    tasks = sorted((task for task in tasks if task.probes), key=lambda task: task.subject.seed)
    names = {record.key: f"{record.name}, seed {record.seed}" for record in finished}
    if tasks:
        seconds = _seconds(references) * sum(len(task.probes) for task in tasks)
        logger.info("probes: %d models, about %s of CPU time", len(tasks), span(seconds))
    for task, results in _observed(references, tasks, options.gpu, options.observer, "probes"):
        kept = {name: _result(references, panel.load(name), found) for name, found in results.items()}
        stored.write(store, track, places[task.subject], kept)
        for result in kept.values():
            if result.fault:
                subject = names.get(task.subject.key) or f"{task.subject.kind}/{task.subject.seed}"
                logger.warning(f"{result.title} failed" if track.sealed else f"{subject}: {result.fault}")
    for record in finished:
        unlearned_weights.release(store, record.key)


def measure_with(
    references: References, records: Sequence[Record], file: str, gpu: int | None, observer: Observer
) -> ProbeNumbers:
    """Run a probe of the user's own on the reference models and on units whose weights are kept; nothing is stored.

    Args:
        references: of the track.
        records: finished units; those without weights are left out.
        file: a Python file with ``probe(context)``, or the name of a probe of the panel.
        gpu: index of a CUDA device.
        observer: receives the progress.

    Raises:
        BenchError: an invalid probe, or no weights.
    """
    require_references(references, own=True)
    try:
        probe = panel.named(file)
    except InvalidProbe as error:
        raise BenchError(str(error), "your command", "see docs/probes.md", USAGE) from None
    store, track = references.store, references.track
    subjects = {ProbedSubject(seed, kind=kind): kind for seed in range(track.protocol.seeds) for kind in SUBJECTS}
    named = {subject: {"retrained": "retrain"}.get(kind, kind) for subject, kind in subjects.items()}
    for record in records:
        if record.status == "ok" and unlearned_weights.available(store, track, record.key):
            named[ProbedSubject(record.seed, record.key)] = record.name
    if len(named) == len(subjects):
        what = f"the store has no weights of unlearned models of {track.name}, which probes look at"
        raise BenchError(what, "your command", "run `bench submit --keep-weights` or `bench baselines` with it", USAGE)
    tasks = sorted((Task(subject, (file,)) for subject in named), key=lambda task: task.subject.seed)
    found = [
        (task.subject, results[file]) for task, results in _observed(references, tasks, gpu, observer, probe.title)
    ]
    entries: dict[str, list[dict[str, float]]] = {}
    faults = []
    for subject, result in sorted(found, key=lambda item: (named[item[0]], item[0].seed)):
        if result.fault:
            faults.append(f"{named[subject]}, seed {subject.seed}: {result.fault}")
        else:
            entries.setdefault(named[subject], []).append(result.numbers)
    return ProbeNumbers(probe.name, probe.title, entries, tuple(faults))


def renumber(references: References) -> int:
    """Compute the numbers of the panel's probes again from the arrays that they returned; return how many models."""
    store, track = references.store, references.track
    models = stored.read_all(store, track)
    for name, model in models.items():
        results = {}
        for probe_name, result in model.results.items():
            if result.arrays is not None and probe_name in panel.names() and store.has(result.arrays):
                probe = panel.load(probe_name)
                found = Found({}, probe.numbers(stored.get_arrays(store, result.arrays)), result.cpu_seconds)
                results[probe_name] = _result(references, probe, found, result.arrays)
        if results:
            stored.write(store, track, name, results)
    return len(models)


def _observed(
    references: References, tasks: Sequence[Task], gpu: int | None, observer: Observer, title: str
) -> Iterator[tuple[Task, dict[str, Found]]]:
    if not tasks:
        return
    device, deadline = device_name(gpu), references.track.analysis.probes.deadline
    with observer.progress(title, len(tasks), "models") as progress:
        for outcome in side_by_side(references, tasks, device, deadline):
            yield outcome
            progress.step()


def _missing(references: References, name: str, again: bool = False) -> list[str]:
    """Return the probes of the panel that have not looked at a model as they are now; with ``again`` failed ones."""
    results = stored.read(references.store, references.track, name).results

    def done(probe: str) -> bool:
        result = results.get(probe)
        return result is not None and result.source == _digest(panel.load(probe)) and not (again and result.fault)

    return [probe for probe in panel.names() if not done(probe)]


def _result(references: References, probe: Probe, found: Found, arrays: str | None = None) -> ProbeResult:
    if found.arrays:
        arrays = stored.put_arrays(references.store, found.arrays)
    return ProbeResult(
        title=probe.title,
        headline=next(iter(found.numbers), ""),
        evidence=probe.evidence_in(found.numbers) or "",
        numbers=found.numbers,
        source=_digest(probe),
        arrays=arrays,
        fault=found.fault,
        cpu_seconds=None if found.cpu_seconds is None else round(found.cpu_seconds, 3),
    )


def _name(references: References, subject: ProbedSubject, records: Mapping[str, Record]) -> str:
    if subject.kind is None:
        return result_names.of_unit(references, records[subject.key])
    return result_names.of_reference(references, subject.kind, subject.seed)


def _seconds(references: References) -> float:
    """Return what one probe of one model costs in CPU seconds: as measured on this track, else by its training."""
    models = stored.read_all(references.store, references.track).values()
    measured = [r.cpu_seconds for model in models for r in model.results.values() if r.cpu_seconds is not None]
    if measured:
        return sum(measured) / len(measured)
    trained = references.manifest.roles[Role("retrained", 0).name].cpu_seconds or 0.0
    return trained / references.track.recipe.epochs * EPOCHS / len(panel.names())


@cache
def _digest(probe: Probe) -> str:
    return hashlib.sha256(probe.source.encode()).hexdigest()
