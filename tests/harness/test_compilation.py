"""Compiled training steps: when, and that they are the same steps. What they save is in ``tests/benchmarks``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch._dynamo.backends.registry import lookup_backend

from tests.harness.conftest import run
from tests.harness.test_interleaved import Problem as Deep
from tests.harness.test_interleaved import alike
from unlearn_bench.harness.executors.ray.cluster import Cluster
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.support.errors import BenchError
from unlearn_bench.harness.training import compilation
from unlearn_bench.harness.training import plan as planning
from unlearn_bench.harness.training.gpu import GpuMeasurement
from unlearn_bench.harness.training.interleaved import TrainingJob
from unlearn_bench.harness.training.plan import plan_training
from unlearn_bench.sandbox.inside.models import BasicBlock


class Problem(Deep):
    """Networks of one block, which has a shortcut of its own and ends in a small map: tracing takes long."""

    def models(self) -> list[nn.Module]:
        models = super().models()
        for model in models:
            model.layer1 = BasicBlock(8, 16, 4)
            model.layer2 = model.layer3 = model.layer4 = nn.Identity()
            model.fc = nn.Linear(16, 5)
            model.to(self.kind)
        return models


@pytest.fixture(autouse=True)
def _nothing_compiled_elsewhere() -> Iterator[None]:
    compilation._compiled.cache_clear()
    yield
    compilation._compiled.cache_clear()


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Functions that are traced and differentiated as on a GPU, but run as they are: making kernels takes long."""
    compiler, made = torch.compile, list[str]()

    def traced(function: Any, **options: Any) -> Any:
        def backend(graph: Any, inputs: Any) -> Any:
            made.append(function.__name__)
            return lookup_backend("aot_eager")(graph, inputs)

        return compiler(function, backend=backend, **options)

    monkeypatch.setattr(torch, "compile", traced)
    return made


@pytest.mark.slow
def test_compiled_steps_train_the_same_models(made: list[str]) -> None:
    problem = Problem()
    flown, alone = problem.models(), problem.models()
    flight = problem.flight(2, [], compiled=True)
    jobs = [TrainingJob(m, problem.subsets[i], 10 + i) for i, m in enumerate(flown)]
    list(flight.train(jobs[:1]))
    assert set(made) == {"_loss", "sgd_update"}
    made.clear()
    list(flight.train(jobs[1:]))
    assert len(flight._loops) == 2 and made == [], "what the first loop compiled serves the second"
    problem.fly(1, alone)
    for one, other in zip(flown, alone, strict=True):
        alike(one, other)


