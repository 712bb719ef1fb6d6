"""Scores of outputs that were computed elsewhere: logits of one's own models, or φ of one's own shadow models.

No track, store or data set is needed: arrays in, the numbers of the board out.
"""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from unlearn_bench.harness.results import scores
from unlearn_bench.harness.results.attack_panel import AttackNumber
from unlearn_bench.harness.results.scores import Scores
from unlearn_bench.harness.support.errors import USAGE, BenchError
from unlearn_bench.scoring import metric_table, panel
from unlearn_bench.scoring.accuracy import margins
from unlearn_bench.scoring.evidence import ModelEvidence, ShadowEvidence
from unlearn_bench.scoring.forgetting import Forgetting, Reading, forgetting
from unlearn_bench.scoring.intervals import Interval, mean_interval
from unlearn_bench.scoring.temperature import scaled

PARTS = ("retain", "forget", "val", "test")
LOGITS = ("original", "retrained", "unlearned")
NULL = "null"
PHI = tuple(field.name for field in dataclasses.fields(ShadowEvidence) if field.name not in ("labels", "stopped"))
Logits = NDArray[np.floating]
AttackScores = Mapping[str, Mapping[str, float]]
"""Attack → number → value, of one model."""


@dataclass(frozen=True)
class Outputs:
    """Logits of the models of S seeds on n examples.

    Attributes:
        labels: [n].
        parts: for each seed disjoint index arrays ``retain``, ``forget``, ``val``, ``test``.
        models: [S, n, classes] by role: ``original``, ``retrained``, ``unlearned``, and ``null``, a second retrained
            model, where there is one.
    """

    labels: NDArray[np.int64]
    parts: Sequence[Mapping[str, NDArray[np.int64]]]
    models: Mapping[str, Logits]


@dataclass(frozen=True)
class MetricNumber:
    """A metric of the unlearned models beside the same of a second retrained model and of the original."""

    name: str
    title: str
    value: Interval
    null: float | None
    original: float


@dataclass(frozen=True)
class OutputScores:
    """What logits allow to be known."""

    seeds: int
    metrics: Sequence[MetricNumber]
    attacks: Sequence[AttackNumber]
    """Means over the seeds."""
    forgetting: Forgetting | None
    """``None`` with one seed, without a second retrained model, or where no attack finds the original."""
    unusable: str
    """Why the outputs cannot be judged; empty where they can."""


