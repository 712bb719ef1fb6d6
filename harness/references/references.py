"""Reference models of a track: which there are, where they are kept, and how they are read back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from unlearn_bench.harness.data import datasets, labels, splits
from unlearn_bench.harness.data.labels import Labels
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.errors import StoreError, TrackError
from unlearn_bench.harness.support.seeds import derive
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.scoring.accuracy import margins
from unlearn_bench.scoring.partition import whole
from unlearn_bench.scoring.shadows import Design, design

Kind = Literal["original", "retrained", "null", "shadow", "shadow-retrained", "swap"]
KINDS: tuple[Kind, ...] = get_args(Kind)
SEED_KINDS: tuple[Kind, ...] = KINDS[:3]
FORMAT = 1
HALF_MAX = float(np.finfo(np.float16).max)


@dataclass(frozen=True)
class Role:
    """One reference model.

    ``original``: trained on R ∪ F. ``retrained``: R only, from the same initial weights. ``null``: R only, from other
    initial weights; what it scores against ``retrained`` is the zero line of every number. ``shadow``: the original of
    one shadow split. ``shadow-retrained``: that split without one of its forget sets. ``swap``: the original of a seed
    that learnt a part of the test set in the place of F.
    """

    kind: Kind
    seed: int
    """The model seed; of a shadow model its split."""
    forget_set: int | None = None
    """What a ``shadow-retrained`` model was trained without."""

    @property
    def name(self) -> str:
        return f"{self.kind}/{self.seed}" + ("" if self.forget_set is None else f"/{self.forget_set}")


def roles(track: Track) -> list[Role]:
    """All reference models that the track's seed units need."""
    return [Role(kind, seed) for kind in SEED_KINDS for seed in range(track.protocol.seeds)]


def shadow_roles(track: Track) -> list[Role]:
    """All reference models that the track's shadow units need, split by split."""
    protocol = track.protocol
    found = []
    for split in range(protocol.lira_splits):
        found.append(Role("shadow", split))
        found += [Role("shadow-retrained", split, g) for g in range(protocol.lira_forget_sets)]
    return found


def shadow_originals(track: Track) -> list[Role]:
    """The shadow originals alone, one per half-split."""
    return [Role("shadow", split) for split in range(track.protocol.lira_splits)]


def swap_roles(track: Track) -> list[Role]:
    """The originals that SWAP needs beside those of the seed units."""
    return [Role("swap", seed) for seed in range(track.protocol.seeds)]


def tuning_roles(track: Track) -> list[Role]:
    """Models of a pair of shadow splits that no score reads: what a search for shadow units is judged by."""
    found = []
    for seed, forget_set in tuning_shadows(track):
        found += [Role("shadow", seed), Role("shadow-retrained", seed, forget_set)]
    return list(dict.fromkeys(found))


