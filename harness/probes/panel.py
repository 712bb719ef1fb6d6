"""Probes by name: of ``harness/probes/catalogue``, and a user's own file with one function."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from numbers import Real
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from unlearn_bench import plugins
from unlearn_bench.harness.probes import catalogue
from unlearn_bench.harness.probes.context import ProbeContext
from unlearn_bench.harness.probes.guard import Fingerprint
from unlearn_bench.harness.training.inference import full_precision

LARGEST = 4 * 2**20
"""Bytes that the arrays of one model may take."""

Arrays = dict[str, NDArray[Any]]


class InvalidProbe(ValueError):
    """A file that defines no probe, or a probe that failed or returned something other than finite numbers.

    Attributes:
        changed: whether the probe has changed the context, which must then be built anew for the next one.
    """

    def __init__(self, message: str, *, changed: bool = False) -> None:
        super().__init__(message)
        self.changed = changed


@dataclass(frozen=True)
class ProbeMeasurement:
    """What a probe found of one model: arrays, which are stored, and the numbers that follow from them."""

    arrays: Arrays
    numbers: dict[str, float]
    """The headline first."""


@dataclass(frozen=True)
class Probe:
    """One probe.

    Attributes:
        name: of its file.
        title: for people.
        unit: what its headline is measured in; empty for a plain number.
        evidence: names of the numbers that count for an entry's forgetting, see :meth:`evidence_in`; may be empty.
        function: looks at a context and returns arrays by name.
        compute: returns the numbers of such arrays, the headline first.
        source: the text of its file, by which stored arrays are known to be its own.
    """

    name: str
    title: str
    unit: str
    evidence: tuple[str, ...]
    function: Callable[[ProbeContext], Mapping[str, Any]]
    compute: Callable[[Mapping[str, NDArray[Any]]], Mapping[str, float]]
    source: str

    def measure(self, context: ProbeContext) -> ProbeMeasurement:
        """Look at the model under test, with torch's generators seeded by the context's seed, and leave them as before.

        Raises:
            InvalidProbe: the probe raised, returned something that is no finite array, no number or too much, or
                changed a model or the data.
        """
        before, cpu = Fingerprint.of(context), context.device.type == "cpu"
        try:
            with torch.random.fork_rng([] if cpu else [context.device]), nullcontext() if cpu else full_precision():
                torch.manual_seed(context.seed)
                result = self.function(context)
        except Exception as error:  # a probe may raise anything; the message names the probe
            changed = bool(before.difference(Fingerprint.of(context)))
            raise InvalidProbe(f"{self.name} raised {type(error).__name__}: {error}", changed=changed) from error
        if difference := before.difference(Fingerprint.of(context)):
            raise InvalidProbe(f"{self.name} changed {difference}; it must work on copies", changed=True)
        arrays = self._arrays(result)
        return ProbeMeasurement(arrays, self.numbers(arrays))

    def numbers(self, arrays: Mapping[str, NDArray[Any]]) -> dict[str, float]:
        """Return the numbers of arrays that the probe returned before, the headline first.

        Raises:
            InvalidProbe: there is none, one is not finite, or the evidence is not among them.
        """
        try:
            numbers = dict(self.compute(arrays))
        except Exception as error:
            raise InvalidProbe(f"the numbers of {self.name} raised {type(error).__name__}: {error}") from error
        for name, value in numbers.items():
            if not isinstance(name, str) or not isinstance(value, Real) or not np.isfinite(value):
                raise InvalidProbe(f"{self.name} returned {name!r}: {value!r}, which is not a finite number")
        if not numbers:
            raise InvalidProbe(f"{self.name} returned no number")
        if self.evidence and self.evidence_in(numbers) is None:
            raise InvalidProbe(f"{self.name} did not return its evidence, {' or '.join(self.evidence)}")
        return {name: float(value) for name, value in numbers.items()}

    def evidence_in(self, numbers: Mapping[str, float]) -> str | None:
        """Return the name of the number that counts for forgetting: the first of ``evidence`` that there is."""
        return next((name for name in self.evidence if name in numbers), None)

    def _arrays(self, result: object) -> Arrays:
        if not isinstance(result, Mapping) or not result:
            raise InvalidProbe(f"{self.name} returned {type(result).__name__}, not arrays by name")
        arrays: Arrays = {}
        for name, value in result.items():
            array = np.asarray(value.detach().cpu() if isinstance(value, torch.Tensor) else value)
            if not isinstance(name, str) or array.dtype.kind not in "fiub" or not np.isfinite(array).all():
                raise InvalidProbe(f"{self.name} returned {name!r}, which is not an array of finite numbers")
            arrays[name] = array
        if (size := sum(array.nbytes for array in arrays.values())) > LARGEST:
            raise InvalidProbe(f"{self.name} returned {size:,} bytes; allowed: {LARGEST:,}")
        return arrays


def names() -> list[str]:
    """Return the names of the probes in ``harness/probes/catalogue``."""
    return sorted(module.name for module in pkgutil.iter_modules(catalogue.__path__))


@cache
def load(name: str) -> Probe:
    """Return a probe of the panel by name."""
    return _parse(importlib.import_module(f"{catalogue.__name__}.{name}"), name)


def named(name: str) -> Probe:
    """Return a probe of the panel, or that of a user's own file, ``PATH.py``.

    Raises:
        InvalidProbe: there is none, or it cannot be used.
    """
    if name.endswith(".py") or Path(name).is_file():
        return load_file(Path(name))
    if name not in names():
        raise InvalidProbe(
            f"there is no probe {name!r}; there are {', '.join(names())}, or name a file of yours, NAME.py"
        )
    return load(name)


def load_file(path: Path) -> Probe:
    """Run a user's own file, which defines ``probe(context)``.

    Raises:
        InvalidProbe: there is no such file, it cannot be imported, or it has no such function.
    """
    try:
        module = plugins.load_file(path)
    except plugins.PluginError as error:
        raise InvalidProbe(str(error)) from error
    return _parse(module, path.stem)


def _parse(module: ModuleType, name: str) -> Probe:
    function, compute = getattr(module, "probe", None), getattr(module, "numbers", scalars)
    if not callable(function) or len(inspect.signature(function).parameters) != 1:
        raise InvalidProbe(f"{name} must define probe(context)")
    if not callable(compute) or len(inspect.signature(compute).parameters) != 1:
        raise InvalidProbe(f"{name}: numbers is not a function numbers(arrays)")
    evidence = getattr(module, "EVIDENCE", ())
    return Probe(
        name,
        str(getattr(module, "TITLE", name)),
        str(getattr(module, "UNIT", "")),
        (evidence,) if isinstance(evidence, str) else tuple(map(str, evidence)),
        function,
        compute,
        Path(str(module.__file__)).read_text(encoding="utf-8"),
    )


def scalars(arrays: Mapping[str, NDArray[Any]]) -> dict[str, float]:
    """Return the arrays that have no dimension, in the order in which the probe returned them."""
    return {name: float(array) for name, array in arrays.items() if array.ndim == 0}
