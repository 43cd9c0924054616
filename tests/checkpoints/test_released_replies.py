"""A converted checkpoint of the released code answers as that code does, only through the public calls."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import mime_fast
from mime_fast.checkpoints.convert import convert
from mime_fast.emotions import LABELS
from mime_fast.engine.engine import Engine
from mime_fast.text.special import EOS_ID
from tests.parity import assert_close

Z_IS_MU: dict[str, Any] = {"stochastic": False, "strict_turns": False}
RELEASED_BEAM: dict[str, Any] = {"search": "mime", "num_beams": 5, "max_new_tokens": 50}


@pytest.fixture(scope="module")
def records(fixtures_dir: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((fixtures_dir / "released" / "golden.json").read_text())["records"]
    return found


@pytest.fixture(scope="module")
def golden(fixtures_dir: Path) -> dict[str, Any]:
    with np.load(fixtures_dir / "released" / "golden.npz") as arrays:
        return {name: arrays[name] for name in arrays.files}


@pytest.fixture(scope="module")
def folder(fixtures_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("released") / "model"
    convert(fixtures_dir / "released" / "checkpoint.pt", fixtures_dir / "released" / "vocab.json", folder)
    return folder


@pytest.fixture(scope="module", params=["reference", "native"])
def released(request: pytest.FixtureRequest, folder: Path) -> Engine:
    return mime_fast.load(folder, device="cpu", threads=1, backend=request.param)


def dialogues(records: list[dict[str, Any]], form: str) -> list[Any]:
    """The contexts, which the fixture has tokenised: as text, or as the tokens they are."""
    return [turns if form == "text" else [turn.split() for turn in turns] for turns in (r["context"] for r in records)]


@pytest.mark.parametrize("form", ["text", "tokens"])
def test_all_five_beam_entries(
    released: Engine, records: list[dict[str, Any]], golden: dict[str, Any], form: str
) -> None:
    replies = released.generate(dialogues(records, form), **RELEASED_BEAM, num_return_sequences=5, **Z_IS_MU)
    for i, reply in enumerate(replies):
        for rank, entry in enumerate(reply.candidates):
            ids = golden["zero_beam_ids"][i, rank, : golden["zero_beam_len"][i, rank]].tolist()
            assert entry.token_ids + [EOS_ID] * (entry.finish_reason == "eos") == ids
            assert len(entry.token_logprobs) == len(ids)
            assert_close(torch.tensor(entry.score), torch.tensor(golden["zero_beam_scores"][i, rank]))
        assert reply.tokens == records[i]["zero_beam"].replace("EOS", "").split()


def test_greedy_replies_and_predicted_emotions(
    released: Engine, records: list[dict[str, Any]], golden: dict[str, Any]
) -> None:
    contexts = dialogues(records, "text")
    replies = released.generate(contexts, num_beams=1, max_new_tokens=51, **Z_IS_MU)
    assert [reply.tokens for reply in replies] == [record["zero_greedy"].split() for record in records]
    predicted = [LABELS[index] for index in golden["emotion_pred"]]
    assert [reply.emotion for reply in replies] == predicted
    assert [found.emotion for found in released.classify(contexts, strict_turns=False)] == predicted


def test_scores(released: Engine, records: list[dict[str, Any]], golden: dict[str, Any]) -> None:
    contexts, responses = dialogues(records, "text"), [record["ref"] for record in records]
    for i, score in enumerate(released.score(contexts, responses, **Z_IS_MU)):
        expected = torch.from_numpy(golden["zero_tf_gold_logprob"][i, : golden["tgt_len"][i]])
        assert_close(torch.tensor(score.token_logprobs), expected)
    gold = released.score(contexts, responses, emotions=[record["gold"] for record in records], **Z_IS_MU)
    losses = [math.log(score.perplexity) for score in gold]
    assert_close(torch.tensor(losses), torch.tensor([record["zero_eval_loss"] for record in records]))


@pytest.mark.parametrize(
    "options",
    [
        {"num_beams": 1},
        {"num_beams": 4, "no_repeat_ngram_size": 2, "min_new_tokens": 4, "length_penalty": 0.3},
        {"do_sample": True, "top_k": 20, "top_p": 0.9, "num_return_sequences": 2},
        RELEASED_BEAM,
    ],
    ids=["greedy", "beams", "sampling", "released beam"],
)
def test_one_padded_batch_equals_its_singles(
    released: Engine, records: list[dict[str, Any]], options: dict[str, Any]
) -> None:
    contexts = dialogues(records, "text")
    together = released.generate(contexts, seed=9, strict_turns=False, **options)
    for i, (context, reply) in enumerate(zip(contexts, together, strict=True)):
        (alone,) = released.generate([context], seed=9, request_ids=[i], strict_turns=False, **options)
        assert [one.token_ids for one in alone.candidates] == [one.token_ids for one in reply.candidates]
