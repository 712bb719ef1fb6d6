"""What goes into a sandbox and what comes out of it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, get_args

Status = Literal["ok", "invalid", "crash", "oom", "timeout", "not-applicable", "infra", "disqualified"]
STATUSES: tuple[Status, ...] = get_args(Status)

Limit = Literal[
    "user", "read-only", "network", "noexec", "ulimits", "scratch", "shm", "cpu limit", "processes", "memory limit",
    "deadline",
]  # fmt: skip
"""A limit that a back end may promise to keep; ``sandbox.limit_checks`` tries each."""
LIMITS: frozenset[Limit] = frozenset(get_args(Limit))

MIB = 2**20


@dataclass(frozen=True)
class Limits:
    """What one unit may use. Times in seconds, sizes in bytes."""

    deadline: float
    """From the go signal to the last byte of the weights, on the host's clock."""
    memory: int = 4096 * MIB
    processes: int = 256
    scratch: int = 256 * MIB
    """Size of the only writable folder, /tmp."""
    log: int = 64 * 1024
    startup: float = 120.0
    """From the start of the sandbox to its ready signal (not the entry's time)."""


@dataclass(frozen=True)
class Job:
    """One call of ``unlearn``: everything the sandbox gets, and nothing else."""

    source: bytes
    """The entry's Python file; of a package its ``__init__.py``."""
    parameters: Mapping[str, Any]
    """Keyword arguments for ``unlearn``."""
    model: Mapping[str, Any]
    """Architecture specification, see ``sandbox.inside.models.build``."""
    weights: bytes
    """The original model, as safetensors."""
    data: Path
    """A safetensors file: ``{retain,forget,val}_images`` uint8 [n, c, h, w] and ``…_labels`` int64 [n].

    What the track's access tier withholds is not in it."""
    mean: tuple[float, ...]
    std: tuple[float, ...]
    """Per-channel normalisation of images scaled to [0, 1]."""
    batch_size: int
    seed: int
    limits: Limits
    device: str = "cpu"
    """``cpu`` or ``cuda:<index>`` (the host's index)."""
    cpus: tuple[int, ...] = ()
    """Cores the unit is pinned to; empty means any."""
    threads: int = 1
    modules: Mapping[str, bytes] = field(default_factory=dict)
    """The other files of a package by relative path."""
    requirements: tuple[str, ...] = ()
    """Packages that the entry needs beyond those of the architecture, as ``NAME`` with versions (PEP 508)."""
    run_id: str = ""
    """Identifies what a killed harness left behind."""


@dataclass(frozen=True)
class Outcome:
    """What the host knows of one finished unit."""

    status: Status
    reason: str = ""
    """One line for people; empty when ``status`` is ``ok``."""
    weights: Mapping[str, Any] | None = None
    """Checked arrays of the architecture's layout (name → numpy array); only when ``status`` is ``ok``."""
    seconds: float | None = None
    """Host clock, from the go signal to the last byte of the weights."""
    cpu_seconds: float | None = None
    peak_memory: int | None = None
    log: str = ""
    """Tail of the entry's output, at most 4 KiB, control characters removed."""
    warnings: tuple[str, ...] = ()
    environment: Mapping[str, Any] = field(default_factory=dict)
    """Back end, image digest, library versions, device."""
    disturbed: str = ""
    """What ran beside a timed unit, as the caller of the back end saw it."""
    weight_shift: float | None = None
    """Normalised L2 distance of the weights from the original's, as the caller of the back end computed it."""


Chunk = tuple[Literal["channel", "log"], bytes]


class Exit(NamedTuple):
    """How a sandbox ended."""

    code: int | None
    """Exit code, negative for a signal; ``None`` if it did not end by itself."""
    oom: bool = False
    """Whether the engine saw the memory limit end a process."""
    peak_memory: int | None = None
    log: bytes = b""
    """The rest of its log, as far as it could be read."""
    failure: str = ""
    """Why nothing more is known, and it may still run: what holds it (an engine) did not answer."""


class RunningSandbox(Protocol):
    """A started sandbox, seen from the session."""

    def receive(self, timeout: float) -> list[Chunk] | None:
        """Return what arrives within ``timeout`` seconds (bounded chunks, perhaps none); ``None`` after the end."""

    def send(self, data: bytes) -> None:
        """Write to the channel."""

    def cpu_seconds(self) -> float | None:
        """Return the CPU time used so far by all its processes, in seconds; ``None`` if unknown."""

    def over_memory(self) -> bool:
        """Return whether the host must stop it for its memory (``False`` where the engine does that)."""

    def stop(self, grace: float) -> Exit:
        """Let it end by itself for ``grace`` seconds, then kill everything in it, in bounded time. Idempotent."""


class Sandbox(Protocol):
    """A back end: runs one job in isolation. Its module has ``create()``; ``sandbox.conformity`` checks it."""

    name: str
    """The name for ``backends.load``; records carry it."""
    description: str
    """What it protects and what it does not, in one line."""
    trusted: bool
    """Whether results of foreign code run here may be ranked on a public board."""
    preference: int
    """``auto`` takes the usable back end with the highest one."""
    enforces: frozenset[Limit]
    """The limits that it promises to keep."""
    advice: str
    """What to do on a machine where it does not keep one of them, in one line."""

    def unavailable(self, model: Mapping[str, Any], device: str) -> str | None:
        """Return why this back end cannot run such a job here, with the remedy after "; ", or ``None`` if it can."""

    def run(self, job: Job, clock: AbstractContextManager[Any], stop: threading.Event | None = None) -> Outcome:
        """Run one job; hold ``clock`` from the go signal until the weights have arrived.

        Once ``stop`` is set the job ends within a second, as ``infra``.
        """

    def reap(self) -> int:
        """Remove what killed harnesses left behind, and nothing of a living one; return how many things that were."""
