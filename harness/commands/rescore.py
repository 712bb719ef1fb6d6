"""``bench rescore``: every number again from what is stored."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import click

from unlearn_bench.harness.commands._options import gpu_option, json_option, track_option
from unlearn_bench.harness.commands._verbs import verb


@verb(
    "look",
    "Compute all metrics again from stored logits",
    epilog="Examples: bench rescore; bench rescore --attack my_attack.py --json; bench rescore --probe my_probe.py",
)
@track_option
@click.option(
    "--attack",
    metavar="FILE|NAME",
    help="A file of yours with attack(model), attack(shadows) or attack(swap), which is run, or the name of an attack "
    "that an installed package adds. See scoring/README.md.",
)
@click.option(
    "--probe",
    metavar="FILE|NAME",
    help="A file of yours with probe(context), which is run, or the name of a probe of the panel. See docs/probes.md.",
)
@gpu_option
@json_option
def command(
    track: str, secret: Path | None, attack: str | None, probe: str | None, gpu: int | None, as_json: bool
) -> None:
    """Compute every metric again from stored logits, without running anything.

    With --attack, score every stored entry with an attack of your own, beside what it reads of retrained models. With
    --probe, look with a probe of your own at every model whose weights are kept (--keep-weights), on the CPU or --gpu.
    """
    from unlearn_bench.harness.commands._progress import TerminalObserver
    from unlearn_bench.harness.report import attack_text
    from unlearn_bench.harness.report.wording import counted
    from unlearn_bench.harness.workflows import rescore

    if attack is not None and probe is not None:
        raise click.UsageError("--attack and --probe are two commands: run one after the other")
    if probe is not None:
        found = rescore.probe_with(probe, track, gpu, secret, TerminalObserver())
        if as_json:
            click.echo(json.dumps(dataclasses.asdict(found), indent=1))
        else:
            click.echo("\n".join([attack_text.attack(found.title, found.entries), *found.faults]))
        return
    if attack is None:
        result = rescore.rescore(track, secret, TerminalObserver())
        if as_json:
            click.echo(json.dumps({"models": result.models, "seconds": round(result.seconds, 3)}))
        else:
            models = counted(result.models, "model")
            click.echo(f"{track}: {models} scored from stored arrays in {result.seconds:.1f} s")
        return
    scores = rescore.score_with(attack, track, secret, TerminalObserver())
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(scores), indent=1))
    else:
        click.echo(attack_text.attack(scores.title, scores.entries))
