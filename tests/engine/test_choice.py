"""`best_of` without a reranker: which of several draws is said, by hand; what it leaves alone; where it is refused."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mime_fast
from mime_fast.backends.protocol import refuse_nan
from mime_fast.checkpoints.reranker import RERANKER
from mime_fast.cli.main import main
from mime_fast.emotions import LABELS
from mime_fast.engine.choice import LEAST, MIMICRY, search
from mime_fast.engine.load import find_model
from mime_fast.engine.reading import Given
from mime_fast.engine.results import Candidate, Reply
from mime_fast.errors import BackendError, ConfigError
from mime_fast.text.special import CLS_ID, USR_ID

DIALOGUES = [
    ["I got the job at the bakery!"],
    ["Somebody scratched my car.", "Oh no. Where?", "In the parking lot, and he just drove off."],
    ["My roommate never washes his dishes."],
    ["I am waiting for the results of my exam."],
]
DRAWN: dict[str, Any] = {"do_sample": True, "temperature": 0.9, "top_p": 0.9, "max_new_tokens": 12}
PLAIN: dict[str, Any] = {**DRAWN, "best_of": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped model without a reranker, if it has one."""
    path = tmp_path_factory.mktemp("shipped") / "plain"
    return Path(shutil.copytree(find_model(None), path, ignore=shutil.ignore_patterns(RERANKER)))


@pytest.fixture(scope="module")
def engine(folder: Path) -> mime_fast.Engine:
    return mime_fast.load(folder, threads=1, device="cpu")


def emotions_of(engine: mime_fast.Engine, words: list[str]) -> np.ndarray[Any, Any]:
    """What the classifier makes of tokens that a speaker says."""
    (found,) = engine.classify([[words]])
    return np.array([found.emotion_probs[label] for label in LABELS])


def worth(engine: mime_fast.Engine, wanted: np.ndarray[Any, Any], one: Candidate) -> float:
    agreement = float(emotions_of(engine, one.tokens) @ wanted) if one.tokens else 0.0
    return one.logprob + MIMICRY * math.log(agreement + LEAST)


def wanted_of(reply: Reply) -> np.ndarray[Any, Any]:
    return np.array([reply.emotion_probs[label] for label in LABELS])


def test_the_best_draw_by_hand(engine: mime_fast.Engine) -> None:
    draws = engine.generate(DIALOGUES, seed=5, num_return_sequences=8, **PLAIN)
    best = engine.generate(DIALOGUES, seed=5, best_of=8, num_return_sequences=8, **DRAWN)
    for drawn, kept in zip(draws, best, strict=True):
        assert kept.emotion_probs == drawn.emotion_probs
        assert sorted(one.tokens for one in kept.candidates) == sorted(one.tokens for one in drawn.candidates)
        values = {one.text: worth(engine, wanted_of(drawn), one) for one in drawn.candidates}
        distinct = list(dict.fromkeys(one.text for one in kept.candidates))
        assert [one.text for one in kept.candidates][: len(distinct)] == distinct  # what comes again comes last
        assert distinct == sorted(values, key=lambda text: -values[text])
        assert [one.score for one in kept.candidates] == pytest.approx([values[one.text] for one in kept.candidates])
    assert len({reply.text for reply in draws} & {reply.text for reply in best}) < len(DIALOGUES)
    first = engine.generate(DIALOGUES, seed=5, best_of=8, **DRAWN)
    assert [reply.candidates for reply in first] == [reply.candidates[:1] for reply in best]


def test_the_chosen_reply_has_more_of_the_emotion(engine: mime_fast.Engine) -> None:
    """In the mean, than the draws that it is one of; the likeliest of them has less."""
    chosen, likeliest = [], []
    for seed in range(4):
        for reply in engine.generate(DIALOGUES, seed=seed, best_of=16, num_return_sequences=16, **DRAWN):
            wanted, draws = wanted_of(reply), reply.candidates
            heard = [math.log(float(emotions_of(engine, one.tokens) @ wanted) + LEAST) for one in draws]
            chosen.append(heard[0] - np.mean(heard))
            likeliest.append(heard[np.argmax([one.logprob for one in draws])] - np.mean(heard))
    assert np.mean(chosen) > 0.3 > np.mean(likeliest)


def test_a_given_emotion_is_the_one_that_is_wanted(engine: mime_fast.Engine) -> None:
    given = ["sad", "sad", "joyful", None]
    draws = engine.generate(DIALOGUES, emotions=given, num_return_sequences=6, **PLAIN)
    best = engine.generate(DIALOGUES, emotions=given, best_of=6, **DRAWN)
    for emotion, drawn, kept in zip(given, draws, best, strict=True):
        wanted = wanted_of(drawn) if emotion is None else np.eye(32)[LABELS.index(emotion)]
        assert kept.text == max(drawn.candidates, key=lambda one: worth(engine, wanted, one)).text


def test_a_reply_depends_on_nothing_beside_it(engine: mime_fast.Engine) -> None:
    together = engine.generate(DIALOGUES, best_of=5, **DRAWN)
    for place, dialogue in enumerate(DIALOGUES):
        (alone,) = engine.generate([dialogue], best_of=5, request_ids=[place], **DRAWN)
        assert alone.candidates == together[place].candidates
    assert [reply.text for reply in engine.generate_iter(iter(DIALOGUES), best_of=5, window=3, **DRAWN)] == [
        reply.text for reply in together
    ]
    assert engine.explain(DIALOGUES[1], best_of=5, request_id=1, **DRAWN).reply.text == together[1].text


