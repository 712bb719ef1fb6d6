"""Models in flight: static buffers shared by one model after another, on a CPU without graphs and streams.

What a CUDA device adds (graphs, streams, its memory) is in the tests marked ``gpu``.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from tests.harness.conftest import run
from unlearn_bench.harness.entries.entry import baseline
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import Role
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.errors import BenchError
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.tracks.specification import Recipe
from unlearn_bench.harness.training.gpu import GpuTrainer
from unlearn_bench.harness.training.inference import infer, normaliser
from unlearn_bench.harness.training.interleaved import TrainingJob, interleaved_training, suggested_in_flight
from unlearn_bench.harness.training.memory import out_of_memory
from unlearn_bench.harness.training.mixed_precision import uses_bfloat16
from unlearn_bench.harness.training.plan import plan_training
from unlearn_bench.harness.training.recipe import train
from unlearn_bench.harness.training.recorders import EagerRecorder, recorder_for
from unlearn_bench.harness.training.run import local_processes, run_plan
from unlearn_bench.harness.training.step import TrainingLoop, batch_sizes
from unlearn_bench.harness.training.task import train_task
from unlearn_bench.harness.units.unit_kinds import SeedUnit
from unlearn_bench.harness.units.worker_runner import WorkerRunner
from unlearn_bench.sandbox.inside.models import build

RECIPE = Recipe(epochs=2, batch_size=16, lr=0.1, schedule="cosine", seed=0, crop=2, flip=True)
COUNT = 40
"""Three batches of two sizes: 14, 13 and 13."""

CPU, CUDA = "cpu", pytest.param("cuda:0", marks=pytest.mark.gpu)


class Problem:
    """Models, images and the examples of each model; ``kind`` is the arithmetic's."""

    def __init__(self, device: str = "cpu", kind: torch.dtype = torch.float64, count: int = COUNT) -> None:
        generator = torch.Generator().manual_seed(1)
        self.images = torch.randint(0, 256, (64, 1, 8, 8), dtype=torch.uint8, generator=generator).to(device)
        self.labels = (torch.arange(64) % 5).to(device)
        self.kind, self.count = kind, count
        self.subsets = [np.random.RandomState(i).permutation(64)[:count] for i in range(4)]

    def models(self) -> list[nn.Module]:
        torch.manual_seed(0)
        spec = {"name": "resnet18_narrow", "classes": 5, "channels": 1, "width": 8}
        return [build(spec).to(self.kind) for _ in range(4)]

    def to_input(self, x: Tensor) -> Tensor:
        return x.to(self.kind) / 255

    def fly(self, wanted: int, models: Sequence[nn.Module], said: list[str] | None = None) -> list[TrainingJob]:
        flight = self.flight(wanted, [] if said is None else said)
        return list(flight.train([TrainingJob(m, self.subsets[i], 10 + i) for i, m in enumerate(models)]))

    def flight(
        self,
        wanted: int,
        said: list[str],
        record: Any = recorder_for,
        template: nn.Module | None = None,
        compiled: bool = False,
    ) -> Any:
        template = template or self.models()[0]
        data = self.images, self.labels, self.count
        return interleaved_training(template, *data, RECIPE, self.to_input, wanted, said.append, record, compiled)


def alike(one: nn.Module, other: nn.Module, rtol: float = 1e-9, atol: float = 1e-11) -> None:
    for key, tensor in one.state_dict().items():
        torch.testing.assert_close(tensor, other.state_dict()[key], rtol=rtol, atol=atol, msg=key)


def test_models_in_flight_are_the_models_trained_alone() -> None:
    """Four models through two lanes: fused steps in static buffers, a rate read from a tensor, two batch sizes."""
    problem = Problem()
    flown, alone = problem.models(), problem.models()
    problem.fly(2, flown)
    for i, model in enumerate(alone):
        train([model], problem.images, problem.labels, [problem.subsets[i]], [10 + i], RECIPE, problem.to_input)
        alike(flown[i], model)
    assert not torch.allclose(flown[0].state_dict()["fc.weight"], flown[1].state_dict()["fc.weight"])
    assert flown[3].state_dict()["bn1.num_batches_tracked"] == 2 * 3, "steps of both epochs"


