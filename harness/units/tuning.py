"""Hyper-parameter search with an equal budget for every entry (paper section 4, equations 5 and 6)."""

from __future__ import annotations

import datetime
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from unlearn_bench.harness.entries import values
from unlearn_bench.harness.entries.entry import ORACLE_FREE, Entry
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import tuning_shadows
from unlearn_bench.harness.store import documents
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.digests import digest
from unlearn_bench.harness.support.seeds import derive
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.harness.units import search_space
from unlearn_bench.harness.units.runner import Runner, UntimedResult, deadline
from unlearn_bench.harness.units.unit_kinds import ShadowUnit, TuningUnit, Unit
from unlearn_bench.scoring.accuracy import Accuracies, accuracies, cross_entropy
from unlearn_bench.scoring.temperature import collapse, scaled
from unlearn_bench.scoring.umia import discernibility, umia

if TYPE_CHECKING:
    import optuna

    from unlearn_bench.harness.units.study_journal import StudyJournal

Objective = Literal["paper", "oracle-free"]
Setting = Literal["seed", "shadow"]
WORST = 2.0
"""Loss of a unit that failed: ⅓ + ⅓ + ⅓ + 1, the largest that a working one can have."""
PARAMETERS = 5
"""A track's number of trials is for spaces of up to this many parameters."""
LATE_GAIN = 0.01
"""A search whose last third lowers its loss by more has not converged."""
TUNED = Path(__file__).parents[2] / "baselines" / "tuned"


@dataclass(frozen=True)
class Losses:
    """The four terms that are minimised (equations 5–6, α = β = γ = ⅓, η = 1), and their sum."""

    retain: float
    forget: float
    val: float
    val_mia: float

    @property
    def total(self) -> float:
        """Sum of the four terms."""
        return self.retain + self.forget + self.val + self.val_mia


@dataclass(frozen=True)
class Trial:
    """One configuration with its loss, averaged over the tuning seeds."""

    number: int
    parameters: Mapping[str, Any]
    loss: float
    statuses: tuple[str, ...]
    cpu_seconds: float


@dataclass(frozen=True)
class SearchChoice:
    """What a search chose, and what it cost."""

    entry: str
    sha256: str
    """SHA-256 of the entry's source."""
    track: str
    objective: Objective
    parameters: Mapping[str, Any]
    loss: float
    """Of the chosen configuration, averaged over the tuning units."""
    trial: int
    """Number of the chosen trial."""
    trials: int
    failed_trials: int
    """Trials in which a unit was not ok."""
    seeds: tuple[int, ...]
    """Numbers of the splits that it was tried on."""
    cpu_seconds: float
    """Of all trials."""
    date: str
    setting: Setting = "seed"
    late_gain: float | None = None
    """By how much the last third of the trials lowered the smallest loss."""

    @property
    def converged(self) -> bool | None:
        """Whether the last third of the trials found next to nothing; ``None`` where that was not measured."""
        return None if self.late_gain is None else self.late_gain <= LATE_GAIN


def losses(references: References, unit: Unit, logits: NDArray[Any], objective: Objective) -> Losses:
    """Return the terms for one unit's logits [n, classes].

    ``paper`` compares with the retrained model of the same unit. ``oracle-free`` needs none: R and V should be as
    accurate as under the original, and F as accurate as V. Of outputs that have collapsed the attack counts as won: it
    could tell nothing.
    """
    labels, parts = references.examples.labels, unit.parts(references.examples)
    unlearned = accuracies(logits, labels, parts)
    if objective == "paper":
        target = accuracies(references.logits(unit.target), labels, parts)
    else:
        original = accuracies(references.logits(unit.original), labels, parts)
        target = Accuracies(original.retain, unlearned.val, original.val, original.test)
    loss = cross_entropy(scaled(logits, labels, parts["val"]).logits, labels)
    subclasses, val = references.examples.subclasses, parts["val"]
    forms = references.examples.corrupted_forms
    of_classes = val[np.isin(subclasses[val], subclasses[parts["forget"]])]  # as on the board, of F's classes
    unseen = of_classes if forms is None else forms.of(val)
    sides = loss[parts["forget"]], loss[unseen]
    attack = 1.0 if collapse(np.concatenate(sides)) else umia(*sides, references.track.analysis.umia_seed)
    return Losses(
        retain=abs(unlearned.retain - target.retain) / 3,
        forget=abs(unlearned.forget - target.forget) / 3,
        val=abs(unlearned.val - target.val) / 3,
        val_mia=discernibility(attack),
    )


def units(entry: Entry, track: Track, setting: Setting) -> Sequence[Unit]:
    """Return the units on which one configuration is tried.

    No score reads the models of any. ``seed``: originals and splits like those of the model seeds. ``shadow``: units of
    a pair of shadow splits (paper, appendix D).
    """
    if setting == "shadow":
        return [ShadowUnit(entry, track, split, forget_set) for split, forget_set in tuning_shadows(track)]
    return [TuningUnit(entry, track, split) for split in range(track.analysis.tuning_seeds)]


