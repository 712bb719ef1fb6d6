"""``bench reveal``: publish the secret of a sealed track, or check a published one."""

from __future__ import annotations

from pathlib import Path

import click

from unlearn_bench.harness.commands import _completion
from unlearn_bench.harness.commands._verbs import verb


@verb(
    "organise",
    "Publish or check the secret of a sealed track",
    epilog="Examples: bench reveal cup.toml --secret ~/secrets/cup.toml --out cup-secret.toml; "
    "bench reveal cup.toml --secret cup-secret.toml --check",
)
@click.argument("track", shell_complete=_completion.tracks)
@click.option("--secret", type=click.Path(path_type=Path), help="The secret file; default: BENCH_SECRETS.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="The file to publish; a new one.")
@click.option(
    "--check", "only_check", is_flag=True, help="Only check whether this is the secret that the track commits to."
)
def command(track: str, secret: Path | None, out: Path | None, only_check: bool) -> None:
    """Write the secret of the sealed TRACK into a file, to be published; with --check verify a published one.

    With the published secret anybody can run the track and get the same splits, models and numbers. Exit code 2 when
    the secret is not the one that the track commits to.
    """
    from unlearn_bench.harness.workflows.sealing import reveal

    if only_check == (out is not None):
        raise click.UsageError("name the file to publish with --out, or check a secret with --check")
    revealed = reveal(track, secret, out)
    if only_check:
        short = f"{revealed.commitment[:16]}…"
        click.echo(f"ok: {revealed.place} is the secret that {revealed.track} commits to ({short})")
    else:
        click.echo(f"wrote {out}: publish it, and anybody can run {revealed.track} again")
