"""A track for images of one's own: counted, proposed, written, checked."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.harness.conftest import run
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.errors import BenchError
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.workflows.new_track import channel_statistics, split_sizes

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture
def shapes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three classes of 120 colour pictures, 18 × 20 pixels."""
    monkeypatch.setenv("BENCH_DATA", str(tmp_path / "data"))
    generator = np.random.default_rng(0)
    for name in ("circle", "line", "square"):
        folder = tmp_path / "shapes" / name
        folder.mkdir(parents=True)
        for index in range(120):
            Image.fromarray(generator.integers(0, 255, (18, 20, 3), dtype=np.uint8)).save(folder / f"{index}.png")
    return tmp_path / "shapes"


def test_a_folder_of_pictures_becomes_a_track_that_can_be_read(shapes: Path, tmp_path: Path) -> None:
    result = run("tracks", "new", str(tmp_path / "mine.toml"), "--data", str(shapes))
    assert result.exit_code == 0, result.output
    assert "360 images in 3 classes, 16 pixels, 3 channels" in result.stdout and "bench prepare" in result.stdout
    track = load_track(str(tmp_path / "mine.toml"))
    splits = track.splits
    assert (splits.retain + splits.forget + splits.val + splits.test, splits.test) == (360, 72)
    examples = References(track, Store()).examples
    assert examples.dataset.sha256 == track.data.sha256 and len(examples.split(0).forget) == splits.forget
    pixels = examples.dataset.images / 255
    assert track.data.mean == pytest.approx(pixels.mean(axis=(0, 2, 3)), abs=1e-4)
    assert track.data.std == pytest.approx(pixels.std(axis=(0, 2, 3)), abs=1e-4)


