"""Models side by side: tiny engines with and without a mixture, measured as `evaluate` measures one."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mime_fast.checkpoints.model_folder import save_model_folder
from mime_fast.config.model import MimeConfig, ModelConfig, MoelConfig, MultiTaskConfig
from mime_fast.data.batches import make_examples
from mime_fast.errors import CheckpointError, ConfigError, InputError
from mime_fast.evaluation.comparison import compare, measure
from mime_fast.evaluation.metrics.likelihood import evaluate_likelihood
from mime_fast.evaluation.metrics.metric import OF_SEVERAL
from mime_fast.evaluation.systems import System, parse_system
from tests.evaluation.test_evaluate import make_engine, make_pairs, report_of


class Counting:
    """An engine that counts what it is asked."""

    def __init__(self, kind: type[ModelConfig] = MimeConfig) -> None:
        self.engine = make_engine(kind)
        self.asked: Counter[tuple[Any, ...]] = Counter()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)

    def generate(self, dialogues: Any, **options: Any) -> Any:
        search = options["num_beams"] if options["length_penalty"] == 1 else "long"
        self.asked[search, options.get("seed"), len(dialogues)] += 1
        return self.engine.generate(dialogues, **options)


def measured(engine: Any, *, stochastic: bool = True, **options: Any) -> dict[str, Any]:
    system = System("made up", "nowhere", {"stochastic": stochastic})
    found = measure(engine, make_pairs(), system, **({"groups": OF_SEVERAL, "seeds": [3, 4, 5]} | options))
    return {name: value for name, value in asdict(found).items() if name != "seconds"}


def test_figures_are_those_of_evaluate() -> None:
    found = measured(make_engine())
    reports = [report_of(make_engine(), make_pairs(), seed=seed) for seed in (3, 4, 5)]
    figures, report = found["figures"]["all"], reports[0]
    for key in (
        "ppl",
        "ppl_unk_free",
        "top1",
        "top2",
        "top5",
        "polarity_accuracy",
        "bleu_greedy",
        "bleu_beam",
        "bleu_long",
    ):
        assert figures[key] == pytest.approx(report[key], rel=1e-10), key
    for key in ("distinct1", "distinct2", "distinct_replies", "mean_length", "word_types", "frequent", "repeats"):
        assert figures[key] == report["details"]["beam"][key], key
    assert found["over_seeds"]["ppl"]["values"] == pytest.approx([each["ppl"] for each in reports], rel=1e-10)
    assert found["over_seeds"]["bleu_beam"]["values"] == [each["bleu_beam"] for each in reports]
    assert found["over_seeds"]["ppl"]["deviation"] > 0
    assert found["parameters"] == make_engine().model.num_parameters()
    groups = report["details"]["by_polarity"]
    for group in ("positive", "negative"):
        assert found["figures"][group]["ppl"] == pytest.approx(groups[group]["ppl"], rel=1e-10)
        assert found["figures"][group]["top1"] == groups[group]["top1"]
    assert (found["noise"], found["seeds"]) == (True, [3, 4, 5])
    assert (found["emotion_mimicry"], found["emotion_grouping"]) == (True, True)


def test_each_reply_is_made_once() -> None:
    engine = Counting()
    measured(engine)
    assert engine.asked == {(1, 3, 6): 1, ("long", 3, 6): 1, (5, 3, 6): 1, (5, 4, 6): 1, (5, 5, 6): 1}


def test_without_noise_there_is_one_value() -> None:
    found = measured(make_engine(), stochastic=False)
    assert (found["noise"], found["seeds"]) == (False, [3])
    spread = found["over_seeds"]["ppl"]
    assert (spread["deviation"], len(spread["values"])) == (None, 1)
    engine = make_engine()
    examples = make_examples(make_pairs(), engine.tokenizer)
    assert spread["mean"] == pytest.approx(evaluate_likelihood(engine.model, examples, stochastic=False).ppl, rel=1e-10)
    assert found == measured(make_engine(), stochastic=False, seeds=[9, 10]) | {"seeds": [3]}


@pytest.mark.parametrize("kind", [MultiTaskConfig, MoelConfig])
def test_a_model_without_a_mixture_has_no_noise(kind: type[ModelConfig]) -> None:
    engine = Counting(kind)
    found = measured(engine)
    assert (found["noise"], found["seeds"], found["emotion_mimicry"], found["emotion_grouping"]) == (
        *(False, [3]),
        *(None, None),
    )
    assert engine.asked == {(1, 3, 6): 1, (5, 3, 6): 1, ("long", 3, 6): 1}  # greedy, beam, long
    assert found["over_seeds"]["bleu_beam"]["deviation"] is None


def test_only_the_seeds_that_a_figure_needs() -> None:
    engine = Counting()
    measured(engine, groups=["diversity"])
    assert engine.asked == {(5, 3, 6): 1}
    engine = Counting()
    found = measured(engine, groups=["likelihood"])
    assert not engine.asked
    assert len(found["over_seeds"]["ppl"]["values"]) == 3


def test_batches_change_nothing() -> None:
    first, second = (measured(make_engine(), batch_size=size) for size in (64, 2))
    spreads = [found.pop("over_seeds") for found in (first, second)]
    assert spreads[1]["ppl"]["values"] == pytest.approx(spreads[0]["ppl"]["values"], rel=1e-10)
    assert spreads[1]["bleu_beam"] == spreads[0]["bleu_beam"]
    for group in ("all", "positive", "negative"):
        one, other = ({k: v for k, v in each["figures"][group].items() if v is not None} for each in (first, second))
        assert other == pytest.approx(one, rel=1e-10)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    engine = make_engine()
    save_model_folder(tmp_path / "tiny", engine.model, engine.tokenizer, engine.generation_config)
    return tmp_path / "tiny"


def test_compare(folder: Path) -> None:
    systems = [parse_system(f"MIME={folder}"), parse_system(f"w/o STC={folder},stochastic=false,precision=float64")]
    told: list[str] = []
    found = compare(systems, make_pairs(), noise_seeds=2, seed=2**64 - 1, tell=told.append).to_dict()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert told == [f"MIME: {folder}", f"w/o STC: {folder}"]
    assert [(one["name"], one["noise"], one["seeds"]) for one in found["models"]] == [
        ("MIME", True, [2**64 - 1, 0]),
        ("w/o STC", False, [2**64 - 1]),
    ]
    assert found["models"][1]["options"] == {"stochastic": False, "precision": "float64"}
    assert found["groups"] == {"positive": 2, "negative": 4}
    assert found["options"]["metrics"] == list(OF_SEVERAL)
    again = compare(systems, make_pairs(), noise_seeds=2, seed=2**64 - 1).to_dict()
    for one in (*found["models"], *again["models"]):
        del one["seconds"]
    assert again == found


def test_iterators_and_numbers_of_other_libraries(folder: Path) -> None:
    pairs = [replace(pair, emotion=pair.emotion.title()) for pair in make_pairs()]
    systems = iter([parse_system(f"a={folder}")])
    numbers: dict[str, Any] = {"seed": np.int64(2), "noise_seeds": np.int64(2), "batch_size": np.int64(4)}
    found = compare(systems, iter(pairs), metrics=iter(["likelihood"]), **numbers).to_dict()
    assert json.loads(json.dumps(found)) == found
    assert (found["n"], found["groups"], found["models"][0]["seeds"]) == (6, {"positive": 2, "negative": 4}, [2, 3])
    assert found["models"][0]["figures"]["positive"]["n"] == 2
    assert found["models"][0]["figures"]["all"]["ppl"] > 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metrics": ["seed_effect"]}, "'seed_effect'; must be some of likelihood, .* for several models"),
        ({"metrics": []}, "an empty list"),
        ({"noise_seeds": 0}, "noise_seeds=0"),
        ({"polarity": "best"}, "polarity='best'"),
        ({"seed": -1}, "seed=-1"),
        ({"batch_size": 0}, "batch_size=0"),
    ],
)
def test_bad_options(folder: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        compare([parse_system(f"a={folder}")], make_pairs(), **options)


def test_bad_systems_and_pairs(folder: Path) -> None:
    with pytest.raises(ConfigError, match="'a' given more than once"):
        compare([parse_system(f"a={folder}")] * 2, make_pairs())
    with pytest.raises(CheckpointError, match="no model at 'nowhere'"):
        compare([parse_system(f"a={folder}"), parse_system("b=nowhere")], make_pairs())
    with pytest.raises(ConfigError, match="a: stochastic='no': must be true or false"):
        compare([parse_system(f"a={folder},stochastic=no")], make_pairs())
    with pytest.raises(InputError, match="no pairs"):
        compare([parse_system(f"a={folder}")], [])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"systems": "mime-ed"}, "systems='mime-ed': must be a list of System"),
        ({"systems": None}, "systems=None: must be a list of System"),
        ({"systems": ["mime-ed"]}, r"systems=\['mime-ed'\]: must be a list of System"),
        ({"systems": [System(1, "nowhere", {})]}, "name of a System=1: must be a str"),  # type: ignore[arg-type]
        ({"systems": [System("a", 2, {})]}, "source of a System=2: must be a str"),  # type: ignore[arg-type]
        ({"systems": [System("a", "nowhere", [])]}, r"a: options=\[\]: must be a dict"),  # type: ignore[arg-type]
        ({"pairs": None}, "pairs are of type NoneType; must be a list of Pair"),
        ({"pairs": "abc"}, "pairs are of type str; must be a list of Pair"),
        ({"pairs": [{"context": ["a"]}]}, "pair 0 is of type dict; must be a Pair"),
        ({"metrics": 3}, "metrics=3: must be a list of some of "),
        ({"metrics": [["ppl"]]}, r"metrics: \['ppl'\]; must be some of "),
    ],
)
def test_arguments_of_other_types_are_refused(given: dict[str, Any], message: str) -> None:
    """Before any model is looked for."""
    arguments: dict[str, Any] = {"systems": [System("a", "nowhere", {})], "pairs": make_pairs()}
    with pytest.raises((ConfigError, InputError), match=message):
        compare(**(arguments | given))


@pytest.mark.parametrize(
    ("options", "load_options", "message"),
    [
        ({"num_beams": 1}, None, "b: option 'num_beams'; must be one of 'device', .*, 'stochastic'"),
        ({"bogus": 1}, None, "b: unknown option 'bogus'; must be one of"),
        ({"precision": "int9"}, None, "b: precision='int9': must be"),
        ({}, {"foo": 1}, "load_options: unknown option 'foo'; must be one of 'device', "),
        ({}, {"threads": 0}, "^threads=0: must be"),
    ],
)
def test_options_of_all_systems_are_checked_before_one_is_loaded(
    folder: Path, options: dict[str, Any], load_options: dict[str, Any] | None, message: str
) -> None:
    told: list[str] = []
    systems = [System("a", str(folder), {}), System("b", str(folder), options)]
    with pytest.raises(ConfigError, match=message):
        compare(systems, make_pairs(), load_options=load_options, tell=told.append)
    assert not told
