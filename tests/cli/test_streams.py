"""Standard streams that are closed, full, without a buffer or in ASCII; names that are no UTF-8; inputs that pause."""

from __future__ import annotations

import contextlib
import io
import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mime_fast.cli.main import main
from tests.cli.conftest import Run, json_lines

ROWS = [
    {"id": "café", "context": ["my cat ran away ."]},
    {"context": ["i passed the test !"], "response": "so happy !"},
]
PIPES: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
JOBS = ("generate", "classify", "score")


def shell(line: str, model: Path, stdin: bytes | None = None, **env: str) -> subprocess.CompletedProcess[bytes]:
    """A command line in sh, where $m is the command and $model a model; its code must be none of a crash."""
    values = os.environ | {"m": f"{sys.executable} -m mime_fast", "model": str(model)} | env
    done = subprocess.run(["sh", "-c", line], input=stdin, capture_output=True, env=values, check=False, timeout=120)
    assert b"Traceback" not in done.stdout + done.stderr, done.stderr.decode()
    assert done.returncode in (0, 1, 2, 130, 141), done.returncode
    return done


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    path.write_text(json_lines(ROWS), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("$m classify $i --model $model >&-", 2),
        ("$m classify $i $o --model $model >&-", 0),
        ("$m classify $i $o --model $model <&- >&- 2>&-", 0),
        ("$m classify $i --model $model 2>&-", 0),
        ("$m classify - --model $model <&-", 2),
        ("$m classify $i --model $model > /dev/full", 2),
        ("$m classify $i --model $model 2> /dev/full", 0),
        ("(echo {; cat $i) | $m classify - $o --model $model 2> /dev/full", 1),
        ("(echo {; cat $i) | { { $m classify - --model $model; echo $? >&3; } 2>&1 >$o | :; } 3>&1 | grep -x 1", 0),
        ("$m info --model $model >&-", 2),
        ("$m info --model $model > /dev/full", 2),
        ("$m explain 'my cat ran away .' --model $model --json >&-", 2),
        ("$m --version >&-", 2),
        ("$m --help >&-", 2),
        ("PYTHONUNBUFFERED=1 $m --version > /dev/full", 2),
        ("PYTHONUNBUFFERED=1 $m generate --help > /dev/full", 2),
        ("PYTHONUNBUFFERED=1 $m explain 'my cat ran away .' --model $model > /dev/full", 2),
        ("$m chat --model $model <&-", 2),
        ("echo hi | $m chat --model $model >&-", 2),
        ("$m sing 2>&-", 2),
        ("$m generate nothing.jsonl --model $model 2>&-", 2),
    ],
)
def test_closed_and_full_streams(rows: Path, tmp_path: Path, model_dir: Path, line: str, code: int) -> None:
    done = shell(line, model_dir, i=str(rows), o=f"{tmp_path}/out.jsonl")
    assert done.returncode == code, done.stderr.decode()
    if code == 2 and "2>" not in line:
        (*_, last) = done.stderr.decode().splitlines()
        assert last.startswith("mime-fast: error: standard output: " if ">" in line else "mime-fast: error: ")
    if "$o" in line:
        assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize(
    "line",
    [
        "classify $i >> $i",
        "classify $i --out - >> $i",
        "classify - < $i >> $i",
        "classify --dry-run $i ${o%md}jsonl >> $i",
        "classify ${i%/*} >> $i",
        "cases $i --models a=$model >> $i",
        "cases $i --models a=$model --json - --out $o >> $i",
        "explain --input $i --id café --model $model >> $i",
    ],
)
def test_standard_output_is_no_input(rows: Path, tmp_path: Path, model_dir: Path, line: str) -> None:
    before = rows.read_bytes()
    done = shell(f"$m {line}", model_dir, i=str(rows), o=f"{tmp_path}/out.md")
    assert done.returncode == 2 and b"error: standard output: is the input " in done.stderr
    assert rows.read_bytes() == before and list(tmp_path.iterdir()) == [rows]


def test_standard_output_is_no_other_output(rows: Path, tmp_path: Path, model_dir: Path) -> None:
    done = shell("$m cases $i --models a=$model --json $o > $o", model_dir, i=str(rows), o=f"{tmp_path}/out.json")
    assert done.returncode == 2 and b"out.json: is standard output, too" in done.stderr
    ok = shell("$m classify - --model $model < $i > $o", model_dir, i=str(rows), o=f"{tmp_path}/out.jsonl")
    assert ok.returncode == 0, ok.stderr.decode()


def test_no_file_becomes_a_closed_stream(rows: Path, tmp_path: Path, model_dir: Path) -> None:
    """A file that is opened as descriptor 1 or 2 would get what is printed there."""
    shell(
        "$m generate $i $o --model $model --summary $s >&- 2>&-",
        model_dir,
        i=str(rows),
        o=f"{tmp_path}/o.jsonl",
        s=f"{tmp_path}/s.json",
    )
    assert json.loads((tmp_path / "s.json").read_text())["rows"] == 2
    assert all(json.loads(line)["text"] is not None for line in (tmp_path / "o.jsonl").read_text().splitlines())


