from __future__ import annotations

import copy
import pickle
import random
from collections.abc import Callable

import pytest
import torch
from torch.utils.data import DataLoader, Subset

from unlearn_bench.sandbox.inside.adapter import Withheld
from unlearn_bench.sandbox.inside.loaders import Sample, make_loaders
from unlearn_bench.sandbox.toolkit import tensors


def loaders(data: dict[str, torch.Tensor], **changes: object) -> tuple[DataLoader[Sample], ...]:
    arguments = {"mean": (0.5,), "std": (0.25,), "channels": 1, "batch_size": 6, "seed": 1, "device": "cpu"}
    return make_loaders(data, **(arguments | changes))  # type: ignore[arg-type]


def images(loader: DataLoader[Sample]) -> torch.Tensor:
    return torch.cat([batch.image for batch in loader])


def rows(tensor: torch.Tensor) -> list[tuple[float, ...]]:
    return [tuple(row) for row in tensor.flatten(1).tolist()]


def test_real_loaders_with_the_right_sizes(data: dict[str, torch.Tensor]) -> None:
    for loader, sizes in zip(loaders(data), ([6, 6, 6, 2], [6], [6, 3]), strict=True):
        assert isinstance(loader, DataLoader)
        assert [len(batch.label) for batch in loader] == sizes
        assert len(loader) == len(sizes)
        assert loader.batch_size == 6
        assert len(loader.dataset) == sum(sizes)  # type: ignore[arg-type]


def test_values_are_normalised_float32_and_labels_follow_their_images(data: dict[str, torch.Tensor]) -> None:
    retain, _, val = loaders(data)
    expected = (data["val_images"].float() / 255 - 0.5) / 0.25
    torch.testing.assert_close(images(val), expected, rtol=0, atol=1e-6)
    pairs = dict(
        zip(rows((data["retain_images"].float().div(255) - 0.5) / 0.25), data["retain_labels"].tolist(), strict=True)
    )
    for image, label in retain:
        assert image.dtype == torch.float32 and label.dtype == torch.int64
        assert [pairs[row] for row in rows(image)] == label.tolist()


def test_grey_images_are_repeated_to_the_model_s_channels(data: dict[str, torch.Tensor]) -> None:
    one, three = (
        images(loaders(data)[2]),
        images(loaders(data, channels=3, mean=(0.1, 0.2, 0.3), std=(1.0, 2.0, 4.0))[2]),
    )
    grey = one * 0.25 + 0.5
    expected = torch.cat([(grey - 0.1), (grey - 0.2) / 2, (grey - 0.3) / 4], dim=1)
    torch.testing.assert_close(three, expected)
    torch.testing.assert_close(images(loaders(data, channels=3)[2]), one.repeat(1, 3, 1, 1))


def test_shuffled_from_the_seed_anew_each_epoch_and_nothing_dropped(data: dict[str, torch.Tensor]) -> None:
    for index in (0, 1):
        first, again = loaders(data)[index], loaders(data)[index]
        epochs = [images(first), images(first)]
        assert not torch.equal(epochs[0], epochs[1])
        assert sorted(rows(epochs[0])) == sorted(rows(epochs[1]))
        torch.manual_seed(99)  # the global generator plays no part
        assert torch.equal(epochs[0], images(again)) and torch.equal(epochs[1], images(again))
        assert not torch.equal(epochs[0], images(loaders(data, seed=2)[index]))


def test_retain_and_forget_set_are_shuffled_independently(data: dict[str, torch.Tensor]) -> None:
    same = data | {"forget_images": data["retain_images"], "forget_labels": data["retain_labels"]}
    retain, forget, _ = loaders(same)
    assert not torch.equal(images(retain), images(forget))


def test_validation_keeps_its_order_and_iterating_leaves_the_global_generator_alone(
    data: dict[str, torch.Tensor],
) -> None:
    before = torch.random.get_rng_state()
    retain, _, val = loaders(data)
    assert torch.equal(torch.cat([y for _, y in val]), data["val_labels"])
    list(retain)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_samples_and_batches_answer_the_keys_of_2023(data: dict[str, torch.Tensor]) -> None:
    val = loaders(data)[2]
    for sample in (val.dataset[0], next(iter(val))):
        assert sample["image"] is sample[0] is sample.image
        assert sample["label"] is sample["age_group"] is sample[1] is sample.label
        with pytest.raises(KeyError, match="age_group"):
            sample["image_id"]
    assert isinstance(pickle.loads(pickle.dumps(val.dataset[0])), Sample)


