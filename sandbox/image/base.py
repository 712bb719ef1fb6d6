"""The base image: an official Python one, or, on a machine without a registry, one made with debootstrap."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import docker
from docker.errors import DockerException

OFFICIAL = "python:3.11-slim-bookworm"
OWN = "unlearn-bench-base"
SUITE = "bookworm"
_SOURCES = ("sources.list.d/debian.sources", "sources.list")
_UNNEEDED = ("./dev/*", "./proc/*", "./sys/*", "./var/cache/apt/*", "./var/lib/apt/lists/*", "./usr/share/doc/*",
             "./usr/share/man/*", "./usr/share/locale/*", "./usr/share/info/*")  # fmt: skip


class BuildError(Exception):
    """The image cannot be built here: ``what`` went wrong, and the ``remedy``."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}; {remedy}")
        self.what, self.remedy = what, remedy


def resolve(client: docker.DockerClient, wanted: str | None, progress: Callable[[str], None]) -> str:
    """Return a base image and make sure that it is present: ``wanted``, or the official one, or one made here."""
    for reference in (wanted,) if wanted else (OFFICIAL, f"{OWN}:{SUITE}"):
        if client.images.list(reference):
            return reference
    reference = wanted or OFFICIAL
    progress(f"pulling {reference}")
    try:
        client.images.pull(*_split(reference))
        return reference
    except DockerException as error:
        if wanted:
            raise BuildError(f"the base image {wanted} is not here and cannot be pulled", str(error)) from error
        progress(f"{reference} cannot be pulled: making a base with debootstrap")
    return _bootstrap(client)


def _split(reference: str) -> tuple[str, str | None]:
    if "@" in reference or ":" not in reference.rpartition("/")[2]:
        return reference, None
    repository, _, tag = reference.rpartition(":")
    return repository, tag


def _bootstrap(client: docker.DockerClient) -> str:
    program = shutil.which("debootstrap", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    if program is None or os.geteuid() != 0:
        raise BuildError(
            f"{OFFICIAL} cannot be pulled, and making a base without a registry needs root and debootstrap",
            "name an image with Python 3.11 as --base-image, or apt-get install debootstrap and run as root",
        )
    with tempfile.TemporaryDirectory() as folder:
        root, archive = Path(folder, "root"), Path(folder, "base.tar")
        command = [program, "--variant=minbase", "--include=python3", SUITE, str(root), mirror(Path("/etc/apt"))]
        _run(command)
        excluded = [f"--exclude={pattern}" for pattern in _UNNEEDED]
        _run(["tar", "--numeric-owner", *excluded, "-C", str(root), "-cf", str(archive), "."])
        client.api.import_image_from_file(str(archive), repository=OWN, tag=SUITE)
    return f"{OWN}:{SUITE}"


def _run(command: list[str]) -> None:
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode:
        last_line = (finished.stderr or finished.stdout).strip().splitlines()[-1:]
        raise BuildError(
            f"{Path(command[0]).name} failed: {' '.join(last_line)}", "check the network and the free disk space"
        )


def mirror(apt: Path) -> str:
    """Return the first http(s) mirror that this machine's apt uses."""
    for name in _SOURCES:
        path = apt / name
        if path.is_file():
            lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
            match = re.search(r"^(?:URIs:|deb\s)[^\n]*?(https?://\S+)", "\n".join(lines), re.MULTILINE)
            if match:
                return match.group(1)
    raise BuildError("no Debian mirror is configured in /etc/apt", "name an image with Python 3.11 as --base-image")
