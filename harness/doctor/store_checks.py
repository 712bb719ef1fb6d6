"""Every file of the store against its digest, for ``bench doctor --store``; what is damaged is set aside.

Nothing is deleted: a damaged file goes to the folder ``damaged`` of the store, under the path that it had. What can be
computed from the rest of the store is then computed again by the command that needs it.
"""

from __future__ import annotations

import datetime
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from unlearn_bench.harness.data.dataset import data_folder
from unlearn_bench.harness.doctor.check import Check
from unlearn_bench.harness.doctor.disk import YOUNG
from unlearn_bench.harness.store import document_bytes
from unlearn_bench.harness.store.mirror import UNSENT
from unlearn_bench.harness.store.store import SHIPPED, Store, read_blob
from unlearn_bench.harness.support.errors import Unwritable
from unlearn_bench.harness.support.files import PART, is_checked, sha256_of, write_file, writing

SET_ASIDE = "damaged"
NO_DOCUMENTS = (SET_ASIDE, "blobs", "stores", "logs", "locks")
"""Folders of the store that hold no documents; ``stores`` holds other stores."""
COMPUTED = ("scores", "shadow-scores", "curves", "literature", "untrained", "labels", "machines", "retrain")
"""Kinds of document that the next command computes, or measures, when it needs them."""
REBUILT = ("inputs", "checkpoints", "held-weights")
"""Folders of other files that the next command writes again, or does without."""
REMEDIES = {
    "references": "train or fetch the models again with `bench prepare`",
    "tune": "search again with `bench tune`",
    "tuned": "search again with `bench tune`",
    "verified": "verify the row again with `bench verify`",
    "audits": "audit the row again with `bench audit`",
    "disqualified": "decide again with `bench disqualify`",
    "pulls": "score the pull request again with `bench score-pr`",
}
"""What brings a kind of document back; every other kind is of units, which their command runs again."""
RUN_AGAIN = "run the command that made it again: what is missing is made again"


@dataclass(frozen=True)
class _Damaged:
    """A file that does not match its digest."""

    path: Path
    why: str


def examine(store: Store) -> Iterator[Check]:
    """Yield the checks of :func:`examine_folder`, and one of what ships with the benchmark."""
    if store.root.is_dir():
        yield from examine_folder(store)
    else:
        yield Check("store", f"{store.root} does not exist yet")
    if store.root.resolve() != SHIPPED.resolve():
        yield shipped()


def examine_folder(store: Store) -> Iterator[Check]:
    """Yield a check of each damaged file of the user's store, which is set aside, and of each kind of file."""
    yield from _documents(store)
    yield from _counted(store, "arrays", "match their names", _arrays(store.root))
    yield from _counted(store, "other files", "match their digests", _others(store.root))
    yield _unfinished(store)


def _counted(store: Store, subject: str, what: str, files: Iterator[Path | _Damaged]) -> Iterator[Check]:
    count = 0
    for each in files:
        if isinstance(each, _Damaged):
            yield _set_aside(store, each)
        else:
            count += 1
    yield Check(subject, f"{count:,} {what}")


def _documents(store: Store) -> Iterator[Check]:
    """Check all documents, and give a digest to those that an older version has written."""
    count, given, from_the_future = 0, 0, 0
    latest = (datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)).isoformat()
    for path in _document_files(store.root):
        place = _place(path, store.root)
        try:
            content, has_digest = document_bytes.decode(place, path.read_bytes())
        except FileNotFoundError:  # a command that runs beside this one has removed it
            continue
        except OSError as error:
            yield _set_aside(store, _Damaged(path, str(error)))
            continue
        except ValueError as error:
            yield _corrected(store, path) or _set_aside(store, _Damaged(path, str(error)))
            continue
        count += has_digest
        from_the_future += str(content.get("date", "")) > latest
        if not has_digest:
            try:
                kind, name = place.rsplit("/", 1)
                store.write(kind, name, content)
                given += 1
            except Unwritable as error:
                yield Check("documents", f"{path} has no digest and cannot get one: {error.message}", error.remedy)
    yield Check("documents", f"{count:,} match their digests")
    if given:
        what = f"{given:,} more, which an older version wrote without a digest, got one now"
        yield Check("documents", f"{what}; nothing can tell whether they had changed before")
    if from_the_future:
        what = f"{from_the_future:,} carry a date in the future, and of two versions of an entry the later one stands"
        yield Check("dates", what, "set the clock of this machine, and run these entries again", needed=False)


