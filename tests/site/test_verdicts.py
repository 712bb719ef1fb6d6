"""A board in words: what a row's numbers say, and which method to take."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from unlearn_bench.harness.entries.entry import Entry, baseline
from unlearn_bench.harness.report.methods import method
from unlearn_bench.harness.report.verdicts import headline, like_original, verdict
from unlearn_bench.scoring.seed_rows import NO_BETTER


def row(**changes: Any) -> dict[str, Any]:
    values = {
        "entry": "mine",
        "state": "ok",
        "reason": "",
        "provisional": "",
        "position": 1,
        "forgetting": 0.05,
        "forgetting_low": 0.0,
        "forgetting_high": 0.2,
        "forgetting_attack": "RMIA",
        "group_forgetting": "G1",
        "group_retdev": "G1",
        "rte": 2.0,
    }
    return values | changes


@pytest.mark.parametrize(
    "changes, words",
    [
        ({}, "nothing is found (most: RMIA .05)"),
        ({"group_forgetting": "G2", "forgetting": 0.3}, "leaks a little: RMIA .30"),
        ({"group_forgetting": "G3", "forgetting": 0.6, "forgetting_high": 0.8}, "leaks: RMIA .60"),
        ({"group_forgetting": "G3", "forgetting": 0.9, "forgetting_high": 1.1}, "leaks as Original does: RMIA .90"),
        (
            {"state": NO_BETTER, "forgetting": 0.24, "forgetting_high": 1.02},
            "may leak as Original does: .00 to 1.02 of what Original shows",
        ),
        ({"group_retdev": "G3"}, "nothing is found (most: RMIA .05); answers unlike Retrain"),
        ({"state": "failed", "reason": "2 timeout of 2 seeds"}, "fails: 2 timeout of 2 seeds"),
        ({"state": "disqualified"}, "disqualified"),
        ({"entry": "original", "state": "reference"}, "nothing is unlearned"),
    ],
)
def test_a_row_says_what_its_numbers_mean(changes: dict[str, Any], words: str) -> None:
    assert verdict(row(**changes)) == words


def test_a_row_reads_like_original_where_its_interval_reaches_it_and_little_is_gone() -> None:
    assert like_original(row(forgetting=0.7, forgetting_high=1.0))
    assert not like_original(row(forgetting=0.4, forgetting_high=1.4)), "too little is known"
    assert not like_original(row(forgetting=0.7, forgetting_high=0.9))


def test_the_headline_takes_the_first_method_in_which_nothing_is_found() -> None:
    leaks = row(entry="leaks", group_forgetting="G2", forgetting=0.4, forgetting_high=0.6)
    unseen = row(entry="unseen", provisional="U-LiRA has not looked at it")
    table = pd.DataFrame([leaks, unseen, row(position=3), row(entry="other", position=3)])
    sentence = headline(table, {"mine": "My method"})
    assert sentence.startswith("My method (mine) is the method to take: ")
    assert "5 % of what Original shows, by RMIA" in sentence and "2.0× as fast as retraining" in sentence
    assert sentence.endswith("It shares its place with other.")
    assert headline(table[:1], {}) == (
        "No method forgets F as retraining does. leaks comes first, but RMIA still finds 40 % of what it finds in "
        "Original."
    )
    assert headline(table[:0], {}) == ""


def test_the_headline_says_that_no_method_forgets_better_than_original() -> None:
    table = pd.DataFrame([row(state="no better", position=None), row(state="not applicable", position=None)])
    assert headline(table, {}) == "No method has a position here: none is clearly better than doing nothing."


def test_methods_are_called_by_their_full_names_and_only_publishers_are_linked() -> None:
    bad_teacher = method(baseline("bt"))
    assert (bad_teacher.name, bad_teacher.year) == ("Bad teacher", "2023")
    assert bad_teacher.paper == "https://arxiv.org/abs/2205.08096"
    for paper, linked in (("https://arxiv.org/abs/1", True), ("https://arxiv.org.example/1", False)):
        entry = Entry("mine", b'"""Mine, 2024."""', metadata={"title": "Mine", "paper": paper})
        assert bool(method(entry).paper) == linked
