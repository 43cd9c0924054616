"""The examples that plug into other packages, with the real packages; skipped where they are not installed."""

from __future__ import annotations

import json
import math
import runpy
from pathlib import Path
from typing import Any

import pytest

import mime_fast

pytestmark = pytest.mark.filterwarnings("default")  # theirs are not ours to mend
ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


@pytest.fixture(scope="module")
def engine() -> mime_fast.Engine:
    return mime_fast.load()


@pytest.fixture(scope="module")
def example() -> dict[str, Any]:
    pytest.importorskip("lm_eval", reason="lm-eval is not installed: pip install lm-eval")
    return runpy.run_path(str(EXAMPLES / "lm_eval" / "mime_lm.py"))


@pytest.fixture(scope="module")
def model(example: dict[str, Any]) -> Any:
    return example["MimeLM"]()


def requests(kind: str, *arguments: tuple[Any, ...]) -> list[Any]:
    from lm_eval.api.instance import Instance

    return [Instance(kind, {}, one, place) for place, one in enumerate(arguments)]


def test_log_likelihoods_are_the_engines(model: Any, engine: mime_fast.Engine) -> None:
    context = "My cat ran away."
    options: Any = {"stochastic": False, "num_beams": 1, "do_sample": False, "no_repeat_ngram_size": 0}
    likeliest = engine.generate([[context]], suppress_tokens=(), **options)[0]
    other = "That is great news!"
    found = model.loglikelihood(
        requests("loglikelihood", (context, " ".join(likeliest.tokens)), (f"Hi.\nHello!\n{context}", other))
    )
    assert [greedy for _, greedy in found] == [True, False]
    assert found[0][0] == pytest.approx(math.fsum(likeliest.token_logprobs[:-1]), abs=1e-4)
    score = engine.score([["Hi.", "Hello!", context]], [other], stochastic=False)[0]
    assert found[1][0] == pytest.approx(math.fsum(score.token_logprobs[:-1]), abs=1e-6)


def test_replies_end_before_what_they_are_to_end_at(model: Any, engine: mime_fast.Engine) -> None:
    options = {"until": ["\n", " sorry"], "max_gen_toks": 20, "temperature": 0.0}
    (found,) = model.generate_until(requests("generate_until", ("My cat ran away.", options)))
    whole = engine.generate([["My cat ran away."]], stochastic=False, num_beams=1, do_sample=False, max_new_tokens=20)[
        0
    ].text
    assert " sorry" in whole and found == whole.split(" sorry")[0]


def test_a_text_by_itself_has_no_likelihood(model: Any) -> None:
    with pytest.raises(NotImplementedError, match="responses to dialogues"):
        model.loglikelihood_rolling([])


def test_a_task_of_the_harness(
    example: dict[str, Any], model: Any, engine: mime_fast.Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path)
    manager = example["TaskManager"](include_path=str(EXAMPLES / "lm_eval"))
    found = example["simple_evaluate"](model, tasks=["fitting"], task_manager=manager, bootstrap_iters=0)
    assert found["n-samples"]["fitting"]["effective"] == 6
    lines = (EXAMPLES / "lm_eval" / "fitting.jsonl").read_text(encoding="utf-8").splitlines()
    right = 0
    for row in map(json.loads, lines):
        scores = engine.score([[row["context"]]] * 2, row["responses"], stochastic=False)
        sums = [math.fsum(score.token_logprobs[:-1]) for score in scores]
        right += sums.index(max(sums)) == row["fits"]
    assert found["results"]["fitting"]["acc,none"] == pytest.approx(right / len(lines))


def test_datasets_map_scores_as_the_engine(engine: mime_fast.Engine) -> None:
    datasets = pytest.importorskip("datasets", reason="datasets is not installed: pip install datasets")
    example = runpy.run_path(str(EXAMPLES / "datasets_map.py"))
    lines = (EXAMPLES / "responses.jsonl").read_text(encoding="utf-8").splitlines()
    rows = datasets.Dataset.from_list([json.loads(line) for line in lines])
    expected = engine.score(rows["context"][:], rows["response"][:])
    for batch_size in (512, 4):
        found = example["scored"](rows, engine, batch_size)
        assert found["perplexity"][:] == [score.perplexity for score in expected]
        assert found["emotion"][:] == [score.emotion for score in expected]
    assert {"context", "response", "perplexity", "emotion"} <= set(found.column_names)
