"""Networks of torchvision and timm on small images: whether they train, what the baselines do on them, what they cost.

Every network is built for 32 × 32 pixels and sees a few real images: enough to find what does not work, and to compare
the cost of a step with a plain loop's, and no more.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from tests.baselines.conformity import shortened
from tests.baselines.conftest import BASELINES, load_entry
from tests.benchmarks import plain
from unlearn_bench.harness.entries.entry import baseline, baseline_names
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.tracks.specification import Recipe
from unlearn_bench.harness.training.recipe import train
from unlearn_bench.sandbox import weights
from unlearn_bench.sandbox.inside import adapter, models
from unlearn_bench.sandbox.inside.loaders import make_loaders, normalise
from unlearn_bench.sandbox.toolkit import NotApplicable

RESULTS = Path(__file__).parent / "results" / "architectures.jsonl"
MINI = Path(__file__).parents[1] / "data" / "cifar10-mini.npz"
METHODS = [name for name in baseline_names() if baseline(name).kind == "baseline"]
SIZE, CLASSES = 32, 3
RETAIN, FORGET, VAL = 12, 6, 6
"""Images of the three sets."""
RECIPE = Recipe(epochs=4, batch_size=6, lr=0.01, schedule="cosine", seed=1)
"""What is timed."""
LEARNT = Recipe(epochs=30, batch_size=18, optimizer="adamw", lr=1e-3, schedule="cosine", seed=1)
"""What must reduce the loss: 30 steps on all the images."""
NETWORKS: dict[str, dict[str, Any]] = {
    "torchvision:resnet18": {},
    "torchvision:resnet50": {},
    "torchvision:mobilenet_v2": {},
    "torchvision:mobilenet_v3_small": {},
    "torchvision:shufflenet_v2_x0_5": {},
    "torchvision:squeezenet1_1": {},
    "torchvision:mnasnet0_5": {},
    "torchvision:efficientnet_b0": {},
    "torchvision:regnet_y_400mf": {},
    "torchvision:densenet121": {},
    "timm:vit_tiny_patch16_224": {"patch_size": 8},
    "timm:resnetv2_18": {},
    "timm:swin_tiny_patch4_window7_224": {"window_size": 2},
    "timm:convnext_atto": {},
    "timm:mobilevit_xxs": {},
    "timm:edgenext_xx_small": {},
    "timm:tiny_vit_5m_224": {},
    "timm:resmlp_12_224": {},
    "timm:repvgg_a0": {},
    "timm:ghostnet_050": {},
}
"""Name → arguments of its builder."""


@dataclass(frozen=True)
class Row:
    """What was found of one network."""

    network: str
    arguments: dict[str, Any]
    parameters: int
    loss_before: float
    loss_after: float
    """Mean cross-entropy of the training images in eval mode, before and after :data:`LEARNT`."""
    weights_checked: bool
    """Whether its own weights pass the host's check, and those with one tensor missing do not."""
    ran: list[str]
    not_applicable: dict[str, str]
    """Method → the sentence that says why."""
    failed: dict[str, str]
    """Method → its error."""
    step_seconds: float
    plain_step_seconds: float
    """CPU seconds of a training step of 6 images on one thread, ours and a plain loop's: the less of two times each."""


def measured(name: str, arguments: dict[str, Any], methods: list[str]) -> Row:
    """Build one network, train it, check its weights, and run the methods on it."""
    spec = {"name": name, "classes": CLASSES, "channels": 3, "image_size": SIZE, **arguments}
    models.check(spec)
    torch.manual_seed(0)
    model, images, labels = models.build(spec), *pictures()
    track = load_track("cifar10-resnet18")
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (track.data.mean, track.data.std))
    rows = np.arange(RETAIN + FORGET)

    def to_input(batch: torch.Tensor) -> torch.Tensor:
        return normalise(batch, mean, std)

    def ours(network: nn.Module, recipe: Recipe = RECIPE) -> None:
        data = torch.from_numpy(images), torch.from_numpy(labels)
        train([network], *data, [rows], [0], recipe, to_input)

    def theirs(network: nn.Module) -> None:
        data = plain.Pictures(images, labels, track.data.mean, track.data.std, 3)
        plain.train(network, data, rows, RECIPE, "cpu", 0)

    ours(copy.deepcopy(model), replace(RECIPE, epochs=1))  # the first step of a process imports parts of torch
    times = {loop: [cpu_seconds(partial(loop, copy.deepcopy(model)))] for loop in (ours, theirs)}
    times[ours].append(cpu_seconds(partial(ours, copy.deepcopy(model))))
    times[theirs].append(cpu_seconds(partial(theirs, copy.deepcopy(model))))
    steps = RECIPE.epochs * len(rows) // RECIPE.batch_size
    step_seconds, plain_step_seconds = (min(times[loop]) / steps for loop in (ours, theirs))
    trained = copy.deepcopy(model)
    ours(trained, LEARNT)
    batch, targets = to_input(torch.from_numpy(images[rows])), torch.from_numpy(labels[rows])
    losses = [loss(each, batch, targets) for each in (model, trained)]
    outcomes = {method: outcome(method, spec, trained.state_dict(), images, labels) for method in methods}
    return Row(
        network=name,
        arguments=arguments,
        parameters=sum(p.numel() for p in model.parameters()),
        loss_before=round(losses[0], 4),
        loss_after=round(losses[1], 4),
        weights_checked=are_checked(trained, spec),
        ran=[method for method, what in outcomes.items() if what is None],
        not_applicable={m: str(what) for m, what in outcomes.items() if isinstance(what, NotApplicable)},
        failed={m: repr(what) for m, what in outcomes.items() if what and not isinstance(what, NotApplicable)},
        step_seconds=round(step_seconds, 4),
        plain_step_seconds=round(plain_step_seconds, 4),
    )


