"""What an entry declares, parsed once into bounded values: parameters, search space, metadata, summary."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from unlearn_bench.harness.entries import requirements, values
from unlearn_bench.harness.entries.faults import Fault
from unlearn_bench.sandbox.text import one_line

TITLE = 80
PARAMETERS = values.ITEMS
"""The most hyper-parameters."""
KEYS = 32
"""The most keys of the metadata."""
NAME = 64
"""Characters of the name of a parameter, and of a key of the metadata."""
PROVIDED = frozenset({"torch", "torchvision", "timm", "numpy", "scipy", "sklearn", "safetensors", "sandbox"})
"""Packages of the full image beyond the standard library."""
LEAN = frozenset({"torch", "numpy", "safetensors", "sandbox"})
"""What the small image has, in which units of a small network run on a CPU."""
SPACE_REMEDY = 'write {"lr": ("log", 1e-5, 1e-1), "epochs": ("int", 1, 10), "batch": ("choice", (64, 128))}'
RANGES = ("rate", "log", "1-log", "uniform", "int")


@dataclass(frozen=True)
class Declarations:
    """What an entry declares; every value is one that stores, tables and pages can hold."""

    defaults: Mapping[str, Any]
    """Hyper-parameters; ``None`` for a default that is no literal."""
    search_space: Mapping[str, Any]
    metadata: Mapping[str, Any]
    summary: str
    requirements: tuple[str, ...]
    notes: tuple[str, ...]
    """What a reviewer should look at, in printable ASCII."""
    syntax: str


def parse(inspected: str | bytes) -> Declarations:
    """Return what ``inspection.py`` printed as declarations.

    Raises:
        Fault: the entry breaks the contract; the first violation counts.
    """
    report = json.loads(inspected)
    for what, remedy in report["problems"]:
        raise Fault(what, remedy)
    _check_defaults(report["parameters"])
    _check_search_space(report["search_space"], report["parameters"])
    _check_metadata(report["metadata"])
    required = requirements.parse(report["requirements"])
    missing = [module for module in report["package_missing"] if module not in PROVIDED]
    if missing and not required:  # the names of packages and of their modules differ
        raise Fault(
            f"it imports {', '.join(missing)}, which the image lacks",
            f"use the standard library and {', '.join(sorted(PROVIDED))}, import it inside try, or name its package in "
            "the dependencies of the metadata block",
        )
    beyond = [module for module in report["package_missing"] if module in PROVIDED - LEAN]
    note = f"it imports {', '.join(beyond)}, which the small image of CPU tracks lacks: units crash there"
    return Declarations(
        defaults=report["parameters"],
        search_space=report["search_space"],
        metadata=report["metadata"],
        summary=one_line(report["summary"], 200),
        requirements=required,
        notes=(*report["notes"], *([note] if beyond else [])),
        syntax=report["syntax"],
    )


def _check_defaults(defaults: Mapping[str, Any]) -> None:
    if len(defaults) > PARAMETERS:
        what = f"unlearn has {len(defaults):,} hyper-parameters, more than {PARAMETERS}"
        raise Fault(what, "make some of them constants")
    for name, value in defaults.items():
        if len(name) > NAME:
            raise Fault(f"the name of the parameter {name[:20]}… has more than {NAME} characters", "shorten it")
        if why := values.fault(value):
            raise Fault(f"the default of the parameter {name} {why}", values.REMEDY)


def _check_metadata(table: Any) -> None:
    remedy = "correct the comment block (PEP 723)"
    if not isinstance(table, dict):
        raise Fault("[tool.bench] in the metadata block is not a table", remedy)
    if len(table) > KEYS:
        raise Fault(f"[tool.bench] has {len(table):,} keys, more than {KEYS}", remedy)
    for key, value in table.items():
        if why := f"has more than {NAME} characters" if len(key) > NAME else values.fault(key):
            raise Fault(f"a key of [tool.bench] {why}", remedy)
        if why := values.fault(value):
            raise Fault(f"{key} in [tool.bench] {why}", values.REMEDY)
    title = table.get("title", "")
    if not isinstance(title, str):
        raise Fault("the title in [tool.bench] is not text", remedy)
    if len(title) > TITLE:
        raise Fault(f"the title has more than {TITLE} characters", "shorten it")


def _check_search_space(space: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    for name, rule in space.items():
        if name not in defaults:
            raise Fault(f"SEARCH_SPACE names {name!r}, which unlearn does not take", "remove it or add it")
        if why := values.fault(rule) or _rule_fault(rule, defaults[name]):
            raise Fault(f"SEARCH_SPACE[{name!r}] {why}", SPACE_REMEDY)


def _rule_fault(rule: Any, default: Any) -> str:
    """Return why a value is no rule for a parameter with this default; empty if it is one."""
    kind, *ends = rule if isinstance(rule, list) and rule else [rule]
    if kind == "choice":
        several = len(ends) == 1 and isinstance(ends[0], list) and ends[0]
        scalar = several and not any(isinstance(value, list | dict) for value in ends[0])
        return "" if scalar else 'is a choice that does not have the form ("choice", (one, another))'
    if kind not in RANGES or len(ends) != 2:
        return f"is {rule!r}, not one of {', '.join(RANGES)} with two ends, or choice with its values"
    low, high = ends
    if not _number(low) or not (_number(high) or high == "max_epochs"):
        return "has an end that is no number"
    if kind == "int" and not (isinstance(low, int) and isinstance(high, int | str)):
        return "has an end that is no whole number"
    if kind in ("rate", "log", "1-log") and low <= 0:
        return "has a logarithmic range that does not begin above 0"
    if high != "max_epochs" and not low <= high:
        return "has a range that ends below its beginning"
    return "" if _number(default) else "searches a range, and the parameter's default is no number"


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