def budget(entry: Entry, track: Track) -> int:
    """Return the trials of a search: the track's for up to five parameters, a fifth of that more for every further one.

    The same rule holds for every entry. The paper has 100 for all (section 4).
    """
    return track.analysis.trials * max(PARAMETERS, len(entry.search_space)) // PARAMETERS


def _study_name(entry: Entry, track: Track, objective: Objective, setting: Setting) -> str:
    identity: dict[str, Any] = {"entry": entry.sha256, "reference": track.reference_digest, "objective": objective}
    if setting == "seed":
        identity |= {"units": TuningUnit.role}
    if setting != "seed":
        identity |= {"setting": setting, "splits": track.protocol.lira_splits, "sets": track.protocol.lira_forget_sets}
    if track.protocol.access != "full":
        identity |= {"access": track.protocol.access, "retain_per_class": track.protocol.retain_per_class}
    return digest(identity)[:16]


def _storage(journal: StudyJournal) -> optuna.storages.JournalStorage:
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.storages.JournalStorage(journal)


def _journal(references: References, entry: Entry, study: str) -> StudyJournal:
    from unlearn_bench.harness.units.study_journal import StudyJournal

    return StudyJournal(references.store, f"tune/{references.track.name}", f"{entry.name}-{study}")


def finished_trials(
    references: References, entry: Entry, objective: Objective = "paper", setting: Setting = "seed"
) -> int:
    """Return how many trials of a search are finished; another command may be running it."""
    import optuna

    name = _study_name(entry, references.track, objective, setting)
    journal = _journal(references, entry, name)
    if not journal.read_logs(0):
        return 0
    storage = _storage(journal)
    if name not in optuna.get_all_study_names(storage):  # the command that made the document was killed at once
        return 0
    study = optuna.load_study(study_name=name, storage=storage)
    return len(study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,)))


