"""Columns, lines, bars and colours of a terminal."""

from __future__ import annotations

import io

import pytest

from mime_fast.terminal import Look, columns, printable, wrapped


class Screen(io.TextIOWrapper):
    def __init__(self, encoding: str = "utf-8", terminal: bool = True) -> None:
        super().__init__(io.BytesIO(), encoding=encoding)
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


@pytest.mark.parametrize(
    ("text", "expected"),
    [("cat", 3), ("猫が", 4), ("e\u0301", 1), ("\uff46\uff55", 4), ("a\u200db", 2), ("", 0), ("🐱", 2)],
)
def test_columns(text: str, expected: int) -> None:
    assert columns(text) == expected


def test_lines_fit_whatever_the_characters() -> None:
    text = "my 猫が走って逃げました and " + "x" * 25 + " e\u0301" * 5
    for space in (2, 7, 10, 40, 200):
        lines = list(wrapped(text, space))
        assert all(0 < columns(line) <= space for line in lines)
        assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert list(wrapped("", 10)) == [""] and list(wrapped("猫", 1)) == ["猫"]


def test_what_would_steer_the_terminal_is_shown() -> None:
    assert printable("a\x1b[31mb\x07\nc\u202ed\ud800") == "a\\x1b[31mb\\x07 c\\u202ed\\ud800"
    assert printable("\ufffe \uffff") == "\\ufffe \\uffff"  # no XML can have them
    assert printable("naïve 猫 👩‍👩‍👧") == "naïve 猫 👩‍👩‍👧"


def test_bars_and_cut_names() -> None:
    blocks, plain = Look(), Look(unicode=False)
    assert (blocks.bar(1, 4), blocks.bar(0.5, 3), blocks.bar(0, 4), blocks.bar(7, 2)) == ("████", "█▌", "", "██")
    assert (plain.bar(0.5, 4), plain.bar(-1, 4)) == ("##", "")
    assert (blocks.clipped("lost-dog", 5), plain.clipped("lost-dog", 5)) == ("lost…", "lost~")
    assert (blocks.clipped("猫猫猫", 4), blocks.clipped("猫猫", 4)) == ("猫…", "猫猫")


@pytest.mark.parametrize(
    ("variables", "terminal", "expected"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": ""}, True, True),
        ({"TERM": "dumb"}, True, False),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"FORCE_COLOR": "1", "TERM": "dumb"}, True, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, True, False),
    ],
)
def test_colours(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], terminal: bool, expected: bool) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"TERM": "xterm"} | variables).items():
        monkeypatch.setenv(name, value)
    assert Look.of(Screen(terminal=terminal)).colour is expected


def test_the_look_of_a_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    assert Look.of(Screen()).width == 120 and Look.of(Screen(terminal=False)).width == 80
    monkeypatch.setenv("COLUMNS", "9")
    assert Look.of(Screen()).width == 40
    assert Look.of(Screen()).unicode and not Look.of(Screen("ascii")).unicode and not Look.of(Screen("latin-1")).unicode
