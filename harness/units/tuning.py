"""Hyper-parameter search with an equal budget for every entry (paper section 4, equations 5 and 6)."""

from __future__ import annotations

import datetime
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from unlearn_bench.harness.entries.entry import Entry
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import tuning_shadows
from unlearn_bench.harness.store import documents
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.digests import digest
from unlearn_bench.harness.support.seeds import derive
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.harness.units.runner import Runner, UntimedResult, deadline
from unlearn_bench.harness.units.unit_kinds import SeedUnit, ShadowUnit, Unit
from unlearn_bench.scoring.accuracy import Accuracies, accuracies, cross_entropy
from unlearn_bench.scoring.temperature import collapse, scaled
from unlearn_bench.scoring.umia import discernibility, umia

if TYPE_CHECKING:
    import optuna

Objective = Literal["paper", "oracle-free"]
Setting = Literal["seed", "shadow"]
WORST = 2.0
"""Loss of a unit that failed: ⅓ + ⅓ + ⅓ + 1, the largest that a working one can have."""
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
    """Seeds of the tuning units."""
    cpu_seconds: float
    """Of all trials."""
    date: str
    setting: Setting = "seed"


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
    unseen = val[np.isin(subclasses[val], subclasses[parts["forget"]])]  # as on the board, of F's classes
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

    ``seed``: the first model seeds, which the board also scores. ``shadow``: units of a pair of shadow splits that no
    score reads (paper, appendix D).
    """
    if setting == "shadow":
        return [ShadowUnit(entry, track, split, forget_set) for split, forget_set in tuning_shadows(track)]
    return [SeedUnit(entry, track, seed) for seed in range(min(track.analysis.tuning_seeds, track.protocol.seeds))]


class Study:
    """The search for one entry on one track: an Optuna study whose journal survives a kill."""

    def __init__(
        self, references: References, entry: Entry, objective: Objective = "paper", setting: Setting = "seed"
    ) -> None:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.references, self.entry, self.objective, self.setting = references, entry, objective, setting
        track = references.track
        identity: dict[str, Any] = {"entry": entry.sha256, "reference": track.reference_digest, "objective": objective}
        if setting != "seed":
            protocol = track.protocol
            identity |= {"setting": setting, "splits": protocol.lira_splits, "sets": protocol.lira_forget_sets}
        self._name = digest(identity)[:16]
        self._journal = f"tune/{track.name}/{entry.name}-{self._name}.journal"
        path = references.store.root / self._journal
        path.parent.mkdir(parents=True, exist_ok=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self._study = optuna.create_study(
                storage=JournalStorage(JournalFileBackend(str(path))),
                study_name=self._name,
                load_if_exists=True,
                direction="minimize",
            )
        for trial in self._study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
            self._study.tell(trial.number, state=optuna.trial.TrialState.FAIL)  # its command was killed: run it again
            self._study.enqueue_trial(trial.params)
        # a resumed search must not draw the same candidates again
        seed = derive(int(self._name[:8], 16), len(self.trials()))
        self._study.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=10)

    def trials(self) -> list[Trial]:
        """Return all finished trials."""
        import optuna

        finished = self._study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
        return [_trial(trial) for trial in finished]

    def search(self, runner: Runner, count: int, on_unit: Callable[[], None] = lambda: None) -> Iterator[Trial]:
        """Run trials until ``count`` are finished; yield each. The first one tries the method's own defaults."""
        track = self.references.track
        missing = count - len(self.trials())
        if missing <= 0:
            return
        if not self._study.get_trials(deepcopy=False):
            space, defaults = self.entry.search_space, self.entry.defaults
            self._study.enqueue_trial({k: defaults[k] for k in space if _inside(defaults[k], space[k], track)})
        default_units = units(self.entry, track, self.setting)
        limit = deadline(self.references, default_units[0])
        at_once = max(1, runner.at_once // len(default_units))
        while missing > 0:
            candidates = [self._study.ask() for _ in range(min(at_once, missing))]
            todo: list[Unit] = []
            trials: dict[int, optuna.Trial] = {}  # by the unit's identity: two trials may draw the same parameters
            for trial in candidates:
                entry = self.entry.with_parameters(_suggest(trial, self.entry.search_space, track))
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
        store = self.references.store
        store.share(store.root / self._journal, self._journal)
        return _trial(frozen)

    def best(self) -> Trial:
        """Return the configuration with the smallest loss, the first of equal ones."""
        return min(self.trials(), key=lambda trial: (trial.loss, trial.number))

    def choice(self) -> SearchChoice:
        """Return the chosen parameters and what they cost, as :func:`tuned` reads them."""
        best, trials = self.best(), self.trials()
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
        )


def _trial(frozen: optuna.trial.FrozenTrial) -> Trial:
    assert frozen.value is not None
    attributes = frozen.user_attrs
    return Trial(
        frozen.number, frozen.params, frozen.value, tuple(attributes["statuses"]), float(attributes["cpu_seconds"])
    )


def _suggest(trial: optuna.Trial, space: Mapping[str, Any], track: Track) -> dict[str, Any]:
    """Draw every parameter of a search space; a bound ``"max_epochs"`` stands for the track's number."""
    drawn: dict[str, Any] = {}
    for name, (kind, *_) in space.items():
        ends = _ends(space[name], track)
        if kind == "choice":
            drawn[name] = trial.suggest_categorical(name, list(ends[0]))
        elif kind == "int":
            drawn[name] = trial.suggest_int(name, *ends)
        else:
            drawn[name] = trial.suggest_float(name, *ends, log=kind == "log")
    return drawn


def _ends(rule: Sequence[Any], track: Track) -> list[Any]:
    return [track.analysis.max_epochs if end == "max_epochs" else end for end in rule[1:]]


def _inside(value: Any, rule: Sequence[Any], track: Track) -> bool:
    """Return whether a default can be drawn at all: 0, which means "off", is in no logarithmic range."""
    ends = _ends(rule, track)
    return bool(value in ends[0] if rule[0] == "choice" else ends[0] <= value <= ends[1])


def place(track: Track, setting: Setting) -> str:
    """Return the folder of a search's choice: in the store below ``tuned``, shipped ones below :data:`TUNED`."""
    return track.name if setting == "seed" else f"{track.name}/{setting}"


def choice(name: str, sha256: str, track: Track, store: Store, setting: Setting = "seed") -> SearchChoice | None:
    """Return what a search on this track chose for exactly this source, or ``None``.

    For ``shadow`` it is the choice of a search in that setting, or else that of the ordinary search.

    Raises:
        StoreError: a stored choice is damaged; the message names the file.
    """
    for searched in ("shadow", "seed") if setting == "shadow" else ("seed",):
        folder = place(track, searched)
        shipped = TUNED / folder / f"{name}.json"
        candidates = [documents.read(store, f"tuned/{folder}", name, SearchChoice)]
        if shipped.is_file():
            candidates.append(msgspec.json.decode(shipped.read_bytes(), type=SearchChoice))
        for candidate in candidates:  # the store's may be of an older source
            if candidate is not None and candidate.sha256 == sha256:
                return candidate
    return None


def tuned(entry: Entry, track: Track, store: Store, setting: Setting = "seed") -> Entry:
    """Return the entry with the parameters of :func:`choice`, if there was a search."""
    chosen = choice(entry.name, entry.sha256, track, store, setting)
    return entry if chosen is None else entry.with_parameters(chosen.parameters)
