from pathlib import Path

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from unlearn_bench.scoring.ranks import dense_ranks, keys, positions

PUBLISHED = Path(__file__).parents[2] / "harness" / "results" / "paper"
LETTERS = ["G1", "G2", "G3", "F"]
PRINTED_INDISC = {"CT": 1, "MSG": 1, "CFW": 2, "RNI": 2, "KDE": 2, "FT": 3, "PRMQ": 3, "SalUN": 3, "SRL": 4, "NG+": 5}
PRINTED_INDISC |= {"FCS": 5, "SCRUB": 6, "BT": 7, "CF-k": 8, "EU-k": 9, "GA": 10, "IU": 11, "FF": 12}


def counts(metric: str) -> pd.DataFrame:
    table = pd.read_csv(PUBLISHED / "table1.csv", index_col="method")
    return table[[f"{metric}_{letter.lower()}" for letter in LETTERS]].set_axis(LETTERS, axis=1)


def ranks(table: pd.DataFrame) -> pd.Series:
    return pd.Series(dense_ranks(table[LETTERS[:3]].to_numpy()), index=table.index)


def test_retdev_ranks_of_table_1() -> None:
    found = ranks(counts("retdev"))
    assert found.tolist() == [1, 1, 2, 3, 3, 3, 4, 4, 5, 5, 6, 7, 7, 8, 9, 10, 11, 12]
    printed = pd.read_csv(PUBLISHED / "table1.csv", index_col="method")["retdev_rank"]
    assert found.to_dict() == printed.to_dict()


def test_indisc_ranks_of_table_1() -> None:
    assert ranks(counts("indisc")).to_dict() == PRINTED_INDISC


def test_overall_ranks_use_summed_counts() -> None:
    found = ranks(counts("retdev") + counts("indisc"))
    # 17 of 18 G1 for MSG, 16 for CT, 14 each for KDE, FT and CFW, decided by G2 then G3.
    assert found[["MSG", "CT", "FT", "KDE", "CFW", "PRMQ"]].tolist() == [1, 2, 3, 4, 4, 5]
    assert found["FF"] == found.max()


def test_failures_decide_nothing() -> None:
    table = pd.DataFrame([[1, 0, 0, 0], [1, 0, 0, 5]], columns=LETTERS)
    assert ranks(table).tolist() == [1, 1]


@given(st.lists(st.tuples(*[st.integers(0, 9)] * 3), max_size=12))
def test_ranks_are_the_places_among_the_distinct_counts(rows: list[tuple[int, int, int]]) -> None:
    places = {row: place for place, row in enumerate(sorted(set(rows), reverse=True), start=1)}
    assert dense_ranks(np.array(rows).reshape(-1, 3)).tolist() == [places[row] for row in rows]


def test_positions_are_those_of_a_competition() -> None:
    first, last = positions(np.array([5, 9, 5, 1, 5, 7]))
    assert list(zip(first, last, strict=True)) == [(3, 5), (1, 1), (3, 5), (6, 6), (3, 5), (2, 2)]


def test_later_counts_decide_between_equal_earlier_ones_only() -> None:
    found = keys([[1, 0, 1], [1, 0, 1], [0, 2, 0]], [[0, 0, 1], [1, 0, 0], [9, 9, 9]])
    assert found[1] > found[0] > found[2]


def test_leading_axes_are_boards_of_their_own() -> None:
    boards = np.random.default_rng(0).integers(-3, 3, size=(50, 7))
    for end in (0, 1):
        np.testing.assert_array_equal(positions(boards)[end], [positions(board)[end] for board in boards])
