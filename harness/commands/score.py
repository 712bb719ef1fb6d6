"""``bench score``: the numbers of outputs that were computed elsewhere."""

from __future__ import annotations

from pathlib import Path

import click

from unlearn_bench.harness.commands._options import json_option
from unlearn_bench.harness.commands._verbs import verb


@verb(
    "look",
    "Score logits or φ that you have, without a track",
    epilog="Examples: bench score mine.npz; bench score mine.npz --json; bench score shadows.npz",
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@json_option
def command(file: Path, as_json: bool) -> None:
    """Score the arrays of FILE (.npz), which your own code has computed; nothing is run and nothing stored.

    Logits: labels [n]; split [n], with the words retain, forget, val and test; original, retrained and unlearned, each
    [n, classes], or [seeds, n, classes] for intervals; and null, a second retrained model, if you have one.
    Shadow models: labels [n], and φ [n, pairs] under the names of scoring.evidence.ShadowEvidence (forgotten, never, …)
    gives U-LiRA, KLoM and ε.
    """
    from unlearn_bench.harness.report import attack_text, outputs_text
    from unlearn_bench.harness.results import outputs

    arrays = outputs.read(file)
    if "forgotten" in arrays:
        numbers = outputs.shadow_score(outputs.shadow_evidence(arrays))
        click.echo(outputs_text.attacks_document(numbers) if as_json else attack_text.panel(numbers))
        return
    scores = outputs.score(outputs.outputs(arrays))
    click.echo(outputs_text.document(scores) if as_json else outputs_text.text(scores))