@pytest.mark.slow
def test_compiled_steps_in_bfloat16_train_nearly_the_same_model(
    made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Roundings differ; what a step leaves behind for the next one would show."""
    monkeypatch.setattr(
        "unlearn_bench.harness.training.step.uses_bfloat16", lambda recipe, device: True
    )  # a CPU may only emulate it
    problem = Problem(kind=torch.float32)
    start, flown, alone = (problem.models()[0] for _ in range(3))
    list(problem.flight(1, [], compiled=True).train([TrainingJob(flown, problem.subsets[0], 1)]))
    list(problem.flight(1, []).train([TrainingJob(alone, problem.subsets[0], 1)]))
    way, apart = (torch.dist(model.fc.weight, alone.fc.weight) for model in (start, flown))
    assert apart < 0.1 * way


def test_no_memory_while_compiling_means_fewer_in_flight(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    compiler = torch.compile
    monkeypatch.setattr(torch, "compile", lambda function, **options: compiler(function, backend=full, **options))
    problem, said = Problem(), list[str]()
    with pytest.raises(BenchError, match="does not suffice to train one model"):
        list(problem.flight(1, said, compiled=True).train([TrainingJob(problem.models()[0], problem.subsets[0], 1)]))
    assert said == []


def test_a_step_that_cannot_be_compiled_runs_as_it_is_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any) -> Any:
        raise NotImplementedError("no kernel for this")

    compiler = torch.compile
    monkeypatch.setattr(torch, "compile", lambda function, **options: compiler(function, backend=refused, **options))
    problem, said = Problem(), list[str]()
    flown, alone = problem.models(), problem.models()
    flight = problem.flight(2, said, compiled=True)
    list(flight.train([TrainingJob(m, problem.subsets[i], 10 + i) for i, m in enumerate(flown)]))
    assert len(said) == 1 and "cannot be compiled" in said[0] and "no kernel for this" in said[0]
    problem.fly(1, alone)
    for one, other in zip(flown, alone, strict=True):
        alike(one, other)


def test_a_long_training_on_a_gpu_is_compiled(references: References, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the machine can; otherwise the command says what it lacks."""
    seconds = [100.0]
    monkeypatch.setattr(planning, "_measure", lambda *_: GpuMeasurement(2, seconds[0], 10**9))
    monkeypatch.setattr(compilation, "obstacle", lambda device: None)
    assert plan_training(references, devices=["cuda:0"]).compiled
    monkeypatch.setattr(compilation, "obstacle", lambda device: "there is no C compiler")
    plan = plan_training(references, devices=["cuda:0"])
    assert (plan.compiled, plan.compile_obstacle) == (False, "there is no C compiler")
    seconds[0] = 1e-4
    plan = plan_training(references, devices=["cuda:0"])
    assert (plan.compiled, plan.compile_obstacle) == (False, None), "it would not pay"


def test_the_command_says_what_compiling_lacks(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unlearn_bench.harness.workflows.training.devices", lambda gpus: ("cuda:0",))
    monkeypatch.setattr(planning, "_measure", lambda *_: GpuMeasurement(1, 100.0, None))
    monkeypatch.setattr("unlearn_bench.harness.training.run.run_plan", lambda *_: (model for model in ()))
    monkeypatch.setattr(compilation, "obstacle", lambda device: "there is no C compiler")
    assert (
        "not compiled, which would save time: there is no C compiler" in run("prepare", str(small), "--gpu", "0").stderr
    )
    monkeypatch.setattr(compilation, "obstacle", lambda device: None)
    assert "compiled" not in run("prepare", str(small), "--gpu", "0").stderr


@pytest.mark.parametrize(("seconds", "expected"), [(2500.0, True), (700.0, False)])
def test_on_a_cluster_it_must_pay_for_each_task(
    seconds: float, expected: bool, references: References, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every task there may have a process of its own, which compiles anew."""
    cluster, sent = Cluster.__new__(Cluster), list[Any]()
    cluster._ray = None
    monkeypatch.setattr(compilation, "obstacle", lambda device: None)
    monkeypatch.setattr("unlearn_bench.harness.executors.ray.cluster.counting", lambda *_: nullcontext())
    for name, answer in {"_check": None, "_dataset": None, "trainings": 2}.items():
        monkeypatch.setattr(Cluster, name, lambda *_, answer=answer: answer)
    monkeypatch.setattr(Cluster, "_call", lambda self, function, arguments, *_, **__: sent.append(arguments) or [])
    monkeypatch.setattr(planning, "_measure", lambda *_: GpuMeasurement(1, 1.0, None))
    plan = replace(plan_training(references, 2, devices=["cuda:0", "cuda:1"]), seconds=seconds, compiled=True)
    assert len(plan.tasks) == 6
    list(cluster.train(references, plan, lambda _: None))
    assert {flight for _, _, flight, *_ in sent} == {(1, expected)}


def test_what_compiling_lacks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.delenv("CC", raising=False)
    (tmp_path / "Python.h").touch()
    monkeypatch.setattr(compilation.sysconfig, "get_path", lambda name: str(tmp_path))
    monkeypatch.setattr(compilation.shutil, "which", lambda name: "/usr/bin/gcc" if name == "gcc" else None)
    assert compilation.obstacle("cuda:0") is None
    (tmp_path / "Python.h").unlink()
    assert "Python.h" in str(compilation.obstacle("cuda:0"))
    monkeypatch.setattr(compilation.shutil, "which", lambda name: None)
    assert "C compiler" in str(compilation.obstacle("cuda:0"))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (6, 1))
    assert "too old" in str(compilation.obstacle("cuda:0"))
