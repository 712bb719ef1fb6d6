"""Columns of the tables on the pages: heading, which end is best, and what stands there."""

from __future__ import annotations

HEADS = {
    "rank": ("Rank", "low", "Rank over RetDev, Indisc and RTE, with its range when the seeds are drawn again"),
    "lira-rank": ("+LiRA", "low", "Rank with U-LiRA as a fourth metric"),
    "method": ("Method", "low", "Name of the entry; its page has everything that is known of it"),
    "retdev": (
        "RetDev",
        "low",
        "|RR−1| + |FR−1| + |TR−1|: how far the accuracies on R, F and T are from Retrain’s; 0 is best",
    ),
    "indisc": (
        "Indisc",
        "high",
        "1 − |2·U-MIA − 1|: how little an attack on losses tells F from unseen data; 1 is best",
    ),
    "ulira": ("U-LiRA", "low", "Accuracy of an attack per example: forgotten, or never seen? .5 is chance and best"),
    "rte": ("RTE", "high", "Run time efficiency: Retrain’s time over the method’s; geometric mean and interval"),
    "spread": (
        "Spread",
        "low",
        "Reliability: standard deviation over the seeds of RetDev / Indisc; sorted by the larger one",
    ),
    "seeds": ("Seeds", "high", "Seeds that ended ok, of those that the track wants"),
    "g-retdev": (
        "RetDev G1·G2·G3·F",
        "high",
        "On how many tracks it is in which group by RetDev; sorted by G1, then G2, then G3",
    ),
    "g-indisc": ("Indisc G1·G2·G3·F", "high", "The same by Indisc"),
    "g-rte": ("RTE G1·G2·G3·F", "high", "The same by RTE"),
    "badge": ("Badge", "low", "Who vouches for the row"),
    "hardware": ("Hardware", "low", "Class of machine that timed it: RTE is a ratio within one machine"),
    "date": ("Date", "high", "Day of the newest unit"),
}
"""Key → heading, direction of a first click, meaning."""
SINGLE = (
    "rank",
    "lira-rank",
    "method",
    "retdev",
    "indisc",
    "ulira",
    "rte",
    "spread",
    "seeds",
    "badge",
    "hardware",
    "date",
)
SEVERAL = ("rank", "lira-rank", "method", "g-retdev", "g-indisc", "g-rte", "retdev", "indisc", "rte", "badge")
SEEDS = (
    ("retdev", "RetDev", 3),
    ("indisc", "Indisc", 3),
    ("umia", "U-MIA", 3),
    ("ra", "RA", 3),
    ("fa", "FA", 3),
    ("va", "VA", 3),
    ("ta", "TA", 3),
    ("seconds", "wall s", 2),
    ("cpu_seconds", "CPU s", 2),
    ("rte", "RTE", 2),
    ("peak_mib", "peak MiB", 0),
)
"""Of a unit: number, heading, digits."""
