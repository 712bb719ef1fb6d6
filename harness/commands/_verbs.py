"""Declaration of a verb: its group and its line in ``bench --help``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import click

Group = Literal["run", "look", "organise", "maintain"]
GROUPS: dict[Group, str] = {
    "run": "Run methods",
    "look": "Look at results",
    "organise": "Organise a competition",
    "maintain": "Maintain this machine",
}
"""Groups in the order of ``bench --help``, with their headings."""
LONGEST = 60
"""Characters of a line in ``bench --help`` at most: it is never truncated on a terminal of 80 columns."""


class Verb(click.Command):
    """A verb of ``bench``, which knows the group it belongs to."""

    def __init__(self, *arguments: Any, group: Group, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.group: Group = group


def verb(group: Group, summary: str, epilog: str) -> Callable[[Callable[..., Any]], Verb]:
    """Make a function the verb of its module.

    Args:
        group: a key of :data:`GROUPS`.
        summary: the verb's line in ``bench --help``, of at most :data:`LONGEST` characters.
        epilog: examples of its use, shown below its own help.

    Raises:
        ValueError: an unknown group, or a summary that is too long.
    """
    if group not in GROUPS:
        raise ValueError(f"{group!r} is not a group of verbs; use one of {', '.join(GROUPS)}, or add one to GROUPS")
    if len(summary) > LONGEST:
        raise ValueError(f"{summary!r} has {len(summary)} characters; at most {LONGEST} fit into a line of the help")
    return click.command(cls=Verb, group=group, short_help=summary, epilog=epilog)
