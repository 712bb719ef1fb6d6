"""Training reference models: a plain PyTorch loop against ours, interleaved in one run, as ratios.

On a CPU: CPU seconds (of all processes) and wall seconds per model, one process and one per core. On a GPU: one and
several models in flight and the memory of each. ``--device cuda`` and ``--device cpu --in-flight …`` are the same code
but for graphs and streams.
"""

from __future__ import annotations

import argparse
import copy
import json
import multiprocessing
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.benchmarks import plain
from unlearn_bench.harness.data.dataset import Dataset, load_dataset
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import Role
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.harness.training.grouped import Grouped, can_group
from unlearn_bench.harness.training.inference import normaliser
from unlearn_bench.harness.training.interleaved import TrainingJob, interleaved_training
from unlearn_bench.harness.training.memory import keep_memory
from unlearn_bench.harness.training.mixed_precision import uses_bfloat16
from unlearn_bench.harness.training.plan import GROUP
from unlearn_bench.harness.training.recipe import train
from unlearn_bench.harness.training.recorders import recorder_for
from unlearn_bench.harness.training.step import TrainingLoop, rates
from unlearn_bench.sandbox.inside.models import build

MINI = Path(__file__).parents[1] / "data"
STEPS = {"digits": 40, "resnet18": 4, "tinyvit": 2, "cifar-stem": 2}
"""Optimizer steps of a run; the full recipe's numbers are extrapolated."""


