"""JSON Schema (2020-12) of dataclasses, from their annotations, and the constraints that the annotations carry."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args, get_origin

from unlearn_bench.harness.support.serialisation import hints, is_union

DIALECT = "https://json-schema.org/draft/2020-12/schema"
TYPES: Mapping[Any, str] = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}


class Rule:
    """Keywords of JSON Schema that narrow a type: ``Annotated[str, Rule(maxLength=80)]``.

    They bind what strangers send in; a store is trusted, and read by types only.
    """

    def __init__(self, **keywords: Any) -> None:
        self.keywords = keywords


def schema(form: type, title: str, description: str) -> dict[str, Any]:
    """Return the schema of a dataclass: every field is required, and no other key is allowed."""
    definitions: dict[str, Any] = {}
    root = _schema(form, definitions)
    return {
        "$schema": DIALECT,
        "title": title,
        "description": description,
        "$defs": dict(sorted(definitions.items())),
        **root,
    }


def _schema(form: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    origin, arguments = get_origin(form), get_args(form)
    if form is Any:
        return {}
    if origin is Annotated:
        keywords = [rule.keywords for rule in arguments[1:] if isinstance(rule, Rule)]
        content = _schema(arguments[0], definitions)
        for one in keywords:
            content |= one
        return content
    if dataclasses.is_dataclass(form):
        return _reference(form, definitions)  # type: ignore[arg-type]  # a class, not an instance
    if origin is Literal:
        return {"const": arguments[0]} if len(arguments) == 1 else {"enum": list(arguments)}
    if is_union(form):
        return _union([_schema(option, definitions) for option in arguments])
    if origin is tuple:
        return {"type": "array", "items": _schema(arguments[0], definitions)}
    if origin in (Mapping, dict):
        return _mapping(*(_schema(argument, definitions) for argument in arguments))
    return {"type": TYPES[form]}


def _reference(form: type, definitions: dict[str, Any]) -> dict[str, Any]:
    if form.__name__ not in definitions:
        definitions[form.__name__] = {}  # its place, should it refer to itself
        properties = {name: _schema(annotation, definitions) for name, annotation in hints(form).items()}
        definitions[form.__name__] = {
            "type": "object",
            "additionalProperties": False,
            "required": sorted(properties),
            "properties": properties,
        }
    return {"$ref": f"#/$defs/{form.__name__}"}


def _union(options: list[dict[str, Any]]) -> dict[str, Any]:
    """Merge simple types into one list of types: every keyword binds the values of its own type only."""
    kinds = [option.get("type") for option in options]
    if not all(isinstance(kind, str) and kind not in ("object", "array") for kind in kinds):
        return {"anyOf": options}
    merged: dict[str, Any] = {}
    for option in options:
        merged |= option
    return merged | {"type": kinds}


def _mapping(keys: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    names = {name: value for name, value in keys.items() if name != "type"}  # keys are strings anyway
    return {
        "type": "object",
        **({"propertyNames": names} if names else {}),
        **({"additionalProperties": values} if values else {}),
    }
