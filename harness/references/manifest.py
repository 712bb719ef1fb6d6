"""Manifests of a track's reference models: the store's own, and the one of published models.

The latter lies in the repository and is trusted; the place where the models are published is not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec

from unlearn_bench.harness.store import documents
from unlearn_bench.harness.store.store import blob_path
from unlearn_bench.harness.support.errors import TrackError

FOLDER = Path(__file__).parents[1] / "published"
FORMAT = 1
"""Of the manifest of published models."""


@dataclass(frozen=True, kw_only=True)
class TrainingFacts:
    """How a reference model was trained."""

    torch: str | None = None
    """The version of PyTorch."""
    date: str | None = None
    cpu_seconds: float | None = None
    gpu_seconds: float | None = None
    """Its share of a GPU's seconds, of a model that was trained there."""
    precision: str | None = None
    """``bfloat16`` where the training computed in it."""
    file: str | None = None
    """Name of the file that it was imported from; ``None`` of a model that the benchmark trained."""
    file_sha256: str | None = None
    trained_by: str | None = None
    """Who trained an imported model, as the import was told."""


@dataclass(frozen=True, kw_only=True)
class StoredModel(TrainingFacts):
    """One reference model in the store: its files by their SHA-256, and how it was trained."""

    weights: str | None
    """``None`` where only the logits are kept."""
    logits: str

    @property
    def facts(self) -> TrainingFacts:
        """How it was trained."""
        return TrainingFacts(**{name: getattr(self, name) for name in TrainingFacts.__dataclass_fields__})

    def document(self) -> dict[str, Any]:
        """Return its entry in the store's manifest."""
        return {"weights": self.weights, "logits": self.logits, **_known(vars(self.facts))}


@dataclass(frozen=True)
class StoredManifest:
    """The reference models of a track that are in the store."""

    track: str
    roles: Mapping[str, StoredModel]
    """By the name of their role."""

    def document(self) -> dict[str, Any]:
        """Return the manifest as a document of the store."""
        roles = {name: model.document() for name, model in self.roles.items()}
        return {"format": documents.FORMAT, "track": self.track, "roles": roles}


@dataclass(frozen=True)
class Blob:
    """One file of a published model."""

    sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
    size: Annotated[int, msgspec.Meta(ge=0)]
    """Bytes."""

    @property
    def name(self) -> str:
        """The path below a published place."""
        return blob_path(self.sha256).as_posix()


@dataclass(frozen=True)
class PublishedModel:
    """One published reference model."""

    weights: Blob | None
    logits: Blob
    about: TrainingFacts

    @property
    def blobs(self) -> list[Blob]:
        """The files of the model."""
        return [blob for blob in (self.weights, self.logits) if blob is not None]


@dataclass(frozen=True)
class PublishedManifest:
    """Which reference models of a track are published, and where."""

    track: str
    reference_digest: str
    urls: tuple[str, ...]
    """Newest first."""
    models: Mapping[str, PublishedModel]
    """By the name of their role."""

    @property
    def imported(self) -> bool:
        """Whether the models of the seed units were trained elsewhere and imported."""
        return any(model.about.file is not None for name, model in self.models.items() if name.startswith("retrained/"))

    def text(self) -> bytes:
        """Return the manifest as JSON, as it lies in the repository and at the published place."""
        content = {"format": FORMAT, **asdict(self)}
        for model in content["models"].values():
            model["about"] = _known(model["about"])
        return json.dumps(content, indent=1, sort_keys=True, allow_nan=False).encode() + b"\n"


def manifest_path(track: str) -> Path:
    """Return where a track's manifest is: with the benchmark, or beside the file of a user's own track."""
    return Path(track).with_suffix(".published.json") if track.endswith(".toml") else FOLDER / f"{track}.json"


def read_manifest(path: Path) -> PublishedManifest:
    """Read the manifest of published models.

    Raises:
        TrackError: it is missing, or not a manifest.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        what = f"there is no manifest {path}, and without one nothing that a URL gives can be trusted"
        raise TrackError(what, "name the track's manifest with --manifest; its organiser has it") from None
    except (ValueError, OSError) as error:
        raise TrackError(f"{path} cannot be read: {error}", "get the manifest again") from None
    if isinstance(content, dict) and (found := content.get("format")) != FORMAT:
        what = f"{path} is not a manifest that this version reads: it has format {found!r}, not {FORMAT}"
        raise TrackError(what, "get it again, or update the benchmark")
    try:
        return msgspec.convert(content, PublishedManifest)
    except msgspec.ValidationError as error:
        raise TrackError(f"{path} is not a manifest: {error}", "get it again") from None


def _known(content: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in content.items() if value is not None}
