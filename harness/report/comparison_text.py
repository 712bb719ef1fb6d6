"""Two sets of results side by side, as text: two entries, public and fresh seeds, a unit and its rerun."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from unlearn_bench.harness.report.cells import NONE, shortened
from unlearn_bench.scoring.metric_table import metric_named
from unlearn_bench.scoring.paired import PairedDifference

if TYPE_CHECKING:
    from unlearn_bench.harness.results.verification import RerunDifference
    from unlearn_bench.harness.units.records import Record
    from unlearn_bench.scoring.unpaired import UnpairedDifference  # whose scipy.stats takes longer than a board


def comparison(a: str, b: str, differences: Sequence[PairedDifference]) -> str:
    """Return the paired differences of two entries; ``*`` where the interval excludes equality."""
    width = max(8, *(len(metric_named(difference.metric).title) + 1 for difference in differences))
    lines = [f"{'':<{width}}{shortened(a, 16):>16}{shortened(b, 16):>16}{'difference':>26}"]
    for difference in differences:
        digits = 3 if difference.ratio else metric_named(difference.metric).digits
        if difference.ratio:
            change = f"× {difference.change.mean:.2f} ({difference.change.low:.2f} to {difference.change.high:.2f})"
        else:
            change = f"{difference.change.mean:+.{digits}f} ± {difference.change.half_width:.{digits}f}"
        values = f"{difference.a:>16.{digits}f}{difference.b:>16.{digits}f}"
        title = f"{metric_named(difference.metric).title:<{width}}"
        lines.append(f"{title}{values}{change:>26} {'*' if difference.clear else ' '} n = {difference.change.n}")
    lines.append(
        "* the interval of the paired difference excludes equality; all of them together hold in 95 % of cases;\n"
        "n seeds (U-LiRA: pairs of splits)"
    )
    return "\n".join(line.rstrip() for line in lines)


def audit(
    entry: str, changes: Sequence[UnpairedDifference], fitted: Sequence[str], nulls: Mapping[str, tuple[float, float]]
) -> str:
    """Compare an entry on public and fresh seeds, with the verdict; ``*`` where the public ones are clearly better."""
    lines = [f"{shortened(entry, 16):<16}{'public seeds':>18}{'fresh seeds':>18}{'public against fresh':>30}"]
    for change in changes:
        means = [f"{side.mean:.3f} ± {side.half_width:.3f}" for side in (change.public, change.fresh)]
        middle = f"× {change.mean:.3f}" if change.ratio else f"{change.mean:+.3f}"
        change_text = f"{middle} ({change.low:.3f} to {change.high:.3f})"
        title = metric_named(change.metric).title
        star = " *" if change.metric in fitted else ""
        lines.append(f"{title:<16}{means[0]:>18}{means[1]:>18}{change_text:>30}{star}")
    for name, (public, fresh) in nulls.items():
        null_text = f"{public:.3f} public, {fresh:.3f} fresh"
        lines.append(f"zero line of {metric_named(name).title} (a second retrained model): {null_text}")
    sizes = f"{changes[0].public.n} against {changes[0].fresh.n}"
    if fitted:
        better = " and ".join(metric_named(name).title for name in fitted)
        lines.append(f"verdict: FITTED: {better} significantly better on the public seeds ({sizes})")
    else:
        lines.append(f"verdict: no sign of fitting: nothing ranked is clearly better on the public seeds ({sizes})")
    return "\n".join(lines)


def verification(record: Record, again: Record, differences: Sequence[RerunDifference]) -> str:
    """Return one unit's numbers, published and again: those not judged in brackets, ``*`` where one moved too far."""
    places = [str(unit.environment.get("backend", "?")) for unit in (record, again)]
    lines = [
        f"{record.name}, seed {record.seed}: published {record.date} ({places[0]}), again {again.date} ({places[1]})",
        f"{'':<8}{'published':>12}{'again':>12}{'difference':>14}{'limit':>12}",
    ]
    for difference in differences:
        ratio = difference.metric == "seconds"
        before, now, most = difference.published, difference.again, difference.limit
        change = f"× {now / before:.2f}" if ratio else f"{now - before:+.4f}"
        limit = NONE if math.isnan(most) else f"{'× ' if ratio else ''}{most:.{2 if ratio else 4}f}"
        limit = limit if difference.judged else "(elsewhere)"
        name = difference.metric if ratio else metric_named(difference.metric).title
        star = " *" if difference.exceeds else ""
        lines.append(f"{name:<8}{before:>12.4f}{now:>12.4f}{change:>14}{limit:>12}{star}")
    return "\n".join(lines)
