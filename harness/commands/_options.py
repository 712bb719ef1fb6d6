"""Options that several commands share."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from unlearn_bench.harness.commands import _completion
from unlearn_bench.harness.support.names import did_you_mean
from unlearn_bench.harness.tracks import DEFAULT_TRACK
from unlearn_bench.sandbox.backends import names

_SECRET = "unlearn_bench.secret"
"""Key of click's shared ``meta``: whether --secret was given."""


def _note_secret(ctx: click.Context, option: click.Parameter, value: Path | None) -> Path | None:
    ctx.meta[_SECRET] = value is not None
    return value


def may_know_secrets(ctx: click.Context) -> bool:
    """Return whether the running command was given the secret of a sealed track, or a place to look for one."""
    return bool(ctx.meta.get(_SECRET) or os.environ.get("BENCH_SECRETS"))


secret_option = click.option(
    "--secret",
    type=click.Path(path_type=Path),
    metavar="PATH",
    callback=_note_secret,
    help="Secret of a sealed track, file or folder; default: BENCH_SECRETS.",
)
organiser_option = click.option(
    "--organiser", is_flag=True, help="On a sealed track, show what its participants must not see."
)


class Choice(click.Choice[str]):
    """One of several words; another one is answered with the most similar of them."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the word."""
        if value not in self.choices:
            allowed = f"{did_you_mean(str(value), self.choices)}allowed are {', '.join(self.choices)}."
            self.fail(f"{value!r} is no choice here; {allowed}", param, ctx)
        return super().convert(value, param, ctx)


def executor_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--executor`` and ``--address``; see :mod:`harness.executors`."""
    address = click.option(
        "--address",
        metavar="HOST:PORT",
        help="Head of the Ray cluster; default: RAY_ADDRESS, else a Ray on this machine.",
    )
    executor = click.option(
        "--executor",
        default="local",
        show_default=True,
        metavar="NAME",
        help="Where it runs: local (this machine), ray (the nodes of a Ray cluster), or a module of yours.",
    )
    return executor(address(command))


def run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Pass the options that are fields of ``RunOptions`` to a command as one ``options``; the innermost decorator."""

    @functools.wraps(command)
    def call(**parameters: Any) -> Any:
        from unlearn_bench.harness.commands._progress import TerminalObserver
        from unlearn_bench.harness.executors import RunOptions

        names = {field.name for field in dataclasses.fields(RunOptions)} & parameters.keys()
        given = {name: parameters.pop(name) for name in names}
        return command(**parameters, options=RunOptions(**given, observer=TerminalObserver()))

    return call


def track_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--track``, and ``--secret``, which opens a sealed one."""
    track = click.option(
        "--track",
        default=DEFAULT_TRACK,
        show_default=True,
        metavar="NAME",
        help="A track's name, or a .toml file.",
        shell_complete=_completion.tracks,
    )
    return track(secret_option(command))


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
    "--lira",
    is_flag=True,
    help="Also run U-LiRA: every forget set of every shadow split, untimed. The cost is printed first.",
)
swap_option = click.option(
    "--swap", is_flag=True, help="Also run SWAP, on originals that learnt a part of the test set instead of F, untimed."
)
probes_option = click.option(
    "--probes",
    is_flag=True,
    help="Also run the probes of the models' weights, on this machine, after the units. The cost is printed first.",
)
narrow_option = click.option(
    "--narrow",
    type=click.FloatRange(min=0, min_open=True),
    metavar="WIDTH",
    help="Stop U-LiRA early, once the 95 % interval of its accuracy is within ± WIDTH; the record notes it.",
)


def keep_weights_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--keep-weights`` and ``--keep-half-weights``; see ``harness.units.unlearned_weights``."""
    half = click.option(
        "--keep-half-weights",
        "keep_weights",
        flag_value="float16",
        help="The same in half precision, in half of the room.",
    )
    full = click.option(
        "--keep-weights",
        "keep_weights",
        flag_value="float32",
        help="Keep the unlearned models in the store, for `bench rescore --probe` and `bench export`. Finished units "
        "whose weights are not there run again.",
    )
    return full(half(command))


def parse_parameters(ctx: click.Context, option: click.Parameter, values: tuple[str, ...]) -> dict[str, Any]:
    """Parse ``name=value`` pairs; a value that is not a Python literal is text."""
    import ast

    from unlearn_bench.harness.entries import values as bounded

    parameters: dict[str, Any] = {}
    for value in values:
        name, sign, text = value.partition("=")
        if not sign or not name.isidentifier():
            raise click.BadParameter(f"{value!r} is not name=value")
        try:
            parameters[name] = ast.literal_eval(text)
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            parameters[name] = text
        if why := bounded.fault(parameters[name]):
            raise click.BadParameter(f"{name[:80]} {why}; {bounded.REMEDY}")
    return parameters