def read(path: Path) -> dict[str, NDArray[Any]]:
    """Read the arrays of an ``.npz`` file, without unpickling anything.

    Raises:
        BenchError: it is missing, or no such file.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except FileNotFoundError:
        _wrong(f"there is no file {path}", "name a file of arrays that numpy.savez has written")
    except (ValueError, OSError, zipfile.BadZipFile, AttributeError, TypeError) as error:
        _wrong(f"{path} is not a file of plain arrays: {error}", "write it with numpy.savez, without objects")


def outputs(arrays: Mapping[str, NDArray[Any]]) -> Outputs:
    """Check arrays of logits, and return them.

    Args:
        arrays: ``labels`` [n]; ``split`` [n] or [S, n], words: ``retain``, ``forget``, ``val``, ``test`` or none;
            ``original``, ``retrained``, ``unlearned``, and perhaps ``null``, each [n, classes] or [S, n, classes].

    Raises:
        BenchError: an array is missing, has another shape, or values that are no logits, labels or parts.
    """
    missing = [name for name in ("labels", "split", *LOGITS) if name not in arrays]
    if missing:
        _wrong(
            f"the file has no {', '.join(missing)}", f"it needs labels, split, {', '.join(LOGITS)}; null may be added"
        )
    labels = _labels(arrays["labels"])
    names = [name for name in (*LOGITS, NULL) if name in arrays]
    models = {name: _logits(name, arrays[name], len(labels)) for name in names}
    shapes = {name: values.shape for name, values in models.items()}
    if len(set(shapes.values())) > 1:
        _wrong(f"the logits have different shapes: {shapes}", "all must be [n, classes], or all [seeds, n, classes]")
    seeds, _, classes = models["unlearned"].shape
    if labels.min() < 0 or labels.max() >= classes:
        _wrong(
            f"labels run from {labels.min()} to {labels.max()}", f"logits have {classes} classes: use 0 … {classes - 1}"
        )
    split = np.asarray(arrays["split"])
    rows = split if split.ndim == 2 else np.broadcast_to(split, (seeds, *split.shape))
    if rows.shape != (seeds, len(labels)):
        _wrong(
            f"split has shape {split.shape}",
            f"it is [n] or [seeds, n], here [{len(labels)}] or [{seeds}, {len(labels)}]",
        )
    return Outputs(labels, [_parts(row) for row in rows], models)


def score(given: Outputs) -> OutputScores:
    """Return every number of the board that logits allow, with its null, its interval and the original's."""
    by_role = {role: _scores(given, role) for role in given.models if role != "retrained"}
    own, original, null = by_role["unlearned"], by_role["original"], by_role.get(NULL)
    unusable = next((f"seed {seed}: {each.collapse}" for seed, each in enumerate(own) if each.collapse), "")
    metrics = []
    for metric in metric_table.of_models():
        values = [each.metrics.get(metric.name) for each in own]
        if None not in values:
            others = (None if side is None else scores.mean(side, metric.name) for side in (null, original))
            at_null, at_original = others
            assert at_original is not None
            interval = mean_interval([value for value in values if value is not None])
            metrics.append(MetricNumber(metric.name, metric.title, interval, at_null, at_original))
    found = None
    if null is not None and not unusable:
        retrained = _scores(given, "retrained")
        found = forgetting(
            [
                _reading(attack, own, null, original, retrained)
                for attack in panel.attacks_on("model")
                if attack.evidence
            ]
        )
    numbers = _attack_numbers(_attacks(own), None if null is None else _attacks(null), _attacks(original))
    return OutputScores(len(own), metrics, numbers, found, unusable)


def shadow_evidence(arrays: Mapping[str, NDArray[Any]]) -> ShadowEvidence:
    """Check φ of shadow models, each [n, pairs], and return it with its ``labels`` [n].

    Raises:
        BenchError: an array is missing, has another shape, or values that are not finite.
    """
    missing = [name for name in (*PHI, "labels") if name not in arrays]
    if missing:
        _wrong(f"the file has no {', '.join(missing)}", f"φ of shadow models is {', '.join(PHI)}, and labels")
    labels = _labels(arrays["labels"])
    shape = arrays["forgotten"].shape
    for name in PHI:
        values = arrays[name]
        if values.shape != shape or values.ndim != 2 or len(values) != len(labels) or values.shape[1] < 2:
            _wrong(f"{name} has shape {values.shape}", f"all are [n, pairs], here [{len(labels)}, 2 or more]")
        if not np.issubdtype(values.dtype, np.floating) or not np.isfinite(values).all():
            _wrong(f"{name} has values that are not finite numbers", "φ is the log-odds of the true class")
    phi: dict[str, Any] = {name: arrays[name].astype(np.float64) for name in PHI}
    return ShadowEvidence(**phi, labels=labels)


def attacked(arrays: Mapping[str, NDArray[Any]], attack: panel.Attack | None = None) -> list[AttackNumber]:
    """Return every number of the panel, or of one attack, on arrays of logits or of φ.

    Raises:
        BenchError: an array is missing, or does not belong to the others.
        InvalidAttack: the attack fails.
    """
    if "forgotten" in arrays:
        return shadow_score(shadow_evidence(arrays), None if attack is None else [attack])
    given = outputs(arrays)
    own, original, null = (
        [scores.attack_scores(each, attack) for each in _evidence(given, role)] if role in given.models else None
        for role in ("unlearned", "original", NULL)
    )
    assert own is not None and original is not None
    return _attack_numbers(own, null, original)


