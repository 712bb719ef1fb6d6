"""Sealed tracks: all that is random in a competition's track lies in a secret file, and the track commits to it.

The commitment is the SHA-256 of the secret's canonical JSON, salt included: it says nothing of the seeds before the
secret is revealed, and nobody can change them afterwards. The salt also enters the track's digests.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import secrets
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unlearn_bench.harness.support.errors import TrackError
from unlearn_bench.harness.support.files import write_new
from unlearn_bench.harness.tracks.toml_text import toml_text

VARIABLE = "BENCH_SECRETS"
SEEDS = {"splits": "seed", "recipe": "seed", "protocol": "seed", "analysis": "umia_seed"}
"""Table → the key that a sealed track leaves to its secret."""
REMEDY = "name the file that `bench seal` made"
HEAD = """# The secret of the sealed track {name}: whoever reads it knows every split, model and run in advance.
# Keep it out of every repository until the competition is over; then `bench reveal` publishes it.
"""


@dataclass(frozen=True)
class Secret:
    """Salt and seeds of one track; the seeds under their table's name."""

    salt: str = dataclasses.field(repr=False)
    splits: int = dataclasses.field(repr=False)
    recipe: int = dataclasses.field(repr=False)
    protocol: int = dataclasses.field(repr=False)
    analysis: int = dataclasses.field(repr=False)

    @property
    def commitment(self) -> str:
        """SHA-256 of the canonical JSON (sorted keys, no spaces), as 64 hexadecimal digits."""
        text = json.dumps(dataclasses.asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def text(self, name: str) -> str:
        """Return the content of the secret file of the track ``name``."""
        lines = [f"{key} = {json.dumps(value)}\n" for key, value in dataclasses.asdict(self).items()]
        return HEAD.format(name=name) + "".join(lines)


def draw() -> Secret:
    """Draw a fresh secret: 256 bits of salt, seeds of 63 bits."""
    return Secret(secrets.token_hex(32), *(secrets.randbits(63) for _ in SEEDS))


def find(name: str, commitment: str, given: Path | None = None) -> Secret:
    """Find the secret of the sealed track ``name``.

    Args:
        name: of the track.
        commitment: what the track commits to.
        given: the secret's file, or a folder with NAME.toml; default: ``BENCH_SECRETS``.

    Raises:
        TrackError: there is none, others could read it, or it is not the one that the track commits to.
    """
    place = given or Path(os.environ.get(VARIABLE, ""))
    if place == Path():
        raise TrackError(
            f"track {name} is sealed, and its secret is not here",
            f"its organiser points {VARIABLE} or --secret at the secret; nobody else can run it before it is revealed",
        )
    path = place / f"{name}.toml" if place.is_dir() else place
    secret = read(path)
    if path.stat().st_mode & 0o077:
        raise TrackError(f"{path}: other users may read this secret", f"chmod 600 {path}")
    check(name, commitment, secret, path)
    return secret


def read(path: Path) -> Secret:
    """Read a secret file; complaints never quote it.

    Raises:
        TrackError: it is missing or not a secret.
    """
    try:
        table = tomllib.loads(toml_text(path))
    except OSError as error:
        raise TrackError(f"no secret can be read at {path}: {error.strerror}", REMEDY) from None
    except tomllib.TOMLDecodeError:
        raise TrackError(f"{path} is not TOML", REMEDY) from None
    wanted = {field.name: str if field.name == "salt" else int for field in dataclasses.fields(Secret)}
    if {key: type(value) for key, value in table.items()} != wanted:
        raise TrackError(f"{path} is not a secret: it must hold {', '.join(wanted)}", REMEDY)
    return Secret(**table)


def check(name: str, commitment: str, secret: Secret, path: Path) -> None:
    """Raise ``TrackError`` unless the track commits to exactly this secret."""
    if secret.commitment != commitment:
        raise TrackError(
            f"the secret in {path} is not the one that track {name} commits to",
            "use the file that `bench seal` made for this track, unchanged",
        )


def write(secret: Secret, name: str, path: Path) -> None:
    """Write a new secret file that only its owner can read.

    Raises:
        TrackError: it lies inside a git work tree, already exists, or cannot be written.
    """
    folder = path.absolute().resolve().parent
    for parent in (folder, *folder.parents):
        if (parent / ".git").exists():
            raise TrackError(
                f"{path} would lie inside the git work tree {parent}", "keep secrets outside of repositories"
            )
    try:
        write_new(path, secret.text(name).encode(), mode=0o600)
    except FileExistsError:
        remedy = "a secret is never overwritten: name another file, or delete this one if no track was sealed with it"
        raise TrackError(f"{path} is there already", remedy) from None
    except OSError as error:
        raise TrackError(f"{path} cannot be written: {error.strerror}", "name a file in a folder of yours") from None


def seal(text: str, secret: Secret, quota: int) -> str:
    """Return a track file without its seeds, with the commitment to ``secret``."""
    section, kept = "", []
    for line in text.splitlines():
        if header := re.match(r"\s*\[\s*(\w+)\s*\]", line):
            section = header[1]
        if line.partition("=")[0].strip() != SEEDS.get(section):
            kept.append(line)
    limit = f"quota = {quota}\n" if quota else ""
    return "\n".join(kept).rstrip() + f'\n\n[sealed]\ncommitment = "{secret.commitment}"\n{limit}'


def filled(table: Mapping[str, Any], secret: Secret, path: Path) -> dict[str, Any]:
    """Return the content of a sealed track file with its seeds.

    Raises:
        TrackError: the file holds a seed.
    """
    full = dict(table)
    for section, key in SEEDS.items():
        part = full.get(section, {})
        if not isinstance(part, Mapping):
            continue  # the track's parser reports what is wrong with it
        if key in part:
            raise TrackError(f"{path}: {section}.{key} stands in a sealed track", "remove it: the secret holds it")
        full[section] = {**part, key: getattr(secret, section)}
    return full
