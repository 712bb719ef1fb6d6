"""The back ends: every module of this folder is one, named after the module, made by its ``create()``."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Mapping
from typing import Any

from unlearn_bench.sandbox.types import Sandbox

NOT_A_SANDBOX = "a crash barrier, not a sandbox: run only code that you trust; results are marked untrusted"


class SandboxUnavailable(Exception):
    """The back end that was asked for cannot be used here: ``what`` is missing, and the ``remedy``."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}; {remedy}")
        self.what, self.remedy = what, remedy


def names() -> list[str]:
    """Names of the back ends, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def load(name: str) -> Sandbox:
    """The back end of this name; ``docker:runsc`` is docker with another OCI runtime of the engine.

    Raises ``SandboxUnavailable`` if there is none.
    """
    module, colon, variant = name.partition(":")
    create = importlib.import_module(f"{__name__}.{module}").create if module in names() else None
    if create is None or (colon and not (variant and inspect.signature(create).parameters)):
        usable = f"use one of: {', '.join(names())} (or docker:RUNTIME, an OCI runtime of the engine)"
        raise SandboxUnavailable(f"there is no sandbox called {name!r}", usable)
    backend: Sandbox = create(variant) if variant else create()
    return backend


def choose(name: str, model: Mapping[str, Any], device: str) -> tuple[Sandbox, str]:
    """The back end for such jobs and one line that says which it is and why.

    ``auto`` takes docker where an engine and a sufficient image are there, otherwise process. Raises
    ``SandboxUnavailable`` if the one that was asked for, or every one, is not usable here.
    """
    tried: list[str] = []
    for candidate in ("docker", "process") if name == "auto" else (name,):
        backend = load(candidate)
        reason = backend.unavailable(model, device)
        if reason is None:
            warning = "" if backend.trusted else f" ({NOT_A_SANDBOX})"
            why = "asked for" if name != "auto" else f"no {tried[0]}" if tried else "engine and image are there"
            return backend, f"sandbox {candidate}: {why}{warning}"
        tried.append(f"{candidate}: {reason}")
    what, _, remedy = tried[-1].partition("; ")
    raise SandboxUnavailable(what, remedy)
