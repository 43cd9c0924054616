"""The file commands: rows in, rows out, bad rows, where the output goes."""

from __future__ import annotations

import json
import math
import os
import re
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import mime_fast
from mime_fast.backends.native import NativeBackend
from mime_fast.backends.protocol import Requests
from mime_fast.config.generation import GenerationConfig
from mime_fast.corpora import answering, chunks
from mime_fast.emotions import LABELS, NEGATIVE, POSITIVE
from mime_fast.errors import ConfigError
from tests.cli.conftest import Run, json_lines
from tests.mixtures import mixture_of

ROOT = Path(__file__).resolve().parents[2]
DIALOGUES: list[dict[str, Any]] = [
    {"id": "a", "context": ["my cat ran away ."]},
    {"id": 7, "context": ["i passed the test !", "so happy !", "you did it ?"], "seed": 11},
    {"context": [["my", "dog", "ran"]], "emotion": "joyful"},
]
MIMIC = ("--emotion-column", "emotion")
RESPONSES = [row | {"response": "i am so sorry to hear that ."} for row in DIALOGUES]
_EMOTIONS = ["emotion", "emotion_probs", "polarity", "mixture"]
GENERATED = ["id", "row", "seed", "text", "score", "logprob", "num_tokens", "finish_reason", *_EMOTIONS]
SCORED = ["id", "row", "logprob", "perplexity", "tokens", "token_logprobs", *_EMOTIONS]
BAD = [
    '{"context": ["my cat',
    {"context": []},
    {"context": ["a", "b"]},
    {"context": ["a"], "emotion": "hungry"},
    {"context": ["cat " * 50]},
    {"context": 3},
    "\udcff",
]


def mixed() -> bytes:
    """The good rows at indices 1, 4 and 7, bad ones between, and blank lines that do not count."""
    rows = [BAD[0], DIALOGUES[0], BAD[1], "", BAD[2], DIALOGUES[1], BAD[3], BAD[4], DIALOGUES[2], BAD[5], "  ", BAD[6]]
    return json_lines(rows).encode(errors="surrogateescape")


def test_tokens_are_suppressed_by_their_ids(run: Run, model_dir: Path) -> None:
    options = ("generate", "-", "--model", model_dir, "--num-beams", 2)
    tokenizer = mime_fast.load(model_dir).tokenizer
    (reply,) = run(*options, stdin=json_lines(DIALOGUES[:1])).lines
    said = tokenizer.ids(tokenizer.tokenize(reply["text"]))
    (other,) = run(*options, "--suppress-tokens", ",".join(map(str, said)), stdin=json_lines(DIALOGUES[:1])).lines
    assert said
    assert not set(said) & set(tokenizer.ids(tokenizer.tokenize(other["text"])))
    outcome = run(*options, "--suppress-tokens", "1,two", stdin=b"")
    assert outcome.code == 2
    assert "'1,two': must be token ids with commas between" in outcome.err


def test_generate_gives_what_the_engine_gives(run: Run, model_dir: Path) -> None:
    outcome = run("generate", "-", "--model", model_dir, *MIMIC, "--seed", 3, stdin=json_lines(DIALOGUES))
    engine = mime_fast.load(model_dir)
    replies = engine.generate(
        [row["context"] for row in DIALOGUES], seed=[3, 11, 3], request_ids=[0, 1, 2], emotions=[None, None, "joyful"]
    )
    assert outcome.code == 0
    assert [list(line) for line in outcome.lines] == [GENERATED] * 3
    assert [line["id"] for line in outcome.lines] == ["a", 7, 2]
    assert [line["row"] for line in outcome.lines] == [0, 1, 2]
    assert [line["seed"] for line in outcome.lines] == [3, 11, 3]
    for line, reply in zip(outcome.lines, replies, strict=True):
        assert (line["text"], line["emotion"]) == (reply.text, reply.emotion)
        assert line["score"] == pytest.approx(reply.score, abs=1e-6)
        mixture, expected = line["mixture"], mixture_of(reply)
        assert (tuple(mixture["positive"]), tuple(mixture["negative"])) == (POSITIVE, NEGATIVE)
        assert mixture["polarity"] == expected.polarity
        assert mixture["mimic_share"] == pytest.approx(expected.mimic_share, abs=1e-4)
        assert mixture["negative"] == pytest.approx(expected.negative, abs=1e-4)
    assert outcome.lines[2]["mixture"]["polarity"] == "positive"
    assert re.fullmatch(r"mime-fast: loaded in \d.*? s; 3 replies in .*? s, [\d,]+ per second\n", outcome.err)


