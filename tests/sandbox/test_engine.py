"""What surrounds a container, without an engine."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unlearn_bench.sandbox.engine import images, reap
from unlearn_bench.sandbox.engine.attach import Demultiplexer
from unlearn_bench.sandbox.engine.cgroup import Cgroup
from unlearn_bench.sandbox.engine.settings import settings
from unlearn_bench.sandbox.image import base, build
from unlearn_bench.sandbox.types import Job, Limits


@given(st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=30))), st.integers(1, 40))
def test_streams_are_told_apart_at_any_fragmentation(sent: list[tuple[int, bytes]], size: int) -> None:
    stream = b"".join(Demultiplexer.HEADER.pack(which, len(data)) + data for which, data in sent)
    demultiplexer, received = Demultiplexer(), {"channel": b"", "log": b""}
    for start in range(0, len(stream), size):
        for source, data in demultiplexer.feed(stream[start : start + size]):
            received[source] += data
    assert received["channel"] == b"".join(data for which, data in sent if which == 1)
    assert received["log"] == b"".join(data for which, data in sent if which == 2)


def image(size: int, packages: str, cuda: str = "", **labels: str) -> Any:
    return SimpleNamespace(
        id=f"sha256:{size}",
        attrs={"Size": size},
        labels={images.PACKAGES_LABEL: packages, images.CUDA_LABEL: cuda, **labels},
    )


def test_the_smallest_sufficient_image_is_taken() -> None:
    lean, full = image(1, "torch numpy"), image(9, "torch torchvision timm", "13.0")
    client: Any = SimpleNamespace(images=SimpleNamespace(list=lambda name: [full, lean, image(0, "")]))
    assert images.find(client, (), "cpu") is lean
    assert images.find(client, ("torchvision",), "cpu") is full
    assert images.find(client, (), "cuda:0") is full
    assert images.find(client, ("jax",), "cpu") is None


def test_an_image_for_an_entry_is_taken_for_its_requirements_alone() -> None:
    lean = image(1, "torch")
    labels = {images.REQUIREMENTS_LABEL: "einops>=0.8", images.BASE_LABEL: lean.id}
    layer = image(0, "torch einops", **labels)
    client: Any = SimpleNamespace(images=SimpleNamespace(list=lambda name: [layer, lean]))
    assert images.find(client, (), "cpu") is lean
    assert images.find(client, (), "cpu", ("einops>=0.8",)) is layer
    assert images.find(client, (), "cpu", ("einops>=0.7",)) is None
    rebuilt: Any = SimpleNamespace(images=SimpleNamespace(list=lambda name: [layer, image(2, "torch")]))
    assert images.find(rebuilt, (), "cpu", ("einops>=0.8",)) is None


def container(owner: str) -> dict[str, str]:
    return {reap.OWNER_LABEL: owner}


def test_only_containers_of_dead_processes_of_this_machine_are_orphans() -> None:
    own = reap.labels("run")[reap.OWNER_LABEL]
    place, pid, start = own.rsplit(":", 2)
    assert int(pid) == os.getpid()
    assert not reap._orphaned(container(own))
    assert reap._orphaned(container(f"{place}:{pid}:{int(start) - 1}")), "the pid was used again"
    assert reap._orphaned(container(f"{place}:{2**22 + 1}:5"))
    assert not reap._orphaned(container(f"other-machine:1:{2**22 + 1}:5"))
    assert not reap._orphaned(container("somebody else's label"))


def test_cgroup_of_another_process_is_not_read() -> None:
    assert Cgroup(os.getpid(), "0123456789abcdef").cpu_seconds() is None
    assert Cgroup(2**22 + 1, "").peak_memory() is None


def test_gpu_goes_through_cdi_where_the_engine_has_it() -> None:
    job = Job(b"", {}, {}, b"", Path(), (), (), 1, 0, Limits(deadline=1), device="cuda:1")

    def request(info: dict[str, Any]) -> Any:
        return settings(job, "sha256:0", Path("/stage"), {}, info, None)["host_config"]["DeviceRequests"][0]

    plain = request({})
    assert plain["DeviceIDs"] == ["1"] and plain["Capabilities"] == [["gpu"]]
    cdi = request({"DiscoveredDevices": [{"Source": "cdi", "ID": "nvidia.com/gpu=1"}]})
    assert cdi["Driver"] == "cdi" and cdi["DeviceIDs"] == ["nvidia.com/gpu=1"]


@pytest.mark.parametrize(
    "name, text, expected",
    [
        ("sources.list.d/debian.sources", "Types: deb\n# http://snapshot/x\nURIs: http://mirror.one/debian\n", "http://mirror.one/debian"),
        ("sources.list", "# deb http://old/debian x\ndeb [signed-by=/k] https://mirror.two/debian bookworm main\n", "https://mirror.two/debian"),
    ],
)  # fmt: skip
def test_mirror_is_the_one_of_apt(tmp_path: Path, name: str, text: str, expected: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text(text)
    assert base.mirror(tmp_path) == expected


@pytest.mark.parametrize("text", ["", "deb cdrom:[Debian]/ bookworm main\n"])
def test_without_a_mirror_a_base_image_must_be_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "sources.list").write_text(text)
    with pytest.raises(base.BuildError) as caught:
        base.mirror(tmp_path)
    assert "--base-image" in caught.value.remedy


def test_bundled_data_sets_are_not_in_the_image(tmp_path: Path) -> None:
    kept = [
        "sklearn/datasets/data/__init__.py",
        "sklearn/datasets/_base.py",
        "torch/testing/x.py",
        "torch/bin/torch_shm_manager",
    ]
    dropped = ["sklearn/datasets/data/digits.csv.gz", "numpy/tests/a/tests/b.py", "torch/include/x.h", "torch/lib/x.a"]
    for name in kept + dropped:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    build.prune(tmp_path)
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()) == sorted(kept)


def test_labels_come_from_what_was_installed(tmp_path: Path) -> None:
    for name in ("torch-2.13.0+cpu.dist-info", "scikit_learn-1.9.dist-info", "torch"):
        (tmp_path / name).mkdir()
    version = tmp_path / "torch" / "version.py"
    version.write_text("__version__ = '2'\ncuda: Optional[str] = None\nhip: Optional[str] = None\n")
    assert build._carried(tmp_path) == ["scikit-learn", "torch"]
    assert build._cuda(tmp_path) == ""
    version.write_text("cuda: Optional[str] = '13.0'\n")
    assert build._cuda(tmp_path) == "13.0"


def test_control_groups_of_version_2_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "4f5ad1c0ffee"
    folder = tmp_path / f"system.slice/docker-{name}.scope"
    folder.mkdir(parents=True)
    (folder / "cpu.stat").write_text("usage_usec 2500000\nuser_usec 2000000\nsystem_usec 500000\n")
    (folder / "memory.peak").write_text("123456789\n")
    lines = tmp_path / "cgroup"
    lines.write_text(f"0::/system.slice/docker-{name}.scope\n")
    monkeypatch.setattr("unlearn_bench.sandbox.engine.cgroup.ROOT", tmp_path)
    monkeypatch.setattr("unlearn_bench.sandbox.engine.cgroup.PROC", tmp_path)
    (tmp_path / "77").mkdir()
    lines.rename(tmp_path / "77" / "cgroup")
    group = Cgroup(77, name)
    assert (group.cpu_seconds(), group.peak_memory()) == (2.5, 123456789)
    assert Cgroup(77, "another").cpu_seconds() is None
    (folder / "memory.peak").unlink()  # before Linux 5.19
    assert group.peak_memory() is None
