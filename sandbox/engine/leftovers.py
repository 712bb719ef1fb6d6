"""What killed harnesses left behind, and the benchmark's images: with their sizes, each removable."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import docker
from docker.errors import ImageNotFound

from unlearn_bench.sandbox import family, stage
from unlearn_bench.sandbox.engine import reap
from unlearn_bench.sandbox.engine.client import FAILURES, connect
from unlearn_bench.sandbox.engine.images import REPOSITORY


class InUse(Exception):
    """Something cannot be removed now; the message says why."""


@dataclass(frozen=True)
class Leftover:
    """One thing that can be removed; ``size`` in bytes."""

    name: str
    size: int
    remove: Callable[[], object] = field(repr=False)


def containers() -> list[Leftover]:
    """Return containers whose harness is dead; none if no engine answers."""

    def remove() -> None:
        with connect() as client:
            reap.reap(client)

    return [Leftover(f"container {name[:12]}", 0, remove) for name in _ask_engine(reap.orphans, [])]


def processes() -> list[Leftover]:
    """Return the users of units whose harness is dead and that still have processes (only as root)."""
    return [Leftover(f"processes of user {user}", 0, family.reap) for user in family.orphans()]


def folders() -> list[Leftover]:
    """Return temporary folders of units whose harness is dead."""
    leftovers = []
    for folder in stage.orphans():
        size = sum(path.lstat().st_size for path in folder.rglob("*"))
        leftovers.append(Leftover(f"folder {folder}", size, stage.reap))
    return leftovers


def images() -> list[Leftover]:
    """Return the benchmark's images; a layer that several share is counted in each."""

    def listed(client: docker.DockerClient) -> list[Leftover]:
        tagged = []
        for image in client.images.list(REPOSITORY):
            tagged += [Leftover(tag, int(image.attrs["Size"]), _remover(tag)) for tag in image.tags]
        return tagged

    return _ask_engine(listed, [])


def _remover(tag: str) -> Callable[[], None]:
    def remove() -> None:
        try:
            with connect() as client:
                client.images.remove(tag)
        except ImageNotFound:
            pass
        except FAILURES as error:
            raise InUse(str(error)) from error

    return remove


def _ask_engine(question: Callable[[docker.DockerClient], list[Any]], otherwise: list[Any]) -> list[Any]:
    try:
        with connect() as client:
            return question(client)
    except FAILURES:
        return otherwise
