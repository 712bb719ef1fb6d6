"""Units: one run of one entry on one original model, the record it leaves, and the scores computed from it."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unlearn_bench.harness.entries.entry import Entry
from unlearn_bench.harness.references.references import References, Role
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.digests import digest
from unlearn_bench.harness.support.seeds import derive
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.sandbox.types import Status


@dataclass(frozen=True)
class Unit:
    """``entry`` unlearns one original on ``track``: that of a model seed, or that of a shadow split."""

    entry: Entry
    track: Track
    seed: int
    """The model seed; of a shadow unit its split."""
    forget_set: int | None = None
    """Which forget set of its split a shadow unit forgets."""
    swapped: bool = False
    """SWAP: the original learnt T′ in the place of F, and T′ is to be forgotten."""

    @cached_property
    def key(self) -> str:
        """Content hash of everything that decides the result; machine and library versions are recorded instead."""
        return digest(
            {
                "source": self.entry.sha256,
                "parameters": dict(self.entry.overrides),
                "reference": self.track.reference_digest,
                "protocol": self.track.protocol_digest,
                "role": "swap" if self.swapped else "seed" if self.forget_set is None else "shadow",
                "index": self.seed if self.forget_set is None else [self.seed, self.forget_set],
            }
        )

    @property
    def original(self) -> Role:
        """The model to unlearn from."""
        return Role("swap" if self.swapped else "original" if self.forget_set is None else "shadow", self.seed)

    def parts(self, references: References) -> dict[str, NDArray[np.int64]]:
        """Indices of R, F, V and T."""
        return references.parts(self.seed, self.forget_set, self.swapped)

    def requests(self, references: References) -> list[dict[str, NDArray[np.int64]]]:
        """R, F and V of each deletion request in turn: R still holds what later ones delete.

        One request unless the track divides F (sequential deletion); the last ones are a little smaller then.
        """
        parts = self.parts(references)
        given = {part: parts[part] for part in ("retain", "forget", "val")}
        sets = np.array_split(parts["forget"], self.track.protocol.requests)
        return [
            {**given, "retain": np.concatenate([given["retain"], *sets[i + 1 :]]), "forget": one}
            for i, one in enumerate(sets)
        ]

    @property
    def retrained(self) -> Role:
        """The model that the result should be like."""
        return Role("retrained" if self.forget_set is None else "shadow-retrained", self.seed, self.forget_set)

    @property
    def label(self) -> str:
        """For people."""
        return f"{self.entry.name} {self.place}"

    @property
    def place(self) -> str:
        """For people: which of an entry's units."""
        if self.forget_set is not None:
            return f"split {self.seed} forget set {self.forget_set}"
        return f"swapped seed {self.seed}" if self.swapped else f"seed {self.seed}"

    @property
    def random_seed(self) -> int:
        """What torch, numpy, random and the loaders are seeded with; later requests derive theirs from it."""
        if self.swapped:
            return derive(self.track.protocol.seed, self.seed, 0, 1)
        if self.forget_set is None:
            return derive(self.track.protocol.seed, self.seed)
        return derive(self.track.protocol.seed, self.seed, 1 + self.forget_set)

    def request_seed(self, number: int) -> int:
        """The seed of one of the unit's requests."""
        return derive(self.random_seed, number) if number else self.random_seed


@dataclass(frozen=True)
class Record:
    """What is kept of one finished unit. Times in seconds, memory in bytes."""

    key: str
    entry: str
    """The entry's id: source and parameters."""
    name: str
    sha256: str
    track: str
    reference_digest: str
    protocol_digest: str
    seed: int
    status: Status
    reason: str
    seconds: float | None
    cpu_seconds: float | None
    peak_memory: int | None
    retrain_seconds: float | None
    """Retrain's time for the same seed, by the same path on the same machine (the numerator of RTE)."""
    logits: str | None
    """SHA-256 of the logits [n, classes] on every example of the data set."""
    date: str
    trusted: bool
    environment: Mapping[str, Any]
    log: str = ""
    warnings: tuple[str, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """All hyper-parameters, defaults included."""
    weight_distance: float | None = None
    """Normalised L2 of the weights to the retrained model's, where those are kept."""

    @property
    def rte(self) -> float | None:
        """Speed-up over retraining, where both times are known."""
        return self.retrain_seconds / self.seconds if self.retrain_seconds and self.seconds else None

    def save(self, store: Store) -> None:
        store.write(folder(self.reference_digest, self.protocol_digest), self.key, dataclasses.asdict(self))

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Record:
        return cls(**{**document, "warnings": tuple(document["warnings"])})


def folder(reference_digest: str, protocol_digest: str) -> str:
    """Kind of document under which a track's records are stored."""
    return f"units/{_place(reference_digest, protocol_digest)}"


def place(track: Track) -> str:
    """What of a track decides its units, as a part of a path: folders of other documents end with it, too."""
    return _place(track.reference_digest, track.protocol_digest)


def _place(reference_digest: str, protocol_digest: str) -> str:
    return f"{reference_digest[:16]}-{protocol_digest[:16]}"


def now() -> str:
    """The time to the second, as records have it."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def find(store: Store, unit: Unit) -> Record | None:
    """The record of a unit that was run before, if its arrays are there or its scores ship."""
    document = store.read(folder(unit.track.reference_digest, unit.track.protocol_digest), unit.key)
    return None if document is None else Record.parse(document)


def records(store: Store, track: Track) -> list[Record]:
    """All records of a track."""
    kind = folder(track.reference_digest, track.protocol_digest)
    return [Record.parse(document) for _, document in store.all(kind)]


def logits(store: Store, record: Record) -> NDArray[np.float32] | None:
    """Stored logits [n, classes] of a unit; ``None`` where it failed, or where only its scores are here."""
    if record.logits is None or not store.has(record.logits):
        return None
    return unpack(store.get(record.logits))


def pack(array: NDArray[np.floating]) -> bytes:
    """Logits [n, classes] as safetensors."""
    from safetensors.numpy import save

    return save({"logits": array})


def unpack(content: bytes) -> NDArray[np.float32]:
    """Logits [n, classes] from what :func:`pack` made, as float32."""
    from safetensors.numpy import load

    return load(content)["logits"].astype(np.float32)
