"""The system calls of a unit: the groups of ``seccomp.toml``, and the profile that an engine takes.

It is an allow-list, nowhere wider than an engine's default. All other calls are refused with ``EPERM``, or with
``ENOSYS`` where libc must see that it has to fall back to an older call. The processor's other modes (32-bit x86, x32,
32-bit ARM) are closed: the kernel ends a process that uses them.
"""

from __future__ import annotations

import errno
import json
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_suffix(".toml")
ARCHITECTURES = ("SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64")


@dataclass(frozen=True)
class Condition:
    """Allowed only if argument number ``argument``, under ``mask`` if there is one, is one of ``equals``."""

    argument: int
    equals: tuple[int, ...]
    mask: int | None = None


@dataclass(frozen=True)
class Group:
    """System calls that are allowed or refused for the same reason."""

    subject: str
    why: str
    calls: tuple[str, ...]
    condition: Condition | None = None
    """The condition of allowed calls; other arguments are refused."""
    errno: str = "EPERM"
    """The error of refused calls."""


@dataclass(frozen=True)
class Policy:
    """The decision on every known system call."""

    allow: tuple[Group, ...]
    refuse: tuple[Group, ...]


@cache
def policy() -> Policy:
    """Return the groups of ``seccomp.toml``."""
    document = tomllib.loads(FILE.read_text())
    return Policy(*(tuple(_group(**fields) for fields in document[side]) for side in ("allow", "refuse")))


@cache
def profile() -> str:
    """Return the policy in the engine's JSON, one text for x86-64 and 64-bit ARM."""
    rules = [rule for group in policy().allow for rule in _allowed(group)]
    rules += [
        {"names": group.calls, "action": "SCMP_ACT_ERRNO", "errnoRet": getattr(errno, group.errno)}
        for group in policy().refuse
        if group.errno != "EPERM"
    ]
    architectures = [{"architecture": name, "subArchitectures": []} for name in ARCHITECTURES]
    # the action returns EPERM by default
    document = {"defaultAction": "SCMP_ACT_ERRNO", "archMap": architectures, "syscalls": rules}
    return json.dumps(document, separators=(",", ":"))


def _group(calls: str, condition: dict[str, Any] | None = None, **fields: str) -> Group:
    parsed = condition and Condition(**{**condition, "equals": tuple(condition["equals"])})
    return Group(calls=tuple(calls.split()), condition=parsed or None, **fields)


def _allowed(group: Group) -> list[dict[str, Any]]:
    rule: dict[str, Any] = {"names": group.calls, "action": "SCMP_ACT_ALLOW"}
    if group.condition is None:
        return [rule]
    # rules for the same call are alternatives
    return [{**rule, "args": [_compared(group.condition, value)]} for value in group.condition.equals]


def _compared(condition: Condition, value: int) -> dict[str, Any]:
    if condition.mask is None:
        return {"index": condition.argument, "value": value, "op": "SCMP_CMP_EQ"}
    return {"index": condition.argument, "value": condition.mask, "valueTwo": value, "op": "SCMP_CMP_MASKED_EQ"}
