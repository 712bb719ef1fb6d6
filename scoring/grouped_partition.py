"""Parts of a data set that keep near-duplicates on one side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from unlearn_bench.scoring.evidence import Indices


def keep_groups_whole(parts: Sequence[Indices], groups: NDArray[np.integer]) -> list[Indices]:
    """Return parts of the same sizes, none of which shares a group with another one.

    A group goes to the part that holds its example with the lowest index, so that its chance of a part is proportional
    to the size of the part; where there is no room, it goes to the part with the most room. Ungrouped examples make up
    for it: the last ones of a part that became too large go to the parts that became too small.

    Args:
        parts: disjoint, of indices into ``groups``, in random order.
        groups: [n]; examples with the same number belong together.

    Raises:
        ValueError: a group for which no part has room.
    """
    room = np.array([len(part) for part in parts])
    members, home = np.concatenate(parts), np.repeat(np.arange(len(parts)), room)
    ascending = np.argsort(members, kind="stable")
    _, first, group_index, count = np.unique(
        groups[members[ascending]], return_index=True, return_inverse=True, return_counts=True
    )
    part_of_group = home[ascending[first]]
    for group in np.flatnonzero(count > 1):
        if room[part_of_group[group]] < count[group]:
            part_of_group[group] = room.argmax()
        room[part_of_group[group]] -= count[group]
        if room[part_of_group[group]] < 0:
            raise ValueError(f"no part has room for a group of {count[group]}")
    part, ungrouped = np.empty_like(home), np.empty(len(home), dtype=bool)
    part[ascending], ungrouped[ascending] = part_of_group[group_index], count[group_index] == 1
    waiting = []
    for index, free in enumerate(room):
        ungrouped_members = np.flatnonzero(ungrouped & (part == index))
        waiting.append(ungrouped_members[free:])
        room[index] -= len(ungrouped_members[:free])
    part[np.concatenate(waiting)] = np.repeat(np.arange(len(parts)), room)
    return [members[part == index] for index in range(len(parts))]
