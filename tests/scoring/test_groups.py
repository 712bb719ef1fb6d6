from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray
from sklearn.cluster import AgglomerativeClustering

from unlearn_bench.scoring.groups import GROUPS, all_cut_points, cut_points, places

PUBLISHED = Path(__file__).parents[2] / "harness" / "results" / "paper"
values = st.lists(st.integers(0, 400).map(lambda k: k / 100), min_size=0, max_size=20)


def assign(means: ArrayLike, cuts: ArrayLike, lower_is_better: bool) -> NDArray[np.str_]:
    return np.array(GROUPS)[places(means, cuts, lower_is_better)]


def test_three_plain_clusters_and_the_direction() -> None:
    means = [0.1, 0.12, 0.5, 0.55, 2.0]
    cuts = cut_points(means)
    assert cuts == pytest.approx([0.31, 1.275])
    assert assign(means, cuts, lower_is_better=True).tolist() == ["G1", "G1", "G2", "G2", "G3"]
    assert assign(means, cuts, lower_is_better=False).tolist() == ["G3", "G3", "G2", "G2", "G1"]


def test_others_fall_between_the_cut_points_and_a_tie_goes_up() -> None:
    cuts = [1.0, 2.0]
    assert assign([-5, 1.0, 1.5, 2.0, 1e9], cuts, lower_is_better=True).tolist() == ["G1", "G1", "G2", "G2", "G3"]
    assert assign([-5, 1.0, 1.5, 2.0, 1e9], cuts, lower_is_better=False).tolist() == ["G3", "G2", "G2", "G1", "G1"]


@pytest.mark.parametrize(("means", "expected"), [([], []), ([0.4], []), ([0.4, 0.4], []), ([1, 2, 2], [1.5])])
def test_fewer_distinct_values_give_fewer_groups(means: list[float], expected: list[float]) -> None:
    cuts = cut_points(means)
    assert cuts.tolist() == expected
    assert set(assign(means, cuts, lower_is_better=False)) == {f"G{k + 1}" for k in range(len(set(means)))}


def test_evenly_spaced_values_still_give_three_groups() -> None:
    assert len(cut_points([1, 2, 3, 4])) == 2


@pytest.mark.parametrize("seed", range(20))
def test_the_clusters_are_those_of_scikit_learn(seed: int) -> None:
    means = np.random.default_rng(seed).lognormal(size=4 + seed)
    labels = AgglomerativeClustering(3, linkage="ward").fit_predict(means[:, None])
    ours = assign(means, cut_points(means), lower_is_better=True)
    assert len(set(zip(labels, ours, strict=True))) == len(set(labels)) == len(set(ours)) == 3


@given(values, st.randoms())
def test_order_does_not_matter_and_groups_never_overlap(means: list[float], random: object) -> None:
    shuffled = list(means)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    cuts = cut_points(means)
    assert cut_points(shuffled).tolist() == cuts.tolist()
    assert len(cuts) == max(0, min(3, len(set(means))) - 1)
    assert assign(sorted(means), cuts, lower_is_better=True).tolist() == sorted(
        assign(means, cuts, lower_is_better=True)
    )


def test_each_row_of_a_table_has_its_own_cut_points() -> None:
    table = np.random.default_rng(0).integers(0, 12, size=(200, 9)) / 4
    for row, cuts in zip(table, all_cut_points(table), strict=True):
        assert cuts[np.isfinite(cuts)].tolist() == cut_points(row).tolist()
        np.testing.assert_array_equal(places(row, cuts, True), places(row, cut_points(row), True))


def test_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        cut_points([0.1, np.nan])


def test_groups_of_the_replication() -> None:
    table = pd.read_csv(PUBLISHED / "replication.csv", index_col="method").drop(["retrain", "FF"])
    groups = pd.Series(assign(table["retdev"], cut_points(table["retdev"]), lower_is_better=True), index=table.index)
    found = {name: set(groups.index[groups == name]) for name in ("G1", "G2", "G3")}
    assert found == {
        "G1": {"FCS", "PRMQ", "SalUN", "FT", "NG+", "SCRUB", "CF-k", "RNI", "BT", "SRL"},
        "G2": {"CFW", "CT", "MSG", "KDE", "IU"},
        "G3": {"GA"},
    }
