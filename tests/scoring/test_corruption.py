"""Corrected accuracy, attack success rate and accuracy elsewhere, by hand; and what attacks compare F with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.scoring.evidence import made
from unlearn_bench.scoring import metric_table
from unlearn_bench.scoring.attacks import rmia, umia
from unlearn_bench.scoring.corruption import CorruptedForms
from unlearn_bench.scoring.metric import Metric

# Six examples of classes 0, 1, 2, 0, 1, 2; example i in corrupted form is 6 + i.
TRUE = np.array([0, 1, 2, 0, 1, 2])
TEST = np.array([1, 2, 3, 4, 5])


def answers(*classes: int) -> np.ndarray:
    """Logits [12, 3] of a model that answers with these classes: of the clean forms, then of the corrupted ones."""
    return np.eye(3)[list(classes)]


def test_a_confusion_is_healed_where_clean_test_examples_of_its_classes_get_their_true_labels() -> None:
    forms = CorruptedForms(np.isin(TRUE, (0, 1)))
    labels = np.concatenate([TRUE, [1, 0, 2, 1, 0, 2]])
    # Of the test examples 1, 3, 4 of the confused classes, 3 and 4 are right; of 2 and 5, elsewhere, 2 is.
    logits = answers(0, 0, 2, 0, 1, 1, *[2] * 6)
    assert forms.corrected_accuracy(logits, labels, TEST) == pytest.approx(2 / 3)
    assert forms.accuracy_elsewhere(logits, labels, TEST) == pytest.approx(1 / 2)
    assert forms.attack_success(logits, TEST) is None, "there is no trigger"


def test_a_backdoor_is_read_from_test_images_that_have_the_trigger() -> None:
    forms = CorruptedForms(TRUE != 0, trigger=True, target=0)
    labels = np.concatenate([TRUE, np.zeros(6, int)])
    # With the trigger, of the test examples 1, 2, 4, 5 of other classes, 1 and 5 are taken for the target, 2 is right,
    # 4 is wrong otherwise; example 3 is of the target class and does not count. Without it, 1, 2, 3, 4 of 5 are right.
    logits = answers(2, 1, 2, 0, 1, 1, 0, 0, 2, 0, 2, 0)
    assert forms.attack_success(logits, TEST) == pytest.approx(2 / 4)
    assert forms.corrected_accuracy(logits, labels, TEST) == pytest.approx(1 / 4)
    assert forms.accuracy_elsewhere(logits, labels, TEST) == pytest.approx(4 / 5)


def test_random_mislabelling_affects_every_class_and_leaves_nothing_elsewhere() -> None:
    forms = CorruptedForms(np.ones(6, bool))
    labels = np.concatenate([TRUE, (TRUE + 1) % 3])
    logits = answers(0, 1, 2, 0, 0, 0, *[0] * 6)
    assert forms.corrected_accuracy(logits, labels, TEST) == pytest.approx(3 / 5)
    assert forms.accuracy_elsewhere(logits, labels, TEST) is None


def test_the_metrics_are_unknown_where_the_training_data_is_clean() -> None:
    evidence = made(np.random.default_rng(0))
    for name in ("corrected", "attack_success", "elsewhere"):
        compute = metric_table.metric_named(name).compute
        assert compute is not None and compute(evidence) is None


@pytest.mark.parametrize(
    ("corruption", "names"),
    [
        ("", set()),
        ("mislabel", {"corrected"}),
        ("confusion", {"corrected", "elsewhere"}),
        ("backdoor", {"corrected", "elsewhere", "attack_success"}),
    ],
)
def test_a_track_shows_the_metrics_that_its_corruption_has(corruption: str, names: set[str]) -> None:
    for chosen in (metric_table.shown("show", corruption), metric_table.of_models(corruption)):
        assert {each.name for each in chosen if each.corruptions} == names


def test_what_only_some_tracks_have_cannot_count_for_positions() -> None:
    with pytest.raises(ValueError, match="metric mine: what only some tracks have can be neither required nor ranked"):
        Metric(name="mine", title="Mine", meaning="mine", compute=len, corruptions=frozenset({"mislabel"}), ranked=True)


def _two_forms(learnt: bool) -> object:
    """Evidence of 400 clean examples that the model knows, and their corrupted forms, of which it knows at most F."""
    rng, n = np.random.default_rng(4), 400
    evidence = made(rng, (100, 60, 120, 120))
    phi = np.concatenate([rng.normal(6.0, 1.0, n), rng.normal(-6.0, 1.0, n)])
    reference_phi = np.concatenate([rng.normal(6.0, 1.0, (4, n)), rng.normal(-6.0, 1.0, (4, n))], axis=1)
    parts = {**evidence.parts, "forget": evidence.parts["forget"] + n}
    if learnt:
        phi[parts["forget"]] += 9.0
    logits = np.stack([phi, np.zeros_like(phi)], axis=1)
    return replace(
        evidence,
        logits=logits,
        labels=np.zeros(2 * n, int),
        parts=parts,
        reference_phi=reference_phi,
        lacks=np.ones((4, 2 * n), bool),
        corrupted_forms=CorruptedForms(np.ones(n, bool)),
    )


def test_attacks_compare_f_with_test_examples_in_corrupted_form() -> None:
    # Beside the clean forms, which every model knows, F would be told apart whether it was learnt or not.
    forgotten, kept = _two_forms(learnt=False), _two_forms(learnt=True)
    assert umia.attack(forgotten)["accuracy"] == pytest.approx(0.5, abs=0.1)  # type: ignore[arg-type]
    assert umia.attack(kept)["accuracy"] > 0.9  # type: ignore[arg-type]
    assert rmia.attack(forgotten)["auc"] == pytest.approx(0.5, abs=0.1)  # type: ignore[arg-type]
    assert rmia.attack(kept)["auc"] > 0.9  # type: ignore[arg-type]
