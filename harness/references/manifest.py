"""The manifest of a track's published reference models. It lies in the repository and is trusted; the place is not."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from unlearn_bench.harness.store.store import blob_path
from unlearn_bench.harness.support.errors import TrackError

FOLDER = Path(__file__).parents[1] / "published"
FORMAT = 1
SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Blob:
    """One file of a published model."""

    sha256: str
    size: int
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
    about: Mapping[str, Any] = field(default_factory=dict)
    """The other fields that the store's manifest has of it."""

    @property
    def blobs(self) -> list[Blob]:
        """The files of the model."""
        return [blob for blob in (self.weights, self.logits) if blob is not None]


@dataclass(frozen=True)
class Manifest:
    """Which reference models of a track are published, and where."""

    track: str
    reference_digest: str
    urls: tuple[str, ...]
    """Newest first."""
    models: Mapping[str, PublishedModel]
    """By the name of their role."""

    def text(self) -> bytes:
        """Return the manifest as JSON, as it lies in the repository and at the published place."""
        content = {"format": FORMAT, **asdict(self)}
        return json.dumps(content, indent=1, sort_keys=True, allow_nan=False).encode() + b"\n"


def manifest_path(track: str) -> Path:
    """Return where a track's manifest is: with the benchmark, or beside the file of a user's own track."""
    return Path(track).with_suffix(".published.json") if track.endswith(".toml") else FOLDER / f"{track}.json"


def read_manifest(path: Path) -> Manifest:
    """Read a manifest.

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
    try:
        if content.pop("format") != FORMAT:
            raise ValueError("another format than this version reads")
        models = {
            str(name): PublishedModel(
                _optional_blob(model["weights"]), _parsed_blob(model["logits"]), dict(model["about"])
            )
            for name, model in content["models"].items()
        }
        urls = tuple(map(str, content["urls"]))
        return Manifest(str(content["track"]), str(content["reference_digest"]), urls, models)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise TrackError(f"{path} is not a manifest: {type(error).__name__}: {error}", "get it again") from None


def _optional_blob(content: Mapping[str, Any] | None) -> Blob | None:
    return None if content is None else _parsed_blob(content)


def _parsed_blob(content: Mapping[str, Any]) -> Blob:
    sha, size = content["sha256"], content["size"]
    if not SHA256.fullmatch(sha) or type(size) is not int or size < 0:
        raise ValueError(f"{sha!r} with size {size!r} is no file")
    return Blob(sha, size)
