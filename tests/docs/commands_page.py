"""The page of commands, from their own help: ``python -m tests.docs.commands_page > docs/commands.md``."""

from __future__ import annotations

import inspect
import re
import sys

import click

from unlearn_bench.harness.cli import bench
from unlearn_bench.harness.commands._verbs import GROUPS, Verb

HEAD = """# Commands

This page has what `bench COMMAND --help` prints. Exit codes and environment variables are in
[exit-codes.md](exit-codes.md).

`python -m tests.docs.commands_page > docs/commands.md` writes this page from the commands.
"""


def page() -> str:
    """Return the page as Markdown, with the commands in the groups of ``bench --help``."""
    context = click.Context(bench, info_name="bench")
    verbs = {name: bench.get_command(context, name) for name in bench.list_commands(context)}
    parts = [HEAD]
    for group, heading in GROUPS.items():
        members = {name: verb for name, verb in verbs.items() if isinstance(verb, Verb) and verb.group == group}
        rows = [f"| [`bench {name}`](#bench-{name}) | {verb.short_help} |" for name, verb in members.items()]
        parts.append("\n".join([f"## {heading}\n", "| command | what it does |", "|---|---|", *rows, ""]))
        parts += [section(name, verb, context) for name, verb in members.items()]
    return "\n".join(parts)


def section(name: str, verb: Verb, parent: click.Context) -> str:
    """Return the usage, help, options and examples of one command."""
    context = click.Context(verb, parent, info_name=name)
    usage = " ".join(verb.get_usage(context).removeprefix("Usage: ").split())
    records = (parameter.get_help_record(context) for parameter in verb.params)
    rows = [
        f"| `{names.replace('|', ' / ')}` | {cell(meaning)} |" for names, meaning in filter(None, records) if meaning
    ]
    examples = re.sub(r"^Examples?: ", "", " ".join((verb.epilog or "").replace("\b", "").split()))
    lines = [f"### `bench {name}`\n", f"```\n{usage}\n```\n", paragraphs(inspect.cleandoc(verb.help or "")), ""]
    lines += ["| option | meaning |", "|---|---|", *rows, ""] if rows else []
    return "\n".join([*lines, "Examples:\n", "```", *re.split(r"; (?=bench )", examples), "```\n"])


def cell(text: str) -> str:
    """Return a text that fits into a cell of a table and in which nothing is taken for HTML."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def paragraphs(text: str) -> str:
    """Return a help text as Markdown: what click must not wrap is a block of code."""
    blocks = text.split("\n\n")
    return "\n\n".join(f"```\n{block[1:].strip()}\n```" if block.startswith("\b") else block for block in blocks)


if __name__ == "__main__":
    sys.stdout.write(page())
