"""What ``bench doctor`` says about one subject."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """One line; ``remedy`` is empty when all is well."""

    subject: str
    text: str
    remedy: str = ""
    needed: bool = True
    """Whether nothing works without it."""

    @property
    def ok(self) -> bool:
        return not self.remedy
