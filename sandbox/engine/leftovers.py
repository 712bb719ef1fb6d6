"""What killed harnesses left behind, and the benchmark's images: with their sizes, each removable."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
from docker.errors import DockerException, ImageNotFound
from requests.exceptions import RequestException

from sandbox import family, procfs
from sandbox.engine import reap
from sandbox.engine.images import REPOSITORY

TIMEOUT = 60
STAGED = {"job.json", "entry.py", "weights.safetensors", "data.safetensors", "lib"}
"""What is in the folder of a unit (``sandbox.stage``), and in no other."""


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
    return [Leftover(f"container {name[:12]}", 0, reap.reap) for name in _ask(reap.orphans, [])]


def processes() -> list[Leftover]:
    """Users of units whose harness is dead and that still have processes (as root)."""
    return [Leftover(f"processes of user {user}", 0, family.reap) for user in family.orphans()]


def stages(place: Path, age: float) -> list[Path]:
    """Folders of units below ``place`` that no process and no container uses, ``age`` seconds old or more."""
    found = [path for path in place.glob("tmp*") if path.is_dir() and _staged(path) and _older(path, age)]
    if not found:
        return []
    words = procfs.arguments() | set(_ask(_mounted, ["?"]))
    return [] if "?" in words else [path for path in found if not {str(path), str(path.resolve())} & words]


def images() -> list[Leftover]:
    """The benchmark's images; layers that they share with each other are counted in each."""

    def listed(client: docker.DockerClient) -> list[Leftover]:
        found = []
        for image in client.images.list(REPOSITORY):
            found += [Leftover(tag, int(image.attrs["Size"]), _remover(tag)) for tag in image.tags]
        return found

    return _ask(listed, [])


def _remover(tag: str) -> Callable[[], None]:
    def remove() -> None:
        client = docker.from_env(timeout=TIMEOUT)
        try:
            client.images.remove(tag)
        except ImageNotFound:
            pass
        except (DockerException, RequestException) as error:
            raise InUse(str(error)) from error
        finally:
            client.close()

    return remove


def _mounted(client: docker.DockerClient) -> list[str]:
    found = client.containers.list(all=True, filters={"label": reap.OWNER_LABEL}, ignore_removed=True)
    return [str(mount.get("Source")) for container in found for mount in container.attrs["Mounts"]]


def _ask(question: Callable[[docker.DockerClient], list[Any]], otherwise: list[Any]) -> list[Any]:
    try:
        client = docker.from_env(timeout=TIMEOUT)
        try:
            return question(client)
        finally:
            client.close()
    except (DockerException, RequestException, OSError):
        return otherwise


def _staged(folder: Path) -> bool:
    try:
        return {path.name for path in folder.iterdir()} == STAGED
    except OSError:  # somebody else's, or gone
        return False


def _older(folder: Path, age: float) -> bool:
    return time.time() - folder.stat().st_mtime >= age
