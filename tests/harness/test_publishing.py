"""Published references: fetched and used by somebody else, resumed after a kill, refused when a byte is another one."""

from __future__ import annotations

import http.server
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.harness.conftest import SMALL, run
from tests.harness.test_machine_failures import fill, tiny_disk  # noqa: F401
from tests.harness.test_submit import FINE_TUNE
from unlearn_bench.harness.references.manifest import manifest_path
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import Role, shadow_roles
from unlearn_bench.harness.store.store import Store


@dataclass
class Server:
    """A real HTTP server of a folder: with ranges or without, slow or not; counts the bytes of files that it sent."""

    folder: Path
    ranges: bool = True
    pause: float = 0.0
    sent: int = 0
    requests: list[str] = field(default_factory=list)
    break_after: int | None = None
    stuck: str = ""
    """Path of which only one half is sent."""
    url: str = ""

    def answer(self, request: http.server.BaseHTTPRequestHandler) -> None:
        path = self.folder / request.path.lstrip("/")
        self.requests.append(request.path)
        if not path.is_file():
            request.send_error(404)
            return
        content, start = path.read_bytes(), 0
        wanted = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range") or "")
        if wanted and self.ranges:
            start = int(wanted[1])
            request.send_response(206)
            request.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            request.send_response(200)
        request.send_header("Content-Length", str(len(content) - start))
        request.end_headers()
        for at in range(start, len(content), 4096):
            if self.break_after is not None and self.sent >= self.break_after:
                self.break_after = None
                request.close_connection = True
                return
            if request.path == self.stuck and at > len(content) / 2:
                time.sleep(600)
            chunk = content[at : at + 4096]
            request.wfile.write(chunk)
            self.sent += len(chunk)
            time.sleep(self.pause)


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    running = []

    def start(folder: Path, **options: object) -> Server:
        state = Server(folder, **options)  # type: ignore[arg-type]

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                try:
                    state.answer(self)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

            def log_message(self, *args: object) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        running.append(server)
        state.url = f"http://127.0.0.1:{server.server_address[1]}"
        return state

    yield start
    for server in running:
        server.shutdown()


