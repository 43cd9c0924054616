"""Case sheets: which dialogues, whose replies, and what is said of models with and without a mixture."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mime_fast.checkpoints.model_folder import save_model_folder
from mime_fast.data.empathetic_dialogues import Pair
from mime_fast.data.reading.options import Columns
from mime_fast.emotions import LABELS
from mime_fast.engine.load import load
from mime_fast.errors import CheckpointError, ConfigError, DataError, InputError
from mime_fast.evaluation.cases.cases import (
    Case,
    answer_cases,
    cases_by_id,
    cases_json,
    cases_of_file,
    cases_per_emotion,
)
from mime_fast.evaluation.cases.sheet import format_cases
from mime_fast.evaluation.human.sampling import draw
from mime_fast.evaluation.systems import parse_system
from tests.evaluation.human.conftest import make_pairs
from tests.evaluation.test_evaluate import make_engine
from tests.mixtures import mixture_of
from tests.reference.tiny import tiny_model

TALK = ["my cat ran away", "oh no !", "she comes home"]


def split() -> list[Pair]:
    return [
        Pair(TALK[:1], "oh no !", "sad", "", "talk:1"),
        Pair(TALK, "that is great", "sad", "", "talk:1"),
        Pair(["i won a *prize*"], "well done", "proud", "", "talk:2"),
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    engine = make_engine()
    save_model_folder(tmp_path / "tiny", engine.model, engine.tokenizer, engine.generation_config)
    return tmp_path / "tiny"


def test_pairs_by_conversation_or_one_by_one() -> None:
    found = cases_by_id(split(), ["talk:2", "talk:1"])
    assert [(case.id, case.request_id) for case in found] == [("talk:2/2", 2), ("talk:1/2", 0), ("talk:1/4", 1)]
    assert found[2] == Case("talk:1/4", 1, "sad", [*TALK], "that is great")
    assert [case.id for case in cases_by_id(split(), ["talk:1/4", "talk:1"])] == ["talk:1/4", "talk:1/2"]


def test_ids_that_are_not_there() -> None:
    with pytest.raises(DataError, match=r"not in the split: 'talk:3', 'talk:1/3'; must be a conversation's id"):
        cases_by_id(split(), ["talk:1", "talk:3", "talk:1/3"])


def test_pairs_per_emotion_are_those_of_a_study() -> None:
    pairs = make_pairs()
    found = cases_per_emotion(pairs, 2, 9)
    drawn = draw(pairs, 2, 9)
    assert [(case.id, case.label, case.context, case.gold) for case in found] == [
        (one.id, one.emotion, one.context, one.gold) for one in drawn
    ]
    assert all(pairs[case.request_id].context == case.context for case in found)


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def test_dialogues_of_a_file(tmp_path: Path) -> None:
    rows = [
        {"context": ["oh no"]},
        "",
        {"id": "b", "context": TALK, "response": "i am sorry", "label": "SAD", "seed": 3, "emotion": "joyful"},
    ]
    assert cases_of_file(write(tmp_path / "d.jsonl", *rows), columns=Columns(emotion="emotion")) == [
        Case("0", 0, None, ["oh no"], None),
        Case("b", 1, "sad", [*TALK], "i am sorry", 3, "joyful"),
    ]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no dialogue; at least one row"),
        ([{"context": ["a"]}, "{"], "line 2: not JSON"),
        ([{"id": 1}], "line 1: no 'context'"),
        ([{"context": ["a", "b"]}], "line 1: context has 2 turns"),
        ([{"context": ["a"], "label": "hungry"}], "line 1: unknown emotion 'hungry'"),
        ([{"context": ["a"], "response": 3}], "line 1: response"),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, rows: list[object], message: str) -> None:
    path = write(tmp_path / "d.jsonl", *rows)
    with pytest.raises(DataError, match=message):
        cases_of_file(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.jsonl: cannot be read"):
        cases_of_file(tmp_path / "none.jsonl")


def test_replies_are_those_of_generate(folder: Path) -> None:
    cases = [*cases_by_id(split(), ["talk:1"]), Case("x", 7, None, ["was it cold ?"], None, 3, "joyful")]
    systems = [
        parse_system(f"MIME={folder}"),
        parse_system(f"w/o STC={folder},stochastic=false,num_beams=2"),
        parse_system(f"seed={folder},seed=11"),
    ]
    told: list[str] = []
    answered = answer_cases(systems, cases, seed=5, search={"num_beams": 3}, tell=told.append)
    assert told == [f"{system.name}: {folder}" for system in systems]
    engine = load(folder)
    contexts = [case.context for case in cases]
    given: dict[str, Any] = {"request_ids": [0, 1, 7], "emotions": [None, None, "joyful"]}
    assert answered[0].replies == engine.generate(contexts, seed=[5, 5, 3], num_beams=3, **given)
    assert answered[1].replies == engine.generate(contexts, seed=0, stochastic=False, num_beams=2, **given)
    assert answered[2].replies == engine.generate(contexts, seed=[11, 11, 3], num_beams=3, **given)
    assert answered[0].mimicry


def test_a_case_that_a_model_cannot_read(folder: Path) -> None:
    long = Case("long/2", 0, None, ["oh " * 1000], None)
    with pytest.raises(InputError, match=r"MIME cannot read long/2: .*1000 words"):
        answer_cases([parse_system(f"MIME={folder}")], [long])
    with pytest.raises(CheckpointError, match="no model at 'nowhere'"):
        answer_cases([parse_system("a=nowhere")], [long])
    with pytest.raises(ConfigError, match="stochastic"):
        answer_cases([parse_system(f"a={folder},stochastic=maybe")], cases_by_id(split(), ["talk:2"]))


def test_the_sheet(folder: Path) -> None:
    cases = cases_by_id(split(), ["talk:1/4", "talk:2"])
    (mime,) = answer_cases([parse_system(f"MIME={folder}")], cases)
    plain = replace(
        mime,
        system=parse_system(f"Multi-TR={folder}"),
        replies=[replace(reply, mixture=None) for reply in mime.replies],
        mimicry=False,
    )
    positive = {"caring": 0.5, "joyful": 0.3, "proud": 0.2}
    negative = {"sad": 0.997, "lonely": 0.003}
    mixed = replace(
        mixture_of(mime.replies[0]), positive=positive, negative=negative, polarity="negative", mimic_share=0.52
    )
    probs = {label: 0.75 if label == "sad" else 0.25 / 31 for label in LABELS}
    known = replace(mime.replies[0], emotion="sad", emotion_probs=probs, mixture=mixed)
    mime = replace(mime, replies=[known, mime.replies[1]])
    text = format_cases(cases, [mime, plain], top=2)
    first = text[text.index("## 1.") : text.index("## 2.")].splitlines()
    assert first == [
        "## 1. sad (talk:1/4)",
        "",
        "- **Speaker**: my cat ran away",
        "- **Listener**: oh no !",
        "- **Speaker**: she comes home",
        f"- **MIME**: {known.text}",
        "  - recognised sad 75 %; mixes caring 50 %, joyful 30 % / sad 100 %; mimics negative, 52.0 % of the gate",
        f"- **Multi-TR**: {known.text}",
        f"  - recognised {plain.replies[0].emotion} {100 * plain.replies[0].top(1)[0][1]:.0f} %; mixes -; mimics -",
        "- **Gold**: that is great",
        "",
    ]
    assert "- **Speaker**: i won a \\*prize\\*" in text
    steering = replace(cases[0], context=["hi \x1bc \x9b31m \u202e yo"])
    assert "- **Speaker**: hi \\\\x1bc " in format_cases([steering, cases[1]], [mime], top=1)
    assert not set("\x1b\x9b\u202e") & set(format_cases([steering, cases[1]], [mime], top=1))
    assert "52.0 % of the gate" in format_cases(cases, [replace(mime, mimicry=False)], top=1)
    assert "mimics nothing; first side 52.0 %" in format_cases(cases, [replace(mime, mimicry=False)], top=1)
    rows = cases_json(cases, [mime, plain])
    assert json.loads(json.dumps(rows)) == rows
    assert (rows[0]["id"], rows[0]["label"], rows[0]["gold"]) == ("talk:1/4", "sad", "that is great")
    assert rows[0]["replies"]["Multi-TR"]["mixture"] is None
    assert rows[0]["replies"]["MIME"]["mixture"] == {
        **{"positive": positive, "negative": negative, "polarity": "negative", "mimic_share": 0.52},
        "mimicry": True,
    }


def test_a_model_without_mimicry_mimics_nothing(tmp_path: Path) -> None:
    engine = make_engine()
    model = tiny_model(vocab_size=engine.tokenizer.vocab_size, emotion_mimicry=False)
    save_model_folder(tmp_path / "no", model, engine.tokenizer, engine.generation_config)
    (found,) = answer_cases([parse_system(f"no={tmp_path / 'no'}")], cases_by_id(split(), ["talk:2"]))
    assert not found.mimicry
    assert found.replies[0].mixture is not None


def test_a_case_without_label_and_gold() -> None:
    text = format_cases([Case("a_b", 0, None, [["oh", "no"]], None)], [], top=3)
    assert text.endswith("## 1. a\\_b\n\n- **Speaker**: oh no\n- **Gold**: -")
