"""Counts of groups over settings."""

from __future__ import annotations

import pandas as pd

from unlearn_bench.scoring.paper_table import group_counts


def test_groups_are_counted_and_ranked_by_g1_then_g2_then_g3() -> None:
    letters = pd.DataFrame(
        {"one": ["G1", "G1", "G2", "F"], "two": ["G2", "G2", "G1", "G1"]},
        index=["ft", "ct", "ga", "ff"],
        dtype="string",
    )
    found = group_counts(letters)
    assert found.loc["ff"].tolist() == [1, 0, 0, 1, 0, 2]
    assert found["rank"].tolist() == [1, 1, 1, 2]


def test_a_method_without_a_group_somewhere_has_counts_and_no_rank() -> None:
    letters = pd.DataFrame({"one": ["G1", "G1"], "two": ["G2", pd.NA]}, index=["ft", "ct"], dtype="string")
    found = group_counts(letters)
    assert found.loc["ct", ["G1", "missing"]].tolist() == [1, 1]
    assert pd.isna(found.loc["ct", "rank"]) and found.loc["ft", "rank"] == 1
