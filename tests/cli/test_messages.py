"""--quiet, --verbose, and completion in the shell."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from argparse import Namespace
from pathlib import Path

import pytest

from mime_fast.cli import main
from mime_fast.cli.command import Command
from mime_fast.cli.main import COMMANDS, leaves, make_parser
from tests.cli.conftest import Run, json_lines

ROW = json_lines([{"context": ["my cat ran away ."]}])
BAD = json_lines([{"context": []}])


def test_quiet_leaves_only_what_is_wrong(run: Run, model_dir: Path, tmp_path: Path) -> None:
    to_file = run("generate", "-", tmp_path / "out.jsonl", "--model", model_dir, "--quiet", stdin=ROW)
    assert (to_file.code, to_file.out, to_file.err) == (0, "", "")
    again = run("generate", "-", tmp_path / "out.jsonl", "--model", model_dir, "-q", stdin=ROW)
    assert (again.code, again.err) == (0, "")
    bad = run("generate", "-", "--model", model_dir, "-q", stdin=BAD)
    assert bad.code == 1 and bad.err.count("\n") == 1 and "line 1: context is an empty list" in bad.err
    assert "mime-fast: error: " in run("generate", "nothing.jsonl", "-q").err


def test_quiet_leaves_warnings(run: Run, model_dir: Path, tmp_path: Path) -> None:
    """What is passed over, and a column that is not read."""
    folder, out = tmp_path / "in", tmp_path / "out.jsonl"
    folder.mkdir()
    row = {"context": ["my cat ran away ."], "emotion": "sad"}
    (folder / "a.jsonl").write_text(json_lines([row] * 4))
    (folder / "readme.txt.zip").write_text("")
    options = ("--model", model_dir, "-q", "--part-rows", 2)
    said = run("generate", folder, out, *options).err.splitlines()
    assert len(said) == 2 and all(line.startswith("mime-fast: warning: ") for line in said)
    assert "passed over readme.txt.zip" in said[0] and "'emotion' is not read" in said[1]


@pytest.mark.filterwarnings("default")
def test_a_warning_does_not_steer_the_terminal(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def warn(_: Namespace) -> int:
        warnings.warn("a\x1b[31mb", stacklevel=1)
        return 0

    monkeypatch.setattr(main, "COMMANDS", [Command("warn", "warn", "", lambda _: None, warn)])
    assert run("warn").err == "mime-fast: warning: a\\x1b[31mb\n"


@pytest.mark.parametrize(("flags", "told"), [(["-q"], False), ([], True)])
def test_going_on_is_no_warning(
    run: Run, model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str], told: bool
) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text(ROW * 4)
    options = (source, out, "--model", model_dir, "--part-rows", 2)
    with monkeypatch.context() as patch:

        def failing(*_: object, **__: object) -> None:
            raise OSError(28, "No space left on device")

        patch.setattr("mime_fast.corpora.parts.Parts.join", failing)
        assert run("classify", *options).code == 2
    outcome = run("classify", *options, *flags)
    assert outcome.code == 0 and ("going on: 4 rows in 2 parts are done" in outcome.err) == told
    assert told or outcome.err == ""


def test_errors_about_a_job_name_flags(run: Run, model_dir: Path, tmp_path: Path) -> None:
    """Which come in Python's words from below."""
    (tmp_path / "in.jsonl").write_text('{"context": ["my cat ran away ."]}\n{"context": []}\n')
    job = "classify", tmp_path / "in.jsonl", tmp_path / "out.jsonl", "--model", model_dir
    assert run(*job, "--isa", "generic").code == 1
    for options, told in (
        (("--max-errors", "0.1"), "must be at most 10 % (--max-errors)"),
        (("--strict",), "are bad; without --strict they are left out"),
        (("--truncation", "oldest"), "give another OUT, or --restart begins anew"),
        (
            ("--backend", "reference"),
            "(--device cpu --backend native --isa generic --precision float32), give another OUT, or --restart begins",
        ),
        (("--summary", tmp_path / "in.jsonl"), f"--summary {tmp_path}/in.jsonl: is the input"),
        (
            ("--retry-errors", tmp_path / "out.jsonl.errors.jsonl", "--first-row", "9"),
            "give the same --first-row and --row-step as then",
        ),
    ):
        outcome = run(*job, *options)
        assert outcome.code == 2 and told in outcome.err, outcome.err


@pytest.mark.parametrize("out", [[], ["out.jsonl"]])
def test_verbose_says_what_was_loaded(
    run: Run, model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    said = run("classify", "-", *out, "--model", model_dir, "-v", "--threads", 1, stdin=ROW).err
    assert f"mime-fast: Engine('{model_dir}', backend='native', device='cpu'" in said and "threads=1)" in said
    assert "Engine(" in run("explain", "my cat", "--model", model_dir, "--verbose").err
    assert "Engine(" not in run("explain", "my cat", "--model", model_dir).err


def test_verbose_shows_where_an_error_comes_from(run: Run) -> None:
    outcome = run("classify", "nothing.jsonl", "--verbose")
    assert outcome.code == 2 and "Traceback" in outcome.err and "DataError" in outcome.err
    assert "Traceback" not in run("classify", "nothing.jsonl").err
    assert run("classify", "nothing.jsonl", "-q", "-v").code == 2


def test_every_command_has_both() -> None:
    parsers = leaves(make_parser())
    assert len(parsers) > len(COMMANDS)
    for parser in parsers:
        flags = {flag for action in parser._actions for flag in action.option_strings}
        assert {"-q", "--quiet", "-v", "--verbose"} <= flags


def test_completion_without_its_package_is_ignored(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_ARGCOMPLETE", "1")
    monkeypatch.setitem(sys.modules, "argcomplete", None)
    outcome = run("generate", "--help")
    assert outcome.code == 0 and "usage: mime-fast generate" in outcome.out and outcome.err == ""


@pytest.mark.parametrize("workers", ["1", "2"])
def test_what_loading_warns_of_is_said_once(model_dir: Path, tmp_path: Path, workers: str) -> None:
    """However many processes load the model, and in the form of all warnings."""
    (tmp_path / "in.jsonl").write_text(ROW * 8)
    options = [
        "--model",
        str(model_dir),
        "--precision",
        "bfloat16",
        "--isa",
        "generic",
        "--workers",
        workers,
        "--part-rows",
        "1",
    ]
    argv = [
        sys.executable,
        "-m",
        "mime_fast",
        "classify",
        str(tmp_path / "in.jsonl"),
        str(tmp_path / "out.jsonl"),
        *options,
    ]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=120)
    told = [line for line in done.stderr.splitlines() if "no bfloat16 products" in line]
    assert len(told) == 1 and told[0].startswith("mime-fast: warning: precision='bfloat16': generic has no")


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("mime-fast gen", "generate "),
        ("mime-fast score --tr", "--truncation "),
        ("mime-fast score --precision sc", "screened "),
        ("mime-fast chat --backend nat", "native "),
        ("mime-fast generate --isa gen", "generic "),
        ("mime-fast generate --emotion terri", "terrified "),
        ("mime-fast train --device cp", "cpu "),
        ("mime-fast x", ""),
    ],
)
def test_completion(line: str, found: str) -> None:
    pytest.importorskip("argcomplete")
    variables = {"_ARGCOMPLETE": "1", "COMP_LINE": line, "COMP_POINT": str(len(line)), "COMP_TYPE": "9"}
    program = "import os, sys; os.dup2(1, 8); from mime_fast.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | variables, capture_output=True, text=True, check=False
    )
    assert done.stdout.split("\x0b") == [found] or done.stdout == found
