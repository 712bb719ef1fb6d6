"""The contract of probes: found by folder, or one's own file; what they return; what they must leave alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from unlearn_bench.harness.probes import panel
from unlearn_bench.harness.probes.context import ProbeContext
from unlearn_bench.harness.probes.panel import InvalidProbe, Probe


def own(tmp_path: Path, body: str, head: str = "") -> Probe:
    path = tmp_path / "mine.py"
    path.write_text(f"import numpy as np\nimport torch\n{head}\n\ndef probe(context):\n    {body}\n")
    return panel.load_file(path)


@pytest.mark.parametrize("name", panel.names())
def test_every_probe_of_the_folder_measures_an_untrained_network(name: str, tiny: ProbeContext) -> None:
    probe = panel.named(name)
    found = probe.measure(tiny.of_null())
    assert found.numbers == probe.numbers(found.arrays)
    assert not probe.evidence or probe.evidence_in(found.numbers) == next(iter(found.numbers))


@pytest.mark.parametrize("name", panel.names())
def test_a_probe_reads_the_same_twice_and_leaves_the_generator_alone(name: str, tiny: ProbeContext) -> None:
    torch.manual_seed(7)
    first = panel.named(name).measure(tiny)
    drawn = torch.rand(1)
    second = panel.named(name).measure(tiny)
    torch.manual_seed(7)
    assert drawn == torch.rand(1)
    assert all(np.array_equal(array, second.arrays[key]) for key, array in first.arrays.items())


def test_a_file_of_ones_own_is_a_probe(tmp_path: Path, tiny: ProbeContext) -> None:
    body = "return {'n': np.array(len(context.labels)), 'many': np.ones(4), 'half': 0.5}"
    probe = own(tmp_path, body, 'TITLE = "Mine"\nEVIDENCE = "half"\nUNIT = "apples"')
    assert (probe.title, probe.unit, probe.evidence) == ("Mine", "apples", ("half",))
    found = probe.measure(tiny)
    assert list(found.numbers.items()) == [("n", 60.0), ("half", 0.5)]
    assert set(found.arrays) == {"n", "many", "half"}


def test_its_numbers_may_be_a_function_of_its_arrays(tmp_path: Path, tiny: ProbeContext) -> None:
    probe = own(
        tmp_path, "return {'many': np.arange(4)}", "def numbers(arrays):\n    return {'sum': arrays['many'].sum()}"
    )
    assert probe.measure(tiny).numbers == {"sum": 6.0}
    assert probe.numbers({"many": np.array([1, 1])}) == {"sum": 2.0}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("raise KeyError('no')", "mine raised KeyError: 'no'"),
        ("return {'a': np.array(np.nan)}", "mine returned 'a', which is not an array of finite numbers"),
        ("return {'a': np.array('x')}", "mine returned 'a', which is not an array of finite numbers"),
        ("return {'a': np.ones(3)}", "mine returned no number"),
        ("return 0.5", "mine returned float, not arrays by name"),
        ("return {}", "mine returned dict, not arrays by name"),
        ("return {'a': 1.0, 'b': np.zeros(10**6)}", r"mine returned 8,000,008 bytes; allowed: 4,194,304"),
    ],
)
def test_what_it_returns_is_checked(body: str, words: str, tmp_path: Path, tiny: ProbeContext) -> None:
    with pytest.raises(InvalidProbe, match=words) as error:
        own(tmp_path, body).measure(tiny)
    assert not error.value.changed


def test_evidence_that_is_not_returned_is_named(tmp_path: Path, tiny: ProbeContext) -> None:
    with pytest.raises(InvalidProbe, match="mine did not return its evidence, b"):
        own(tmp_path, "return {'a': 1.0}", 'EVIDENCE = "b"').measure(tiny)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("next(context.model.parameters()).mul_(2)", "the model under test"),
        ("context.retrained.bn1.running_mean.add_(1)", "the retrained model"),
        ("context.null.train()", "the null model"),
        ("context.null.requires_grad_(True)", "the null model"),
        ("context.original.register_forward_hook(print)", "the original model"),
        ("context.images[:2] = context.images[:2].flip(0)", "the images"),
        ("context.labels[0] += 1", "the labels"),
        ("context.parts['forget'].sort()[0].add_(1); context.parts['forget'].add_(1)", "the parts"),
    ],
)
def test_a_change_of_models_or_data_is_named(change: str, words: str, tmp_path: Path, tiny: ProbeContext) -> None:
    with pytest.raises(InvalidProbe, match=f"mine changed .*{words}.*; it must work on copies") as error:
        own(tmp_path, f"{change}\n    return {{'a': 1.0}}").measure(tiny)
    assert error.value.changed


def test_a_probe_that_changes_a_model_and_then_raises_says_both(tmp_path: Path, tiny: ProbeContext) -> None:
    with pytest.raises(InvalidProbe, match="mine raised ZeroDivisionError") as error:
        own(tmp_path, "context.model.train()\n    1 / 0").measure(tiny)
    assert error.value.changed


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1", r"mine must define probe\(context\)"),
        ("def probe(a, b): ...", r"mine must define probe\(context\)"),
        ("import nothing_of_this_name", "cannot be imported: ModuleNotFoundError"),
        ("numbers = 3\ndef probe(context): ...", r"mine: numbers is not a function numbers\(arrays\)"),
    ],
)
def test_a_file_without_a_probe_is_refused(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(InvalidProbe, match=words):
        panel.named(str(path))


def test_an_unknown_name_is_answered_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(InvalidProbe, match="there is no probe 'cak'; there are cka, connectivity"):
        panel.named("cak")
    with pytest.raises(InvalidProbe, match="there is no file"):
        panel.named(str(tmp_path / "mine.py"))


def test_features_are_what_the_classifier_gets(tiny: ProbeContext) -> None:
    rows = tiny.parts["test"]
    features = tiny.features(tiny.original, rows)
    assert torch.allclose(tiny.original.fc(features), tiny.logits(tiny.original, rows))


def test_features_of_a_convolutional_classifier_are_means_over_its_positions(tiny: ProbeContext) -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 5, 3), torch.nn.Conv2d(5, 3, 1), torch.nn.AdaptiveAvgPool2d(1))
    network.append(torch.nn.Flatten())
    features = tiny.features(network, tiny.parts["test"])
    expected = network[0](tiny.images[tiny.parts["test"]]).mean((2, 3))
    assert torch.allclose(features, expected, atol=1e-6)


def test_no_more_examples_are_looked_at_than_the_track_says(tiny: ProbeContext) -> None:
    few = replace(tiny, settings=replace(tiny.settings, examples=5))
    sample = few.sample("retain")
    assert len(sample) == 5 and torch.isin(sample, tiny.parts["retain"]).all()
    assert torch.equal(sample, few.sample("retain"))
