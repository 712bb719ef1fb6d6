"""The engine's client, every call of which ends in bounded time, whatever the engine does."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import docker
from docker.errors import DockerException
from requests.exceptions import RequestException

from unlearn_bench.sandbox.text import one_line

TIMEOUT = 30
"""Seconds that any call to the engine may take."""
FAILURES = (DockerException, RequestException, OSError)
"""What a call raises when the engine fails."""


class EngineSilent(DockerException):
    """The engine did not answer in time."""


class _Api(docker.APIClient):
    def request(self, *arguments: Any, **options: Any) -> Any:
        """Bound a call of the SDK, whose own timeout holds per read: a slow drip of bytes would never exceed it."""
        return within(TIMEOUT, partial(super().request, *arguments, **options))


class _Client(docker.DockerClient):
    def __init__(self, **options: Any) -> None:
        self.api = _Api(**options)


@contextmanager
def connect(address: str | None = None) -> Iterator[docker.DockerClient]:
    """Yield a client of the engine at an address, or of the one that the environment names (``DOCKER_HOST``)."""
    client = _Client(base_url=address, timeout=TIMEOUT) if address else _Client.from_env(timeout=TIMEOUT)
    try:
        yield client
    finally:
        client.close()


def within(seconds: float, call: Callable[[], Any]) -> Any:
    """Return or raise what ``call`` does; ``EngineSilent`` if it does neither in time (its thread is left running)."""
    answers: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put((call(), None))
        except BaseException as error:
            answers.put((None, error))

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer, error = answers.get(timeout=seconds)
    except queue.Empty:
        raise EngineSilent(f"no answer within {seconds:g} s") from None
    if error is not None:
        raise error
    return answer


def explain(error: Exception) -> str:
    """Return one line for people: what failed, and the remedy."""
    message = one_line(str(getattr(error, "explanation", None) or error), 160)
    if "no space left on device" in str(error).lower():
        return f"the container engine's disk is full ({message}); free some where `docker info` says Docker Root Dir"
    if "device driver" in str(error) or "nvidia" in str(error).lower():
        return f"the engine cannot pass the GPU on ({message}); install the NVIDIA Container Toolkit"
    return f"the container engine failed ({message}); check it with `docker info` or `podman info`, then try again"
