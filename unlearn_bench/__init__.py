"""unlearn-bench as a library: a submission harness and leaderboard for machine unlearning of image classifiers.

>>> import unlearn_bench as ub
>>> ub.board("digits-resnet18")[["entry", "position", "retdev"]]

The functions are those of :mod:`unlearn_bench.harness.api`, imported when they are used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unlearn_bench.harness.api import (
        BenchError,
        RunOptions,
        attack,
        audit,
        board,
        check,
        compare,
        curves,
        evaluate,
        export,
        load_track,
        plot,
        prepare,
        promote,
        references,
        rescore,
        run_baselines,
        score,
        seed_rows,
        show,
        tracks,
        tune,
        verify,
    )

__all__ = [
    "BenchError",
    "RunOptions",
    "attack",
    "audit",
    "board",
    "check",
    "compare",
    "curves",
    "evaluate",
    "export",
    "load_track",
    "plot",
    "prepare",
    "promote",
    "references",
    "rescore",
    "run_baselines",
    "score",
    "seed_rows",
    "show",
    "tracks",
    "tune",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from unlearn_bench.harness import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
