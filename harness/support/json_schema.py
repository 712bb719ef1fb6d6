"""JSON Schema (2020-12) of dataclasses, from their annotations."""

from __future__ import annotations

from typing import Any

import msgspec

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def rule(**keywords: Any) -> msgspec.Meta:
    """Return keywords of JSON Schema that narrow an annotated type.

    As in ``Annotated[str, rule(maxLength=80)]``. They are enforced on what strangers send in. The store is trusted: of
    its documents only the types are checked.
    """
    return msgspec.Meta(extra_json_schema=keywords)


def schema(form: type, title: str, description: str) -> dict[str, Any]:
    """Return the schema of a dataclass: every field is required, and no other key is allowed."""
    (root,), definitions = msgspec.json.schema_components([form])
    for definition in definitions.values():
        for field in definition["properties"].values():
            field.pop("default", None)
        definition |= {"required": sorted(definition["properties"]), "additionalProperties": False}
        del definition["title"]
    return {"$schema": DIALECT, "title": title, "description": description, "$defs": definitions, **root}
