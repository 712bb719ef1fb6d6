from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unlearn_bench.scoring.accuracy import Accuracies
from unlearn_bench.scoring.retention import retention
from unlearn_bench.scoring.umia import indiscernibility

PUBLISHED = Path(__file__).parents[2] / "harness" / "results" / "paper"
fractions = st.integers(0, 200).map(lambda k: k / 200)
models = st.builds(Accuracies, fractions, fractions, fractions, fractions)


def test_ratios_and_their_summed_deviation() -> None:
    found = retention(Accuracies(0.9, 0.6, 0.1, 0.8), Accuracies(1.0, 0.5, 0.9, 0.8))
    assert (found.rr, found.fr, found.tr) == pytest.approx((0.9, 1.2, 1.0))
    assert found.retdev == pytest.approx(0.1 + 0.2 + 0.0)
    assert found.absolute == ()


def test_a_reference_accuracy_of_zero_gives_the_absolute_difference_and_says_so() -> None:
    found = retention(Accuracies(1.0, 0.25, 0.5, 0.8), Accuracies(1.0, 0.0, 0.5, 0.8))
    assert found.retdev == pytest.approx(0.25)
    assert found.absolute == ("forget",)
    assert abs(found.fr - 1) == pytest.approx(0.25)


@given(models, models)
def test_retdev_is_zero_exactly_when_the_three_accuracies_agree(unlearned: Accuracies, retrained: Accuracies) -> None:
    same = [getattr(unlearned, name) == getattr(retrained, name) for name in ("retain", "forget", "test")]
    found = retention(unlearned, retrained)
    assert (found.retdev == 0) == all(same)
    assert found.retdev == pytest.approx(abs(found.rr - 1) + abs(found.fr - 1) + abs(found.tr - 1))


def test_the_replication_recomputes_from_its_rounded_accuracies() -> None:
    table = pd.read_csv(PUBLISHED / "replication.csv", index_col="method")
    models = {
        str(name): Accuracies(row["retain_accuracy"], row["forget_accuracy"], 0.0, row["test_accuracy"])
        for name, row in table.iterrows()
    }
    for name, model in models.items():
        assert retention(model, models["retrain"]).retdev == pytest.approx(table.loc[name, "retdev"], abs=1.5e-4), name
    attacked = table.dropna(subset="indisc")
    assert attacked["mia_accuracy"].map(indiscernibility).to_numpy() == pytest.approx(
        attacked["indisc"].to_numpy(), abs=1.5e-4
    )
