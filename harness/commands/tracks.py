"""``bench tracks``: list the tracks, or write one out."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import click

from unlearn_bench.harness.commands._options import json_option
from unlearn_bench.harness.commands._verbs import verb


@verb(
    "look",
    "List the tracks, or write one out as a file",
    epilog="Examples: bench tracks; bench tracks cifar10-resnet18-lite > mine.toml; bench tracks --json",
)
@click.argument("name", required=False)
@json_option
def command(name: str | None, as_json: bool) -> None:
    """List the tracks that ship with the benchmark; for a sealed one, what its file says.

    With NAME (or a .toml file) write out that track as a file of its own, together with what it extends.
    """
    from unlearn_bench.harness.tracks.loading import read_track, track_names

    if name is not None and not as_json:
        click.echo(_toml(read_track(name)[0]), nl=False)
        return
    files = [read_track(track_name) for track_name in ([name] if name else track_names())]
    if as_json:
        click.echo(json.dumps([_described(*file) for file in files], indent=1))
        return
    width = max(len(path.stem) for _, path in files)
    click.echo(f"{'track':<{width}}  {'retain':>7} {'forget':>7} {'val':>6} {'test':>6}  seeds  title")
    for table, path in files:
        splits = table["splits"]
        click.echo(
            f"{path.stem:<{width}}  {splits['retain']:>7,} {splits['forget']:>7,} {splits['val']:>6,} "
            f"{splits['test']:>6,}  "
            f"{table['protocol']['seeds']:>5}  {table.get('analysis', {}).get('title', '')}"
        )


def _toml(table: dict[str, Any]) -> str:
    """Return tables of plain values, such as tracks, as TOML."""
    parts = []
    for section, content in table.items():
        lines = [f"{key} = {json.dumps(value)}" for key, value in content.items()]
        parts.append("\n".join([f"[{section}]", *lines]) + "\n")
    return "\n".join(parts)


def _described(table: dict[str, Any], path: Path) -> dict[str, Any]:
    from unlearn_bench.harness.tracks.loading import parse_track

    if "sealed" in table:
        return {"name": path.stem, **table}
    track = parse_track(table, path)
    content = dataclasses.asdict(dataclasses.replace(track, model=dict(track.model)))
    del content["salt"], content["network_source"]
    if not track.data.is_file:
        del content["data"]["code_sha256"]  # only a user's own file has one
    digests = ("reference_digest", "protocol_digest", "analysis_digest")
    return {**content, **{digest: getattr(track, digest) for digest in digests}}
