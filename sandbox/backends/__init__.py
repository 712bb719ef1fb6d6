"""The back ends: a module with ``create()`` each, in this folder or anywhere that Python can import.

Nothing lists the modules of this folder by hand. A module elsewhere is named by its dotted path, such as
``my_pkg.my_backend``, and its back end carries that path as its name.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from typing import Any

from unlearn_bench.sandbox.types import Sandbox


class SandboxUnavailable(Exception):
    """The requested back end cannot be used here: ``what`` is missing, and the ``remedy``."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}; {remedy}")
        self.what, self.remedy = what, remedy


def names() -> list[str]:
    """Return the names of the back ends of this folder, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def load(name: str) -> Sandbox:
    """Return the back end of this name.

    ``name`` is a module of this folder (``docker``), one with a variant if its ``create`` takes one
    (``docker:runsc``), or the dotted path of a module elsewhere (``my_pkg.my_backend``).

    Raises:
        SandboxUnavailable: There is no such back end, or it calls itself by another name.
    """
    module, colon, variant = name.partition(":")
    create = _creator(module)
    if create is None or (colon and not (variant and inspect.signature(create).parameters)):
        raise SandboxUnavailable(f"there is no sandbox called {name!r}", f"use {_allowed()}")
    backend: Sandbox = create(variant) if variant else create()
    if backend.name != name:
        what = f"the back end in {module!r} calls itself {backend.name!r}"
        raise SandboxUnavailable(what, f"set its `name` to {name!r}: records say by this name what ran a unit")
    return backend


def by_preference() -> list[Sandbox]:
    """Return the back ends of this folder in the order in which ``auto`` tries them."""
    return sorted(map(load, names()), key=lambda backend: (-backend.preference, backend.name))


def is_trusted(name: str) -> bool:
    """Return whether results of foreign code that the back end of this name ran may be ranked on a public board.

    Only modules of this folder can be trusted: a name may come from a stranger's file, so no other module is imported.

    Raises:
        SandboxUnavailable: No module of this folder has this name.
    """
    if name.partition(":")[0] not in names():
        remedy = f"only a module in unlearn_bench/sandbox/backends/ can be trusted here: {', '.join(names())}"
        raise SandboxUnavailable(f"there is no sandbox called {name!r} on this machine", remedy)
    return load(name).trusted


def choose(name: str, model: Mapping[str, Any], device: str) -> tuple[Sandbox, str]:
    """Return the back end for jobs of this model on this device, and a line that names it and says why.

    ``auto`` takes the first usable one in their order of preference.

    Raises:
        SandboxUnavailable: The requested one, or every one, cannot be used here.
    """
    reasons: list[str] = []
    for backend in by_preference() if name == "auto" else [load(name)]:
        reason = backend.unavailable(model, device)
        if reason is None:
            warning = "" if backend.trusted else f" ({backend.description}; results are marked untrusted)"
            why = "asked for" if name != "auto" else f"no {reasons[0]}" if reasons else "usable here"
            return backend, f"sandbox {backend.name}: {why}{warning}"
        reasons.append(f"{backend.name}: {reason}")
    what, _, remedy = reasons[-1].partition("; ")
    raise SandboxUnavailable(what, remedy)


def _creator(module: str) -> Callable[..., Sandbox] | None:
    """Return ``create`` of a module of this folder or of a dotted path, or ``None`` if there is no such module."""
    if module in names():
        path = f"{__name__}.{module}"
    elif "." in module and all(part.isidentifier() for part in module.split(".")):
        path = module
    else:
        return None
    try:
        loaded = importlib.import_module(path)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{path}.".startswith(f"{error.name}."):
            return None
        raise  # the module exists, but something that it imports does not
    create: Callable[..., Sandbox] | None = getattr(loaded, "create", None)
    if create is None:
        raise SandboxUnavailable(f"the module {module!r} has no create()", "see Another back end in docs/sandbox.md")
    return create


def _allowed() -> str:
    """Return what ``load`` accepts, as text; a variant is named by the parameter of ``create``."""
    allowed = []
    for name in names():
        create = importlib.import_module(f"{__name__}.{name}").create
        variants = [f"{name}:{parameter.upper()}" for parameter in inspect.signature(create).parameters]
        allowed.append(" or ".join([name, *variants]))
    return f"{', '.join(allowed)}, or the dotted path of a module with create() (docs/sandbox.md, Another back end)"
