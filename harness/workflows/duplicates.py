"""``bench duplicates``: near-duplicates in a track's data set, and how its split separates them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unlearn_bench.harness.data import near_duplicates, splits
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.errors import USAGE, BenchError
from unlearn_bench.harness.support.progress import Observer
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.units import disclosure

ALIKE = 0.01
"""Share of the images in one group above which groups mean nothing."""


@dataclass(frozen=True)
class Duplicates:
    """Groups of near-duplicates, and which examples have one where it matters (for the split of seed 0)."""

    track: str
    examples: int
    groups: int
    in_groups: int
    """Images that are in a group."""
    largest: int
    """Images of the largest group."""
    groups_with_different_labels: int
    forget: int
    forget_with_one_in_r: int
    test: int
    test_with_one_in_r_or_f: int
    file: str | None = None
    """The file of groups; ``None`` if none was asked for."""
    sha256: str | None = None
    """SHA-256 of that file, as a track declares it."""

    @property
    def too_alike(self) -> bool:
        """Whether the images are too alike to tell copies from others."""
        return self.largest > ALIKE * self.examples


def find_duplicates(
    track: str, secret: Path | None, observer: Observer, path: Path | None = None, *, organiser: bool = False
) -> Duplicates:
    """Find near-duplicates among a track's images.

    Args:
        track: a track's name, or the path of a TOML file.
        secret: of a sealed track; default: ``BENCH_SECRETS``.
        observer: receives the progress.
        path: a file to write the group of every example to: unsigned integers [n] (.npy).
        organiser: look also at a sealed track, of whose split the numbers say something.

    Raises:
        BenchError: the track is sealed, or its data corrupted, its data is missing, or its images are too small.
    """
    loaded_track = load_track(track, secret)
    if not organiser:
        disclosure.not_public(loaded_track, "where near-duplicates lie")
    if loaded_track.corruption:
        what = f"{track} has every image twice, clean and corrupted"
        raise BenchError(what, "your command", "look for near-duplicates on a track with clean data", USAGE)
    references = References(loaded_track, Store())
    examples = references.examples
    images, labels, split = examples.dataset.images, examples.labels, examples.split(0)
    with observer.progress("comparing images", len(images), "images") as progress:
        groups = near_duplicates.groups(images, progress.step)
    sizes = np.bincount(groups)
    shared = np.flatnonzero(sizes > 1)
    crossing = near_duplicates.crossing(groups, split.retain, split.forget, split.test)
    sha256 = None
    if path is not None:
        sha256 = splits.write(path, groups.astype(np.min_scalar_type(int(groups.max()))))
    return Duplicates(
        track=loaded_track.name,
        examples=len(groups),
        groups=len(shared),
        in_groups=int(sizes[shared].sum()),
        largest=int(sizes.max()),
        groups_with_different_labels=sum(len(np.unique(labels[groups == number])) > 1 for number in shared),
        forget=len(split.forget),
        forget_with_one_in_r=crossing.forget,
        test=len(split.test),
        test_with_one_in_r_or_f=crossing.test,
        file=None if path is None else str(path),
        sha256=sha256,
    )
