"""What an entry declares, and what a command sets, are bounded values; anything else is that entry's fault."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.harness.conftest import run
from unlearn_bench.harness.entries import values
from unlearn_bench.harness.entries.entry import Entry, InvalidEntry, from_source
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.text import HIDDEN
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.units import entry_sources, tuning

FUZZED = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
UNLEARN = "def unlearn(model, retain, *, {}): ...\n"
TRACK = load_track("digits-resnet18")


def read(source: str) -> Entry:
    return from_source("mine", source.encode("utf-8", "surrogatepass"), trusted=True)


def with_metadata(lines: str, source: str = UNLEARN.format("lr=1.0")) -> str:
    block = "".join(f"# {line}\n" if line else "\n" for line in ["/// script", *lines.split("\n"), "///"])
    return block + source


REFUSED = {
    "[tool.bench]\nx = nan": "x in [tool.bench] is not finite",
    "[tool.bench]\nx = [1, [-inf]]": "x in [tool.bench] is not finite",
    f"[tool.bench]\nx = {2**63}": "x in [tool.bench] has more than 64 bits",
    f"[tool.bench]\nx = 0x{'f' * 10_000}": "a value that is too large",
    f"[tool.bench]\nx = {'9' * 5_000}": "a value that is too large",
    f"[tool.bench]\nx = {'[' * 5_000}{']' * 5_000}": "nests too deeply",
    "[tool.bench]\nx = [[[[1]]]]": "x in [tool.bench] nests more than 3 levels deep",
    f"[tool.bench]\nx = {[1] * 65}": "x in [tool.bench] has 65 items, more than 64",
    f'[tool.bench]\nx = "{"y" * 401}"': "x in [tool.bench] has 401 characters, more than 400",
    '[tool.bench]\ntitle = "\\u202egnp"': "title in [tool.bench] has the character U+202E RIGHT-TO-LEFT OVERRIDE",
    '[tool.bench]\n"\\u0000" = 1': "a key of [tool.bench] has the character U+0000 NULL",
    '[tool.bench]\n"' + "k" * 65 + '" = 1': "a key of [tool.bench] has more than 64 characters",
    "[tool.bench]\n" + "\n".join(f"k{i} = 1" for i in range(33)): "[tool.bench] has 33 keys, more than 32",
    "[tool.bench]\ntitle = 1": "the title in [tool.bench] is not text",
    "a." * 10_000 + "a = 1": "the metadata block has more than 16,384 characters",
    "x = 1\n///\n\n/// script\nx = 2": "there are several metadata blocks",
    "tool = 1": "[tool.bench] in the metadata block is not a table",
    "[tool]\nbench = 1": "[tool.bench] in the metadata block is not a table",
    "dependencies = [1]": "dependencies in the metadata block is not a list of texts",
    'dependencies = ["' + "x" * 201 + '"]': "has more than 200 characters",
}


@pytest.mark.parametrize("lines", REFUSED, ids=range(len(REFUSED)))
def test_metadata_that_a_document_cannot_hold_are_refused(lines: str) -> None:
    with pytest.raises(InvalidEntry) as error:
        read(with_metadata(lines))
    assert REFUSED[lines] in error.value.message and len(error.value.message) <= 400


@pytest.mark.parametrize(
    ("default", "words"),
    [
        ("1e999", "the default of the parameter p is not finite"),
        ("0x" + "f" * 17, "has more than 64 bits"),
        ("'\\ud800'", "has the character U+D800"),
        ("[" * 5 + "]" * 5, "nests more than 3 levels deep"),
        (repr({str(i): i for i in range(65)}), "has 65 items"),
    ],
)
def test_defaults_that_a_document_cannot_hold_are_refused(default: str, words: str) -> None:
    with pytest.raises(InvalidEntry, match=re.escape(words)):
        read(UNLEARN.format(f"p={default}"))


def test_a_default_that_is_no_literal_is_left_to_the_file() -> None:
    assert dict(read(UNLEARN.format("p=float('nan'), q=b'', r=2j")).defaults) == {"p": None, "q": None, "r": None}


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("('log', 0, 1)", "does not begin above 0"),
        ("('uniform', 2, 1)", "ends below its beginning"),
        ("('uniform', -1e999, 1)", "is not finite"),
        ("('int', 1, 2.5)", "no whole number"),
        ("('int', True, 2)", "no number"),
        ("('log', 'a', 'b')", "no number"),
        ("('log', 1)", "not one of rate, log"),
        ("([], 1, 2)", "not one of rate, log"),
        ("('choice', ())", "is a choice that does not have the form"),
        ("('choice', ([1], [2]))", "is a choice that does not have the form"),
        ("3", "not one of rate, log"),
    ],
)
def test_rules_of_a_search_that_mean_nothing_are_refused(rule: str, words: str) -> None:
    with pytest.raises(InvalidEntry, match=words):
        read(UNLEARN.format("p=1.0") + f"SEARCH_SPACE = {{'p': {rule}}}\n")


def test_a_range_is_searched_for_a_parameter_that_is_a_number() -> None:
    with pytest.raises(InvalidEntry, match="the parameter's default is no number"):
        read(UNLEARN.format("p='adam'") + "SEARCH_SPACE = {'p': ('log', 1e-3, 1)}\n")
    space = "SEARCH_SPACE = {'p': ('choice', ('adam', 'sgd')), 'q': ('int', 1, 'max_epochs')}\n"
    assert read(UNLEARN.format("p='adam', q=2") + space).search_space["q"] == ["int", 1, "max_epochs"]


@pytest.mark.parametrize("value", ["1e999", "9" * 30, "[" * 9 + "]" * 9, "{[]: 1}", "\u202e", "b''"])
def test_what_set_takes_is_bounded(value: str) -> None:
    result = run("submit", "mine.py", "--set", f"lr={value}")
    if value == "{[]: 1}":
        assert result.exit_code == 2 and "there is no file" in result.stderr, "it is text"
    else:
        assert result.exit_code == 2 and "Invalid value for '--set': lr " in result.stderr, result.output
        assert "\u202e" not in result.output


def test_a_tuned_file_with_values_that_cannot_be_kept_is_named(home: Any) -> None:
    entry, store = read(UNLEARN.format("lr=1.0")), Store()
    choice = tuning.SearchChoice("mine", entry.sha256, TRACK.name, "paper", {"lr": 2.0}, 0.1, 0, 1, 0, (0,), 1.0, "")
    path = home / "tuned" / TRACK.name / "mine.json"
    path.parent.mkdir(parents=True)
    for value, valid in ((2.0, True), (float("inf"), False), ("x" * 500, False)):
        path.write_text(json.dumps({**vars(choice), "parameters": {"lr": value}}))
        if valid:
            assert tuning.tuned(entry, TRACK, store).overrides == {"lr": 2.0}
        else:
            with pytest.raises(Exception, match=str(path)) as error:
                tuning.tuned(entry, TRACK, store)
            assert error.value.whose == "this machine"  # type: ignore[attr-defined]


NASTY = "\x00\x1b\r\n\t\u202e\u2028\ud800\U000e0041\ufeff=+-@|<>&`*\\\"'#{}[]()\u0430\uff45"
CHARACTERS = st.one_of(st.characters(), st.sampled_from(NASTY))
TEXT = st.one_of(st.text(CHARACTERS, max_size=30), st.integers(0, 500).map("x".__mul__))
PLAIN = st.one_of(st.integers(-9, 9), st.floats(0, 1), st.text("abc=<|", max_size=9), st.booleans(), st.none())
NUMBERS = st.one_of(st.integers(), st.floats(), st.sampled_from([2**63, -(2**63) - 1, 10**400, 1e308, -0.0]))
LITERALS = st.recursive(
    st.one_of(NUMBERS, TEXT, st.booleans(), st.none(), st.binary(max_size=3), st.just(2j)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.lists(inner, max_size=3).map(tuple), st.dictionaries(TEXT, inner, max_size=3)
    ),
    max_leaves=8,
)
DECLARED = st.one_of(PLAIN, PLAIN, PLAIN, LITERALS)
"""Mostly values that can be kept, so that the others are met one by one."""
ENDS = st.one_of(st.floats(0.1, 1), st.integers(1, 9), LITERALS)
RULES = st.one_of(DECLARED, st.tuples(st.sampled_from(["rate", "log", "1-log", "uniform", "int"]), ENDS, ENDS),
                  st.tuples(st.just("choice"), st.lists(DECLARED, max_size=3)))  # fmt: skip


def toml(value: object) -> str:
    """Write a value as TOML, or as something that tries to be."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(key)} = {toml(each)}" for key, each in value.items()) + "}"
    return repr(value)


