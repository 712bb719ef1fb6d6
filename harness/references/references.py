"""Reference models of a track: which are stored, and how they are kept and read back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from unlearn_bench.harness.references.examples import Examples
from unlearn_bench.harness.references.manifest import StoredManifest, StoredModel, TrainingFacts
from unlearn_bench.harness.references.roles import Role, RoleKind, roles, seed_kinds
from unlearn_bench.harness.store import documents
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.errors import StoreError
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.scoring.accuracy import margins
from unlearn_bench.scoring.temperature import scaled

HALF_MAX = float(np.finfo(np.float16).max)


def half(logits: NDArray[Any]) -> NDArray[np.float16]:
    """Return logits [n, classes] in half precision.

    They are shifted to a logsumexp of 0, which changes no metric, and so keep small losses to three digits.
    """
    return np.maximum(log_softmax(logits.astype(np.float64), axis=1), -HALF_MAX).astype(np.float16)


class References:
    """A track's reference models in a store, and its examples."""

    def __init__(self, track: Track, store: Store) -> None:
        self.track, self.store = track, store
        self.examples = Examples(track, store)
        self._read: dict[str, NDArray[np.float32]] = {}

    def __reduce__(self) -> tuple[type[References], tuple[Track, Store]]:
        return References, (self.track, self.store)  # another process reads what it needs itself

    @property
    def manifest(self) -> StoredManifest:
        """What is stored.

        Raises:
            StoreError: the document is damaged.
        """
        stored = documents.read(self.store, "references", self.track.reference_digest, StoredManifest)
        return stored or StoredManifest(self.track.name, {})

    @property
    def imported(self) -> bool:
        """Whether the reference models of the seed units were trained elsewhere and imported."""
        stored = self.manifest.roles.get(Role("retrained", 0).name)
        return stored is not None and stored.file is not None

    @property
    def kinds(self) -> tuple[RoleKind, ...]:
        """Kinds of the reference models that seed units have: imported ones may lack ``null``.

        None is then trained, since it would differ from the imported models in more than its initial weights.
        """
        if self.imported and Role("null", 0).name not in self.manifest.roles:
            return tuple(kind for kind in seed_kinds(self.track) if kind != "null")
        return seed_kinds(self.track)

    @property
    def has_null(self) -> bool:
        """Whether there is a second retrained model to compare with, which is the null of every metric."""
        return "null" in self.kinds

    @property
    def provenance(self) -> str:
        """Who trained the reference models of the seed units, for people; empty where the benchmark did."""
        if not self.imported:
            return ""
        trained_by = self.manifest.roles[Role("retrained", 0).name].trained_by
        return f"imported, trained by {trained_by}" if trained_by else "imported; who trained them is not recorded"

    def seed_roles(self) -> list[Role]:
        """Return the reference models that seed units need."""
        kinds = self.kinds
        return [role for role in roles(self.track) if role.kind in kinds]

    def missing(self, wanted: Sequence[Role] | None = None) -> list[Role]:
        """Return those of the ``wanted`` roles (default: of the seed units) that are not stored, in that order."""
        stored = self.manifest.roles
        expected = self.seed_roles() if wanted is None else wanted
        return [role for role in expected if not self._complete(role, stored.get(role.name))]

    def _complete(self, role: Role, model: StoredModel | None) -> bool:
        if model is None or not self.store.has(model.logits):
            return False
        needs_weights = role.kind in ("original", "shadow", "swap", "tuning-original")
        return not needs_weights or (model.weights is not None and self.store.has(model.weights))

    def add(self, role: Role, weights: bytes | None, logits: NDArray[np.float32], facts: TrainingFacts) -> None:
        """Keep one finished model: blobs first, then the manifest that points to them."""
        self.keep(role, self.put(weights, logits, facts))

    def put(self, weights: bytes | None, logits: NDArray[np.float32], facts: TrainingFacts) -> StoredModel:
        """Put the blobs of a model into the store, and return what :meth:`keep` enters into the manifest.

        Where the recipe rounds weights to half precision, the logits [n, classes] are rounded as well.
        """
        from safetensors.numpy import save

        rounded: NDArray[Any] = half(logits) if self.track.recipe.weights == "float16" else logits
        stored = None if weights is None else self.store.put(weights)
        return StoredModel(weights=stored, logits=self.store.put(save({"logits": rounded})), **vars(facts))

    def keep(self, role: Role, model: StoredModel) -> None:
        """Enter a model whose blobs are in the store into the manifest; what else stands there stays."""
        digest = self.track.reference_digest
        with self.store.lock(f"references-{digest}"):
            document = self.store.read("references", digest) or StoredManifest(self.track.name, {}).document()
            document["roles"][role.name] = model.document()
            self.store.write("references", digest, document)

    def has_weights(self, role: Role) -> bool:
        """Return whether the store has a role's weights; of the shadow retrained models it has only logits."""
        model = self.manifest.roles.get(role.name)
        return model is not None and model.weights is not None and self.store.has(model.weights)

    def weights(self, role: Role) -> bytes:
        """Return the model's state as safetensors, float32.

        Raises:
            StoreError: the role's weights are damaged or not stored (of shadow retrained models only the logits are).
        """
        from safetensors.numpy import load, save

        sha = self._stored(role).weights
        if sha is None:
            raise StoreError(f"the store has no weights of {role.name}", "only its logits are kept on this track")
        state = load(self.store.get(sha))
        return save({k: v.astype(np.float32) if v.dtype == np.float16 else v for k, v in state.items()})

    def logits(self, role: Role) -> NDArray[np.float32]:
        """Return the logits [n, classes] on every example of the data set."""
        from safetensors.numpy import load

        sha = self._stored(role).logits
        if sha in self._read:
            return self._read[sha]
        logits: NDArray[np.float32] = load(self.store.get(sha))["logits"].astype(np.float32)
        of_seed = role.kind in seed_kinds(self.track)
        if of_seed or role.kind.startswith("tuning"):  # many units are compared with these models
            self._read[sha] = logits
        return logits

    def _stored(self, role: Role) -> StoredModel:
        model = self.manifest.roles.get(role.name)
        if model is None:
            raise StoreError(
                f"track {self.track.name} has no reference model {role.name}", f"run `bench prepare {self.track.name}`"
            )
        return model

    @cached_property
    def reference_phi(self) -> NDArray[np.float64]:
        """φ [seeds, n] of every example under the retrained models of all seeds, from scaled logits."""
        labels, rows = self.examples.labels, []
        for seed in range(self.track.protocol.seeds):
            logits = self.logits(Role("retrained", seed))
            rows.append(margins(scaled(logits, labels, self.examples.split(seed).val).logits, labels))
        return np.stack(rows)

    def verify(self) -> Iterator[str]:
        """Read every reference file against its digest; yield the role names as they pass.

        Raises:
            StoreError: a file is missing or changed.
        """
        for name, model in sorted(self.manifest.roles.items()):
            for sha in (model.weights, model.logits):
                if sha is not None:
                    self.store.get(sha)
            yield name
