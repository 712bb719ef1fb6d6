"""Attacks by name: of ``scoring/attacks``, of installed packages, and a user's own file with one function."""

from __future__ import annotations

import importlib
import inspect
import math
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from numbers import Real
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from unlearn_bench import plugins
from unlearn_bench.scoring import attacks

Models = Literal["model", "shadows", "swap"]
MODELS: tuple[Models, ...] = ("model", "shadows", "swap")


class InvalidAttack(ValueError):
    """A file that defines no attack, or an attack that returned something other than numbers."""


@dataclass(frozen=True)
class Attack:
    """One attack. ``run`` returns finite numbers by name, the headline first."""

    name: str
    title: str
    models: Models
    """Which evidence it reads, see ``scoring.evidence``."""
    function: Callable[[Any], float | Mapping[str, float]]
    evidence: str = ""
    """The number by which it is evidence against an entry, see ``scoring.forgetting``; empty where it is none."""

    def run(self, evidence: Any) -> dict[str, float]:
        """Numbers by name; a plain number is called ``value``.

        Raises:
            InvalidAttack: the attack raised, returned no number, or returned one that is not finite.
        """
        try:
            result = self.function(evidence)
        except Exception as error:  # an attack may raise anything; the message names the attack
            raise InvalidAttack(f"{self.name} raised {type(error).__name__}: {error}") from error
        numbers = dict(result) if isinstance(result, Mapping) else {"value": result}
        for name, value in numbers.items():
            if not isinstance(name, str) or not isinstance(value, Real) or not math.isfinite(value):
                raise InvalidAttack(f"{self.name} returned {name!r}: {value!r}, which is not a finite number")
        if not numbers:
            raise InvalidAttack(f"{self.name} returned no number")
        return {name: float(value) for name, value in numbers.items()}


def names() -> list[str]:
    """Names of the attacks in ``scoring/attacks``."""
    return sorted(module.name for module in pkgutil.iter_modules(attacks.__path__))


def load(name: str) -> Attack:
    """Return an attack of the panel by name."""
    return _parse(importlib.import_module(f"{attacks.__name__}.{name}"), name)


def installed() -> list[str]:
    """Names of the attacks that installed packages add. Boards do not count them, so that they agree everywhere."""
    return plugins.names("attacks")


def named(name: str) -> Attack:
    """Return an attack of the panel, one of an installed package, or that of a user's own file, ``PATH.py``.

    Raises:
        InvalidAttack: there is none, or it cannot be used.
    """
    if name.endswith(".py") or Path(name).is_file():
        return load_file(Path(name))
    if name in names():
        return load(name)
    if name not in installed():
        known = ", ".join([*names(), *installed()])
        raise InvalidAttack(f"there is no attack {name!r}; there are {known}, or name a file of yours, NAME.py")
    return _parse(plugins.load("attacks", name), name)


@cache
def attacks_on(models: Models) -> tuple[Attack, ...]:
    """Return the attacks of the panel that read this evidence, by name."""
    return tuple(attack for attack in map(load, names()) if attack.models == models)


def load_file(path: Path) -> Attack:
    """Run a user's own file, which defines ``attack(model)``, ``attack(shadows)`` or ``attack(swap)``.

    Raises:
        InvalidAttack: it cannot be imported, or has no such function.
    """
    try:
        module = plugins.load_file(path)
    except plugins.PluginError as error:
        raise InvalidAttack(str(error)) from error
    return _parse(module, path.stem)


def _parse(module: ModuleType, name: str) -> Attack:
    function = getattr(module, "attack", None)
    parameters = list(inspect.signature(function).parameters) if callable(function) else []
    if not callable(function) or len(parameters) != 1 or parameters[0] not in MODELS:
        allowed = ", ".join(f"attack({models})" for models in MODELS)
        raise InvalidAttack(f"{name} must define one of {allowed}")
    title, evidence = str(getattr(module, "TITLE", name)), str(getattr(module, "EVIDENCE", ""))
    return Attack(name, title, parameters[0], function, evidence)
