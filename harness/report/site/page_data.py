"""What is on the pages: frozen values, made from boards and records; numbers stay numbers, text stays plain text."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import pandas as pd

from unlearn_bench.harness.entries.entry import NAME
from unlearn_bench.harness.report.methods import Method
from unlearn_bench.harness.results.curves import Curves
from unlearn_bench.harness.results.relearning import RelearningCurve
from unlearn_bench.harness.support.text import visible
from unlearn_bench.scoring.forgetting import Share
from unlearn_bench.scoring.metric import Metric

LETTERS = ("G1", "G2", "G3", "F")
Part = Literal["ranked", "unranked", "reference"]


@dataclass(frozen=True)
class Number:
    """A mean with its 95 % interval."""

    mean: float
    low: float
    high: float

    @property
    def half(self) -> float:
        """Half of the interval: what follows the ±."""
        return (self.high - self.low) / 2


@dataclass(frozen=True)
class Position:
    """The places that a row shares, from the first to the last, and their range over resampled seeds."""

    first: int
    last: int
    low: int
    high: int

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}–{self.last}"

    @property
    def range(self) -> str:
        """The places in 95 % of the resamples."""
        return str(self.low) if self.low == self.high else f"{self.low}–{self.high}"


@dataclass(frozen=True)
class Row:
    """One method on one board."""

    name: str
    slug: str
    link: str
    """Page of the entry, relative to the board's; empty where it has none."""
    part: Part
    state: str
    reason: str
    badge: str
    position: Position | None
    method: Method
    """What it is called, and where it was published."""
    verdict: str
    """What its numbers say in words; empty on a board over several tracks."""
    leaks: bool
    """Whether it reads like Original."""
    values: Mapping[str, Number]
    """By metric, where known; over several tracks without intervals (low = high = mean)."""
    groups: Mapping[str, str]
    """Metric → G1, G2, G3 or F; of a board over several tracks empty."""
    counts: Mapping[str, tuple[int, int, int, int]]
    """Over several tracks: metric → in how many of them the row is G1, G2, G3, F."""
    spread: tuple[float, ...] | None = None
    """Standard deviations over the seeds, of the metrics that declare a spread."""
    seeds_ok: int = 0
    seeds_total: int = 0
    inconsistent: str = ""
    provisional: str = ""
    """What has not looked at it although it has looked at others."""
    unconverged: bool = False
    """Whether its search for hyper-parameters has not converged."""
    attack: str = ""
    """The attack that finds most."""
    hardware: str = ""
    date: str = ""
    cells: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """Track and metric → group, for the map of groups."""
    seeds: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Metric → values of the finished seeds."""


@dataclass(frozen=True)
class Board:
    """One page with a board."""

    slug: str
    title: str
    about: str
    """What it is a board of."""
    family: str
    """Under which heading it stands in the list of boards."""
    tracks: tuple[str, ...]
    rows: tuple[Row, ...]
    facts: tuple[tuple[str, str], ...] = ()
    null: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    corruption: str = ""
    """Of the training data of its track; empty where that is clean."""
    headline: str = ""
    """Which method to take, and why."""
    scales: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Metric → what the null and Original read, where they differ: the ends of the bars in its cells."""
    competition: tuple[tuple[str, str, str], ...] = ()
    """What there is to know of a competition: a word, a text, and where that leads, or nothing."""

    @property
    def single(self) -> bool:
        """Whether it is the board of one track."""
        return len(self.tracks) == 1

    @cached_property
    def attacked(self) -> bool:
        """Whether any row ran U-LiRA."""
        return any("ulira" in row.values for row in self.rows)

    def part(self, part: Part) -> tuple[Row, ...]:
        """Return the rows of one part, in order."""
        return tuple(row for row in self.rows if row.part == part)

    def values(self, name: str) -> tuple[str, ...]:
        """Return what a field of every row says, for a facet."""
        return tuple(str(getattr(row, name)) for row in self.rows)


@dataclass(frozen=True)
class Seed:
    """One seed unit of an entry."""

    seed: int
    status: str
    numbers: Mapping[str, float | None]
    reason: str
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Compared:
    """A number of an entry beside the same of the reference rows; ``None`` where one of them has none."""

    metric: Metric
    number: Number
    retrain: float | None
    null: float | None
    original: float | None


@dataclass(frozen=True)
class EntryPage:
    """One entry on one track."""

    slug: str
    row: Row
    track: str
    track_title: str
    board: str
    """Slug of the track's board."""
    kind: str
    title: str
    sealed: bool
    """Whether what follows ``numbers`` is left out."""
    statuses: Mapping[str, int]
    attack_numbers: tuple[tuple[str, str, float, float | None, float], ...]
    """Attack, number, value, null where there is one, Original."""
    numbers: tuple[Compared, ...]
    shares: tuple[Share, ...] = ()
    """What every attack and probe finds, from the null to Original."""
    corruption: str = ""
    """Of the track's training data; empty where that is clean."""
    summary: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)
    parameters: tuple[tuple[str, str, str, str], ...] = ()
    """Name, value, default, what was searched."""
    search: Mapping[str, str] = field(default_factory=dict)
    """The tuning budget and what it cost; empty without a search."""
    seeds: tuple[Seed, ...] = ()
    relearning: Mapping[str, RelearningCurve] = field(default_factory=dict)
    """Of the entry and of the reference rows, by name; empty where the probe has not looked at it."""
    curves: Mapping[str, Curves] = field(default_factory=dict)
    """``own``, ``original``, ``retrained``; empty where no logits are here."""
    shadows: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    log: str = ""
    source: str = ""
    """Empty where the source is not stored."""
    notes: tuple[str, ...] = ()
    """What a reviewer should look at in the source."""
    command: str = ""


def slug(name: str) -> str:
    """Return a file name for a name that anybody may have chosen."""
    if NAME.fullmatch(name):
        return name
    return f"entry-{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def plain(text: object, limit: int | None = None) -> str:
    """Text that shows everything in it: control and direction characters become visible; the last ``limit`` ones."""
    shown = str(text)
    if limit is not None and len(shown) > limit:
        shown = f"[… {len(shown) - limit} characters before]\n{shown[-limit:]}"
    return visible(shown)


def position(row: Mapping[str, Any]) -> Position | None:
    """Return the position of a board's row with its range; ``None`` where it has none."""
    if pd.isna(row["position"]):
        return None
    return Position(*(int(row[f"position{end}"]) for end in ("", "_last", "_low", "_high")))


def number(row: Mapping[str, Any], name: str) -> Number | None:
    """Return a value of a board's row; ``None`` where it is not known."""
    mean = float(row.get(name, math.nan))
    if math.isnan(mean):
        return None
    low, high = (float(row.get(f"{name}_{end}", mean)) for end in ("low", "high"))
    return Number(mean, mean if math.isnan(low) else low, mean if math.isnan(high) else high)
