"""``bench compare``: two entries, paired seed by seed."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import click

from unlearn_bench.harness.commands._options import json_option, track_option
from unlearn_bench.harness.commands._verbs import verb


@verb(
    "look",
    "Compare two entries, paired by seed",
    epilog="Examples: bench compare my_method ft; bench compare salun srl --json",
)
@click.argument("a")
@click.argument("b")
@track_option
@json_option
def command(a: str, b: str, track: str, secret: Path | None, as_json: bool) -> None:
    """Show the differences between entries A and B with 95 % intervals, paired by seed (U-LiRA: by pair of splits).

    Paired differences are sharper than the board's intervals, since what all methods share on a seed cancels.
    """
    from unlearn_bench.harness.report import comparison_text
    from unlearn_bench.harness.workflows.show import compare

    result = compare(a, b, track, secret)
    if as_json:
        differences = [
            {**dataclasses.asdict(difference), "clear": difference.clear} for difference in result.differences
        ]
        click.echo(json.dumps({"a": a, "b": b, "track": result.track, "differences": differences}, indent=1))
    else:
        click.echo(comparison_text.comparison(a, b, result.differences))
