"""Dataclasses from JSON values, by their annotations.

Unknown keys are ignored, so that an older version can read what a newer one has written. ``dataclasses.asdict`` is the
way back. The annotations that occur in records are supported: ``str``, ``int``, ``float``, ``bool``, ``None``, ``Any``,
``Literal``, ``Annotated``, unions, ``tuple[T, ...]``, ``Mapping[str, T]`` and dataclasses.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Mapping
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

T = TypeVar("T")
Reader = Callable[[Any], Any]
NAMES = {str: "a string", int: "an integer", float: "a number", bool: "true or false", type(None): "null"}
ACCEPTED: Mapping[type, tuple[type, ...]] = {float: (float, int)}
"""Types of a JSON value that stand for another one; ``True`` is never a number."""


class Mismatch(ValueError):
    """A JSON value that does not have the form of a dataclass."""

    def __init__(self, what: str, path: tuple[str, ...] = ()) -> None:
        super().__init__(f"{'/'.join(path)} {what}" if path else what)
        self.what, self.path = what, path


def from_json(form: type[T], value: object) -> T:
    """Return the dataclass ``form`` made of a parsed JSON object.

    Raises:
        Mismatch: a key without default is missing, or a value has another type than its annotation says.
    """
    result: T = _reader(form)(value)  # type: ignore[arg-type]  # classes are hashable
    return result


def hints(form: type) -> dict[str, Any]:
    """Return the annotations of a dataclass's fields, in their order, with their metadata."""
    annotations = typing.get_type_hints(form, include_extras=True)
    return {field.name: annotations[field.name] for field in dataclasses.fields(form)}


def is_union(form: Any) -> bool:
    """Return whether an annotation is a union, however it is written."""
    return get_origin(form) in (Union, UnionType)


@cache
def _reader(form: Any) -> Reader:
    origin, arguments = get_origin(form), get_args(form)
    if form is Any:
        return lambda value: value
    if origin is Annotated:
        return _reader(arguments[0])
    if dataclasses.is_dataclass(form):
        return _dataclass(form)  # type: ignore[arg-type]  # a class, not an instance
    if origin is Literal:
        return _literal(arguments)
    if is_union(form):
        return _union(arguments)
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        return _tuple(arguments[0])
    if origin in (Mapping, dict):
        return _mapping(arguments[1])
    if form in NAMES:
        return _plain(form)
    raise TypeError(f"{form} has no form in JSON")


def _dataclass(form: type) -> Reader:
    annotations = hints(form)
    required = [
        field.name
        for field in dataclasses.fields(form)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    readers = [(name, _reader(annotation)) for name, annotation in annotations.items()]

    def read(value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise Mismatch("is not an object")
        for name in required:
            if name not in value:
                raise Mismatch(f"has no {name!r}")
        values = {}
        for name, reader in readers:
            if name in value:
                try:
                    values[name] = reader(value[name])
                except Mismatch as error:
                    raise Mismatch(error.what, (name, *error.path)) from None
        return form(**values)

    return read


def _literal(choices: tuple[Any, ...]) -> Reader:
    types = {type(choice) for choice in choices}

    def read(value: Any) -> Any:
        if type(value) not in types or value not in choices:
            raise Mismatch(f"is not one of {', '.join(map(repr, choices))}")
        return value

    return read


def _union(options: tuple[Any, ...]) -> Reader:
    readers = [_reader(option) for option in options if option is not type(None)]
    nullable = len(readers) < len(options)

    def read(value: Any) -> Any:
        if value is None and nullable:
            return None
        for reader in readers[:-1]:
            try:
                return reader(value)
            except Mismatch:
                continue
        return readers[-1](value)

    return read


def _tuple(item: Any) -> Reader:
    reader = _reader(item)

    def read(value: Any) -> Any:
        if not isinstance(value, list | tuple):
            raise Mismatch("is not a list")
        items = []
        for number, one in enumerate(value):
            try:
                items.append(reader(one))
            except Mismatch as error:
                raise Mismatch(error.what, (str(number), *error.path)) from None
        return tuple(items)

    return read


def _mapping(item: Any) -> Reader:
    reader = None if item is Any else _reader(item)

    def read(value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise Mismatch("is not an object")
        if reader is None:
            return value
        items = {}
        for key, one in value.items():
            try:
                items[key] = reader(one)
            except Mismatch as error:
                raise Mismatch(error.what, (str(key), *error.path)) from None
        return items

    return read


def _plain(form: type) -> Reader:
    accepted = ACCEPTED.get(form, (form,))

    def read(value: Any) -> Any:
        if type(value) not in accepted:
            raise Mismatch(f"is not {NAMES[form]}")
        return value

    return read
