"""What a reviewer sees of an entry is what runs: encodings, hidden characters, and what is noted for people."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.harness.conftest import run
from unlearn_bench.harness.entries.entry import Entry, InvalidEntry, baseline, baseline_names, from_source
from unlearn_bench.harness.entries.package import START

ENTRIES = Path(__file__).parents[1] / "data" / "entries"
IDENTITY = "def unlearn(model, retain):\n    return model\n"


def read(source: str | bytes) -> Entry:
    return from_source("mine", source if isinstance(source, bytes) else source.encode(), trusted=True)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("coding_cookie", "line 1 declares the encoding raw_unicode_escape"),
        ("lone_carriage_return", "line 2 has the character U+000D CARRIAGE RETURN"),
        ("nan_metadata", "weight in [tool.bench] is not finite"),
        ("many_parameters", "3,000 hyper-parameters, more than 64"),
    ],
)
def test_check_refuses_what_is_not_what_it_looks_like(name: str, words: str) -> None:
    result = run("check", str(ENTRIES / f"{name}.py"))
    assert result.exit_code == 10 and words in result.stderr, result.output
    assert "whose:  your method" in result.stderr


@pytest.mark.parametrize("codec", ["utf-7", "unicode_escape", "latin-1", "UTF-16", "rot13", "utf_8_sig"])
@pytest.mark.parametrize("line", ["# -*- coding: {} -*-\n", "#!/usr/bin/python\n# vim: set fileencoding={} :\n"])
def test_no_other_encoding_can_be_declared(codec: str, line: str) -> None:
    with pytest.raises(InvalidEntry, match="declares the encoding"):
        read(line.format(codec) + IDENTITY)


def test_utf_8_may_be_declared_and_line_ends_may_be_those_of_windows() -> None:
    metadata = '# /// script\n# [tool.bench]\n# title = "Größe"\n# ///\n'
    source = ("# -*- coding: UTF-8 -*-\n" + metadata + IDENTITY).replace("\n", "\r\n")
    assert read(source).title == "Größe"


HIDDEN = (
    "\x00\x08\x0b\x0c\x1b\x7f\x85\xad\u061c\u200b\u200e\u200f\u2028\u2029\u202a\u202e\u2060\u2066\u2069\ufeff\U000e0041"
)


@pytest.mark.parametrize("character", HIDDEN, ids=ascii)
def test_characters_that_editors_hide_are_refused_wherever_they_stand(character: str) -> None:
    for source in (f"{IDENTITY}# a comment {character}\n", f'{IDENTITY}TEXT = "{character}"\n'):
        with pytest.raises(InvalidEntry, match=rf"line 3 has the character U\+{ord(character):04X}"):
            read(source)


def test_in_a_package_the_file_is_named() -> None:
    bundle = START + IDENTITY.encode() + b"# ==== steps.py ====\n# coding: utf-7\n"
    with pytest.raises(InvalidEntry, match=r"steps\.py: line 1 declares the encoding utf-7"):
        read(bundle)


NOTED = {
    "n\u0430me = 1": "line 3: a name has U+0430 CYRILLIC SMALL LETTER A",
    "def f(\u03bb): ...": "line 3: a name has U+03BB GREEK SMALL LETTER LAMDA",
    "x = f'{\uff45xec}'": "line 3: a name has U+FF45 FULLWIDTH LATIN SMALL LETTER E, which Python reads as e",
    "x = 'a\u200db'": "line 3: has U+200D ZERO WIDTH JOINER, which has no shape of its own",
    "exec('pass')": "line 3: uses exec",
    "run = eval": "line 3: uses eval",
    "from importlib import util": "line 3: imports importlib",
    "x = 1" + " " * 100 + "; y = 2": "line 3: goes on behind a wide gap",
    "x = (" + "1 + " * 100 + "1)": "line 3: has 407 characters",
    "x = 'a' * 2 + (\n" + "'" + "b" * 200 + "' +\n" + ("'" + "c" * 200 + "' +\n") * 20 + "'d')": (
        "line 3: literals of 4,203 characters"
    ),
    "x = [\n" + "1,\n" * 5000 + "]": "line 3: literals of 5,000 characters",
}


@pytest.mark.parametrize("line", NOTED, ids=range(len(NOTED)))
def test_a_reviewer_is_told_where_to_look(line: str) -> None:
    assert NOTED[line] in read(f"{IDENTITY}{line}\n").notes


def test_the_notes_on_a_file_are_few_and_check_prints_them(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(IDENTITY + "eval('1')\n" * 100)
    notes = json.loads(run("check", str(path), "--json").stdout)["notes"]
    assert len(notes) == 40 and notes[-1] == "and 61 more"
    assert "note          line 3: uses eval" in run("check", str(path)).stdout


def test_there_is_nothing_to_note_on_shipped_methods() -> None:
    assert {name: baseline(name).notes for name in baseline_names() if baseline(name).notes} == {}
