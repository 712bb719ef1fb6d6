"""Sets of results side by side, as text: entries, public and fresh seeds, a unit and its rerun."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from unlearn_bench.harness.report.cells import NONE, shortened
from unlearn_bench.scoring.metric_table import metric_named
from unlearn_bench.scoring.paired import PairedDifference

if TYPE_CHECKING:
    from unlearn_bench.harness.results.comparison import PairedTest
    from unlearn_bench.harness.results.verification import RerunDifference
    from unlearn_bench.harness.units.records import Record
    from unlearn_bench.scoring.unpaired import UnpairedDifference  # whose scipy.stats takes longer than a board


BETTER = {"low": ": low is better", "high": ": high is better", None: ""}


def comparison(a: str, b: str, differences: Sequence[PairedDifference]) -> str:
    """Return the paired differences of two entries; ``*`` where the interval excludes equality."""
    width = max(8, *(len(metric_named(difference.metric).title) + 1 for difference in differences))
    lines = [f"{'':<{width}}{shortened(a, 16):>16}{shortened(b, 16):>16}{'difference':>26}"]
    for difference in differences:
        digits, change = _digits(difference), _change(difference)
        values = f"{difference.a:>16.{digits}f}{difference.b:>16.{digits}f}"
        title = f"{metric_named(difference.metric).title:<{width}}"
        lines.append(f"{title}{values}{change:>26} {'*' if difference.clear else ' '} n = {difference.change.n}")
    lines.append(
        "* the interval of the paired difference excludes equality; all of them together hold in 95 % of cases;\n"
        "n seeds (U-LiRA: pairs of splits)"
    )
    return "\n".join(line.rstrip() for line in lines)


def tests(made: Sequence[PairedTest]) -> str:
    """Return paired tests, metric by metric, each with the entry that is better after Holm's correction."""
    names = max(len(f"{test.a} – {test.b}") for test in made)
    tracks = max(len(test.track) for test in made)
    lines = []
    for name, of_metric in groupby(made, key=lambda test: test.metric):
        metric = metric_named(name)
        lines.append(f"{metric.title}{BETTER[metric.better]}")
        for test in of_metric:
            digits = _digits(test.difference)
            values = f"{test.difference.a:>10.{digits}f}{test.difference.b:>10.{digits}f}"
            pair = f"{test.a} – {test.b}"
            p = f"{'p ' + _p(test.p_holm):>10}  {test.better}"
            lines.append(f"  {test.track:<{tracks}}  {pair:<{names}}{values}{_change(test.difference):>26}{p}")
        lines.append("")
    lines.append(
        "means, paired difference with its own 95 % interval, p of a paired t-test over the seeds (U-LiRA: pairs of\n"
        f"splits), adjusted for all {len(made)} tests (Holm), and the entry that is better where p is below .05"
    )
    return "\n".join(line.rstrip() for line in lines)


def tests_document(made: Sequence[PairedTest]) -> str:
    """Return paired tests as JSON; a p-value that does not exist is null."""
    documents = [{**dataclasses.asdict(test), "p": _or_null(test.p), "p_holm": _or_null(test.p_holm)} for test in made]
    return json.dumps({"tests": documents}, indent=1)


def _or_null(value: float) -> float | None:
    return None if math.isnan(value) else value


def _p(value: float) -> str:
    if math.isnan(value):
        return NONE
    return "< .001" if value < 0.001 else f"{value:.3f}".lstrip("0") if value < 0.9995 else "1"


def _digits(difference: PairedDifference) -> int:
    return 3 if difference.ratio else metric_named(difference.metric).digits


def _change(difference: PairedDifference) -> str:
    change = difference.change
    if difference.ratio:
        return f"× {change.mean:.2f} ({change.low:.2f} to {change.high:.2f})"
    digits = _digits(difference)
    return f"{change.mean:+.{digits}f}" + (f" ± {change.half_width:.{digits}f}" if change.n > 1 else "")


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
        lines.append(f"null of {metric_named(name).title} (a second retrained model): {null_text}")
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
