"""The kinds of unit: on which original a run of an entry starts, and with which retrained model it is compared.

A new kind is one class here. Its properties decide the key and the random seed, and where the record is kept.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Generic, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from unlearn_bench.harness.entries.entry import Entry
from unlearn_bench.harness.references.examples import Examples
from unlearn_bench.harness.references.roles import Role
from unlearn_bench.harness.support.digests import digest
from unlearn_bench.harness.support.seeds import derive
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.harness.units.records import Record, ShadowUnitRecord, SwapRecord, YardstickRecord, track_folder

R = TypeVar("R")


@dataclass(frozen=True)
class Unit(ABC, Generic[R]):
    """One run of ``entry`` on one original of ``track``; ``R`` is the type of its record."""

    entry: Entry
    track: Track
    seed: int
    """The model seed, or the number of a shadow unit's split."""

    role: ClassVar[Literal["seed", "shadow", "swap", "tuning"]]
    """What the original was trained on; enters the key."""
    folder: ClassVar[str]
    """The first part of the kind of document of its records."""
    record_type: ClassVar[type]
    """``R`` itself."""

    @cached_property
    def key(self) -> str:
        """Content hash of everything that decides the result; machine and library versions are recorded instead."""
        return digest(
            {
                "source": self.entry.sha256,
                "parameters": dict(self.entry.overrides),
                "reference": self.track.reference_digest,
                "protocol": self.track.protocol_digest,
                "role": self.role,
                "index": self.index,
            }
        )

    @property
    def index(self) -> int | list[int]:
        """Which of the units of its kind and entry this is; enters the key."""
        return self.seed

    @property
    @abstractmethod
    def original(self) -> Role:
        """The model to unlearn from."""

    @property
    def target(self) -> Role:
        """The retrained model that the result should equal."""
        return Role("retrained", self.seed)

    @abstractmethod
    def parts(self, examples: Examples) -> dict[str, NDArray[np.int64]]:
        """Return the indices of R, F, V and T."""

    @property
    @abstractmethod
    def description(self) -> str:
        """Which of an entry's units this is, for people."""

    @property
    def label(self) -> str:
        """Entry and unit, for people."""
        return f"{self.entry.name} {self.description}"

    @property
    @abstractmethod
    def random_seed(self) -> int:
        """What torch, numpy, random and the loaders are seeded with."""

    def request_seed(self, number: int) -> int:
        """Return the random seed of one of the unit's deletion requests; the first has the unit's own."""
        return derive(self.random_seed, number) if number else self.random_seed

    def requests(self, examples: Examples) -> list[dict[str, NDArray[np.int64]]]:
        """Return R, F and V of each deletion request in turn: R still holds what later ones delete.

        There is one request unless the track divides F (sequential deletion); the last may then be one example smaller.
        """
        parts = self.parts(examples)
        loaded = {part: parts[part] for part in ("retain", "forget", "val")}
        sets = np.array_split(parts["forget"], self.track.protocol.requests)
        return [
            {**loaded, "retain": np.concatenate([loaded["retain"], *sets[number + 1 :]]), "forget": deleted}
            for number, deleted in enumerate(sets)
        ]

    @property
    def document_name(self) -> str:
        """Name of the record among those of its entry."""
        return str(self.seed)

    @classmethod
    def document_kind(cls, track: Track, entry: str) -> str:
        """Return the kind of document of an entry's records (``entry``: its id) on a track."""
        return f"{cls.folder}/{track_folder(track)}/{entry}"


@dataclass(frozen=True)
class _OfModelSeed(Unit[R]):
    """A unit on the original of one model seed."""

    role = "seed"

    @property
    def original(self) -> Role:
        """The model to unlearn from."""
        return Role("original", self.seed)

    def parts(self, examples: Examples) -> dict[str, NDArray[np.int64]]:
        """Return the indices of R, F, V and T."""
        return examples.parts(self.seed)

    @property
    def description(self) -> str:
        """Which of an entry's units this is, for people."""
        return f"seed {self.seed}"

    @property
    def random_seed(self) -> int:
        """What torch, numpy, random and the loaders are seeded with."""
        return derive(self.track.protocol.seed, self.seed)


