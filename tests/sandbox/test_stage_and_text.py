from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from unlearn_bench.sandbox import stage
from unlearn_bench.sandbox.stage import staged
from unlearn_bench.sandbox.text import Log, clean, one_line, tail
from unlearn_bench.sandbox.types import Job


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_stage_holds_exactly_what_a_unit_gets(make_job: Callable[..., Job]) -> None:
    job = make_job("x = 1", parameters={"lr": 0.1}, device="cuda:3")
    with staged(job) as folder:
        found = files(folder)
        expected = {"job.json", "entry.py", "weights.safetensors", "data.safetensors"}
        assert expected < found
        lib = found - expected
        assert {"lib/sandbox/__init__.py", "lib/sandbox/inside/runner.py", "lib/sandbox/inside/models.py"} <= lib
        room = Path(stage.__file__).parent
        for name in lib:
            assert (folder / name).read_bytes() == (room.parent / name.removeprefix("lib/")).read_bytes()
            assert name.startswith("lib/sandbox/inside/") or name.count("/") == 2
        assert not {"lib/sandbox/weights.py", "lib/sandbox/session.py", "lib/sandbox/stage.py"} & lib
        assert '"cuda:0"' in (folder / "job.json").read_text(), "the host's index stays on the host"
        modes = {stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.rglob("*")) if path.is_dir()}
        assert modes == {0o755}
        assert all(stat.S_IMODE((folder / name).stat().st_mode) & 0o444 == 0o444 for name in found)
    assert not folder.exists()


@pytest.mark.parametrize("mode, linked", [(0o644, True), (0o600, False)])
def test_data_is_linked_only_if_its_mode_need_not_change(
    make_job: Callable[..., Job], tmp_path: Path, mode: int, linked: bool
) -> None:
    job = make_job("")
    data = tmp_path / "data"
    data.write_bytes(job.data.read_bytes())
    data.chmod(mode)
    with staged(make_job("", data=data)) as folder:
        if linked and data.stat().st_dev != folder.stat().st_dev:
            pytest.skip("the temporary folder is on another file system")
        assert data.samefile(folder / "data.safetensors") == linked
        assert stat.S_IMODE(data.stat().st_mode) == mode
        assert (folder / "data.safetensors").stat().st_mode & stat.S_IROTH


def test_stage_is_removed_after_an_error(make_job: Callable[..., Job], private_tmp: Path) -> None:
    with pytest.raises(FileNotFoundError), staged(make_job("", data=Path("/nowhere/data"))):
        pass
    assert list(private_tmp.iterdir()) == []


def test_text_is_stripped_of_what_moves_a_terminal() -> None:
    assert clean("a\x1b[31mred\x1b[0m\x1b]0;title\x07 b\x9b2J\x00\u202eé\t\n") == "ared b2Jé\t\n"
    assert clean("10%\r20%\r\n") == "10%\n20%\n"
    assert one_line("a\nb\t c" + "d" * 1000, 20) == "a b c" + "d" * 14 + "…"
    assert one_line("") == ""


def test_tail_is_bounded_in_bytes_and_never_cuts_a_character() -> None:
    text = tail("ü".encode() * 10_000)
    assert len(text.encode()) <= 4096 and set(text) == {"ü"}
    assert tail(b"\xff\xfe abc") == "\ufffd\ufffd abc"


def test_log_keeps_the_newest_bytes_in_bounded_memory() -> None:
    log = Log(10)
    for number in range(1000):
        log.add(b"%04d " % number)
        assert len(log._data) <= 45
    assert bytes(log) == b"0998 0999 "
