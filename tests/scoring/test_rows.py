from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from unlearn_bench.scoring.seed_rows import checked, standings

Make = Callable[..., pd.DataFrame]
WANTED = {"digits": 3}


@pytest.fixture
def rows(make_rows: Make) -> pd.DataFrame:
    return make_rows({"A": {}, "B": {"kind": "entry"}})


def test_rows_of_other_tracks_and_other_columns_are_left_out(rows: pd.DataFrame) -> None:
    found = checked(pd.concat([rows, rows.assign(track="mnist")]).assign(title="<script>"), WANTED)
    assert len(found) == 6 and set(found["track"]) == {"digits"} and "title" not in found


def test_missing_columns_are_named(rows: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="retdev, classes"):
        checked(rows.drop(columns=["retdev", "classes"]), WANTED)


def test_a_seed_counts_once(rows: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="A has seed 0 of digits twice"):
        checked(pd.concat([rows, rows.iloc[:1]]), WANTED)


def test_more_seeds_than_the_track_wants_are_refused(rows: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="3 seeds on digits, which wants 2"):
        checked(rows, {"digits": 2})


@pytest.mark.parametrize("column", ["ra", "retdev", "umia", "indisc", "ra_retrain"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_seed_that_is_ok_has_its_numbers(rows: pd.DataFrame, column: str, value: float) -> None:
    rows.loc[1, column] = value
    with pytest.raises(ValueError, match="A, seed 1 of digits"):
        checked(rows, WANTED)


@pytest.mark.parametrize("value", [0.0, -1.0, np.inf])
def test_rte_is_positive_or_unknown(rows: pd.DataFrame, value: float) -> None:
    rows.loc[1, "rte"] = value
    with pytest.raises(ValueError, match="rte"):
        checked(rows, WANTED)
    rows.loc[1, "rte"] = np.nan
    assert len(checked(rows, WANTED)) == 6


def test_unknown_and_changing_kinds_are_refused(rows: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="unknown kind"):
        checked(rows.assign(kind="sponsor"), WANTED)
    rows.loc[1, "kind"] = "reference"
    with pytest.raises(ValueError, match="one kind"):
        checked(rows, WANTED)


def test_a_failure_outweighs_missing_seeds(make_rows: Make) -> None:
    found = standings(make_rows({"A": {"status": ["crash", "infra", "infra"]}}), 3)
    assert found.loc["A", ["state", "seeds_ok", "seeds_total"]].tolist() == ["failed", 0, 3]


@pytest.mark.parametrize(
    ("statuses", "state"),
    [
        (["not-applicable"] * 3, "not applicable"),
        (["not-applicable", "infra", "infra"], "not applicable"),
        (["not-applicable", "ok", "ok"], "failed"),
        (["not-applicable", "crash", "infra"], "failed"),
    ],
)
def test_a_method_does_not_apply_if_no_seed_ended_otherwise(make_rows: Make, statuses: list[str], state: str) -> None:
    assert standings(make_rows({"A": {"status": statuses}}), 3).loc["A", "state"] == state


def test_a_disqualified_entry_failed(make_rows: Make) -> None:
    assert standings(make_rows({"A": {"status": "disqualified"}}), 3).loc["A", "state"] == "failed"