def test_files_get_the_same_replies(engine: mime_fast.Engine, folder: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("".join(json.dumps({"context": dialogue}) + "\n" for dialogue in DIALOGUES), encoding="utf-8")
    flags = [str(flag) for name, value in DRAWN.items() for flag in (f"--{name.replace('_', '-')}", value)]
    flags = [flag for flag in flags if flag != "True"]
    command = ["generate", str(source), str(out), "--model", str(folder), "--quiet", "--threads", "1"]
    assert main([*command, "--best-of", "5", *flags]) == 0
    texts = [json.loads(line)["text"] for line in out.read_text(encoding="utf-8").splitlines()]
    assert texts == [reply.text for reply in engine.generate(DIALOGUES, best_of=5, **DRAWN)]


def test_one_draw_is_plain_sampling(engine: mime_fast.Engine) -> None:
    several = engine.generate(DIALOGUES, num_return_sequences=3, **PLAIN)
    assert [reply.candidates for reply in engine.generate(DIALOGUES, **PLAIN)] == [
        reply.candidates[:1] for reply in several
    ]


class Noting:
    """A back end that draws what it is told, and notes what it is asked to classify."""

    rescores = False

    def __init__(self, engine: mime_fast.Engine, replies: list[tuple[int, ...]]) -> None:
        self.engine, self.replies, self.read = engine, replies, []  # type: ignore[var-annotated]

    def generate(self, *asked: Any) -> Any:
        outputs, found = self.engine.backend.generate(*asked)
        (hypotheses,) = found
        pairs = zip(hypotheses, self.replies, strict=True)
        return outputs, [[dataclasses.replace(one, token_ids=ids, logprob=-5.0) for one, ids in pairs]]

    def classify(self, contexts: Any, stop: Any = None) -> Any:
        self.read.append((contexts.token_ids.tolist(), contexts.state_ids.tolist(), contexts.offsets.tolist()))
        return self.engine.backend.classify(contexts, stop)


def test_what_is_read(engine: mime_fast.Engine) -> None:
    """Replies without words are not read and come last; those drawn twice are read once; long ones are cut."""
    (window,) = engine.reading(True, None).windows(DIALOGUES[:1], Given.with_list(DIALOGUES[:1], None), 1)
    backend = Noting(engine, [(), (20, 21), (20, 21), (22, 23, 24, 25, 26)])
    options = engine.search_options({"best_of": 4, "num_return_sequences": 4, **DRAWN})
    _, (found,) = search(backend, 5, None, 1, window.contexts, window.requests, options)  # type: ignore[arg-type]
    (asked,) = backend.read
    assert asked == (
        [CLS_ID, 20, 21, CLS_ID, 22, 23, 24, 25],
        [CLS_ID, USR_ID, USR_ID, CLS_ID, USR_ID, USR_ID, USR_ID, USR_ID],
        [0, 3, 8],
    )
    assert {found[0].token_ids, found[1].token_ids} == {(20, 21), (22, 23, 24, 25, 26)}
    assert found[2].token_ids == () and found[2].score == pytest.approx(-5 + MIMICRY * math.log(LEAST))
    assert found[3].token_ids == (20, 21)


@pytest.mark.parametrize("model", [None, "plain"], ids=["reranker", "mimicry"])
def test_an_error_is_about_the_dialogues_whose_replies_it_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch, model: str | None
) -> None:
    """NaN in what is read of a reply that dialogues 1 and 3 have; the replies are numbered by themselves."""
    engine = mime_fast.load(model and folder, threads=1, device="cpu")
    assert (engine.reranker is None) == (model == "plain")
    generate, name = engine.backend.generate, "classify" if model else "context_vectors"
    read, replies = getattr(engine.backend, name), [(20, 21), (22,), (23, 24), (22,)]

    def drawn(*asked: Any) -> Any:
        outputs, found = generate(*asked)
        lists = [
            [dataclasses.replace(one, token_ids=ids) for one in each] for each, ids in zip(found, replies, strict=True)
        ]
        lists[0][1] = dataclasses.replace(lists[0][1], token_ids=(25,))
        return outputs, lists

    def broken(contexts: Any, stop: Any = None) -> Any:
        found = np.array(read(contexts, stop))
        rows = np.split(contexts.token_ids, contexts.offsets[1:-1])
        found[[row.tolist() == [CLS_ID, 22] for row in rows]] = np.nan
        refuse_nan("emotion logits", found)
        return found

    monkeypatch.setattr(engine.backend, "generate", drawn)
    monkeypatch.setattr(engine.backend, name, broken)
    with pytest.raises(BackendError, match=r"NaN in the emotion logits of dialogues \[1, 3\] of this batch$") as error:
        engine.generate(DIALOGUES, best_of=2, **DRAWN)
    assert error.value.dialogues == (1, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"best_of": 0}, r"best_of=0: must be an integer of 1 to"),
        ({"best_of": 2, "num_return_sequences": 3}, r"num_return_sequences=3: must be at most best_of=2"),
        ({"best_of": 4, "num_beams": 5}, r"best_of=4 without do_sample=True"),
        ({"best_of": 4, "do_sample": False, "num_beams": 1}, r"best_of=4 without do_sample=True"),
        ({"best_of": 4, "search": "mime"}, r"search='mime' is the released beam"),
    ],
)
def test_where_it_is_refused(engine: mime_fast.Engine, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        engine.generate(DIALOGUES[:1], **options)
