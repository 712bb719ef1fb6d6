"""``bench show``: everything about one entry on one track."""

from __future__ import annotations

import dataclasses
import json
import statistics
from pathlib import Path
from typing import TYPE_CHECKING

import click

from unlearn_bench.harness.commands._options import json_option, organiser_option, track_option
from unlearn_bench.harness.commands._verbs import verb

if TYPE_CHECKING:
    import pandas as pd

    from unlearn_bench.harness.references.references import References
    from unlearn_bench.harness.results.board_entries import BoardEntry


@verb(
    "look",
    "Show everything about one entry",
    epilog="Examples: bench show ft; bench show my_method --track digits-tinyvit --json",
)
@click.argument("entry")
@track_option
@organiser_option
@json_option
def command(entry: str, track: str, secret: Path | None, organiser: bool, as_json: bool) -> None:
    """Show one ENTRY by name: its place, its seeds, parameters and environment, and what every attack finds.

    Of a sealed track only status words and numbers over all seeds, unless --organiser asks for the inside.
    """
    from unlearn_bench.harness.references.references import References
    from unlearn_bench.harness.report import tables, unit_table
    from unlearn_bench.harness.results import attack_panel, board, review, scores
    from unlearn_bench.harness.results.board_entries import board_entries, find, shadow_records
    from unlearn_bench.harness.store.store import Store
    from unlearn_bench.harness.tracks.loading import load_track
    from unlearn_bench.harness.units import probe_units, tuning

    loaded = load_track(track, secret)
    references = References(loaded, Store())
    found = {board_entry.name: board_entry for board_entry in board_entries(references)}
    board_entry = find(found, entry, loaded)
    ranked = board.board(references)
    if loaded.sealed and not organiser:
        click.echo(_public(references, board_entry, ranked, as_json))
        return
    records = [board_entry.records[seed] for seed in sorted(board_entry.records)]
    per_seed = {record.seed: scores.record_scores(references, record) for record in records}
    shadow = shadow_records(references).get(entry)
    differing = {
        "U-LiRA": "" if shadow is None else probe_units.inconsistent_shadows(references, shadow),
        "SWAP": probe_units.inconsistent_swaps(references, board_entry.entry_id),
    }
    inconsistent = {kind: why for kind, why in differing.items() if why}
    if as_json:
        row = json.loads(ranked[ranked["entry"] == entry].to_json(orient="records"))
        units = [
            {**dataclasses.asdict(r), "scores": None if s is None else dataclasses.asdict(s.stored())}
            for r, s in zip(records, per_seed.values(), strict=True)
        ]
        panel = [dataclasses.asdict(one) for one in attack_panel.findings(references, board_entry)]
        content = {"entry": entry, "kind": board_entry.kind, "row": row[0] if row else None, "panel": panel}
        content["inconsistent"] = inconsistent
        content["search"] = tuning.choice(entry, records[0].sha256, loaded, references.store)
        content["digests"] = {name: getattr(loaded, f"{name}_digest") for name in ("reference", "protocol", "analysis")}
        mark = review.marks(references).get(entry)
        content["marks"] = None if mark is None else dataclasses.asdict(mark)
        content["shadows"] = None if shadow is None else dataclasses.asdict(shadow)
        click.echo(json.dumps({**content, "units": units}))
        return
    first = records[0]
    click.echo(f"{entry} on {loaded.name} ({board_entry.kind}, sha256 {first.sha256[:16]})")
    click.echo(tables.verdict(ranked, entry))
    click.echo("parameters   " + (", ".join(f"{k}={v!r}" for k, v in first.parameters.items()) or "none"))
    digests = (f"{name} {getattr(loaded, f'{name}_digest')[:16]}" for name in ("reference", "protocol", "analysis"))
    click.echo("digests      " + ", ".join(digests))
    search = tuning.choice(entry, first.sha256, loaded, references.store)
    if search is None:
        click.echo("search       none: defaults, or what --set said")
    else:
        click.echo(
            f"search       {search['trials']} trials × {len(search['seeds'])} units, "
            f"{search['cpu_seconds']:.0f} CPU s, objective {search['objective']}, loss {search['loss']:.3f}"
        )
    for name, value in sorted({k: v for r in records for k, v in r.environment.items()}.items()):
        click.echo(f"{name:<12} {value}")
    distances = any(record.weight_distance is not None for record in records)
    click.echo(unit_table.head(distances))
    for record in records:
        click.echo(unit_table.line(record, per_seed[record.seed], distances))
        log = record.log.splitlines() if loaded.sealed and record.status != "ok" else []
        for line in ([record.reason] if record.reason else []) + list(record.warnings) + log:
            click.echo(f"     {line}")
    for title, values in (("wall", [r.seconds for r in records]), ("CPU", [r.cpu_seconds for r in records])):
        if known := [value for value in values if value is not None]:
            low, high = min(known), max(known)
            click.echo(f"{title + ' seconds':<12} median {statistics.median(known):.2f}, {low:.2f} to {high:.2f}")
    if (zero := scores.weight_null(references)) is not None:
        click.echo(f"{'‖ΔW‖':<12} distance of the weights to Retrain's; of a second retrained model {zero:.3f}")
    if shadow is not None:
        total, early = loaded.protocol.lira_splits // 2, shadow.narrow
        stop = f", told to stop at ± {early:g}" if early else ""
        failure = f": {shadow.failed}: {shadow.reason}" if shadow.failed else ""
        click.echo(
            f"U-LiRA       {shadow.status}{failure}, {shadow.pairs} of {total} pairs of shadow splits{stop}, "
            f"{shadow.environment.get('backend')}"
        )
    mark = review.marks(references).get(entry, review.Mark())
    for rerun in mark.reruns:
        click.echo(
            f"run again    seed {rerun.seed} on {rerun.date}, {rerun.environment.get('backend')}: {rerun.verdict}"
        )
    if mark.disqualified:
        click.echo(f"disqualified {mark.disqualified}")
    for kind, why in inconsistent.items():
        click.echo(f"inconsistent {kind}: {why}")
    if findings := attack_panel.findings(references, board_entry):
        click.echo(tables.panel(findings))


def _public(references: References, board_entry: BoardEntry, ranked: pd.DataFrame, as_json: bool) -> str:
    """What participants may see of an entry on a sealed track."""
    from unlearn_bench.harness.report import tables
    from unlearn_bench.harness.results import attack_panel
    from unlearn_bench.harness.units import disclosure

    statuses = disclosure.tally(board_entry.records.values())
    complete = statuses == {"ok": references.track.protocol.seeds}
    findings = attack_panel.findings(references, board_entry) if complete else []
    if as_json:
        row = ranked[ranked["entry"] == board_entry.name]
        content = {
            "entry": board_entry.name,
            "kind": board_entry.kind,
            "row": json.loads(row.to_json(orient="records"))[0],
            "panel": [dataclasses.asdict(one) for one in findings],
            "statuses": statuses,
        }
        return json.dumps(content)
    units = ", ".join(f"{count} {status}" for status, count in statuses.items())
    lines = [f"{board_entry.name} on {references.track.name} ({board_entry.kind}, sealed): {units}"]
    lines.append(tables.verdict(ranked, board_entry.name))
    return "\n".join([*lines, tables.panel(findings)] if findings else lines)
