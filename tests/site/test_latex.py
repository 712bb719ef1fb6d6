"""The board as LaTeX and BibTeX: what a paper needs, in a form that compiles."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.harness.conftest import run
from unlearn_bench.harness.report import latex

PAPER = r"""\documentclass{article}
\usepackage{booktabs}
\usepackage[margin=1cm]{geometry}
\usepackage{url}
\begin{document}
\input{digits-resnet18.tex}
\nocite{*}
\bibliographystyle{plain}
\bibliography{digits-resnet18}
\end{document}
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("paper")
    for form in ("latex", "bibtex"):
        result = run("leaderboard", "--format", form, "--out", str(folder))
        assert result.exit_code == 0, result.output
    return folder


def test_a_row_has_its_places_its_intervals_and_the_best_group_in_bold(files: Path) -> None:
    rows = (files / "digits-resnet18.tex").read_text().splitlines()
    (cf_k,) = [row for row in rows if r"& cf\_k &" in row]
    places, interval = r"\d+--\d+ & \d+--\d+ & ", r"0\.\d{3} \\pm 0\.\d{3}"
    assert re.match(rf"{places}cf\\_k & \$\\mathbf\{{{interval}\}}\$ & \$0\.\d\d \\pm", cf_k), cf_k
    assert len({row.count("&") for row in rows if "&" in row}) == 1


def test_the_caption_says_what_was_measured_and_the_comment_how(files: Path) -> None:
    text = (files / "digits-resnet18.tex").read_text()
    assert text.startswith("% bench leaderboard --track digits-resnet18 --format latex")
    caption = next(line for line in text.splitlines() if line.startswith(r"\caption"))
    assert "reference 4b0e1726157e" in caption and re.search(r"up to 20\d\d-\d\d-\d\d", caption)


def test_each_method_is_cited_with_its_own_paper(files: Path) -> None:
    entries = dict(re.findall(r"(?ms)^@misc\{(\w+),\n(.*?)^\}", (files / "digits-resnet18.bib").read_text()))
    assert "Model Sparsity Can Simplify Machine Unlearning" in entries["iu"] and "2304.04934" in entries["iu"]
    assert "{3rd place, NeurIPS 2023 Machine Unlearning}" in entries["cfw"]
    assert {"original", "retrain"}.isdisjoint(entries)


def test_names_cannot_break_out_of_a_cell() -> None:
    assert latex.escaped(r"a_b & 5% \x") == r"a\_b \& 5\% \textbackslash{}x"


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed: apt-get install texlive")
@pytest.mark.slow
def test_it_compiles(files: Path) -> None:
    (files / "paper.tex").write_text(PAPER)
    for command in (["pdflatex", "-halt-on-error"], ["bibtex"], ["pdflatex", "-halt-on-error"]):
        done = subprocess.run([*command, "paper"], cwd=files, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout
    assert (files / "paper.pdf").stat().st_size > 10_000


def test_it_says_how_much_memory_a_method_needs(files: Path) -> None:
    text = (files / "digits-resnet18.tex").read_text()
    (heads,) = [line for line in text.splitlines() if line.startswith("position &")]
    (iu,) = [line for line in text.splitlines() if "& iu" in line]
    place = heads.split(" & ").index("peak MiB \\\\")
    assert re.match(r"\$\d{3,4} \\pm \d+\$", iu.split(" & ")[place]), iu
