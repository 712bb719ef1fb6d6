"""``bench tracks``: what there is to run on."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import click

from harness.commands._options import json_option


@click.command(epilog="Example: bench tracks --json")
@json_option
def command(as_json: bool) -> None:
    """List the tracks that ship with the benchmark; of a sealed one what its file says."""
    from harness import track

    files = [track.read(name) for name in track.names()]
    if as_json:
        click.echo(json.dumps([_described(*file) for file in files], indent=1))
        return
    width = max(len(path.stem) for _, path in files)
    click.echo(f"{'track':<{width}}  {'retain':>7} {'forget':>7} {'val':>6} {'test':>6}  seeds  title")
    for table, path in files:
        s = table["splits"]
        click.echo(
            f"{path.stem:<{width}}  {s['retain']:>7,} {s['forget']:>7,} {s['val']:>6,} {s['test']:>6,}  "
            f"{table['protocol']['seeds']:>5}  {table.get('analysis', {}).get('title', '')}"
        )


def _described(table: dict[str, Any], path: Path) -> dict[str, Any]:
    from harness import track

    if "sealed" in table:
        return {"name": path.stem, **table}
    known = track.parse(table, path)
    content = dataclasses.asdict(dataclasses.replace(known, model=dict(known.model)))
    del content["salt"]
    digests = ("reference_digest", "protocol_digest", "analysis_digest")
    return {**content, **{digest: getattr(known, digest) for digest in digests}}
