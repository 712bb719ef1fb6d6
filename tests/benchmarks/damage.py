"""Flip random bits in a store: is each flip noticed, is its file named, and what does the board show meanwhile?

The store holds what ships, and one of every other kind of file. After each flip the file is read as the product reads
it, the board is made, and ``bench doctor --store`` examines and repairs. Then the next flip begins from a whole store.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unlearn_bench.harness.doctor import store_checks
from unlearn_bench.harness.store.store import SHIPPED, Store
from unlearn_bench.harness.support.errors import StoreError
from unlearn_bench.harness.support.files import read_checked, sha256_of, write_checked
from unlearn_bench.harness.units import unlearned_weights
from unlearn_bench.harness.units.study_journal import StudyJournal
from unlearn_bench.harness.workflows.leaderboard import leaderboard


def _document(store: Store, path: Path) -> None:
    store.read(path.relative_to(store.root).parent.as_posix(), path.stem)


def _input(store: Store, path: Path) -> None:
    """Read it as a unit does: what does not match its name is written again."""
    if not path.stem.endswith(sha256_of(path)):
        raise StoreError(f"{path} is written again", "")


KINDS: Mapping[str, tuple[str, Callable[[Store, Path], object]]] = {
    "record of a unit": ("units/*/*.json", _document),
    "scores": ("scores/*/*/*.json", _document),
    "record of shadow units": ("shadows/*/*.json", _document),
    "scores of shadow units": ("shadow-scores/*/*/*.json", _document),
    "manifest of references": ("references/*.json", _document),
    "labels": ("labels/*.json", _document),
    "decision": ("disqualified/*.json", _document),
    "search": ("tune/*/*.json", lambda store, path: StudyJournal(store, "tune/t", path.stem).read_logs(0)),
    "array": ("blobs/*/" + "[0-9a-f]" * 64, lambda store, path: store.get(path.stem)),
    "compressed array": ("blobs/*/*.xz", lambda store, path: store.get(path.stem)),
    "data of a unit": ("inputs/*.safetensors", _input),
    "checkpoint": ("checkpoints/*", lambda store, path: read_checked(path, "")),
    "held weights": ("held-weights/*", lambda store, path: read_checked(path, "")),
}
"""Kinds of file with digests: where they lie, and how the product reads one."""


@dataclass(frozen=True)
class Flip:
    """One flipped bit, and what noticed it."""

    kind: str
    read_named: bool
    """Whether reading the file was an error with its path."""
    examined_named: bool
    """Whether ``bench doctor --store`` named it."""
    repaired: bool
    """Whether it was as it was after that, or can be made again without running an entry or asking anybody."""
    board: str
    """``same``, ``refused`` or ``another``; empty where no board was made."""


def flipped(content: bytes, bit: int) -> bytes:
    """Return content with one bit flipped."""
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def fill(store: Store) -> None:
    """Put what ships and one of every other kind of file into a store; every third array is not compressed."""
    shutil.copytree(SHIPPED, store.root, dirs_exist_ok=True)
    for path in sorted((store.root / "blobs").glob("*/*.xz"))[::3]:
        content = store.get(path.stem)
        path.unlink()
        store.put(content)
    fill_others(store)


def fill_others(store: Store) -> None:
    """Put one of every kind of file that does not ship into a store."""
    weights = {"weights": np.arange(2000, dtype=np.float32)}
    unlearned_weights.hold(store, "key", weights)
    (held,) = (store.root / "held-weights").iterdir()
    content = read_checked(held, "")
    write_checked(store.checkpoint("training"), content)
    data = store.root / "inputs" / f"digest-{store.put(content)}.safetensors"
    data.parent.mkdir()
    data.write_bytes(content)
    store.write("disqualified", "0" * 64, {"name": "mine", "history": [{"date": "2026-11-30", "reason": "a copy"}]})
    StudyJournal(store, "tune/t", "mine").append_logs([{"op_code": i, "value": i / 7} for i in range(50)])


def run(store: Store, count: int, seed: int, *, board: bool) -> list[Flip]:
    """Flip ``count`` bits in a filled store, of all kinds of file in turn; it is the user's if the board is made."""
    rng, kinds = random.Random(seed), list(KINDS)
    whole = _board() if board else ""
    return [_flip(store, kinds[number % len(kinds)], rng, whole) for number in range(count)]


def _flip(store: Store, kind: str, rng: random.Random, whole: str) -> Flip:
    pattern, read = KINDS[kind]
    path = rng.choice(sorted(store.root.glob(pattern)))
    content = path.read_bytes()
    path.write_bytes(flipped(content, rng.randrange(8 * len(content))))
    read_named = False
    try:
        read(store, path)
    except StoreError as error:
        read_named = str(path) in error.message
    board = ""
    if whole:
        try:
            board = "same" if _board() == whole else "another"
        except StoreError as error:
            board = "refused" if str(path) in error.message else "refused without a name"
    checks = [check for check in store_checks.examine_folder(store) if str(path) in check.text]
    result = Flip(kind, read_named, bool(checks), all(check.ok for check in checks), board)
    path.write_bytes(content)
    shutil.rmtree(store.root / store_checks.SET_ASIDE, ignore_errors=True)
    return result


def _board() -> str:
    return leaderboard("digits-resnet18").rows.to_csv()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flips", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="damage-") as folder:
        os.environ["BENCH_HOME"] = str(Path(folder) / "home")
        store = Store(behind=None)
        fill(store)
        flips = run(store, options.flips, options.seed, board=True)
    print(f"{'file':<26}{'flips':>6}{'read':>6}{'doctor':>8}{'repaired':>10}  board")
    for kind in (*KINDS, ""):
        rows = [flip for flip in flips if kind in ("", flip.kind)]
        boards = ", ".join(f"{count} {name}" for name, count in sorted(Counter(row.board for row in rows).items()))
        named, examined = sum(row.read_named for row in rows), sum(row.examined_named for row in rows)
        repaired = sum(row.repaired for row in rows)
        print(f"{kind or 'all':<26}{len(rows):>6}{named:>6}{examined:>8}{repaired:>10}  {boards}")
    silent = [flip for flip in flips if not (flip.read_named and flip.examined_named) or flip.board == "another"]
    raise SystemExit(1 if silent else 0)


if __name__ == "__main__":
    main()
