"""Behaviour of SRL, SalUN, BT and SCRUB."""

from __future__ import annotations

import copy
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from tests.baselines.conftest import accuracy
from unlearn_bench.sandbox import toolkit

Entry = Callable[[str], ModuleType]
Data = tuple[Tensor, Tensor]
Digits = dict[str, Data]


def loaders(*data: Any) -> list[Any]:
    return [torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*pair), batch_size=64) for pair in data]


def predict(model: nn.Module, images: Tensor) -> Tensor:
    """Logits in eval mode, from a copy."""
    with torch.no_grad():
        return copy.deepcopy(model).eval()(images)


def kl(teacher: Tensor, student: Tensor, temperature: float = 1.0) -> Tensor:
    """Mean over samples of Σ p·log(p/q) of the softened distributions."""
    p, q = (logits.div(temperature).softmax(1) for logits in (teacher, student))
    return (p * (p / q).log()).sum(1).mean()


def steps(model: nn.Module, optimizer: Any, *objectives: Callable[[nn.Module], Tensor]) -> nn.Module:
    """One step per objective in train mode; the reference that entries are compared with."""
    model.train()
    running = optimizer(model.parameters())
    for objective in objectives:
        running.zero_grad()
        objective(model).backward()
        running.step()
    return model


def watch(model: nn.Module, *, training: bool = True) -> list[Tensor]:
    """Grows with the images of every forward pass in the given mode."""
    seen: list[Tensor] = []
    model.register_forward_pre_hook(
        lambda module, args: seen.append(args[0].clone()) if module.training == training else None
    )
    return seen


def moved(before: nn.Module, after: nn.Module) -> Tensor:
    """Mask over all parameters, flattened: whose bits changed."""
    pairs = zip(before.parameters(), after.parameters(), strict=True)
    return torch.cat([(p.view(torch.int32) != q.view(torch.int32)).flatten() for p, q in pairs])


# Random labels


@pytest.mark.parametrize(
    ("name", "options"), [("srl", {}), ("salun", {"order": "shuffled"}), ("salun", {"order": "forget first"})]
)
def test_every_epoch_draws_labels_for_the_forget_set_alone(
    name: str, options: dict[str, str], entry: Entry, monkeypatch: pytest.MonkeyPatch
) -> None:
    n, m, classes, epochs = 300, 2000, 5, 3
    images = torch.arange(float(n + m)).view(-1, 1, 1, 1) / 1e4  # each its own number
    labels = torch.cat([torch.arange(n) % classes, torch.zeros(m, dtype=torch.long)])
    model = nn.Sequential(nn.Flatten(), nn.Linear(1, classes))
    seen, given, plain = watch(model), list[Tensor](), F.cross_entropy

    def cross_entropy(logits: Tensor, labels: Tensor, **options: Any) -> Tensor:
        given.append(labels.clone())
        return plain(logits, labels, **options)

    monkeypatch.setattr(F, "cross_entropy", cross_entropy)
    data = loaders((images[:n], labels[:n]), (images[n:], labels[n:]))

    entry(name).unlearn(model, *data, None, epochs=epochs, batch_size=128, lr=1e-3, **options)

    total = epochs * (n + m)  # SalUN's gradient comes before
    order = (torch.cat(seen).flatten()[-total:] * 1e4).round().long().view(epochs, -1)
    assert all(torch.equal(epoch.sort().values, torch.arange(n + m)) for epoch in order)
    if options.get("order") == "forget first":
        assert (order[:, :m] >= n).all() and (order[:, m:] < n).all()
    else:
        assert all((epoch[:500] < n).sum() > 30 for epoch in order)  # shuffled together
    trained = torch.empty_like(order).scatter_(1, order, torch.cat(given)[-total:].view(epochs, -1))
    assert (trained[:, :n] == labels[:n]).all()
    for drawn in trained[:, n:]:
        assert (drawn.bincount(minlength=classes) / m - 1 / classes).abs().max() < 0.05
    for one, other in ((0, 1), (1, 2), (0, 2)):
        assert abs((trained[one, n:] == trained[other, n:]).float().mean().item() - 1 / classes) < 0.05


def test_srl_makes_the_forget_set_uncertain(
    entry: Entry, original: nn.Module, digits: Digits, digits_loaders: Any
) -> None:
    assert accuracy(original, digits["forget"]) > 0.98
    unlearned = entry("srl").unlearn(original, *digits_loaders, lr=0.05, epochs=5, batch_size=64)
    assert accuracy(unlearned, digits["forget"]) < 0.95 < accuracy(unlearned, digits["retain"])


