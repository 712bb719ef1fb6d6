"""``bench seal`` and ``bench reveal``: the seeds of a competition's track, taken out and published."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path

from unlearn_bench.harness.support.errors import USAGE, BenchError, TrackError
from unlearn_bench.harness.support.files import write_file, write_new
from unlearn_bench.harness.tracks import sealed
from unlearn_bench.harness.tracks.loading import commitment_of, parse_track, read_track
from unlearn_bench.harness.tracks.toml_text import toml_text


@dataclass(frozen=True)
class Revealed:
    """The secret of a sealed track, which is the one that the track commits to."""

    track: str
    place: Path
    """The secret's file."""
    commitment: str
    """SHA-256, as 64 hexadecimal digits."""


def seal(track: Path, secret: Path, quota: int = 0) -> None:
    """Draw fresh seeds into a secret file, and leave a commitment in their place in the track's file.

    Args:
        track: the track's file, which is rewritten.
        secret: the file to write; never inside a git work tree.
        quota: how many different versions of one entry are scored; 0: any number.

    Raises:
        TrackError: the track is sealed already, extends another one or is invalid; the secret cannot be written.
    """
    table, path = read_track(str(track))
    if "extends" in tomllib.loads(toml_text(track)):
        raise TrackError(f"{track} extends another track", f"write it out first: bench tracks {track} > whole.toml")
    if commitment_of(table, path) is not None:
        raise TrackError(f"{track} is sealed already", "seal a track file that holds its seeds")
    drawn_secret = sealed.draw()
    text = sealed.seal(toml_text(track), drawn_secret, quota)
    parse_track(tomllib.loads(text), path, drawn_secret)  # a mistake is named before anything is written
    sealed.write(drawn_secret, path.stem, secret)
    write_file(track, text.encode())


def reveal(track: str, secret: Path | None = None, out: Path | None = None) -> Revealed:
    """Read the secret of a sealed track, check that it is the one that the track commits to, and publish it.

    Args:
        track: a track's name, or the path of a TOML file.
        secret: its file, or a folder with NAME.toml; default: ``BENCH_SECRETS``.
        out: the file to write it to; none: it is only checked.

    Raises:
        TrackError: the track is not sealed, there is no secret, or it is another one.
        BenchError: ``out`` is there already, which may be the secret itself, or cannot be written.
    """
    table, path = read_track(track)
    commitment = commitment_of(table, path)
    if commitment is None:
        raise TrackError(f"track {track} is not sealed", "its seeds stand in its file")
    secret_path = secret or Path(os.environ.get(sealed.VARIABLE, ""))
    secret_path = secret_path / f"{path.stem}.toml" if secret_path.is_dir() else secret_path
    content = sealed.read(secret_path)
    sealed.check(path.stem, commitment, content, secret_path)
    parse_track(table, path, content)
    if out is not None:
        _write_new(out, content.text(path.stem))
    return Revealed(path.stem, secret_path, commitment)


def _write_new(path: Path, text: str) -> None:
    remedy = "name a new file with --out"
    try:
        write_new(path, text.encode())
    except FileExistsError:
        raise BenchError(
            f"{path} is there already, and may be the secret itself", "your command", remedy, USAGE
        ) from None
    except OSError as error:
        raise BenchError(f"{path} cannot be written: {error.strerror}", "your command", remedy, USAGE) from None
