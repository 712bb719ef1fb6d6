"""Pictures of the site for the README: ``python -m tests.screenshots`` builds the shipped board and writes to docs/."""

from __future__ import annotations

import argparse
import io
import os
import tempfile
from pathlib import Path

from click.testing import CliRunner
from PIL import Image

from tests.site.browser import browser
from unlearn_bench.harness.cli import bench

DOCS = Path(__file__).parents[1] / "docs"
TRACK = "digits-resnet18"
SHOTS = {
    "board": (f"{TRACK}.html", 1400, 980, "light"),
    "board-dark": (f"{TRACK}.html", 1400, 980, "dark"),
    "board-phone": (f"{TRACK}.html", 390, 844, "light"),
    "entry": (f"entries/{TRACK}/ct.html", 1280, 1400, "light"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=DOCS)
    parser.add_argument("--site", type=Path, help="pictures of a site that is there")
    parser.add_argument("--whole", action="store_true", help="whole pages, for looking")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        site = options.site or Path(folder) / "site"
        if options.site is None:
            os.environ["BENCH_HOME"] = str(Path(folder) / "home")
            arguments = ["leaderboard", "--format", "html", "--track", TRACK, "--out", str(site)]
            CliRunner().invoke(bench, arguments, catch_exceptions=False)
        with browser() as running:
            for name, (page, width, height, scheme) in SHOTS.items():
                context = running.new_context(
                    viewport={"width": width, "height": height}, color_scheme=scheme, device_scale_factor=1
                )
                tab = context.new_page()
                tab.goto((site / page).absolute().as_uri())
                image = Image.open(io.BytesIO(tab.screenshot(full_page=options.whole)))
                path = options.out / f"{name}.webp"
                image.save(path, "WEBP", quality=72, method=6)
                print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")
                context.close()


if __name__ == "__main__":
    main()
