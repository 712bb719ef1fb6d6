"""``bench tracks``: what there is to run on."""

from __future__ import annotations

import dataclasses
import json

import click

from harness.commands._options import json_option


@click.command(epilog="Example: bench tracks --json")
@json_option
def command(as_json: bool) -> None:
    """List the tracks that ship with the benchmark."""
    from harness import track

    tracks = [track.load(name) for name in track.names()]
    if as_json:
        digests = ("reference_digest", "protocol_digest", "analysis_digest")
        content = [
            {**dataclasses.asdict(dataclasses.replace(t, model=dict(t.model))), **{d: getattr(t, d) for d in digests}}
            for t in tracks
        ]
        click.echo(json.dumps(content, indent=1))
        return
    width = max(len(t.name) for t in tracks)
    click.echo(f"{'track':<{width}}  {'retain':>7} {'forget':>7} {'val':>6} {'test':>6}  seeds  title")
    for t in tracks:
        s = t.splits
        click.echo(
            f"{t.name:<{width}}  {s.retain:>7,} {s.forget:>7,} {s.val:>6,} {s.test:>6,}  {t.protocol.seeds:>5}  "
            f"{t.analysis.title}"
        )
