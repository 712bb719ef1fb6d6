"""The attack suite: in real containers every attack ends as it must, and nothing is left of any."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from tests.harness.forked import WarmUnits
from unlearn_bench.sandbox import suite
from unlearn_bench.sandbox.engine import remains
from unlearn_bench.sandbox.engine.reap import labels
from unlearn_bench.sandbox.tiny import tiny_job
from unlearn_bench.sandbox.types import Job, Limits, Sandbox

pytestmark = pytest.mark.timeout(1800)
READ_BY_THE_HOST = [variants for variants in suite.attacks() if len(variants) > 2]


@pytest.fixture
def client(docker_sandbox: Sandbox) -> Iterator[docker.DockerClient]:
    client = docker.from_env(timeout=60)
    yield client
    client.close()


@pytest.fixture(scope="module")
def job() -> Iterator[Job]:
    with tiny_job(b"", Limits(deadline=0), run_id="attack-tests") as job:
        yield job


@pytest.fixture(scope="module")
def nothing_left(docker_sandbox: Sandbox, job: Job) -> Iterator[None]:
    """Judged once, after the last attack."""
    client = docker.from_env(timeout=60)
    client.ping()
    before = remains.look(client, suite.sources())
    yield
    left = remains.remains(client, suite.sources(), before, patience=600)  # other tests run beside it
    client.close()
    assert left == []


@pytest.mark.docker
@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("attack", suite.attacks(), ids=lambda variants: variants[0].name)
def test_attack(attack: tuple[suite.HostileEntry, ...], docker_sandbox: Sandbox, job: Job, private_tmp: Path) -> None:
    """Of many variants the first and the last; the others differ in what the host reads, wherever a unit runs."""
    ends = (attack[0], attack[-1]) if len(attack) > 1 else attack
    results = list(suite.run(docker_sandbox, job, [ends]))
    assert [(result.attack, result.why) for result in results if not result.ok] == []
    assert len(results) == len(ends)
    assert list(private_tmp.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("attack", READ_BY_THE_HOST, ids=lambda variants: variants[0].name)
def test_the_host_survives_every_variant_of_what_it_reads(attack: tuple[suite.HostileEntry, ...], job: Job) -> None:
    results = list(suite.run(WarmUnits(), job, [attack]))
    assert [(result.attack, result.why) for result in results if not result.ok] == []
    assert len(results) == len(attack)


@pytest.mark.docker
def test_a_container_or_a_volume_that_stays_is_found(client: docker.DockerClient) -> None:
    before = remains.look(client, suite.sources())
    image = client.images.list("unlearn-bench")[0].id
    container = client.containers.create(image, ["true"], labels=labels("left"))
    volume = client.volumes.create()
    try:
        left = remains.remains(client, suite.sources(), before, patience=0)
        assert any(line.startswith("containers left:") and container.id in line for line in left)
        assert any(line.startswith("volumes left:") and volume.id in line for line in left)
    finally:
        container.remove(force=True)
        volume.remove()