def shadow_score(evidence: ShadowEvidence, attacks: Sequence[panel.Attack] | None = None) -> list[AttackNumber]:
    """Return every number of the attacks on shadow models, with its null and the original's; default: of the panel."""
    numbers = []
    for attack in panel.attacks_on("shadows") if attacks is None else attacks:
        own, null, original = (attack.run(side) for side in (evidence, evidence.null(), evidence.before()))
        numbers += [AttackNumber(attack.name, name, own[name], null[name], original[name]) for name in own]
    return numbers


def _attacks(side: list[Scores]) -> list[AttackScores]:
    return [each.attacks for each in side]


def _scores(given: Outputs, role: str) -> list[Scores]:
    return [scores.of_evidence(evidence) for evidence in _evidence(given, role)]


def _evidence(given: Outputs, role: str) -> list[ModelEvidence]:
    phi = [
        margins(scaled(logits, given.labels, parts["val"]).logits, given.labels)
        for logits, parts in zip(given.models["retrained"], given.parts, strict=True)
    ]
    lacks = np.ones((len(phi), len(given.labels)), dtype=bool)
    for row, parts in zip(lacks, given.parts, strict=True):
        row[parts["retain"]] = False
    return [
        ModelEvidence(
            logits=given.models[role][seed],
            original=given.models["original"][seed],
            retrained=given.models["retrained"][seed],
            labels=given.labels,
            parts=parts,
            reference_phi=np.stack(phi),
            lacks=lacks,
        )
        for seed, parts in enumerate(given.parts)
    ]


def _reading(attack: panel.Attack, *sides: list[Scores]) -> Reading:
    """Return what an attack reads of an entry, the null, Original and Retrain."""
    entry, null, original, retrained = (
        np.array([each.attacks[attack.name][attack.evidence] for each in side]) for side in sides
    )
    return Reading(attack.title, "seed", entry, null, original, retrained=retrained)


def _attack_numbers(
    own: list[AttackScores], null: list[AttackScores] | None, original: list[AttackScores]
) -> list[AttackNumber]:
    numbers = []
    for attack, values in own[0].items():
        for number in values:
            value, at_null, at_original = (
                None if side is None else float(np.mean([each[attack][number] for each in side]))
                for side in (own, null, original)
            )
            assert value is not None and at_original is not None
            numbers.append(AttackNumber(attack, number, value, at_null, at_original))
    return numbers


def _labels(values: NDArray[Any]) -> NDArray[np.int64]:
    if values.ndim != 1 or not len(values) or not np.issubdtype(values.dtype, np.integer):
        _wrong(f"labels are {values.dtype} of shape {values.shape}", "they are whole numbers [n]")
    return values.astype(np.int64)


def _logits(name: str, values: NDArray[Any], n: int) -> Logits:
    stacked = values[None] if values.ndim == 2 else values
    if stacked.ndim != 3 or stacked.shape[1] != n or stacked.shape[2] < 2:
        _wrong(f"{name} has shape {values.shape}", f"logits are [n, classes] or [seeds, n, classes], here n is {n}")
    if not np.issubdtype(values.dtype, np.floating):
        _wrong(f"{name} is {values.dtype}", "logits are floating-point numbers")
    if not np.isfinite(stacked).all():
        _wrong(f"{name} has values that are not finite", "leave the models out that diverged")
    return stacked


def _parts(row: NDArray[Any]) -> dict[str, NDArray[np.int64]]:
    words = row.astype(str)
    unknown = sorted(set(words) - {*PARTS, ""})
    if unknown:
        _wrong(f"split has {str(unknown[0])!r}", f"each is one of {', '.join(PARTS)}, or empty for an example of none")
    parts = {part: np.flatnonzero(words == part) for part in PARTS}
    small = [part for part, indices in parts.items() if len(indices) < 2]
    if small:
        _wrong(f"split has fewer than two examples of {', '.join(small)}", "every part needs examples")
    return parts


def _wrong(what: str, remedy: str) -> NoReturn:
    raise BenchError(what, "your command", remedy, USAGE)
