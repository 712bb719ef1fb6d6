"""Access tiers: what a track withholds is in nothing that an entry gets, wherever it runs, and no board mixes them."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load as parse

from tests.harness.conftest import SMALL, run
from tests.sandbox.conftest import docker_sandbox  # noqa: F401
from tests.site.synthetic import fill, methods
from unlearn_bench.harness.entries.entry import Entry, baseline, from_source, retrain
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.results import audit, board
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.errors import BenchError, TrackError
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.units import access, unit_run
from unlearn_bench.harness.units.in_process import function_entry
from unlearn_bench.harness.units.records import track_folder
from unlearn_bench.harness.units.slots import Slot
from unlearn_bench.harness.units.tuning import Study
from unlearn_bench.harness.units.unit_kinds import SeedUnit, ShadowUnit, SwapUnit, TuningUnit, Unit, YardstickUnit
from unlearn_bench.harness.units.unit_run import UnitContext, _job
from unlearn_bench.harness.units.worker_runner import WorkerRunner
from unlearn_bench.sandbox.backends import load
from unlearn_bench.sandbox.inside.adapter import Withheld
from unlearn_bench.sandbox.stage import staged

TIERS = {"no-retain": 0, "few-shot-retain": 2, "no-forget-images": 0}
IDENTITY = from_source("identity", b"def unlearn(model, retain):\n    return model\n")


def of_tier(references: References, tier: str, n: int | None = None) -> References:
    track, n = references.track, TIERS[tier] if n is None else n
    protocol = dataclasses.replace(track.protocol, access=tier, retain_per_class=n)
    return References(dataclasses.replace(track, protocol=protocol), references.store)


def units(references: References, entry: Entry = IDENTITY) -> list[Unit]:
    track = references.track
    of_seed = [kind(entry, track, 1) for kind in (SeedUnit, YardstickUnit, SwapUnit, TuningUnit)]
    return [*of_seed, ShadowUnit(entry, track, 1, 0)]


@contextmanager
def mounted(references: References, unit: Unit) -> Iterator[Path]:
    """Yield the folder that a back end gets for a unit."""
    bench = UnitContext(references, load("process"), "x")
    (given,) = access.given(unit, references.examples)
    weights = references.weights(SeedUnit(unit.entry, unit.track, 0).original)
    with staged(_job(bench, unit, Slot(), 5.0, weights, given)) as folder:
        yield folder


def test_units_of_all_kinds_look_alike_but_for_data_weights_and_seed(prepared: References) -> None:
    audited = SeedUnit(IDENTITY, audit.fresh_track(prepared.store, prepared.track, 2), 0)
    seeds, alike = set(), set()
    for unit in (*units(prepared), audited):
        with mounted(prepared, unit) as folder:
            job = json.loads((folder / "job.json").read_text())
            seeds.add(job.pop("seed"))
            names = sorted(
                str(path.relative_to(folder)) for path in folder.rglob("*") if "__pycache__" not in path.parts
            )
            alike.add((json.dumps(job), (folder / "entry.py").read_bytes(), *names))
    assert len(alike) == 1
    assert len(seeds) == 5, "a seed unit that runs untimed has the seed of the timed one"


def seen(references: References, indices: np.ndarray, content: bytes) -> np.ndarray:
    """Return those of the examples whose image is in the content."""
    images = references.examples.dataset.images
    return np.array([index for index in indices if images[index].tobytes() in content], dtype=np.int64)


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("kind", range(5), ids=["seed", "yardstick", "swap", "tuning", "shadow"])
def test_the_folder_of_a_unit_holds_no_image_that_its_tier_withholds(
    prepared: References, tier: str, kind: int
) -> None:
    references = of_tier(prepared, tier)
    unit = units(references)[kind]
    parts, labels = unit.parts(references.examples), references.examples.labels
    with mounted(references, unit) as folder:
        content = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
        data = parse((folder / "data.safetensors").read_bytes())
    assert len(seen(references, parts["test"], content)) == 0
    held = {name: seen(references, parts[name], content) for name in ("retain", "forget", "val")}
    counts = {name: np.bincount(labels[indices], minlength=10).tolist() for name, indices in held.items()}
    if tier == "no-forget-images":
        assert len(held["forget"]) == 0 and "forget_images" not in data
        assert data["forget_labels"].tolist() == labels[parts["forget"]].tolist()
        assert all(len(held[name]) == len(parts[name]) for name in ("retain", "val"))
        return
    assert len(held["forget"]) == len(parts["forget"])
    each = {"no-retain": 0, "few-shot-retain": 2}[tier]
    assert counts["retain"] == counts["val"] == [each] * 10
    lengths = {name: len(array) for name, array in data.items() if not name.startswith("forget")}
    assert lengths == {f"{s}_{what}": 20 for s in ("retain", "val") for what in ("images", "labels") if each}


def test_a_full_track_gives_everything_but_the_test_set(prepared: References) -> None:
    unit = SeedUnit(IDENTITY, prepared.track, 1)
    parts = unit.parts(prepared.examples)
    with mounted(prepared, unit) as folder:
        content = (folder / "data.safetensors").read_bytes()
    assert {name: len(seen(prepared, indices, content)) for name, indices in parts.items()} == {
        "retain": 192, "forget": 64, "val": 64, "test": 0,
    }  # fmt: skip


def test_tiers_do_not_share_a_file_of_inputs(prepared: References) -> None:
    paths = set()
    for references in (prepared, *(of_tier(prepared, tier) for tier in TIERS)):
        (given,) = access.given(SeedUnit(IDENTITY, references.track, 0), references.examples)
        paths.add(UnitContext(references, load("process"), "x").inputs(given))
    assert len(paths) == 4


def test_few_shots_are_fixed_by_the_track_and_a_larger_number_takes_more(prepared: References) -> None:
    def taken(n: int, unit: Unit | None = None) -> set[int]:
        references = of_tier(prepared, "few-shot-retain", n)
        unit = unit or SeedUnit(IDENTITY, references.track, 0)
        return set(access.given(unit, references.examples)[0].images["retain"].tolist())

    assert taken(2) == taken(2, SeedUnit(baseline("ga"), of_tier(prepared, "few-shot-retain").track, 0))
    assert taken(1) < taken(2) < taken(4) and len(taken(4)) == 40


def test_retrain_the_yardstick_of_time_gets_everything_and_a_variant_of_it_does_not(prepared: References) -> None:
    references = of_tier(prepared, "no-retain")
    yardstick = retrain(references.track)
    (given,) = access.given(SeedUnit(yardstick, references.track, 0), references.examples)
    assert {name: len(indices) for name, indices in given.images.items()} == {"retain": 192, "forget": 64, "val": 64}
    variant = yardstick.with_parameters({"lr": 0.05})
    (given,) = access.given(SeedUnit(variant, references.track, 0), references.examples)
    assert set(given.labels) == {"forget"}


READS = {
    "retain": "images, labels = next(iter(retain))",
    "length": "len(retain.dataset)",
    "forget": "images, labels = next(iter(forget))",
    "again": "next(iter(torch.utils.data.DataLoader(forget.dataset, batch_size=4)))",
    "labels": "assert sum(len(batch['label']) for batch in forget) == len(forget.dataset.labels) == 64",
    "val": "next(iter(val))",
    "catches": "try:\n        len(retain)\n    except Withheld:\n        pass",
}
NO_RETAIN = "this track's access tier withholds the retain set, which the method reads"
NO_VAL = "this track's access tier withholds the validation set, which the method reads"
NO_IMAGES = (
    "this track's access tier withholds the images of the forget set, which the method reads; their labels are "
    "batch.label and forget.dataset.labels"
)


def reader(name: str) -> Entry:
    head = "import torch\nfrom sandbox.toolkit import Withheld\n\ndef unlearn(model, retain, forget, val):\n"
    return from_source(name, f"{head}    {READS[name]}\n".encode())


@pytest.mark.parametrize(
    ("tier", "refused"),
    [
        ("no-retain", {"retain": NO_RETAIN, "length": NO_RETAIN, "val": NO_VAL}),
        ("few-shot-retain", {}),
        ("no-forget-images", {"forget": NO_IMAGES, "again": NO_IMAGES}),
    ],
)
def test_a_method_that_needs_what_is_withheld_does_not_apply_and_says_so(
    prepared: References, tier: str, refused: dict[str, str]
) -> None:
    references = of_tier(prepared, tier)
    names = {unit.key: name for name in READS for unit in [SeedUnit(reader(name), references.track, 0)]}
    with WorkerRunner(references.track) as workers:
        todo = [SeedUnit(reader(name), references.track, 0) for name in READS]
        results = {names[unit.key]: result for unit, result in workers.run(todo, 60)}
    assert {name: result.reason for name, result in results.items() if result.status == "not-applicable"} == refused
    assert all(result.status == "ok" for name, result in results.items() if name not in refused)


def test_a_sandbox_says_the_same(prepared: References) -> None:
    references = of_tier(prepared, "no-retain")
    bench = UnitContext(references, load("process"), "x")
    for name, status, reason in (("retain", "not-applicable", NO_RETAIN), ("forget", "ok", "")):
        record = unit_run.run(bench, SeedUnit(reader(name), references.track, 0), Slot(), 60)
        assert (record.status, record.reason) == (status, reason)


def test_a_function_of_this_process_meets_the_same_loaders(prepared: References) -> None:
    from unlearn_bench.harness.units.in_process import InProcessRunner

    references = of_tier(prepared, "no-retain")
    ran = []

    def unlearn(model, retain, forget, val):  # type: ignore[no-untyped-def]
        ran.append(len(forget.dataset))
        return list(retain)

    with pytest.raises(Withheld, match=NO_RETAIN):
        list(InProcessRunner(references).run([SeedUnit(function_entry(unlearn), references.track, 0)], 0.0))
    assert ran == [64]


SEARCHES = """
import os, tempfile

