"""The head of a Ray cluster at an address: whether it answers, whether it lets this command in, whether it is lost."""

from __future__ import annotations

import os
import socket
import threading
import time
from pathlib import Path

from unlearn_bench.harness.executors.ray.private import cluster_identity
from unlearn_bench.harness.support.errors import EXIT_CODES, USAGE, BenchError

ANSWER = 5.0
"""Seconds in which an address must answer."""
EVERY = 5.0
"""Seconds between two checks of a head while a command waits for its units."""
LOST = 40.0
"""Seconds without an answer after which a head is lost; after a minute Ray itself ends the process, with code 1."""
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""What an HTTP/2 client says first (RFC 9113, section 3.4), with empty settings; a Ray head answers with its own."""


class Unreachable(BenchError):
    """Nothing at an address answers as a Ray head does."""


def reach(address: str) -> None:
    """Raise ``BenchError`` unless a Ray head answers at ``HOST:PORT`` and takes this command's token, within seconds.

    Ray itself tries for minutes.
    """
    _answers(address)
    _lets_in(address)


class Pulse:
    """Whether the head still answers, and is still the same; for all threads of a command that wait for its nodes."""

    def __init__(self, address: str) -> None:
        self._address, self._cluster = address, cluster_identity(address)
        self._lock = threading.Lock()
        self._next = 0.0
        self._silent_since: float | None = None

    def check(self) -> bool:
        """Ask the head, at most every ``EVERY`` seconds, and return whether it answered now.

        Raises:
            BenchError: it has not answered for ``LOST`` seconds, or another head answers, which does not know the
                calls that this command waits for.
        """
        from ray.exceptions import RayError

        with self._lock:
            now = time.monotonic()
            if now < self._next:
                return False
            try:
                _answers(self._address)
                if cluster_identity(self._address) != self._cluster:
                    raise _lost(f"the head of the Ray cluster at {self._address} was started anew")
                self._silent_since = None
            except (Unreachable, RayError):
                self._silent_since = self._silent_since or now
                if now - self._silent_since >= LOST:
                    what = f"the head of the Ray cluster at {self._address} has not answered for {LOST:.0f} s"
                    raise _lost(what) from None
            self._next = time.monotonic() + EVERY
            return self._silent_since is None


def _lost(what: str) -> BenchError:
    remedy = "once the cluster is up, run the same command again: what was finished is kept"
    return BenchError(what, "this machine", remedy, EXIT_CODES["infra"])


def _answers(address: str) -> None:
    """Raise ``Unreachable`` unless something at ``HOST:PORT`` answers as a Ray head does."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or "//" in address:
        remedy = "give the address of the cluster's head: HOST:6379, from a machine of the cluster"
        raise BenchError(f"{address!r} is not HOST:PORT", "your command", remedy, USAGE)
    try:
        with socket.create_connection((host, int(port)), timeout=ANSWER) as connection:
            connection.settimeout(ANSWER)
            connection.sendall(PREFACE)
            answer = connection.recv(9)
    except OSError as error:
        raise unreachable(address, str(error)) from None
    if answer[3:4] != b"\x04":  # a SETTINGS frame
        raise unreachable(address, "what answers there is no Ray head")


def _lets_in(address: str) -> None:
    """Raise ``BenchError`` where the head asks for a token that this command does not have; Ray 2.52 and newer do.

    Ray itself silently tries for half a minute, or aborts if it should have a token and has none.
    """
    from ray.exceptions import RayError

    remedy = "export RAY_AUTH_MODE=token, with the cluster's token in RAY_AUTH_TOKEN or ~/.ray/auth_token"
    token_missing = BenchError(
        f"the Ray cluster at {address} asks for its token", "your command", remedy, EXIT_CODES["infra"]
    )
    token_variables = {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys()
    if (
        os.environ.get("RAY_AUTH_MODE") == "token"
        and not token_variables
        and not Path("~/.ray/auth_token").expanduser().exists()
    ):
        raise token_missing
    try:
        cluster_identity(address)
    except RayError as error:
        if type(error).__name__ == "AuthenticationError":
            raise token_missing from None
        raise unreachable(address, str(error).split("\n")[0][:200]) from None


def unreachable(address: str, why: str) -> Unreachable:
    """Return the error for an address without a Ray head."""
    remedy = "check --address (and RAY_ADDRESS) and `ray status`; without an address Ray starts on this machine alone"
    return Unreachable(f"no Ray cluster at {address}: {why}", "your command", remedy, EXIT_CODES["infra"])
