"""Parts of a data set that keep near-duplicates on one side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from unlearn_bench.scoring.evidence import Indices


def keep_groups_whole(parts: Sequence[Indices], groups: NDArray[np.integer]) -> list[Indices]:
    """Parts of the same sizes, none of which shares a group with another one.

    A group goes where its example with the lowest index is, so that it is as likely in a part as that is large; where
    there is no room, into the part with the most. Examples that are alone make up for it: the last ones of a part that
    became too large go to those that lack some.

    Args:
        parts: disjoint, of indices into ``groups``, in random order.
        groups: [n]; examples with the same number belong together.

    Raises:
        ValueError: a group for which no part has room.
    """
    room = np.array([len(part) for part in parts])
    members, home = np.concatenate(parts), np.repeat(np.arange(len(parts)), room)
    ascending = np.argsort(members, kind="stable")
    _, first, number, count = np.unique(
        groups[members[ascending]], return_index=True, return_inverse=True, return_counts=True
    )
    own = home[ascending[first]]  # the part of each group
    for group in np.flatnonzero(count > 1):
        if room[own[group]] < count[group]:
            own[group] = room.argmax()
        room[own[group]] -= count[group]
        if room[own[group]] < 0:
            raise ValueError(f"no part has room for a group of {count[group]}")
    part, alone = np.empty_like(home), np.empty(len(home), dtype=bool)
    part[ascending], alone[ascending] = own[number], count[number] == 1
    waiting = []
    for at, free in enumerate(room):
        there = np.flatnonzero(alone & (part == at))
        waiting.append(there[free:])
        room[at] -= len(there[:free])
    part[np.concatenate(waiting)] = np.repeat(np.arange(len(parts)), room)
    return [members[part == at] for at in range(len(parts))]
