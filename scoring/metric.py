"""What a metric declares: the one place that says how its number is made, averaged, compared, printed and shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

Place = Literal[
    "table",
    "wide table",
    "markdown",
    "board page",
    "entry page",
    "seeds page",
    "show",
    "compare",
    "audit",
    "verify",
    "latex",
]
"""Where a metric may be shown. ``table``: the terminal's table, ``wide table``: there too on wide terminals,
``board page`` and ``entry page``: means on the site, ``seeds page``: each unit on an entry's page, ``show``: each unit
in ``bench show``, ``latex``: the table for a paper, which also has those of ``table``, the others: the commands of
these names. CSV, JSON and Parquet have every metric."""
PLACES: tuple[Place, ...] = get_args(Place)
EVERYWHERE: frozenset[Place] = frozenset(PLACES) - {"wide table", "latex"}
Part = Literal["retain", "forget", "val", "test"]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One number of an entry. A file of ``scoring/metrics`` declares it, and everything that shows numbers asks for it.

    Raises:
        ValueError: the declaration contradicts itself; names the metric.
    """

    name: str
    """Its column in CSV, JSON and Parquet, and its key in stored scores."""
    title: str
    """What people read."""
    meaning: str
    """A noun phrase for the documentation of the columns, without the averaging."""
    reads: Literal["model", "run", "shadows", "panel"] = "model"
    """What one value is taken from: an unlearned model, the times of its run, all shadow models of an entry, or all
    attacks that ran on it. Of these, ``scoring.forgetting`` computes the only metric."""
    compute: Callable[[Any], float | None] | None = None
    """One value from :class:`scoring.evidence.ModelEvidence`, or from a :class:`Run`; ``None`` where it is unknown."""
    attack: tuple[str, str] | None = None
    """In the place of ``compute``: an attack of the panel and the one of its numbers that the metric is."""
    better: Literal["low", "high"] | None = None
    """Which end is best; ``None`` where neither is."""
    scale: Literal["linear", "log"] = "linear"
    """``log``, for ratios: averaged geometrically, clustered by its logarithm and compared by quotients."""
    digits: int = 3
    """Decimal places of a mean."""
    unit_digits: int | None = None
    """Decimal places of the value of one unit; ``None`` for ``digits``."""
    spread: bool = False
    """Whether the standard deviation over the seeds is a column of its own."""
    ranked: bool = False
    """Whether entries are put into groups by it that count for their position."""
    in_words: tuple[str, str, str] = ("the best group", "the middle group", "the last group")
    """What G1, G2 and G3 mean, for the verdict on an entry."""
    paper_ranked: bool = False
    """Whether the paper ranks by it: its rank is a column of its own."""
    null: bool = True
    """Whether boards state its value between two retrained models."""
    required: bool = False
    """Whether stored scores without it are damaged. A metric that is declared later is not required: where a seed has
    no value of it, the mean is unknown."""
    parts: tuple[Part, ...] = ()
    """Parts of the data whose examples it counts: a few of them may change sides when a unit is run again."""
    corruptions: frozenset[str] = frozenset()
    """Kinds of corrupted training data that it is about: it is computed and shown only on tracks that have one of them,
    and unknown elsewhere. Empty: it is on every track."""
    shown: frozenset[Place] = EVERYWHERE
    heading: str = ""
    """A shorter title for the terminal's table."""
    hint: str = ""
    """A sentence for the board pages; empty for ``meaning``."""

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise ValueError(f"metric {self.name!r}: its name is a column, so it must be an identifier")
        if (self.compute is None) == (self.attack is None) and self.reads != "panel":
            raise ValueError(f"metric {self.name}: declare either compute or attack")
        if self.attack is not None and self.reads == "run":
            raise ValueError(f"metric {self.name}: attacks do not read runs")
        if self.attack is None and self.reads == "shadows":
            raise ValueError(f"metric {self.name}: what reads shadow models is the number of an attack")
        if self.corruptions and (self.required or self.ranked or self.paper_ranked):
            raise ValueError(f"metric {self.name}: what only some tracks have can be neither required nor ranked")
        if unknown := sorted(self.shown - set(PLACES)):
            allowed = ", ".join(PLACES)
            raise ValueError(f"metric {self.name}: no place is called {', '.join(unknown)}; places are {allowed}")

    def __hash__(self) -> int:
        return hash(self.name)

    def applies(self, corruption: str) -> bool:
        """Return whether a track has it whose training data is corrupted in this way (empty: not at all)."""
        return not self.corruptions or corruption in self.corruptions

    @property
    def ratio(self) -> bool:
        """Whether two values are compared by their quotient."""
        return self.scale == "log"

    @property
    def averaging(self) -> str:
        """How the values of an entry become one, in words."""
        if self.reads == "shadows":
            return "mean over pairs of shadow splits"
        if self.reads == "panel":
            return "worst of all attacks"
        return "geometric mean over the seeds" if self.ratio else "mean over the seeds"