class Study:
    """The search for one entry on one track: an Optuna study whose journal survives a kill."""

    def __init__(
        self, references: References, entry: Entry, objective: Objective = "paper", setting: Setting = "seed"
    ) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.references, self.entry, self.objective, self.setting = references, entry, objective, setting
        self._name = _study_name(entry, references.track, objective, setting)
        self._study = optuna.create_study(
            storage=_storage(_journal(references, entry, self._name)),
            study_name=self._name,
            load_if_exists=True,
            direction="minimize",
        )
        for trial in self._study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
            self._study.tell(trial.number, state=optuna.trial.TrialState.FAIL)  # its command was killed: run it again
            self._study.enqueue_trial(trial.params)
        # a resumed search must not draw the same candidates again
        seed = derive(int(self._name[:8], 16), len(self.trials()))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self._study.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=10, multivariate=True)

    def trials(self) -> list[Trial]:
        """Return all finished trials."""
        import optuna

        finished = self._study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
        return [_trial(trial, self.entry) for trial in finished]

    def search(self, runner: Runner, count: int, on_unit: Callable[[], None] = lambda: None) -> Iterator[Trial]:
        """Run trials until ``count`` are finished; yield each. The first ones try the method's own defaults."""
        track = self.references.track
        missing = count - len(self.trials())
        if missing <= 0:
            return
        if not self._study.get_trials(deepcopy=False):
            for point in search_space.first_points(self.entry.search_space, self.entry.defaults, track):
                self._study.enqueue_trial(point)
        default_units = units(self.entry, track, self.setting)
        limit = deadline(self.references, default_units[0])
        at_once = max(1, runner.at_once // len(default_units))
        while missing > 0:
            candidates = [self._study.ask() for _ in range(min(at_once, missing))]
            todo: list[Unit] = []
            trials: dict[int, optuna.Trial] = {}  # by the unit's identity: two trials may draw the same parameters
            for trial in candidates:
                entry = self.entry.with_parameters(search_space.draw(trial, self.entry.search_space, track))
                todo += units(entry, track, self.setting)
                trials |= {id(unit): trial for unit in todo[-len(default_units) :]}
            results: dict[int, list[tuple[Unit, UntimedResult]]] = {trial.number: [] for trial in candidates}
            for unit, result in runner.run(todo, limit):
                on_unit()
                trial = trials[id(unit)]
                results[trial.number].append((unit, result))
                if len(results[trial.number]) == len(default_units):
                    yield self._finish(trial, results[trial.number])
            missing -= len(candidates)

    def _finish(self, trial: optuna.Trial, results: Sequence[tuple[Unit, UntimedResult]]) -> Trial:
        ordered = sorted(results, key=lambda item: np.ravel(item[0].index).tolist())
        terms = [
            None if result.logits is None else losses(self.references, unit, result.logits, self.objective)
            for unit, result in ordered
        ]
        trial.set_user_attr("losses", [None if term is None else asdict(term) for term in terms])
        trial.set_user_attr("statuses", [result.status for _, result in ordered])
        trial.set_user_attr("reasons", [result.reason for _, result in ordered])
        trial.set_user_attr("cpu_seconds", round(sum(result.cpu_seconds or 0.0 for _, result in ordered), 3))
        loss = float(np.mean([WORST if term is None else term.total for term in terms]))
        frozen = self._study.tell(trial, loss)
        return _trial(frozen, self.entry)

    def best(self) -> Trial:
        """Return the configuration with the smallest loss, the first of equal ones."""
        return min(self.trials(), key=lambda trial: (trial.loss, trial.number))

    def late_gain(self) -> float | None:
        """Return by how much the last third of the trials lowered the smallest loss; ``None`` below three trials."""
        by_number = [trial.loss for trial in sorted(self.trials(), key=lambda trial: trial.number)]
        if len(by_number) < 3:
            return None
        return min(by_number[: math.ceil(2 * len(by_number) / 3)]) - min(by_number)

    def choice(self) -> SearchChoice:
        """Return the chosen parameters and what they cost, as :func:`tuned` reads them."""
        best, trials, late_gain = self.best(), self.trials(), self.late_gain()
        return SearchChoice(
            entry=self.entry.name,
            sha256=self.entry.sha256,
            track=self.references.track.name,
            objective=self.objective,
            parameters=dict(best.parameters),
            loss=round(best.loss, 6),
            trial=best.number,
            trials=len(trials),
            failed_trials=sum(any(s != "ok" for s in trial.statuses) for trial in trials),
            seeds=tuple(unit.seed for unit in units(self.entry, self.references.track, self.setting)),
            cpu_seconds=round(sum(trial.cpu_seconds for trial in trials), 1),
            date=datetime.datetime.now(datetime.UTC).date().isoformat(),
            setting=self.setting,
            late_gain=None if late_gain is None else round(late_gain, 6),
        )


def _trial(frozen: optuna.trial.FrozenTrial, entry: Entry) -> Trial:
    assert frozen.value is not None
    attributes = frozen.user_attrs
    return Trial(
        number=frozen.number,
        parameters=search_space.values(frozen.params, entry.search_space),
        loss=frozen.value,
        statuses=tuple(attributes["statuses"]),
        cpu_seconds=float(attributes["cpu_seconds"]),
    )


def place(entry: Entry, track: Track, setting: Setting, objective: Objective) -> str:
    """Return the folder of a search's choice: in the store below ``tuned``, shipped ones below :data:`TUNED`.

    A shipped method has a row for each objective; for other entries the last search counts, whichever it had.
    """
    if setting == "shadow":
        return f"{track.name}/shadow"
    return f"{track.name}/oracle-free" if objective == "oracle-free" and entry.kind != "entry" else track.name


def choice(name: str, sha256: str, track: Track, store: Store, setting: Setting = "seed") -> SearchChoice | None:
    """Return what a search on this track chose for exactly this source, or ``None``.

    For ``shadow`` it is the choice of a search in that setting, or else that of the ordinary search; for the name of a
    variant that of the search without retrained models.

    Raises:
        StoreError: a stored choice is damaged; the message names the file.
    """
    folders = [track.name]
    if name.endswith(ORACLE_FREE):
        folders, name = [f"{track.name}/oracle-free"], name.removesuffix(ORACLE_FREE)
    elif setting == "shadow":
        folders = [f"{track.name}/shadow", track.name]
    for folder in folders:
        shipped = TUNED / folder / f"{name}.json"
        candidates = [documents.read(store, f"tuned/{folder}", name, SearchChoice)]
        if shipped.is_file():
            candidates.append(msgspec.json.decode(shipped.read_bytes(), type=SearchChoice))
        for candidate in candidates:  # the store's may be of an older source
            if candidate is not None and candidate.sha256 == sha256:
                if why := values.fault(dict(candidate.parameters), values.DEPTH + 1):
                    raise store.damaged(f"tuned/{folder}", name, f"its choice {why}")
                return candidate
    return None


def variant(entry: Entry, track: Track, store: Store) -> Entry | None:
    """Return a shipped method as a search without retrained models chose it.

    ``None`` where there was none, or where it chose the parameters that the method has anyway.
    """
    named = replace(entry, name=entry.name + ORACLE_FREE)
    chosen = choice(named.name, entry.sha256, track, store)
    other = None if chosen is None else named.with_parameters(chosen.parameters)
    return None if other is None or other.id == tuned(entry, track, store).id else other


def tuned(entry: Entry, track: Track, store: Store, setting: Setting = "seed") -> Entry:
    """Return the entry with the parameters of :func:`choice`, if there was a search."""
    chosen = choice(entry.name, entry.sha256, track, store, setting)
    return entry if chosen is None else entry.with_parameters(chosen.parameters)
