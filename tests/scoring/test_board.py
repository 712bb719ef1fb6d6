from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from unlearn_bench.scoring.board import track_board
from unlearn_bench.scoring.forgetting import Reading
from unlearn_bench.scoring.panel_result import PanelResult

Make = Callable[..., pd.DataFrame]

BASELINES: dict[str, dict[str, Any]] = {
    "A": {"retdev": 0.01, "umia": 0.50, "rte": 20.0},
    "B": {"retdev": 0.02, "umia": 0.51, "rte": 18.0},
    "C": {"retdev": 0.10, "umia": 0.56, "rte": 5.0},
    "D": {"retdev": 0.11, "umia": 0.44, "rte": 6.0},
    "E": {"retdev": 0.50, "umia": 0.80, "rte": 1.1},
}
JUNK = {"kind": "entry", "retdev": 60.0, "umia": 1.0, "rte": 1e-6, "ra": 0.6, "ra_retrain": 0.6}


LEFT = {"A": 0.0, "B": 0.0, "C": 0.3, "D": 0.3, "E": 0.8}


def attacked(
    spread: float = 0.001, provisional: Sequence[str] = (), seeds: int = 3, **left: float
) -> list[PanelResult]:
    """What U-MIA and U-LiRA find of the baselines and of further entries, as a share of what they find in Original."""
    results = []
    for name, value in {**LEFT, **left}.items():
        noise = spread * np.tile([-1.0, 1.0], 4)
        pairs = Reading("U-LiRA", "pair", 0.5 + 0.2 * value + noise, np.full(8, 0.5), np.full(8, 0.7))
        mia = Reading("U-MIA", "seed", np.full(seeds, 0.5 + 0.1 * value), np.full(seeds, 0.5), np.full(seeds, 0.6))
        if name in provisional:
            results.append(PanelResult(name, "digits", (mia,), provisional="U-LiRA has not run"))
        else:
            results.append(PanelResult(name, "digits", (mia, pairs)))
    return results


def board(rows: pd.DataFrame, seeds: int = 3, **options: Any) -> pd.DataFrame:
    return track_board(rows, "digits", seeds, **{"resamples": 20, **options}).set_index("entry")


def test_groups_counts_and_positions_of_a_plain_board(make_rows: Make) -> None:
    new = {"kind": "entry", "retdev": 0.04, "umia": 0.6, "rte": 40.0}
    found = board(make_rows({**BASELINES, "new": new}), panel=attacked(new=0.2))
    assert found["group_retdev"].to_dict() == {"A": "G1", "B": "G1", "C": "G2", "D": "G2", "E": "G3", "new": "G1"}
    assert found["group_indisc"].to_dict() == {"A": "G1", "B": "G1", "C": "G2", "D": "G2", "E": "G3", "new": "G2"}
    assert found["group_rte"].to_dict() == {"A": "G1", "B": "G1", "C": "G2", "D": "G2", "E": "G3", "new": "G1"}
    assert found["group_forgetting"].to_dict() == {"A": "G1", "B": "G1", "C": "G2", "D": "G2", "E": "G3", "new": "G2"}
    assert found["position"].to_dict() == {"A": 1, "B": 1, "new": 3, "C": 4, "D": 4, "E": 6}
    assert found["position_last"].to_dict() == {"A": 2, "B": 2, "new": 3, "C": 5, "D": 5, "E": 6}
    assert found.loc["new", ["G1", "G2", "G3", "F"]].tolist() == [1, 1, 0, 0], "its speed does not count"
    assert found.loc["A", ["G1", "G2", "G3", "F"]].tolist() == [3, 0, 0, 0]
    assert found.loc["new", ["paper_rank_retdev", "paper_rank_indisc"]].tolist() == [1, 2]


def test_documented_types(make_rows: Make) -> None:
    found = track_board(make_rows(BASELINES), "digits", 3, resamples=5)
    for column in ("entry", "kind", "state", "reason", "group_retdev"):
        assert found[column].dtype == "string", column
    for column in ("position", "position_last", "position_low", "position_high", "paper_rank_indisc"):
        assert found[column].dtype == "Int64", column
    for column in ("seeds_ok", "seeds_total", "G1", "F"):
        assert found[column].dtype == np.int64, column
    for column in ("ra", "retdev_low", "rte_high", "indisc_of_mean", "keep_indisc", "forgetting", "ulira", "ahead"):
        assert found[column].dtype == np.float64, column


def test_a_junk_entry_moves_nobody(make_rows: Make) -> None:
    before, after = board(make_rows(BASELINES)), board(make_rows({**BASELINES, "junk": JUNK}))
    assert after.index.tolist() == [*"ABCDE", "junk"]
    kept = [column for column in before.columns if not column.startswith(("position_", "ahead"))]
    assert_frame_equal(after.loc[list("ABCDE"), kept], before.loc[list("ABCDE"), kept])
    # The same numbers as a shipped method would set the cut points.
    as_baseline = board(make_rows({**BASELINES, "junk": {**JUNK, "kind": "baseline"}}))
    assert as_baseline.loc["E", "group_retdev"] != before.loc["E", "group_retdev"]


