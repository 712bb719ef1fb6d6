"""Options that several commands share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from unlearn_bench.sandbox.backends import names

DEFAULT_TRACK = "digits-resnet18"


_SECRET = "unlearn_bench.secret"
"""Key of click's shared ``meta``: whether --secret was given."""


def _note_secret(ctx: click.Context, option: click.Parameter, value: Path | None) -> Path | None:
    ctx.meta[_SECRET] = value is not None
    return value


def may_know_secrets(ctx: click.Context) -> bool:
    """Whether the running command was given the secret of a sealed track, or a place to look for one."""
    return bool(ctx.meta.get(_SECRET) or os.environ.get("BENCH_SECRETS"))


secret_option = click.option(
    "--secret",
    type=click.Path(path_type=Path),
    metavar="PATH",
    callback=_note_secret,
    help="Secret of a sealed track, file or folder; default: BENCH_SECRETS.",
)
organiser_option = click.option(
    "--organiser", is_flag=True, help="On a sealed track show what its participants must not see."
)


def _keep_executor(ctx: click.Context, option: click.Parameter, value: str | None) -> None:
    from unlearn_bench.harness.executors.choice import OPTION

    if option.name == "executor" and value == "ray":
        ctx.meta[OPTION] = ""
    elif option.name == "address" and value is not None:
        if OPTION not in ctx.meta:
            raise click.UsageError("--address is that of a Ray cluster; it needs --executor ray")
        ctx.meta[OPTION] = value


def executor_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """--executor, and where its cluster is; see :mod:`harness.executors.choice`."""
    address = click.option(
        "--address",
        metavar="HOST:PORT",
        expose_value=False,
        callback=_keep_executor,
        help="Head of the Ray cluster; default: RAY_ADDRESS, else a Ray of this machine alone.",
    )
    executor = click.option(
        "--executor",
        type=click.Choice(["local", "ray"]),
        default="local",
        show_default=True,
        expose_value=False,
        is_eager=True,
        callback=_keep_executor,
        help="Where it runs: on this machine, or on the nodes of a Ray cluster.",
    )
    return executor(address(command))


def track_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """--track, and what opens a sealed one."""
    named = click.option(
        "--track", default=DEFAULT_TRACK, show_default=True, metavar="NAME", help="A track's name, or a .toml file."
    )
    return named(secret_option(command))


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
sandbox_option = click.option(
    "--sandbox",
    default="auto",
    show_default=True,
    metavar="NAME",
    help=f"{', '.join(names())}, the dotted path of a module of your own, or auto: the usable one that protects most. "
    "NAME:VARIANT where there are variants: docker:runsc is docker with gVisor. `bench doctor` describes them.",
)
gpu_option = click.option("--gpu", type=int, metavar="INDEX", help="Run on this CUDA device instead of the CPU.")

lira_option = click.option(
    "--lira", is_flag=True, help="Also U-LiRA: every forget set of every shadow split, untimed; says the cost first."
)
swap_option = click.option(
    "--swap", is_flag=True, help="Also SWAP: originals with F and a part of the test set exchanged, untimed."
)
narrow_option = click.option(
    "--narrow",
    type=click.FloatRange(min=0, min_open=True),
    metavar="WIDTH",
    help="Stop U-LiRA early, once the 95 % interval of its accuracy is within ± WIDTH; the record says so.",
)


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
