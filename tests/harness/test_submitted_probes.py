"""``--probes``: every probe looks at the models of an entry and at the reference models, once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import Result

from tests.harness.conftest import SMALL, run
from tests.harness.sealed_track import sealed_track
from tests.harness.test_submit import FINE_TUNE
from unlearn_bench.harness.entries.entry import read
from unlearn_bench.harness.probes import panel, stored
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import Role, RoleKind
from unlearn_bench.harness.units import result_names, unit_store
from unlearn_bench.harness.units.unit_kinds import SeedUnit


@pytest.mark.slow
def test_the_panel_looks_at_every_model_once_and_its_numbers_follow_from_stored_arrays(
    prepared: References, small: Path, tmp_path: Path
) -> None:
    entry = tmp_path / "mine.py"
    entry.write_text(FINE_TUNE)
    arguments = ("submit", str(entry), "--track", str(small), "--sandbox", "process", "--probes")
    first = run(*arguments)
    assert first.exit_code == 0, first.output
    assert "probes: 8 models, about " in first.stderr

    found = stored.read_all(prepared.store, prepared.track)
    kinds: tuple[RoleKind, ...] = ("original", "retrained", "null")
    references = {result_names.of_reference(prepared, kind, seed) for kind in kinds for seed in range(2)}
    records = [unit_store.find(prepared.store, SeedUnit(read(entry), prepared.track, seed)) for seed in range(2)]
    units = [result_names.of_unit(prepared, record) for record in records if record is not None]
    assert found.keys() == references | set(units)
    assert all(sorted(model.results) == panel.names() for model in found.values())
    assert not any(result.fault for model in found.values() for result in model.results.values())
    assert not list((prepared.store.root / "held-weights").iterdir()), "weights are not kept unless asked for"

    assert "to run" not in (again := run(*arguments).stderr) and "probes:" not in again
    result = found[units[1]].results["relearning"]
    stored.write(
        prepared.store, prepared.track, units[1], {"relearning": stored.ProbeResult(**vars(result) | {"numbers": {}})}
    )
    assert run("rescore", "--track", str(small)).exit_code == 0
    assert stored.read(prepared.store, prepared.track, units[1]).results["relearning"].numbers == result.numbers

    text = run("show", "mine", "--track", str(small)).stdout
    assert all(name in text for name in panel.names())


@pytest.mark.slow
def test_once_null_models_are_probed_only_probes_of_ones_own_need_their_weights(
    prepared: References, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(panel, "names", lambda: ["cka"])

    def submit(name: str, *options: str) -> Result:
        (tmp_path / f"{name}.py").write_text(FINE_TUNE)
        return run("submit", str(tmp_path / f"{name}.py"), "--track", str(small), "--sandbox", "process", *options)

    assert submit("before", "--probes").exit_code == 0
    for seed in range(2):
        role = Role("null", seed)
        prepared.keep(role, replace(prepared.manifest.roles[role.name], weights=None))
    assert (after := submit("after", "--probes", "--keep-weights")).exit_code == 0, after.output
    assert "cka" in run("show", "after", "--track", str(small)).stdout

    own = run("rescore", "--probe", "cka", "--track", str(small))
    assert own.exit_code == 2 and "no weights of null/0" in own.stderr


@pytest.mark.slow
def test_on_a_sealed_track_a_probe_that_fails_says_neither_seed_nor_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    track = sealed_track(SMALL + "\n[analysis.probes]\ndeadline = 0.001\n", tmp_path, monkeypatch)
    monkeypatch.setattr(panel, "names", lambda: ["cka"])
    (tmp_path / "mine.py").write_text(FINE_TUNE)
    told = run("submit", str(tmp_path / "mine.py"), "--track", str(track), "--sandbox", "process", "--probes")
    assert told.exit_code == 0, told.output
    assert "CKA failed" in told.stderr
    assert "longer" not in told.stderr and "mine, seed" not in told.stderr
