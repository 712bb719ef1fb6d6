"""``bench baselines``: the shipped methods on a track."""

from __future__ import annotations

from pathlib import Path

import click

from unlearn_bench.harness.commands._options import (
    executor_option,
    gpu_option,
    lira_option,
    narrow_option,
    sandbox_option,
    swap_option,
    track_option,
)
from unlearn_bench.harness.commands._verbs import verb


@verb(
    "run",
    "Run the shipped methods",
    epilog="Examples: bench baselines --lira; bench baselines ft msg --track digits-tinyvit",
)
@click.argument("names", nargs=-1)
@track_option
@sandbox_option
@gpu_option
@executor_option
@lira_option
@narrow_option
@swap_option
@click.option("--again", is_flag=True, help="Run every named method once more, finished units included.")
@click.option("--export", type=click.Path(path_type=Path, file_okay=False), help="Write the records as they ship.")
def command(
    names: tuple[str, ...],
    track: str,
    secret: Path | None,
    sandbox: str,
    gpu: int | None,
    lira: bool,
    narrow: float | None,
    swap: bool,
    again: bool,
    export: Path | None,
) -> None:
    """Run the shipped methods (all, or NAMES) on every model seed and show the board.

    Their shadow units (--lira) run in worker processes, unless --sandbox names another place.
    """
    from unlearn_bench.harness.entries.entry import baseline, baseline_names
    from unlearn_bench.harness.report import tables
    from unlearn_bench.harness.results import board
    from unlearn_bench.harness.store.store import Store
    from unlearn_bench.harness.tracks.loading import load_track
    from unlearn_bench.harness.units import disclosure, timed_units
    from unlearn_bench.harness.units.records import Record, ShadowRecord
    from unlearn_bench.harness.units.tuning import tuned
    from unlearn_bench.harness.units.unit_kinds import SeedUnit
    from unlearn_bench.harness.workflows import session

    loaded = load_track(track, secret)
    if export is not None:
        disclosure.not_public(loaded, "--export")
    if lira:
        session.needs_shadows(loaded)
    store = Store()
    chosen = [name for name in names or baseline_names() if name != "retrain"]  # retrain is timed anyway
    entries = [tuned(baseline(name), loaded, store) for name in chosen]
    bench, line = session.open_bench(loaded, sandbox, gpu)
    click.echo(line, err=True)
    seeds = range(loaded.protocol.seeds)
    todo: list[SeedUnit] = []
    for entry in entries:
        todo += (
            [SeedUnit(entry, loaded, s) for s in seeds] if again else timed_units.pending(store, entry, loaded, seeds)
        )
    done = session.execute(bench, todo, gpu)
    attacked: list[ShadowRecord] = []
    if lira:
        kept = [tuned(baseline(entry.name), loaded, store, "shadow") for entry in entries if entry.name != "original"]
        attacked = session.run_shadows(bench.references, kept, sandbox, gpu, narrow, again)
    if swap:
        session.run_swaps(bench.references, [e for e in entries if e.name != "original"], sandbox, gpu)
    click.echo(tables.table(board.board(bench.references), loaded, board.null(bench.references)))
    if export is not None:
        from unlearn_bench.harness.results.shipping import export_records

        click.echo(f"exported {export_records(bench.references, Store(export, behind=None))} records to {export}")
    ended: list[Record | ShadowRecord] = [*done, *attacked]
    for record in ended:
        if record.status != "ok":
            raise session.failure(store, loaded, record)
