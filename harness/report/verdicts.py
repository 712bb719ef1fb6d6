"""What a row of a board says in words, and the one sentence that answers which method to take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from unlearn_bench.harness.report.cells import group, number
from unlearn_bench.harness.results.badges import UNRANKED
from unlearn_bench.scoring.group_membership import FORGETTING
from unlearn_bench.scoring.seed_rows import NO_BETTER

Values = Mapping[Any, Any]
REACHES_ORIGINAL = 0.5
"""A row reads like Original where its interval reaches Original's reading and its mean is above this share of it."""


_LIKENESS = {"G1": "like", "G2": "a little unlike"}


def like_original(row: Values) -> bool:
    """Return whether the strongest evidence against a row cannot be told from what it is against Original."""
    if row["state"] == "reference" or pd.isna(row.get(FORGETTING)):
        return False
    share, high = float(row[FORGETTING]), float(row[f"{FORGETTING}_high"])
    return row["state"] == NO_BETTER or (share > REACHES_ORIGINAL and high >= 1)


def verdict(row: Values) -> str:
    """Return what a row of one track's board says of what is left of F, and of what else has changed."""
    if row["state"] == "reference":
        return {
            "retrain": "trained without F: what unlearning should give",
            "original": "nothing is unlearned",
            "clean data": "trained on clean data",
        }.get(str(row["entry"]), "reference row")
    if row["state"] == "incomplete" or row["state"] in UNRANKED:
        return str(row["state"])
    if pd.isna(row.get(FORGETTING)) or row["state"] not in ("ok", NO_BETTER):
        return f"fails: {row['reason'] or row['state']}"
    return _left(row) + ("" if group(row, "retdev") == "G1" else f"; {_kept(row)}")


def _left(row: Values) -> str:
    share, attack = number(float(row[FORGETTING]), 2), row["forgetting_attack"]
    if like_original(row):
        if row[FORGETTING] > REACHES_ORIGINAL:
            return f"leaks as Original does: {attack} {share}"
        low, high = (number(float(row[f"{FORGETTING}_{end}"]), 2) for end in ("low", "high"))
        return f"may leak as Original does: {low} to {high} of what Original shows"
    letter = group(row, FORGETTING)
    if letter == "G1":
        return f"nothing is found (most: {attack} {share})"
    return f"{'leaks a little' if letter == 'G2' else 'leaks'}: {attack} {share}"


def _kept(row: Values) -> str:
    letter = group(row, "retdev")
    return f"answers {_LIKENESS.get(letter, 'unlike')} Retrain"


def _speed(row: Values) -> str:
    rte = row.get("rte")
    if rte is None or pd.isna(rte):
        return "not timed"
    return f"{rte:.1f}× as fast as retraining" if rte > 1 else "no faster than retraining"


def headline(table: pd.DataFrame, names: Mapping[str, str]) -> str:
    """Return which method to take on one track, and why, in one or two sentences; empty where no row has a position.

    Args:
        table: the ranked board of a track.
        names: what methods are called, by the name of the entry.
    """
    placed = table[table["position"].notna()]
    if placed.empty:
        if (table["state"] == NO_BETTER).any():
            return "No method has a position here: none is clearly better than doing nothing."
        return "" if table.empty else "No method has a position here yet."
    passing = placed[[group(row, FORGETTING) == "G1" and not row["provisional"] for row in placed.to_dict("records")]]
    if passing.empty:
        best = placed.iloc[0]
        return (
            f"No method forgets F as retraining does. {_called(best, names)} comes first, but "
            f"{best['forgetting_attack']} still finds {float(best[FORGETTING]):.0%} of what it finds in Original."
        ).replace("%", " %")
    first = passing.iloc[0]
    sentence = (
        f"{_called(first, names)} is the method to take: nothing finds more of F in it than in a retrained model (the "
        f"most is {_found(first)}), it {_kept(first.to_dict())}, and it is {_speed(first.to_dict())}."
    ).replace("%", " %")
    others = [str(entry) for entry in passing["entry"][passing["position"] == first["position"]][1:]]
    if not others:
        return sentence
    return f"{sentence} It shares its place with {_listed(others)}."


def headline_over(table: pd.DataFrame, names: Mapping[str, str], tracks: int) -> str:
    """Return which method comes first over several tracks, and on how many of them it passes; empty without one.

    Args:
        table: the ranked board over the tracks.
        names: what methods are called, by the name of the entry.
        tracks: how many there are.
    """
    placed = table[table["position"].notna()]
    if placed.empty:
        return ""
    first = placed.iloc[0]
    found, kept = (int(first[f"G1_{metric}"]) for metric in (FORGETTING, "retdev"))
    return (
        f"{_called(first, names)} comes first over these {tracks} tracks: nothing of F is found on {found} of them, "
        f"and on {kept} it answers like Retrain."
    )


def _found(row: Any) -> str:
    return f"{float(row[FORGETTING]):.0%} of what Original shows, by {row['forgetting_attack']}"


def _called(row: Any, names: Mapping[str, str]) -> str:
    entry = str(row["entry"])
    name = names.get(entry, entry)
    return name if name == entry else f"{name} ({entry})"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