@pytest.fixture
def published(prepared: References, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny track's references at a place; the user's store is empty again."""
    there = tmp_path / "published"
    result = run("prepare", str(small), "--publish", str(there))
    assert result.exit_code == 0, result.output
    assert f"commit the manifest {manifest_path(str(small))}" in result.stdout
    monkeypatch.setenv("BENCH_HOME", str(tmp_path / "other"))
    return there


def manifest(home: Path) -> dict[str, object]:
    (path,) = (home / "references").glob("*.json")
    return json.loads(path.read_text())["roles"]


def largest(there: Path) -> Path:
    return max((there / "blobs").glob("*/*"), key=lambda path: path.stat().st_size)


@pytest.mark.parametrize("protocol", ["path", "file", "http"])
def test_what_is_fetched_is_what_was_published_and_nothing_is_trained(
    published: Path, small: Path, tmp_path: Path, serve: Callable[..., Server], protocol: str
) -> None:
    url = {"path": str(published), "file": published.as_uri(), "http": ""}[protocol] or serve(published).url
    result = run("prepare", str(small), "--fetch", url)
    assert result.exit_code == 0, result.output
    assert "6 reference models to fetch" in result.stderr and "to train" not in result.stderr
    assert "6 of 6 reference models, every file verified" in result.stdout
    assert manifest(tmp_path / "other") == manifest(tmp_path / "home")
    assert run("prepare", str(small), "--fetch", url).stderr == "", "nothing is fetched twice"


@pytest.mark.slow
def test_the_manifest_says_where_and_submit_works_on_what_was_fetched(
    published: Path, small: Path, tmp_path: Path
) -> None:
    assert run("prepare", str(small), "--fetch").exit_code == 0
    entry = tmp_path / "mine.py"
    entry.write_text(FINE_TUNE)
    result = run("submit", str(entry), "--track", str(small), "--sandbox", "process", "--seeds", "1")
    assert result.exit_code == 0, result.output
    assert "to train" not in result.stderr


def test_publishing_again_sends_only_what_is_not_there(prepared: References, small: Path, tmp_path: Path) -> None:
    there = tmp_path / "published"
    assert run("prepare", str(small), "--publish", str(there)).exit_code == 0
    whole = largest(there)
    content = whole.read_bytes()
    whole.write_bytes(content[:100])  # as after a kill
    times = {path: path.stat().st_mtime_ns for path in there.rglob("*") if path.is_file()}
    again = run("prepare", str(small), "--publish", str(there))
    assert "1 files to publish" in again.stderr
    assert whole.read_bytes() == content
    sent = {path for path, before in times.items() if path.stat().st_mtime_ns != before}
    assert {path for path in sent if path.suffix != ".json"} == {whole}


def test_a_killed_download_goes_on_where_it_stopped(
    published: Path, small: Path, tmp_path: Path, serve: Callable[..., Server]
) -> None:
    blob = largest(published)
    size, total = blob.stat().st_size, sum(path.stat().st_size for path in (published / "blobs").glob("*/*"))
    server = serve(published, stuck=f"/{blob.relative_to(published)}")
    part = tmp_path / "other" / "partial" / blob.name
    command = [sys.executable, "-m", "unlearn_bench.harness", "prepare", str(small), "--fetch", server.url]
    process = subprocess.Popen(command, env={**os.environ}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (part.exists() and part.stat().st_size > size / 2) and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    other = Store(tmp_path / "other")
    assert not other.has(blob.name), "a part of a file never counts as the file"
    here = part.stat().st_size + sum(path.stat().st_size for path in (other.root / "blobs").glob("*/*"))
    server.stuck, server.sent = "", 0
    result = run("prepare", str(small), "--fetch", server.url)
    assert result.exit_code == 0, result.output
    assert "MB are here" in result.stderr
    assert server.sent == total - here
    assert manifest(tmp_path / "other") == manifest(tmp_path / "home")
    assert list((other.root / "partial").iterdir()) == []


@pytest.mark.parametrize("ranges", [True, False])
def test_a_part_is_completed_with_and_without_ranges(
    published: Path, small: Path, tmp_path: Path, serve: Callable[..., Server], ranges: bool
) -> None:
    blob = largest(published)
    content, part = blob.read_bytes(), tmp_path / "other" / "partial" / blob.name
    part.parent.mkdir(parents=True)
    part.write_bytes(content[:-10])
    total = sum(path.stat().st_size for path in (published / "blobs").glob("*/*"))
    server = serve(published, ranges=ranges)
    assert run("prepare", str(small), "--fetch", server.url).exit_code == 0
    assert server.sent == (total - len(content) + 10 if ranges else total)
    assert Store(tmp_path / "other").get(blob.name) == content


def test_a_part_of_another_file_is_fetched_anew(
    published: Path, small: Path, tmp_path: Path, serve: Callable[..., Server]
) -> None:
    blob = largest(published)
    part = tmp_path / "other" / "partial" / blob.name
    part.parent.mkdir(parents=True)
    part.write_bytes(b"?" * 1000)
    assert run("prepare", str(small), "--fetch", serve(published).url).exit_code == 0
    assert Store(tmp_path / "other").get(blob.name) == blob.read_bytes()


def test_a_broken_connection_is_taken_up_again(
    published: Path, small: Path, tmp_path: Path, serve: Callable[..., Server]
) -> None:
    total = sum(path.stat().st_size for path in (published / "blobs").glob("*/*"))
    server = serve(published, break_after=total // 2)
    assert run("prepare", str(small), "--fetch", server.url).exit_code == 0
    assert server.sent == total


@pytest.mark.parametrize("protocol", ["path", "http"])
@pytest.mark.parametrize("damage", ["tampered", "truncated", "longer", "gone"])
def test_a_file_that_is_not_the_published_one_is_named_and_not_kept(
    published: Path, small: Path, tmp_path: Path, serve: Callable[..., Server], damage: str, protocol: str
) -> None:
    blob = largest(published)
    content = blob.read_bytes()
    if damage == "gone":
        blob.unlink()
    else:
        changed = bytes([content[0] ^ 1]) + content[1:]
        blob.write_bytes({"tampered": changed, "truncated": content[:-1], "longer": content + b"x"}[damage])
    url = str(published) if protocol == "path" else serve(published).url
    result = run("prepare", str(small), "--fetch", url)
    assert result.exit_code == (2 if damage == "gone" else 20), result.output
    assert f"{url}/blobs/{blob.name[:2]}/{blob.name}" in result.stderr
    assert not Store(tmp_path / "other").has(blob.name)
    assert not (tmp_path / "other" / "partial" / blob.name).exists()
    blob.write_bytes(content)
    assert run("prepare", str(small), "--fetch", url).exit_code == 0, "what was right is kept"


def test_another_url_of_the_manifest_gives_what_the_first_lacks(published: Path, small: Path, tmp_path: Path) -> None:
    path = manifest_path(str(small))
    content = json.loads(path.read_text())
    content["urls"] = ["http://127.0.0.1:9/nobody", *content["urls"]]
    path.write_text(json.dumps(content))
    assert run("prepare", str(small), "--fetch").exit_code == 0


def test_a_manifest_of_other_references_is_refused(published: Path, small: Path, tmp_path: Path) -> None:
    other = tmp_path / "changed.toml"
    other.write_text(SMALL.replace("epochs = 5", "epochs = 3"))
    result = run("prepare", str(other), "--fetch", str(published), "--manifest", str(manifest_path(str(small))))
    assert result.exit_code == 2
    assert "is of other references" in result.stderr
    assert not (tmp_path / "other" / "blobs").exists()
    none = run("prepare", str(other), "--fetch", str(published))
    assert none.exit_code == 2
    assert f"there is no manifest {manifest_path(str(other))}" in none.stderr


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c["models"]["null/0"]["logits"].update(sha256="../../escape"), "is not a manifest"),
        (lambda c: c["models"]["null/0"].update(logits=None), "is not a manifest"),
        (lambda c: c["models"].pop("null/0"), "has no null/0"),
        (lambda c: c.update(format=2), "it has format 2, not 1"),
    ],
)
def test_a_manifest_that_is_none_is_refused(
    published: Path, small: Path, change: Callable[[dict[str, object]], object], said: str
) -> None:
    path = manifest_path(str(small))
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    result = run("prepare", str(small), "--fetch", str(published))
    assert result.exit_code == 2
    assert said in result.stderr


def test_urls_that_cannot_be_used_say_why(published: Path, small: Path) -> None:
    unknown = run("prepare", str(small), "--fetch", "nowhere://bucket/x")
    assert unknown.exit_code == 2 and "Protocol not known" in unknown.stderr
    lacking = run("prepare", str(small), "--fetch", "gdrive://bucket/x")
    assert lacking.exit_code == 20 and "unlearn-bench[remote]" in lacking.stderr
    silent = run("prepare", str(small), "--fetch", "http://127.0.0.1:9/nobody")
    assert silent.exit_code == 20 and "cannot be reached" in silent.stderr and "this machine" in silent.stderr


def test_references_cannot_be_published_over_http(prepared: References, small: Path) -> None:
    result = run("prepare", str(small), "--publish", "https://127.0.0.1:9/x")
    assert result.exit_code == 2 and "nothing can be written over HTTP" in result.stderr


@pytest.mark.slow
def test_shadow_models_are_published_and_fetched_with_lira(
    prepared: References, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / "published"
    assert run("prepare", str(small), "--lira", "--publish", str(there)).exit_code == 0
    monkeypatch.setenv("BENCH_HOME", str(tmp_path / "other"))
    result = run("prepare", str(small), "--lira", "--fetch", str(there))
    assert result.exit_code == 0, result.output
    assert "18 of 18 reference models" in result.stdout and "to train" not in result.stderr
    fetched = References(prepared.track, Store())
    assert not fetched.missing(shadow_roles(prepared.track))
    assert fetched.weights(Role("shadow", 3)) == prepared.weights(Role("shadow", 3))


def test_a_disk_too_small_is_said_before_anything_is_written(
    published: Path,
    small: Path,
    tiny_disk: Callable[[str], Path],  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    home = tiny_disk("64k") / "home"
    monkeypatch.setenv("BENCH_HOME", str(home))
    for command in (("--fetch", str(published)), ()):
        result = run("prepare", str(small), *command)
        assert result.exit_code == 20, result.output
        assert "MB free" in result.stderr and "BENCH_HOME" in result.stderr
        assert not home.exists() or list(home.rglob("*.*")) == []


def test_a_disk_that_fills_up_in_mid_download_keeps_what_came_in(
    published: Path,
    small: Path,
    serve: Callable[..., Server],
    tiny_disk: Callable[[str], Path],  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    home = tiny_disk("16m") / "home"
    monkeypatch.setenv("BENCH_HOME", str(home))
    server = serve(published, pause=0.002)
    filler: list[Path] = []

    def fill_soon() -> None:
        while server.sent < 100_000:
            time.sleep(0.002)
        filler.append(fill(home))

    thread = threading.Thread(target=fill_soon)
    thread.start()
    result = run("prepare", str(small), "--fetch", server.url)
    thread.join()
    assert result.exit_code == 20, result.output
    assert "the disk of the store is full" in result.stderr
    filler[0].unlink()
    assert run("prepare", str(small), "--fetch", server.url).exit_code == 0


def test_references_of_a_sealed_track_are_not_published(small: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secrets" / "small.toml"
    secret.parent.mkdir()
    assert run("seal", str(small), "--secret", str(secret)).exit_code == 0
    result = run("prepare", str(small), "--secret", str(secret), "--publish", str(tmp_path / "published"))
    assert result.exit_code == 2
    assert "give away the inside of the sealed track" in result.stderr
    assert not (tmp_path / "published").exists()


@pytest.mark.slow
def test_a_real_s3_server_holds_what_others_fetch(
    prepared: References, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("s3fs", reason="S3 IS NOT TESTED: install s3fs and moto[server]")
    pytest.importorskip("moto", reason="S3 IS NOT TESTED: install s3fs and moto[server]")
    server = [sys.executable, "-m", "moto.server", "-p", "5557"]
    process = subprocess.Popen(server, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        import s3fs

        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "test")
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:5557")
        for _ in range(100):
            try:
                s3fs.S3FileSystem(skip_instance_cache=True).mkdir("bucket")
                break
            except Exception:
                time.sleep(0.2)
        url = "s3://bucket/references"
        assert run("prepare", str(small), "--publish", url).exit_code == 0
        assert "0 files to publish" in run("prepare", str(small), "--publish", url).stderr
        monkeypatch.setenv("BENCH_HOME", str(tmp_path / "other"))
        result = run("prepare", str(small), "--fetch", url)
        assert result.exit_code == 0, result.output
        assert manifest(tmp_path / "other") == manifest(tmp_path / "home")
    finally:
        process.terminate()
        process.wait()