@dataclass(frozen=True)
class SeedUnit(_OfModelSeed[Record]):
    """A timed unit: what the board scores."""

    folder = "units"
    record_type = Record

    @property
    def document_name(self) -> str:
        """Name of the record among those of its kind."""
        return self.key

    @classmethod
    def document_kind(cls, track: Track, entry: str) -> str:
        """Return the kind of document of an entry's records on a track."""
        return f"{cls.folder}/{track_folder(track)}"


@dataclass(frozen=True)
class YardstickUnit(_OfModelSeed[YardstickRecord]):
    """A seed unit that runs untimed, to measure its work in CPU seconds; from inside it looks like a timed one."""

    folder = "probe-units"  # as in stores that exist
    record_type = YardstickRecord


@dataclass(frozen=True)
class TuningUnit(Unit[None]):
    """A unit of a search for hyper-parameters, on an original and a split that no score reads; it has no record."""

    role = "tuning"

    @property
    def original(self) -> Role:
        """The model to unlearn from."""
        return Role("tuning-original", self.seed)

    @property
    def target(self) -> Role:
        """The retrained model that the result should equal."""
        return Role("tuning-retrained", self.seed)

    def parts(self, examples: Examples) -> dict[str, NDArray[np.int64]]:
        """Return the indices of R, F, V and T."""
        return examples.tuning_parts(self.seed)

    @property
    def description(self) -> str:
        """Which of an entry's units this is, for people."""
        return f"tuning split {self.seed}"

    @property
    def random_seed(self) -> int:
        """What torch, numpy, random and the loaders are seeded with."""
        return derive(self.track.protocol.seed, self.seed, 0, 2)


@dataclass(frozen=True)
class ShadowUnit(Unit[ShadowUnitRecord]):
    """A unit on the original of one shadow split, which forgets one of the split's forget sets."""

    forget_set: int

    role = "shadow"
    folder = "shadow-units"
    record_type = ShadowUnitRecord

    @property
    def index(self) -> list[int]:
        """Split and forget set; enters the key."""
        return [self.seed, self.forget_set]

    @property
    def original(self) -> Role:
        """The model to unlearn from."""
        return Role("shadow", self.seed)

    @property
    def target(self) -> Role:
        """The retrained model that the result should equal."""
        return Role("shadow-retrained", self.seed, self.forget_set)

    def parts(self, examples: Examples) -> dict[str, NDArray[np.int64]]:
        """Return the indices of R, F, V and T."""
        return examples.shadow_parts(self.seed, self.forget_set)

    @property
    def description(self) -> str:
        """Which of an entry's units this is, for people."""
        return f"split {self.seed} forget set {self.forget_set}"

    @property
    def random_seed(self) -> int:
        """What torch, numpy, random and the loaders are seeded with."""
        return derive(self.track.protocol.seed, self.seed, 1 + self.forget_set)

    @property
    def document_name(self) -> str:
        """Name of the record among those of its kind."""
        return f"{self.seed}-{self.forget_set}"


@dataclass(frozen=True)
class SwapUnit(Unit[SwapRecord]):
    """A unit for SWAP: its original learnt a part T′ of the test set in the place of F, and T′ is to be forgotten."""

    role = "swap"
    folder = "swap-units"
    record_type = SwapRecord

    @property
    def original(self) -> Role:
        """The model to unlearn from."""
        return Role("swap", self.seed)

    def parts(self, examples: Examples) -> dict[str, NDArray[np.int64]]:
        """Return the indices of R, F, V and T."""
        return examples.swapped_parts(self.seed)

    @property
    def description(self) -> str:
        """Which of an entry's units this is, for people."""
        return f"swapped seed {self.seed}"

    @property
    def random_seed(self) -> int:
        """What torch, numpy, random and the loaders are seeded with."""
        return derive(self.track.protocol.seed, self.seed, 0, 1)