def test_a_file_that_is_there_is_not_replaced_unasked(shapes: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("mine")
    command = ["tracks", "new", str(tmp_path / "mine.toml"), "--data", str(shapes)]
    assert "is there already" in run(*command).stderr
    assert run(*command, "--force", "--model", "timm:none").exit_code == 2
    assert (tmp_path / "mine.toml").read_text() == "mine", "what cannot be replaced stays"
    assert run(*command, "--force").exit_code == 0


def test_a_network_that_does_not_exist_leaves_no_file(shapes: Path, tmp_path: Path) -> None:
    result = run("tracks", "new", str(tmp_path / "mine.toml"), "--data", str(shapes), "--model", "timm:resnet81")
    assert result.exit_code == 2 and "timm has no image classifier" in result.stderr
    assert not (tmp_path / "mine.toml").exists()


def test_an_archive_becomes_a_track(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    images = np.random.default_rng(0).random((300, 9, 9)).astype(np.float32)
    np.savez(tmp_path / "mine.npz", images=images, labels=np.array(["a", "b", "c"] * 100))
    result = run("tracks", "new", str(tmp_path / "mine.toml"), "--data", str(tmp_path / "mine.npz"))
    assert result.exit_code == 0, result.output
    data = load_track(str(tmp_path / "mine.toml")).data
    assert (data.path, data.classes, data.image_size, len(data.mean)) == ("mine.npz", 3, 8, 1)


def test_too_few_images_are_refused() -> None:
    with pytest.raises(BenchError, match="leave 7 to forget"):
        split_sizes(100)
    assert split_sizes(1000) == {"retain": 612, "forget": 68, "val": 120, "test": 200}


def test_a_channel_without_contrast_has_a_deviation_that_can_be_divided_by() -> None:
    assert channel_statistics(np.full((3, 1, 2, 2), 51, np.uint8)) == ((0.2,), (0.01,))


@pytest.mark.parametrize("words", [["new"], ["new", "a.toml"], ["a", "b"], ["--data", "x"]])
def test_words_that_make_no_command_are_refused(words: list[str]) -> None:
    assert run("tracks", *words).exit_code == 2


def test_an_invalid_track_is_not_written_out(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text('extends = "digits-resnet18"\n[data]\nclasses = 1\n')
    result = run("tracks", str(tmp_path / "bad.toml"))
    assert result.exit_code == 2 and "data.classes is 1" in result.stderr and result.stdout == ""


def test_a_data_set_of_a_library_becomes_a_track(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    arguments = [f"--argument={text}" for text in ("size=300", "image_size=[3, 9, 12]", "num_classes=3")]
    made = tmp_path / "mine.toml"
    result = run("tracks", "new", str(made), "--data", "torchvision:FakeData", *arguments)
    assert result.exit_code == 0, result.output
    assert "300 images in 3 classes, 8 pixels, 3 channels" in result.stdout
    track = load_track(str(made))
    assert track.data.arguments == {"size": 300, "image_size": (3, 9, 12), "num_classes": 3}
    assert References(track, Store()).examples.dataset.sha256 == track.data.sha256
    written_out = tmp_path / "again.toml"
    written_out.write_text(run("tracks", str(made)).stdout)
    assert load_track(str(written_out)).reference_digest == track.reference_digest


def test_a_folder_that_datasets_saved_becomes_a_track(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    pictures = [Image.new("L", (30, 31), 40 * (index % 5)) for index in range(300)]
    columns = {"image": pictures, "shade": [f"shade {index % 5}" for index in range(300)]}
    datasets.Dataset.from_dict(columns).save_to_disk(str(tmp_path / "saved"))
    command = ["tracks", "new", str(tmp_path / "mine.toml"), "--data", str(tmp_path / "saved")]
    assert "no column label" in run(*command).stderr
    result = run(*command, "--argument", "label=shade")
    assert result.exit_code == 0, result.output
    data = load_track(str(tmp_path / "mine.toml")).data
    assert (data.name, data.path, data.classes, data.image_size) == ("hf:saved", "saved", 5, 32)
    assert len(data.mean) == 1


def test_a_data_set_that_no_library_has_leaves_no_file(tmp_path: Path) -> None:
    result = run("tracks", "new", str(tmp_path / "mine.toml"), "--data", "torchvision:CIFAR11")
    assert result.exit_code == 2 and "near it: CIFAR10" in result.stderr
    assert not (tmp_path / "mine.toml").exists()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_folder_of_pictures_becomes_a_board_with_three_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    with np.load(DATA / "cifar10-mini.npz") as archive:
        images, labels = archive["images"], archive["labels"]
    if images.shape[1] == 3:
        images = images.transpose(0, 2, 3, 1)
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        folder = tmp_path / "pictures" / f"class {label}"
        folder.mkdir(parents=True, exist_ok=True)
        if label < 3 and len(list(folder.iterdir())) < 110:
            Image.fromarray(image).save(folder / f"{number}.png")
        elif label >= 3:
            folder.rmdir()
    track = str(tmp_path / "pictures.toml")
    for command in (
        ("tracks", "new", track, "--data", str(tmp_path / "pictures")),
        ("baselines", "ft", "ga", "--track", track, "--sandbox", "process"),
        ("leaderboard", "--track", track),
    ):
        start = time.perf_counter()
        result = run(*command)
        record_property(f"seconds of {command[0]}", round(time.perf_counter() - start, 1))
        assert result.exit_code == 0, result.output
        if command[0] == "tracks":  # two seeds and twelve epochs are enough here
            proposed = Path(track).read_text()
            shorter = re.sub(r"(?m)^epochs = 60\b", "epochs = 12", re.sub(r"(?m)^seeds = 10\b", "seeds = 2", proposed))
            assert shorter.count("seeds = 2") > proposed.count("seeds = 2") and "epochs = 12" in shorter
            Path(track).write_text(shorter)
    for row in ("ft", "ga", "retrain", "original"):
        assert re.search(rf"^.*\b{row}\b", result.stdout, re.MULTILINE), result.stdout
    assert "330 images" in Path(track).read_text()


@pytest.mark.parametrize(
    ("images", "labels", "words"),
    [
        (np.zeros((30, 8, 8, 4), np.uint8), np.arange(30) % 3, "(30, 8, 8, 4) have neither 1 nor 3 channels"),
        (np.zeros((30, 8, 8), np.uint8), np.full((30, 3), 1 / 3), "are not one-hot"),
        (np.zeros((0, 8, 8), np.uint8), np.zeros(0, int), "images have shape (0, 8, 8)"),
    ],
)
def test_an_archive_that_is_unfit_is_the_data_sets_fault(
    images: np.ndarray, labels: np.ndarray, words: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "mine.npz", images=images, labels=labels)
    result = run("tracks", "new", str(tmp_path / "mine.toml"), "--data", str(tmp_path / "mine.npz"))
    assert result.exit_code == 20 and words in result.stderr and "whose:  the data set" in result.stderr


def test_a_single_array_under_the_name_of_an_archive_is_named(tmp_path: Path) -> None:
    np.save(tmp_path / "mine.npy", np.zeros((6, 8, 8)))
    (tmp_path / "mine.npy").rename(tmp_path / "mine.npz")
    result = run("tracks", "new", str(tmp_path / "mine.toml"), "--data", str(tmp_path / "mine.npz"))
    assert result.exit_code == 20 and "a single array (.npy)" in result.stderr
