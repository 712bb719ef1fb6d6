"""Templates of the pages: Jinja with escaping, and the filters for numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import metadata
from pathlib import Path

import jinja2
from markupsafe import Markup

from unlearn_bench.harness.report.site.contract import Site
from unlearn_bench.harness.report.site.page_data import Number
from unlearn_bench.scoring.metric import Metric


def render(site: Site, template: str, root: str = "", **content: object) -> str:
    """HTML from a file of ``site/templates``; ``root``: path from the page's folder to that of the site."""
    return _environment().get_template(template).render(root=root, links=site.links, addresses=addresses(), **content)


def render_text(site: Site, template: str, root: str = "", **content: object) -> str:
    """HTML from a template's text, which may extend ``base.html``."""
    return _environment().from_string(template).render(root=root, links=site.links, addresses=addresses(), **content)


@cache
def addresses() -> tuple[tuple[str, str], ...]:
    """Return the addresses that the distribution names, such as its repository, with their titles."""
    lines = metadata("unlearn-bench").get_all("Project-URL") or []
    pairs = [tuple(part.strip() for part in line.split(",", 1)) for line in lines]
    return tuple((title, address) for title, address in pairs if address.startswith("https://"))


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        auto_reload=False,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"fixed": _fixed, "cells": _cells, "middle": _middle, "ends": _ends}
    return environment


def _fixed(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _cells(values: Mapping[str, float | None], columns: Iterable[tuple[str, str, int]]) -> Markup:
    """Cells of one row with the numbers of ``columns``: key, label and digits; one by one they take a page's time."""
    return Markup("".join(f"<td>{_fixed(values[key], digits)}</td>" for key, _, digits in columns))


def _middle(number: Number, metric: Metric) -> str:
    """``0.079``, or a ratio as ``1.7×``."""
    return f"{number.mean:.{metric.digits}f}" + ("×" if metric.ratio else "")


def _ends(number: Number, metric: Metric) -> str:
    """``± 0.034``; both ends where the interval is not symmetric; nothing without an interval."""
    digits = metric.digits
    if not number.half:
        return ""
    if metric.reads in ("shadows", "panel") or metric.ratio:
        return f"({number.low:.{digits}f}–{number.high:.{digits}f})"
    return f"± {number.half:.{digits}f}"
