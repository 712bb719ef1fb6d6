"""Upstreams: a second place of a store, beside its folder. An ordinary store has none; ``mirror.Mirror`` is a URL."""

from __future__ import annotations

from pathlib import Path


class Upstream:
    """No upstream: nothing is there, and nothing has to be sent. Names are paths relative to the store's root."""

    def refresh(self) -> None:
        """Fetch the documents that changed, if a command has begun that has not done so yet."""

    def has(self, name: str) -> bool:
        """Return whether the file was there when the command started."""
        return False

    def bring(self, name: str) -> None:
        """Copy a file from there into the folder, if it is there."""

    def write(self, name: str, content: bytes) -> None:
        """Write a file there."""

    def send(self, name: str, path: Path) -> None:
        """Send a file that something else has written."""

    def remove(self, folder: str) -> None:
        """Remove a folder there."""

    def describe(self, root: Path) -> str:
        """Say where the store is, for messages."""
        return str(root)

    def remedy(self, path: Path) -> str:
        """Say what to do about a damaged file of the store."""
        again = f"remove {path} and run the same command again: what is missing is made again"
        return f"run `bench doctor --store`, or {again}"


NOWHERE = Upstream()
