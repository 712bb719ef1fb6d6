from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from unlearn_bench.scoring.board import track_board
from unlearn_bench.scoring.seed_rows import ULiRAResult

Make = Callable[..., pd.DataFrame]

BASELINES: dict[str, dict[str, Any]] = {
    "A": {"retdev": 0.01, "umia": 0.50, "rte": 20.0},
    "B": {"retdev": 0.02, "umia": 0.51, "rte": 18.0},
    "C": {"retdev": 0.10, "umia": 0.56, "rte": 5.0},
    "D": {"retdev": 0.11, "umia": 0.44, "rte": 6.0},
    "E": {"retdev": 0.50, "umia": 0.80, "rte": 1.1},
}
JUNK = {"kind": "entry", "retdev": 60.0, "umia": 1.0, "rte": 1e-6, "ra": 0.6, "ra_retrain": 0.6}


def board(rows: pd.DataFrame, seeds: int = 3, **options: Any) -> pd.DataFrame:
    return track_board(rows, "digits", seeds, **{"resamples": 20, **options}).set_index("entry")


def test_groups_counts_and_ranks_of_a_plain_board(make_rows: Make) -> None:
    new = {"kind": "entry", "retdev": 0.04, "umia": 0.6, "rte": 40.0}
    found = board(make_rows({**BASELINES, "new": new}))
    assert found["group_retdev"].to_dict() == {"A": "G1", "B": "G1", "C": "G2", "D": "G2", "E": "G3", "new": "G1"}
    assert found["group_indisc"].to_dict() == {"A": "G1", "B": "G1", "C": "G2", "D": "G2", "E": "G3", "new": "G2"}
    assert found["group_rte"].to_dict() == {"A": "G1", "B": "G1", "C": "G2", "D": "G2", "E": "G3", "new": "G1"}
    assert found["rank"].to_dict() == {"A": 1, "B": 1, "new": 2, "C": 3, "D": 3, "E": 4}
    assert found.loc["new", ["G1", "G2", "G3", "F"]].tolist() == [2, 1, 0, 0]
    assert found.loc["new", ["rank_retdev", "rank_indisc", "rank_rte"]].tolist() == [1, 2, 1]


def test_documented_types(make_rows: Make) -> None:
    found = track_board(make_rows(BASELINES), "digits", 3, resamples=5)
    for column in ("entry", "kind", "state", "reason", "group_retdev"):
        assert found[column].dtype == "string", column
    for column in ("rank", "rank_low", "rank_high", "rank_rte"):
        assert found[column].dtype == "Int64", column
    for column in ("seeds_ok", "seeds_total", "G1", "F"):
        assert found[column].dtype == np.int64, column
    for column in ("ra", "retdev_low", "rte_high", "indisc_of_mean", "keep_indisc"):
        assert found[column].dtype == np.float64, column


def test_a_junk_entry_moves_nobody(make_rows: Make) -> None:
    before, after = board(make_rows(BASELINES)), board(make_rows({**BASELINES, "junk": JUNK}))
    assert after.index.tolist() == [*"ABCDE", "junk"]
    kept = [column for column in before.columns if column not in ("rank_low", "rank_high")]
    assert_frame_equal(after.loc[list("ABCDE"), kept], before.loc[list("ABCDE"), kept])
    # The same numbers as a shipped method would set the cut points.
    as_baseline = board(make_rows({**BASELINES, "junk": {**JUNK, "kind": "baseline"}}))
    assert as_baseline.loc["E", "group_retdev"] != before.loc["E", "group_retdev"]


def test_one_failed_seed_makes_an_entry_f(make_rows: Make) -> None:
    found = board(make_rows({**BASELINES, "new": {**BASELINES["A"], "kind": "entry", "status": ["ok", "crash", "ok"]}}))
    new = found.loc["new"]
    assert new[["group_retdev", "group_indisc", "group_rte"]].tolist() == ["F", "F", "F"]
    assert new[["G1", "G2", "G3", "F"]].tolist() == [0, 0, 0, 3]
    assert (new["state"], new["reason"]) == ("failed", "1 crash of 3 seeds")
    assert (new["seeds_ok"], new["seeds_total"]) == (2, 3)
    assert found["rank"].to_dict() == {"A": 1, "B": 1, "C": 2, "D": 2, "E": 3, "new": 4}
    assert new["retdev"] == pytest.approx(0.01)


