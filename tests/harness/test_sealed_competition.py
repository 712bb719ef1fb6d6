"""A competition on a sealed track: what participants see of it, and what only its organiser sees."""

from __future__ import annotations

import base64
import itertools
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.harness.conftest import SMALL, once, run
from tests.harness.gitrepo import Repo
from tests.harness.sealed_track import CANARY, sealed_track
from tests.sandbox.conftest import docker_sandbox  # noqa: F401
from unlearn_bench.harness.entries.entry import read
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.results import scores
from unlearn_bench.harness.results.board_entries import board_entries
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.tracks import sealed
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.units import access, unit_store
from unlearn_bench.harness.units.records import Record
from unlearn_bench.harness.units.slots import Slot
from unlearn_bench.harness.units.unit_kinds import SeedUnit, ShadowUnit, Unit
from unlearn_bench.harness.units.unit_run import UnitContext, _job
from unlearn_bench.sandbox.backends import load
from unlearn_bench.sandbox.stage import staged

MARK = "SAID-INSIDE"
NOSY = f'''
"""Prints all that it can see, then crashes."""
import os, sys

def unlearn(model, retain, forget, val):
    folder = sys.argv[-1]
    print("{MARK}", sys.argv, dict(os.environ), sorted(os.listdir(folder)))
    print(open(folder + "/job.json").read(), forget.dataset.images.tolist())
    raise RuntimeError("{MARK} " + open(folder + "/job.json").read())
'''
QUIET = f'''
"""Gradient ascent, talkative."""
import torch

def unlearn(model, retain, forget, val):
    print("{MARK}")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for images, labels in forget:
        optimizer.zero_grad()
        (-torch.nn.functional.cross_entropy(model(images), labels)).backward()
        optimizer.step()
'''


def canaries(references: References, records: list[Record]) -> dict[str, bytes]:
    """Name → bytes that nothing a participant sees may hold."""
    found: dict[str, bytes] = {"salt": CANARY.salt.encode(), "salt bytes": bytes.fromhex(CANARY.salt)}
    found["salt base64"] = base64.b64encode(bytes.fromhex(CANARY.salt))[:-4]
    found["inside"] = MARK.encode()
    numbers = {name: getattr(CANARY, name) for name in sealed.SEEDS}
    numbers |= {f"unit {u.description}": u.random_seed for u in shadow_and_seed_units(references)}
    for name, seed in numbers.items():
        size = 8 if seed >= 2**32 else 4
        found |= {f"{name} decimal": str(seed).encode(), f"{name} hex": f"{seed:x}".encode()}
        found |= {f"{name} little": seed.to_bytes(size, "little"), f"{name} big": seed.to_bytes(size, "big")}
        found |= {f"{name} float": f"{float(seed):.10e}".encode()[:10], f"{name} HEX": f"{seed:X}".encode()}
    for seed in range(references.track.protocol.seeds):
        for part, indices in references.examples.split(seed).parts().items():
            some = [str(index) for index in indices[:6].tolist()]
            for name, sign in {"comma": ", ", "dense": ",", "space": " ", "line": "\n", "json": ",\n "}.items():
                found[f"{part} {seed} {name}"] = sign.join(some).encode()
            found[f"{part} {seed} bytes"] = indices[:3].astype("<i8").tobytes()
            if part in ("test", "forget"):
                image = references.examples.dataset.images[indices[0]]
                found[f"{part} {seed} image"] = image.tobytes()
                found[f"{part} {seed} image text"] = ", ".join(map(str, image.ravel()[:24].tolist())).encode()
    for record in records:
        found[f"{record.name} {record.seed} logits"] = (record.logits or "no logits")[:32].encode()
        own = None if record.status != "ok" or record.name == "retrain" else scores.record_scores(references, record)
        numbers = {"seconds": record.seconds or 0.0, "CPU": record.cpu_seconds or 0.0}
        numbers |= {} if own is None else {name: own.metrics[name] for name in ("retdev", "temperature")}
        for name, number in numbers.items():
            for form, text in {"rounded": f"{number:.6g}", "cut": repr(number)[:8]}.items():
                if len(text.replace(".", "").lstrip("0")) >= 5:  # fewer digits turn up by chance: no fingerprint
                    found[f"{record.name} {record.seed} {name} {form}"] = text.encode()
    return found