@dataclass(frozen=True)
class Case:
    """One network on one data set: ``peer`` is the model of the plain loop where it is another one."""

    track: Track
    dataset: Dataset
    rows: np.ndarray
    peer: dict[str, Any]
    full: int
    """Examples of an epoch of the full recipe."""

    def tensors(self, device: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Images and labels on a device."""
        return torch.from_numpy(self.dataset.images).to(device), torch.from_numpy(self.dataset.labels).to(device)

    @property
    def pictures(self) -> plain.Pictures:
        spec = self.track.data
        channels = self.track.model_spec.get("channels", 3)
        return plain.Pictures(self.dataset.images, self.dataset.labels, spec.mean, spec.std, channels)


@cache
def case(name: str, steps: int, batch: int | None = None) -> Case:
    """The case with as many examples and epochs as make ``steps`` steps."""
    track = load_track(
        {"digits": "digits-resnet18", "resnet18": "fashionmnist-resnet18", "tinyvit": "fashionmnist-tinyvit"}.get(
            name, "cifar10-resnet18"
        )
    )
    peer = dict(track.model_spec)
    if name == "digits":
        references = References(track, Store())
        dataset, rows = references.examples.dataset, references.examples.training_set(Role("original", 0))
    else:
        kind = "cifar10-mini" if name == "cifar-stem" else "fashionmnist-mini"
        dataset = load_dataset(replace(track.data, name="npz", path=str(MINI / f"{kind}.npz")))
        rows = np.arange(len(dataset.labels))
    if name == "tinyvit":  # timm's windows, which pad 4 tokens to 196
        del peer["window_sizes"]
    if name == "cifar-stem":
        track = replace(track, model={"name": "resnet18_narrow", "width": 64})
        peer = dict(track.model_spec)
    track = replace(track, recipe=replace(track.recipe, batch_size=batch or track.recipe.batch_size))
    batch = track.recipe.batch_size
    full = track.splits.retain + track.splits.forget
    # examples come again until an epoch is as long as the full recipe's: a plain loader starts its workers anew in each
    rows = np.resize(rows, min(steps, full // batch) * batch)
    short = replace(track.recipe, epochs=max(1, steps * batch // len(rows)))
    return Case(replace(track, recipe=short), dataset, rows, peer, full)


@cache
def _built(spec: str) -> torch.nn.Module:
    return build(json.loads(spec))


def fresh(spec: Any) -> torch.nn.Module:
    """A model; drawing its weights is not what is compared."""
    return copy.deepcopy(_built(json.dumps(dict(spec))))


def plainly(chosen: Case, device: str, threads: int, workers: int) -> None:
    with threaded(threads):
        plain.train(fresh(chosen.peer), chosen.pictures, chosen.rows, chosen.track.recipe, device, workers)


def ours(chosen: Case, count: int = 1) -> None:
    """``count`` models as one network, in this process, on one thread."""
    images, labels = chosen.tensors("cpu")
    models = [fresh(chosen.track.model_spec) for _ in range(count)]
    with threaded(1):
        train(
            models, images, labels, [chosen.rows] * count, range(count), chosen.track.recipe, normaliser(chosen.track)
        )


class Flight:
    """Models in flight on a device; its lanes are made and recorded in the first run."""

    def __init__(self, chosen: Case, device: str, count: int, compiled: bool = False) -> None:
        images, labels = chosen.tensors(device)
        template, recipe = build(chosen.track.model_spec), chosen.track.recipe
        to_input, size = normaliser(chosen.track, device), len(chosen.rows)
        data = images, labels, size, recipe, to_input
        self.flight = interleaved_training(template, *data, count, print, compiled=compiled)
        self.jobs = [TrainingJob(build(chosen.track.model_spec), chosen.rows, seed) for seed in range(count)]
        self.memory = 0
        self.on_gpu = device != "cpu"

    def run(self) -> None:
        before = torch.cuda.memory_reserved() if self.on_gpu else 0
        with threaded(1):
            for _ in self.flight.train(self.jobs):
                pass
        if self.on_gpu:
            self.memory = max(self.memory, torch.cuda.memory_reserved() - before)


class Together:
    """Models as one grouped network on a device, its step recorded: what several in flight are compared with."""

    def __init__(self, chosen: Case, device: str, count: int) -> None:
        place, recipe = torch.device(device), chosen.track.recipe
        images, labels = chosen.tensors(device)
        network = Grouped([fresh(chosen.track.model_spec) for _ in range(count)]).to(place)
        to_input, self.rows = normaliser(chosen.track, device), [chosen.rows] * count
        self.loop = TrainingLoop(
            network, images, labels, len(chosen.rows), recipe, to_input, count, recorder_for(place)
        )

    def run(self) -> None:
        steps = self.loop.train(self.rows, range(len(self.rows)))
        with threaded(1), self.loop.stream():
            for _ in steps:
                pass
        if torch.cuda.is_available():
            torch.cuda.synchronize()


def part(name: str, steps: int, batch: int | None, count: int) -> float:
    """In a worker process: its CPU seconds."""
    keep_memory()
    start = time.process_time()
    ours(case(name, steps, batch), count)
    return time.process_time() - start


@cache
def flight_of(name: str, steps: int, batch: int | None, device: str, count: int) -> Flight:
    return Flight(case(name, steps, batch), device, count)


def fly(name: str, steps: int, batch: int | None, device: str, count: int) -> float:
    """In a worker process, which keeps its lanes: ``count`` models in flight; its CPU seconds."""
    start = time.process_time()
    flight_of(name, steps, batch, device, count).run()
    return time.process_time() - start


class Crew:
    """Workers of a Ray of this machine alone."""

    def __init__(self, count: int) -> None:
        import ray

        from tests.benchmarks.training import part  # of the module, not of __main__, which workers do not have

        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        ray.init(address="local", num_cpus=count, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        self._ray, self._part, self._count = ray, ray.remote(num_cpus=1)(part), count

    def run(self, name: str, steps: int, batch: int | None, models: int) -> float:
        """Each worker trains so many models as one network; CPU seconds of all."""
        tasks = [self._part.remote(name, steps, batch, models) for _ in range(self._count)]
        return float(sum(self._ray.get(tasks)))

    def shutdown(self) -> None:
        self._ray.shutdown()


@dataclass
class Way:
    name: str
    models: int
    run: Callable[[], float | None]
    """May return CPU seconds that are not this process's or a child's that ended."""
    wall: list[float]
    cpu: list[float]
    flight: Flight | None = None
    """Whose memory is shown."""


def ways(options: argparse.Namespace, name: str, stack: list[ProcessPoolExecutor | Crew]) -> Iterator[Way]:
    """The plain loop first, to which the ratios are: on a CPU without and with a loader's workers, and on all cores."""
    steps, batch, device = options.steps or STEPS[name], options.batch, options.device
    chosen = case(name, steps, batch)
    cores = len(os.sched_getaffinity(0))
    workers = options.workers
    for threads, loading in [(1, 0), (1, workers), (cores, workers)] if device == "cpu" else [(cores, workers)]:
        what = f"plain loop, threads: {threads}, workers: {loading}"
        yield Way(what, 1, partial(plainly, chosen, device, threads, loading), [], [])
    for what, counts, compiled in (("in flight", options.in_flight, False), ("compiled", options.compiled, True)):
        for count in counts:
            flight = Flight(chosen, device, count, compiled)
            yield Way(f"ours, {count} {what}", count, flight.run, [], [], flight)
    for count in options.grouped:
        together = Together(chosen, device, count)
        yield Way(f"ours, {count} as one network, recorded", count, together.run, [], [])
    if device != "cpu":
        for processes in options.processes or []:
            count = options.in_flight[-1]
            pilots = [ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) for _ in range(processes)]
            stack += pilots

            def soar(pilots: list[ProcessPoolExecutor] = pilots, count: int = count) -> float:
                flights = [pool.submit(fly, name, steps, batch, device, count) for pool in pilots]
                return sum(each.result() for each in flights)

            yield Way(f"ours, {processes} processes × {count} in flight", processes * count, soar, [], [])
        return
    groups = [1, GROUP] if can_group(build(chosen.track.model_spec)) and name == "digits" else [1]
    for count in groups:
        what = "one model" if count == 1 else f"{count} as one network"
        yield Way(f"ours, {what}", count, partial(ours, chosen, count), [], [])
    for processes in options.processes or [cores]:
        pool = ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn"))
        stack.append(pool)

        def run(pool: ProcessPoolExecutor = pool, processes: int = processes) -> float:
            return sum(pool.map(partial(part, name, steps, batch), [groups[-1]] * processes))

        yield Way(f"ours, {processes} processes × {groups[-1]}", processes * groups[-1], run, [], [])
    if options.ray:
        crew = Crew(options.ray)
        stack.append(crew)
        yield Way(f"ours, {options.ray} Ray workers × {groups[-1]}", options.ray * groups[-1],
                  partial(crew.run, name, steps, batch, groups[-1]), [], [])  # fmt: skip


