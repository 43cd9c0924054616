"""What the programs in tools/ and examples/ say of themselves, and what they refuse."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

from benchmarks.random_mime import make_tiny_mime
from mime_fast.checkpoints.model_folder import load_model_folder
from tools import compare_precisions, ship_weights
from tools.arguments import at_least, some_of

ROOT = Path(__file__).parent.parent
PROGRAMS = [
    *(path for path in sorted((ROOT / "tools").glob("*.py")) if "__main__" in path.read_text(encoding="utf-8")),
    *sorted((ROOT / "examples").glob("*.py")),
]


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_help_is_usage(path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    if path.stem == "datasets_map":
        pytest.importorskip("datasets")
    monkeypatch.setattr(sys, "argv", [str(path), "--help"])
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("TRITON_CACHE_DIR", "kept")  # one of them sets it
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(path), run_name="__main__")
    assert ended.value.code == 0 and capsys.readouterr().out.startswith(f"usage: {path.name} ")


def test_arguments_say_what_they_must_be() -> None:
    assert at_least(0)("0") == 0 and some_of(["a", "b"])("b,a") == ["b", "a"]
    for text in ("-1", "x", ""):
        with pytest.raises(Exception, match=f"'{text}': must be an integer of 0 or more"):
            at_least(0)(text)
    with pytest.raises(Exception, match="'c': must be one of a, b"):
        some_of(["a", "b"])("a,c")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--contexts", "-1"], "argument --contexts: '-1': must be an integer of 0 or more"),
        (["--searches", "best"], "argument --searches: 'best': must be one of default, beams"),
        (["--set", "temperature=x"], "argument --set: 'temperature=x': must be NAME=VALUE, the value as in JSON"),
        ([], "compare_precisions: "),
    ],
)
def test_precisions_that_cannot_be_compared(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        compare_precisions.main([str(tmp_path / "nowhere"), *arguments])
    assert message in (str(ended.value.code) + capsys.readouterr().err)


def test_weights_are_shipped_by_a_plain_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(make_tiny_mime(tmp_path / "run"))
    shipped = tmp_path / "pretrained"
    monkeypatch.setattr(ship_weights, "PRETRAINED", shipped)
    for name in ("../x", "a/b", ".", "", "/x"):
        with pytest.raises(SystemExit):
            ship_weights.main([run, name])
    assert "must be a plain name" in capsys.readouterr().err and not shipped.exists()
    ship_weights.main([run, "small-1"])
    said = capsys.readouterr().out
    assert ", new\n" in said and said.endswith("must be written beside them: README.md, LICENSE\n")
    load_model_folder(shipped / "small-1")
    for name in ("README.md", "LICENSE"):
        (shipped / "small-1" / name).touch()
    ship_weights.main([run, "small-1"])
    assert capsys.readouterr().out.endswith("in place of the one before\n")
    with pytest.raises(SystemExit, match="ship_weights: "):
        ship_weights.main([str(tmp_path / "nowhere"), "small-1"])