def _corrected(store: Store, path: Path) -> Check | None:
    """Write a document as it was if only one bit of it has changed."""
    place = _place(path, store.root)
    document = document_bytes.corrected(place, path.read_bytes())
    if document is None:
        return None
    try:
        write_file(path, document)
    except Unwritable as error:
        return Check("damaged", f"{path}: one bit has changed; it cannot be corrected: {error.message}", error.remedy)
    return Check("damaged", f"{path}: one bit had changed; its digest shows which, and it is as it was again")


def _document_files(root: Path) -> Iterator[Path]:
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        if folder.name not in NO_DOCUMENTS and folder != data_folder():
            yield from sorted(folder.rglob("*.json"))


def _place(path: Path, root: Path) -> str:
    """Return the kind and name of the document in a file."""
    parts = path.relative_to(root).with_suffix("").parts
    return "/".join(parts[1:] if parts[0] == UNSENT else parts)


def _arrays(root: Path) -> Iterator[Path | _Damaged]:
    for path in sorted((root / "blobs").glob("*/[!.]*")):
        yield from _examined(path, lambda path: read_blob(path) is not None)


def _others(root: Path) -> Iterator[Path | _Damaged]:
    for path in sorted((root / "inputs").glob("*-*.safetensors")):
        yield from _examined(path, lambda path: path.stem.endswith(f"-{sha256_of(path)}"))
    for path in sorted((*(root / "checkpoints").glob("[!.]*"), *(root / "held-weights").glob("[!.]*"))):
        yield from _examined(path, is_checked)


def _examined(path: Path, intact: Callable[[Path], bool]) -> Iterator[Path | _Damaged]:
    try:
        yield path if intact(path) else _Damaged(path, "it does not match its digest")
    except FileNotFoundError:  # a command that runs beside this one has removed it
        return
    except OSError as error:
        yield _Damaged(path, str(error))


def _set_aside(store: Store, damaged: _Damaged) -> Check:
    """Move a damaged file out of the way, and say what brings it back."""
    place = damaged.path.relative_to(store.root)
    target = store.root / SET_ASIDE / place
    try:
        with writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            damaged.path.replace(target)
    except Unwritable as error:
        return Check("damaged", f"{damaged.path}: {damaged.why}; it cannot be set aside: {error.message}", error.remedy)
    text = f"{damaged.path}: {damaged.why}; it is in {SET_ASIDE}/ now"
    kind = place.parts[0]
    if kind == "blobs" and store.has(place.stem):
        return Check("damaged", f"{text}, and another copy of it is read")
    if kind in (*COMPUTED, *REBUILT):
        return Check("damaged", f"{text}, and it is made again when it is needed")
    return Check("damaged", text, REMEDIES.get(kind, RUN_AGAIN))


def _unfinished(store: Store) -> Check:
    """Remove the files that killed commands did not finish, unless they may belong to one that runs."""
    removed = 0
    with suppress(OSError), tempfile.TemporaryFile(dir=store.root) as file:
        now = os.fstat(file.fileno()).st_mtime  # by the clock of the file system, which may be another machine's
        for path in store.root.rglob(f".*{PART}"):
            if now - path.stat().st_mtime > YOUNG:
                path.unlink()
                removed += 1
    return Check("unfinished", f"{removed} files of killed commands removed")


def shipped() -> Check:
    """Check every file that ships with the benchmark."""
    count, without, damaged = 0, 0, []
    for each in _arrays(SHIPPED):
        count += 1
        if isinstance(each, _Damaged):
            damaged.append(each)
    for path in _document_files(SHIPPED):
        count += 1
        try:
            without += not document_bytes.decode(_place(path, SHIPPED), path.read_bytes())[1]
        except (ValueError, OSError) as error:
            damaged.append(_Damaged(path, str(error)))
    if damaged:
        what = "; ".join(f"{each.path}: {each.why}" for each in damaged)
        return Check("shipped", what, "install the benchmark again: files that ship with it have changed")
    if without:
        what = f"{without:,} documents that ship have no digest, so nothing can tell whether they have changed"
        return Check("shipped", what, "with BENCH_HOME=harness/shipped this command gives them one", needed=False)
    return Check("shipped", f"{count:,} files that ship with the benchmark match their digests")
