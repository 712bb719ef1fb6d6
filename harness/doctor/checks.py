"""The checks of ``bench doctor``."""

from __future__ import annotations

import os
import shutil
import statistics
import sys
from collections.abc import Iterator, Sequence

from unlearn_bench.harness.doctor import engine_checks
from unlearn_bench.harness.doctor.check import Check
from unlearn_bench.harness.entries.entry import baseline
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.errors import BenchError
from unlearn_bench.harness.support.hardware import require_linux
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.harness.units import core_interference
from unlearn_bench.harness.units.slots import timed_slot
from unlearn_bench.harness.units.unit_kinds import SeedUnit
from unlearn_bench.harness.units.unit_run import UnitContext, run
from unlearn_bench.sandbox import backends, limit_checks, trust
from unlearn_bench.sandbox.types import Sandbox

FREE_DISK_GIB = 5.0
NOOP_UNITS = 5


def examine(sandbox: str = "auto") -> Iterator[Check]:
    """Yield a check of each subject, the quick ones first.

    ``sandbox`` names the back end whose limits and whose overhead are measured.
    """
    require_linux("bench doctor")
    store, default = Store(), load_track("digits-resnet18")
    yield _libraries()
    yield _disk(store)
    yield _memory(default)
    yield _references(References(default, store))
    for backend in backends.by_preference():
        yield _back_end(backend, default)
    yield from engine_checks.engine()
    try:
        chosen, line = backends.choose(sandbox, default.model_spec, "cpu")
    except backends.SandboxUnavailable as error:
        yield Check("sandbox", error.what, error.remedy)
        return
    yield Check("sandbox", line.removeprefix("sandbox "))
    for limit in limit_checks.check(chosen):
        yield Check(limit.name, limit.text, limit.remedy, needed=False)
    yield _gpu()
    yield _neighbours(store)
    yield _clock(References(default, store), chosen)


def _back_end(backend: Sandbox, default: Track) -> Check:
    reason = backend.unavailable(default.model_spec, "cpu")
    if reason is None:
        text = f"usable for the default track: {backend.description}"
        if isinstance(backend, trust.OnProbation):
            attack = f"`bench doctor --attacks --sandbox {backend.name}`"
            text += f"; {'trusted' if backend.trusted else 'not trusted'} here, as {attack} decides"
        return Check(backend.name, text)
    what, _, remedy = reason.partition("; ")
    return Check(backend.name, what, remedy, needed=False)


def _libraries() -> Check:
    import torch
    import torchvision

    versions = f"python {sys.version.split()[0]}, torch {torch.__version__}, torchvision {torchvision.__version__}"
    return Check("libraries", versions)


def _disk(store: Store) -> Check:
    existing = store.root
    while not existing.exists():
        existing = existing.parent
    free = shutil.disk_usage(existing).free / 2**30
    text = f"{free:.0f} GiB free for the store in {store.root}"
    if not os.access(existing, os.W_OK):
        return Check("disk", f"{store.root} is not writable", "point BENCH_HOME at a folder that is")
    return Check("disk", text, "" if free >= FREE_DISK_GIB else "free some, or point BENCH_HOME elsewhere", False)


def _memory(default: Track) -> Check:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**20
    unit_limit = default.protocol.memory_mib
    free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES") / 2**20
    text = (
        f"{total / 1024:.0f} GiB, {free / 1024:.0f} GiB of it unused; "
        f"a unit of the default track may use {unit_limit / 1024:.0f} GiB"
    )
    return Check(
        "memory", text, "" if total >= unit_limit else "units may end as oom here: use a larger machine", False
    )


def _references(references: References) -> Check:
    try:
        count = sum(1 for _ in references.verify())
        data = references.examples.dataset
    except BenchError as error:
        return Check("references", error.message, error.remedy)
    return Check("references", f"{count} models of the default track and its {len(data.labels):,} images verified")


def _gpu() -> Check:
    import torch

    if not torch.cuda.is_available():
        return Check("gpu", "none that torch can use; units run on the CPU")
    return Check("gpu", ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())))


def _neighbours(store: Store) -> Check:
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) == 1:
        return Check("cores", "one: timed units run one at a time")
    cost = core_interference.measure(store, cores).neighbours_cost
    units = f"{len(cores)} timed units at once" if cost <= core_interference.TOLERANCE else "one timed unit at a time"
    return Check("cores", f"{len(cores)}; a busy neighbour costs {cost:+.1%}: {units}")


def _clock(references: References, backend: Sandbox) -> Check:
    """Time the identity entry repeatedly, for the overhead that the clock includes and its spread."""
    context = UnitContext(references, backend, run_id="doctor")
    unit = SeedUnit(baseline("original"), references.track, 0)
    core = max(os.sched_getaffinity(0))
    records = [run(context, unit, timed_slot((core,)), 60.0) for _ in range(NOOP_UNITS)]
    failed = [r for r in records if r.seconds is None]
    if failed:
        return Check("clock", f"the identity entry failed: {failed[0].reason}", "see the lines above")
    wall = _spread([r.seconds for r in records if r.seconds is not None])
    cpu = _spread([r.cpu_seconds for r in records if r.cpu_seconds is not None])
    return Check("clock", f"identity entry in {backend.name}, {NOOP_UNITS} times: {wall}; of the CPU {cpu}")


def _spread(seconds: Sequence[float]) -> str:
    if not seconds:
        return "unknown"
    return f"median {statistics.median(seconds):.2f} s, {min(seconds):.2f} to {max(seconds):.2f} s"
