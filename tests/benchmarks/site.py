"""The site of many entries on all tracks: seconds to build it, its sizes, and milliseconds per action in a browser."""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.site.browser import browser, unavailable
from tests.site.synthetic import fill, methods
from unlearn_bench.harness.report.site import board_data
from unlearn_bench.harness.report.site.build import build
from unlearn_bench.harness.store.store import Snapshot
from unlearn_bench.harness.support.parallel import uncollected
from unlearn_bench.harness.tracks.loading import load_track

DATA = ("mnist", "fashionmnist", "cifar10", "cifar100")
PAPER = [*(f"{data}-{model}" for data in DATA for model in ("resnet18", "tinyvit")), "utkface-resnet18"]
ACT = """async (action) => {
  const start = performance.now();
  if (action === "all") document.getElementById("more")?.click();
  else if (action.startsWith("sort")) document.querySelector(`th[data-key=${action.slice(5)}] button`)?.click();
  else { const box = document.querySelector("input[name=q]"); box.value = action.slice(7);
    box.dispatchEvent(new Event("input", { bubbles: true })); }
  document.body.offsetHeight;
  await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  return performance.now() - start; }"""
SORTS = ("sort:retdev", "sort:indisc", "sort:rte", "sort:method")
ACTIONS = (*SORTS, "filter:method_1", "filter:3", "filter:", "all", *SORTS)
"""On a long board first with its first rows, then with all of them."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=500)
    parser.add_argument("--tracks", type=int, default=9)
    parser.add_argument("--keep", type=Path, help="where the site stays")
    options = parser.parse_args()
    names = PAPER[: options.tracks]
    with tempfile.TemporaryDirectory() as folder:
        home, out = Path(folder) / "home", options.keep or Path(folder) / "site"
        fill(home, names, methods(options.entries))
        os.sync()
        start, cpu = time.perf_counter(), time.process_time()
        with uncollected():  # as the command does it
            found = board_data.read([load_track(name) for name in names], Snapshot(home), False)
            read = time.perf_counter() - start
            pages = build(found, out)
        wall, cpu = time.perf_counter() - start, time.process_time() - cpu
        print(f"{options.entries} entries × {len(names)} tracks: {pages} pages in {wall:.1f} s ({cpu:.1f} CPU s)")
        print(f"of these reading the store {read:.1f} s")
        boards = [path for path in out.glob("*.html") if path.name not in ("rules.html", "paper.html")]
        sizes = [path.stat().st_size / 1000 for path in boards]
        print(f"{len(boards)} boards of {min(sizes):.0f} to {max(sizes):.0f} kB")
        if (why := unavailable()) is None:
            act(boards)
        else:
            print(why)


def act(boards: Sequence[Path]) -> None:
    with browser() as running:
        for path in sorted(boards)[:2]:
            tab = running.new_page()
            start = time.perf_counter()
            tab.goto(path.absolute().as_uri())
            print(f"{path.name}: opens in {1000 * (time.perf_counter() - start):.0f} ms")
            for action in ACTIONS:
                times: list[Any] = [tab.evaluate(ACT, action) for _ in range(5)]
                print(f"  {action:<16} median {statistics.median(times):.0f} ms, at most {max(times):.0f} ms")
            tab.close()


if __name__ == "__main__":
    main()
