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
    """It cannot be removed now; says why."""


@dataclass(frozen=True)
class Leftover:
    """One thing; ``size`` in bytes."""

    name: str
    size: int
    remove: Callable[[], object] = field(repr=False)


def containers() -> list[Leftover]:
    """Containers whose harness is dead; none where no engine answers."""

    def remove() -> None:
        with connect() as client:
            reap.reap(client)

    return [Leftover(f"container {name[:12]}", 0, remove) for name in _ask(reap.orphans, [])]


def processes() -> list[Leftover]:
    """Users of units whose harness is dead and that still have processes (as root)."""
    return [Leftover(f"processes of user {user}", 0, family.reap) for user in family.orphans()]


def folders() -> list[Leftover]:
    """Temporary folders of units whose harness is dead."""
    found = []
    for folder in stage.orphans():
        size = sum(path.lstat().st_size for path in folder.rglob("*"))
        found.append(Leftover(f"folder {folder}", size, stage.reap))
    return found


def images() -> list[Leftover]:
    """Return the benchmark's images; layers that they share with each other are counted in each."""

    def listed(client: docker.DockerClient) -> list[Leftover]:
        found = []
        for image in client.images.list(REPOSITORY):
            found += [Leftover(tag, int(image.attrs["Size"]), _remover(tag)) for tag in image.tags]
        return found

    return _ask(listed, [])


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


def _ask(question: Callable[[docker.DockerClient], list[Any]], otherwise: list[Any]) -> list[Any]:
    try:
        with connect() as client:
            return question(client)
    except FAILURES:
        return otherwise
