"""Executors: where a command's units run and its models are trained.

Every module of this package is an executor, selected by its name, and so are those that installed packages add; a
module of your own is selected by its dotted path.
Its ``connect`` makes an :class:`Executor`. Nothing is imported before it is used.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from unlearn_bench import plugins
from unlearn_bench.harness.support.errors import USAGE, BenchError
from unlearn_bench.harness.support.hardware import require_linux
from unlearn_bench.harness.support.names import did_you_mean
from unlearn_bench.harness.support.progress import Observer, Unobserved

if TYPE_CHECKING:
    from unlearn_bench.harness.entries.entry import Entry
    from unlearn_bench.harness.references.references import References
    from unlearn_bench.harness.store.store import Store
    from unlearn_bench.harness.tracks.specification import Track
    from unlearn_bench.harness.training.plan import TrainingPlan
    from unlearn_bench.harness.training.task import TrainedModel
    from unlearn_bench.harness.units.runner import Runner
    from unlearn_bench.harness.units.slots import Slot
    from unlearn_bench.harness.units.unit_run import UnitContext


@dataclass(frozen=True)
class RunOptions:
    """How a workflow runs entries and trains models; the defaults are those of the command line."""

    sandbox: str = "auto"
    """Name of the sandbox's back end; ``auto``: docker if there are an engine and the image, otherwise process."""
    gpu: int | None = None
    """Index of the CUDA device; ``None``: the CPU."""
    executor: str = "local"
    """Name of an executor, or the dotted path of a module that is one."""
    address: str | None = None
    """Where the executor's cluster is, for executors that have one."""
    secret: Path | None = None
    """The secret of a sealed track, a file or a folder; ``None``: ``BENCH_SECRETS``."""
    again: bool = False
    """Run what failed once more, and disturbed units; of shipped methods all timed units."""
    narrow: float | None = None
    """Stop U-LiRA once the 95 % interval of its accuracy is within ± this."""
    keep_weights: Literal["float32", "float16"] | None = None
    """Precision in which the weights of unlearned models are kept; ``None``: they are not."""
    observer: Observer = field(default_factory=Unobserved, compare=False)
    """Receives the progress."""


class Executor(Protocol):
    """Runs units and trains models for one command.

    All methods raise ``BenchError`` if something that they need is missing.
    """

    def timed(self, track: Track, open_references: Callable[[], References]) -> tuple[UnitContext, str]:
        """Prepare timed units.

        Args:
            track: of the units.
            open_references: returns the track's references, of which some may still be trained; to be called once it
                is known that entries can run.

        Returns:
            What the units share, and one readable line on where they run.
        """

    def slots(self, store: Store) -> Sequence[Slot]:
        """Return where timed units run; each slot runs one at a time."""

    def untimed(self, references: References, entries: Sequence[Entry]) -> tuple[AbstractContextManager[Runner], str]:
        """Prepare untimed units of entries: return their runner, to be entered, and one line on where they run."""

    def trainings(self, gpu: bool) -> int | None:
        """Return how many training tasks run side by side, on GPUs or on cores; ``None``: as many as the plan says."""

    def train(
        self, references: References, plan: TrainingPlan, on_progress: Callable[[int], None]
    ) -> Generator[list[TrainedModel]]:
        """Train the tasks of a plan; yields the models of each task as it ends.

        Args:
            references: of the track; an executor reads them, and the caller stores what it yields.
            plan: the tasks, and the devices they are for.
            on_progress: called with the number of model-epochs done.
        """

    def close(self) -> None:
        """Release what the executor holds."""


def names() -> list[str]:
    """Return the names of the executors that ship with the benchmark."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


@contextmanager
def connected(options: RunOptions) -> Iterator[Executor]:
    """Connect the executor that ``options`` name, and close it afterwards.

    Raises:
        BenchError: there is no such executor, or it cannot be reached.
    """
    if options.executor != "ray":  # its nodes are other machines
        require_linux("running methods and training models")
    executor = _connect(options.executor)(options)
    try:
        yield executor
    finally:
        executor.close()


def _connect(name: str) -> Callable[[RunOptions], Executor]:
    path = f"{__name__}.{name}" if name in names() else name
    if path == name and name in plugins.names("executors"):
        return _connect_of(plugins.load("executors", name), name)
    remedy = (
        f"{did_you_mean(name, names())}use one of {', '.join(names())}, "
        "or the dotted path of a module of yours with connect(options); "
        "see harness/executors/README.md"
    )
    if path == name and "." not in name:
        raise BenchError(f"there is no executor {name!r}", "your command", remedy, USAGE)
    try:
        module = importlib.import_module(path)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{path}.".startswith(f"{error.name}."):
            raise  # the module exists, and something that it imports does not
        raise BenchError(f"there is no module {name!r} to be the executor", "your command", remedy, USAGE) from None
    return _connect_of(module, name)


def _connect_of(module: object, name: str) -> Callable[[RunOptions], Executor]:
    connect: Callable[[RunOptions], Executor] | None = getattr(module, "connect", None)
    if connect is None:
        remedy = f"use one of {', '.join(names())}, or the dotted path of a module of yours with connect(options)"
        raise BenchError(f"the module {name!r} is no executor: it has no connect", "your command", remedy, USAGE)
    return connect
