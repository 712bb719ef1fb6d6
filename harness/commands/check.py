"""``bench check``: every check of a submission that does not run it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from unlearn_bench.harness.commands._options import json_option
from unlearn_bench.harness.commands._verbs import verb

if TYPE_CHECKING:
    from unlearn_bench.harness.entries.entry import Entry


@verb(
    "run",
    "Check a submission without running it",
    epilog="Examples: bench check my_method.py; bench check my_package --bundle my_package.py",
)
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--bundle", type=click.Path(path_type=Path), help="Write a package as one file, as a pull request takes it."
)
@json_option
def command(path: Path, bundle: Path | None, as_json: bool) -> None:
    """Check a submission in under two seconds, without running it.

    It must be one regular file of at most 64 KiB of UTF-8 that parses and defines unlearn with the right parameters. On
    tracks that allow packages it may be a folder of Python files of at most 256 KiB whose __init__.py defines unlearn.
    Metadata, search space and imports that the image does not have are checked as well. Exit code 10 if it is invalid.
    """
    from unlearn_bench.harness.entries.entry import read

    entry = read(path)
    if bundle is not None:
        _write_bundle(entry, bundle)
    if as_json:
        report = {
            "name": entry.name,
            "title": entry.title,
            "summary": entry.summary,
            "sha256": entry.sha256,
            "parameters": dict(entry.defaults),
            "search_space": dict(entry.search_space),
            "metadata": dict(entry.metadata),
            "files": list(entry.files) if entry.is_package else [path.name],
            "requirements": list(entry.requirements),
            "notes": list(entry.notes),
        }
        click.echo(json.dumps(report, indent=1))
        return
    parameters = ", ".join(f"{k}={v!r}" for k, v in entry.defaults.items()) or "none"
    click.echo(f"{entry.title}: {entry.summary or 'no docstring'}")
    click.echo(f"parameters    {parameters}")
    click.echo(f"search space  {', '.join(entry.search_space) or 'none'}")
    if entry.is_package:
        click.echo(f"files         {', '.join(entry.files)}; only tracks with `packages = true` take several")
    if entry.requirements:
        click.echo(f"requires      {', '.join(entry.requirements)}; see bench image --for")
    for note in entry.notes:
        click.echo(f"note          {note}")
    click.echo(f"ok: {path} passes every check; next: bench submit {path}")


def _write_bundle(entry: Entry, place: Path) -> None:
    from unlearn_bench.harness.entries import package
    from unlearn_bench.harness.support.files import write_file

    if not entry.is_package:
        raise click.UsageError(f"--bundle goes with a folder, and {entry.name} is a single file")
    if place.exists() and not (place.is_file() and package.is_bundle(place.read_bytes())):
        raise click.UsageError(f"{place} is there already and is no bundle; name another file")
    write_file(place, entry.source)
