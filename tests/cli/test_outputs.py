"""Outputs of all commands: found before the work, no input among them, and one that fails takes no other with it."""

from __future__ import annotations

import os
import shutil
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from mime_fast.cli.output import check_flags, write_all
from mime_fast.errors import ConfigError, OutputError
from mime_fast.evaluation.systems import System
from mime_fast.output_checks import check_outputs
from tests.cli.conftest import Run, json_lines

ROWS = [{"context": ["my cat ran away ."], "response": "so happy !"}]


@pytest.fixture
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    def loaded(*_: object, **__: object) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(System, "load", loaded)
    monkeypatch.setattr("mime_fast.engine.load.load", loaded)


@pytest.mark.parametrize(
    ("argv", "flag"),
    [
        (("generate", "IN", "OUT", "--summary"), "--summary"),
        (("classify", "IN", "--summary"), "--summary"),
        (("score", "IN", "-o"), "OUT"),
        (("evaluate", "--data", "IN", "--json"), "--json"),
        (
            ("evaluate", "--data", "IN", "--models", "a=mime-ed", "b=mime-ed,stochastic=false", "--markdown"),
            "--markdown",
        ),
        (("cases", "IN", "--json"), "--json"),
        (("cases", "IN", "--out"), "--out"),
        (("human", "report", "IN", "--key", "IN", "--json"), "--json"),
        (("human", "studies", "IN", "--out"), "--out"),
    ],
)
def test_outputs_are_checked_before_the_work(
    run: Run, tmp_path: Path, no_engine: None, argv: tuple[str, ...], flag: str
) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text(json_lines(ROWS))
    os.link(source, tmp_path / "hard.jsonl")
    (tmp_path / "soft.jsonl").symlink_to("in.jsonl")
    words = [{"IN": str(source), "OUT": str(tmp_path / "out.jsonl")}.get(word, word) for word in argv]
    before = sorted(tmp_path.iterdir())
    for name, told in (
        ("none/x.jsonl", "none/x.jsonl: cannot be written"),
        ("", "cannot be written|is the input|folder"),
    ):
        outcome = run(*words, f"{tmp_path}/{name}")
        assert outcome.code == 2 and any(part in outcome.err for part in told.split("|")), outcome.err
    for name in ("in.jsonl", "./in.jsonl", "hard.jsonl", "soft.jsonl"):
        outcome = run(*words, f"{tmp_path}/{name}")
        assert outcome.code == 2 and f"{flag} {tmp_path}/{name}: is the input" in outcome.err
    assert sorted(tmp_path.iterdir()) == before and source.read_text() == json_lines(ROWS)


def test_only_the_models_own_files_are_inputs(tmp_path: Path, model_dir: Path) -> None:
    model = shutil.copytree(model_dir, tmp_path / "model")
    (model / "eval.json").touch()
    (model / "reranker.safetensors").touch()
    check_flags(Namespace(json=f"{model}/eval.json"), ["json"], [str(model)])
    for name in (
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "model.safetensors",
        "reranker.safetensors",
    ):
        with pytest.raises(ConfigError, match="is the input"):
            check_flags(Namespace(json=f"{model}/{name}"), ["json"], [str(model)])


def test_a_file_that_may_not_be_written_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out.jsonl"
    check_outputs({"OUT": out}, [])
    out.write_text("kept")
    out.chmod(0o444)
    monkeypatch.setattr(os, "access", lambda path, mode: bool(os.stat(path).st_mode & 0o222))  # root may write it
    with pytest.raises(OutputError, match=r"out\.jsonl: cannot be written: Permission denied"):
        check_outputs({"OUT": out}, [])


def test_a_failed_output_takes_no_other_with_it(tmp_path: Path) -> None:
    written: list[str] = []

    def failing() -> None:
        raise OutputError("a: cannot be written: No space left on device")

    with pytest.raises(OutputError, match=r"^a: cannot be written: No space left on device$"):
        write_all([lambda: written.append("first"), failing, lambda: written.append("last")])
    assert written == ["first", "last"]


def test_a_closed_pipe_takes_no_other_output_with_it() -> None:
    written: list[str] = []

    def failing() -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        write_all([failing, lambda: written.append("last")])
    assert written == ["last"]


def test_files_of_folders_are_inputs(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "test.csv").write_text("")
    given: dict[str, Any] = {"json": f"{tmp_path}/data/test.csv", "out": f"{tmp_path}/data/figures.json"}
    with pytest.raises(ConfigError, match=r"--json .*is the input"):
        check_flags(Namespace(**given), ("json",), (f"{tmp_path}/data", None))
    check_flags(Namespace(**given), ("out",), (f"{tmp_path}/data",))
    for uri in (f"file://{tmp_path}/data", f"local://{tmp_path}/data/test.csv"):
        with pytest.raises(ConfigError, match=r"--json .*is the input"):
            check_flags(Namespace(**given), ("json",), (uri,))
    with pytest.raises(ConfigError, match=r"--json .*is --out .*must be another file"):
        check_flags(Namespace(json=f"{tmp_path}/a", out=f"{tmp_path}/./a"), ("out", "json"))