# Saliency


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_salun_ranks_the_entries_of_all_tensors_together(share: float, entry: Entry) -> None:
    scores = [torch.randn(4, 3, 3, 3), 10 * torch.randn(50), torch.randn(7, 5) / 10]
    masks = entry("salun").largest(scores, share)
    assert [mask.shape for mask in masks] == [score.shape for score in scores]
    pooled, chosen = (torch.cat([part.flatten() for part in parts]) for parts in (scores, masks))
    assert chosen.sum() == int(share * len(pooled))
    if 0 < share < 1:
        assert pooled[chosen].abs().min() >= pooled[~chosen].abs().max()


def test_salun_takes_its_share_of_the_entries_that_matter_at_all(entry: Entry) -> None:
    scores = [torch.randn(40), torch.zeros(100), torch.randn(60)]
    masks = entry("salun").largest(scores, 0.8)
    assert not masks[1].any() and sum(mask.sum() for mask in masks) == 80


@pytest.mark.parametrize("architecture", ["resnet", "tinyvit"])
@pytest.mark.parametrize("batch_size", [8, 64])
def test_salun_sums_the_gradient_of_the_original_over_the_forget_set(
    architecture: str, batch_size: int, entry: Entry, tiny: Callable[[str], Any]
) -> None:
    model, (_, forget, _) = tiny(architecture)
    images, labels = toolkit.tensors(forget)
    before = copy.deepcopy(model.state_dict())
    for p in model.parameters():
        p.grad = torch.ones_like(p)  # left behind by someone
    got = entry("salun").gradient(model, images, labels, batch_size)

    still = copy.deepcopy(model).train()
    for module in still.modules():
        module.train(not isinstance(module, _BatchNorm))
    still.zero_grad()
    F.cross_entropy(still(images), labels, reduction="sum").backward()
    torch.testing.assert_close(got, [p.grad for p in still.parameters()], atol=1e-5, rtol=1e-3)
    torch.testing.assert_close(F.cross_entropy(still(images), labels), F.cross_entropy(predict(model, images), labels))
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize(("momentum", "weight_decay"), [(0.0, 0.0), (0.9, 0.1)])
def test_salun_leaves_every_bit_outside_the_mask(
    momentum: float, weight_decay: float, entry: Entry, original: nn.Module, digits: Digits, digits_loaders: Any
) -> None:
    before = copy.deepcopy(original)
    slopes = entry("salun").gradient(copy.deepcopy(original), *digits["forget"], 256)
    mask = torch.cat([part.flatten() for part in entry("salun").largest(slopes, 0.3)])
    options = {"momentum": momentum, "weight_decay": weight_decay, "threshold": 0.3, "lr": 0.05, "epochs": 2}
    changed = moved(before, entry("salun").unlearn(original, *digits_loaders, **options))
    assert not changed[~mask].any()
    assert changed[mask].float().mean() > 0.99


def test_salun_decays_the_weights_inside_the_mask(
    entry: Entry, original: nn.Module, digits: Digits, digits_loaders: Any
) -> None:
    slopes = entry("salun").gradient(copy.deepcopy(original), *digits["forget"], 256)
    masks = entry("salun").largest(slopes, 0.3)
    after = []
    for weight_decay in (0.0, 0.5):
        torch.manual_seed(2)
        options = {"weight_decay": weight_decay, "threshold": 0.3, "lr": 0.1, "epochs": 1}
        options |= {"batch_size": 2048, "order": "shuffled"}
        after.append(entry("salun").unlearn(copy.deepcopy(original), *digits_loaders, **options).parameters())
    for mask, old, free, decayed in zip(masks, original.parameters(), *after, strict=True):
        torch.testing.assert_close(free - decayed, 0.1 * 0.5 * old * mask, atol=1e-4, rtol=1e-3)


@pytest.mark.slow
def test_salun_forgets_with_a_part_of_the_weights(
    entry: Entry, original: nn.Module, digits: Digits, digits_loaders: Any
) -> None:
    unlearned = entry("salun").unlearn(original, *digits_loaders)
    assert accuracy(unlearned, digits["forget"]) < 0.95 < accuracy(unlearned, digits["retain"])


# Bad teacher


