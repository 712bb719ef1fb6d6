"""Works through the list of ``plan.py`` for some minutes and brings back what is finished; the next session resumes.

A second process does the work. This one ends it when the time is up, or when there is as much to bring back as
``--max-mib`` allows, and then writes the files of ``--out``. What a kill interrupts is run again, and what is stored
is not.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import torch

from tests.benchmarks.campaign import bundle, plan
from tests.benchmarks.campaign.step import Run, Step
from unlearn_bench.harness.commands._progress import TerminalObserver
from unlearn_bench.harness.entries.entry import baseline_names
from unlearn_bench.harness.executors import RunOptions, local
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.errors import EXIT_CODES, BenchError
from unlearn_bench.harness.support.lifeline import end_with

RESERVE = 40.0
"""Seconds at the end for ending the work and writing the files; of short sessions a fifth."""
GRACE = 10.0
"""Seconds that the work has to end by itself."""
LOOK = 10.0
"""Seconds between two looks at how much there is to bring back."""
SHARE = 0.95
"""Of the room for files, at which no more work is done."""

logger = logging.getLogger(__name__)


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.campaign", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--minutes", type=float, default=0.0, help="when to have ended; 0: only unpack and write files")
    parser.add_argument("--plan", action="store_true", help="print the list with what is done and what the rest takes")
    parser.add_argument("--gpu", type=int, help="index of a CUDA device; default: the CPU")
    parser.add_argument("--from", dest="earlier", type=Path, nargs="*", default=[], metavar="FOLDER",
                        help="files of earlier sessions, the oldest first")  # fmt: skip
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="for the files; default: none but the store")
    parser.add_argument("--max-mib", type=float, default=60.0, help="size of all files together (%(default)s)")
    parser.add_argument("--part-mib", type=float, default=15.0, help="size of one file (%(default)s)")
    parser.add_argument("--tracks", nargs="+", metavar="TRACK", help="default: the four of plan.py")
    parser.add_argument("--methods", nargs="+", metavar="NAME", help="default: all that ship")
    parser.add_argument("--trials", type=int, help="of each search; default: the track's")
    parser.add_argument("--sandbox", default="auto", help="for the timed units, as for `bench submit`")
    options = parser.parse_args(arguments)
    if options.plan and options.earlier:
        parser.error("--plan shows what this machine's store has: unpack the files first, with --minutes 0")
    return options


def listed(options: argparse.Namespace) -> list[Step]:
    """Return the list of work."""
    run_options = RunOptions(gpu=options.gpu, observer=TerminalObserver())
    timed = RunOptions(gpu=options.gpu, sandbox=options.sandbox)
    methods = options.methods or [name for name in baseline_names() if name not in ("retrain", "original")]
    run = Run(local.connect(run_options), local.connect(timed), run_options, tuple(methods), options.trials)
    return plan.steps(run, options.tracks or plan.TRACKS)


def work(options: argparse.Namespace, end: float, parent: int) -> None:
    """Be the process that does the work until ``end``, and exit with the code of the first failure."""
    os.setsid()
    end_with(parent)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    torch.set_num_threads(1)
    with suppress(KeyboardInterrupt):
        failures = plan.work(listed(options), lambda: end - time.monotonic())
        raise SystemExit(failures[0].exit_code if failures else 0)


def watch(options: argparse.Namespace, earlier: frozenset[str], end: float, stop: threading.Event) -> int:
    """Let another process work until the time is up, the room is used, or ``stop`` is set; return its exit code."""
    root, room = Store().root, SHARE * options.max_mib * bundle.MIB
    process = multiprocessing.get_context("fork").Process(target=work, args=(options, end, os.getpid()))
    process.start()
    assert process.pid is not None
    looked = time.monotonic()
    while process.is_alive() and time.monotonic() < end and not stop.is_set():
        process.join(min(1.0, max(0.0, end - time.monotonic())))
        if options.out is not None and time.monotonic() > looked + LOOK:
            looked = time.monotonic()
            if bundle.finished_size(root, earlier) > room:
                logger.info("there is as much to bring back as %g MiB allow", options.max_mib)
                break
    if stopped := process.is_alive():
        os.kill(process.pid, signal.SIGINT)  # workflows keep what is finished, and end the processes that they started
        process.join(GRACE)
        process.kill()
        process.join()
    with suppress(ProcessLookupError):  # all may have ended
        os.killpg(process.pid, signal.SIGKILL)
    assert process.exitcode is not None
    if not stopped and process.exitcode < 0:
        logger.error("the process that does the work was killed, usually by lack of memory")
        return EXIT_CODES["infra"]
    return 0 if stopped else process.exitcode


def drive(options: argparse.Namespace, start: float) -> int:
    """Unpack, work, and write files; return the exit code."""
    if options.plan:
        print("\n".join(plan.table(listed(options))))
        return 0
    stop, store = threading.Event(), Store()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    total, code = 60 * options.minutes, 0
    with store.lock("campaign", "works through a campaign"):
        earlier = frozenset[str]().union(*(bundle.unpack(folder, store) for folder in options.earlier))
        if total:
            code = watch(options, earlier, start + total - min(RESERVE, total / 5), stop)
        in_order = listed(options)
        print("\n".join(plan.table(in_order)))
        if options.out is not None:
            limits = int(options.max_mib * bundle.MIB), int(options.part_mib * bundle.MIB)
            needed = plan.needed_blobs(in_order)
            written = bundle.write(options.out, store.root, earlier, needed, *limits)
            size = f"{written.size / bundle.MIB:.1f} MiB in {written.parts} parts"
            print(f"{options.out}: {written.files} files, {size}; no room for {len(written.left_out)} more")
    return code


def main(arguments: Sequence[str] | None = None) -> None:
    start, options = time.monotonic(), parsed(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        raise SystemExit(drive(options, start))
    except BenchError as error:
        print(error.format_message(), file=sys.stderr)
        raise SystemExit(error.exit_code) from None


if __name__ == "__main__":
    main()
