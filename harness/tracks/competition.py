"""What a track says of the competition that it is for; none of it changes what is run."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields

LONGEST = 400
"""Characters of each text."""
EXAMPLE = "2026-12-24T23:59:00+01:00"
MAIL = re.compile(r"[^\s@/:?&]+@[^\s@/:?&]+")


@dataclass(frozen=True)
class Competition:
    """The table ``[competition]``; its board's page shows it."""

    title: str
    host: str = ""
    rules: str = ""
    """URL of the rules."""
    deadline: str = ""
    """In ISO 8601 with a time zone; ``bench score-pr`` refuses what comes later."""
    contact: str = ""
    """A mail address or a URL."""
    prizes: str = ""

    @property
    def is_mail(self) -> bool:
        """Whether the contact is a mail address."""
        return MAIL.fullmatch(self.contact) is not None

    @property
    def closes(self) -> datetime.datetime | None:
        """When it closes; ``None`` where that was not said."""
        return datetime.datetime.fromisoformat(self.deadline) if self.deadline else None

    def contradictions(self) -> Iterator[str]:
        """Yield what is wrong with the table, as ``harness.tracks.validation`` does."""
        for field in fields(self):
            text = getattr(self, field.name)
            if len(text) > LONGEST or "\n" in text:
                yield f"competition.{field.name} has {len(text)} characters; allowed: one line of at most {LONGEST}"
        if not self.title.strip():
            yield "competition.title is empty; allowed: the name of the competition"
        if self.rules and not re.fullmatch(r"https?://\S+", self.rules):
            yield f"competition.rules is {self.rules!r}; allowed: a URL, https://…"
        if self.contact and not self.is_mail and not re.fullmatch(r"https://\S+", self.contact):
            yield f"competition.contact is {self.contact!r}; allowed: a mail address, or a URL, https://…"
        if self.deadline and not _has_zone(self.deadline):
            yield f"competition.deadline is {self.deadline!r}; allowed: date, time and time zone, such as {EXAMPLE}"


def _has_zone(text: str) -> bool:
    try:
        return datetime.datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False
