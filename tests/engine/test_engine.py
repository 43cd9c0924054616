"""What the engine promises: order, independence of the batch, and consistent figures."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import mime_fast
from mime_fast.checkpoints.model_folder import save_model_folder
from mime_fast.config.generation import GenerationConfig
from mime_fast.emotions import LABELS, NEGATIVE, POSITIVE, POSITIVE_IDS
from mime_fast.engine.engine import Engine
from mime_fast.engine.inputs import Truncation
from mime_fast.errors import InputError
from mime_fast.reference.mime import Mime
from mime_fast.text.tokenizer import Tokenizer
from tests.engine.conftest import DIALOGUES, tolerance
from tests.mixtures import mixture_of
from tests.reference.tiny import tiny_model

GREEDY: dict[str, Any] = {"num_beams": 1}
SAMPLING = {"do_sample": True, "top_k": 8, "temperature": 0.9}
WAYS: list[dict[str, Any]] = [{}, GREEDY, SAMPLING, {"search": "mime"}, {"stochastic": False}]


def assert_same_reply(engine: Engine, first: mime_fast.Reply, second: mime_fast.Reply) -> None:
    """Equal tokens; floats to rounding, which a matrix product may do differently for another row of a batch.

    The native back end's floats are equal to the last bit.
    """
    if engine.backend.name == "native":
        assert first == second
        return
    near = tolerance(engine)
    assert [each.token_ids for each in first.candidates] == [each.token_ids for each in second.candidates]
    assert first.token_logprobs == pytest.approx(second.token_logprobs, abs=near)
    assert first.emotion_probs == pytest.approx(second.emotion_probs, abs=near)
    one, two = mixture_of(first), mixture_of(second)
    assert one.polarity == two.polarity
    for group in ("positive", "negative"):
        assert getattr(one, group) == pytest.approx(getattr(two, group), abs=near)


@pytest.mark.parametrize("options", WAYS)
def test_a_batch_equals_its_singles_in_any_order(engine: Engine, options: dict[str, Any]) -> None:
    whole = engine.generate(DIALOGUES, seed=3, **options)
    for i, dialogue in enumerate(DIALOGUES):
        (single,) = engine.generate([dialogue], seed=3, request_ids=[i], **options)
        assert_same_reply(engine, single, whole[i])
    order = [4, 2, 0, 5, 1, 3]
    mixed = engine.generate([DIALOGUES[i] for i in order], seed=3, request_ids=order, **options)
    assert [reply.token_ids for reply in mixed] == [whole[i].token_ids for i in order]


def test_the_batch_size_changes_nothing(engine: Engine, model_folder: Path) -> None:
    many = [DIALOGUES[i % len(DIALOGUES)] for i in range(23)]
    precision = engine.describe()["precision"]
    parted = mime_fast.load(model_folder, device="cpu", precision=precision, threads=1, batch_size=4)
    assert parted.describe()["batch_size"] == 4
    for part, whole in zip(parted.generate(many, seed=1), engine.generate(many, seed=1), strict=True):
        assert_same_reply(engine, part, whole)


def test_seeds_and_request_ids_decide_the_noise(engine: Engine) -> None:
    dialogue = DIALOGUES[0]
    first, again = engine.generate([dialogue] * 2, seed=5, request_ids=[7, 7])
    assert_same_reply(engine, first, again)
    (other_seed,) = engine.generate([dialogue], seed=6, request_ids=[7])
    (other_request,) = engine.generate([dialogue], seed=5, request_ids=[8])
    mixtures = [mixture_of(reply).positive for reply in (first, other_seed, other_request)]
    assert len({tuple(mixture.values()) for mixture in mixtures}) == 3
    per_dialogue = engine.generate([dialogue] * 2, seed=[5, 6], request_ids=[7, 7])
    assert_same_reply(engine, per_dialogue[0], first)
    assert_same_reply(engine, per_dialogue[1], other_seed)
    arrays: dict[str, Any] = {"seed": np.array([5, 6]), "request_ids": np.array([7, 7], dtype=np.uint64)}
    from_array = engine.generate([dialogue] * 2, **arrays)
    assert_same_reply(engine, from_array[1], other_seed)


def test_without_stochasticity_seeds_do_not_matter(engine: Engine) -> None:
    assert engine.generate(DIALOGUES, stochastic=False, seed=1) == engine.generate(DIALOGUES, stochastic=False, seed=2)


def test_a_sampled_seed_changes_tokens(engine: Engine) -> None:
    one, two = (engine.generate(DIALOGUES, do_sample=True, seed=seed, stochastic=False) for seed in (1, 2))
    assert [reply.token_ids for reply in one] != [reply.token_ids for reply in two]
    assert one[0].mixture == two[0].mixture


@pytest.mark.parametrize("options", WAYS)
def test_figures_of_a_reply_agree(engine: Engine, options: dict[str, Any]) -> None:
    for reply in engine.generate(DIALOGUES, **options):
        assert len(reply.token_logprobs) == len(reply.token_ids) + (reply.finish_reason == "eos")
        assert reply.logprob == pytest.approx(math.fsum(reply.token_logprobs))
        expected = reply.logprob if options.get("search") == "mime" else reply.logprob / len(reply.token_logprobs)
        assert reply.score == pytest.approx(expected)
        assert reply.tokens == engine.tokenizer.tokens(reply.token_ids)
        assert reply.candidates[0].text == reply.text
        assert sum(reply.emotion_probs.values()) == pytest.approx(1)
        assert reply.emotion == max(reply.emotion_probs, key=reply.emotion_probs.__getitem__)
        mixture = mixture_of(reply)
        assert (tuple(mixture.positive), tuple(mixture.negative)) == (POSITIVE, NEGATIVE)
        assert sum(mixture.positive.values()) == pytest.approx(1)
        assert sum(mixture.negative.values()) == pytest.approx(1)
        assert mixture.polarity == ("positive" if reply.emotion in POSITIVE else "negative")
        assert 0 < mixture.mimic_share < 1


def test_scores_of_generated_replies_are_their_log_probs(engine: Engine) -> None:
    replies = engine.generate(DIALOGUES, seed=4, num_beams=3, min_new_tokens=3)
    known = [all(token_id >= 7 for token_id in reply.token_ids) for reply in replies]
    ended = [i for i, reply in enumerate(replies) if reply.finish_reason == "eos" and reply.tokens and known[i]]
    assert ended
    scores = engine.score([DIALOGUES[i] for i in ended], [replies[i].tokens for i in ended], seed=4, request_ids=ended)
    for i, score in zip(ended, scores, strict=True):
        assert score.token_logprobs == pytest.approx(replies[i].token_logprobs, abs=tolerance(engine))
        assert score.perplexity == pytest.approx(math.exp(-score.logprob / len(score.token_logprobs)))
        assert mixture_of(score).positive == pytest.approx(mixture_of(replies[i]).positive, abs=tolerance(engine))


def test_a_response_is_scored_alike_in_any_batch(engine: Engine) -> None:
    responses = ["oh no !", "rain , rain , rain and bread .", "we won", "my dog .", "yes", "the very big salad ."]
    whole = engine.score(DIALOGUES, responses, seed=2)
    for i, response in enumerate(responses):
        (single,) = engine.score([DIALOGUES[i]], [response], seed=2, request_ids=[i])
        assert single.token_logprobs == pytest.approx(whole[i].token_logprobs, abs=tolerance(engine))
        assert len(single.token_logprobs) == len(single.tokens) + 1


def test_given_emotions_decide_the_polarity(engine: Engine) -> None:
    dialogue = DIALOGUES[1]
    replies = engine.generate([dialogue] * 3, emotions=["joyful", 5, None], request_ids=[0, 0, 0])
    assert [mixture_of(reply).polarity for reply in replies[:2]] == ["positive", "negative"]
    assert replies[0].emotion == replies[1].emotion == replies[2].emotion
    same = replies[0] if replies[0].emotion in POSITIVE else replies[1]
    assert_same_reply(engine, replies[2], same)
    assert LABELS.index("joyful") in POSITIVE_IDS


def test_classify(engine: Engine) -> None:
    for found, reply in zip(engine.classify(DIALOGUES), engine.generate(DIALOGUES, **GREEDY), strict=True):
        assert found.emotion == reply.emotion
        assert found.emotion_probs == pytest.approx(reply.emotion_probs)
        assert found.polarity == ("positive" if found.emotion in POSITIVE else "negative")


def test_candidates_are_the_n_best(engine: Engine) -> None:
    for search in ("standard", "mime"):
        (reply,) = engine.generate([DIALOGUES[2]], num_beams=4, num_return_sequences=4, search=search)
        scores = [candidate.score for candidate in reply.candidates]
        assert len(scores) == 4
        assert scores == sorted(scores, reverse=True)
        assert len({tuple(candidate.token_ids) for candidate in reply.candidates}) == 4


def test_sampled_sequences_do_not_depend_on_how_many_there_are(engine: Engine) -> None:
    (one,) = engine.generate([DIALOGUES[2]], do_sample=True)
    (three,) = engine.generate([DIALOGUES[2]], do_sample=True, num_return_sequences=3)
    assert three.candidates[0].token_ids == one.candidates[0].token_ids
    assert len({tuple(candidate.token_ids) for candidate in three.candidates}) > 1


def test_tokens_are_taken_as_they_are(engine: Engine) -> None:
    (text,) = engine.generate([["We WON the village race!"]])
    (tokens,) = engine.generate([[["we", "won", "the", "village", "race", "!"]]])
    assert text == tokens
    (unknown,) = engine.generate([[["we've", "racetrack"]]])  # as text, they would be cut or lower-cased
    (also,) = engine.generate([[["zebra", "xylophone"]]])
    assert unknown == also


def test_no_dialogues_no_replies(engine: Engine) -> None:
    assert engine.generate([]) == []
    assert engine.classify([]) == []
    assert engine.score([], []) == []
    for wrong in ({"seed": -1}, {"emotions": 5}, {"prefixes": "abc"}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            engine.generate([], **wrong)
    with pytest.raises(InputError, match="responses is of type int"):
        engine.score([], 5)  # type: ignore[arg-type]


def test_truncation_drops_the_oldest_pairs(engine: Engine) -> None:
    long, answer, last = ["rain"] * 600, ["bread"] * 600, ["we", "won"]
    with pytest.raises(mime_fast.InputError, match=r"dialogue 0 has 1202 words; must have at most 999"):
        engine.generate([[long, answer, last]])
    (cut,) = engine.generate([[long, answer, last]], truncation="oldest")
    (short,) = engine.generate([[last]])
    assert cut == short
    assert engine.prepare([long, answer, last], truncation="oldest") == [last]
    many = [long, ["bread"] * 300, ["we"] * 50, ["rain"] * 50, ["won"]]
    assert engine.prepare(many, truncation="oldest") == many[2:]
    assert engine.generate([[["rain"] * 999]], max_new_tokens=1)


@pytest.mark.parametrize("truncation", [None, "oldest"])
def test_truncation_is_no_advice_where_the_last_turns_are_too_long(
    engine: Engine, truncation: Truncation | None
) -> None:
    long, short = ["rain"] * 1000, ["bread"]
    message = "^dialogue 0: its last {} alone {} {} words; must have at most 999$"
    for turns in ([long], [short, short, long], [long] * 3):
        with pytest.raises(mime_fast.InputError, match=message.format("utterance", "has", 1000)):
            engine.generate([turns], truncation=truncation)
    for turns in ([short, long], [*[short] * 3, long]):
        with pytest.raises(mime_fast.InputError, match=message.format("two utterances", "have", 1001)):
            engine.prepare(turns, strict_turns=False, truncation=truncation)


def test_float32_and_float64_agree(model_folder: Path) -> None:
    single = mime_fast.load(model_folder, device="cpu")
    exactly = mime_fast.load(model_folder, device="cpu", precision="float64")
    for rough, exact in zip(single.generate(DIALOGUES), exactly.generate(DIALOGUES), strict=True):
        assert rough.token_ids == exact.token_ids
        assert rough.score == pytest.approx(exact.score, abs=1e-4)


def test_calls_leave_the_number_of_threads_as_it_was(engine: Engine) -> None:
    before = torch.get_num_threads()
    engine.generate(DIALOGUES[:1])
    assert torch.get_num_threads() == before


def test_describe_is_plain_and_complete(engine: Engine) -> None:
    told = engine.describe()
    assert told["vocab_size"] == engine.config.vocab_size == engine.tokenizer.vocab_size
    assert told["parameters"] == engine.model.num_parameters()
    assert told["threads"] == 1
    assert all(entry["choice"] and entry["reason"] for entry in told["implementations"].values())


@pytest.mark.parametrize("preset", ["paper", "released"])
def test_the_mimic_share_is_that_of_the_words_alone(tmp_path: Path, preset: str) -> None:
    """Of dialogues of other lengths in one batch, against each encoded alone; the released memory begins with CTX."""
    words = dict.fromkeys(word for turns in DIALOGUES for turn in turns for word in mime_fast.tokenize(turn))
    tokenizer = Tokenizer.from_words(words)
    save_model_folder(tmp_path, tiny_model(preset, vocab_size=tokenizer.vocab_size), tokenizer, GenerationConfig())
    engine = mime_fast.load(tmp_path, device="cpu", precision="float64", threads=1)
    model = engine.model
    assert isinstance(model, Mime)
    replies = engine.generate(DIALOGUES, num_beams=1, max_new_tokens=1, stochastic=False)
    for dialogue, reply in zip(DIALOGUES, replies, strict=True):
        ids, states = tokenizer.encode_context(engine.prepare(dialogue))
        with torch.no_grad():
            context = model.encode(torch.tensor([ids]), torch.tensor([states]))
            mixture = model.sample(context.c, None)
            shares = model.remember(context, mixture, context.emotion_logits.argmax(dim=1)).mimic_share[0]
        of_words = shares[len(shares) - (len(ids) - 1) :]
        assert mixture_of(reply).mimic_share == pytest.approx(of_words.mean().item(), abs=1e-12)


@pytest.mark.parametrize("options", [GREEDY, {}, SAMPLING, {"search": "mime"}])
def test_suppressed_tokens_do_not_come(engine: Engine, options: dict[str, Any]) -> None:
    options = options | {"min_new_tokens": 3}
    said = {token for reply in engine.generate(DIALOGUES, **options) for token in reply.token_ids}
    assert said
    others = engine.generate(DIALOGUES, suppress_tokens=sorted(said), **options)
    assert not said & {token for reply in others for token in reply.token_ids}
    assert others == list(engine.generate_iter(DIALOGUES, suppress_tokens=tuple(said), **options))
    with pytest.raises(mime_fast.ConfigError, match=r"suppress_tokens contains 9999: must be ids from 0 to"):
        engine.generate(DIALOGUES, suppress_tokens=[9999], **options)


@pytest.mark.parametrize("options", WAYS)
def test_equal_lengths_give_exactly_so_many_tokens(engine: Engine, options: dict[str, Any]) -> None:
    replies = engine.generate(DIALOGUES, max_new_tokens=4, min_new_tokens=4, **options)
    assert {len(reply.token_ids) for reply in replies} == {4}
    assert {reply.finish_reason for reply in replies} == {"length"}
