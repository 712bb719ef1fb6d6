"""Trust that a back end earns on a machine: the attack suite found no deviation in it, and it keeps every limit.

``bench doctor --attacks`` writes the result down. It counts for as long as nothing changes that it rests on: the back
end's configuration, the kernel, the machine's name, and every file of this package.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

import platformdirs

PACKAGE = Path(__file__).parent


@runtime_checkable
class OnProbation(Protocol):
    """A back end whose ``trusted`` is :func:`earned`."""

    name: str

    def configuration(self) -> Mapping[str, str]:
        """Return what its isolation depends on: the version of its engine, who runs it, the limits that it can set."""


def earned(backend: OnProbation) -> bool:
    """Return whether the back end has passed the attack suite on this machine, configured as it is now."""
    # an engine is asked only where there is an answer to compare
    return any(_folder().glob(f"{backend.name}-*.json")) and _file(backend).exists()


def write(backend: OnProbation, passed: bool) -> None:
    """Write down that the back end, configured as it is now, has passed or failed."""
    file = _file(backend)
    if not passed:
        file.unlink(missing_ok=True)
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(_basis(backend), indent=1))


def _folder() -> Path:
    return platformdirs.user_state_path("unlearn-bench") / "trust"


def _file(backend: OnProbation) -> Path:
    digest = hashlib.sha256(json.dumps(_basis(backend), sort_keys=True).encode()).hexdigest()
    return _folder() / f"{backend.name}-{digest[:16]}.json"


def _basis(backend: OnProbation) -> dict[str, str]:
    files = sorted(path for pattern in ("*.py", "*.toml") for path in PACKAGE.rglob(pattern))
    package = hashlib.sha256()
    for path in files:
        package.update(f"{path.relative_to(PACKAGE)}\0".encode() + path.read_bytes())
    return {
        **backend.configuration(),
        "machine": platform.node(),
        "kernel": platform.release(),
        "package": package.hexdigest(),
    }
