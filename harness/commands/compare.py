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
    """Differences between entries A and B with 95 % intervals, paired by seed (U-LiRA: by pair of shadow splits).

    Paired differences are sharper than the board's intervals: what all methods share on a seed cancels.
    """
    from unlearn_bench.harness.references.references import References
    from unlearn_bench.harness.report import tables
    from unlearn_bench.harness.results import board, scores
    from unlearn_bench.harness.results.board_entries import candidates, find
    from unlearn_bench.harness.store.store import Store
    from unlearn_bench.harness.tracks.loading import load_track
    from unlearn_bench.scoring.paired import difference

    loaded = load_track(track, secret)
    references = References(loaded, Store())
    present = {candidate.name: candidate for candidate in candidates(references)}
    seeds = {
        name: {
            seed: found
            for seed, record in find(present, name, loaded).records.items()
            if (found := scores.of_record(references, record)) is not None
        }
        for name in (a, b)
    }
    differences = []
    for metric in ("retdev", "indisc", "umia", "ra", "fa", "ta"):
        own, other = ({seed: getattr(found, metric) for seed, found in seeds[name].items()} for name in (a, b))
        differences.append(difference(metric, own, other))
    own, other = ({seed: rte for seed, record in present[n].records.items() if (rte := record.rte)} for n in (a, b))
    if own.keys() & other.keys():
        differences.append(difference("rte", own, other, ratio=True))
    attacked = board.shadow_scores(references)
    left, right = (attacked[name][1] if name in attacked else None for name in (a, b))
    if left is not None and right is not None:
        pairs = [dict(enumerate(one.pair_accuracies)) for one in (left, right)]
        differences.append(difference("ulira", pairs[0], pairs[1]))
    if as_json:
        content = [{**dataclasses.asdict(one), "clear": one.clear} for one in differences]
        click.echo(json.dumps({"a": a, "b": b, "track": loaded.name, "differences": content}, indent=1))
    else:
        click.echo(tables.comparison(a, b, differences))
