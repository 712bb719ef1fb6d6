"""``bench score``: the numbers of outputs, or of models, that were computed elsewhere."""

from __future__ import annotations

from pathlib import Path

import click

from unlearn_bench.harness.commands._options import gpu_option, json_option, probes_option, track_option
from unlearn_bench.harness.commands._verbs import verb

SECONDS = click.FloatRange(min=0, min_open=True)


@verb(
    "look",
    "Score logits, φ or checkpoints that you have",
    epilog="Examples: bench score mine.npz; bench score mine.npz --json; bench score shadows.npz; "
    "bench score runs/scrub --track mine.toml; "
    "bench score runs/scrub --track mine.toml --seconds 41.5 --retrain-seconds 880",
)
@click.argument("path", type=click.Path(path_type=Path), metavar="FILE|FOLDER")
@track_option
@click.option("--name", metavar="NAME", help="FOLDER: the row's name; default: the folder's.")
@click.option("--seconds", type=SECONDS, help="FOLDER: how long it took you to unlearn one model; shown as declared.")
@click.option("--retrain-seconds", type=SECONDS, help="FOLDER: how long retraining took on the same machine.")
@probes_option
@gpu_option
@json_option
def command(
    path: Path,
    track: str,
    secret: Path | None,
    name: str | None,
    seconds: float | None,
    retrain_seconds: float | None,
    probes: bool,
    gpu: int | None,
    as_json: bool,
) -> None:
    """Score what your own code has computed; nothing is run.

    FILE (.npz) needs no track and is not stored. Logits: labels [n]; split [n], with the words retain, forget, val and
    test; original, retrained and unlearned, each [n, classes], or [seeds, n, classes] for intervals; and null, a second
    retrained model, if you have one. Shadow models: labels [n], and φ [n, pairs] under the names of
    scoring.evidence.ShadowEvidence (forgotten, never, …) gives U-LiRA, KLoM and ε.

    FOLDER holds checkpoints of models that you have unlearned from the originals of --track, one for each seed, such as
    0.pt. They become a row of the track's board with the badge self-reported, without speed unless you declare times.
    """
    from unlearn_bench.harness.report import attack_text, outputs_text
    from unlearn_bench.harness.results import outputs

    if path.is_dir():
        _checkpoints(path, track, secret, name, _times(seconds, retrain_seconds), probes, gpu, as_json)
        return
    if name is not None or seconds is not None or retrain_seconds is not None or probes or gpu is not None:
        raise click.UsageError(f"--name, times, --probes and --gpu go with a folder of checkpoints, and {path} is none")
    arrays = outputs.read(path)
    if "forgotten" in arrays:
        numbers = outputs.shadow_score(outputs.shadow_evidence(arrays))
        click.echo(outputs_text.attacks_document(numbers) if as_json else attack_text.panel(numbers))
        return
    scores = outputs.score(outputs.outputs(arrays))
    click.echo(outputs_text.document(scores) if as_json else outputs_text.text(scores))


def _times(seconds: float | None, retrain_seconds: float | None) -> tuple[float, float] | None:
    if seconds is None and retrain_seconds is None:
        return None
    if seconds is None or retrain_seconds is None:
        raise click.UsageError("a speed is a ratio: declare --seconds and --retrain-seconds, of one machine")
    return seconds, retrain_seconds


def _checkpoints(
    folder: Path,
    track: str,
    secret: Path | None,
    name: str | None,
    times: tuple[float, float] | None,
    probes: bool,
    gpu: int | None,
    as_json: bool,
) -> None:
    import json

    from unlearn_bench.harness.commands._progress import TerminalObserver
    from unlearn_bench.harness.commands._terminal import look
    from unlearn_bench.harness.report import terminal_board, versions_text
    from unlearn_bench.harness.workflows import checkpoints

    declared = None if times is None else checkpoints.DeclaredTimes(*times)
    result = checkpoints.score_checkpoints(
        folder, track, TerminalObserver(), name=name, times=declared, secret=secret, gpu=gpu, probes=probes
    )
    verdict = terminal_board.verdict(result.board, result.name)
    if note := versions_text.experiment(result.version, result.standing, result.references.track):
        click.echo(note, err=True)
    if as_json:
        row = json.loads(result.board[result.board["entry"] == result.name].to_json(orient="records"))[0]
        click.echo(json.dumps({"verdict": verdict, "row": row}, indent=1))
        return
    provenance = result.references.provenance
    click.echo(
        terminal_board.table(result.board, result.references.track, result.null, provenance=provenance, look=look())
    )
    click.echo(verdict)