def test_one_failed_seed_makes_an_entry_f(make_rows: Make) -> None:
    found = board(make_rows({**BASELINES, "new": {**BASELINES["A"], "kind": "entry", "status": ["ok", "crash", "ok"]}}))
    new = found.loc["new"]
    assert new[["group_retdev", "group_indisc", "group_rte"]].tolist() == ["F", "F", "F"]
    assert new[["G1", "G2", "G3", "F"]].tolist() == [0, 0, 0, 2]
    assert (new["state"], new["reason"]) == ("failed", "1 crash of 3 seeds")
    assert (new["seeds_ok"], new["seeds_total"]) == (2, 3)
    assert found["position"].dropna().to_dict() == {"A": 1, "B": 1, "C": 3, "D": 3, "E": 5}
    assert new["retdev"] == pytest.approx(0.01)


def test_a_method_that_does_not_apply_has_no_group_and_is_no_f(make_rows: Make) -> None:
    unfit = {"kind": "baseline", "status": "not-applicable", "retdev": 60.0}
    found, without = board(make_rows({**BASELINES, "unfit": unfit})), board(make_rows(BASELINES))
    row = found.loc["unfit"]
    assert row["state"] == "not applicable" and pd.isna(row[["group_retdev", "position", "paper_rank_retdev"]]).all()
    assert row[["G1", "G2", "G3", "F"]].tolist() == [0, 0, 0, 0]
    kept = ["group_retdev", "position", "paper_rank_retdev"]
    assert_frame_equal(found.loc[list("ABCDE"), kept], without[kept])


def test_a_failed_seed_may_hold_no_numbers(make_rows: Make) -> None:
    rows = make_rows({**BASELINES, "new": {"kind": "entry", "status": ["timeout", "oom", "oom"]}})
    rows.loc[rows["entry"] == "new", ["ra", "retdev", "umia", "indisc", "rte", "ra_retrain"]] = np.nan
    new = board(rows).loc["new"]
    assert new["reason"] == "2 oom, 1 timeout of 3 seeds"
    assert np.isnan(new["retdev"]) and np.isnan(new["rte"]) and pd.isna(new["position"])


def test_a_baseline_that_failed_sets_no_cut_points(make_rows: Make) -> None:
    far = {"retdev": 60.0, "status": ["ok", "ok", "invalid"]}
    assert_frame_equal(
        board(make_rows({**BASELINES, "far": far})).loc[list("ABCDE"), ["group_retdev", "position"]],
        board(make_rows(BASELINES))[["group_retdev", "position"]],
    )


@pytest.mark.parametrize("status", ["infra", None])
def test_seeds_that_are_missing_by_nobodys_fault_leave_a_row_unranked(make_rows: Make, status: str | None) -> None:
    rows = make_rows({**BASELINES, "new": {**BASELINES["A"], "kind": "entry"}, "Retrain": {"kind": "reference"}})
    last = (rows["entry"] == "new") & (rows["seed"] == 2)
    rows = rows[~last] if status is None else rows.assign(status=rows["status"].mask(last, status))
    found = board(rows)
    new = found.loc["new"]
    assert (new["state"], new["reason"], new["group_retdev"]) == ("incomplete", "2 of 3 seeds done", "F")
    assert new[["position", "position_low", "position_high", "paper_rank_indisc"]].isna().all()
    assert found.index.tolist() == [*"ABCDE", "new", "Retrain"]


@pytest.mark.parametrize(
    ("ra", "reason"),
    [
        (0.149, "seed 0: RA 0.149 is below 1.5 / classes = 0.150, and 2 more seeds"),
        (0.48, "seed 0: RA 0.480 is below half of Retrain's 0.990, and 2 more seeds"),
    ],
)
def test_an_unusable_model_is_f_and_sets_no_cut_points(make_rows: Make, ra: float, reason: str) -> None:
    found = board(make_rows({**BASELINES, "flat": {"ra": ra, "retdev": 2.7}}))
    assert (found.loc["flat", "state"], found.loc["flat", "reason"]) == ("unusable", reason)
    assert found.loc["flat", "group_retdev"] == "F"
    assert found.loc["E", "group_retdev"] == "G3"


