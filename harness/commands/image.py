"""``bench image``: the container image that entries run in."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from unlearn_bench.harness.commands._options import Choice
from unlearn_bench.harness.commands._verbs import verb

if TYPE_CHECKING:
    from unlearn_bench.sandbox.image.build import Variant


@verb(
    "maintain",
    "Build the container image that entries run in",
    epilog="Examples: bench image; bench image --variant full; bench image --for my_method.py",
)
@click.option(
    "--variant",
    type=Choice(["lean", "full"]),
    default="lean",
    show_default=True,
    help="lean: torch for the CPU, enough for digits-resnet18. full: also torchvision, timm, CUDA.",
)
@click.option(
    "--for",
    "entry",
    type=click.Path(path_type=Path),
    metavar="ENTRY",
    help="Add the packages that this entry requires to the image that is there, for entries that require just them.",
)
@click.option("--base-image", metavar="REF", help="An image with Python 3.11 or later; default: an official one.")
@click.option("--pip-argument", "pip_arguments", multiple=True, metavar="ARG", help="Appended to pip install.")
@click.option("--if-missing", is_flag=True, help="Do nothing if there is no engine, or if the image exists.")
def command(
    variant: str, entry: Path | None, base_image: str | None, pip_arguments: tuple[str, ...], if_missing: bool
) -> None:
    """Build the image; without a registry it is built with debootstrap, as root.

    An entry names what it requires as dependencies in its metadata block. Whether to install that is the organiser's
    choice: --for builds an image of its own from the index's wheels, and records name each with version and digest.
    """
    from typing import cast

    from unlearn_bench.harness.support.errors import EXIT_CODES, BenchError
    from unlearn_bench.sandbox.image.base import BuildError
    from unlearn_bench.sandbox.image.build import Variant, build

    if entry is not None and (if_missing or base_image):
        raise click.UsageError("--for adds to the image that is there: leave out --if-missing and --base-image")
    if if_missing and (reason := _nothing_to_do(variant)):
        click.echo(reason)
        return
    start = time.monotonic()
    try:
        if entry is not None:
            _for_entry(entry, cast(Variant, variant), pip_arguments)
            return
        image = build(cast(Variant, variant), base_image, click.echo, pip_arguments)
    except BuildError as error:
        raise BenchError(error.what, "this machine", error.remedy, EXIT_CODES["infra"]) from None
    click.echo(f"built unlearn-bench:{variant} {image} in {time.monotonic() - start:.0f} s")


def _for_entry(path: Path, variant: Variant, pip_arguments: tuple[str, ...]) -> None:
    from unlearn_bench.harness.entries.entry import read
    from unlearn_bench.sandbox.image.layer import build_layer

    requirements = read(path).requirements
    if not requirements:
        click.echo(f"{path} requires nothing beyond the image")
        return
    start = time.monotonic()
    image, added = build_layer(variant, requirements, click.echo, pip_arguments)
    for line in added:
        click.echo(line)
    click.echo(f"built {image} for entries that require {', '.join(requirements)} in {time.monotonic() - start:.0f} s")


def _nothing_to_do(variant: str) -> str | None:
    import docker
    from docker.errors import DockerException

    from unlearn_bench.sandbox.engine.images import REPOSITORY

    try:
        client = docker.from_env(timeout=30)
        if client.images.list(f"{REPOSITORY}:{variant}"):
            return f"image {REPOSITORY}:{variant} is there"
    except DockerException:
        return "no container engine answers: entries will run in the process sandbox, which protects nothing"
    return None
