"""Perplexity and accuracies: a model with a known word distribution, and one pair at a time without padding."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from mime_fast.data.batches import Example
from mime_fast.emotions import INDEX, POSITIVE_IDS
from mime_fast.evaluation.metrics.likelihood import (
    Likelihood,
    PairFigures,
    evaluate_likelihood,
    per_pair,
)
from mime_fast.reference.mime import Mime
from mime_fast.reference.noise import prior_noise
from mime_fast.text.special import CLS_ID, EOS_ID, SOS_ID, SYS_ID, UNK_ID, USR_ID
from tests.reference.tiny import tiny_model

V = 29
SEED = 5


def make_example(context: list[int], target: list[int], emotion: int) -> Example:
    half = len(context) // 2
    states = [CLS_ID] + [USR_ID] * half + [SYS_ID] * (len(context) - half)
    return Example([CLS_ID, *context], states, [*target, EOS_ID], emotion)


def random_examples(count: int) -> list[Example]:
    generator = np.random.default_rng(3)

    def words(low: int, high: int) -> list[int]:
        return [int(word) for word in generator.integers(7, V, int(generator.integers(low, high)))]

    examples = [make_example(words(1, 12), words(0, 9), int(generator.integers(0, 32))) for _ in range(count)]
    examples[0].target_ids[0] = UNK_ID
    return examples


def constant_model(probabilities: dict[int, float]) -> Mime:
    """Every next word has these probabilities, whatever came before; the other words share the rest."""
    model = tiny_model(vocab_size=V)
    rest = (1 - sum(probabilities.values())) / (V - len(probabilities))
    with torch.no_grad():
        model.fc_decode.weight.zero_()
        for word in range(V):
            model.fc_decode.bias[word] = math.log(probabilities.get(word, rest))
    return model


def alone(model: Mime, example: Example, place: int, emotion: int | None = None) -> tuple[float, list[float]]:
    """Mean NLL a word and emotion logits of one pair, from the model's public steps."""
    with torch.inference_mode():
        context = model.encode(torch.tensor([example.context_ids]), torch.tensor([example.state_ids]))
        mixture = model.sample(context.c, prior_noise(model, [SEED], [place]))
        mimicked = torch.tensor([example.emotion if emotion is None else emotion])
        memory = model.remember(context, mixture, mimicked)
        out = model.decode(torch.tensor([[SOS_ID, *example.target_ids[:-1]]]), memory)
        logprobs = model.fc_decode(out)[0].log_softmax(dim=-1)
    nll = -sum(logprobs[t, word].item() for t, word in enumerate(example.target_ids)) / len(example.target_ids)
    return nll, context.emotion_logits[0].tolist()


def test_macro_perplexity_by_hand() -> None:
    model = constant_model({8: 0.5, 9: 0.25, EOS_ID: 0.125})
    examples = [
        make_example([10, 11], [8, 9], 0),  # 1 + 2 + 3 bits over 3 words
        make_example([12], [8, 8, 8, 9], 1),  # 3 + 2 + 3 bits over 5 words
        make_example([12, 13, 14], [], 2),  # 3 bits, only EOS
    ]
    figures = evaluate_likelihood(model, examples)
    assert figures.n == 3
    assert figures.ppl == pytest.approx(2 ** ((2 + 8 / 5 + 3) / 3), rel=1e-12)
    assert figures.ppl_unk_free == pytest.approx(figures.ppl, rel=1e-12)


def test_unknown_words_are_paid_for() -> None:
    model = constant_model({8: 0.5, UNK_ID: 0.25, EOS_ID: 0.125})
    examples = [make_example([10], [UNK_ID, 8, UNK_ID], 0), make_example([11, UNK_ID], [8], 1)]
    price = -math.log(0.25 / (24_600 - V))
    first = (2 * price - math.log(0.5) - math.log(0.125)) / 4
    second = (-math.log(0.5) - math.log(0.125)) / 2  # UNK in the context costs nothing
    figures = evaluate_likelihood(model, examples)
    assert figures.ppl == pytest.approx(math.exp((first + second) / 2), rel=1e-12)
    assert figures.ppl_unk_free == pytest.approx(2 ** ((8 / 4 + 4 / 2) / 2), rel=1e-12)


