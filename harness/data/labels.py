"""Labels of a data set without its images: scores and boards read nothing else of it.

Images, and the libraries that read them, take a second or more to load. So the store keeps the labels of data sets
whose digest the track declares; without one nobody could tell whether stored labels still match the data.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.digests import digest
from unlearn_bench.harness.tracks.specification import Data, Track

KIND = "labels"
NAMED_BY = ("name", "classes", "image_size", "mean", "std", "rotation_seed", "path", "sha256")
"""Keys that always enter the name of stored labels; keys that were added later enter it only if a track gives them."""
APPLIED_LATER = ("superclasses", "corruption")
"""Keys that do not change the stored labels, which are the data set's own."""


@dataclass(frozen=True)
class Labels:
    """The data set's own labels, whatever superclasses or wrong labels a track makes of them.

    ``train`` is as in ``Dataset``.
    """

    labels: NDArray[np.int64]
    train: int


def read(store: Store, track: Track) -> Labels | None:
    """Return the labels of the track's data set, if they are stored."""
    document = store.read(KIND, _name(track))
    return None if document is None else Labels(np.array(document["labels"].split(), np.int64), document["train"])


def keep(store: Store, track: Track, labels: Labels) -> None:
    """Store the labels, unless the track declares no digest of its data or the store cannot be written."""
    if track.data.sha256 is not None:
        store.keep(KIND, _name(track), {"labels": " ".join(map(str, labels.labels)), "train": labels.train})


def _name(track: Track) -> str:
    """Derive the name from what the track declares of its data."""
    always = {key: getattr(track.data, key) for key in NAMED_BY}
    later = [field for field in fields(Data) if field.name not in (*NAMED_BY, *APPLIED_LATER)]
    given = {f.name: getattr(track.data, f.name) for f in later if getattr(track.data, f.name) != f.default}
    return digest({**always, **given})
