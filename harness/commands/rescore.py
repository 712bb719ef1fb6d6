"""``bench rescore``: every number again from what is stored."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click

from unlearn_bench.harness.commands._options import json_option, track_option
from unlearn_bench.harness.commands._verbs import verb


@verb(
    "look",
    "Compute all metrics again from stored logits",
    epilog="Examples: bench rescore; bench rescore --attack my_attack.py --json",
)
@track_option
@click.option(
    "--attack",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A file of yours with attack(model), attack(shadows) or attack(swap); it is run. See scoring/README.md.",
)
@json_option
def command(track: str, secret: Path | None, attack: Path | None, as_json: bool) -> None:
    """Compute every metric again from stored logits, without running anything.

    With --attack, score every stored entry with an attack of your own, beside its zero line from retrained models.
    """
    from unlearn_bench.harness.references.references import References
    from unlearn_bench.harness.results import rescoring
    from unlearn_bench.harness.store.store import Store
    from unlearn_bench.harness.support.errors import USAGE, BenchError
    from unlearn_bench.harness.support.progress import Bar
    from unlearn_bench.harness.tracks.loading import load_track
    from unlearn_bench.harness.units import disclosure
    from unlearn_bench.scoring.panel import InvalidAttack, read

    references = References(load_track(track, secret), Store())
    if attack is not None:
        disclosure.not_public(references.track, "an attack of one's own")
    things = rescoring.stored(references)
    started = time.perf_counter()
    if attack is None:
        with Bar("scoring", len(things), "models") as bar:
            count = sum(1 for _ in rescoring.rescore(references, things, bar.at))
        seconds = time.perf_counter() - started
        if as_json:
            click.echo(json.dumps({"models": count, "seconds": round(seconds, 3)}))
        else:
            click.echo(f"{track}: {count} models scored from stored arrays in {seconds:.1f} s")
        return
    from unlearn_bench.harness.report import tables

    try:
        title, models = read(attack).title, read(attack).models
        with Bar(title, len(things), "models") as bar:
            found = list(rescoring.attacked(references, things, attack, bar.at))
    except InvalidAttack as error:
        raise BenchError(str(error), "your command", "see scoring/README.md", USAGE) from None
    if not found:
        remedy = f"run `bench baselines --{'lira' if models == 'shadows' else 'swap'}`, or submit with it"
        raise BenchError(f"{attack.name} reads {models}, and no entry has any stored", "your command", remedy, USAGE)
    rows: dict[str, list[Any]] = {}
    for thing, numbers in sorted(found, key=lambda item: (rescoring.name(item[0]), getattr(item[0], "seed", 0))):
        rows.setdefault(rescoring.name(thing), []).append(numbers)
    if as_json:
        click.echo(json.dumps({"attack": attack.stem, "title": title, "reads": models, "entries": rows}, indent=1))
    else:
        click.echo(tables.attack(title, rows))
