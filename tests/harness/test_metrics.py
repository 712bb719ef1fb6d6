"""A new metric is one file: it is declared, computed from what is stored, and shown wherever metrics are."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.conftest import run
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.report import columns
from unlearn_bench.harness.results import audit, scores, verification
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.units import unit_store
from unlearn_bench.scoring import metric_table, metrics
from unlearn_bench.scoring.metric import PLACES, Metric

LOSS = '''
"""Mean loss on F."""

from unlearn_bench.scoring.metric import Metric

METRICS = (
    Metric(
        name="forget_loss",
        title="F-loss",
        meaning="mean cross-entropy on F in nats",
        compute=lambda model: float(model.losses[model.parts["forget"]].mean()),
        digits=2,
        parts=("forget",),
    ),
)
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A temporary folder whose files are metrics, too."""
    place = tmp_path / "metrics"
    place.mkdir()
    monkeypatch.setattr(metrics, "__path__", [*metrics.__path__, str(place)])
    _forget()
    yield place
    _forget()


def _forget() -> None:
    for cached in (*vars(metric_table).values(), columns.columns):
        if hasattr(cached, "cache_clear"):
            cached.cache_clear()
    for name in ("forget_loss", "again", "broken"):
        sys.modules.pop(f"{metrics.__name__}.{name}", None)


def test_a_metric_in_one_new_file_is_seen_in_every_output(folder: Path, tmp_path: Path, home: Path) -> None:
    (folder / "forget_loss.py").write_text(LOSS)
    track, store = load_track("digits-resnet18"), Store()
    references = References(track, store)
    expected = []
    for record in unit_store.seed_records(store, track):
        if record.name == "ft":
            logits, forget = unit_store.logits(store, record), references.examples.parts(record.seed)["forget"]
            assert logits is not None
            expected.append(float(scores.model_evidence(references, record.seed, logits).losses[forget].mean()))
    mean = sum(expected) / len(expected)

    rows = {row["entry"]: row for row in json.loads(run("leaderboard", "--format", "json").stdout)["rows"]}
    assert rows["ft"]["forget_loss"] == pytest.approx(mean, abs=1e-5)
    assert rows["ft"]["forget_loss_low"] < mean < rows["ft"]["forget_loss_high"]
    assert ",forget_loss,forget_loss_low,forget_loss_high," in run("leaderboard", "--format", "csv").stdout
    table = run("leaderboard", env={"COLUMNS": "160"}).stdout.splitlines()
    assert "F-loss" in table[1].split() and f"{mean:.2f}".lstrip("0") in next(x for x in table if " ft " in x)
    assert "F-loss" in next(line for line in table if line.startswith("null "))
    assert "| F-loss |" in run("leaderboard", "--format", "markdown").stdout.splitlines()[0]
    assert "F-loss" in run("show", "ft").stdout and "F-loss" in run("compare", "ft", "ct").stdout
    assert run("leaderboard", "--format", "html", "--out", str(tmp_path / "site")).exit_code == 0
    board = (tmp_path / "site" / f"{track.name}.html").read_text()
    assert 'data-key="forget_loss"' in board and f"<td>{mean:.2f}<i> " in board
    page = (tmp_path / "site" / "entries" / track.name / "ft.html").read_text()
    assert f'<th scope="row">F-loss</th><td>{mean:.2f}</td>' in page and '<th scope="col">F-loss</th>' in page
    for metrics_of in (audit.metrics(), verification.metrics()):
        assert "forget_loss" in {metric.name for metric in metrics_of}
    assert (
        "| `forget_loss` | `Float64` | mean cross-entropy on F in nats, mean over the seeds |"
        in columns.documentation()
    )


def test_a_metric_that_an_attack_already_computes_needs_no_logits(folder: Path) -> None:
    (folder / "again.py").write_text(
        "from unlearn_bench.scoring.metric import Metric\n"
        "METRICS = (Metric(name='auc', title='AUC', meaning='AUC of RMIA', attack=('rmia', 'auc'), better='low'),)\n"
    )
    panel = json.loads(run("show", "bt", "--json").stdout)["panel"]
    auc = next(each["value"] for each in panel if each["attack"] == "rmia" and each["number"] == "auc")
    row = next(row for row in json.loads(run("leaderboard", "--format", "json").stdout)["rows"] if row["entry"] == "bt")
    assert row["auc"] == pytest.approx(auc, abs=1e-6)


def test_an_unknown_metric_says_which_there_are_and_how_to_add_one() -> None:
    with pytest.raises(ValueError, match=r"no metric is called 'retdef'; there are ra, fa, .*scoring/metrics"):
        metric_table.metric_named("retdef")


@pytest.mark.parametrize("source", ["METRIC = 1", "METRICS = [1]"])
def test_a_file_without_declarations_is_named(folder: Path, source: str) -> None:
    (folder / "broken.py").write_text(source)
    with pytest.raises(ValueError, match=r"scoring/metrics/broken.py must define METRICS, a tuple of Metric"):
        metric_table.metrics()


def test_two_metrics_of_one_name_are_refused(folder: Path) -> None:
    (folder / "broken.py").write_text(LOSS.replace("forget_loss", "retdev"))
    with pytest.raises(ValueError, match=r"retdev is declared in \S+/broken.py and in \S+/retention.py"):
        metric_table.metrics()


def test_a_metric_may_not_be_called_like_another_column(folder: Path) -> None:
    (folder / "broken.py").write_text(LOSS.replace("forget_loss", "position"))
    with pytest.raises(ValueError, match="name of another column: position"):
        columns.columns()


@pytest.mark.parametrize(
    "declaration, why",
    [
        ({"name": "my loss", "compute": len}, "must be an identifier"),
        ({}, "either compute or attack"),
        ({"compute": len, "attack": ("umia", "accuracy")}, "either compute or attack"),
        ({"compute": len, "reads": "shadows"}, "the number of an attack"),
        ({"attack": ("umia", "accuracy"), "reads": "run"}, "attacks do not read runs"),
        ({"compute": len, "shown": frozenset({"poster"})}, f"no place is called poster; places are {PLACES[0]}"),
    ],
)
def test_a_declaration_that_contradicts_itself_is_refused(declaration: dict[str, object], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Metric(**{"name": "mine", "title": "Mine", "meaning": "mine", **declaration})  # type: ignore[arg-type]


def test_a_board_says_how_much_memory_a_method_needs() -> None:
    rows = json.loads(run("leaderboard", "--format", "json").stdout)["rows"]
    memory = {row["entry"]: row["peak_mib"] for row in rows}
    assert 100 < memory["ft"] < memory["iu"] < 4096, "IU holds the gradient of every sample"