def test_every_seed_must_be_usable(make_rows: Make) -> None:
    seeds = {"one bad seed": [0.99, 0.10, 0.99], "two": [0.10, 0.99, 0.10], "weak": 0.5}
    found = board(make_rows({**BASELINES, **{name: {"ra": ra} for name, ra in seeds.items()}}))
    assert found.loc[["one bad seed", "weak"], "state"].tolist() == ["unusable", "ok"]
    assert found.loc["one bad seed", "reason"] == "seed 1: RA 0.100 is below 1.5 / classes = 0.150"
    assert found.loc["two", "reason"] == "seed 0: RA 0.100 is below 1.5 / classes = 0.150, and 1 more seed"


def test_a_seed_whose_outputs_have_collapsed_is_unusable(make_rows: Make) -> None:
    why = "its outputs have collapsed: the same loss on 528 examples"
    found = board(make_rows({**BASELINES, "flat": {"collapse": ["", why, ""]}}))
    assert found.loc["flat", ["state", "reason", "group_indisc"]].tolist() == ["unusable", f"seed 1: {why}", "F"]


def test_reference_rows_stand_apart_and_take_no_part(make_rows: Make) -> None:
    references = {"Original": {**JUNK, "kind": "reference"}, "Retrain": {"kind": "reference", "retdev": 0.0}}
    found = board(make_rows({**references, **BASELINES}))
    assert found.index.tolist() == [*"ABCDE", "Retrain", "Original"]
    apart = found.loc[["Original", "Retrain"]]
    assert apart[["position", "position_low", "paper_rank_retdev", "group_retdev", "group_rte"]].isna().all(axis=None)
    assert apart[["G1", "G2", "G3", "F"]].sum(axis=None) == 0
    assert found.loc["E", "group_retdev"] == "G3" and found.loc["E", "position"] == 5


def test_inside_a_tie_rows_are_listed_by_what_is_left_and_retdev(make_rows: Make) -> None:
    ties = {name: {"kind": "entry", "retdev": retdev, "rte": 20.0} for name, retdev in (("P", 0.012), ("Q", 0.005))}
    found = board(make_rows({**ties, **BASELINES}), panel=attacked(P=0.0, Q=0.0))
    assert found.index.tolist()[:4] == ["Q", "A", "P", "B"]
    assert found["position"].iloc[:4].tolist() == [1] * 4 and found["position_last"].iloc[:4].tolist() == [4] * 4


def test_an_unknown_rte_counts_as_nothing(make_rows: Make) -> None:
    rows = make_rows({**BASELINES, "new": {**BASELINES["A"], "kind": "entry", "rte": [20.0, np.nan, 20.0]}})
    found = board(rows, panel=attacked(new=0.0))
    new = found.loc["new"]
    assert pd.isna(new["group_rte"]) and np.isnan(new["rte"]) and np.isnan(new["keep_rte"])
    assert new[["G1", "G2", "G3", "F"]].tolist() == [2, 0, 0, 0]
    assert found.loc["A", "position"] == 1 and new["position"] == 3


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


def test_the_range_holds_the_position_and_depends_on_nothing_but_the_rows(make_rows: Make) -> None:
    rows = make_rows(noisy(np.random.default_rng(0)), seeds=10)
    found = board(rows, 10, resamples=200)
    assert (found["position_low"] <= found["position"]).all()
    assert (found["position_last"] <= found["position_high"]).all()
    assert (found["position_low"] < found["position"]).any()
    assert found["keep_retdev"].between(0, 1).all() and (found["keep_retdev"] < 1).any()
    assert_frame_equal(board(rows.sample(frac=1, random_state=1), 10, resamples=200), found)
    assert_frame_equal(board(pd.concat([rows, rows.assign(track="other")]), 10, resamples=200), found)
    assert not board(rows, 10, resamples=200, seed=5)["keep_retdev"].equals(found["keep_retdev"])


@pytest.mark.parametrize(("gap", "expected"), [(0.01, [[1, 2], [1, 2]]), (0.05, [[1, 1], [2, 2]])])
def test_the_range_is_the_middle_95_percent(make_rows: Make, gap: float, expected: list[list[int]]) -> None:
    first = np.full(10, 0.5)
    second = first + gap + 0.02 * np.array([1.5, -1.5, 0.5, -0.5, 1.0, -1.0, 0.8, -0.8, 0.2, -0.2])
    found = board(make_rows({"A": {"retdev": first}, "B": {"retdev": second}}, seeds=10), 10, resamples=400)
    held = found["keep_retdev"].iloc[0]  # how often A stays ahead
    assert (0.9 < held < 0.975) if gap == 0.01 else held == 1.0
    assert found[["position_low", "position_high"]].to_numpy().tolist() == expected


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
    assert found[["position", "position_low", "position_high"]].to_numpy().tolist() == [[1, 1, 1], [2, 2, 2]]


def test_one_seed_gives_a_board_without_spread(make_rows: Make) -> None:
    found = board(make_rows(BASELINES, seeds=1), 1)
    assert (found["retdev_low"] == found["retdev_high"]).all()
    assert (found["position_high"] == found["position_last"]).all()


