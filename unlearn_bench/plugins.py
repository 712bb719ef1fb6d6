"""What installed packages add to the benchmark, by entry points in the groups ``unlearn_bench.…``, or a user's file.

An entry point names a module of the kind that a file of the benchmark's own folder would be. Nothing is imported
before it is used by its name; metrics are the exception, since every board asks for all of them.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

Group = Literal["methods", "attacks", "metrics", "datasets", "architectures", "executors"]
"""``methods``: modules with ``unlearn``. ``attacks``: with ``attack``. ``metrics``: with ``METRICS``. ``datasets``:
with ``load(spec, download)``. ``architectures``: with ``build(classes, channels, image_size)``. ``executors``: with
``connect(options)``. Methods and architectures are read as text, from one file each, since sandboxes run them."""


class PluginError(Exception):
    """Something that is added cannot be used; the message names the package and the entry point, or the file."""


def names(group: Group) -> list[str]:
    """Return the names that installed packages add to a group, sorted.

    Raises:
        PluginError: two packages add the same name.
    """
    return sorted(_installed(group))


def load(group: Group, name: str) -> Any:
    """Import what the entry point of this name in a group names.

    Raises:
        PluginError: it cannot be imported, for whatever reason.
    """
    point = _installed(group)[name]
    try:
        return point.load()
    except Exception as error:  # the package may raise anything; the message names it
        raise PluginError(f"{_described(point)} cannot be imported: {type(error).__name__}: {error}") from error


def load_file(path: Path) -> ModuleType:
    """Run a user's own Python file, and return it as a module.

    Raises:
        PluginError: there is no such file, it is no Python file, or it raised something.
    """
    if not path.is_file():
        raise PluginError(f"there is no file {path}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise PluginError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # the file may raise anything; the message names it
        raise PluginError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    return module


def source_file(group: Group, name: str) -> Path:
    """Return the Python file that the entry point of this name in a group names, without importing anything.

    Raises:
        PluginError: there is no such file on the path.
    """
    point = _installed(group)[name]
    relative = Path(*point.module.split(".")).with_suffix(".py")
    for folder in sys.path:
        if (file := Path(folder or ".") / relative).is_file():
            return file
    raise PluginError(f"{_described(point)} names no file: there is no {relative} on the Python path")


def _installed(group: Group) -> dict[str, importlib.metadata.EntryPoint]:
    points: dict[str, importlib.metadata.EntryPoint] = {}
    for point in importlib.metadata.entry_points(group=f"unlearn_bench.{group}"):
        other = points.setdefault(point.name, point)
        if other.value != point.value:
            raise PluginError(f"{_described(point)} has the name of {_described(other)}")
    return points


def _described(point: importlib.metadata.EntryPoint) -> str:
    package = "an installed package" if point.dist is None else f"the package {point.dist.name}"
    return f"{point.value!r}, which {package} adds as {point.name!r} to {point.group},"
