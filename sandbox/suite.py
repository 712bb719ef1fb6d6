"""The attack suite: every file of ``attacks/`` as an ordinary unit of a back end, and whether it ended as it must.

The docstring of an attack file states what it expects and is read without importing it; see ``attacks/README.md``.
"""

from __future__ import annotations

import ast
import threading
import time
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from unlearn_bench.sandbox.text import TAIL, one_line
from unlearn_bench.sandbox.types import MIB, STATUSES, Job, Limits, Outcome, Sandbox, Status

FOLDER = Path(__file__).with_name("attacks")
BREACH = "BREACH"
"""What an attack prints when it succeeds in something that the sandbox must prevent."""
PROCESSES = 64
SCRATCH = 32 * MIB
PATIENCE = 180.0
"""Seconds after its deadline within which a unit must have ended and been removed, or it counts as a hang."""
REASON = 300

Weights = Literal["original", "changed"]


@dataclass(frozen=True)
class HostileEntry:
    """One unit of an attack file, and the outcome that it must have."""

    name: str
    source: bytes
    title: str
    expect: Status
    deadline: float = 30.0
    """Seconds."""
    memory: int = 1200
    """MiB."""
    reason: str = ""
    """Text that the outcome's reason must contain."""
    log: tuple[str, ...] = ()
    """Texts that the log must contain."""
    weights: Weights = "original"
    """Which weights must arrive, if any must."""
    variant: str = ""
    """Passed as the parameter ``variant``."""

    @property
    def label(self) -> str:
        """The name of the file, with the variant in brackets."""
        return f"{self.name}[{self.variant}]" if self.variant else self.name


@dataclass(frozen=True)
class AttackOutcome:
    """The outcome of an attack; ``why`` says how it deviates from what is expected, and is empty if it does not."""

    attack: str
    expected: str
    status: str
    seconds: float
    """Wall time of the whole unit, the sandbox's start and removal included."""
    reason: str
    why: str = ""

    @property
    def ok(self) -> bool:
        """Whether it ended as it must."""
        return not self.why


class BadHeader(ValueError):
    """An attack file that does not say what it expects."""


def attacks() -> list[tuple[HostileEntry, ...]]:
    """Return all attacks, found by folder and sorted; the variants of one file are together, in their order."""
    return [parse(path.stem, path.read_bytes()) for path in sorted(FOLDER.glob("*.py"))]


def sources() -> frozenset[bytes]:
    """Return the source of every attack: a stage that holds one is this suite's."""
    return frozenset(path.read_bytes() for path in FOLDER.glob("*.py"))


def parse(name: str, source: bytes) -> tuple[HostileEntry, ...]:
    """Return the entries of one file, from its docstring: a title, an empty line, then lines ``key: value``.

    Raises:
        BadHeader: a part of the docstring is missing or unknown.
    """
    title, gap, *lines = [*(ast.get_docstring(ast.parse(source)) or "").splitlines(), "", ""]
    fields: dict[str, list[str]] = {}
    for line in filter(None, lines):
        key, colon, value = line.partition(": ")
        if not colon or key not in ("expect", "deadline", "memory", "reason", "log", "weights", "variants"):
            raise BadHeader(f"{name}: cannot read the header line {line!r}")
        fields.setdefault(key, []).append(value.strip())
    for key in fields.keys() - {"log", "variants"}:
        if len(fields[key]) > 1:
            raise BadHeader(f"{name}: {key} is given twice")
    single: dict[str, Any] = {key: values[0] for key, values in fields.items() if key not in ("log", "variants")}
    if not title or gap or single.get("expect") not in STATUSES:
        raise BadHeader(f"{name}: needs a title, an empty line and `expect:` with one of {', '.join(STATUSES)}")
    if single.get("weights", "original") not in get_args(Weights):
        raise BadHeader(f"{name}: weights is one of {', '.join(get_args(Weights))}")
    try:
        single |= {key: kind(single[key]) for key, kind in (("deadline", float), ("memory", int)) if key in single}
    except ValueError as error:
        raise BadHeader(f"{name}: {error}") from None
    variants = [variant.strip() for line in fields.get("variants", [""]) for variant in line.split(",")]
    log = tuple(fields.get("log", ()))
    return tuple(HostileEntry(name, source, title, log=log, variant=variant, **single) for variant in variants)


def run(
    backend: Sandbox, job: Job, chosen: Sequence[tuple[HostileEntry, ...]] | None = None, at_once: int = 2
) -> Iterator[AttackOutcome]:
    """Run attacks (all, unless ``chosen``), ``at_once`` at a time, the variants of a file one after another.

    ``job`` is a tiny job of which everything but the source, its parameters and its limits is used. Results come in the
    order of the attacks.
    """
    stop = threading.Event()

    def attempt_variants(variants: tuple[HostileEntry, ...]) -> list[AttackOutcome]:
        return [attempt(backend, attack, job, stop) for attack in variants]

    with ThreadPoolExecutor(at_once) as pool:
        try:
            for results in pool.map(attempt_variants, attacks() if chosen is None else chosen):
                yield from results
        finally:
            stop.set()  # the caller may want no more results
            pool.shutdown(cancel_futures=True)


def attempt(backend: Sandbox, attack: HostileEntry, job: Job, stop: threading.Event | None = None) -> AttackOutcome:
    """Run one attack and judge it."""
    from safetensors.numpy import load

    limits = Limits(attack.deadline, attack.memory * MIB, PROCESSES, SCRATCH)
    parameters = {"variant": attack.variant} if attack.variant else {}
    start = time.monotonic()
    unit = replace(job, source=attack.source, parameters=parameters, limits=limits)
    outcome = backend.run(unit, nullcontext(), stop)
    seconds = time.monotonic() - start
    why = "; ".join(deviations(attack, outcome, load(job.weights), seconds))
    return AttackOutcome(attack.label, attack.expect, outcome.status, round(seconds, 1), outcome.reason, why)


def deviations(attack: HostileEntry, outcome: Outcome, original: Mapping[str, Any], seconds: float) -> Iterator[str]:
    """Yield how an outcome deviates from what the attack expects; ``original`` has the original's weights by name."""
    if outcome.status != attack.expect:
        yield f"ended as {outcome.status}, not {attack.expect}: {outcome.reason or one_line(outcome.log[-REASON:])}"
    yield from (line for line in outcome.log.splitlines() if BREACH in line)
    if attack.reason not in outcome.reason:
        yield f"the reason does not hold {attack.reason!r}: {outcome.reason}"
    yield from (
        f"the log does not hold {text!r}: {one_line(outcome.log[-REASON:])}"
        for text in attack.log
        if text not in outcome.log
    )
    if outcome.weights is not None:
        unchanged = all(np.array_equal(array, original[name]) for name, array in outcome.weights.items())
        if unchanged != (attack.weights == "original"):
            yield f"the weights are {'the original ones' if unchanged else 'changed'}"
    if (outcome.weights is None) != (outcome.status != "ok"):
        yield "weights came with a status other than ok, or none with ok"
    if len(outcome.reason) > REASON or "\n" in outcome.reason or not _printable(outcome.reason):
        yield "the reason is not one short line of printable text"
    if len(outcome.log.encode()) > TAIL or not _printable(outcome.log):
        yield "the log is not a few KiB of printable text"
    if seconds > attack.deadline + PATIENCE:
        yield f"a hang: {seconds:.0f} s with a deadline of {attack.deadline:g} s"


def _printable(text: str) -> bool:
    return not any(unicodedata.category(c).startswith("C") for c in text if c not in "\n\t")
