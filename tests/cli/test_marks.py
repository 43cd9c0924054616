"""A command replaces the files that it made; any other one is the user's, and is refused without --force."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Run, json_lines

TURNS = ["I lost my dog today.", "I am so sorry.", "I am sad.", "Oh no!"]
UTTERANCES = ["conv_id,utterance_idx,context,prompt,speaker_idx,utterance,selfeval,tags"]
UTTERANCES += [f"t:0,{turn},sad,p,{turn % 2},{text},," for turn, text in enumerate(TURNS, start=1)]
COMMANDS = {  # OUT is the output, IN are dialogues, DATA the utterances, MODEL a model
    "evaluate.json": "evaluate --data DATA --model MODEL --metrics diversity --json OUT",
    "several.json": "evaluate --data DATA --models a=MODEL --metrics diversity --json OUT",
    "tables.md": "evaluate --data DATA --models a=MODEL --metrics diversity --markdown OUT",
    "tables.png": "evaluate --data DATA --models a=MODEL --metrics likelihood --noise-seeds 1 --png OUT --width 400",
    "cases.json": "cases IN --models a=MODEL --json OUT",
    "cases.md": "cases IN --models a=MODEL --out OUT",
    "plot.png": "plot embeddings --model MODEL --out OUT --width 400",
    "plot.svg": "plot embeddings --model MODEL --out OUT",
    "plot.pdf": "plot embeddings --model MODEL --out OUT",
    "explain.png": "explain hello --model MODEL --out OUT --width 400",
    "summary.json": "classify IN --model MODEL -o REST --summary OUT",
    "drawn.jsonl": "human sample --data DATA --per-emotion 1 --dialogues OUT",
}
STRANGERS = (
    b"my notes\n",
    b'{"seed": 1, "models": []}\n',
    b"# notes on mime-fast evaluate\n",
    b"\x89PNG\r\n\x1a\nholiday",
)


@pytest.fixture
def places(tmp_path: Path, model_dir: Path) -> dict[str, str]:
    (tmp_path / "in.jsonl").write_text(json_lines([{"context": ["my cat ran away ."]}]))
    (tmp_path / "valid.csv").write_text("\n".join(UTTERANCES) + "\n")
    rest = {"IN": tmp_path / "in.jsonl", "DATA": tmp_path / "valid.csv", "REST": tmp_path / "rest.jsonl"}
    return {name: str(path) for name, path in (rest | {"MODEL": model_dir}).items()}


def words(command: str, places: dict[str, str], out: Path) -> list[str]:
    for name, path in (places | {"OUT": str(out)}).items():
        command = command.replace(name, path)
    return command.split()


@pytest.mark.parametrize("name", COMMANDS)
def test_only_a_file_of_the_same_command_is_replaced(
    run: Run, tmp_path: Path, places: dict[str, str], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name.endswith((".png", ".svg", ".pdf")):
        pytest.importorskip("matplotlib")
    if name == "drawn.jsonl":
        monkeypatch.setattr("mime_fast.evaluation.human.sampling.LABELS", ("sad",))
    out = tmp_path / name
    argv = words(COMMANDS[name], places, out)
    assert run(*argv).code == 0
    made = out.read_bytes()
    assert run(*argv).code == 0  # over its own
    for content in STRANGERS:
        out.write_bytes(content)
        outcome = run(*argv)
        assert outcome.code == 2 and f"{out}: exists" in outcome.err and "--force" in outcome.err, outcome.err
        assert out.read_bytes() == content
    if name.endswith(".md"):
        for remarked in (made + b"\nmy own remark\n", b"my own remark\n" + made):
            out.write_bytes(remarked)
            assert run(*argv).code == 2
            assert out.read_bytes() == remarked
    out.write_bytes(b"")
    assert run(*argv).code == 0  # nothing is lost
    out.write_bytes(b"my notes\n")
    assert run(*argv, "--force").code == 0
    assert out.read_bytes()[:40] == made[:40]


def test_the_file_of_another_command_is_the_users(run: Run, tmp_path: Path, places: dict[str, str]) -> None:
    out = tmp_path / "figures.json"
    assert run(*words(COMMANDS["cases.json"], places, out)).code == 0
    outcome = run(*words(COMMANDS["evaluate.json"], places, out))
    assert outcome.code == 2 and f"--json {out}: exists, and is not as mime-fast evaluate made it" in outcome.err
