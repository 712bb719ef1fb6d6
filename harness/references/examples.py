"""The examples of a track: data set and labels, splits, the parts of every kind of unit, training sets."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from unlearn_bench.harness.data import labels, splits
from unlearn_bench.harness.data.dataset import Dataset, load_dataset, merge_labels
from unlearn_bench.harness.data.labels import Labels
from unlearn_bench.harness.references.roles import Role
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.errors import TrackError
from unlearn_bench.harness.support.seeds import derive
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.scoring.grouped_partition import keep_groups_whole
from unlearn_bench.scoring.shadows import Design, design


class Examples:
    """The examples of a track; the store keeps their labels, so that a board needs no data set."""

    def __init__(self, track: Track, store: Store) -> None:
        self.track, self.store = track, store
        self._splits: dict[int, splits.Split] = {}
        self._tuning_splits: dict[int, splits.Split] = {}

    def __reduce__(self) -> tuple[type[Examples], tuple[Track, Store]]:
        return Examples, (self.track, self.store)  # another process reads what it needs itself

    @cached_property
    def dataset(self) -> Dataset:
        """The data set itself, read on first use."""
        return load_dataset(self.track.data)

    @cached_property
    def labelled(self) -> Labels:
        """Labels and official parts of the data set, from the store if it has them."""
        stored = labels.read(self.store, self.track)
        if stored is None:
            subclasses = self.dataset.subclasses
            stored = Labels(self.dataset.labels if subclasses is None else subclasses, self.dataset.train)
            labels.keep(self.store, self.track, stored)
        return stored

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """Label of every example of the data set, int64 [n]."""
        return merge_labels(self.track.data, self.subclasses)

    @property
    def subclasses(self) -> NDArray[np.int64]:
        """The data set's own labels, int64 [n]; they differ from ``labels`` where the track merges classes."""
        return self.labelled.labels

    @cached_property
    def numbers(self) -> splits.Numbers:
        """Numbers per example that the track's splits read from files."""
        return splits.numbers(self.track.splits, len(self.labels))

    def split(self, seed: int) -> splits.Split:
        """Return which examples are R, F, V and T of a model seed."""
        if seed not in self._splits:
            labels, train = self.subclasses, self.labelled.train
            self._splits[seed] = splits.split(self.track, seed, len(labels), train, labels, self.numbers)
        return self._splits[seed]

    def tuning_parts(self, number: int) -> dict[str, NDArray[np.int64]]:
        """Return the indices of R, F, V and T of a split that only searches for hyper-parameters read."""
        if number not in self._tuning_splits:
            labels, train = self.subclasses, self.labelled.train
            redrawn = splits.tuning_split(self.track, number, len(labels), train, labels, self.numbers)
            self._tuning_splits[number] = redrawn
        return self._tuning_splits[number].parts()

    @cached_property
    def population(self) -> NDArray[np.int64]:
        """Sorted indices of R ∪ F of model seed 0, an even number; each shadow model is trained on half of them."""
        first_split = self.split(0)
        members = np.sort(np.concatenate([first_split.retain, first_split.forget]))
        return members[: len(members) // 2 * 2]

    @cached_property
    def design(self) -> Design:
        """Shadow splits and their forget sets, as positions in the population; one pair more than is scored."""
        protocol, seed = self.track.protocol, derive(self.track.splits.seed, 0, 1)
        groups = None if self.numbers.groups is None else self.numbers.groups[self.population]
        return design(len(self.population), protocol.lira_splits + 2, protocol.lira_forget_sets, seed, groups)

    def substitute(self, seed: int) -> NDArray[np.int64]:
        """Return T′, sorted: as many test examples of a seed as it has forget examples; SWAP forgets them instead of F.

        Raises:
            TrackError: there are fewer test than forget examples.
        """
        parts = self.split(seed)
        if len(parts.test) < len(parts.forget):
            what = f"track {self.track.name} has fewer test than forget examples, and SWAP exchanges them"
            raise TrackError(what, "do without --swap")
        drawn = np.random.RandomState(derive(self.track.splits.seed, seed, 3)).permutation(parts.test)
        chosen = drawn[: len(parts.forget)]
        if self.numbers.groups is not None:
            chosen = keep_groups_whole([chosen, drawn[len(parts.forget) :]], self.numbers.groups)[0]
        return np.sort(chosen)

    def parts(self, seed: int) -> dict[str, NDArray[np.int64]]:
        """Return the indices of R, F, V and T of a model seed."""
        return self.split(seed).parts()

    def shadow_parts(self, split: int, forget_set: int) -> dict[str, NDArray[np.int64]]:
        """Return the indices of R, F, V and T of a forget set of a shadow split; V and T are those of model seed 0."""
        members = self.population[self.design.members(split, forget_set)]
        half = self.population[self.design.half(split)]
        return {**self.parts(0), "retain": half[~np.isin(half, members)], "forget": members}

    def swapped_parts(self, seed: int) -> dict[str, NDArray[np.int64]]:
        """Return the indices of R, F, V and T for SWAP: T′ takes the place of F, and T loses T′."""
        parts, forget = self.parts(seed), self.substitute(seed)
        return {**parts, "forget": forget, "test": np.setdiff1d(parts["test"], forget)}

    def few_shot(self, indices: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
        """Return ``protocol.retain_per_class`` of these examples of each of their classes, sorted.

        They come first in an order of all examples that the track's seed and this one draw: of two sets the same
        examples are taken as far as both have them, and a larger number takes a superset.

        Raises:
            TrackError: one of the classes has fewer.
        """
        track, wanted = self.track, self.track.protocol.retain_per_class
        order = np.random.RandomState(derive(track.splits.seed, seed, 5)).permutation(len(self.labels))
        drawn = order[np.isin(order, indices)]
        chosen = []
        for label in np.unique(self.labels[indices]):
            of_class = drawn[self.labels[drawn] == label]
            if len(of_class) < wanted:
                what = f"track {track.name}: protocol.retain_per_class is {wanted}, and a unit's R or V has only "
                raise TrackError(f"{what}{len(of_class)} examples of class {label}", "set a smaller number")
            chosen.append(of_class[:wanted])
        return np.sort(np.concatenate(chosen))

    def training_set(self, role: Role) -> NDArray[np.int64]:
        """Return the indices that a reference model is trained on."""
        if role.kind == "shadow":
            return self.population[self.design.half(role.seed)]
        if role.forget_set is not None:
            return self.shadow_parts(role.seed, role.forget_set)["retain"]
        if role.kind.startswith("tuning"):
            parts = self.tuning_parts(role.seed)
        else:
            parts = self.swapped_parts(role.seed) if role.kind == "swap" else self.parts(role.seed)
        with_forget = role.kind in ("original", "swap", "tuning-original")
        return np.concatenate([parts["retain"], parts["forget"]]) if with_forget else parts["retain"]

    @cached_property
    def lacks(self) -> NDArray[np.bool_]:
        """Whether the retrained model of a seed was trained without an example, bool [seeds, n]."""
        absent = np.ones((self.track.protocol.seeds, len(self.labels)), dtype=bool)
        for seed, row in enumerate(absent):
            row[self.split(seed).retain] = False
        return absent