@pytest.mark.parametrize("in_bfloat16", [False, True])
@pytest.mark.parametrize("device", [CPU, CUDA])
def test_a_model_that_comes_second_into_the_buffers_is_the_model_trained_first(
    device: str, in_bfloat16: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "unlearn_bench.harness.training.step.uses_bfloat16", lambda recipe, device: in_bfloat16
    )  # a CPU may only emulate it
    problem = Problem(device, torch.float32)
    torch.backends.cudnn.deterministic = True
    first = problem.models()[1]
    second = problem.models()[:2]
    next(iter(problem.flight(1, []).train([TrainingJob(first, problem.subsets[1], 11)])))
    problem.fly(1, second)
    alike(second[1], first, 0, 0)  # the same operations on the same numbers: no weight, momentum or statistic is left


@pytest.mark.parametrize("device", [CPU, CUDA])
def test_nothing_inside_an_epoch_makes_the_host_wait(device: str) -> None:
    problem = Problem(device, torch.float32)
    loop = problem.flight(1, [])._make()
    steps = len(batch_sizes(COUNT, RECIPE.batch_size))
    training = loop.train([problem.subsets[0]], [10])
    with loop.stream():
        next(training)
        if device == "cpu":
            with Waits() as seen:
                for _ in range(steps * RECIPE.epochs - 1):
                    next(training)
            assert seen.steps >= steps, "the mode sees the steps"
            assert seen.waits == []
            return
        torch.cuda.set_sync_debug_mode("error")
        try:
            for _ in range(steps * RECIPE.epochs - 1):
                next(training)
        finally:
            torch.cuda.set_sync_debug_mode("default")


class Waits(TorchDispatchMode):
    """Operations whose result or shape the host must know before it goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []
        self.steps = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._overloadpacket.__name__
        masks = (
            [index for index in args[1] if index is not None and index.dtype == torch.bool] if name == "index" else []
        )
        if masks or name in ("_local_scalar_dense", "nonzero", "is_nonzero", "masked_select", "_unique2", "equal"):
            self.waits.append(name)
        self.steps += name == "_fused_sgd_"
        return func(*args, **(kwargs or {}))


def test_the_counter_of_waits_sees_one() -> None:
    with Waits() as seen:
        torch.ones(3).sum().item()
        torch.ones(3)[torch.ones(3) > 0]
    assert len(seen.waits) >= 2


class Full(EagerRecorder):
    """A device with room for some lanes: the next one raises what CUDA raises."""

    def __init__(self, room: Iterator[bool]) -> None:
        self._room = room

    def record(self, step: Any) -> Any:
        super().record(step)
        if not next(self._room):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return step


def test_out_of_memory_means_fewer_in_flight_and_the_same_models() -> None:
    problem, said = Problem(), list[str]()
    sizes = len(set(batch_sizes(COUNT, RECIPE.batch_size)))
    room = iter([True] * 2 * sizes + [False] * 10)
    flown, alone = problem.models(), problem.models()
    flight = problem.flight(4, said, lambda device: Full(room))
    jobs = [TrainingJob(m, problem.subsets[i], 10 + i) for i, m in enumerate(flown)]
    assert sorted(map(id, flight.train(jobs))) == sorted(map(id, jobs)), "each once"
    assert said == ["out of memory: continuing with 2 at a time"]
    problem.fly(1, alone)
    for one, other in zip(flown, alone, strict=True):
        alike(one, other)


def test_out_of_memory_in_the_middle_keeps_what_is_finished_and_trains_the_rest_again() -> None:
    problem, said = Problem(), list[str]()
    flown, alone = problem.models(), problem.models()
    flight = problem.flight(2, said)
    original, calls = TrainingLoop._to_device, list[int]()

    def sent(self: TrainingLoop, drawn: Tensor) -> Tensor:  # another process takes the memory in the third epoch's draw
        calls.append(1)
        if len(calls) == 6:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return original(self, drawn)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainingLoop, "_to_device", sent)
        jobs = [TrainingJob(m, problem.subsets[i], 10 + i) for i, m in enumerate(flown)]
        assert sorted(map(id, flight.train(jobs))) == sorted(map(id, jobs)), "each once"
    assert said == ["out of memory: continuing with 1 at a time"]
    problem.fly(2, alone)
    for one, other in zip(flown, alone, strict=True):
        alike(one, other)


def test_no_room_for_a_single_model_ends_with_what_to_do() -> None:
    problem = Problem()
    flight = problem.flight(2, [], lambda device: Full(iter([False])))
    with pytest.raises(BenchError, match="does not suffice to train one model"):
        list(flight.train([TrainingJob(problem.models()[0], problem.subsets[0], 1)]))


def test_another_error_is_not_taken_for_memory() -> None:
    problem = Problem()
    flight = problem.flight(2, [])
    with pytest.raises(IndexError):
        list(flight.train([TrainingJob(problem.models()[0], np.full(COUNT, 64), 1)]))
    assert not out_of_memory(RuntimeError("CUDA error: an illegal memory access"))
    hidden = RuntimeError("CUDA error: operation failed due to a previous error during capture")
    hidden.__context__ = torch.OutOfMemoryError("CUDA out of memory")
    assert out_of_memory(hidden)


LIMITED = """
import re, resource, sys
import torch
from torch import nn
from tests.harness.test_interleaved import COUNT, TrainingJob, Problem
torch.set_num_threads(1)
problem = Problem(kind=torch.float32)
def wide():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 150_000), nn.ReLU(), nn.Linear(150_000, 5))
models = [wide() for _ in range(4)]  # 42 MB each; a loop holds weights, gradients, momentum and one batch
said = []
list(problem.flight(1, said, template=models[0]).train([TrainingJob(models[0], problem.subsets[0], 1)]))
now = int(re.search(r"VmSize:\\s+(\\d+)", open("/proc/self/status").read()).group(1)) * 1024
resource.setrlimit(resource.RLIMIT_AS, (now + 400_000_000,) * 2)
flight = problem.flight(4, said, template=models[0])
jobs = [TrainingJob(m, problem.subsets[i], 10 + i) for i, m in enumerate(models)]
done = list(flight.train(jobs))
print(len(done), flight.wanted, said)
"""


@pytest.mark.slow
def test_a_real_limit_of_memory_means_fewer_in_flight() -> None:
    """In a process whose address space is limited: what torch's allocator on a CPU raises then."""
    result = subprocess.run([sys.executable, "-c", LIMITED], capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    done, wanted, said = result.stdout.strip().split(maxsplit=2)
    assert (done, said) == ("4", f"['out of memory: continuing with {wanted} at a time']")
    assert 1 <= int(wanted) < 4


@pytest.mark.gpu
def test_a_real_limit_of_gpu_memory_means_fewer_in_flight() -> None:
    problem, said = Problem("cuda:0", torch.float32), list[str]()
    wide = nn.Sequential(nn.Flatten(), nn.Linear(64, 1_500_000), nn.ReLU(), nn.Linear(1_500_000, 5))
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved(0) + 4e9) / total, 0)
    try:
        models = [wide, *(nn.Sequential(*[type(m)(*a) for m, a in _parts(wide)]) for _ in range(3))]
        flight = problem.flight(4, said, template=wide)
        jobs = [TrainingJob(m, problem.subsets[i], 10 + i) for i, m in enumerate(models)]
        assert len(list(flight.train(jobs))) == 4
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, 0)
    assert said == [f"out of memory: continuing with {flight.wanted} at a time"]