@contextmanager
def threaded(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def cpu_seconds() -> float:
    """Of this process and of its children that have ended (a loader's workers)."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def measure(found: list[Way], rounds: int) -> None:
    for turn in range(rounds + 1):
        for way in found:
            print(f"round {turn} of {rounds}: {way.name}", file=sys.stderr, flush=True)
            start, cpu = time.perf_counter(), cpu_seconds()
            more = way.run() or 0.0
            if turn:  # the first one warms up
                way.wall.append((time.perf_counter() - start) / way.models)
                way.cpu.append((cpu_seconds() - cpu + more) / way.models)


def show(name: str, found: list[Way], chosen: Case, options: argparse.Namespace) -> None:
    recipe = replace(load_track(chosen.track.name).recipe, batch_size=chosen.track.recipe.batch_size)
    total = len(rates(chosen.track.recipe, -(-len(chosen.rows) // recipe.batch_size)))
    native = uses_bfloat16(recipe, torch.device(options.device))
    precision = "bfloat16" if native else "float32"
    print(f"\n{name}: {total} steps of {recipe.batch_size}, {precision}, {options.rounds} rounds, median; "
          f"load {os.getloadavg()[0]:.1f}")  # fmt: skip
    cpu = [statistics.median(way.cpu) for way in found]
    wall = [statistics.median(way.wall) for way in found]
    bare, peer, default = (0, 1, 2) if options.device == "cpu" else (0, 0, 0)
    print(f"{'per model':<36}{'CPU s':>9}{f'to {bare + 1}':>8}{f'to {peer + 1}':>8}"
          f"{'wall s':>9}{f'to {default + 1}':>8}{'models/h':>10}{'GPU GB':>8}")  # fmt: skip
    all_steps = recipe.epochs * -(-chosen.full // recipe.batch_size)
    for way, c, w in zip(found, cpu, wall, strict=True):
        memory = way.flight.memory if way.flight else 0
        gigabytes = f"{memory / way.models / 1e9:>8.2f}" if memory else f"{'':>8}"
        hourly = 3600 / (w / total * all_steps)
        print(f"{way.name:<36}{c:>9.3f}{cpu[bare] / c:>7.1f}×{cpu[peer] / c:>7.1f}×"
              f"{w:>9.3f}{wall[default] / w:>7.1f}×{hourly:>10.1f}{gigabytes}")  # fmt: skip
    print("ratios to so many a line of the table; models/h: full recipe, from the wall time")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", default=["digits", "tinyvit", "resnet18"], metavar="CASE",
                        help=f"of {', '.join(STEPS)}; default: all but the last")  # fmt: skip
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--steps", type=int, help="optimizer steps of a run")
    parser.add_argument("--batch", type=int, help="another batch size than the recipe's, for a short run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2, help="of the plain loop's DataLoader")
    parser.add_argument("--in-flight", type=int, nargs="*", default=None, metavar="N", help="default on a GPU: 1 2 4 8")
    parser.add_argument("--compiled", type=int, nargs="*", default=[], metavar="N",
                        help="also N in flight whose networks torch.compile has fused, in the first round")  # fmt: skip
    parser.add_argument("--grouped", type=int, nargs="*", default=[], metavar="N",
                        help="also N models as one grouped network in static buffers; of ResNets")  # fmt: skip
    parser.add_argument("--processes", type=int, nargs="*", metavar="N",
                        help="default: one per core; on a GPU, each with as many in flight as --in-flight ends "
                        "with (under NVIDIA's MPS, or they take turns)")  # fmt: skip
    parser.add_argument("--ray", type=int, metavar="N", help="also N workers of a Ray of this machine")
    options = parser.parse_args()
    if options.in_flight is None:
        options.in_flight = [] if options.device == "cpu" else [1, 2, 4, 8]
    for name in options.cases:
        stack: list[ProcessPoolExecutor | Crew] = []
        found = list(ways(options, name, stack))
        measure(found, options.rounds)
        show(name, found, case(name, options.steps or STEPS[name], options.batch), options)
        for each in stack:
            each.shutdown()


if __name__ == "__main__":
    main()
