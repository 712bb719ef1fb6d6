"""From tables of a TOML file to frozen dataclasses; every complaint names file, key and what is allowed."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from unlearn_bench.harness.support.errors import TrackError

T = TypeVar("T")


def build(cls: type[T], table: object, path: Path, where: str) -> T:
    """Build a dataclass from a table and the tables in it; fields with the metadata ``secret`` are not keys.

    Args:
        cls: the dataclass.
        table: what the file says.
        path: the file, for complaints.
        where: the table's name in it, empty for the whole file.

    Raises:
        TrackError: a key is missing, unknown, or has another kind of value.
    """
    if not isinstance(table, Mapping):
        raise TrackError(f"{path}: {where or 'the file'} is not a table", "correct the file")
    fields = {f.name: f for f in dataclasses.fields(cls) if "secret" not in f.metadata}  # type: ignore[arg-type]
    hints = get_type_hints(cls)
    prefix = f"{where}." if where else ""
    for key in table:
        if key not in fields:
            raise TrackError(f"{path}: {prefix}{key} is not a key; allowed: {', '.join(fields)}", "correct the file")
    values: dict[str, Any] = {}
    for key, field in fields.items():
        if key in table:
            values[key] = _value(hints[key], table[key], path, prefix + key)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise TrackError(f"{path}: {prefix}{key} is missing; allowed: {_describe(hints[key])}", "add the key")
    return cls(**values)


def _value(hint: Any, value: Any, path: Path, where: str) -> Any:
    hint = next((option for option in get_args(hint) if dataclasses.is_dataclass(option)), hint)
    if dataclasses.is_dataclass(hint):
        return build(hint, value, path, where)  # type: ignore[arg-type]
    if hint is str and isinstance(value, datetime.date):  # TOML has times of its own, of which this is the text
        value = value.isoformat()
    if _fits(hint, value):
        if isinstance(value, list):
            return tuple(value)
        if isinstance(value, Mapping):
            return {k: tuple(v) if isinstance(v, list) else v for k, v in value.items()}
        return float(value) if hint is float else value
    raise TrackError(f"{path}: {where} is {value!r}; allowed: {_describe(hint)}", "correct the file")


def _fits(hint: Any, value: Any) -> bool:
    origin = get_origin(hint)
    if origin is Literal:
        return value in get_args(hint)
    if origin in (Union, UnionType):
        return any(_fits(option, value) for option in get_args(hint))
    if origin is tuple:
        return isinstance(value, list) and bool(value) and all(_fits(get_args(hint)[0], item) for item in value)
    if origin is not None:
        return isinstance(value, Mapping)
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, hint) and (hint is bool or not isinstance(value, bool))


def _describe(hint: Any) -> str:
    origin = get_origin(hint)
    if origin is Literal:
        return ", ".join(map(repr, get_args(hint)))
    if origin in (Union, UnionType):
        return " or ".join(_describe(option) for option in get_args(hint) if option is not type(None))
    if origin is tuple:
        return f"a list of {_describe(get_args(hint)[0])}"
    if origin is not None or dataclasses.is_dataclass(hint):
        return "a table"
    return {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}[hint]
