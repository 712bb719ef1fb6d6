"""What the names of FT, GA, SRL, SalUN, BT, SCRUB and NG+ promise, watched while they run."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.baselines.recording import changed, parameters

Run = Callable[[], nn.Module]


def results(module: ModuleType, name: str, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Grows with what every call of a function of the module returns."""
    found: list[Any] = []
    function = getattr(module, name)

    def noted(*args: Any, **kwargs: Any) -> Any:
        found.append(function(*args, **kwargs))
        return found[-1]

    monkeypatch.setattr(module, name, noted)
    return found


class Pass:
    """Training over batches: the batches, the objective on the last of them afterwards, and whether weights moved."""

    def __init__(self, step: Callable[..., None], objective: Any, batches: Any, optimizer: Any, **more: Any) -> None:
        self.objective, self.batches = objective, list(batches)
        held = [p for group in optimizer.param_groups for p in group["params"]]
        before = [p.detach().clone() for p in held]
        step(objective, self.batches, optimizer, **more)
        self.moved = any(not torch.equal(old, p) for old, p in zip(before, held, strict=True))
        with torch.no_grad():
            self.value = float(objective(*self.batches[-1]))


def passes(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[Pass]:
    """Grows with every pass of training."""
    found: list[Pass] = []
    step = module.train_epoch
    monkeypatch.setattr(module, "train_epoch", lambda *args, **more: found.append(Pass(step, *args, **more)))
    return found


def key(image: Tensor) -> bytes:
    return image.cpu().numpy().tobytes()


def targets(trained: Iterable[Pass], images: Tensor) -> Tensor:
    """What the images were trained towards, [passes over them, n, …]."""
    given = defaultdict(list)
    for one in trained:
        for x, y, *_ in one.batches:
            for image, target in zip(x, y, strict=True):
                given[key(image)].append(target)
    return torch.stack([torch.stack(given[key(image)]) for image in images], dim=1)


def ft(module: ModuleType, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Training on one set moves the weights."""
    moved: list[set[str]] = []
    fit = module.fit

    def noted(model: nn.Module, batches: Any, **more: Any) -> nn.Module:
        before = parameters(model)
        assert more["epochs"] > 0 and batches is sets[0]
        fit(model, batches, **more)
        moved.append(changed(before, parameters(model)))
        return model

    monkeypatch.setattr(module, "fit", noted)
    sets = results(module, "rebatch", monkeypatch)
    run()
    assert len(sets) == len(moved) == 1 and moved[0]


def ga(module: ModuleType, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The negated loss is what training decreases, and the original is not what comes out."""
    before: list[Any] = []
    cross_entropy = module.cross_entropy

    def noted(model: nn.Module) -> Any:
        before.append(parameters(model))
        return cross_entropy(model)

    monkeypatch.setattr(module, "cross_entropy", noted)
    trained = passes(module, monkeypatch)
    after = parameters(run())
    assert trained and all(one.value < 0 for one in trained)
    assert changed(before[0], after)


def srl(module: ModuleType, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """R keeps its labels, and F has others, which change from epoch to epoch."""
    kept_and_forgotten, trained = results(module, "tensors", monkeypatch), passes(module, monkeypatch)
    run()
    kept, forgotten = kept_and_forgotten
    assert all(one.moved for one in trained)
    assert (targets(trained, kept[0]) == kept[1]).all()
    drawn = targets(trained, forgotten[0])
    assert (drawn != forgotten[1]).any(dim=1).all()
    assert (drawn[1:] != drawn[:-1]).any(dim=1).all()


def salun(module: ModuleType, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """As SRL; weights outside the mask, some of which matter, keep every bit, and weights inside move."""
    before: list[Any] = []
    gradient = module.gradient

    def noted(model: nn.Module, *args: Any) -> list[Tensor]:
        before.extend(p.detach().clone() for p in model.parameters())
        return gradient(model, *args)

    monkeypatch.setattr(module, "gradient", noted)
    slopes, masks = results(module, "gradient", monkeypatch), results(module, "largest", monkeypatch)
    after: list[Tensor] = []

    def run_and_keep() -> nn.Module:
        model = run()
        after.extend(model.parameters())
        return model

    srl(module, run_and_keep, monkeypatch)
    moved, mask, slope = (
        torch.cat([tensor.flatten() for tensor in group])
        for group in ([p != q for p, q in zip(before, after, strict=True)], masks[0], slopes[0])
    )
    assert not moved[~mask].any() and (slope[~mask] != 0).any()
    assert moved[mask].any()


def bt(module: ModuleType, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network with other weights says what to answer on F, and the original on some of R."""
    teachers: list[nn.Module] = []
    answers: list[tuple[Tensor, Tensor]] = []
    predict = module.predict

    def noted(model: nn.Module, images: Tensor, *args: Any) -> Tensor:
        teachers.append(copy.deepcopy(model))
        answers.append((images, predict(model, images, *args)))
        return answers[-1][1]

    monkeypatch.setattr(module, "predict", noted)
    kept_and_forgotten, trained = results(module, "tensors", monkeypatch), passes(module, monkeypatch)
    student = parameters(run())
    good, bad = (parameters(teacher) for teacher in teachers)
    assert len(changed(good, bad)) > len(good) / 2 and changed(good, student)
    assert 0 < len(answers[0][0]) <= len(kept_and_forgotten[0][0])
    assert torch.equal(answers[1][0], kept_and_forgotten[1][0])
    assert all(one.moved for one in trained)
    for images, logits in answers:
        assert (targets(trained, images) == logits).all()


def scrub(module: ModuleType, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """At first the student moves away from the teacher on F; every epoch it learns R."""
    kept_and_forgotten, trained = results(module, "tensors", monkeypatch), passes(module, monkeypatch)
    run()
    forgotten = {key(image) for image in kept_and_forgotten[1][0]}
    away = [key(one.batches[0][0][0]) in forgotten for one in trained]
    rounds = len(away) - sum(away)
    assert away == [True, False] * sum(away) + [False] * (rounds - sum(away))
    assert sum(away) > 0 and trained[0].value < 0
    assert all(one.moved for one in trained)


def ng_plus(module: ModuleType, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step has a batch of either set, and a greater error on F is what it likes."""
    models: list[nn.Module] = []
    cross_entropy = module.cross_entropy

    def noted(model: nn.Module) -> Any:
        models.extend([model, copy.deepcopy(model)])
        return cross_entropy(model)

    monkeypatch.setattr(module, "cross_entropy", noted)
    sets, trained = results(module, "rebatch", monkeypatch), passes(module, monkeypatch)
    after = parameters(run())
    retained, forgotten = sets
    original = parameters(models[1])
    assert trained and changed(original, after)
    known = {key(image) for image in forgotten.data[0]}
    for one in trained:
        assert len(one.batches) == len(retained)
        assert all(key(image) in known for _, (images, _) in one.batches for image in images)
    kept, (images, labels) = trained[0].batches[0]
    models[0].load_state_dict(models[1].state_dict())
    other = (labels + 1) % int(labels.max() + 1)
    with torch.no_grad():
        errors = [F.cross_entropy(models[0].train()(images), y) for y in (labels, other)]
        values = [trained[0].objective(kept, (images, y)) for y in (labels, other)]
    assert (errors[0] - errors[1]) * (values[0] - values[1]) < 0
