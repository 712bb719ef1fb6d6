"""``evaluate`` with a function: the numbers of the same code as a file, and errors that reach the author."""

from __future__ import annotations

import logging
import random
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import unlearn_bench as ub
from unlearn_bench.harness.references.references import References

SOURCE = """
import torch

def descend(model, retain, forget, val, *, lr=0.01):
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    for images, labels in retain:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
"""


def descend(model: Any, retain: Any, forget: Any, val: Any, *, lr: float = 0.01) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    for images, labels in retain:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()


def test_a_function_has_the_numbers_of_the_file_without_a_speed(small: Path, prepared: object, tmp_path: Path) -> None:
    path = tmp_path / "as_file.py"
    path.write_text(textwrap.dedent(SOURCE).replace("descend", "unlearn"))
    by_file = ub.evaluate(path, str(small), sandbox="process")
    by_function = ub.evaluate(descend, str(small))
    rows = by_function.board.set_index("entry")
    for column in ("retdev", "indisc", "ra", "fa", "ta"):
        assert rows.loc["descend", column] == rows.loc["as_file", column]
    assert by_file.records[0].rte is not None and np.isnan(rows.loc["descend", "rte"])
    assert rows.loc["descend", "badge"] == "untrusted sandbox"
    assert by_function.records[1].environment["backend"] == "in-process"


def test_nothing_of_a_function_is_stored_and_the_process_stays_as_it_was(
    small: Path, prepared: References, caplog: pytest.LogCaptureFixture
) -> None:
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist(), torch.get_num_threads()
    with caplog.at_level(logging.WARNING):
        result = ub.evaluate(descend, str(small), seeds=1, parameters={"lr": 0.5}, name="mine.v2")
    assert "mine.v2 runs in this process, without isolation" in caplog.text
    assert result.listed and result.records[0].parameters == {"lr": 0.5}
    assert "mine.v2" not in set(ub.board(str(small))["entry"])
    after = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist(), torch.get_num_threads()
    assert torch.equal(before[0], after[0]) and before[1:] == after[1:]


@pytest.mark.slow
def test_ulira_runs_on_a_function(small: Path, prepared: object) -> None:
    result = ub.evaluate(descend, str(small), lira=True)
    assert result.shadow is not None and result.shadow.status == "ok" and result.shadow.pairs == 2
    assert 0 <= result.board.set_index("entry").loc["descend", "ulira"] <= 1


def failing(model: Any, retain: Any, forget: Any, val: Any) -> None:
    raise ZeroDivisionError("my own mistake")


def returns_text(model: Any, retain: Any, forget: Any, val: Any) -> str:
    return "done"


def test_what_a_function_raises_reaches_its_author(small: Path, prepared: object) -> None:
    with pytest.raises(ZeroDivisionError, match="my own mistake"):
        ub.evaluate(failing, str(small))


@pytest.mark.parametrize(
    ("method", "arguments", "words"),
    [
        (returns_text, {}, "returned str"),
        (lambda model, retain, forget: None, {}, "'<lambda>' cannot be an entry's name"),
        (descend, {"name": "FT"}, "FT is the name of a shipped method"),
        (descend, {"parameters": {"rate": 1}}, "no parameter 'rate'"),
        (descend, {"sandbox": "docker"}, "in no sandbox"),
        ("mine.py", {"name": "other"}, "a file has the name"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(
    method: Any, arguments: dict[str, Any], words: str, small: Path, prepared: object
) -> None:
    with pytest.raises(ub.BenchError, match=words):
        ub.evaluate(method, str(small), **arguments)