@pytest.mark.parametrize("preset", ["paper", "released"])
@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_batches_change_nothing(preset: str, batch_size: int) -> None:
    model = tiny_model(preset, vocab_size=V)
    examples = random_examples(11)
    figures = evaluate_likelihood(model, examples, seed=SEED, batch_size=batch_size)
    singles = [alone(model, example, place) for place, example in enumerate(examples)]
    ranks = [
        np.argsort(-np.array(logits)).tolist().index(example.emotion)
        for example, (_, logits) in zip(examples, singles, strict=True)
    ]
    assert figures.ppl_unk_free == pytest.approx(math.exp(np.mean([nll for nll, _ in singles])), rel=1e-10)
    assert [figures.top1, figures.top2, figures.top5] == [np.mean([rank < k for rank in ranks]) for k in (1, 2, 5)]


def test_predicted_polarity() -> None:
    model = tiny_model(vocab_size=V)
    examples = random_examples(11)
    predicted = [int(np.argmax(alone(model, example, place)[1])) for place, example in enumerate(examples)]
    same = [(p in POSITIVE_IDS) == (e.emotion in POSITIVE_IDS) for p, e in zip(predicted, examples, strict=True)]
    assert 0 < sum(same) < len(same)  # both cases occur
    expected = [alone(model, e, i, p)[0] for i, (e, p) in enumerate(zip(examples, predicted, strict=True))]
    figures = evaluate_likelihood(model, examples, seed=SEED, gold_polarity=False)
    assert figures.ppl_unk_free == pytest.approx(math.exp(np.mean(expected)), rel=1e-10)
    assert figures.polarity_accuracy == np.mean(same)
    gold = evaluate_likelihood(model, examples, seed=SEED)
    assert gold.ppl_unk_free != pytest.approx(figures.ppl_unk_free, rel=1e-6)


def test_of_equal_logits_the_lower_index_is_ahead() -> None:
    model = tiny_model(vocab_size=V)
    with torch.no_grad():
        model.emotion_query.weight.zero_()
    examples = [make_example([10], [8], emotion) for emotion in (0, 1, 3, 4, 5, 31)]
    pairs = per_pair(model, examples, [[3, 4, 5], [0, 1, 2]])
    assert pairs.ranks.tolist() == [0, 1, 3, 4, 5, 31]
    assert pairs.predicted.tolist() == [0] * 6
    figures = pairs.summary()
    assert (figures.top1, figures.top2, figures.top5) == (1 / 6, 2 / 6, 4 / 6)


def test_polarity_accuracy_by_hand() -> None:
    names = [("joyful", "proud"), ("joyful", "sad"), ("sad", "anticipating"), ("surprised", "surprised")]
    predicted, emotion = (np.array([INDEX[pair[side]] for pair in names]) for side in (0, 1))
    pairs = PairFigures(np.zeros(4), np.zeros(4), np.arange(4), predicted, emotion)
    assert pairs.summary().polarity_accuracy == 3 / 4


def test_select() -> None:
    model = tiny_model(vocab_size=V)
    examples = random_examples(9)
    pairs = per_pair(model, examples, [list(range(9))], seed=SEED)
    where = np.arange(9) % 2 == 0
    part = pairs.select(where)
    assert part.emotion.tolist() == [example.emotion for example in examples[::2]]
    assert part.summary().ppl == pytest.approx(math.exp(pairs.nll_paid[::2].mean()), rel=1e-12)
    empty = pairs.select(np.zeros(9, dtype=bool)).summary()
    assert empty.n == 0
    assert math.isnan(empty.ppl)


def test_noise_follows_the_seed() -> None:
    model = tiny_model(vocab_size=V)
    examples = random_examples(6)
    figures = [evaluate_likelihood(model, examples, seed=seed) for seed in (1, 1, 2)]
    assert figures[0] == figures[1]
    assert figures[0].ppl != figures[2].ppl
    still = [evaluate_likelihood(model, examples, seed=seed, stochastic=False) for seed in (1, 2)]
    assert still[0] == still[1]
    assert still[0].ppl != figures[0].ppl


@pytest.mark.parametrize("training", [True, False])
def test_model_is_left_as_it_was(training: bool) -> None:
    model = tiny_model(vocab_size=V, dropout=0.5).train(training)
    examples = random_examples(3)
    figures = [evaluate_likelihood(model, examples) for _ in range(2)]
    assert figures[0] == figures[1]
    assert model.training is training
    with pytest.raises(IndexError):
        per_pair(model, examples, [[3]])
    assert model.training is training
    assert [field.name for field in dataclasses.fields(Likelihood)][:3] == ["n", "ppl", "ppl_unk_free"]
