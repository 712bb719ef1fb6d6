"""Why a source is no valid entry."""

from __future__ import annotations


class Fault(Exception):
    """A rule of the contract that a source breaks: ``what`` is wrong, and the ``remedy``."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}; {remedy}")
        self.what, self.remedy = what, remedy