@pytest.mark.parametrize("workers", [0, 2])
def test_data_set_can_be_wrapped_again(data: dict[str, torch.Tensor], workers: int) -> None:
    val = loaders(data)[2]
    again = DataLoader(Subset(val.dataset, range(7)), batch_size=4, num_workers=workers)
    batches = list(again)
    assert all(isinstance(batch, Sample) for batch in batches)
    assert torch.equal(torch.cat([batch["image"] for batch in batches]), images(val)[:7])
    assert torch.equal(torch.cat([batch["label"] for batch in batches]), data["val_labels"][:7])


def test_labels_without_images_come_in_the_order_of_the_samples(data: dict[str, torch.Tensor]) -> None:
    labels_only = {name: tensor for name, tensor in data.items() if name != "forget_images"}
    forget, full = loaders(labels_only, batch_size=4)[1], loaders(data, batch_size=4)[1]
    assert isinstance(forget, DataLoader) and len(forget) == 2 and len(forget.dataset) == 6  # type: ignore[arg-type]
    for batch, of_full in zip(forget, full, strict=True):
        assert (
            batch.label.equal(of_full.label) and batch["label"].equal(batch[1]) and batch["age_group"].equal(batch[1])
        )
    assert forget.dataset.labels.equal(data["forget_labels"]) and forget.dataset[2].label == data["forget_labels"][2]


READS = {
    "unpacking": lambda forget: [image for image, _ in forget],
    "name": lambda forget: next(iter(forget)).image,
    "key": lambda forget: next(iter(forget))["image"],
    "position": lambda forget: next(iter(forget))[0],
    "sample": lambda forget: tuple(forget.dataset[0]),
    "tensor": lambda forget: forget.dataset.images,
    "toolkit": tensors,
    "another loader": lambda forget: next(iter(DataLoader(forget.dataset, batch_size=2))),
    "its workers": lambda forget: next(iter(DataLoader(Subset(forget.dataset, [1, 2]), batch_size=2, num_workers=1))),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_whatever_reads_a_withheld_image_says_so(data: dict[str, torch.Tensor], read: Callable[..., object]) -> None:
    forget = loaders({name: tensor for name, tensor in data.items() if name != "forget_images"})[1]
    with pytest.raises(Withheld, match="withholds the images of the forget set"):
        read(forget)


@pytest.mark.parametrize(
    "read", [iter, len, list, bool, tensors, lambda retain: retain.dataset, lambda r: r.batch_size]
)
def test_whatever_reads_a_withheld_set_says_so(data: dict[str, torch.Tensor], read: Callable[..., object]) -> None:
    retain = loaders({name: tensor for name, tensor in data.items() if "retain" not in name})[0]
    for loader in (retain, copy.deepcopy(retain), pickle.loads(pickle.dumps(retain))):
        with pytest.raises(Withheld, match="withholds the retain set"):
            read(loader)


def test_a_data_set_is_read_like_those_of_torchvision(data: dict[str, torch.Tensor]) -> None:
    val = loaders(data)[2].dataset
    labels = data["val_labels"].tolist()
    assert list(val.targets) == val.labels.tolist() == labels  # type: ignore[attr-defined]
    assert [label for _, label in val] == labels and type(val[0].label) is int  # type: ignore[attr-defined]
    assert {label: "name" for _, label in val}[labels[0]] == "name"
    assert val.data.shape == (9, 8, 8, 1) and val.dataset.targets[val.indices[2]] == labels[2]  # type: ignore[attr-defined]
    assert val.classes == ["0", "1", "2"] and len(random.sample(val, 4)) == len(val[2:6]) == 4  # type: ignore[attr-defined, arg-type]


@pytest.mark.parametrize("attribute", ["targets", "labels"])
def test_labels_that_an_entry_sets_are_those_of_copies_and_of_the_loader(
    data: dict[str, torch.Tensor], attribute: str
) -> None:
    val = loaders(data)[2]
    again = copy.deepcopy(val.dataset)
    for each in (again, val.dataset):
        setattr(each, attribute, torch.ones(9, dtype=torch.int64))
    assert all(label == 1 for _, label in again)  # type: ignore[attr-defined]
    assert torch.cat([batch.label for batch in val]).tolist() == [1] * 9


def test_a_data_set_can_be_thinned_out_in_place(data: dict[str, torch.Tensor]) -> None:
    val = loaders(data)[2].dataset
    wanted = val.targets == 1  # type: ignore[attr-defined]
    images, val.data, val.targets = val.images[wanted], val.data[wanted], val.targets[wanted]  # type: ignore[attr-defined]
    assert len(val) == wanted.sum() > 0 and torch.equal(val.images, images)  # type: ignore[arg-type, attr-defined]
