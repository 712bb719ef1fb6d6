"""The ``bench`` command. Each module of ``harness/commands`` is one verb, imported when it is needed."""

from __future__ import annotations

import datetime
import importlib
import logging
import os
import pkgutil
import shlex
import sys
import traceback
from typing import Any

import click

from unlearn_bench.harness import commands
from unlearn_bench.harness.commands._options import may_know_secrets
from unlearn_bench.harness.commands._verbs import GROUPS, Verb
from unlearn_bench.harness.store import mirror
from unlearn_bench.harness.support.errors import EXIT_CODES, INTERRUPTED, BenchError, Owner
from unlearn_bench.harness.support.names import did_you_mean
from unlearn_bench.plugins import PluginError

EPILOG = """\b
Examples:
  bench init my_method.py          write a template that already passes the checks
  bench submit my_method.py        run it on the default track and see its place
  bench leaderboard                the board

\b
Exit codes: 0 ok, 2 usage, 10 invalid, 11 crash, 12 out of memory, 13 timeout,
14 and 15 of verify (inconsistent, cannot tell), 16 not applicable to the network, 20 infrastructure (try again),
130 stopped by Ctrl-C (the same command resumes)."""


class Verbs(click.Group):
    """The verbs, one per module of ``harness/commands``."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the verbs, sorted."""
        names = (m.name for m in pkgutil.iter_modules(commands.__path__) if not m.name.startswith("_"))
        return sorted(name.replace("_", "-") for name in names)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the verb of this name; ``None`` if there is none."""
        if cmd_name not in self.list_commands(ctx):
            return None
        module = importlib.import_module(f"unlearn_bench.harness.commands.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb that was typed, or answer with the most similar one."""
        names = self.list_commands(ctx)
        if not args[0].startswith("-") and args[0] not in names:
            ctx.fail(f"No such command {args[0]!r}; {did_you_mean(args[0], names)}`bench --help` lists them all.")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the verbs group by group, each with its untruncated line."""
        lines: dict[str, list[tuple[str, str]]] = {group: [] for group in GROUPS}
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            assert isinstance(command, Verb), f"harness/commands has no verb in {name}"
            lines[command.group].append((name, command.short_help or ""))
        for group, heading in GROUPS.items():
            with formatter.section(heading):
                formatter.write_dl(lines[group])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb, and turn Ctrl-C and every error into lines on standard error and an exit code."""
        try:
            return super().invoke(ctx)
        except (click.exceptions.Exit, click.ClickException, click.Abort, BrokenPipeError):
            raise
        except KeyboardInterrupt:
            command = shlex.join(["bench", *sys.argv[1:]])
            click.echo(f"\nstopped; what was finished is kept. Continue with: {command}", err=True)
            raise click.exceptions.Exit(INTERRUPTED) from None
        except BenchError as error:
            raise Failure(error) from error
        except PluginError as error:
            remedy = "repair or uninstall that package"
            raise Failure(BenchError(str(error), "this machine", remedy, EXIT_CODES["infra"])) from error
        except Exception as error:
            raise Failure(_unexpected(error, quote=not may_know_secrets(ctx))) from error


class Failure(click.ClickException):
    """A :class:`BenchError` as click ends a command with it: its lines on standard error and its exit code."""

    def __init__(self, error: BenchError) -> None:
        super().__init__(error.message)
        self.error, self.exit_code = error, error.exit_code  # type: ignore[misc]  # click declares it for the class

    def show(self, file: object = None) -> None:
        """Print the error's lines."""
        click.echo(self.error.format_message(), err=True)


class _Messages(logging.Handler):
    """Writes log messages to standard error, as they are."""

    def emit(self, record: logging.LogRecord) -> None:
        click.echo(self.format(record), err=True)


_messages = _Messages()


def _unexpected(error: Exception, quote: bool) -> BenchError:
    """Return the error that a user sees for a bug or a failure of the machine; the traceback goes to a file.

    Args:
        error: what was raised.
        quote: also show the error's own text, which may contain secrets of a sealed track.
    """
    from unlearn_bench.harness.store.store import home

    now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    log = home() / "logs" / f"{now}-{os.getpid()}.txt"
    trace = traceback.format_exc()
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(trace)
        log_place = str(log)
    except OSError:  # a full or read-only disk may be the very reason
        click.echo(trace, err=True)
        log_place = "above"
    what = f"{type(error).__name__}: {error}".splitlines()[0][:200] if quote else type(error).__name__
    whose: Owner = "this machine" if isinstance(error, OSError) else "the benchmark"
    remedy = "run `bench doctor`; what was finished is kept, and the same command resumes there"
    return BenchError(what, whose, remedy, EXIT_CODES["infra"], log_place)


@click.group(cls=Verbs, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="unlearn-bench")
@click.option("-v", "--verbose", is_flag=True, help="Also print diagnostics.")
def bench(verbose: bool) -> None:
    """Benchmark machine unlearning methods for image classifiers.

    A submission is one Python file with unlearn(model, retain, forget, val). It runs in a sandbox against fixed
    original models, is scored against retrained ones, and takes its place on a ranked leaderboard.
    """
    logger = logging.getLogger("unlearn_bench")
    logger.addHandler(_messages)
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    if store_mirror := mirror.current():
        store_mirror.due = True  # as soon as the command uses the store: `--help` waits for no network


def main() -> None:
    """Entry point of the installed command."""
    try:
        bench(prog_name="bench")
    except BrokenPipeError:  # the reader of a pipe went away: not our failure
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
