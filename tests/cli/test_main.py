"""What all commands share: help, exit codes, errors, signals, import cost."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mime_fast.__main__ import start
from mime_fast._version import __version__
from mime_fast.cli import main as main_module
from tests.cli.conftest import Run, json_lines

COMMANDS = (
    "generate",
    "classify",
    "score",
    "chat",
    "train",
    "evaluate",
    "cases",
    "plot",
    "explain",
    "human",
    "convert",
    "info",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(run: Run, command: str) -> None:
    outcome = run(command, "--help")
    assert outcome.code == 0
    assert outcome.out.startswith(f"usage: mime-fast {command} ")
    assert f"example:\n  mime-fast {command}" in outcome.out
    assert outcome.err == ""


def test_no_line_of_the_help_is_too_long(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")  # argparse wraps all but the examples
    helps = [run(*argv, "--help").out for argv in ((), *((command,) for command in COMMANDS))]
    assert [line for text in helps for line in text.splitlines() if len(line) > 120] == []


@pytest.mark.parametrize("command", ["generate", "classify", "score"])
def test_the_help_names_every_key_of_an_answer(run: Run, model_dir: Path, command: str) -> None:
    row = {"context": ["my cat ran away ."], "response": "i am so sorry ."}
    (answer,) = run(command, "-", "--model", model_dir, "--threads", 1, stdin=json_lines([row])).lines
    keys = run(command, "--help").out.split("The answer is {")[1].split("}")[0]
    assert [key.strip('"') for key in keys.replace("\n", " ").split(", ")] == list(answer)


def test_the_list_of_commands_is_complete(run: Run) -> None:
    assert tuple(command.name for command in main_module.COMMANDS) == COMMANDS
    help_text = run("--help").out
    assert all(f"\n    {command} " in help_text for command in COMMANDS)


def test_version(run: Run) -> None:
    outcome = run("--version")
    assert (outcome.code, outcome.out) == (0, f"mime-fast {__version__}\n")


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        ((), "COMMAND"),
        (("sing",), "sing"),
        (("generate",), "IN"),
        (("generate", "-", "--num-beam", "2"), "--num-beam 2 (did you mean --num-beams?)"),
        (("generate", "-", "--max-length", "9"), "--max-length 9 (did you mean --max-new-tokens?)"),
        (("human", "sample", "--sead", "9", "--data", "x", "--out", "y"), "(did you mean --seed?)"),
        (("classify", "-", "--part", "5"), "--part 5 (did you mean --part-rows?)"),
        (("--quiet", "classify", "-"), "--quiet (--quiet must come after mime-fast classify)"),
        (("human", "-q", "studies", "x"), "-q (-q must come after mime-fast human studies)"),
        (("classify", "a", "-q", "b", "--colour", "c"), "unrecognized arguments: --colour c"),
        (("cases", "a.jsonl", "-q", "b.jsonl"), "unrecognized arguments: b.jsonl"),
        (("chat", "--colour", "red"), "unrecognized arguments: --colour red"),
        (("chat", "--num-return-sequences", "2"), "unrecognized arguments: --num-return-sequences 2"),  # it shows one
        (("classify", "a", "--exact-logprobs"), "unrecognized arguments: --exact-logprobs"),  # it has none
        (("generate", "-", "--seed", "-1"), "0 to 2^64 - 1"),
        (("generate", "-", "--seed", "18446744073709551616"), "0 to 2^64 - 1"),
        (("score", "-", "--seed", "one"), "'one'"),
        (("generate", "-", "--emotion", "hungry"), "unknown emotion 'hungry'"),
        (("generate", "-", "--emotion", "32"), "unknown emotion 32"),
        (("generate", "-", "--truncation", "newest"), "newest"),
    ],
)
def test_wrong_usage_is_2_and_says_what_is_wrong(run: Run, argv: tuple[str, ...], told: str) -> None:
    outcome = run(*argv)
    assert outcome.code == 2
    assert outcome.out == ""
    assert "error: " in outcome.err and told in outcome.err


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (("generate", "-", "--model", "no/such/folder"), "no model at 'no/such/folder'"),
        (("classify", "no-such-file.jsonl"), "no-such-file.jsonl: cannot be read: No such file"),
        (("score", "-", "--threads", "0"), "--threads 0"),
        (("info", "--device", "tpu"), "--device tpu"),
        (("info", "--model", "no-such-model"), "no-such-model"),
        (("chat", "--precision", "int3"), "--precision int3"),
        (("generate", "-", "--backend", "cpp"), "--backend cpp"),
        (("classify", "-", "--isa", "sse"), "--isa sse"),
        (("score", "-", "--batch-size", "0"), "--batch-size 0"),
        (("info", "--backend", "reference", "--isa", "avx2"), "--isa avx2 with --backend reference"),
        (("info", "--backend", "reference", "--precision", "int8"), "int8 is only for the native back end"),
        (("train", "--recipe", "no.toml", "--data", "d", "--out", "o"), "no.toml: not a readable recipe"),
        (("train", "--recipe", "no.toml", "--data", "d", "--out", "o", "--threads", "0"), "--threads 0"),
        (("evaluate", "--data", "d", "--limit", "0"), "--limit 0"),
        (("evaluate", "--data", "d", "--batch-size", "0"), "--batch-size 0"),
        (("convert", "no.pt", "--vocab", "no.json", "out"), "no.json"),
        (("explain", "-"), "-: is no utterance; a dialogue from standard input is --input - --id ID"),
    ],
)
def test_errors_have_no_traceback(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, argv: tuple[str, ...], told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = run(*argv)
    assert outcome.code == 2
    assert outcome.out == ""
    assert outcome.err.splitlines()[-1].startswith("mime-fast: error: ")
    assert told in outcome.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("leaf", main_module.leaves(main_module.make_parser()), ids=lambda leaf: leaf.prog)
def test_a_list_may_be_given_in_several_options(leaf: argparse.ArgumentParser) -> None:
    for action in leaf._actions:
        if action.option_strings and action.nargs in ("+", "*"):
            assert isinstance(action, argparse._ExtendAction) and not action.default, action.option_strings


def test_interrupt_is_130(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mime_fast.engine.load.load", interrupted)
    outcome = run("chat")
    assert (outcome.code, outcome.out, outcome.err) == (130, "", "\n")


def test_interrupt_of_the_imports_is_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    class Interrupted:
        @staticmethod
        def find_spec(name: str, *_: object) -> None:
            if name == "mime_fast.cli.main":
                raise KeyboardInterrupt

    monkeypatch.setattr(sys, "meta_path", [Interrupted, *sys.meta_path])
    monkeypatch.delitem(sys.modules, "mime_fast.cli.main")
    assert start() == 130
    assert capsys.readouterr() == ("", "\n")


def test_help_is_light() -> None:
    """No heavy package is imported before a command runs; counted, not timed."""
    code = (
        "import sys\n"
        "from mime_fast.cli.main import make_parser\n"
        "make_parser().format_help()\n"
        "print(sorted({'torch', 'numpy', 'tokenizers', 'safetensors', 'tqdm'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_closed_pipe_ends_quietly(model_dir: Path) -> None:
    row = '{"context": ["my cat ran away ."]}\n'
    with subprocess.Popen(
        [sys.executable, "-m", "mime_fast", "classify", "-", "--model", str(model_dir), "--threads", "1"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin and process.stdout and process.stderr
        process.stdout.close()
        process.stdin.write(row * 3)
        process.stdin.close()
        errors = process.stderr.read()
    assert process.returncode == 141
    assert errors == ""


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (("--num-beams", "0"), "error: --num-beams 0: must be an integer of 1 to 10000"),
        (("--do-sample", "--num-beams", "2"), "error: --do-sample with --num-beams 2: sampling takes --num-beams 1"),
        (
            ("--num-return-sequences", "9", "--num-beams", "3"),
            "--num-return-sequences 9: must be at most --num-beams 3",
        ),
        (("--num-beams", "2", "--top-p", "0.5"), "error: --top-p 0.5 without --do-sample: sampling options need it"),
        (
            ("--temperature", "0"),
            "--temperature 0.0: must be above 0; the likeliest token every time is --no-do-sample",
        ),
        (
            ("--search", "mime", "--length-penalty", "2"),
            "--search mime is the released beam: it takes --num-beams, ",
        ),
        (("--suppress-tokens", "99999"), "error: --suppress-tokens contains 99999: must be ids from 0 to"),
        (("--max-new-tokens", "2", "--min-new-tokens", "3"), "--min-new-tokens 3: must be at most --max-new-tokens 2"),
        (("--precision", "fp32"), "error: --precision fp32: "),
        (("--precision", "fp32"), "did you mean 'float32'?"),
    ],
)
def test_errors_name_flags(run: Run, model_dir: Path, argv: tuple[str, ...], told: str) -> None:
    outcome = run("generate", "-", "--model", model_dir, *argv, stdin=b'{"context": ["my cat ran away ."]}')
    assert outcome.code == 2
    assert told in outcome.err, outcome.err
    assert "_" not in outcome.err.partition("error:")[2].partition("contains")[0].replace(str(model_dir), "")


def test_messages_about_a_config_name_its_keys(run: Run, model_dir: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(model_dir, tmp_path / "model")
    (folder / "generation_config.json").write_text('{"max_new_tokens": 0}')
    outcome = run("generate", "-", "--model", folder, stdin=b'{"context": ["my cat ran away ."]}')
    assert outcome.code == 2 and "generation_config.json: max_new_tokens=0: must be" in outcome.err


@pytest.mark.parametrize(
    "flag", ["--threads", "--batch-size", "--part-rows", "--max-row-bytes", "--workers", "--row-step"]
)
def test_a_number_beyond_all_bounds_is_wrong_usage(run: Run, tmp_path: Path, model_dir: Path, flag: str) -> None:
    (tmp_path / "in.jsonl").write_text(json_lines([{"context": ["my cat ran away ."]}]))
    outcome = run("classify", tmp_path / "in.jsonl", tmp_path / "out.jsonl", "--model", model_dir, flag, 10**25)
    assert outcome.code == 2 and f"{flag} {10**25}: " in outcome.err


def test_a_number_of_omp_beyond_all_bounds(run: Run, model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in ("1000000", "9" * 30):
        monkeypatch.setenv("OMP_NUM_THREADS", number)
        assert run("explain", "my cat ran away .", "--model", model_dir).code == 0
