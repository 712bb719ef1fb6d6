"""Entries that misbehave in one way each: every one must be reported, under the right name and no other."""

from __future__ import annotations

import copy
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from tests.baselines.conformity import faults, limits, run
from tests.baselines.conftest import SPECS, tiny_problem
from unlearn_bench.sandbox.toolkit import Batches, augment, fit, sample_gradients, tensors

CASES: dict[str, tuple[Callable[..., Any], set[str]]] = {}


def reported_as(*names: str) -> Callable[[Callable[..., Any]], None]:
    def add(unlearn: Callable[..., Any]) -> None:
        CASES[unlearn.__name__] = unlearn, set(names)

    return add


def fine_tune(model: nn.Module, retain: Any, after_step: Callable[[nn.Module, Any], Any] = lambda *_: None) -> None:
    """Two epochs of three batches, as a shortened entry; ``after_step`` gets the model and the logits."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    model.train()
    for _ in range(2):
        for images, labels in retain:
            if len(labels) > 1:
                optimizer.zero_grad()
                logits = model(images)
                cross_entropy(logits, labels).backward()
                optimizer.step()
            after_step(model, images)


@reported_as()
def trains(model: Any, retain: Any, forget: Any, val: Any) -> Any:
    fine_tune(model, retain)


@reported_as()
def leaves_half_precision(model: Any, retain: Any, forget: Any, val: Any) -> Any:
    list(retain)
    return model.half()


@reported_as()
def draws_on_the_host_and_brings_it_over(model: Any, retain: Any, forget: Any, val: Any) -> Any:
    list(retain)
    torch.randperm(4)[:2].tolist()
    torch.ones(3) * torch.zeros(3)
    model.fc.weight.detach() + torch.randn(model.fc.weight.shape).to(model.fc.weight)
    model.fc.weight.detach() * torch.tensor(2.0)


@reported_as("error")
def raises(model: Any, retain: Any, forget: Any, val: Any) -> Any:
    list(retain)
    raise ArithmeticError


@reported_as("architecture")
def returns_another_head(model: Any, retain: Any, forget: Any, val: Any) -> Any:
    list(retain)
    model.fc = nn.Linear(model.fc.in_features, 7)


@reported_as("finite")
def returns_nan(model: Any, retain: Any, forget: Any, val: Any) -> Any:
    list(retain)
    nn.init.constant_(model.fc.bias, float("nan"))


@reported_as("outputs")
def returns_weights_that_overflow(model: Any, retain: Any, forget: Any, val: Any) -> Any:
    list(retain)
    nn.init.constant_(model.bn1.weight, 1e38)
    nn.init.constant_(model.fc.weight, 1e38)


@reported_as("device")
def names_the_device_of_a_new_tensor(model: Any, retain: Any, forget: Any, val: Any) -> Any:
    list(retain)
    torch.zeros(1, device="cpu")


@reported_as("device")
def moves_the_model(model: Any, retain: Any, forget: Any, val: Any) -> Any:
    list(retain)
    return model.to("cpu")


@reported_as("device")
def takes_images_to_the_host(model: Any, retain: Any, forget: Any, val: Any) -> Any:
    for images, _ in retain:
        images.cpu()


@reported_as("device")
def takes_images_to_numpy(model: Any, retain: Any, forget: Any, val: Any) -> Any:
    for images, _ in retain:
        images.numpy()


@reported_as("device")
def forgets_the_device_of_noise(model: Any, retain: Any, forget: Any, val: Any) -> Any:
    list(retain)
    weight = model.fc.weight
    with torch.no_grad():
        weight.add_(torch.randn(*weight.shape).mul(0.1))


@reported_as("device", "memory")
def forgets_the_device_of_targets(model: Any, retain: Any, forget: Any, val: Any) -> Any:
    for images, labels in retain:
        sample_gradients(model, images, torch.full((len(labels),), 1))


@reported_as("device", "error")
def asks_for_cuda(model: Any, retain: Any, forget: Any, val: Any) -> Any:
    list(retain)
    if torch.cuda.is_available():
        raise NotImplementedError
    model.cuda()


@reported_as("data")
def brightens_images(model: Any, retain: Any, forget: Any, val: Any) -> Any:
    retain.dataset.images.add_(1)


@reported_as("data")
def overwrites_labels(model: Any, retain: Any, forget: Any, val: Any) -> Any:
    retain.dataset.labels.fill_(0)


@reported_as("reads", "error")
def reads_val(model: Any, retain: Any, forget: Any, val: Any) -> Any:
    list(retain)
    list(val)


@reported_as("reads")
def reads_val_on_the_sly(model: Any, retain: Any, forget: Any, val: Any) -> Any:
    list(retain)
    with suppress(PermissionError):
        len(val)


@reported_as("idle declaration")
def reads_nothing(model: Any, retain: Any, forget: Any, val: Any) -> Any:
    pass


@reported_as("output")
def prints(model: Any, retain: Any, forget: Any, val: Any) -> Any:
    print(len(retain))


@reported_as("output")
def writes_to_the_error_stream(model: Any, retain: Any, forget: Any, val: Any) -> Any:
    os.write(2, b"%d" % len(retain))


@reported_as("files")
def writes_a_file(model: Any, retain: Any, forget: Any, val: Any) -> Any:
    len(retain)
    Path("state").write_text("kept")
    Path("state").unlink()


@reported_as("files")
def saves_the_state(model: Any, retain: Any, forget: Any, val: Any) -> Any:
    len(retain)
    torch.save(model.state_dict(), "state.pt")


@reported_as("files")
def makes_a_folder(model: Any, retain: Any, forget: Any, val: Any) -> Any:
    len(retain)
    os.mkdir("kept")  # noqa: PTH102
    shutil.rmtree("kept")


@reported_as("files")
def writes_beside_other_users_files(model: Any, retain: Any, forget: Any, val: Any) -> Any:
    len(retain)
    with open(f"/tmp/entry-{os.getpid()}", "wb"):  # noqa: PTH123
        pass
    os.remove(f"/tmp/entry-{os.getpid()}")  # noqa: PTH107


@reported_as("files")
def reads_the_benchmark(model: Any, retain: Any, forget: Any, val: Any) -> Any:
    len(retain)
    Path(__file__).read_bytes()


@reported_as("scratch")
def writes_a_temporary_file(model: Any, retain: Any, forget: Any, val: Any) -> Any:
    len(retain)
    with tempfile.TemporaryFile() as file:
        file.write(b"kept")


@reported_as("scratch")
def saves_the_state_for_a_while(model: Any, retain: Any, forget: Any, val: Any) -> Any:
    len(retain)
    torch.save(model.state_dict(), Path(tempfile.gettempdir()) / "state.pt")


@reported_as("network")
def opens_a_socket(model: Any, retain: Any, forget: Any, val: Any) -> Any:
    len(retain)
    socket.socket().close()


@reported_as("network")
def asks_for_a_name(model: Any, retain: Any, forget: Any, val: Any) -> Any:
    len(retain)
    socket.getaddrinfo("127.0.0.1", 80)


@reported_as("processes")
def starts_a_program(model: Any, retain: Any, forget: Any, val: Any) -> Any:
    len(retain)
    subprocess.run([sys.executable, "--version"], capture_output=True, check=True)


@reported_as("processes")
def forks(model: Any, retain: Any, forget: Any, val: Any) -> Any:
    len(retain)
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)


@reported_as("copies", "memory")
def keeps_every_state(model: Any, retain: Any, forget: Any, val: Any) -> Any:
    states: list[Any] = []
    fine_tune(model, retain, lambda model, _: states.append(copy.deepcopy(model.state_dict())))


@reported_as("memory")
def keeps_every_graph(model: Any, retain: Any, forget: Any, val: Any) -> Any:
    logits: list[Any] = []
    fine_tune(model, retain, lambda model, images: logits.append(model.eval()(images.repeat(3, 1, 1, 1))))


@pytest.mark.parametrize("name", CASES)
def test_what_an_entry_does_is_reported_under_its_name(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    unlearn, expected = CASES[name]
    seen = run(unlearn, "resnet", {"retain"}, capfd)
    assert set(faults(seen, "resnet", {"retain"}, limits("resnet", by_sample=False))) == expected


def test_to_be_observed_changes_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    seen = run(fine_tune_drawing, "tinyvit", {"retain"}, capfd)
    model, loaders = tiny_problem("tinyvit")
    fine_tune_drawing(model.eval(), *loaders)
    assert all(torch.equal(tensor, seen.state[name]) for name, tensor in model.state_dict().items())


def fine_tune_drawing(model: Any, retain: Any, forget: Any, val: Any) -> Any:
    """Through the toolkit: an order drawn on the data's device, augmentation, fused SGD, single samples' gradients."""
    batches = Batches(*tensors(retain), batch_size=16, transform=partial(augment, crop=2, flip=True))
    fit(model, batches, epochs=1, lr=0.01, weight_decay=5e-4)
    rows = sample_gradients(model, *next(iter(retain)))
    with torch.no_grad():
        vector_to_parameters(parameters_to_vector(model.parameters()) - rows.mean(0), model.parameters())


@pytest.mark.parametrize("by_sample", [False, True])
@pytest.mark.parametrize("architecture", SPECS)
def test_a_model_kept_from_every_step_is_too_much(
    architecture: str, by_sample: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    """Beside a TinyViT's activations, or rows of gradients, too."""
    unlearn, _ = CASES["keeps_every_state"]
    seen = run(unlearn, architecture, {"retain"}, capfd)
    assert "copies" in faults(seen, architecture, {"retain"}, limits(architecture, by_sample))
