"""`best_of` with a reranker: which draw is said, by hand; that it depends on nothing beside it; what tells of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mime_fast
from mime_fast.backends.protocol import Contexts
from mime_fast.checkpoints.reranker import RERANKER, save_reranker
from mime_fast.cli.main import main
from mime_fast.engine.reading import flatten
from mime_fast.engine.results import Reply
from mime_fast.reference.reranker import Reranker, Tower
from mime_fast.text.special import CLS_ID, USR_ID
from tests.engine.conftest import DIALOGUES

DRAWN: dict[str, Any] = {"do_sample": True, "temperature": 1.5, "num_beams": 1}
WEIGHT = 30.0


@pytest.fixture(scope="module")
def folder(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("with") / "reranker"
    shutil.copytree(model_folder, path)
    inputs = 2 * mime_fast.load(path, device="cpu", threads=1).config.hidden_size
    random = np.random.default_rng(0)
    wanted, given = (Tower(*(random.normal(size=s) for s in ((9, inputs), (9,), (5, 9), (5,)))) for _ in range(2))
    save_reranker(path, Reranker(wanted, given, WEIGHT))
    return path


@pytest.fixture(scope="module", params=["native", "reference"])
def reranked(request: pytest.FixtureRequest, folder: Path) -> mime_fast.Engine:
    return mime_fast.load(folder, device="cpu", threads=1, backend=request.param)


def vectors(engine: mime_fast.Engine, rows: list[tuple[list[int], list[int]]]) -> Any:
    token_ids, offsets = flatten([ids for ids, _ in rows])
    return engine.backend.context_vectors(Contexts(token_ids, flatten([states for _, states in rows])[0], offsets))


def values_of(engine: mime_fast.Engine, dialogue: list[str], drawn: Reply) -> dict[tuple[str, ...], float]:
    """What each of the draws is worth, each vector read by itself."""
    reranker = engine.reranker
    assert reranker is not None
    context = engine.tokenizer.encode_context(engine.tokenizer.tokenize_batch(dialogue))
    wanted = reranker.wanted(vectors(engine, [context]))
    values = {}
    for one in drawn.candidates:
        cosine = -1.0
        if one.token_ids:
            read = [CLS_ID, *one.token_ids], [CLS_ID, *[USR_ID] * len(one.token_ids)]
            cosine = float((wanted @ reranker.given(vectors(engine, [read])).T)[0, 0])
        values[tuple(one.tokens)] = one.logprob + WEIGHT * cosine
    return values


def test_the_best_draw_by_hand(reranked: mime_fast.Engine) -> None:
    draws = reranked.generate(DIALOGUES, seed=5, num_return_sequences=8, **DRAWN)
    best = reranked.generate(DIALOGUES, seed=5, best_of=8, num_return_sequences=8, **DRAWN)
    moved = 0
    for dialogue, drawn, kept in zip(DIALOGUES, draws, best, strict=True):
        values = values_of(reranked, dialogue, drawn)
        distinct = list(dict.fromkeys(tuple(one.tokens) for one in kept.candidates))
        assert [tuple(one.tokens) for one in kept.candidates][: len(distinct)] == distinct
        assert distinct == sorted(values, key=lambda tokens: -values[tokens])
        scores = [values[tuple(one.tokens)] for one in kept.candidates]
        assert [one.score for one in kept.candidates] == pytest.approx(scores, abs=2e-4)  # 30 cosines in float32
        likeliest = max(drawn.candidates, key=lambda one: one.logprob)
        moved += likeliest.tokens != kept.candidates[0].tokens
    assert moved > 2


def test_a_reply_depends_on_nothing_beside_it(reranked: mime_fast.Engine) -> None:
    """In the native back end bit for bit, with any threads."""
    together = reranked.generate(DIALOGUES, best_of=5, **DRAWN)
    for place, dialogue in enumerate(DIALOGUES):
        (alone,) = reranked.generate([dialogue], best_of=5, request_ids=[place], **DRAWN)
        if reranked.backend.name == "native":
            assert alone.candidates == together[place].candidates
        else:
            assert alone.tokens == together[place].tokens
            assert alone.candidates[0].score == pytest.approx(together[place].candidates[0].score, abs=2e-4)


def test_threads_change_nothing(folder: Path) -> None:
    one, three = (mime_fast.load(folder, device="cpu", threads=n) for n in (1, 3))
    found = [engine.generate(DIALOGUES * 3, best_of=5, **DRAWN) for engine in (one, three)]
    assert [reply.candidates for reply in found[0]] == [reply.candidates for reply in found[1]]


def test_a_given_emotion_is_drawn_for(reranked: mime_fast.Engine) -> None:
    """What is wanted is still the dialogue's."""
    found = []
    for emotion in ("sad", "joyful"):
        asked: dict[str, Any] = {"emotions": [emotion] * len(DIALOGUES), "seed": 5, **DRAWN}
        draws = reranked.generate(DIALOGUES, num_return_sequences=5, **asked)
        best = reranked.generate(DIALOGUES, best_of=5, **asked)
        for dialogue, drawn, kept in zip(DIALOGUES, draws, best, strict=True):
            values = values_of(reranked, dialogue, drawn)
            assert tuple(kept.tokens) == max(values, key=lambda tokens: values[tokens])
        found.append([reply.score for reply in best])
    assert all(sad != joyful for sad, joyful in zip(*found, strict=True))


def test_it_is_told(reranked: mime_fast.Engine, model_folder: Path) -> None:
    assert reranked.describe()["reranker"] is True
    assert mime_fast.load(model_folder, device="cpu", threads=1).describe()["reranker"] is False


def test_files_get_the_same_replies(folder: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("".join(json.dumps({"context": dialogue}) + "\n" for dialogue in DIALOGUES), encoding="utf-8")
    asked = ["--best-of", "5", "--do-sample", "--temperature", "1.5", "--num-beams", "1", "--threads", "1", "--quiet"]
    command = ["generate", str(source), str(out), "--model", str(folder), *asked]
    assert main(command) == 0
    engine = mime_fast.load(folder, device="cpu", threads=1)
    texts = [json.loads(line)["text"] for line in out.read_text(encoding="utf-8").splitlines()]
    assert texts == [reply.text for reply in engine.generate(DIALOGUES, best_of=5, **DRAWN)]
    plain = engine.generate(DIALOGUES, **DRAWN)
    assert texts != [reply.text for reply in plain]


def test_a_job_is_not_resumed_with_another(folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Its file is one of the model's, which a job's manifest has the digests of."""
    model = tmp_path / "model"
    shutil.copytree(folder, model)
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text(json.dumps({"context": DIALOGUES[0]}) + "\n", encoding="utf-8")
    command = ["generate", str(source), str(out), "--model", str(model), "--threads", "1", "--quiet"]
    assert main(command) == 0
    (model / RERANKER).unlink()
    assert main(command) != 0
    assert RERANKER in capfd.readouterr().err
