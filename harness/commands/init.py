"""``bench init``: a template to start from."""

from __future__ import annotations

from pathlib import Path

import click

from unlearn_bench.harness.commands._verbs import verb


@verb(
    "run",
    "Write a commented template of a submission",
    epilog="Example: bench init my_method.py",
)
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False))
def command(path: Path) -> None:
    """Write a commented template that already passes every check."""
    from unlearn_bench.harness.support.errors import USAGE, BenchError
    from unlearn_bench.harness.support.files import write_new

    template = Path(__file__).parents[2] / "submissions" / "template.py"
    try:
        write_new(path, template.read_bytes())
    except FileExistsError:
        raise BenchError(f"{path} exists already", "your command", "choose another name", USAGE) from None
    except OSError as error:
        raise BenchError(
            f"{path} cannot be written: {error.strerror}", "your command", "choose another", USAGE
        ) from None
    click.echo(f"wrote {path}; next: bench check {path}, then bench submit {path}")
