"""Search spaces: how Optuna draws what an entry declares in ``SEARCH_SPACE``, and which points a search begins with.

The rules are ``("uniform", low, high)``; ``("log", low, high)``; ``("rate", low, high)``, a learning rate,
log-uniform; ``("1-log", low, high)``, one minus a log-uniform draw; ``("int", low, high)``; ``("choice", values)``.
The bound ``"max_epochs"`` stands for the track's number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from unlearn_bench.harness.tracks.specification import Track

if TYPE_CHECKING:
    import optuna

PUBLISHED_RETAIN = 38_250
"""|R| of CIFAR-10 in the paper's splits, for which most methods' learning rates were published."""
SCREENED = (0.0, 0.25, 0.5, 0.75, 1.0)
"""A search first multiplies the published rates by these powers of how many times fewer steps an epoch has."""


def draw(trial: optuna.Trial, space: Mapping[str, Any], track: Track) -> dict[str, Any]:
    """Draw every parameter of a search space; return their values as ``unlearn`` takes them."""
    for name, rule in space.items():
        ends = _ends(rule, track)
        if rule[0] == "choice":
            trial.suggest_categorical(name, list(ends[0]))
        elif rule[0] == "int":
            trial.suggest_int(name, *ends)
        else:
            trial.suggest_float(name, *ends, log=rule[0] != "uniform")
    return values(trial.params, space)


def values(drawn: Mapping[str, Any], space: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters as ``unlearn`` takes them from what Optuna keeps of a trial."""
    return {name: 1 - value if space[name][0] == "1-log" else value for name, value in drawn.items()}


def first_points(space: Mapping[str, Any], defaults: Mapping[str, Any], track: Track) -> list[dict[str, Any]]:
    """Return the points that a search tries first, as Optuna keeps them.

    They screen the learning rates: the defaults, and the defaults with all rates multiplied by powers of how many times
    fewer steps an epoch has here than where the rates were published, up to the same product of rate and steps.
    A default that the space does not contain counts as the nearest value that it does.
    """
    ratio = max(1.0, PUBLISHED_RETAIN / track.splits.retain)
    points: list[dict[str, Any]] = []
    for power in SCREENED:
        scaled = {n: defaults[n] * ratio**power if rule[0] == "rate" else defaults[n] for n, rule in space.items()}
        point = {name: _nearest(value, space[name], track) for name, value in scaled.items()}
        if point not in points:
            points.append(point)
    return points


def in_words(rule: Any, max_epochs: int) -> str:
    """Return a rule for people: the ends of the range, and its scale."""
    kind, *ends = rule if isinstance(rule, list | tuple) and rule else (rule,)
    ends = [max_epochs if end == "max_epochs" else end for end in ends]
    if kind == "1-log" and len(ends) == 2:
        return f"{1 - ends[1]:g} to {1 - ends[0]:g}, log scale of the distance to 1"
    if kind in ("log", "rate", "int", "uniform") and len(ends) == 2:
        return f"{ends[0]} to {ends[1]}" + (", log scale" if kind in ("log", "rate") else "")
    if kind == "choice" and ends and isinstance(ends[0], list | tuple):
        return "one of " + ", ".join(map(str, ends[0]))
    return str(rule)


def _ends(rule: Sequence[Any], track: Track) -> list[Any]:
    return [track.analysis.max_epochs if end == "max_epochs" else end for end in rule[1:]]


def _nearest(value: Any, rule: Sequence[Any], track: Track) -> Any:
    ends = _ends(rule, track)
    if rule[0] == "choice":
        numeric = all(isinstance(each, int | float) for each in (value, *ends[0]))
        return min(ends[0], key=lambda each: abs(each - value)) if numeric else value
    low, high = ends
    return min(max(1 - value if rule[0] == "1-log" else value, low), high)
