"""The examples of a track: data set and labels, splits, the parts of every kind of unit, training sets."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from unlearn_bench.harness.data import corruption, labels, splits
from unlearn_bench.harness.data.dataset import Dataset, load_dataset, merge_labels
from unlearn_bench.harness.data.labels import Labels
from unlearn_bench.harness.references.roles import Role
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.errors import DataError, TrackError
from unlearn_bench.harness.support.seeds import derive
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.scoring.corruption import CorruptedForms
from unlearn_bench.scoring.grouped_partition import keep_groups_whole
from unlearn_bench.scoring.shadows import Design, design


class Examples:
    """The examples of a track; the store keeps their labels, so that a board needs no data set.

    With ``data.corruption`` every example is there twice, see ``harness.data.corruption``.
    """

    def __init__(self, track: Track, store: Store) -> None:
        self.track, self.store = track, store
        self._splits: dict[int, splits.Split] = {}
        self._tuning_splits: dict[int, splits.Split] = {}

    def __reduce__(self) -> tuple[type[Examples], tuple[Track, Store]]:
        return Examples, (self.track, self.store)  # another process reads what it needs itself

    @cached_property
    def dataset(self) -> Dataset:
        """The data set itself, read on first use."""
        spec = self.track.data
        try:
            dataset = load_dataset(spec)
        except DataError as error:
            raise error.on(self.track.name) from None
        return dataset if spec.corruption is None else corruption.doubled(spec.corruption, dataset, spec.classes)

    @cached_property
    def labelled(self) -> Labels:
        """Labels and official parts of the data set itself, from the store if it has them."""
        stored = labels.read(self.store, self.track)
        if stored is None:
            subclasses = self.dataset.subclasses
            own = self.dataset.labels if subclasses is None else subclasses
            clean = own if self.track.data.corruption is None else own[: len(own) // 2]
            stored = Labels(clean, self.dataset.train)
            labels.keep(self.store, self.track, stored)
        return stored

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """Label of every example, int64 [n], with which it is trained and scored."""
        spec, own = self.track.data, self.labelled.labels
        if spec.corruption is not None:
            return np.concatenate([own, corruption.wrong_labels(spec.corruption, own, spec.classes)])
        return merge_labels(spec, own)

    @cached_property
    def subclasses(self) -> NDArray[np.int64]:
        """The data set's own labels, int64 [n]; ``labels`` differ where a track merges classes, or labels are wrong."""
        own = self.labelled.labels
        return own if self.track.data.corruption is None else np.tile(own, 2)

    @cached_property
    def corrupted_forms(self) -> CorruptedForms | None:
        """Which examples have which corrupted form; ``None`` on a track whose data is clean."""
        spec = self.track.data.corruption
        if spec is None:
            return None
        own = self.labelled.labels
        return CorruptedForms(corruption.eligible(spec, own), spec.trigger is not None, spec.target)

    @cached_property
    def numbers(self) -> splits.Numbers:
        """Numbers per example that the track's splits read from files."""
        return splits.numbers(self.track.splits, len(self.labelled.labels))

    def split(self, seed: int) -> splits.Split:
        """Return which examples are R, F, V and T of a model seed."""
        if seed not in self._splits:
            labels, train = self.labelled.labels, self.labelled.train
            self._splits[seed] = splits.split(self.track, seed, len(labels), train, labels, self.numbers)
        return self._splits[seed]

    def tuning_parts(self, number: int) -> dict[str, NDArray[np.int64]]:
        """Return the indices of R, F, V and T of a split that only searches for hyper-parameters read."""
        if number not in self._tuning_splits:
            labels, train = self.labelled.labels, self.labelled.train
            redrawn = splits.tuning_split(self.track, number, len(labels), train, labels, self.numbers)
            self._tuning_splits[number] = redrawn
        return self._tuning_splits[number].parts()

    @cached_property
    def population(self) -> NDArray[np.int64]:
        """Sorted indices of the examples that shadow models learn, an even number; each is trained on half of them.

        They are R ∪ F of model seed 0, and with ``splits.shadow_size = "original"`` as many others that are in none of
        its parts.

        Raises:
            TrackError: the data set has too few others.
        """
        first_split = self.split(0)
        members = np.concatenate([first_split.retain, first_split.forget])
        if self.track.splits.shadow_size == "original":
            members = np.concatenate([members, self._unused(len(members))])
        return np.sort(members)[: len(members) // 2 * 2]

    def _unused(self, count: int) -> NDArray[np.int64]:
        """Draw so many examples that are in no part of model seed 0."""
        used = np.concatenate(list(self.parts(0).values()))
        unused = np.setdiff1d(np.arange(len(self.labels)), used)
        if len(unused) < count:
            raise TrackError(
                f"track {self.track.name}: splits.shadow_size = 'original' needs {count} examples outside of R, F, V "
                f"and T, and the data set has {len(unused)}",
                "set smaller parts, or leave it out",
            )
        drawn = np.random.RandomState(derive(self.track.splits.seed, 0, 6)).permutation(unused)
        return drawn[:count]

    @cached_property
    def design(self) -> Design:
        """Shadow splits and their forget sets, as positions in the population; one pair more than is scored."""
        protocol, seed = self.track.protocol, derive(self.track.splits.seed, 0, 1)
        groups = None if self.numbers.groups is None else self.numbers.groups[self.population]
        return design(len(self.population), protocol.lira_splits + 2, protocol.lira_forget_sets, seed, groups)

    def substitute(self, seed: int) -> NDArray[np.int64]:
        """Return T′, sorted: as many test examples of a seed as it has forget examples; SWAP forgets them instead of F.

        Where F is corrupted, they are in their corrupted form.

        Raises:
            TrackError: there are fewer test than forget examples.
        """
        parts = self.split(seed)
        test = parts.test if self.corrupted_forms is None else self.corrupted_forms.of(parts.test)
        if len(test) < len(parts.forget):
            what = f"track {self.track.name} has fewer test than forget examples, and SWAP exchanges them"
            raise TrackError(what, "do without --swap")
        drawn = np.random.RandomState(derive(self.track.splits.seed, seed, 3)).permutation(test)
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
        taken = forget if self.corrupted_forms is None else self.corrupted_forms.clean(forget)
        return {**parts, "forget": forget, "test": np.setdiff1d(parts["test"], taken)}

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
        with_forget = role.kind in ("original", "swap", "clean", "tuning-original")
        chosen = np.concatenate([parts["retain"], parts["forget"]]) if with_forget else parts["retain"]
        if role.kind == "clean":
            assert self.corrupted_forms is not None
            return self.corrupted_forms.clean(chosen)
        return chosen

    @cached_property
    def lacks(self) -> NDArray[np.bool_]:
        """Whether the retrained model of a seed was trained without an example, bool [seeds, n]."""
        absent = np.ones((self.track.protocol.seeds, len(self.labels)), dtype=bool)
        for seed, row in enumerate(absent):
            row[self.split(seed).retain] = False
        return absent
