"""The literature's columns: each equals its definition, written out; what retrained models and Original read."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.svm import SVC

from tests.scoring.evidence import made, real
from unlearn_bench.scoring.evidence import ModelEvidence
from unlearn_bench.scoring.intervals import mean_interval
from unlearn_bench.scoring.literature import LiteratureEvidence, activation_distance, js_divergence
from unlearn_bench.scoring.literature_columns import COLUMNS, computable, measured
from unlearn_bench.scoring.svm_mia import SIGNALS, efficacy, modified_entropy


def model(seed: int = 0, classes: int = 4, forgotten: int | None = None) -> ModelEvidence:
    """A model of random logits on examples of several classes; F is random, or a whole class."""
    rng = np.random.default_rng(seed)
    base = made(rng, (70, 30, 20, 50))
    labels = rng.integers(classes, size=len(base.labels))
    original, retrained, own = (rng.normal(size=(len(labels), classes)) for _ in range(3))
    for logits in (original, retrained, own):
        logits[np.arange(len(labels)), labels] += rng.normal(2.0, 1.0, len(labels))
    parts = base.parts
    if forgotten is not None:
        train = np.concatenate([parts["retain"], parts["forget"]])
        of_class = labels[train] == forgotten
        parts = {**parts, "retain": train[~of_class], "forget": train[of_class]}
    return replace(base, logits=own, original=original, retrained=retrained, labels=labels, parts=parts)


def probabilities(logits: Any) -> list[float]:
    weights = [math.exp(value) for value in logits]
    return [weight / sum(weights) for weight in weights]


def right(logits: Any, label: int) -> bool:
    return list(logits).index(max(logits)) == label


def share(evidence: ModelEvidence, logits: Any, examples: Any) -> float:
    return sum(right(logits[i], evidence.labels[i]) for i in examples) / len(examples)


def literal_signal(name: str, logits: Any, label: int) -> list[float]:
    p = probabilities(logits)
    others = [value for place, value in enumerate(p) if place != label]
    signals = {
        "correctness": [float(right(logits, label))],
        "confidence": [p[label]],
        "entropy": [-sum(value * math.log(value) for value in p)],
        "modified_entropy": [-(1 - p[label]) * math.log(p[label]) - sum(v * math.log(1 - v) for v in others)],
        "probability": p,
    }
    return signals[name]


def literal_efficacy(name: str, logits: Any, labels: Any, members: Any, unseen: Any, forget: Any) -> float:
    """An SVM on a kernel matrix that is written out: exp(−‖x − x′‖² / features), C = 3."""
    fitted, asked = (
        [literal_signal(name, logits[i], labels[i]) for i in each] for each in ([*members, *unseen], forget)
    )

    def kernel(rows: list[list[float]]) -> list[list[float]]:
        distances = ([sum((a - b) ** 2 for a, b in zip(x, y, strict=True)) / len(x) for y in fitted] for x in rows)
        return [[math.exp(-distance) for distance in row] for row in distances]

    machine = SVC(C=3.0, kernel="precomputed").fit(kernel(fitted), [1] * len(members) + [0] * len(unseen))
    return sum(call == 0 for call in machine.predict(kernel(asked))) / len(forget)


def literal_js(p: list[float], q: list[float]) -> float:
    middle = [(a + b) / 2 for a, b in zip(p, q, strict=True)]
    left = sum(a * math.log(a / m) for a, m in zip(p, middle, strict=True))
    return (left + sum(b * math.log(b / m) for b, m in zip(q, middle, strict=True))) / 2


@pytest.mark.parametrize(("seed", "forgotten"), [(0, None), (9, None), (0, 2)], ids=["FA > TA", "FA < TA", "class"])
def test_every_column_equals_its_definition_written_out(seed: int, forgotten: int | None) -> None:
    evidence = model(seed, forgotten=forgotten)
    forget, retain, test = (evidence.parts[part] for part in ("forget", "retain", "test"))
    untrained = np.random.default_rng(9).normal(size=(len(forget), 4))
    found = LiteratureEvidence(evidence, untrained)
    left = [i for i in test if forgotten is None or evidence.labels[i] != forgotten]
    sizes = {len(found.members), len(found.unseen)}
    assert sizes == {min(len(retain), len(left))} and set(found.members) <= set(retain)
    assert sorted(found.unseen) == sorted(left) and set(found.members).isdisjoint(forget)

    def rates(logits: Any) -> list[float]:
        return [share(evidence, logits, each) for each in (forget, retain, left)]

    def mia(signal: str, logits: Any) -> float:
        return literal_efficacy(signal, logits, evidence.labels, found.members, found.unseen, forget)

    own, retrained, original = rates(evidence.logits), rates(evidence.retrained), rates(evidence.original)
    gaps = [abs(a - b) for a, b in zip(own, retrained, strict=True)]
    mia_gap = abs(mia("confidence", evidence.logits) - mia("confidence", evidence.retrained))
    removed = [i for i in test if i not in set(left)]
    delta = abs(own[0] - own[2]) if forgotten is None else share(evidence, evidence.logits, removed)
    outputs, others = ([probabilities(logits[i]) for i in forget] for logits in (evidence.logits, evidence.retrained))
    teacher = [probabilities(logits) for logits in untrained]
    count = len(forget)
    expected = {
        "ua": 1 - own[0],
        "ra": own[1],
        "ta": own[2],
        **{f"mia_{signal}": mia(signal, evidence.logits) for signal in SIGNALS},
        "avg_gap": (sum(gaps) + mia_gap) / 4,
        "tow": (1 - gaps[0]) * (1 - gaps[1]) * (1 - gaps[2]),
        "aus": (1 - (original[2] - own[2])) / (1 + delta),
        "zrf": 1 - sum(literal_js(p, q) for p, q in zip(outputs, teacher, strict=True)) / count,
        "js_divergence": sum(literal_js(p, q) for p, q in zip(outputs, others, strict=True)) / count,
        "activation_distance": sum(math.dist(p, q) for p, q in zip(outputs, others, strict=True)) / count,
    }
    assert list(expected) == [column.name for column in COLUMNS]
    assert measured(found) == pytest.approx(expected, abs=1e-9)


def test_retrain_itself_is_at_the_end_of_what_compares_with_it() -> None:
    evidence = model()
    numbers = measured(LiteratureEvidence(replace(evidence, logits=evidence.retrained)))
    ends = {"avg_gap": 0.0, "tow": 1.0, "js_divergence": 0.0, "activation_distance": 0.0}
    assert {name: numbers[name] for name in ends} == pytest.approx(ends, abs=1e-12)


def test_without_test_examples_of_the_classes_that_are_left_a_number_is_not_defined() -> None:
    evidence = model(forgotten=2)
    only_forgotten = evidence.parts["test"][evidence.labels[evidence.parts["test"]] == 2]
    numbers = measured(LiteratureEvidence(replace(evidence, parts={**evidence.parts, "test": only_forgotten})))
    undefined = {name for name, value in numbers.items() if value is None}
    assert undefined == {"ta", *(f"mia_{signal}" for signal in SIGNALS), "avg_gap", "tow", "aus", "zrf"}


def test_without_test_examples_of_the_forgotten_class_only_aus_is_not_defined() -> None:
    evidence = model(forgotten=2)
    others = evidence.parts["test"][evidence.labels[evidence.parts["test"]] != 2]
    found = LiteratureEvidence(replace(evidence, parts={**evidence.parts, "test": others}))
    assert [name for name, value in measured(found, computable({}, False)).items() if value is None] == ["aus"]


def test_a_forgotten_subclass_leaves_the_test_set_and_its_class_stays() -> None:
    evidence = model(forgotten=2)
    merged = replace(evidence, labels=evidence.labels // 2, subclasses=evidence.labels)
    tested = LiteratureEvidence(merged).tested
    assert set(evidence.labels[tested]) == {0, 1, 3} and set(merged.labels[tested]) == {0, 1}


def test_certain_outputs_have_finite_signals() -> None:
    logits = np.array([[900.0, 0.0], [0.0, 900.0]])
    assert np.isfinite(modified_entropy(logits, np.array([0, 0]))).all()
    assert js_divergence(logits, logits[::-1]) == pytest.approx(math.log(2))
    assert activation_distance(logits, logits[::-1]) == pytest.approx(math.sqrt(2))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_bad_arrays_are_refused(bad: float) -> None:
    logits, labels = np.zeros((3, 2)), np.zeros(3, dtype=int)
    for distance in (js_divergence, activation_distance):
        with pytest.raises(ValueError, match="not finite"):
            distance(logits + bad, logits)
        with pytest.raises(ValueError, match="two equal shapes"):
            distance(logits[:2], logits)
    with pytest.raises(ValueError, match="not finite"):
        efficacy("entropy", logits + bad, labels, [0], [1], [2])
    with pytest.raises(ValueError, match="needs retained, test and forget"):
        efficacy("entropy", logits, labels, [0], [1], [])
    with pytest.raises(ValueError, match="no signal is called 'loss'; there are correctness"):
        efficacy("loss", logits, labels, [0], [1], [2])


SEE = {"ua", "mia_correctness", "mia_confidence", "mia_entropy", "mia_modified_entropy", "avg_gap", "tow", "aus"}
"""Columns that tell Original from the null on the default track; ZRF needs a network, see tests/harness."""
BLIND = {"ra", "ta", "mia_probability", "js_divergence", "activation_distance"}
COMPARE = {"avg_gap", "tow", "js_divergence", "activation_distance"}
"""Columns in which Retrain is the end of the scale, so that a second retrained model differs from it."""


@pytest.fixture(scope="module")
def readings() -> dict[str, dict[str, np.ndarray]]:
    """Column → reference model → a value per seed of the default track."""
    columns = computable({}, False)
    rows = {
        kind: [measured(LiteratureEvidence(real(kind, seed)), columns) for seed in range(10)]
        for kind in ("original", "retrained", "null")
    }
    return {c.name: {kind: np.array([row[c.name] for row in each]) for kind, each in rows.items()} for c in columns}


def test_between_two_retrained_models_a_column_reads_nothing(readings: dict[str, dict[str, np.ndarray]]) -> None:
    for name in set(readings) - COMPARE:
        difference = mean_interval(readings[name]["null"] - readings[name]["retrained"])
        assert difference.low < 0 < difference.high, name


def test_original_is_told_from_the_null_where_the_page_says_so(readings: dict[str, dict[str, np.ndarray]]) -> None:
    apart = set()
    for name, values in readings.items():
        difference = mean_interval(values["original"] - values["null"])
        if not difference.low < 0 < difference.high:
            apart.add(name)
            assert abs(difference.mean) > (0.09 if name in SEE else 0.0), name
    assert apart == SEE
    assert apart.isdisjoint(BLIND) and set(readings) == SEE | BLIND
