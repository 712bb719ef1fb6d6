"""What attacks read, as text: of one entry, of all entries, and of the cheap gate before U-LiRA."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from unlearn_bench.harness.report.cells import NONE, number, shortened
from unlearn_bench.harness.results.attack_panel import AttackNumber
from unlearn_bench.scoring.gate import GateResult
from unlearn_bench.scoring.intervals import mean_interval
from unlearn_bench.scoring.panel import load


def gate(readings: Sequence[GateResult], ran: bool) -> str:
    """Return two lines: what the cheap attacks read, and whether U-LiRA is worth its cost."""
    names = {result.attack: load(result.attack).title for result in readings}
    numbers = [f"{names[result.attack]} {number(result.value, 3)} ({number(result.null, 3)})" for result in readings]
    caught = [names[result.attack] for result in readings if result.caught]
    if caught:
        outcome = f"caught by {' and '.join(caught)}" + ("" if ran else ": U-LiRA would only confirm it")
    else:
        outcome = "passed" + ("" if ran else ": U-LiRA is worth its cost (--lira)")
    return f"cheap attacks (null): {', '.join(numbers)}\n{outcome}"


def attack(title: str, rows: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """Return an attack's numbers by entry: mean over the seeds with its 95 % interval; reference models last."""
    reference_names = ("original", "retrain", "clean", "null")
    entries = [
        *(name for name in rows if name not in reference_names),
        *(name for name in reference_names if name in rows),
    ]
    names = list(next(iter(rows.values()), [{}])[0])
    lines = [title, f"{'entry':<18}" + "".join(f"{name:>20}" for name in names)]
    for entry in entries:
        cells = []
        for name in names:
            interval = mean_interval([numbers[name] for numbers in rows[entry]])
            spread = f" ± {interval.half_width:.3f}" if interval.n > 1 else ""
            cells.append(f"{interval.mean:.3f}{spread}")
        lines.append(f"{shortened(entry, 18):<18}" + "".join(f"{cell:>20}" for cell in cells))
    lines.append("null: a second retrained model; for shadow models retrain, against its partner splits")
    return "\n".join(lines)


def panel(attack_numbers: Sequence[AttackNumber]) -> str:
    """Return every attack's numbers on an entry beside the null and Original."""
    lines = [f"{'attack':<20}{'number':<24}{'entry':>9}{'null':>11}{'Original':>10}"]
    previous = ""
    for reading in attack_numbers:
        name = "" if reading.attack == previous else reading.attack
        previous = reading.attack
        null = NONE if reading.null is None else f"{reading.null:.3f}"
        lines.append(f"{name:<20}{reading.number:<24}{reading.value:>9.3f}{null:>11}{reading.original:>10.3f}")
    lines.append("null: retrained models; collateral: U-LiRA on retained examples, Original is before unlearning")
    return "\n".join(lines)