@pytest.mark.parametrize("uri", ["file:///t/x.png", "memory://x.png", "s3://bucket/x.png"])
def test_an_output_that_is_a_uri_is_named(uri: str) -> None:
    told = f"^--out {uri}: must be a path on this machine, not a URI$"
    with pytest.raises(ConfigError, match=told):
        check_flags(Namespace(out=uri), ("out",), made_by="mime-fast explain")


def test_several_names_without_out(run: Run, tmp_path: Path, model_dir: Path) -> None:
    for name in "abc":
        (tmp_path / f"{name}.jsonl").write_text(json_lines(ROWS))
    names = [f"{tmp_path}/{name}.jsonl" for name in "abc"]
    for some in (names[:2], names):
        outcome = run("generate", *some, "--model", model_dir)
        assert outcome.code == 2
        assert ("quote the glob" if len(some) > 2 else "no job made it") in outcome.err and "--out" in outcome.err
    assert all(Path(name).read_text() == json_lines(ROWS) for name in names)
    for flag in ("-o", "--out"):
        outcome = run("classify", *names, flag, f"{tmp_path}/out{flag}.jsonl", "--model", model_dir)
        assert outcome.code == 0, outcome.err
        assert len(Path(f"{tmp_path}/out{flag}.jsonl").read_text().splitlines()) == 3


@pytest.mark.parametrize("words", ["IN -q OUT", "IN --top-emotions 1 OUT -q", "-q IN OUT", "OTHER -o OUT -q IN"])
def test_names_on_both_sides_of_an_option(run: Run, tmp_path: Path, model_dir: Path, words: str) -> None:
    names = {"IN": tmp_path / "in.jsonl", "OTHER": tmp_path / "other.jsonl", "OUT": tmp_path / "out.jsonl"}
    for name in ("IN", "OTHER"):
        names[name].write_text(json_lines(ROWS))
    outcome = run("classify", "--model", model_dir, *(names.get(word, word) for word in words.split()))
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
    assert names["OUT"].read_text().count("\n") == 1 + ("OTHER" in words)
    three = run("classify", "a.jsonl", "--model", model_dir, "b.jsonl", "-q", "c.jsonl")
    assert three.code == 2 and "3 names without --out (a.jsonl, b.jsonl, c.jsonl)" in three.err


def test_sheets_on_both_sides_of_an_option(run: Run) -> None:
    outcome = run("human", "report", "a.csv", "--key", "no-key.json", "b.csv", "--no-fourth", "c.csv")
    assert outcome.code == 2 and "no-key.json: cannot be read" in outcome.err


@pytest.mark.parametrize(
    ("command", "name", "told"),
    [
        ("classify in", "x" * 245 + ".jsonl", "File name too long"),  # that of the errors file
        ("classify in", "x" * 300 + ".jsonl", "File name too long"),
        ("classify in", "x" * 300 + "/", "File name too long"),
        ("classify in", "loop.jsonl", "Too many levels of symbolic links"),
        ("classify in --summary", "", "--summary '': must be the name of a file"),
        ("classify in", "", "OUT '': must be the name of a file, or of a folder, which ends in /"),
        ("cases in --out", "", "--out '': must be the name of a file"),
        ("classify in --summary", "loop.jsonl", "Too many levels of symbolic links"),
        ("cases in --out", "loop.jsonl", "Too many levels of symbolic links"),
        ("cases in --out", "x" * 300, "File name too long"),
    ],
)
def test_names_that_no_file_can_have(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_engine: None, command: str, name: str, told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop.jsonl").symlink_to("loop.jsonl")
    (tmp_path / "in").write_text(json_lines(ROWS))
    outcome = run(*command.split(), name)
    assert outcome.code == 2
    if name:
        assert outcome.err.replace("/:", ":") == f"mime-fast: error: {name.rstrip('/')}: cannot be written: {told}\n"
    else:
        assert outcome.err.startswith(f"mime-fast: error: {told}")
    assert sorted(os.listdir()) == ["in", "loop.jsonl"] and (tmp_path / "loop.jsonl").is_symlink()


def test_verbose_shows_where_an_error_of_the_system_comes_from(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("mime_fast.data.reading.sources.find_sources", failing)
    monkeypatch.setattr("mime_fast.corpora.job.find_sources", failing)
    outcome = run("classify", "-", "-v")
    assert outcome.code == 2 and "Traceback" in outcome.err
    assert outcome.err.endswith("mime-fast: error: [Errno 5] Input/output error\n")
    assert "Traceback" not in run("classify", "-").err