def test_generate_passes_every_search_option(run: Run, model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[Requests, GenerationConfig]] = []
    readings: list[tuple[Any, ...]] = []
    generate, reading = NativeBackend.generate, mime_fast.Engine.reading

    def record(self: NativeBackend, contexts: Any, requests: Requests, options: GenerationConfig, *rest: Any) -> Any:
        seen.append((requests, options))
        return generate(self, contexts, requests, options, *rest)

    def note(self: mime_fast.Engine, *options: Any) -> Any:
        readings.append(options)
        return reading(self, *options)

    monkeypatch.setattr(NativeBackend, "generate", record)
    monkeypatch.setattr(mime_fast.Engine, "reading", note)
    given: dict[str, Any] = {
        "num_beams": 1,
        "max_new_tokens": 5,
        "min_new_tokens": 1,
        "top_k": 9,
        "top_p": 0.9,
        "temperature": 1.5,
    }
    given |= {"length_penalty": 0.5, "no_repeat_ngram_size": 2, "num_return_sequences": 2}
    flags = [text for name, value in given.items() for text in ("--" + name.replace("_", "-"), value)]
    argv = ["generate", "-", "--model", model_dir, *flags, "--do-sample", "--no-stochastic", "--no-strict-turns"]
    outcome = run(*argv, "--truncation", "oldest", "--emotion", "sad", stdin=json_lines(DIALOGUES[:1]))
    assert outcome.code == 0, outcome.err
    ((requests, options),) = seen
    assert options == GenerationConfig(**given, do_sample=True)
    assert (requests.seeds.tolist(), requests.request_ids.tolist(), requests.stochastic) == ([0], [0], False)
    assert requests.emotions.tolist() == [LABELS.index("sad")]
    assert set(readings) == {(False, "oldest", False)}
    assert len(outcome.lines[0]["candidates"]) == 2


