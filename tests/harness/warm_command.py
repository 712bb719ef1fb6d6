"""The command ``bench`` as a program that starts at once: each call is forked from the server of ``forked``.

For scripts that call it many times. What happens from the command line on is the product's own.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import wait
from multiprocessing.reduction import DupFd
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.harness import forked

CLIENT = """#!{python} -SE
import json, os, signal, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, lambda number, frame: server.send(b"%c" % number))
    socket.send_fds(server, [b" "], [0, 1, 2])
    server.sendall(json.dumps([sys.argv, os.getcwd(), dict(os.environ)]).encode() + b"\\n")
    sys.exit(int(server.recv(16)))
"""
"""It passes its signals on; if it is killed, so is the command."""


def nothing() -> None:
    """Prepare nothing."""


@contextmanager
def program(path: Path, prepare: Callable[[], None] = nothing) -> Iterator[None]:
    """Write the program to ``path`` and serve its calls; each calls ``prepare``, which can be pickled, first."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("")  # an abstract address, which no folder is too deep for
        listener.listen()
        path.write_text(CLIENT.format(python=sys.executable, address=listener.getsockname()))
        path.chmod(0o755)
        Thread(target=_serve, args=(listener, prepare), daemon=True).start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)


def _serve(listener: socket.socket, prepare: Callable[[], None]) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:  # shut down
            return
        Thread(target=_call, args=(connection, prepare), daemon=True).start()


def _call(connection: socket.socket, prepare: Callable[[], None]) -> None:
    with connection:
        _, streams, *_ = socket.recv_fds(connection, 1, 3)
        try:
            arguments, folder, variables = json.loads(_line(connection))
            process = forked.get_context().Process(target=_run, args=(Streams(streams), arguments, folder, prepare))
            process.variables = variables
            process.start()
        finally:
            for stream in streams:
                os.close(stream)
        while process.sentinel not in wait([process.sentinel, connection]):
            signals = connection.recv(16)
            for number in signals or [signal.SIGKILL]:
                os.kill(process.pid, number)
            if not signals:
                break
        process.join()
        with suppress(BrokenPipeError):  # the program was killed
            connection.sendall(b"%d" % process.exitcode)


def _line(connection: socket.socket) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        line += connection.recv(65536)
    return line


class Streams:
    """Descriptors 0, 1 and 2 of a process that is still to start."""

    def __init__(self, streams: list[int]) -> None:
        self.streams = streams

    def __reduce__(self) -> Any:
        return _duplicated, tuple(DupFd(stream) for stream in self.streams)


def _duplicated(*streams: Any) -> Streams:
    return Streams([stream.detach() for stream in streams])


def _run(streams: Streams, arguments: list[str], folder: str, prepare: Callable[[], None]) -> None:
    for target, stream in enumerate(streams.streams):
        os.dup2(stream, target)
        os.close(stream)
    sys.stdin = os.fdopen(0)
    sys.argv[:] = arguments
    os.chdir(folder)
    tempfile.tempdir = None  # as the variables of this call say
    forked.install(pytest.MonkeyPatch())
    prepare()
    from unlearn_bench.harness.cli import main

    main()
