"""Badges: in a word, who vouches for a row of a board."""

from __future__ import annotations

from collections.abc import Set

from unlearn_bench.harness.results.review import NOT_REPRODUCED, VERIFIED, Mark
from unlearn_bench.scoring.seed_rows import NOT_APPLICABLE

UNTRUSTED = "untrusted sandbox"
"""State and badge of a row that a public board lists without a rank."""
DISQUALIFIED = "disqualified"
"""State of a row that a maintainer took out of the ranks; its reason says why."""
SELF_REPORTED = "self-reported"
"""Badge of a row that its author ran; state, without a rank on a public board, of one that was scored from checkpoints,
so that nothing was run."""
INCONSISTENT = "inconsistent"
"""State of a row whose entry does in other units not what it does in timed ones; its reason says by what."""
NO_BASELINES = "no baselines"
"""State of every other row of a public board on which no baseline of a trusted sandbox tells where groups are cut."""
UNRANKED = frozenset({UNTRUSTED, DISQUALIFIED, INCONSISTENT, NOT_APPLICABLE, SELF_REPORTED, NO_BASELINES})
"""States of rows that stand without a place and are no F either."""


def badge(kind: str, trusted: bool, mark: Mark, from_checkpoints: bool = False) -> str:
    """Return ``reference``, ``untrusted sandbox``, ``baseline``, the result of ``bench verify``, or ``self-reported``.

    The badge of a row without a trusted sandbox says so, whatever else is known of it; a row from checkpoints had none.
    """
    if kind == "reference":
        return kind
    if from_checkpoints:
        return SELF_REPORTED
    if not trusted:
        return UNTRUSTED
    return "baseline" if kind in ("baseline", "variant") else mark.verified or SELF_REPORTED


def worst(badges: Set[str]) -> str:
    """Return the least trustworthy of a row's badges on several tracks."""
    order = (UNTRUSTED, NOT_REPRODUCED, SELF_REPORTED, VERIFIED, "baseline", "reference")
    return min(badges, key=order.index)
