"""The table of metrics: every declaration in ``scoring/metrics``, found by folder, and those of installed packages."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from functools import cache
from typing import Any

from unlearn_bench import plugins
from unlearn_bench.scoring import metrics as folder
from unlearn_bench.scoring.metric import Metric, Place

_ORDER = ("model", "run", "shadows", "panel")


@cache
def metrics() -> tuple[Metric, ...]:
    """All metrics in the order of the columns: by what they read, by file, and as they stand in the file.

    Raises:
        ValueError: a file or an installed package has no ``METRICS``, two metrics have one name, or a package's
            metric would count for positions, which must be the same wherever a board is made.
    """
    by_name: dict[str, Metric] = {}
    place_of: dict[str, str] = {}
    modules = sorted(module.name for module in pkgutil.iter_modules(folder.__path__))
    places: dict[str, Any] = {
        f"scoring/metrics/{name}.py": importlib.import_module(f"{folder.__name__}.{name}") for name in modules
    }
    added = {f"the installed metrics {name!r}": plugins.load("metrics", name) for name in plugins.names("metrics")}
    for place, module in (places | added).items():
        declared = getattr(module, "METRICS", None)
        if not isinstance(declared, tuple) or not all(isinstance(each, Metric) for each in declared):
            raise ValueError(f"{place} must define METRICS, a tuple of Metric")
        for metric in declared:
            if metric.name in by_name:
                raise ValueError(f"{metric.name} is declared in {place_of[metric.name]} and in {place}")
            if place in added and (metric.ranked or metric.paper_ranked or metric.required):
                raise ValueError(f"{metric.name} of {place} must be neither ranked, nor paper_ranked, nor required")
            by_name[metric.name], place_of[metric.name] = metric, place
    return tuple(sorted(by_name.values(), key=lambda metric: _ORDER.index(metric.reads)))


def metric_named(name: str) -> Metric:
    """Return the metric of this name.

    Raises:
        ValueError: there is none; says which there are and how to add one.
    """
    for each in metrics():
        if each.name == name:
            return each
    allowed = ", ".join(each.name for each in metrics())
    raise ValueError(f"no metric is called {name!r}; there are {allowed}. A new one is a file in scoring/metrics")


def per_seed() -> tuple[Metric, ...]:
    """Metrics that every seed of an entry has a value of, in the order of the columns."""
    return tuple(each for each in metrics() if each.reads in ("model", "run"))


@cache
def of_any_model() -> tuple[Metric, ...]:
    """Metrics of one unlearned model, those of tracks with corrupted training data included."""
    return tuple(each for each in metrics() if each.reads == "model")


@cache
def of_models(corruption: str = "") -> tuple[Metric, ...]:
    """Metrics of one unlearned model, in the order of the columns.

    ``corruption``: the kind of corruption of the track's training data, see ``Metric.corruptions``.
    """
    return tuple(each for each in of_any_model() if each.applies(corruption))


@cache
def by_weight() -> tuple[Metric, ...]:
    """All metrics in the order for people: the ranked ones, attacks, the rest."""

    def weight(metric: Metric) -> tuple[int, int]:
        if metric.ranked:
            return 0, ("model", "panel", "run").index(metric.reads)
        return 1 if metric.attack is not None else 2, _ORDER.index(metric.reads)

    return tuple(sorted(metrics(), key=weight))


@cache
def shown(place: Place, corruption: str = "") -> tuple[Metric, ...]:
    """Metrics that are shown in this place, in the order for people; ``corruption`` as in :func:`of_models`."""
    return tuple(each for each in by_weight() if place in each.shown and each.applies(corruption))


def grouped() -> tuple[Metric, ...]:
    """Metrics by which entries are put into groups: those of the position, and those that the paper ranks by."""
    return tuple(each for each in by_weight() if each.ranked or each.paper_ranked)


def ranked() -> tuple[Metric, ...]:
    """Metrics of the position: retention, forgetting and speed."""
    return tuple(each for each in by_weight() if each.ranked)


def judged() -> tuple[Metric, ...]:
    """Return the grouped metrics that every seed has a value of, quality before cost: what audits judge."""
    by_seed = (each for each in grouped() if each.reads in ("model", "run"))
    return tuple(sorted(by_seed, key=lambda each: each.reads == "run"))


def paper_ranked() -> tuple[Metric, ...]:
    """Metrics that the paper ranks by."""
    return tuple(each for each in by_weight() if each.paper_ranked)


def leading(place: Place) -> tuple[Metric, ...]:
    """Return the metrics of the position that are shown in this place, quality before cost."""
    return tuple(each for each in shown(place) if each.ranked)


def titles(chosen: Sequence[Metric]) -> str:
    """``RetDev, Indisc and RTE``."""
    *first, last = (each.title for each in chosen)
    return f"{', '.join(first)} and {last}" if first else last
