"""Untimed units of trusted code without a sandbox: the same adapter, loaders and logits, in worker processes."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, as_completed
from concurrent.futures.process import BrokenProcessPool
from types import FrameType, ModuleType, TracebackType

import numpy as np

from unlearn_bench.harness.entries.entry import Entry
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support import device_locks
from unlearn_bench.harness.support.device_locks import DeviceLocks
from unlearn_bench.harness.support.errors import EXIT_CODES, BenchError
from unlearn_bench.harness.support.workers import worker_pool
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.harness.units.in_process import unlearned
from unlearn_bench.harness.units.runner import U, UntimedResult
from unlearn_bench.harness.units.unit_kinds import Unit
from unlearn_bench.sandbox import names
from unlearn_bench.sandbox.text import one_line
from unlearn_bench.sandbox.verdict import UNEXPLAINED

PER_GPU = 4
"""Worker processes on one GPU."""


class WorkerRunner:
    """Run one worker process per core, or a few on a GPU; a context manager. ``backend`` tells that it is no sandbox.

    A unit that ran out of a GPU's memory beside others is run again by itself before it counts as ``oom``.
    """

    backend = "workers"
    trusted = True
    overhead = 0.2

    def __init__(self, track: Track, device: str = "cpu") -> None:
        cores = len(os.sched_getaffinity(0))
        self.at_once = cores if device == "cpu" else min(cores, PER_GPU)
        self._track, self._device = track, device

    def __enter__(self) -> WorkerRunner:
        self._open = worker_pool(self.at_once, _start, self._track, self._device)
        self._pool = self._open.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, trace)

    def run(self, units: Sequence[U], deadline: float) -> Iterator[tuple[U, UntimedResult]]:
        """Run units; yield each as it finishes. See :class:`harness.units.runner.Runner`."""
        futures: dict[Future[UntimedResult], U] = {self._pool.submit(_run, unit, deadline): unit for unit in units}
        try:
            crowded = []
            for future in as_completed(futures):
                unit, result = futures[future], future.result()
                if result.status == "oom" and self.at_once > 1:
                    crowded.append(unit)
                else:
                    yield unit, result
            for unit in crowded:
                yield unit, self._pool.submit(_run, unit, deadline).result()
        except BrokenProcessPool:
            raise BenchError(
                "a worker process was killed (usually by lack of memory)",
                "this machine",
                "free memory, then run the same command again: it resumes where it stopped",
                EXIT_CODES["infra"],
            ) from None
        except GeneratorExit:  # the caller wants no more results; an error would end the processes
            for future in futures:
                future.cancel()
            raise


_references: References | None = None
_device = "cpu"


def _start(track: Track, device: str) -> None:
    """Initialise a worker process: one thread, the track's references, a device."""
    import torch

    from unlearn_bench.sandbox.inside import request  # noqa: F401

    global _references, _device
    _device = device
    torch.set_num_threads(1)
    # the first optimiser makes torch import another thousand modules
    torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.0)
    _references = References(track, Store())
    _ = _references.examples.dataset  # the first unit must not pay for loading it


def _run(unit: Unit, deadline: float) -> UntimedResult:
    """Run one unit in a worker, but not while a unit of another process is on the clock.

    ``NotApplicable`` of the entry is ``not-applicable``, any other exception a ``crash``, non-finite outputs are
    ``invalid``; a unit that takes more than ``deadline`` seconds is a ``timeout``; one that exhausts a GPU's memory is
    ``oom``.
    """
    assert _references is not None
    return attempt_unit(_references, unit, deadline, _device)


def attempt_unit(references: References, unit: Unit, deadline: float, device: str = "cpu") -> UntimedResult:
    """Run one unit in this process, in its main thread, with these references, on this device."""
    places = device_locks.cores(sorted(os.sched_getaffinity(0))) if device == "cpu" else (device_locks.gpu(device),)
    with DeviceLocks(places).hold():
        return _attempt(references, unit, deadline, device)


def _attempt(references: References, unit: Unit, deadline: float, device: str) -> UntimedResult:
    import torch

    from unlearn_bench.sandbox.inside.adapter import NotApplicable

    start = time.process_time()
    signal.signal(signal.SIGALRM, _late)
    signal.setitimer(signal.ITIMER_REAL, deadline)
    status, reason, logits, weight_shift = "ok", "", None, None
    try:
        logits, weight_shift = unlearned(
            references, unit, lambda: _module(unit.entry), device, channels_last=device == "cpu"
        )
        if not np.isfinite(logits).all():
            status, reason, logits = "invalid", "the model's outputs are not finite", None
    except _Late:
        status, reason = "timeout", f"no weights within {deadline:g} s"
    except torch.OutOfMemoryError as error:
        status, reason = "oom", one_line(str(error), 200)
        torch.cuda.empty_cache()
    except NotApplicable as error:
        status, reason = "not-applicable", one_line(str(error)) or UNEXPLAINED
    except Exception as error:  # whatever an entry raises is its own failure, and the search continues
        status, reason = "crash", one_line(f"{type(error).__name__}: {error}", 200)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    seconds = time.process_time() - start
    return UntimedResult(status, reason, logits, seconds, weight_shift=weight_shift)  # type: ignore[arg-type]


class _Late(BaseException):
    """Raised by the alarm; not an ``Exception``, so that an entry's own handlers let it through."""


def _late(number: int, frame: FrameType | None) -> None:
    raise _Late


def _module(entry: Entry) -> ModuleType:
    names.provide()
    spec = importlib.util.spec_from_loader("entry", loader=None)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["entry"] = module
    exec(compile(entry.source, f"{entry.name}.py", "exec"), module.__dict__)
    return module
