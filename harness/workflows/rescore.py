"""``bench rescore``: every number again from what is stored, or a user's own attack on it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.results import rescoring
from unlearn_bench.harness.results.board_entries import board_entries
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.errors import USAGE, BenchError
from unlearn_bench.harness.support.progress import Observer
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.units import disclosure
from unlearn_bench.harness.workflows import probing
from unlearn_bench.harness.workflows.probing import ProbeNumbers
from unlearn_bench.scoring.panel import InvalidAttack, named


@dataclass(frozen=True)
class Rescored:
    """How many models were scored again, and in how many seconds."""

    models: int
    seconds: float


@dataclass(frozen=True)
class AttackScores:
    """Readings of a user's own attack on every stored entry."""

    attack: str
    title: str
    reads: str
    """Which models it reads: ``model``, ``shadows`` or ``swap``."""
    entries: Mapping[str, Sequence[Mapping[str, float]]]
    """Its numbers by entry; one mapping per model, in the order of seeds."""


def rescore(track: str, secret: Path | None, observer: Observer) -> Rescored:
    """Compute every metric again from stored logits, and the numbers of probes from their arrays, and keep them.

    Args:
        track: a track's name, or the path of a TOML file.
        secret: of a sealed track; default: ``BENCH_SECRETS``.
        observer: receives the progress.

    Raises:
        BenchError: unknown track, or a damaged store.
    """
    references = References(load_track(track, secret), Store())
    scorable = rescoring.stored(references)
    started = time.perf_counter()
    with observer.progress("scoring", len(scorable), "models") as progress:
        count = sum(1 for _ in rescoring.rescore(references, scorable, progress.at))
    probing.renumber(references)
    return Rescored(count, time.perf_counter() - started)


def score_with(attack: str, track: str, secret: Path | None, observer: Observer) -> AttackScores:
    """Score every stored entry with an attack of the user's own, beside what it reads of retrained models.

    Args:
        attack: a Python file with ``attack(model)``, ``attack(shadows)`` or ``attack(swap)``, which is run, or the name
            of an attack of the panel or of an installed package.
        track: a track's name, or the path of a TOML file.
        secret: of a sealed track, which is refused.
        observer: receives the progress.

    Raises:
        BenchError: an invalid attack, a sealed track, or nothing stored that the attack reads.
    """
    references = References(load_track(track, secret), Store())
    disclosure.not_public(references.track, "an attack of one's own")
    scorable = rescoring.stored(references)
    try:
        user_attack = named(attack)
        title, models = user_attack.title, user_attack.models
        with observer.progress(title, len(scorable), "models") as progress:
            scores = list(rescoring.attacked(references, scorable, attack, progress.at))
    except InvalidAttack as error:
        raise BenchError(str(error), "your command", "see scoring/README.md", USAGE) from None
    if not scores:
        remedy = f"run `bench baselines --{'lira' if models == 'shadows' else 'swap'}`, or submit with it"
        what = f"{user_attack.name} reads {models}, and no entry has any stored"
        raise BenchError(what, "your command", remedy, USAGE)
    rows: dict[str, list[Any]] = {}
    for scored, numbers in sorted(scores, key=lambda item: (rescoring.name(item[0]), getattr(item[0], "seed", 0))):
        rows.setdefault(rescoring.name(scored), []).append(numbers)
    return AttackScores(user_attack.name, title, models, rows)


def probe_with(probe: str, track: str, gpu: int | None, secret: Path | None, observer: Observer) -> ProbeNumbers:
    """Look with a probe of the user's own at every model whose weights are kept, beside reference models.

    Args:
        probe: a Python file with ``probe(context)``, which is run, or the name of a probe of the panel.
        track: a track's name, or the path of a TOML file.
        gpu: index of a CUDA device to compute on.
        secret: of a sealed track, which is refused.
        observer: receives the progress.

    Raises:
        BenchError: an invalid probe, a sealed track, or no weights that it could look at.
    """
    references = References(load_track(track, secret), Store())
    disclosure.not_public(references.track, "a probe of one's own")
    records = [record for entry in board_entries(references) for record in entry.records.values()]
    return probing.measure_with(references, records, probe, gpu, observer)