def shadow_and_seed_units(references: References) -> Iterator[Unit]:
    entry = next(iter(board_entries(References(load_track("digits-resnet18"), Store()))))
    from unlearn_bench.harness.entries.entry import baseline

    one = baseline(entry.name)
    for seed in range(2):
        yield SeedUnit(one, references.track, seed)
    for split, forget_set in itertools.product(range(4), range(2)):
        yield ShadowUnit(one, references.track, split, forget_set)


SLY = f'''
"""Tells in shadow units, which have fewer examples, what it sees in them."""

def unlearn(model, retain, forget, val):
    if len(retain.dataset) < 192:
        raise RuntimeError("{MARK}")
'''
SANDBOX = ("--sandbox", "process")


@dataclass(frozen=True)
class Competition:
    """A sealed track on which entries ran, and every byte that their authors saw."""

    track: Path
    references: References
    seen: dict[str, bytes]
    """What was seen, by the command or the file."""
    secret: dict[str, bytes]
    """What nobody may see, by a name."""

    def found_in(self, content: bytes) -> set[str]:
        return {name for name, value in self.secret.items() if value in content}


@pytest.fixture(scope="session")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store, entries, and a folder ``seen`` of all that participants saw of a competition."""

    def make(place: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            track = sealed_track(SMALL, place, patch)
            play(track, place)

    return once(tmp_path_factory, "played", make).parent


def play(track: Path, place: Path) -> None:
    """Run what participants run, and keep what they see of it, the name of each thing in its first line."""
    nosy, quiet, sly, shown = (place / name for name in ("nosy.py", "quiet.py", "sly.py", "seen"))
    nosy.write_text(NOSY)
    quiet.write_text(QUIET)
    sly.write_text(SLY)
    shown.mkdir()

    def keep(name: str, content: bytes) -> None:
        (shown / str(len(list(shown.iterdir())))).write_bytes(name.encode() + b"\n" + content)

    def saw(*arguments: str, code: int = 0) -> None:
        result = run(*arguments, "--track", str(track))
        assert result.exit_code == code, result.output
        keep(" ".join(arguments).replace(f"{place}/", ""), result.stdout_bytes + b"\0" + result.stderr_bytes)

    keep("the track's file", track.read_bytes())
    saw("submit", str(nosy), *SANDBOX, code=11)
    saw("submit", str(quiet), "--lira", "--swap", *SANDBOX)
    saw("submit", str(sly), "--lira", *SANDBOX, code=11)
    for name, code in (("quiet", 0), ("nosy", 11)):
        saw("submit", str(place / f"{name}.py"), "--json", *SANDBOX, code=code)
    saw("baselines", "ga", *SANDBOX)
    for name in ("nosy", "quiet"):
        saw("show", name)
        saw("show", name, "--json")
    saw("compare", "quiet", "ga")
    saw("compare", "quiet", "ga", "--json")
    saw("rescore")
    saw("verify", "quiet", "--seed", "0", *SANDBOX)
    saw("verify", "quiet", "--seed", "1", "--json", *SANDBOX)
    repo = Repo(place / "repo")
    repo.commit()
    repo.branch("pr")
    repo.write("submissions/asked.py", QUIET.replace("0.01", "0.02"))
    repo.write("submissions/noisy.py", NOSY)
    repo.commit()
    pull = ("score-pr", "--base", "main", "--repo", str(repo.path), *SANDBOX)
    saw(*pull, "--smoke", code=2)
    saw(*pull, "--json", "--out", str(place / "pull"), code=11)
    for form in ("table", "csv", "json", "parquet", "markdown", "ulira", "html"):
        saw("leaderboard", "--format", form, "--out", str(place / "site"))
    for folder in (place / "pull", place / "site"):
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            keep(str(path.relative_to(place)), path.read_bytes())


@pytest.fixture
def competition(played: Path, cup: Path, home: Path) -> Competition:
    shutil.copytree(played / "home", home)
    references = References(load_track(str(cup)), Store())
    seen = dict(path.read_bytes().split(b"\n", 1) for path in (played / "seen").iterdir())
    records = unit_store.seed_records(references.store, references.track)
    secret = canaries(references, records)
    assert len(secret) > 150
    return Competition(cup, references, {name.decode(): content for name, content in seen.items()}, secret)


@pytest.mark.slow
def test_nothing_that_participants_see_holds_a_secret(competition: Competition) -> None:
    leaks = [(name, what) for what, content in competition.seen.items() for name in competition.found_in(content)]
    assert leaks == [], "\n".join(f"{name}: {competition.secret[name]!r} in {what}" for name, what in leaks)


@pytest.mark.slow
def test_participants_see_status_words_and_aggregates(competition: Competition) -> None:
    def told(name: str) -> Any:
        return json.loads(competition.seen[name].split(b"\0")[0])

    assert b"crash" in competition.seen["submit nosy.py --sandbox process"]
    quiet = told("submit quiet.py --json --sandbox process")
    assert quiet["units"] == {"ok": 2} and quiet["row"]["seeds_ok"] == 2
    nosy = told("submit nosy.py --json --sandbox process")
    assert nosy["units"] == {"crash": 1} and nosy["row"]["retdev"] is None
    assert told("verify quiet --seed 1 --json --sandbox process").keys() == {"entry", "seed", "verdict"}
    pull = [name for name in competition.seen if name.startswith("pull/")]
    assert len(pull) == 2, "a result and a comment, no arrays"
    assert any(name.endswith("nosy.html") for name in competition.seen)


@pytest.mark.slow
def test_the_organiser_sees_what_participants_do_not(competition: Competition) -> None:
    """And so the secrets that were looked for are those that would show."""
    options = ("--organiser", "--track", str(competition.track))
    shown = [run("show", name, *options, "--json") for name in ("nosy", "quiet")]
    sung = competition.found_in(b"".join(result.stdout_bytes for result in shown))
    assert {"inside", "unit seed 0 decimal", "quiet 1 logits"} <= sung
    assert {"quiet 0 retdev cut", "quiet 1 retdev cut", "quiet 0 temperature cut", "quiet 1 temperature cut"} & sung
    assert MARK in run("show", "nosy", *options).stdout


@pytest.mark.slow
def test_what_would_tell_more_is_refused(competition: Competition, tmp_path: Path, home: Path) -> None:
    quiet = tmp_path / "quiet.py"
    quiet.write_text(QUIET)
    export = ("baselines", "ga", "--export", str(tmp_path / "export"))
    for command in (export, ("submit", str(quiet), "--seeds", "1"), ("tune", str(quiet))):
        assert run(*command, "--track", str(competition.track)).exit_code == 2, command
    assert not (tmp_path / "export").exists() and not (home / "logs").exists()


@pytest.mark.slow
def test_an_entry_gets_its_own_unit_and_nothing_of_the_secret(competition: Competition, tmp_path: Path) -> None:
    references, path = competition.references, tmp_path / "quiet.py"
    path.write_text(QUIET)
    unit = SeedUnit(read(path), references.track, 0)
    (given,) = access.given(unit, references.examples)
    bench = UnitContext(references, load("process"), "x")
    job = _job(bench, unit, Slot(), 5.0, references.weights(unit.original), given)
    with staged(job) as folder:
        content = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
        keys = set(json.loads((folder / "job.json").read_text()))
        names = {path.name for path in folder.iterdir()}
    assert keys == {"parameters", "model", "mean", "std", "batch_size", "seed", "device", "threads"}
    assert names == {"job.json", "entry.py", "weights.safetensors", "data.safetensors", "lib"}
    allowed = {f"unit {unit.description} {form}" for form in ("decimal", "hex", "HEX", "little", "big", "float")}
    told = competition.found_in(content) - allowed
    assert told <= {"inside", "forget 0 image"}, "F of its own unit, and no part of any test set"
    images, parts = references.examples.dataset.images, references.examples.split(0)
    assert images[parts.forget[0]].tobytes() in content and images[parts.test[0]].tobytes() not in content


@pytest.mark.docker
@pytest.mark.slow
@pytest.mark.usefixtures("docker_sandbox")
def test_left_to_itself_a_sealed_track_runs_in_containers(competition: Competition, tmp_path: Path) -> None:
    path = tmp_path / "calm.py"
    path.write_text(QUIET.replace("0.01", "0.03"))
    result = run("submit", str(path), "--track", str(competition.track), "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["units"] == {"ok": 2}
    records = unit_store.seed_records(competition.references.store, competition.references.track)
    ran_in = {(one.environment["backend"], one.trusted) for one in records if one.name == "calm"}
    assert ran_in == {("docker", True)}
    told = result.stdout_bytes + result.stderr_bytes
    assert competition.found_in(told) == set()