NEEDLES = {needles}

def holds(content, halves):
    first, second = halves
    place = content.find(first)
    while place >= 0:
        if content[place + len(first) : place + len(first) + len(second)] == second:
            return True
        place = content.find(first, place + 1)
    return False

def memory():
    with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", 0) as memory:
        for line in maps.readlines():
            span, rights, *_, = line.split()
            if "r" in rights and ("w" in rights or "safetensors" in line) and "[v" not in line:
                start, end = (int(number, 16) for number in span.split("-"))
                memory.seek(start)
                yield memory.read(end - start)

def files():
    for root in {roots}:
        for folder, folders, names in os.walk(root):
            folders[:] = [name for name in folders if os.path.join(folder, name) not in ("/proc", "/sys", "/dev")]
            for name in names:
                try:
                    with open(os.path.join(folder, name), "rb") as file:
                        yield file.read(1 << 24)
                except OSError:
                    pass

def unlearn(model, retain, forget, val):
    for place, contents in (("memory", memory()), ("files", files())):
        found = set()
        for content in contents:
            found |= {{name for name, halves in NEEDLES.items() if holds(content, halves)}}
        print(place, *sorted(found))
    return model
"""


@pytest.fixture(params=["process", pytest.param("docker", marks=pytest.mark.docker)])
def back_end(request: pytest.FixtureRequest, fresh_processes: None) -> str:
    if request.param == "docker":
        request.getfixturevalue("docker_sandbox")
    return str(request.param)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tier", "findable"),
    [("no-retain", "forget"), ("few-shot-retain", "forget"), ("no-forget-images", "retain val")],
)
def test_an_entry_that_searches_memory_and_files_finds_no_withheld_image(
    prepared: References, back_end: str, tier: str, findable: str
) -> None:
    """It finds the images that it is given, so it would find others."""
    references = of_tier(prepared, tier)
    unit = SeedUnit(IDENTITY, references.track, 0)
    (given,) = access.given(unit, references.examples)
    parts, images, needles = unit.parts(references.examples), references.examples.dataset.images, {}
    for name in ("retain", "forget", "val", "test"):
        index = next(i for i in parts[name] if i not in given.images.get(name, ()) or name in findable.split())
        image = images[index].tobytes()
        needles[name] = (image[: len(image) // 2], image[len(image) // 2 :])
    roots = '["/"]' if back_end == "docker" else "[os.path.dirname(__file__), os.getcwd(), tempfile.gettempdir()]"
    source = SEARCHES.format(needles=needles, roots=roots)
    bench = UnitContext(references, load(back_end), f"access-{os.getpid()}")
    record = unit_run.run(bench, dataclasses.replace(unit, entry=from_source("searches", source.encode())), Slot(), 120)
    assert record.status == "ok", record.reason + record.log
    assert record.log.splitlines() == [f"memory {findable}", f"files {findable}"]


def test_the_tracks_of_each_tier_share_the_reference_models_of_the_default_one() -> None:
    default = load_track("digits-resnet18")
    tracks = [load_track(f"digits-{tier}") for tier in TIERS]
    assert {track.reference_digest for track in tracks} == {default.reference_digest}
    assert len({track.protocol_digest for track in (*tracks, default)}) == 4
    shipped = Path(board.__file__).parents[1] / "shipped" / "units" / track_folder(default)
    assert shipped.is_dir(), "a key that says what is so anyway entered the digest"


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (
            'access = "none"',
            ["protocol.access is 'none'", "'full', 'no-retain', 'few-shot-retain', 'no-f"],
        ),
        ("retain_per_class = 2", ["protocol.retain_per_class is 2", "access = 'few-shot-retain', not 'full'"]),
        ('access = "few-shot-retain"', ["protocol.retain_per_class is 0", "1 … 64"]),
        ('access = "few-shot-retain"\nretain_per_class = 65', ["protocol.retain_per_class is 65", "1 … 64"]),
        (
            'access = "no-forget-images"\nrequests = 2',
            ["protocol.requests is 2", "images of later requests"],
        ),
    ],
)
def test_a_mistake_in_the_tier_names_the_key_and_what_is_allowed(tmp_path: Path, keys: str, words: list[str]) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(SMALL.replace("[protocol]", f"[protocol]\n{keys}"))
    with pytest.raises(TrackError) as caught:
        load_track(str(path))
    assert all(word in caught.value.message for word in [str(path), *words])


def test_more_examples_of_a_class_than_there_are_is_an_error_before_anything_runs(
    prepared: References, small: Path, tmp_path: Path
) -> None:
    small.write_text(SMALL.replace("[protocol]", '[protocol]\naccess = "few-shot-retain"\nretain_per_class = 12'))
    entry = tmp_path / "identity.py"
    entry.write_bytes(IDENTITY.source)
    result = run("submit", str(entry), "--track", str(small), "--sandbox", "process")
    assert result.exit_code == 2
    assert re.search(r"retain_per_class is 12, and a unit's R or V has only \d+ examples of class", result.stderr)


def test_a_search_on_another_tier_is_another_search(prepared: References) -> None:
    few, more = (of_tier(prepared, "few-shot-retain", n) for n in (1, 2))
    names = {Study(references, baseline("ga"))._name for references in (prepared, few, more)}
    assert len(names) == 3


def test_the_tier_is_on_every_form_of_the_board(prepared: References, small: Path, tmp_path: Path) -> None:
    small.write_text(SMALL.replace("[protocol]", '[protocol]\naccess = "few-shot-retain"\nretain_per_class = 2'))
    track, line = ("--track", str(small)), "few-shot-retain, 2 per class: all that entries get of R, and of V"
    assert run("leaderboard", *track).stdout.splitlines()[1] == f"access: {line}"
    assert json.loads(run("leaderboard", *track, "--format", "json").stdout)["access"] == "few-shot-retain, 2 per class"
    assert f"Access {line}" in run("leaderboard", *track, "--format", "latex").stdout
    assert run("leaderboard", *track, "--format", "html", "--out", str(tmp_path / "site")).exit_code == 0
    assert line in (tmp_path / "site" / f"{load_track(str(small)).name}.html").read_text()
    listed = {text.split()[0]: text for text in run("tracks").stdout.splitlines() if text}
    assert " no-retain " in listed["digits-no-retain"] and " full " in listed["digits-resnet18"]


@pytest.mark.slow
def test_no_board_ranks_over_tracks_of_different_tiers(tmp_path: Path) -> None:
    names = ("digits-resnet18", "digits-sequential", "digits-no-retain")
    fill(Store().root, names[1:], methods(4))
    results = [board.read_results(References(load_track(name), Store())) for name in names]
    with pytest.raises(BenchError, match=r"digits-sequential \(full\) and digits-no-retain \(no-retain\)"):
        board.overall(results)
    options = [option for name in reversed(names) for option in ("--track", name)]
    assert run("leaderboard", *options, "--format", "html", "--out", str(tmp_path)).exit_code == 0
    index = (tmp_path / "all.html").read_text()
    assert "2 tracks: digits-sequential, digits-resnet18" in index