def spy_on_bad_teacher(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[nn.Module]:
    teachers: list[nn.Module] = []

    def reinitialise(model: nn.Module) -> nn.Module:
        teachers.append(toolkit.reinitialise(model))
        return model

    monkeypatch.setattr(module, "reinitialise", reinitialise)
    return teachers


def test_bt_hands_adam_the_divergence_from_both_teachers(
    entry: Entry, original: nn.Module, digits: Digits, monkeypatch: pytest.MonkeyPatch
) -> None:
    slopes: list[list[Tensor]] = []

    class Adam(torch.optim.Adam):
        def step(self, closure: Any = None) -> None:  # type: ignore[override]
            slopes.append([p.grad.clone() for group in self.param_groups for p in group["params"]])

    monkeypatch.setattr(torch.optim, "Adam", Adam)
    module = entry("bt")
    teachers = spy_on_bad_teacher(module, monkeypatch)
    kept, forgotten = (tuple(tensor[:60] for tensor in digits[name]) for name in ("retain", "forget"))
    start = copy.deepcopy(original)
    options = {"epochs": 1, "batch_size": 256, "temperature": 3.0, "retain_share": 1.0}
    module.unlearn(original, *loaders(kept, forgotten), None, **options)

    answers = torch.cat([predict(start, kept[0]), predict(teachers[0], forgotten[0])])
    (kl(answers, start.train()(torch.cat([kept[0], forgotten[0]])), 3.0) / 10).backward()  # mean over the classes, too
    (got,) = slopes
    torch.testing.assert_close(got, [p.grad for p in start.parameters()], atol=1e-5, rtol=1e-3)


@pytest.mark.slow
def test_bt_leads_forget_to_the_bad_teacher_and_retain_to_the_original(
    entry: Entry, original: nn.Module, digits: Digits, digits_loaders: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = entry("bt")
    teachers = spy_on_bad_teacher(module, monkeypatch)
    start, seen = copy.deepcopy(original), watch(original)
    options = {"epochs": 10, "batch_size": 64, "lr": 0.01, "retain_share": 1.0}
    unlearned = module.unlearn(original, *digits_loaders, **options)
    (bad,) = teachers
    assert accuracy(bad, digits["retain"]) < 0.3  # untrained, and trained by nobody since
    images, retain = digits["forget"][0], digits["retain"][0]
    answer = predict(unlearned, images)
    assert kl(predict(bad, images), answer) < 0.5 * kl(predict(bad, images), predict(start, images))
    assert kl(predict(start, images), answer) > 5 * kl(predict(start, retain), predict(unlearned, retain))
    assert accuracy(unlearned, digits["forget"]) < 0.9 < accuracy(unlearned, digits["retain"])
    mixed = [(batch[:, None] == images).flatten(2).all(2).any(1).float().mean().item() for batch in seen]
    assert min(mixed) > 0 and max(mixed) < 0.5  # every batch holds both sets


@pytest.mark.parametrize(("share", "count"), [(0.25, 25), (1.0, 99), (1e-9, 1)])
def test_bt_draws_its_share_of_retain_once(share: float, count: int, entry: Entry, tiny: Callable[[str], Any]) -> None:
    model, _ = tiny("resnet")
    images = torch.arange(99.0).view(-1, 1, 1, 1).expand(-1, 1, 8, 8)  # each its own number
    seen, labels = watch(model), torch.zeros(99, dtype=torch.long)
    entry("bt").unlearn(model, *loaders((images, labels), (-1 - images, labels)), None, epochs=3, retain_share=share)
    kept, forgotten = (numbers.unique(return_counts=True) for numbers in parts(torch.cat(seen)[:, 0, 0, 0]))
    assert len(kept[0]) == count and (kept[1] == 3).all()
    assert len(forgotten[0]) == 99 and (forgotten[1] == 3).all()


def parts(numbers: Tensor) -> tuple[Tensor, Tensor]:
    return numbers[numbers >= 0], numbers[numbers < 0]


# SCRUB


def test_scrub_goes_up_on_forget_then_down_on_retain(entry: Entry, original: nn.Module, digits: Digits) -> None:
    kept, forgotten = (tuple(tensor[:60] for tensor in digits[name]) for name in ("retain", "forget"))
    alpha, gamma, heat, rates = 0.3, 0.7, 3.0, dict[str, Any](lr=0.02, weight_decay=0.01)
    teachers = [predict(original, images) for images, _ in (kept, forgotten)]
    size = {"retain_batch_size": 64, "forget_batch_size": 64}

    def leave(student: nn.Module) -> Tensor:
        return -(heat**2) * kl(teachers[1], student(forgotten[0]), heat)

    def stay(student: nn.Module) -> Tensor:
        logits = student(kept[0])
        return gamma * F.cross_entropy(logits, kept[1]) + alpha * heat**2 * kl(teachers[0], logits, heat)

    for share, objectives in ((0.0, [stay]), (1.0, [leave, stay])):
        expected = steps(
            copy.deepcopy(original), lambda weights: torch.optim.SGD(weights, momentum=0.9, **rates), *objectives
        )
        got = entry("scrub").unlearn(
            copy.deepcopy(original), *loaders(kept, forgotten), None,
            alpha=alpha, gamma=gamma, temperature=heat, epochs=1, max_share=share, decay=1.0, **size, **rates,
        )  # fmt: skip
        torch.testing.assert_close(list(got.parameters()), list(expected.parameters()), atol=2e-5, rtol=1e-3)


@pytest.mark.parametrize(
    ("epochs", "share", "passes"), [(4, 0.5, "FRFRRR"), (5, 0.6, "FRFRFRRR"), (3, 0.1, "FRRR"), (2, 1.0, "FRFR")]
)
def test_scrub_moves_away_in_its_share_of_the_epochs_once_at_least(
    epochs: int, share: float, passes: str, entry: Entry, tiny: Callable[[str], Any]
) -> None:
    model, (retain, forget, _) = tiny("resnet")
    kept, forgotten = toolkit.tensors(retain), toolkit.tensors(forget)
    marked = (kept[0].clamp(max=1), kept[1]), (forgotten[0] + 5, forgotten[1])
    trained, evaluated = watch(model), watch(model, training=False)
    entry("scrub").unlearn(
        model, *loaders(*marked), None,
        epochs=epochs, max_share=share, retain_batch_size=64, forget_batch_size=64,
    )  # fmt: skip
    assert "".join("R" if batch.max() <= 1 else "F" for batch in trained) == passes
    assert sum(map(len, evaluated)) == len(kept[1]) + (1 + epochs) * len(
        forgotten[1]
    )  # the teacher's, and whether finite


def test_scrub_slows_down_after_three_fifths(entry: Entry, tiny: Callable[[str], Any]) -> None:
    def run(epochs: int, decay: float) -> list[Tensor]:
        model, data = tiny("resnet")
        options = {"epochs": epochs, "max_share": 0.1, "lr": 0.01, "decay": decay}
        return list(entry("scrub").unlearn(model, *data, **options).parameters())

    slow, short, fast = run(5, 0.0), run(3, 1.0), run(5, 1.0)
    assert all(torch.equal(p, q) for p, q in zip(slow, short, strict=True))
    assert not all(torch.equal(p, q) for p, q in zip(slow, fast, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("reference", ["val", "wrong elsewhere", "retain"])
def test_scrub_rewinds_to_the_epoch_that_errs_on_forget_as_the_last_does_on_val(
    reference: str, entry: Entry, original: nn.Module, digits: Digits, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, labels = digits[reference.replace("wrong elsewhere", "val")]
    unseen = images, labels.where(labels < 7, 16 - labels) if reference == "wrong elsewhere" else labels
    forgotten, comparable = (of_classes_below(7, data) for data in (digits["forget"], unseen))
    data = loaders(tuple(tensor[:256] for tensor in digits["retain"]), forgotten, unseen)
    monkeypatch.setattr(torch, "save", None)  # in memory, never on disk
    options = {"lr": 0.005, "decay": 1.0, "retain_batch_size": 64}

    def run(epochs: int, **more: Any) -> nn.Module:
        torch.manual_seed(3)
        return entry("scrub").unlearn(
            copy.deepcopy(original), *data, epochs=epochs, max_share=2 / epochs, **options, **more
        )

    epochs = [run(count + 1) for count in range(5)]
    errors = [1 - accuracy(model, forgotten) for model in epochs]
    target = 1 - accuracy(epochs[-1], comparable)
    nearest = min(range(5), key=lambda epoch: abs(errors[epoch] - target))
    got = run(5, rewind=True).state_dict()
    assert all(torch.equal(got[name], tensor) for name, tensor in epochs[nearest].state_dict().items())


def of_classes_below(end: int, data: Data) -> Data:
    return data[0][data[1] < end], data[1][data[1] < end]


@pytest.mark.parametrize("rewind", [False, True])
@pytest.mark.parametrize(("lr", "alpha", "gamma"), [(1.0, 1e-3, 0.1), (1e3, 0.0, 0.0)])
def test_scrub_stops_while_everything_is_finite(
    lr: float, alpha: float, gamma: float, rewind: bool, entry: Entry, tiny: Callable[[str], Any]
) -> None:
    model, data = tiny("resnet")
    options = {"lr": lr, "alpha": alpha, "gamma": gamma, "temperature": 5.0, "max_share": 1.0, "epochs": 10}
    unlearned = entry("scrub").unlearn(model, *data, rewind=rewind, **options)
    assert all(tensor.isfinite().all() for tensor in unlearned.state_dict().values())
    assert predict(unlearned, toolkit.tensors(data[1])[0]).isfinite().all()


@pytest.mark.slow
def test_scrub_forgets_and_keeps(entry: Entry, original: nn.Module, digits: Digits, digits_loaders: Any) -> None:
    unlearned = entry("scrub").unlearn(original, *digits_loaders, lr=0.005)
    assert accuracy(unlearned, digits["forget"]) < 0.95 < accuracy(unlearned, digits["retain"])
