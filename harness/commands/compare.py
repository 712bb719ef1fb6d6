"""``bench compare``: entries, paired seed by seed."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import click

from unlearn_bench.harness.commands import _completion
from unlearn_bench.harness.commands._options import json_option, secret_option
from unlearn_bench.harness.commands._verbs import verb
from unlearn_bench.harness.tracks import DEFAULT_TRACK


@verb(
    "look",
    "Compare entries, paired by seed",
    epilog="Examples: bench compare my_method ft; bench compare salun srl --json; "
    "bench compare my_method salun scrub --track digits-resnet18 --track my.toml",
)
@click.argument("names", nargs=-1, required=True, shell_complete=_completion.entries)
@click.option(
    "--track",
    "tracks",
    shell_complete=_completion.tracks,
    multiple=True,
    default=(DEFAULT_TRACK,),
    show_default=True,
    metavar="NAME",
    help="A track's name, or a .toml file; may be repeated.",
)
@secret_option
@json_option
def command(names: tuple[str, ...], tracks: tuple[str, ...], secret: Path | None, as_json: bool) -> None:
    """Show the differences between the entries NAMES, paired by seed (U-LiRA: by pair of splits).

    Paired differences are sharper than the board's intervals, since what all methods share on a seed cancels. Two
    entries on one track: differences with intervals that hold together in 95 % of cases. More entries, or more tracks:
    a paired t-test of every pair, metric and track, with p-values adjusted for their number (Holm).
    """
    from unlearn_bench.harness.report import comparison_text
    from unlearn_bench.harness.workflows.show import compare, compare_all

    if len(names) != 2 or len(tracks) > 1 or names[0] == names[1]:
        tests = compare_all(names, tracks, secret)
        click.echo(comparison_text.tests_document(tests) if as_json else comparison_text.tests(tests))
        return
    a, b = names
    result = compare(a, b, tracks[0], secret)
    if as_json:
        differences = [
            {**dataclasses.asdict(difference), "clear": difference.clear} for difference in result.differences
        ]
        click.echo(json.dumps({"a": a, "b": b, "track": result.track, "differences": differences}, indent=1))
    else:
        click.echo(comparison_text.comparison(a, b, result.differences))