def tuning_shadows(track: Track) -> list[tuple[int, int]]:
    """(split, forget set) of the shadow units to tune on: the two splits after the last scored pair, in turn."""
    splits, sets = track.protocol.lira_splits, track.protocol.lira_forget_sets
    return [(splits + i % 2, i // 2 % sets) for i in range(track.analysis.tuning_seeds)] if sets else []


def initial_seed(track: Track, role: Role) -> int:
    """Seed of the initial weights: original and retrained models of a seed, or of a shadow split, share it."""
    if role.kind.startswith("shadow"):
        return derive(track.recipe.seed, 2, role.seed)
    return derive(track.recipe.seed, 0, role.seed, int(role.kind == "null"))


def order_seed(track: Track, role: Role) -> int:
    """Seed of the data order and augmentation."""
    if role.kind.startswith("shadow"):
        return derive(track.recipe.seed, 3, role.seed, 0 if role.forget_set is None else 1 + role.forget_set)
    if role.kind == "swap":
        return derive(track.recipe.seed, 4, role.seed)
    return derive(track.recipe.seed, 1, role.seed, KINDS.index(role.kind))


def half(logits: NDArray[Any]) -> NDArray[np.float16]:
    """Logits [n, classes] in half precision: shifted to a logsumexp of 0, which no metric can see, they keep small
    losses to three digits."""
    return np.maximum(log_softmax(logits.astype(np.float64), axis=1), -HALF_MAX).astype(np.float16)


class References:
    """A track's reference models in a store, beside its data and splits."""

    def __init__(self, track: Track, store: Store) -> None:
        self.track, self.store = track, store
        self._read: dict[str, NDArray[np.float32]] = {}
        self._splits: dict[int, splits.Split] = {}

    def __reduce__(self) -> tuple[type[References], tuple[Track, Store]]:
        return References, (self.track, self.store)  # another process reads for itself what it needs

    @cached_property
    def dataset(self) -> datasets.Dataset:
        return datasets.load(self.track.data)

    @cached_property
    def labelled(self) -> Labels:
        """Labels and official parts of the data set, from the store where it keeps them."""
        found = labels.read(self.store, self.track)
        if found is None:
            own = self.dataset.subclasses
            found = Labels(self.dataset.labels if own is None else own, self.dataset.train)
            labels.keep(self.store, self.track, found)
        return found

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """int64 [n], of every example of the data set."""
        return datasets.merged(self.track.data, self.subclasses)

    @property
    def subclasses(self) -> NDArray[np.int64]:
        """int64 [n], the data set's own labels: the same, unless the track declares superclasses of them."""
        return self.labelled.labels

    @cached_property
    def numbers(self) -> splits.Numbers:
        """What the track's splits read from files."""
        return splits.numbers(self.track.splits, len(self.labels))

    def split(self, seed: int) -> splits.Split:
        if seed not in self._splits:
            known = self.labelled
            self._splits[seed] = splits.split(
                self.track, seed, len(known.labels), known.train, known.labels, self.numbers
            )
        return self._splits[seed]

    @cached_property
    def population(self) -> NDArray[np.int64]:
        """Sorted indices of R ∪ F of split 0, an even number of them: what shadow models are trained on halves of."""
        both = self.split(0)
        members = np.sort(np.concatenate([both.retain, both.forget]))
        return members[: len(members) // 2 * 2]

    @cached_property
    def design(self) -> Design:
        """Shadow splits and their forget sets, as positions in the population; one more pair than is scored."""
        protocol, seed = self.track.protocol, derive(self.track.splits.seed, 0, 1)
        groups = None if self.numbers.groups is None else self.numbers.groups[self.population]
        return design(len(self.population), protocol.lira_splits + 2, protocol.lira_forget_sets, seed, groups)

    def substitute(self, seed: int) -> NDArray[np.int64]:
        """T′: as many test examples of a seed as it has forget examples, sorted; SWAP forgets them instead of F."""
        parts = self.split(seed)
        if len(parts.test) < len(parts.forget):
            what = f"track {self.track.name} has fewer test than forget examples, and SWAP exchanges them"
            raise TrackError(what, "do without --swap")
        drawn = np.random.RandomState(derive(self.track.splits.seed, seed, 3)).permutation(parts.test)
        chosen = drawn[: len(parts.forget)]
        if self.numbers.groups is not None:
            chosen = whole([chosen, drawn[len(parts.forget) :]], self.numbers.groups)[0]
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
        """Return the indices of R, F, V and T for SWAP: T′ takes the place of F, and T is what is left of it."""
        parts, forget = self.parts(seed), self.substitute(seed)
        return {**parts, "forget": forget, "test": np.setdiff1d(parts["test"], forget)}

    def training_set(self, role: Role) -> NDArray[np.int64]:
        """Indices that a reference model is trained on."""
        if role.kind == "shadow":
            return self.population[self.design.half(role.seed)]
        if role.forget_set is not None:
            return self.shadow_parts(role.seed, role.forget_set)["retain"]
        parts = self.swapped_parts(role.seed) if role.kind == "swap" else self.parts(role.seed)
        both = role.kind in ("original", "swap")
        return np.concatenate([parts["retain"], parts["forget"]]) if both else parts["retain"]

    @property
    def manifest(self) -> dict[str, Any]:
        """``{"roles": {name: {"weights": sha256 | None, "logits": sha256, "seconds": …}}, …}``."""
        found = self.store.read("references", self.track.reference_digest)
        return found or {"format": FORMAT, "track": self.track.name, "roles": {}}

    def missing(self, wanted: Sequence[Role] | None = None) -> list[Role]:
        """Of the ``wanted`` roles (default: of the seed units) those that have to be trained, in that order."""
        known = self.manifest["roles"]
        candidates = roles(self.track) if wanted is None else wanted
        return [role for role in candidates if not self._complete(role, known.get(role.name))]

    def _complete(self, role: Role, entry: Mapping[str, Any] | None) -> bool:
        if entry is None or not self.store.has(entry["logits"]):
            return False
        needed = role.kind in ("original", "shadow", "swap")
        return not needed or (entry["weights"] is not None and self.store.has(entry["weights"]))

    def add(self, role: Role, weights: bytes | None, logits: NDArray[np.float32], about: Mapping[str, Any]) -> None:
        """Keep one finished model: blobs first, then the manifest that points to them.

        Where the recipe rounds weights to half precision, the logits [n, classes] are too.
        """
        from safetensors.numpy import save

        rounded: NDArray[Any] = half(logits) if self.track.recipe.weights == "float16" else logits
        entry = {
            "weights": None if weights is None else self.store.put(weights),
            "logits": self.store.put(save({"logits": rounded})),
            **about,
        }
        self.keep(role, entry)

    def keep(self, role: Role, entry: Mapping[str, Any]) -> None:
        """Enter a model whose blobs are in the store into the manifest."""
        with self.store.lock(f"references-{self.track.reference_digest}"):
            manifest = self.manifest
            manifest["roles"][role.name] = dict(entry)
            self.store.write("references", self.track.reference_digest, manifest)

    def has_weights(self, role: Role) -> bool:
        """Whether the weights of a role are kept: of shipped and shadow retrained models only the logits are."""
        entry = self.manifest["roles"].get(role.name)
        return entry is not None and entry["weights"] is not None and self.store.has(entry["weights"])

    def weights(self, role: Role) -> bytes:
        """The model's state as safetensors, float32.

        Raises:
            StoreError: the role has no weights (of shipped retrained models only the logits are kept), or damage.
        """
        from safetensors.numpy import load, save

        sha = self._entry(role)["weights"]
        if sha is None:
            raise StoreError(f"the store has no weights of {role.name}", "only its logits are kept on this track")
        state = load(self.store.get(sha))
        return save({k: v.astype(np.float32) if v.dtype == np.float16 else v for k, v in state.items()})

    def logits(self, role: Role) -> NDArray[np.float32]:
        """Logits [n, classes] on every example of the data set."""
        from safetensors.numpy import load

        sha = self._entry(role)["logits"]
        if sha in self._read:
            return self._read[sha]
        logits: NDArray[np.float32] = load(self.store.get(sha))["logits"].astype(np.float32)
        if role.kind in SEED_KINDS:  # every entry is compared with them
            self._read[sha] = logits
        return logits

    def _entry(self, role: Role) -> dict[str, Any]:
        entry: dict[str, Any] | None = self.manifest["roles"].get(role.name)
        if entry is None:
            raise StoreError(
                f"track {self.track.name} has no reference model {role.name}", f"run `bench prepare {self.track.name}`"
            )
        return entry

    @cached_property
    def reference_phi(self) -> NDArray[np.float64]:
        """φ [seeds, n] of every example under the retrained models of all seeds."""
        seeds = range(self.track.protocol.seeds)
        return np.stack([margins(self.logits(Role("retrained", seed)), self.labels) for seed in seeds])

    @cached_property
    def lacks(self) -> NDArray[np.bool_]:
        """[seeds, n]: the retrained model of the seed was trained without the example."""
        found = np.ones((self.track.protocol.seeds, len(self.labels)), dtype=bool)
        for seed, row in enumerate(found):
            row[self.split(seed).retain] = False
        return found

    def verify(self) -> Iterator[str]:
        """Read every reference file against its digest; yields the role names as they pass.

        Raises:
            StoreError: a file is missing or changed.
        """
        for name, entry in sorted(self.manifest["roles"].items()):
            for sha in (entry["weights"], entry["logits"]):
                if sha is not None:
                    self.store.get(sha)
            yield name
