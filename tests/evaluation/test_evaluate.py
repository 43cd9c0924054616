"""The report on made-up pairs: figures of scripted replies, and a whole run of a tiny engine."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from mime_fast.backends.select import Wanted, choose
from mime_fast.checkpoints.model_folder import ModelFolder, ModelWeights
from mime_fast.config.generation import GenerationConfig
from mime_fast.config.model import MimeConfig, ModelConfig
from mime_fast.data.batches import make_examples
from mime_fast.data.empathetic_dialogues import Pair
from mime_fast.emotions import INDEX, LABELS
from mime_fast.engine.engine import Engine
from mime_fast.errors import ConfigError, InputError
from mime_fast.evaluation.evaluate import evaluate, format_evaluation
from mime_fast.evaluation.metrics.bleu import corpus_bleu
from mime_fast.evaluation.metrics.diversity import diversity
from mime_fast.evaluation.metrics.likelihood import evaluate_likelihood
from mime_fast.evaluation.metrics.metric import GROUPS, METRICS, Metric
from mime_fast.evaluation.pair_checks import check_pairs
from mime_fast.text.tokenizer import Tokenizer, tokenize
from tests.reference.tiny import tiny

TOP_KEYS = [
    *("n", "ppl", "ppl_unk_free", "top1", "top2", "top5", "polarity_accuracy", "bleu_greedy", "bleu_beam"),
    *(
        "bleu_long",
        "greedy_dist1",
        "greedy_dist2",
        "distinct1",
        "distinct2",
        "distinct_replies",
        "word_types",
        "frequent",
    ),
    *("repeats", "mean_length", "seed_effect", "seconds", "details"),
]
TEXTS = [
    ("my cat ran away", "oh no , i hope that she comes home", "sad"),
    ("i won a prize today !", "that is great , well done", "joyful"),
    ("the noise next door never stops", "i am so sorry to hear that", "annoyed"),
    ("we saw the sea", "was it cold ?", "joyful"),
    ("i cannot sleep", "oh no , why is that ?", "anxious"),
    ("they forgot me", "i am so sorry , that is not great", "lonely"),
]
WORDS = sorted({word for text, response, _ in TEXTS for word in tokenize(f"{text} {response}")} - {"prize", "cold"})


def report_of(*args: Any, **options: Any) -> dict[str, Any]:
    return evaluate(*args, **options).to_dict()


def keys_of(group: str) -> list[str]:
    return [metric.key for metric in METRICS if metric.group == group]


def make_pairs() -> list[Pair]:
    """Six pairs: three of one turn, one of two, two of three; "prize" and "cold" are unknown words."""
    pairs = [Pair([text], response, emotion, "", f"conv:{i}") for i, (text, response, emotion) in enumerate(TEXTS)]
    for i, turns in ((3, ["the sea is cold", "well", "we saw the sea"]), (4, ["why ?", "i cannot sleep"])):
        pairs[i] = Pair(turns, pairs[i].response, pairs[i].emotion, "", pairs[i].conv_id)
    pairs[5] = Pair(["oh", "why ?", "they forgot me"], pairs[5].response, "lonely", "", "conv:5")
    return pairs


def make_engine(kind: type[ModelConfig] = MimeConfig, **generation: Any) -> Engine:
    tokenizer = Tokenizer.from_words(WORDS)
    model = tiny(kind, vocab_size=tokenizer.vocab_size)
    options = GenerationConfig(**({"max_new_tokens": 8} | generation))
    folder = ModelFolder(ModelWeights.of(model), tokenizer, options)
    return Engine(folder, "tiny", choose(folder.weights, Wanted(device="cpu", precision="float64")))


class Said(NamedTuple):
    tokens: list[str]


class ScriptedEngine(Engine):
    """Replies from a table by number of beams (0: long ones, None: default) and request id; some say the seed."""

    def __init__(self, script: dict[int | None, list[str]], changing: set[int]) -> None:
        engine = make_engine(num_beams=3, suppress_tokens=(0,))
        self.__dict__.update(engine.__dict__)
        self.script, self.changing = script, changing
        self.calls: list[dict[str, Any]] = []

    def generate(self, dialogues: Any, **options: Any) -> Any:
        self.calls.append(options)
        assert len(dialogues) == len(options["request_ids"])
        replies = []
        for dialogue, request in zip(dialogues, options["request_ids"], strict=True):
            assert dialogue == make_pairs()[request].context
            beams = 0 if options.get("length_penalty") == 1.5 else options.get("num_beams")
            changes = beams is None and request in self.changing
            replies.append(Said(tokenize(self.script[beams][request]) + [str(options["seed"])] * changes))
        return replies


GREEDY = ["oh no , i hope that", "that is great , well done", "so sorry", "was it cold ?", "oh no", "oh no"]
BEAM = ["i am so sorry to hear that"] * 3 + ["that is great , well done", "oh no , why is that ?", "that is great"]
LONG = [text + " ." for text in BEAM]
DEFAULT = ["oh no", "great", "oh no", "well done", "why ?", "great"]


@pytest.fixture
def scripted() -> ScriptedEngine:
    return ScriptedEngine({1: GREEDY, 5: BEAM, 0: LONG, None: DEFAULT}, changing={1, 5})


def test_keys_are_exactly_the_agreed_ones(scripted: ScriptedEngine) -> None:
    report = report_of(scripted, make_pairs())
    assert list(report) == TOP_KEYS
    assert all(report[key] is not None for key in TOP_KEYS)
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert report["n"] == 6


def test_bleu_is_of_tokens_against_real_words(scripted: ScriptedEngine) -> None:
    references = [tokenize(response) for _, response, _ in TEXTS]
    report = report_of(scripted, make_pairs(), metrics=["bleu_beam", "bleu_long", "bleu_greedy"], batch_size=4)
    assert report["bleu_greedy"] == corpus_bleu([tokenize(text) for text in GREEDY], references)
    assert report["bleu_beam"] == corpus_bleu([tokenize(text) for text in BEAM], references) > 0
    assert 0 < report["bleu_long"] == corpus_bleu([tokenize(text) for text in LONG], references) != report["bleu_beam"]


def test_diversity_and_seed_effect(scripted: ScriptedEngine) -> None:
    report = report_of(scripted, make_pairs(), metrics=["diversity", "seed_effect"], seed=2**64 - 1)
    figures = diversity([tokenize(text) + ([str(2**64 - 1)] if i in (1, 5) else []) for i, text in enumerate(DEFAULT)])
    assert [report[key] for key in ("distinct1", "distinct2", "distinct_replies", "mean_length")] == [
        *(figures.distinct1, figures.distinct2, figures.distinct_replies, figures.mean_length)
    ]
    assert report["distinct_replies"] == 4 / 6
    assert report["seed_effect"] == 2 / 6
    assert [call["seed"] for call in scripted.calls] == [2**64 - 1, 0]  # the seed after the last is the first


def test_searches(scripted: ScriptedEngine) -> None:
    report = report_of(scripted, make_pairs(), batch_size=2)
    plain: dict[str, Any] = {"max_new_tokens": 30, "min_new_tokens": 0, "do_sample": False, "length_penalty": 1.0}
    plain |= {"no_repeat_ngram_size": 0, "repetition_penalty": 1.0, "num_return_sequences": 1}
    plain |= {"strict_turns": False, "search": "standard"}
    searches = [{k: v for k, v in call.items() if k not in ("seed", "request_ids")} for call in scripted.calls]
    long = {"num_beams": 5, "length_penalty": 1.5, "no_repeat_ngram_size": 3}
    expected = [plain | {"num_beams": 1}, plain | {"num_beams": 5}, plain | long, *[{"strict_turns": False}] * 2]
    assert searches == [search for search in expected for _ in range(3)]  # the default's are made once a seed
    for start in range(0, 15, 3):
        assert sorted(i for call in scripted.calls[start : start + 3] for i in call["request_ids"]) == list(range(6))
    options, names = report["details"]["options"], ("greedy", "beam", "long", "default")
    assert [options[name]["num_beams"] for name in names] == [1, 5, 5, 3]
    assert all(options[name]["suppress_tokens"] == [0] for name in names)
    assert [report["details"][name]["reply_count"] for name in names] == [5, 4, 4, 4]


def test_default_options_that_are_plain_are_searched_once() -> None:
    engine = ScriptedEngine({1: GREEDY, 5: BEAM, 0: LONG, None: DEFAULT}, changing=set())
    engine.generation_config = GenerationConfig()
    report = report_of(engine, make_pairs(), metrics=["bleu_beam", "diversity"])
    assert len(engine.calls) == 1
    assert report["distinct_replies"] == report["details"]["beam"]["distinct_replies"]


@pytest.mark.parametrize("polarity", ["gold", "predicted"])
def test_likelihood_and_its_details(polarity: Any) -> None:
    engine, pairs = make_engine(), make_pairs()
    report = report_of(engine, pairs, metrics=["likelihood"], polarity=polarity, seed=4, batch_size=2)
    examples = make_examples(pairs, engine.tokenizer)
    figures = evaluate_likelihood(engine.model, examples, seed=4, gold_polarity=polarity == "gold")
    assert report["ppl"] == pytest.approx(figures.ppl, rel=1e-10)
    assert report["ppl"] > report["ppl_unk_free"] == pytest.approx(figures.ppl_unk_free, rel=1e-10)
    keys = ("top1", "top2", "top5", "polarity_accuracy")
    assert [report[key] for key in keys] == [getattr(figures, key) for key in keys]
    details = report["details"]
    counts = {label: part["n"] for label, part in details["per_emotion"].items()}
    assert list(counts) == list(LABELS)
    expected = {"sad": 1, "joyful": 2, "annoyed": 1, "anxious": 1, "lonely": 1}
    assert {label: count for label, count in counts.items() if count} == expected
    assert details["per_emotion"]["proud"] == {"n": 0, "ppl": None, "top1": None}
    groups = details["by_polarity"]
    assert [groups[name]["n"] for name in ("positive", "negative")] == [2, 4]
    mean = (2 * math.log(groups["positive"]["ppl"]) + 4 * math.log(groups["negative"]["ppl"])) / 6
    assert mean == pytest.approx(math.log(report["ppl"]), rel=1e-10)
    predicted = [reply.emotion for reply in engine.classify([pair.context for pair in pairs], strict_turns=False)]
    confusion = [[0] * 32 for _ in range(32)]
    for pair, emotion in zip(pairs, predicted, strict=True):
        confusion[INDEX[pair.emotion]][INDEX[emotion]] += 1
    assert details["confusion"] == confusion


@pytest.mark.parametrize("group", GROUPS)
def test_what_is_not_asked_for_is_null(group: str) -> None:
    found = evaluate(make_engine(), make_pairs()[:2], metrics=[group])
    report = found.to_dict()
    assert {key for key in TOP_KEYS if report[key] is not None} == {"n", "seconds", "details", *keys_of(group)}
    assert report["details"]["options"]["metrics"] == [group]
    text = format_evaluation(found)
    assert all((line.split()[-1] == "-") == (metric.group != group) for metric, line in lines_of(text))


def test_a_run_repeats_whatever_the_batches() -> None:
    engine, pairs = make_engine(num_beams=1, do_sample=True, max_new_tokens=5), make_pairs()
    reports = [report_of(engine, pairs, seed=seed, batch_size=size) for seed, size in ((7, 64), (7, 4), (8, 64))]
    for report in reports:
        del report["seconds"], report["details"]["options"]["batch_size"]
    likelihoods = [[report.pop(key) for key in keys_of("likelihood")] for report in reports]
    parts = [[report["details"].pop(key) for key in ("per_emotion", "by_polarity")] for report in reports]
    assert reports[0] == reports[1]
    assert likelihoods[1] == pytest.approx(likelihoods[0], rel=1e-10)
    assert parts[1][1]["negative"] == pytest.approx(parts[0][1]["negative"], rel=1e-10)
    assert reports[0]["seed_effect"] > 0
    assert reports[2]["details"]["default"] != reports[0]["details"]["default"]
    assert likelihoods[2] != pytest.approx(likelihoods[0], rel=1e-6)


def lines_of(text: str) -> list[tuple[Metric, str]]:
    """The line of each figure."""
    lines = text.splitlines()
    return [(metric, next(line for line in lines if line.startswith(f"{metric.title}  "))) for metric in METRICS]


def test_table(scripted: ScriptedEngine) -> None:
    found = evaluate(scripted, make_pairs())
    text = format_evaluation(found)
    for metric, line in lines_of(text):
        value = found.figures[metric.key]
        assert value is not None
        assert line.endswith(f"  {metric.form(value)}")
    assert all(label in text for label in (*LABELS, "positive", "negative"))
    assert max(map(len, text.splitlines())) < 80


def test_figures_of_the_greedy_replies(scripted: ScriptedEngine) -> None:
    """Dist-n as CEM and its successors count it: over all greedy replies together, whatever the default search is."""
    report = report_of(scripted, make_pairs(), metrics=["greedy_dist"])
    words = [text.split() for text in GREEDY]
    assert report["greedy_dist1"] == len({word for said in words for word in said}) / sum(map(len, words))
    pairs = [pair for said in words for pair in pairwise(said)]
    assert report["greedy_dist2"] == len(set(pairs)) / len(pairs)
    assert report["details"]["greedy"]["repeats"] == 0
    assert len(scripted.calls) == 1


@pytest.mark.parametrize("scale", [1e4, math.nan])
def test_extreme_weights_have_figures_or_none(scale: float) -> None:
    """Neither a traceback, nor what JSON has no name for."""
    engine = make_engine()
    with torch.no_grad():
        engine.model.fc_decode.weight.mul_(scale)
    found = evaluate(engine, make_pairs(), metrics=["likelihood"])
    report = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert report["ppl"] is report["ppl_unk_free"] is None
    assert report["details"]["by_polarity"]["negative"]["ppl"] is None
    assert report["top5"] is not None
    assert "PPL                         -" in format_evaluation(found)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metrics": ["bleu"]}, "'bleu'; must be some of likelihood, bleu_greedy"),
        ({"metrics": []}, "an empty list"),
        ({"metrics": "diversity"}, "must be a list of some of"),
        ({"polarity": "best"}, "polarity='best': must be 'gold' or 'predicted'"),
        ({"seed": -1}, "seed=-1"),
        ({"seed": 2**64}, "seed="),
        ({"batch_size": 0}, "batch_size=0"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        report_of(make_engine(), make_pairs(), **options)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"context": ["oh", " "]}, r"pair 1 \(conversation made:1\), utterance 1 is blank"),
        ({"context": []}, "pair 1 .* is an empty list"),
        ({"context": [["oh", "no"]]}, "pair 1 .*, utterance 0 is of type list; must be text"),
        ({"context": ["oh " * 1000]}, "pair 1 .*: the context has 1000 words; must be at most 999"),
        ({"response": "no " * 1001}, "pair 1 .*: the response has 1001 words; must be at most 999"),
        ({"response": None}, "pair 1 .*, response is None; must be text"),
        ({"response": ["no"]}, "pair 1 .*, response is of type list; must be text"),
        ({"response": ""}, "pair 1 .*, response is empty"),
        ({"response": "no \udc80"}, "pair 1 .*, response has the lone surrogate"),
        ({"emotion": "grim"}, "pair 1 .*: unknown emotion 'grim'"),
    ],
)
def test_bad_pairs(changes: dict[str, Any], message: str) -> None:
    pairs = [make_pairs()[0], replace(Pair(["oh"], "no", "sad", "", "made:1"), **changes)]
    with pytest.raises(InputError, match=message):
        report_of(make_engine(), pairs, metrics=["likelihood"])


def test_an_utterance_of_marks_without_width() -> None:
    pairs = [replace(make_pairs()[0], context=["oh", "\u200b"])]
    with pytest.raises(InputError, match="utterance 1 has no words"):
        check_pairs(pairs, Tokenizer.from_words(WORDS, typography=True))


def test_pairs_and_metrics_of_any_iterable() -> None:
    pairs, groups = make_pairs(), ["likelihood", "bleu_greedy"]
    found = evaluate(make_engine(), iter(pairs), metrics=iter(groups))
    assert found.figures == evaluate(make_engine(), pairs, metrics=groups).figures


def test_integers_of_other_libraries() -> None:
    numbers = {"seed": np.int64(3), "batch_size": np.int64(2)}
    found = report_of(make_engine(), make_pairs(), metrics=["likelihood", "bleu_greedy"], **numbers)
    assert json.loads(json.dumps(found)) == found


def test_no_pairs() -> None:
    with pytest.raises(InputError, match="no pairs"):
        report_of(make_engine(), [])
