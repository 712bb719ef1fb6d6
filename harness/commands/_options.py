"""Options that several commands share."""

from __future__ import annotations

from typing import Any

import click

DEFAULT_TRACK = "digits-resnet18"

track_option = click.option(
    "--track", default=DEFAULT_TRACK, show_default=True, metavar="NAME", help="A track's name, or a .toml file."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
sandbox_option = click.option(
    "--sandbox",
    default="auto",
    show_default=True,
    metavar="NAME",
    help="docker, process, or auto: docker where engine and image are there, otherwise process.",
)
gpu_option = click.option("--gpu", type=int, metavar="INDEX", help="Run on this CUDA device instead of the CPU.")


def parse_parameters(ctx: click.Context, option: click.Parameter, values: tuple[str, ...]) -> dict[str, Any]:
    """``name=value`` pairs; values are Python literals, anything else is text."""
    import ast

    parameters: dict[str, Any] = {}
    for value in values:
        name, sign, text = value.partition("=")
        if not sign or not name.isidentifier():
            raise click.BadParameter(f"{value!r} is not name=value")
        try:
            parameters[name] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            parameters[name] = text
    return parameters