def pictures() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images [n, 3, 32, 32] of three classes of CIFAR-10, every pixel of the halved ones four times, and labels [n]."""
    with np.load(MINI) as file:
        images, labels = file["images"], file["labels"].astype(np.int64)
    chosen = np.flatnonzero(labels < CLASSES)[: RETAIN + FORGET + VAL]
    return images[chosen].transpose(0, 3, 1, 2).repeat(2, axis=2).repeat(2, axis=3), labels[chosen]


def outcome(
    method: str,
    spec: dict[str, Any],
    state: dict[str, torch.Tensor],
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
) -> Exception | None:
    """Run a method with few epochs on a trained network; return what it raised, ``None`` if its result is finite."""
    data: dict[str, torch.Tensor] = {}
    cuts = np.split(np.arange(len(labels)), [RETAIN, RETAIN + FORGET])
    for part, rows in zip(("retain", "forget", "val"), cuts, strict=True):
        data[f"{part}_images"], data[f"{part}_labels"] = torch.from_numpy(images[rows]), torch.from_numpy(labels[rows])
    model, path = models.load(spec, state), BASELINES / f"{method}.py"
    layout = adapter.layout(model)
    loaders = make_loaders(data, (0.5,) * 3, (0.25,) * 3, 3, 6, 0, "cpu")
    torch.manual_seed(0)
    try:
        unlearned = adapter.state(adapter.call(load_entry(path), model, loaders, shortened(path)), layout)
    except Exception as error:  # the table shows it
        return error
    odd = [name for name, tensor in unlearned.items() if not tensor.isfinite().all()]
    return ValueError(f"{odd[0]} is not finite") if odd else None


def are_checked(model: nn.Module, spec: dict[str, Any]) -> bool:
    """Return whether the host accepts the network's weights, and refuses them without the last tensor."""
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    layout = models.layout(spec)
    weights.check(save(state), layout)
    state.popitem()
    try:
        weights.check(save(state), layout)
    except weights.InvalidWeights:
        return True
    return False


@torch.no_grad()
def loss(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Mean cross-entropy in eval mode, after batch norm's statistics have become those of these images.

    Few steps leave most of a new network's statistics behind, and some networks move theirs by 0.03 % a step.
    """
    model.eval()
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.reset_running_stats()
            module.momentum = None  # the mean of what it sees
            module.train()
    model(images)
    return nn.functional.cross_entropy(model.eval()(images), labels).item()


def cpu_seconds(work: Callable[[], object]) -> float:
    """Return what some work costs, in CPU seconds of this process."""
    start = time.process_time()
    work()
    return time.process_time() - start


def table(path: Path = RESULTS) -> str:
    """Return stored results as a Markdown table, in the order of :data:`NETWORKS`."""
    rows = {row.network: row for row in (Row(**json.loads(line)) for line in path.read_text().splitlines())}
    lines = ["| network | parameters | trains | methods that run | weights checked | step, of a plain loop's |"]
    lines.append("|---|---:|---|---|---|---:|")
    for name in NETWORKS:
        if name not in rows:
            continue
        row = rows[name]
        arguments = "".join(f", `{key} = {value}`" for key, value in row.arguments.items())
        methods = f"{len(row.ran)} of {len(METHODS)}"
        for kind, outcomes in (("not applicable", row.not_applicable), ("failed", row.failed)):
            for why in sorted(set(outcomes.values())):
                titles = ", ".join(baseline(method).title for method in outcomes if outcomes[method] == why)
                methods += f"; {kind}: {titles} ({why})"
        trains = f"{row.loss_before:.2f} → {row.loss_after:.2f}"
        lines.append(
            f"| `{row.network}`{arguments} | {row.parameters / 1e6:.1f} M | {trains} | {methods} | "
            f"{'yes' if row.weights_checked else 'no'} | {row.step_seconds / row.plain_step_seconds:.0%} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure the networks that have no result yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("networks", nargs="*", default=list(NETWORKS), help="default: all twenty")
    parser.add_argument("--methods", nargs="*", default=METHODS, choices=METHODS)
    parser.add_argument("--out", type=Path, default=RESULTS, help="one line per network; those that are there stay")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    done: set[str] = set()
    if arguments.out.exists():
        done = {json.loads(line)["network"] for line in arguments.out.read_text().splitlines()}
    for name in arguments.networks:
        if name not in done:
            print(name, file=sys.stderr, flush=True)
            row = measured(name, NETWORKS.get(name, {}), arguments.methods)
            with arguments.out.open("a") as file:
                file.write(json.dumps(asdict(row)) + "\n")
    print(table(arguments.out))


if __name__ == "__main__":
    main()