def test_a_failed_seed_may_hold_no_numbers(make_rows: Make) -> None:
    rows = make_rows({**BASELINES, "new": {"kind": "entry", "status": ["timeout", "oom", "oom"]}})
    rows.loc[rows["entry"] == "new", ["ra", "retdev", "umia", "indisc", "rte", "ra_retrain"]] = np.nan
    new = board(rows).loc["new"]
    assert new["reason"] == "2 oom, 1 timeout of 3 seeds"
    assert np.isnan(new["retdev"]) and np.isnan(new["rte"]) and new["rank"] == 4


def test_a_baseline_that_failed_sets_no_cut_points(make_rows: Make) -> None:
    far = {"retdev": 60.0, "status": ["ok", "ok", "invalid"]}
    assert_frame_equal(
        board(make_rows({**BASELINES, "far": far})).loc[list("ABCDE"), ["group_retdev", "rank"]],
        board(make_rows(BASELINES))[["group_retdev", "rank"]],
    )


@pytest.mark.parametrize("status", ["infra", None])
def test_seeds_that_are_missing_by_nobodys_fault_leave_a_row_unranked(make_rows: Make, status: str | None) -> None:
    rows = make_rows({**BASELINES, "new": {**BASELINES["A"], "kind": "entry"}, "Retrain": {"kind": "reference"}})
    last = (rows["entry"] == "new") & (rows["seed"] == 2)
    rows = rows[~last] if status is None else rows.assign(status=rows["status"].mask(last, status))
    found = board(rows)
    new = found.loc["new"]
    assert (new["state"], new["reason"], new["group_retdev"]) == ("incomplete", "2 of 3 seeds done", "F")
    assert new[["rank", "rank_low", "rank_high", "rank_indisc"]].isna().all()
    assert found.index.tolist() == [*"ABCDE", "new", "Retrain"]


@pytest.mark.parametrize(
    ("ra", "reason"),
    [(0.149, "mean RA 0.149 is below 1.5 / classes = 0.150"), (0.48, "mean RA 0.480 is below half of Retrain's 0.990")],
)
def test_an_unusable_model_is_f_and_sets_no_cut_points(make_rows: Make, ra: float, reason: str) -> None:
    found = board(make_rows({**BASELINES, "flat": {"ra": ra, "retdev": 2.7}}))
    assert (found.loc["flat", "state"], found.loc["flat", "reason"]) == ("unusable", reason)
    assert found.loc["flat", "group_retdev"] == "F"
    assert found.loc["E", "group_retdev"] == "G3"


def test_usability_goes_by_the_mean_over_seeds(make_rows: Make) -> None:
    found = board(make_rows({**BASELINES, "one bad seed": {"ra": [0.99, 0.10, 0.99]}, "weak": {"ra": 0.5}}))
    assert found.loc[["one bad seed", "weak"], "state"].tolist() == ["ok", "ok"]


def test_reference_rows_stand_apart_and_take_no_part(make_rows: Make) -> None:
    references = {"Original": {**JUNK, "kind": "reference"}, "Retrain": {"kind": "reference", "retdev": 0.0}}
    found = board(make_rows({**references, **BASELINES}))
    assert found.index.tolist() == [*"ABCDE", "Retrain", "Original"]
    apart = found.loc[["Original", "Retrain"]]
    assert apart[["rank", "rank_low", "rank_rte", "group_retdev", "group_rte"]].isna().all(axis=None)
    assert apart[["G1", "G2", "G3", "F"]].sum(axis=None) == 0
    assert found.loc["E", "group_retdev"] == "G3" and found.loc["E", "rank"] == 3


def test_inside_a_tie_rows_are_listed_by_retdev_plus_disc(make_rows: Make) -> None:
    ties = {
        "P": {"kind": "entry", "retdev": 0.010, "umia": 0.514, "rte": 30.0},  # .038
        "Q": {"kind": "entry", "retdev": 0.030, "umia": 0.500, "rte": 9e9},  # .030
        "R": {"kind": "entry", "retdev": 0.005, "umia": 0.490, "rte": 30.0},  # .025
    }
    found = board(make_rows({**ties, **BASELINES}))
    assert found.index.tolist()[:5] == ["A", "R", "Q", "P", "B"]  # A: .010, B: .040
    assert found["rank"].iloc[:5].tolist() == [1] * 5