PLAIN = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.mark.parametrize(
    ("command", "env"), [("generate", {}), ("score", {"PYTHONIOENCODING": "ascii"}), ("classify", PLAIN)]
)
def test_names_that_are_no_utf8(tmp_path: Path, model_dir: Path, command: str, env: dict[str, str]) -> None:
    source, out = os.fsencode(tmp_path) + b"/\xff\xfe.jsonl", os.fsencode(tmp_path) + b"/\xf0.jsonl"
    Path(os.fsdecode(source)).write_text(json_lines(["{", ROWS[1]]))
    argv: list[str | bytes] = [sys.executable, "-m", "mime_fast", command, source, "--model", os.fsencode(model_dir)]
    ways: list[tuple[list[Any], int]] = [(["--out", out], 1), ([], 1), (["--out", b"/\xff/\xfe"], 2)]
    for rest, code in (*ways, (["--id-column", b"\xff"], 2)):
        done = subprocess.run([*argv, *rest], capture_output=True, env=os.environ | env, check=False, timeout=120)
        assert b"Traceback" not in done.stderr, done.stderr
        assert done.returncode == code, done.stderr
    (manifest,) = tmp_path.glob("*.manifest.json")
    assert json.loads(manifest.read_bytes())["finished"]["summary"]["errors"] == 1
    errors = Path(os.fsdecode(out) + ".errors.jsonl").read_bytes()
    assert json.loads(errors)["file"] == os.fsdecode(source)


@pytest.mark.parametrize("command", [*JOBS, "info", "explain", "chat"])
def test_ascii_streams(rows: Path, model_dir: Path, command: str) -> None:
    argument = {"info": "--json", "explain": "'caf\u00e9 , my cat ran away'", "chat": ""}.get(command, "$i")
    stdin = "café \u2615\n".encode()
    done = shell(f"$m {command} {argument} --model $model", model_dir, stdin, i=str(rows), PYTHONIOENCODING="ascii")
    assert done.returncode in (0, 1), done.stderr.decode()
    if command in JOBS:
        assert json.loads(done.stdout.splitlines()[0])["id"] in ("café", 1)


class Bare:
    """A stream with nothing but `write`."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> int:
        self.text += text
        return len(text)


@pytest.mark.parametrize("command", [*JOBS, "info", "explain", "chat", "--version", "cases"])
@pytest.mark.parametrize("kind", ["StringIO", "Bare", "None"])
def test_streams_of_other_kinds(
    rows: Path, model_dir: Path, monkeypatch: pytest.MonkeyPatch, command: str, kind: str
) -> None:
    arguments: dict[str, list[str]] = {"explain": ["my cat"], "cases": [str(rows), "--models", f"a={model_dir}"]}
    argv = [command, *arguments.get(command, [str(rows)] if command in JOBS else [])]
    if command not in ("--version", "cases"):
        argv += ["--model", str(model_dir)]
    out: Any = {"StringIO": io.StringIO(), "Bare": Bare(), "None": None}[kind]
    monkeypatch.setattr("sys.stdin", io.StringIO("my cat ran away .\n"))
    monkeypatch.setattr("sys.stderr", {"StringIO": io.StringIO(), "Bare": Bare(), "None": None}[kind])
    code: Any
    with contextlib.redirect_stdout(out):
        try:
            code = main(argv)
        except SystemExit as stop:
            code = stop.code
    if kind == "None":
        assert code == 2
    else:
        assert code == (1 if command == "score" else 0)
        text = out.getvalue() if kind == "StringIO" else out.text
        assert text.endswith("\n") and len(text) > 10
        if command in JOBS:
            assert all(json.loads(line) for line in text.splitlines())


@pytest.mark.parametrize("command", ["generate", "score"])
def test_an_input_that_pauses_is_answered(model_dir: Path, command: str) -> None:
    row = json.dumps({"context": ["my cat ran away ."], "response": "so happy !"}) + "\n"
    argv = [sys.executable, "-m", "mime_fast", command, "-", "--model", str(model_dir), "--threads", "1"]
    with subprocess.Popen(argv, bufsize=0, **PIPES) as process:
        assert process.stdin and process.stdout
        for count in (1, 3, 1):
            process.stdin.write((row * count).encode())
            process.stdin.flush()
            for _ in range(count):
                assert select.select([process.stdout], [], [], 60)[0], "no answer while the input pauses"
                assert json.loads(process.stdout.readline())["emotion"]
        process.stdin.close()
        assert process.stdout.read() == b""
    assert process.returncode == 0


def test_an_interrupt_while_the_input_pauses(model_dir: Path) -> None:
    argv = [sys.executable, "-m", "mime_fast", "classify", "-", "--model", str(model_dir), "--threads", "1"]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background may ignore it
    try:
        process = subprocess.Popen(argv, bufsize=0, **PIPES)
    finally:
        signal.signal(signal.SIGINT, before)
    with process:
        assert process.stdin and process.stdout and process.stderr
        process.stdin.write(b'{"context": ["hello"]}\n')
        process.stdin.flush()
        assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert b"Fatal" not in process.stderr.read()


def test_a_fault_of_our_own_is_70(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def faulty(*_: object, **__: object) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("mime_fast.engine.load.load", faulty)
    assert main(["info"]) == 70
    assert capsys.readouterr().err.endswith(
        "mime-fast: fault: ZeroDivisionError: oh (this should not happen: please report it)\n"
    )


def test_a_summary_on_standard_output(
    run: Run, rows: Path, tmp_path: Path, model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = run("classify", rows, "o.jsonl", "--model", model_dir, "--summary", "-")
    assert json.loads(outcome.out)["answered"] == 2
    outcome = run("classify", rows, "--model", model_dir, "--summary", "-")
    assert (outcome.code, outcome.out) == (2, "") and "--summary -: " in outcome.err
    assert not (tmp_path / "-").exists()
