"""``bench duplicates``: near-duplicates in a track's data set, and a split that keeps them together."""

from __future__ import annotations

import json
from pathlib import Path

import click

from unlearn_bench.harness.commands._options import json_option, track_option
from unlearn_bench.harness.commands._verbs import verb

ALIKE = 0.01
"""Share of the images in one group, above which groups say nothing."""


@verb(
    "organise",
    "Find near-duplicates among a track's images",
    epilog="Example: bench duplicates --track utkface-resnet18 --out utkface-groups.npy",
)
@track_option
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the group of every example here (.npy)."
)
@json_option
def command(track: str, secret: Path | None, out: Path | None, as_json: bool) -> None:
    """Find near-duplicates among a track's images, and how its split of seed 0 parts them.

    An example that has one in R cannot be forgotten, and a test example that has one in R or F is not unseen. With
    --out it also prints the lines by which a track of its own keeps them together.
    """
    import numpy as np

    from unlearn_bench.harness.data import near_duplicates, splits
    from unlearn_bench.harness.references.references import References
    from unlearn_bench.harness.store.store import Store
    from unlearn_bench.harness.support.progress import Bar
    from unlearn_bench.harness.tracks.loading import load_track
    from unlearn_bench.harness.units import disclosure

    loaded = load_track(track, secret)
    disclosure.not_public(loaded, "where near-duplicates lie")
    references = References(loaded, Store())
    images, labels, split = references.examples.dataset.images, references.examples.labels, references.examples.split(0)
    with Bar("comparing images", len(images), "images") as bar:
        found = near_duplicates.groups(images, bar.step)
    sizes = np.bincount(found)
    shared = np.flatnonzero(sizes > 1)
    differing = sum(len(np.unique(labels[found == number])) > 1 for number in shared)
    crossing = near_duplicates.crossing(found, split.retain, split.forget, split.test)
    numbers = {
        "track": loaded.name,
        "examples": len(found),
        "groups": len(shared),
        "in_groups": int(sizes[shared].sum()),
        "largest": int(sizes.max()),
        "groups_with_different_labels": differing,
        "forget": len(split.forget),
        "forget_with_one_in_r": crossing.forget,
        "test": len(split.test),
        "test_with_one_in_r_or_f": crossing.test,
    }
    if out is not None:
        sha256 = splits.write(out, found.astype(np.min_scalar_type(int(found.max()))))
        numbers |= {"file": str(out), "sha256": sha256}
    if as_json:
        click.echo(json.dumps(numbers, indent=1))
        return
    click.echo(
        f"{loaded.name}: {len(shared):,} groups of near-duplicates, {numbers['in_groups']:,} of {len(found):,} images; "
        f"the largest has {numbers['largest']:,}; {differing:,} groups have different labels"
    )
    if sizes.max() > ALIKE * len(found):
        click.echo(
            f"note: one group holds {sizes.max():,} images: this set's are too alike to tell copies from others",
            err=True,
        )
    click.echo(f"forget: {crossing.forget:,} of {len(split.forget):,} have one in R")
    click.echo(f"test:   {crossing.test:,} of {len(split.test):,} have one in R or F")
    if out is not None:
        click.echo('\n[splits]\nrule = "fixed"  # or "per-seed"')
        click.echo(f'groups = "{out.name}"\ngroups_sha256 = "{sha256}"')