def test_without_a_usable_baseline_there_are_no_cuts(make_rows: Make) -> None:
    found = board(make_rows({"X": {"kind": "entry"}, "junk": JUNK, "A": {"status": "crash"}}))
    assert found["group_retdev"].to_dict() == {"X": "G1", "junk": "G1", "A": "F"}
    assert found["position"].dropna().to_dict() == {"X": 1, "junk": 1}


def test_boards_of_nothing_and_of_references_alone(make_rows: Make) -> None:
    rows = make_rows({"Retrain": {"kind": "reference"}})
    assert board(rows)["position"].isna().all()
    assert len(track_board(rows, "elsewhere", 3)) == 0


def test_at_least_one_resample(make_rows: Make) -> None:
    with pytest.raises(ValueError, match="resamples"):
        board(make_rows(BASELINES), resamples=0)


def test_where_u_lira_has_run_a_row_without_it_is_provisional_and_stands_behind_its_equals(make_rows: Make) -> None:
    rows = make_rows(
        {
            **BASELINES,
            "full": {**BASELINES["A"], "kind": "entry"},
            "less": {**BASELINES["A"], "kind": "entry", "rte": 90},
        }
    )
    found = board(rows, panel=attacked(full=0.0, less=0.0, provisional=("less",)))
    assert found.loc["less", "provisional"] == "U-LiRA has not run" and found.loc["full", "provisional"] == ""
    assert found.loc["full", "position"] < found.loc["less", "position"], "though it is faster"
    assert found.loc["less", "position"] < found.loc["C", "position"]


def test_an_entry_that_forgets_no_better_than_original_has_no_position(make_rows: Make) -> None:
    rows = make_rows({**BASELINES, "same": {**BASELINES["A"], "kind": "entry"}})
    found = board(rows, panel=attacked(same=1.0))
    assert found.loc["same", "state"] == "no better" and pd.isna(found.loc["same", "position"])
    assert "no better than Original: U-LiRA may find 1.0" in found.loc["same", "reason"]
    assert found.loc["same", ["group_retdev", "group_forgetting"]].tolist() == ["G1", "G3"]
    assert found.index.tolist()[-1] == "same"


def test_speed_counts_only_between_rows_that_keep_and_forget(make_rows: Make) -> None:
    fast, slow = ({**BASELINES["A"], "kind": "entry", "rte": rte} for rte in (90.0, 1.5))
    rows = make_rows({**BASELINES, "fast": fast, "slow": slow})
    both, neither = (board(rows, panel=attacked(fast=left, slow=left)) for left in (0.0, 0.3))
    assert both.loc["fast", "position_last"] < both.loc["slow", "position"]
    assert neither.loc["fast", "position"] == neither.loc["slow", "position"]


def test_no_faster_than_retraining_is_g3_whatever_the_others_do(make_rows: Make) -> None:
    found = board(make_rows({name: {"rte": rte} for name, rte in zip("ABCD", (0.1, 0.5, 0.99, 1.5), strict=True)}))
    assert found["group_rte"].to_dict() == {"A": "G3", "B": "G3", "C": "G3", "D": "G1"}


def test_a_row_has_what_attacks_found(make_rows: Make) -> None:
    shadows = {"ulira": 0.6, "ulira_low": 0.58, "ulira_high": 0.62}
    panel = [replace(result, shadows=shadows) if result.entry == "C" else result for result in attacked(C=0.4)]
    found = board(make_rows(BASELINES), panel=panel)
    assert found.loc["C", ["ulira", "ulira_low", "ulira_high"]].tolist() == [0.6, 0.58, 0.62]
    assert found.loc["C", "forgetting"] == pytest.approx(0.4) and found.loc["C", "forgetting_attack"] == "U-MIA"
    assert found.loc["A", ["ulira", "ulira_retrained"]].isna().all()
    assert board(make_rows(BASELINES))["forgetting"].isna().all()


def test_the_ranges_know_the_spread_between_pairs(make_rows: Make) -> None:
    rows = make_rows(BASELINES)
    calm, wild = (board(rows, resamples=300, panel=attacked(C=0.48, spread=spread)) for spread in (0.001, 0.1))
    assert calm.loc["C", "keep_forgetting"] == 1.0 > wild.loc["C", "keep_forgetting"]


def test_how_often_a_row_stands_ahead_of_the_next(make_rows: Make) -> None:
    entries = {
        name: {"retdev": np.linspace(level, level + 0.3, 10)} for name, level in zip("ABC", (0, 0.01, 5), strict=True)
    }
    found = board(make_rows(entries, seeds=10), 10, resamples=200)
    assert found["ahead"].iloc[1] == 1.0 and np.isnan(found["ahead"].iloc[2])