def test_an_unknown_rte_counts_as_nothing(make_rows: Make) -> None:
    found = board(make_rows({**BASELINES, "new": {**BASELINES["A"], "kind": "entry", "rte": [20.0, np.nan, 20.0]}}))
    new = found.loc["new"]
    assert pd.isna(new["group_rte"]) and np.isnan(new["rte"]) and np.isnan(new["keep_rte"])
    assert new[["G1", "G2", "G3", "F"]].tolist() == [2, 0, 0, 0]
    assert found.loc["A", "rank"] == 1 and new["rank"] == 2


def test_a_board_without_any_rte_ranks_by_the_other_two(make_rows: Make) -> None:
    found = board(make_rows(BASELINES).assign(rte=np.nan))
    assert found["rank"].to_dict() == {"A": 1, "B": 1, "C": 2, "D": 2, "E": 3}
    assert found["group_rte"].isna().all()


def test_indisc_is_taken_per_seed_before_the_mean(make_rows: Make) -> None:
    new = board(make_rows({**BASELINES, "swing": {"umia": [0.4, 0.5, 0.6]}})).loc["swing"]
    assert new["indisc"] == pytest.approx((0.8 + 1 + 0.8) / 3)
    assert new["indisc_of_mean"] == pytest.approx(1.0)


def test_rte_is_a_geometric_mean(make_rows: Make) -> None:
    assert board(make_rows({**BASELINES, "fast": {"rte": [1.0, 10.0, 100.0]}})).loc["fast", "rte"] == pytest.approx(10)


def noisy(rng: np.random.Generator, seeds: int = 10) -> dict[str, dict[str, Any]]:
    return {
        name: {"retdev": rng.normal(0.1 + 0.02 * k, 0.02, seeds), "umia": rng.normal(0.5 + 0.01 * k, 0.02, seeds)}
        for k, name in enumerate("ABCDEFGH")
    }


def test_the_rank_range_holds_the_rank_and_depends_on_nothing_but_the_rows(make_rows: Make) -> None:
    rows = make_rows(noisy(np.random.default_rng(0)), seeds=10)
    found = board(rows, 10, resamples=200)
    assert (found["rank_low"] <= found["rank"]).all() and (found["rank"] <= found["rank_high"]).all()
    assert (found["rank_low"] < found["rank_high"]).any()
    assert found["keep_retdev"].between(0, 1).all() and (found["keep_retdev"] < 1).any()
    assert_frame_equal(board(rows.sample(frac=1, random_state=1), 10, resamples=200), found)
    assert_frame_equal(board(pd.concat([rows, rows.assign(track="other")]), 10, resamples=200), found)
    assert not board(rows, 10, resamples=200, seed=5)["keep_retdev"].equals(found["keep_retdev"])


@pytest.mark.parametrize(("gap", "expected"), [(0.01, [[1, 2], [1, 2]]), (0.05, [[1, 1], [2, 2]])])
def test_the_rank_range_is_the_middle_95_percent(make_rows: Make, gap: float, expected: list[list[int]]) -> None:
    first = np.full(10, 0.5)
    second = first + gap + 0.02 * np.array([1.5, -1.5, 0.5, -0.5, 1.0, -1.0, 0.8, -0.8, 0.2, -0.2])
    found = board(make_rows({"A": {"retdev": first}, "B": {"retdev": second}}, seeds=10), 10, resamples=400)
    held = found["keep_retdev"].iloc[0]  # how often A stays ahead
    assert (0.9 < held < 0.975) if gap == 0.01 else held == 1.0
    assert found[["rank_low", "rank_high"]].to_numpy().tolist() == expected


def test_tracks_are_resampled_independently(make_rows: Make) -> None:
    entries = noisy(np.random.default_rng(2))
    first, second = (make_rows(entries, track=track, seeds=10) for track in ("one", "two"))
    found = [track_board(rows, rows["track"].iloc[0], 10)["keep_retdev"].tolist() for rows in (first, second)]
    assert found[0] != found[1]
    assert found[0] == pytest.approx(found[1], abs=0.1)


def test_resamples_are_paired_and_cut_anew(make_rows: Make) -> None:
    # The baselines swing together far more than they differ: paired draws, each with its own cuts, tell them apart.
    common = np.random.default_rng(1).normal(0.5, 0.2, 10)
    found = board(make_rows({"A": {"retdev": common}, "B": {"retdev": common + 0.001}}, seeds=10), 10, resamples=100)
    assert found["keep_retdev"].tolist() == [1.0, 1.0]
    assert found[["rank", "rank_low", "rank_high"]].to_numpy().tolist() == [[1, 1, 1], [2, 2, 2]]


