"""``bench audit``: an entry again on fresh splits and models."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import click

from unlearn_bench.harness.commands._options import (
    gpu_option,
    json_option,
    parse_parameters,
    sandbox_option,
    track_option,
)
from unlearn_bench.harness.commands._verbs import verb


@verb(
    "organise",
    "Run an entry again on fresh splits and models",
    epilog="Examples: bench audit my_method.py; bench audit ft --seeds 10 --json",
)
@click.argument("entry")
@track_option
@click.option(
    "--seeds", type=click.IntRange(min=2), default=5, show_default=True, help="How many fresh splits and models."
)
@click.option(
    "--set", "parameters", multiple=True, metavar="NAME=VALUE", callback=parse_parameters, help="A hyper-parameter."
)
@click.option("--redraw", is_flag=True, help="Other fresh seeds than those of earlier audits: trains new models.")
@sandbox_option
@gpu_option
@json_option
def command(
    entry: str,
    track: str,
    secret: Path | None,
    seeds: int,
    parameters: dict[str, Any],
    redraw: bool,
    sandbox: str,
    gpu: int | None,
    as_json: bool,
) -> None:
    """Run ENTRY (a file, or the name of a shipped method) on fresh splits and models, and compare with the public ones.

    An entry that knows the public originals, splits or test set does better there. Says the cost first; models and
    finished runs are kept, and the same command goes on where it stopped. U-LiRA is not repeated.
    """
    from unlearn_bench.harness.references.references import References
    from unlearn_bench.harness.report import tables
    from unlearn_bench.harness.results import audit
    from unlearn_bench.harness.store.store import Store
    from unlearn_bench.harness.support.progress import span
    from unlearn_bench.harness.tracks.loading import load_track
    from unlearn_bench.harness.units import disclosure, timed_units
    from unlearn_bench.harness.units.tuning import tuned
    from unlearn_bench.harness.workflows import session

    public, store = load_track(track, secret), Store()
    source = session.find_entry(entry)
    disclosure.within_quota(store, source, public)
    method = tuned(source, public, store).with_parameters(parameters)
    fresh = audit.fresh_track(store, public, seeds, redraw)
    both = References(public, store), References(fresh, store)
    todo = [timed_units.pending(store, method, one, range(one.protocol.seeds)) for one in (public, fresh)]
    cost = audit.estimate(store, method, public, sum(map(len, todo)), seeds)
    click.echo(
        f"audit of {method.name}: {len(todo[0])} runs on the public seeds, {len(todo[1])} on fresh ones"
        + (f" and Retrain's time there: about {span(cost)}" if cost is not None and todo[1] else ""),
        err=True,
    )
    for one, waiting in zip((public, fresh), todo, strict=True):
        if waiting:
            bench, line = session.open_bench(one, sandbox, gpu)
            click.echo(line, err=True)
            session.execute(bench, waiting, gpu)
        else:
            session.open_references(one)
    for references in both:
        for record in audit.records(references, method):
            if record.status != "ok":
                raise session.failure(store, references.track, record)
    found, zero = audit.changes(*both, method), audit.nulls(*both)
    if as_json:
        content = {
            "entry": method.name,
            "fitted": audit.fitted(found),
            "level": audit.level(),
            "changes": [{**dataclasses.asdict(one), "better": one.better} for one in found],
            "zero": zero,
        }
        click.echo(json.dumps(content, indent=1))
    else:
        click.echo(tables.audit(method.name, found, audit.fitted(found), zero))