def test_the_model_options_choose_the_engine(run: Run, model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[dict[str, Any]] = []
    load = mime_fast.load

    def noting(path: str, **options: Any) -> Any:
        given.append(options)
        return load(path, **options)

    monkeypatch.setattr("mime_fast.engine.load.load", noting)
    plain = run("generate", "-", "--model", model_dir, "--device", "cpu", stdin=json_lines(DIALOGUES))
    options = ("--device", "cpu", "--backend", "reference", "--batch-size", 2, "--precision", "float64", "--threads", 1)
    chosen = run("generate", "-", "--model", model_dir, *options, stdin=json_lines(DIALOGUES))
    assert [line["text"] for line in chosen.lines] == [line["text"] for line in plain.lines]
    defaults = {"device": "cpu", "precision": "float32", "threads": None, "batch_size": None}
    changed = {"precision": "float64", "threads": 1, "batch_size": 2, "backend": "reference"}
    assert given[0] == defaults | {"backend": "auto", "isa": "auto", "exact_logprobs": False}
    assert given[1] == given[0] | changed


def test_nothing_given_leaves_the_choice_to_the_model(run: Run, model_dir: Path) -> None:
    plain = run("generate", "-", "--model", model_dir, stdin=json_lines(DIALOGUES)).out
    assert plain == run("generate", "-", "--model", model_dir, "--num-beams", 3, stdin=json_lines(DIALOGUES)).out
    assert plain != run("generate", "-", "--model", model_dir, "--max-new-tokens", 2, stdin=json_lines(DIALOGUES)).out


def test_candidates_are_best_first(run: Run, model_dir: Path) -> None:
    argv = ["generate", "-", "--model", model_dir, "--num-return-sequences", 3]
    for line in run(*argv, stdin=json_lines(DIALOGUES)).lines:
        scores = [one["score"] for one in line["candidates"]]
        assert len(scores) == 3
        assert scores == sorted(scores, reverse=True)
        assert (line["text"], line["score"]) == (line["candidates"][0]["text"], scores[0])
        assert all(one["logprob"] <= 0 for one in line["candidates"])


def test_search_mime_refuses_what_it_cannot_do(run: Run, model_dir: Path) -> None:
    argv = ["generate", "-", "--model", model_dir, "--search", "mime"]
    assert run(*argv, stdin=json_lines(DIALOGUES)).code == 0
    outcome = run(*argv, "--length-penalty", 2, stdin=json_lines(DIALOGUES))
    assert (outcome.code, outcome.out) == (2, "")
    assert "mime-fast: error: --search mime" in outcome.err


@pytest.mark.parametrize("option", [("--num-beams", "0"), ("--temperature", "nan"), ("--num-return-sequences", "9")])
def test_a_bad_option_is_no_bad_row(run: Run, model_dir: Path, option: tuple[str, str]) -> None:
    outcome = run("generate", "-", "--model", model_dir, *option, stdin=json_lines(DIALOGUES))
    assert (outcome.code, outcome.out) == (2, "")
    assert f"error: {option[0]} {option[1]}: " in outcome.err


def test_classify(run: Run, model_dir: Path) -> None:
    outcome = run("classify", "-", "--model", model_dir, stdin=json_lines(DIALOGUES))
    found = mime_fast.load(model_dir).classify([row["context"] for row in DIALOGUES])
    assert outcome.code == 0
    for line, one in zip(outcome.lines, found, strict=True):
        assert list(line) == ["id", "row", "emotion", "emotion_probs", "polarity"]
        assert (line["emotion"], line["polarity"]) == (one.emotion, one.polarity)
        assert tuple(line["emotion_probs"]) == LABELS
        assert list(line["emotion_probs"].values()) == pytest.approx(list(one.emotion_probs.values()), abs=1e-6)


def test_score(run: Run, model_dir: Path) -> None:
    outcome = run("score", "-", "--model", model_dir, "--seed", 3, stdin=json_lines(RESPONSES))
    scores = mime_fast.load(model_dir).score(
        [row["context"] for row in RESPONSES],
        [row["response"] for row in RESPONSES],
        seed=[3, 11, 3],
        emotions=[None, None, "joyful"],
    )
    assert outcome.code == 0
    for line, one in zip(outcome.lines, scores, strict=True):
        assert list(line) == SCORED
        assert line["token_logprobs"] == pytest.approx(one.token_logprobs, abs=1e-6)
        assert len(line["token_logprobs"]) == 9  # eight words and the end mark
        assert line["logprob"] == pytest.approx(math.fsum(line["token_logprobs"]))
        assert line["perplexity"] == pytest.approx(math.exp(-line["logprob"] / 9))


def test_score_needs_a_response(run: Run, model_dir: Path) -> None:
    rows = [RESPONSES[0], DIALOGUES[1], RESPONSES[2] | {"response": "so " * 60}]
    outcome = run("score", "-", "--model", model_dir, stdin=json_lines(rows))
    assert outcome.code == 1
    assert [line["id"] for line in outcome.lines] == ["a"]
    assert "standard input, line 2: no 'response'" in outcome.err
    assert "standard input, line 3: response has 60 words; must have at most 39\n" in outcome.err


def test_bad_rows_are_told_and_the_rest_goes_on(run: Run, model_dir: Path) -> None:
    outcome = run("generate", "-", "--model", model_dir, *MIMIC, stdin=mixed())
    assert outcome.code == 1
    assert [line["id"] for line in outcome.lines] == ["a", 7, 7]
    reports = [line for line in outcome.err.splitlines() if line.startswith("standard input, line ")]
    assert [int(line.split()[3].rstrip(":")) for line in reports] == [1, 3, 5, 7, 8, 10, 12]
    assert "context: its last utterance alone has 50 words; must have at most 39" in reports[4]
    assert "unknown emotion 'hungry'" in reports[3]
    assert "; 3 replies in " in outcome.err and "; 7 bad rows left out" in outcome.err
    assert outcome.err.rstrip().endswith("7 bad rows left out")


def test_a_reply_does_not_depend_on_its_neighbours(run: Run, model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    argv = ["generate", "-", "--model", model_dir, *MIMIC, "--do-sample", "--num-beams", 1, "--seed", 5]
    with_bad = run(*argv, stdin=mixed()).lines
    short = {"context": ["a"]}
    good_only = [short, DIALOGUES[0], short, short, DIALOGUES[1], short, short, DIALOGUES[2]]
    for module in (answering, chunks):
        monkeypatch.setattr(module, "CHUNK", 3)
    alone = [run(*argv, stdin=json_lines(good_only)).lines[index] for index in (1, 4, 7)]
    for one, other in zip(with_bad, alone, strict=True):
        assert (one["id"], one["text"], one["emotion"]) == (other["id"], other["text"], other["emotion"])
        assert one["score"] == pytest.approx(other["score"], abs=1e-5)


def test_even_turns_and_long_dialogues_on_request(run: Run, model_dir: Path) -> None:
    turns = ["cat " * 40, "i am", "my dog", "i am", "ran away"]
    rows = [{"context": ["a", "i am"]}, {"context": turns}, {"context": turns[2:]}]
    argv = ["classify", "-", "--model", model_dir]
    assert [line["row"] for line in run(*argv, stdin=json_lines(rows)).lines] == [2]
    outcome = run(*argv, "--no-strict-turns", "--truncation", "oldest", stdin=json_lines(rows))
    assert outcome.code == 0 and len(outcome.lines) == 3
    _, cut, short = outcome.lines
    assert cut["emotion_probs"] == pytest.approx(short["emotion_probs"], abs=1e-6)
    scored = run(
        "score", "-", "--model", model_dir, "--no-strict-turns", stdin=json_lines([rows[0] | {"response": "a"}])
    )
    assert scored.code == 0 and len(scored.lines) == 1


def test_empty_input_is_no_error(run: Run, model_dir: Path) -> None:
    outcome = run("classify", "-", "--model", model_dir, stdin="\n \n")
    assert (outcome.code, outcome.out) == (0, "")
    assert "; 0 dialogues classified in " in outcome.err


def test_text_stays_utf8(run: Run, model_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    row = {"id": "café ☕", "context": ["my cat ran away ."]}
    assert run("classify", "-", out, "--model", model_dir, stdin=json_lines([row])).code == 0
    assert '"id": "café ☕"' in out.read_text(encoding="utf-8")


def test_output_file_is_replaced_whole(run: Run, model_dir: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_bytes(mixed())
    out.write_text("before")
    out.chmod(0o640)
    refused = run("generate", source, out, "--model", model_dir)
    assert refused.code == 2 and "out.jsonl: exists, and no job made it" in refused.err
    assert out.read_text() == "before"
    outcome = run("generate", source, out, "--model", model_dir, *MIMIC, "--force")
    assert (outcome.code, outcome.out) == (1, "")
    assert [json.loads(line)["id"] for line in out.read_text().splitlines()] == ["a", 7, 7]
    assert stat.S_IMODE(out.stat().st_mode) == 0o640
    names = ["in.jsonl", "out.jsonl", "out.jsonl.errors.jsonl", "out.jsonl.manifest.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_output_file_is_untouched_by_a_failure(run: Run, model_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    out.write_text("before")
    argv = ["generate", "-", out, "--force", "--model"]
    assert run(*argv, model_dir, "--num-beams", 0, stdin=json_lines(DIALOGUES)).code == 2
    assert run(*argv, tmp_path / "none", stdin=json_lines(DIALOGUES)).code == 2
    assert out.read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]


def test_output_through_a_link_and_into_a_pipe(run: Run, model_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("real.jsonl")
    assert run("classify", "-", tmp_path / "link", "--model", model_dir, stdin=json_lines(DIALOGUES)).code == 0
    assert (tmp_path / "link").is_symlink()
    assert len((tmp_path / "real.jsonl").read_text().splitlines()) == 3
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    received: list[str] = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_text()), daemon=True)
    reader.start()
    assert run("classify", "-", pipe, "--model", model_dir, stdin=json_lines(DIALOGUES)).code == 0
    reader.join(10)
    assert pipe.is_fifo()
    assert received == [(tmp_path / "real.jsonl").read_text()]


@pytest.mark.parametrize("out", ["no/such/folder/out.jsonl", "."])
def test_output_that_cannot_be_written(run: Run, model_dir: Path, tmp_path: Path, out: str) -> None:
    outcome = run("classify", "-", tmp_path / out, "--model", model_dir, stdin=json_lines(DIALOGUES))
    assert outcome.code == 2
    assert "mime-fast: error: " in outcome.err and "cannot be written" in outcome.err


def test_examples_are_good_rows(run: Run, model_dir: Path) -> None:
    outcome = run("generate", ROOT / "examples" / "dialogues.jsonl", "--model", model_dir, "--truncation", "oldest")
    assert outcome.code == 0, outcome.err
    assert len(outcome.lines) == 12
    assert run("score", ROOT / "examples" / "responses.jsonl", "--model", model_dir).code == 0


def test_as_a_process(model_dir: Path) -> None:
    argv = [sys.executable, "-m", "mime_fast", "generate", "-", "--model", str(model_dir), "--threads", "1", *MIMIC]
    done = subprocess.run(argv, input=mixed(), capture_output=True, check=False)
    assert done.returncode == 1
    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == ["a", 7, 7]
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("argv", "address", "inputs", "out"),
    [
        (("--ray", "IN", "OUT"), "", ["IN"], "OUT"),
        (("IN", "--ray", "OUT"), "", ["IN"], "OUT"),
        (("IN", "OUT", "--ray"), "", ["IN"], "OUT"),
        (("IN", "--ray", "local", "OUT"), "local", ["IN"], "OUT"),
        (("--ray", "2024", "OUT"), "", ["2024"], "OUT"),
        (("--ray", "head:6379", "IN", "OUT"), "head:6379", ["IN"], "OUT"),
        (("A", "--ray", "B", "C", "--out", "OUT"), "", ["A", "B", "C"], "OUT"),
        (("IN", "OUT"), None, ["IN"], "OUT"),
    ],
)
def test_a_name_that_follows_ray_keeps_its_place(
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    argv: tuple[str, ...],
    address: str | None,
    inputs: list[str],
    out: str,
) -> None:
    seen: list[object] = []

    def record(_: object, *names: object, ray_address: str | None, **__: object) -> None:
        seen.extend((ray_address, *names))
        raise ConfigError("seen")

    monkeypatch.setattr("mime_fast.corpora.job.CorpusJob", record)
    assert run("classify", *argv).code == 2
    assert seen == [address, inputs, out]