def test_one_seed_gives_a_board_without_spread(make_rows: Make) -> None:
    found = board(make_rows(BASELINES, seeds=1), 1)
    assert (found["retdev_low"] == found["retdev_high"]).all()
    assert (found["rank_low"] == found["rank_high"]).all()


def test_without_a_usable_baseline_there_are_no_cuts(make_rows: Make) -> None:
    found = board(make_rows({"X": {"kind": "entry"}, "junk": JUNK, "A": {"status": "crash"}}))
    assert found["group_retdev"].to_dict() == {"X": "G1", "junk": "G1", "A": "F"}
    assert found["rank"].to_dict() == {"X": 1, "junk": 1, "A": 2}


def test_boards_of_nothing_and_of_references_alone(make_rows: Make) -> None:
    rows = make_rows({"Retrain": {"kind": "reference"}})
    assert board(rows)["rank"].isna().all()
    assert len(track_board(rows, "elsewhere", 3)) == 0


def test_at_least_one_resample(make_rows: Make) -> None:
    with pytest.raises(ValueError, match="resamples"):
        board(make_rows(BASELINES), resamples=0)


PAIRS = {"A": 0.51, "B": 0.52, "C": 0.60, "D": 0.61, "E": 0.80}


def attacked(**changed: ULiRAResult) -> list[ULiRAResult]:
    drawn = {
        name: ULiRAResult(name, "digits", "ok", (mean - 0.01, mean, mean + 0.01, mean), mean - 0.02, mean + 0.02)
        for name, mean in PAIRS.items()
    }
    return list({**drawn, **changed}.values())


def test_u_lira_is_a_fourth_metric_of_a_rank_of_its_own(make_rows: Make) -> None:
    new = {"kind": "entry", "retdev": 0.04, "umia": 0.6, "rte": 40.0}
    rows = make_rows({**BASELINES, "new": new, "idle": {**new, "retdev": 0.03}})
    plain = board(rows)
    found = board(rows, shadows=attacked(new=ULiRAResult("new", "digits", "ok", (0.515,) * 4, 0.51, 0.52)))
    assert found["group_ulira"].to_dict() | {"idle": None} == {
        "A": "G1",
        "B": "G1",
        "C": "G2",
        "D": "G2",
        "E": "G3",
        "new": "G1",
        "idle": None,
    }
    assert found.loc["C", ["ulira", "ulira_low", "ulira_high"]].tolist() == pytest.approx([0.60, 0.58, 0.62])
    assert found.loc["C", "ulira_indisc"] == pytest.approx(0.8)
    assert found["rank_with_ulira"].dropna().to_dict() == {"A": 1, "B": 1, "new": 2, "C": 3, "D": 3, "E": 4}
    assert pd.isna(found.loc["idle", "rank_with_ulira"]), "a row that did not run it has no such rank"
    assert (found["rank"] == plain["rank"]).all(), "the other rank does not know of it"
    assert plain["rank_with_ulira"].isna().all() and plain["ulira"].isna().all()
    assert (found["rank_with_ulira_low"] <= found["rank_with_ulira"]).dropna().all()


def test_failed_shadow_units_are_f_and_an_entry_moves_nobody(make_rows: Make) -> None:
    rows = make_rows({**BASELINES, "new": {**BASELINES["A"], "kind": "entry"}})
    found = board(rows, shadows=attacked(new=ULiRAResult("new", "digits", "crash")))
    assert found.loc["new", "group_ulira"] == "F" and np.isnan(found.loc["new", "ulira"])
    assert found.loc["new", "rank_with_ulira"] > found.loc["A", "rank_with_ulira"]
    junk = board(rows, shadows=attacked(new=ULiRAResult("new", "digits", "ok", (1.0,) * 4, 1.0, 1.0)))
    assert junk["group_ulira"].drop("new").equals(found["group_ulira"].drop("new"))


def test_the_range_of_the_rank_knows_the_spread_between_pairs(make_rows: Make) -> None:
    rows = make_rows(BASELINES)
    wild = ULiRAResult("C", "digits", "ok", (0.45, 0.75, 0.45, 0.75), 0.4, 0.8)
    calm, spread = (board(rows, resamples=300, shadows=shadows) for shadows in (attacked(), attacked(C=wild)))
    assert calm.loc["C", "keep_ulira"] == 1.0 > spread.loc["C", "keep_ulira"]
