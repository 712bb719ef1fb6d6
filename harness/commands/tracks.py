"""``bench tracks``: list the tracks, write one out, or write one for images of one's own."""

from __future__ import annotations

import dataclasses
import datetime
import json
import tomllib
from pathlib import Path
from typing import Any

import click

from unlearn_bench.harness.commands import _completion
from unlearn_bench.harness.commands._options import json_option
from unlearn_bench.harness.commands._verbs import verb


@verb(
    "look",
    "List the tracks, or write one, also for your own images",
    epilog="Examples: bench tracks; bench tracks cifar10-resnet18-lite > mine.toml; bench tracks --json; "
    "bench tracks new pets.toml --data ./pets --model timm:resnet18; "
    "bench tracks new svhn.toml --data torchvision:SVHN --download",
)
@click.argument("words", nargs=-1, metavar="[NAME | new FILE]", shell_complete=_completion.tracks)
@click.option("--data", help="new: folder of class folders, a CSV or an .npz file, torchvision:NAME or hf:NAME.")
@click.option("--argument", "arguments", multiple=True, metavar="KEY=VALUE", help="new: for the library, repeatable.")
@click.option("--download", is_flag=True, help="new: fetch the data set first, if its library can.")
@click.option("--model", help="new: the network, as docs/own-network.md lists them; default: resnet18_narrow.")
@click.option("--size", type=click.IntRange(min=1), help="new: pixels of the images; default: near the pictures'.")
@click.option("--force", is_flag=True, help="new: replace FILE if it is there.")
@json_option
def command(
    words: tuple[str, ...],
    data: str | None,
    arguments: tuple[str, ...],
    download: bool,
    model: str | None,
    size: int | None,
    force: bool,
    as_json: bool,
) -> None:
    """List the tracks that ship with the benchmark, by what each still needs here before an entry can run on it.

    With NAME (or a .toml file) check that track and write it out as a file of its own, together with what it extends.
    With new FILE write a track for images of your own: counted, with digest, mean and deviation, and proposed splits,
    recipe and budget, each with a comment. It trains nothing.
    """
    from unlearn_bench.harness.support.errors import USAGE, BenchError
    from unlearn_bench.harness.tracks.loading import parse_track, read_track, track_names

    if words[:1] == ("new",):
        if len(words) != 2 or data is None:
            what = "bench tracks new takes the file to write and the images"
            raise BenchError(what, "your command", "bench tracks new pets.toml --data ./pets", USAGE)
        values = dict(_argument(argument) for argument in arguments)
        _new(Path(words[1]), data, model or "resnet18_narrow", size, force, values, download)
        return
    if len(words) > 1 or data is not None or model is not None:
        what = "one track at a time; --data and --model go with new"
        raise BenchError(what, "your command", "bench tracks NAME, or bench tracks new FILE --data IMAGES", USAGE)
    name = words[0] if words else None
    if name is not None and not as_json:
        table, path = read_track(name)
        if "sealed" not in table:
            parse_track(table, path)
        click.echo(_toml(table), nl=False)
        return
    if as_json:
        files = [read_track(track_name) for track_name in ([name] if name else track_names())]
        click.echo(json.dumps([_described(*file) for file in files], indent=1, default=str))
        return
    from unlearn_bench.harness.commands._terminal import look
    from unlearn_bench.harness.report import track_table
    from unlearn_bench.harness.workflows.list_tracks import list_tracks

    click.echo(track_table.table(list_tracks(), look()))


def _argument(text: str) -> tuple[str, Any]:
    """Return key and value of ``KEY=VALUE``: a value as TOML has it, or a text without quotes."""
    from unlearn_bench.harness.support.errors import USAGE, BenchError

    key, equals, value = text.partition("=")
    if not equals:
        raise BenchError(f"--argument {text} has no value", "your command", "--argument KEY=VALUE", USAGE)
    try:
        return key, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key, value


def _new(
    file: Path, data: str, model: str, size: int | None, force: bool, arguments: dict[str, Any], download: bool
) -> None:
    from unlearn_bench.harness.workflows.new_track import new_track, next_commands

    track = new_track(file, data, model, size, force, arguments, download)
    colour = "grey" if track.channels == 1 else f"{track.channels} channels"
    click.echo(
        f"wrote {track.path}: {track.examples:,} images in {track.classes} classes, {track.size} pixels, {colour}; "
        "the network answers them"
    )
    click.echo("next: " + "; ".join(next_commands(track)))


def _toml(table: dict[str, Any]) -> str:
    """Return tables of plain values, such as tracks, as TOML."""
    parts = []
    for section, content in table.items():
        lines = [f"{key} = {_value(value)}" for key, value in content.items()]
        parts.append("\n".join([f"[{section}]", *lines]) + "\n")
    return "\n".join(parts)


def _value(value: Any) -> str:
    if isinstance(value, datetime.date):
        return value.isoformat()
    if not isinstance(value, dict):
        return json.dumps(value)
    return "{ " + ", ".join(f"{key} = {_value(inner)}" for key, inner in value.items()) + " }"


def _described(table: dict[str, Any], path: Path) -> dict[str, Any]:
    from unlearn_bench.harness.tracks.loading import parse_track

    if "sealed" in table:
        return {"name": path.stem, **table}
    track = parse_track(table, path)
    content = dataclasses.asdict(dataclasses.replace(track, model=dict(track.model)))
    del content["salt"], content["network_source"], content["folder"]
    if not track.data.is_file:
        del content["data"]["code_sha256"]  # only a user's own file has one
    digests = ("reference_digest", "protocol_digest", "analysis_digest")
    return {**content, **{digest: getattr(track, digest) for digest in digests}}
