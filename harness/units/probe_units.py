"""Whether an entry does in untimed units the work that it does in timed ones, by CPU seconds.

A timed unit that hurries and a shadow unit that retrains would be fast and private at once. The yardstick is a few seed
units, run untimed in the same place with the same parameters: from inside they cannot be told from timed ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from unlearn_bench.harness.entries.entry import Entry
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.units import swap_units, units
from unlearn_bench.harness.units.shadow_units import ShadowRecord
from unlearn_bench.harness.units.units import Unit
from unlearn_bench.harness.units.untimed import Result, Runner, deadline

LIMIT = 3.0
"""Work beyond this many times the yardstick is marked. Costs that do not shrink with R alone make it 2 at most."""
LEAST = 0.5
"""CPU seconds: below that, imports and noise are more than the method."""
PROBES = 2


def measure(references: References, todo: Sequence[Unit], runner: Runner) -> Iterator[tuple[Unit, Result]]:
    """Run units of the yardstick and keep what they cost; yields each."""
    if not todo:
        return
    for unit, result in runner.run(todo, deadline(references, todo[0])):
        if result.status == "ok":
            content = {"cpu_seconds": result.cpu_seconds}
            references.store.write(_folder(references, unit.entry.id), str(unit.seed), content)
        yield unit, result


def pending(references: References, entry: Entry) -> list[Unit]:
    """Units of the yardstick that have not run; a shipped source needs none."""
    if entry.kind != "entry":
        return []
    todo = [Unit(entry, references.track, seed) for seed in range(min(PROBES, references.track.protocol.seeds))]
    return [unit for unit in todo if references.store.read(_folder(references, entry.id), str(unit.seed)) is None]


def of_shadows(references: References, record: ShadowRecord) -> str:
    """Why the shadow units of an entry are inconsistent; empty when they are not, or nothing was measured."""
    if record.status != "ok" or (expected := _expected(references, record.entry)) is None:
        return ""
    share = len(references.parts(0, 0)["retain"]) / references.track.splits.retain
    return _reason("shadow", record.cpu_seconds, expected, share)


def of_swaps(references: References, entry: str) -> str:
    """The same of the swapped units of an entry (by its id)."""
    if (expected := _expected(references, entry)) is None:
        return ""
    return _reason("swapped", swap_units.cpu_seconds(references, entry), expected, 1.0)


def _reason(kind: str, own: float | None, expected: float, share: float) -> str:
    if own is None or (ratio := own / share / max(expected, LEAST)) <= LIMIT:
        return ""
    scaled = "" if share == 1 else f", {own / share:.2f} s for as many examples"
    return f"a {kind} unit takes {own:.2f} CPU s{scaled}, a timed one {expected:.2f} s: {ratio:.1f} times"


def measured(references: References, entry: str) -> dict[str, float | None]:
    """CPU seconds of the yardstick's units of an entry (by its id), by seed."""
    return {seed: document["cpu_seconds"] for seed, document in references.store.all(_folder(references, entry))}


def keep(references: References, entry: str, seconds: Mapping[str, float | None]) -> None:
    """Keep what :func:`measured` gave in another store."""
    for seed, value in seconds.items():
        references.store.write(_folder(references, entry), seed, {"cpu_seconds": value})


def _expected(references: References, entry: str) -> float | None:
    known = [seconds for seconds in measured(references, entry).values() if seconds is not None]
    return float(np.mean(known)) if known else None


def _folder(references: References, entry: str) -> str:
    return f"probe-units/{units.place(references.track)}/{entry}"
