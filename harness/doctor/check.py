"""The result of one check of ``bench doctor``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """What was checked, and the result; ``remedy`` is empty when all is well."""

    subject: str
    text: str
    remedy: str = ""
    needed: bool = True
    """Whether the benchmark cannot be used without it."""

    @property
    def ok(self) -> bool:
        """Whether there is nothing to do."""
        return not self.remedy