@FUZZED
@given(
    metadata=st.dictionaries(st.one_of(st.sampled_from(["title", "authors"]), TEXT), DECLARED, max_size=3),
    defaults=st.lists(DECLARED, max_size=4),
    space=st.dictionaries(st.sampled_from(["p0", "p1", "q"]), RULES, max_size=2),
    docstring=TEXT,
    raw=st.one_of(st.just(""), st.just(""), st.text(CHARACTERS, max_size=8)),
)
@example({"title": "="}, [1.0], {"p0": ("log", 1, 2)}, "\ud800", "")
@example({"x": float("nan")}, [], {}, "", "")
def test_whatever_a_file_declares_it_is_kept_or_is_the_entrys_fault(
    metadata: dict[str, Any], defaults: list[Any], space: dict[str, Any], docstring: str, raw: str
) -> None:
    lines = "\n".join(["[tool.bench]", *(f"{toml(key)} = {toml(value)}" for key, value in metadata.items())])
    parameters = ", ".join(f"p{number}={value!r}".replace("inf", "1e999") for number, value in enumerate(defaults))
    rules = repr(space).replace("inf", "1e999")
    source = f"{docstring!a}\nSEARCH_SPACE = {rules}\ndef unlearn(model, retain, {parameters}): ...\n# {raw}\n"
    try:
        entry = read(with_metadata(lines, source))
    except InvalidEntry as error:
        assert len(error.message) <= 400 and not HIDDEN.search(error.format_message())
        return
    declared = entry_sources.Declared(
        entry.defaults, entry.search_space, entry.metadata, entry.summary, entry.requirements, entry.notes
    )
    document = json.dumps(vars(declared), allow_nan=False)
    document.encode()
    assert json.loads(document)["defaults"] == entry.defaults
    assert entry.id and entry.with_parameters(entry.defaults).id == entry.id
    texts = [entry.title, entry.summary, *entry.notes]
    assert not any(HIDDEN.search(text) for text in texts) and len(entry.title) <= 80
    for name, rule in entry.search_space.items():
        assert rule[0] == "choice" or isinstance(entry.defaults[name], int | float)


@FUZZED
@given(LITERALS)
def test_a_value_that_is_kept_is_one_that_json_holds(value: object) -> None:
    if not values.fault(value):
        json.dumps(value, allow_nan=False).encode().decode()
        assert not HIDDEN.search(json.dumps(value, ensure_ascii=False))
