"""Types of the fields of records and results, with the constraints that are enforced on what strangers send in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from unlearn_bench.harness.support.json_schema import rule

NAME = "[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}"
_SCALAR = {"type": ["string", "number", "boolean", "null"], "maxLength": 400}

Sha256 = Annotated[str, rule(pattern="^[0-9a-f]{64}$")]
Commit = Annotated[str, rule(pattern="^([0-9a-f]{40}|[0-9a-f]{64})$")]
"""Id of a commit or a blob, by SHA-1 or SHA-256."""
Date = Annotated[
    str, rule(pattern=r"^20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9]\+00:00$")
]  # fmt: skip
"""A time in UTC, to the second."""
Name = Annotated[str, rule(pattern=f"^{NAME}$")]
"""Name of an entry or of a track."""
Seed = Annotated[int, rule(minimum=0, maximum=9999)]
Count = Annotated[int, rule(minimum=0, maximum=9999)]
Fraction = Annotated[float, rule(minimum=0, maximum=1)]
Seconds = Annotated[float, rule(minimum=0, maximum=1e9)]
WallSeconds = Annotated[float, rule(exclusiveMinimum=0, maximum=1e9)]
Measure = Annotated[float, rule(minimum=-1e9, maximum=1e9)]
Bytes = Annotated[int, rule(minimum=0)]
Reason = Annotated[str, rule(maxLength=1000)]
Log = Annotated[str, rule(maxLength=16384)]
Facts = Annotated[
    Mapping[str, Any],
    rule(
        maxProperties=40,
        propertyNames={"pattern": "^[A-Za-z0-9_ .-]{1,60}$"},
        additionalProperties={"anyOf": [_SCALAR, {"type": "array", "maxItems": 64, "items": _SCALAR}]},
    ),
]
"""Facts about a machine and its software."""
Behaviour = Annotated[Mapping[str, Measure], rule(maxProperties=20)]
"""Numbers of a unit's model by their names in ``scoring.consistency``."""
PairBehaviour = Annotated[Mapping[str, Annotated[tuple[Measure, ...], rule(maxItems=9999)]], rule(maxProperties=20)]
"""The same of many models: by name, one number for each pair of shadow splits."""
Parameters = Annotated[Mapping[str, Any], rule(maxProperties=200, propertyNames={"maxLength": 200})]
"""Hyper-parameters by name."""
