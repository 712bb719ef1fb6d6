"""Templates of the pages: Jinja with escaping, and the filters for numbers."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import jinja2

from unlearn_bench.harness.report.site.contract import Site
from unlearn_bench.harness.report.site.page_data import Number
from unlearn_bench.scoring.metric import Metric


def render(site: Site, template: str, root: str = "", **content: object) -> str:
    """HTML from a file of ``site/templates``; ``root``: path from the page's folder to that of the site."""
    return _environment().get_template(template).render(root=root, links=site.links, **content)


def render_text(site: Site, template: str, root: str = "", **content: object) -> str:
    """HTML from a template's text, which may extend ``base.html``."""
    return _environment().from_string(template).render(root=root, links=site.links, **content)


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"fixed": _fixed, "interval": _interval, "sig": _sig, "order": _order}
    return environment


def _fixed(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _interval(number: Number, metric: Metric) -> str:
    """``0.079 ± 0.034``; of a ratio and of an accuracy with an interval of its own the two ends."""
    digits = metric.digits
    ends = f"{number.low:.{digits}f}–{number.high:.{digits}f}"
    if metric.ratio:
        return f"{number.mean:.{digits}f}×" + (f" ({ends})" if number.half else "")
    if metric.reads in ("shadows", "panel"):
        return f"{number.mean:.{digits}f} ({ends})"
    return f"{number.mean:.{digits}f}" + (f" ± {number.half:.{digits}f}" if number.half else "")


def _sig(value: float) -> str:
    return f"{value:.6g}"


def _order(counts: tuple[int, ...]) -> int:
    """One number that orders counts of G1, then G2, then G3."""
    return counts[0] * 10_000 + counts[1] * 100 + counts[2]