def _parts(model: nn.Sequential) -> list[tuple[nn.Module, tuple[int, ...]]]:
    return [(m, (m.in_features, m.out_features) if isinstance(m, nn.Linear) else ()) for m in model]


def test_batches_are_spread_evenly_in_two_sizes_at_most() -> None:
    for count, size in ((1024, 128), (900, 128), (45900, 256), (40, 16), (7, 16)):
        sizes = batch_sizes(count, size)
        split = torch.arange(count).tensor_split(-(-count // size))
        assert sizes == [len(part) for part in split] and len(set(sizes)) <= 2


@pytest.mark.slow
def test_prepare_trains_the_same_models_in_flight_as_in_groups(references: References) -> None:
    """`bench prepare --gpu` but for the device: plan, trial, processes bound to devices, store."""
    plan = plan_training(references, devices=["cpu", "cpu"], in_flight=2)
    assert plan.workers == 2 and plan.in_flight == 2 and plan.models == 6 and plan.seconds > 0
    assert max(map(len, plan.tasks)) <= 2
    done = list(run_plan(references, plan, lambda epochs: None, local_processes))
    assert len(done) == 6 and not references.missing()
    assert references.manifest.roles["original/0"].gpu_seconds is not None
    role = Role("retrained", 1)
    expected = infer(train_task(references, [role])[0], torch.from_numpy(references.examples.dataset.images),
                     normaliser(references.track))  # fmt: skip
    found = references.logits(role)
    agree = (found.argmax(1) == expected.argmax(1)).mean()
    assert agree > 0.95, "float32 in another order, weights rounded to half precision, but the same model"


def accuracies(device: str, precision: Any, home: Path, compiled: bool = False) -> float:
    """Mean accuracy on V and T of three originals of the fashion track, four epochs of it."""
    track = load_track("fashionmnist-mini")
    track = replace(track, recipe=replace(track.recipe, epochs=4, precision=precision, lr=0.05))
    references = References(track, Store(home))
    roles = [Role("original", seed) for seed in range(3)]
    gpu = GpuTrainer(references, device, 2, compiled) if device != "cpu" else None
    right = []
    for role, model in zip(roles, train_task(references, roles, gpu=gpu), strict=True):
        held_out = np.concatenate([references.examples.parts(role.seed)[part] for part in ("val", "test")])
        images = torch.from_numpy(references.examples.dataset.images)
        logits = infer(model, images, normaliser(track, device), device)
        right.append((logits.argmax(1) == references.examples.dataset.labels)[held_out].mean())
    return float(np.mean(right))


@pytest.mark.slow
@pytest.mark.skipif(not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="this CPU only emulates bfloat16")
def test_mixed_precision_costs_no_accuracy(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_DATA", str(Path(__file__).parents[1] / "data"))
    assert abs(accuracies("cpu", "bfloat16", home) - accuracies("cpu", "float32", home)) < 0.02


@pytest.mark.gpu
@pytest.mark.parametrize(("precision", "compiled"), [("float32", False), ("bfloat16", False), ("bfloat16", True)])
def test_a_gpu_trains_as_well_as_a_cpu(
    precision: Any, compiled: bool, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_DATA", str(Path(__file__).parents[1] / "data"))
    assert abs(accuracies("cuda:0", precision, home, compiled) - accuracies("cpu", "float32", home)) < 0.02


def test_without_bfloat16_a_recipe_that_allows_it_trains_in_float32() -> None:
    """On a CPU that emulates it the models are those of float32; on one that has it, the steps are in bfloat16."""
    problem = Problem(kind=torch.float32)
    problem.to_input = lambda x: x.float() / 255  # type: ignore[method-assign]
    recipe = replace(RECIPE, precision="bfloat16")
    kinds = set()

    class Kinds(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func._overloadpacket.__name__ in ("convolution", "addmm"):
                kinds.add(next(a.dtype for a in args if isinstance(a, Tensor)))
            return func(*args, **(kwargs or {}))

    data = problem.images, problem.labels, problem.subsets[:1]
    with Kinds():
        train(problem.models()[:1], *data, [1], recipe, problem.to_input)
    assert kinds == {torch.bfloat16 if uses_bfloat16(recipe, torch.device("cpu")) else torch.float32}


@pytest.mark.gpu
def test_shipped_methods_run_untimed_on_a_gpu_side_by_side(home: Path) -> None:
    references = References(load_track("digits-resnet18"), Store())
    units = [SeedUnit(baseline("ft"), references.track, seed) for seed in range(2)]
    with WorkerRunner(references.track, "cuda:0") as there, WorkerRunner(references.track) as here:
        found = {unit.seed: result for unit, result in there.run(units, 120.0)}
        expected = {unit.seed: result for unit, result in here.run(units, 120.0)}
    for seed, result in found.items():
        assert result.status == "ok", result.reason
        agree = (result.logits.argmax(1) == expected[seed].logits.argmax(1)).mean()  # type: ignore[union-attr]
        assert agree > 0.9


def test_an_absent_gpu_is_never_replaced_by_the_cpu(small: Path) -> None:
    for command in (["prepare", str(small), "--gpu", "97"], ["prepare", str(small), "--gpu", "0", "--gpu", "97"]):
        result = run(*command)
        assert result.exit_code == 20
        assert "CUDA device" in result.stderr and "bench doctor --gpu" in result.stderr
    result = run("prepare", str(small), "--in-flight", "2")
    assert result.exit_code == 2 and "--gpu" in result.stderr


def test_how_many_are_in_flight_follows_from_the_work_of_a_batch() -> None:
    narrow = build({"name": "resnet18_narrow", "classes": 10, "channels": 1, "width": 8})
    wide = build({"name": "resnet18_narrow", "classes": 10, "width": 64})
    stem = build({"name": "resnet18", "classes": 10})
    assert suggested_in_flight(narrow, (1, 8, 8), 128) == 8
    assert suggested_in_flight(stem, (3, 32, 32), 256) == 8
    assert suggested_in_flight(wide, (3, 32, 32), 256) == 2
    assert suggested_in_flight(stem, (3, 224, 224), 256) == 1
