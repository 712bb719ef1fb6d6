"""Reading tracks from TOML files: the shipped ones by name, any other by its path."""

from __future__ import annotations

import dataclasses
import hashlib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unlearn_bench import plugins
from unlearn_bench.harness.support.errors import TrackError
from unlearn_bench.harness.support.names import did_you_mean
from unlearn_bench.harness.tracks import sealed
from unlearn_bench.harness.tracks.parsing import build
from unlearn_bench.harness.tracks.sealed import Secret
from unlearn_bench.harness.tracks.specification import Sealed, Track
from unlearn_bench.harness.tracks.toml_text import toml_text
from unlearn_bench.harness.tracks.validation import contradictions

CATALOGUE = Path(__file__).parent / "catalogue"
INNER_TABLES = ("corruption", "probes")
"""Tables inside of other tables that are merged key by key; other values are replaced as a whole."""


def track_names() -> list[str]:
    """Return the names of the tracks that ship with the benchmark."""
    return sorted(path.stem for path in CATALOGUE.glob("*.toml"))


def load_track(name: str, secret: Path | None = None) -> Track:
    """Load a shipped track by name, or any track by the path of its TOML file.

    Args:
        name: of a shipped track, or the path of a TOML file.
        secret: of a sealed track, a file or a folder with NAME.toml; default: ``BENCH_SECRETS``.

    Raises:
        TrackError: unknown name, or a file that is not a valid track; names the file, the key and what is allowed.
            A sealed track without its secret.
    """
    table, path = read_track(name)
    commitment = commitment_of(table, path)
    return parse_track(table, path, None if commitment is None else sealed.find(path.stem, commitment, secret))


def read_track(name: str) -> tuple[dict[str, Any], Path]:
    """Read what a track's file says, on top of what it ``extends``, and return it with the file's path.

    Raises the errors of :func:`load_track`, except those about the content.
    """
    path = Path(name) if name.endswith(".toml") else CATALOGUE / f"{name}.toml"
    table = _read(path, name)
    seen = [path.resolve()]
    while "extends" in table:
        base = table.pop("extends")
        if not isinstance(base, str):
            what = f"{path}: extends is {base!r}; allowed: a track's name, or a .toml file"
            raise TrackError(what, "correct the file")
        base_path = seen[-1].parent / base if base.endswith(".toml") else CATALOGUE / f"{base}.toml"
        if base_path.resolve() in seen:
            raise TrackError(f"{path} extends itself", "correct the file")
        seen.append(base_path.resolve())
        table = _merge(_read(base_path, base), table)
    return table, path


def _read(path: Path, name: str) -> dict[str, Any]:
    if not path.is_file():
        if name.endswith(".toml"):
            raise TrackError(f"there is no file {name}", "name another one, or a track of `bench tracks`")
        names = track_names()
        remedy = f"{did_you_mean(name, names)}use one of {', '.join(names)}, or the path of a .toml file"
        raise TrackError(f"there is no track {name!r}", remedy)
    try:
        return tomllib.loads(toml_text(path))
    except tomllib.TOMLDecodeError as error:
        raise TrackError(f"{path}: not TOML: {error}", "correct the file") from None


def _merge(base: Mapping[str, Any], table: Mapping[str, Any]) -> dict[str, Any]:
    """Merge ``table`` into ``base``, key by key; another model replaces that of the base as a whole."""
    merged = {**base, **table}
    for key, base_value in base.items():
        value = table.get(key)
        if not isinstance(base_value, Mapping) or not isinstance(value, Mapping):
            continue
        if key != "model" or not value.keys() & {"name", "file"}:
            merged[key] = {**base_value, **value}
            for inner in INNER_TABLES:
                if isinstance(base_value.get(inner), Mapping) and isinstance(value.get(inner), Mapping):
                    merged[key][inner] = {**base_value[inner], **value[inner]}
    return merged


def parse_track(table: Mapping[str, Any], path: Path, secret: Secret | None = None) -> Track:
    """Build a track from the content of a TOML file, naming file, key and allowed values in every complaint.

    The ``secret`` of a sealed track is looked up where none is given.
    """
    if (commitment := commitment_of(table, path)) is not None:
        secret = secret or sealed.find(path.stem, commitment)
        table = sealed.filled(table, secret, path)
    track = build(Track, {"name": path.stem, **table}, path, "")
    if track.sealed and secret:
        track = dataclasses.replace(track, salt=secret.salt)
    for problem in contradictions(track):
        raise TrackError(f"{path}: {problem}", "correct the file")
    if "file" in track.model:
        file = path.parent / str(track.model["file"])
        track = dataclasses.replace(track, network_source=_network_source(track, path, file))
    elif track.model["name"] in plugins.names("architectures"):
        file = plugins.source_file("architectures", track.model["name"])
        track = dataclasses.replace(track, network_source=_network_source(track, path, file))
    if "pretrained" in track.model:
        track = dataclasses.replace(track, folder=str(path.parent.resolve()))
    return track


def _network_source(track: Track, path: Path, file: Path) -> str:
    """Read the file of a network that is not the benchmark's own, whose digest the track has."""
    try:
        content = file.read_bytes()
    except OSError:
        raise TrackError(f"{path}: model.file: there is no file {file}", "put it there") from None
    digest = hashlib.sha256(content).hexdigest()
    if digest != track.model["sha256"]:
        what = f"{path}: model.sha256 is not the digest of {file}, which is {digest}"
        raise TrackError(what, "get the track's own file again, or enter its digest, which makes it another track")
    return content.decode("utf-8")


def commitment_of(table: Mapping[str, Any], path: Path) -> str | None:
    """Return what a sealed track commits to, or ``None`` if the track is not sealed."""
    return build(Sealed, table["sealed"], path, "sealed").commitment if "sealed" in table else None
