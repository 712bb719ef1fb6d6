"""``bench memorisation``: which examples of a track are memorised most."""

from __future__ import annotations

from pathlib import Path

import click

from unlearn_bench.harness.commands._options import track_option
from unlearn_bench.harness.commands._verbs import verb


@verb(
    "organise",
    "Estimate how much each example is memorised",
    epilog="Example: bench memorisation --track digits-resnet18 --out digits-memorisation.npy",
)
@track_option
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The file of values to write (.npy)."
)
def command(track: str, secret: Path | None, out: Path) -> None:
    """Estimate how much each example of R and F is memorised, from the track's shadow models.

    Half of those were trained on the example and half were not. Writes one number per example of the data set (not a
    number outside of R and F), and prints the lines by which a track of its own forgets the most memorised ones.
    """
    from unlearn_bench.harness.data import splits
    from unlearn_bench.harness.references import memorisation
    from unlearn_bench.harness.references.references import References
    from unlearn_bench.harness.references.roles import shadow_originals
    from unlearn_bench.harness.store.store import Store
    from unlearn_bench.harness.tracks.loading import load_track
    from unlearn_bench.harness.units import disclosure
    from unlearn_bench.harness.workflows import session

    loaded = load_track(track, secret)
    session.needs_shadows(loaded)
    disclosure.not_public(loaded, "how examples are memorised")
    references = References(loaded, Store())
    session.train_missing(references, shadow_originals(loaded))
    sha256 = splits.write(out, memorisation.values(references))
    click.echo('[splits]\nrule = "fixed"  # "paper" where the track has that rule\nforget_rule = "highest"')
    click.echo(f'values = "{out.name}"\nvalues_sha256 = "{sha256}"')
