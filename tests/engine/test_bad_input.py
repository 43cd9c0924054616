"""Each kind of bad input gets its own clear error, and says where it was."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import threading
from operator import length_hint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import mime_fast
from mime_fast.backends.select import Wanted
from mime_fast.engine.engine import Engine
from mime_fast.engine.load import load

GOOD = ["rain ."]


@pytest.mark.parametrize(
    ("dialogues", "message"),
    [
        ([GOOD, []], "dialogue 1 is an empty list"),
        ([GOOD, ["  "]], "dialogue 1, utterance 0 is blank"),
        ([[""]], "dialogue 0, utterance 0 is empty"),
        ([GOOD, ["rain .", "bread ."]], "dialogue 1 has 2 turns"),
        ([["rain", 3, "x"]], "dialogue 0, utterance 1 is of type int"),
        ([[["rain", None]]], "dialogue 0, utterance 0, token 1 is None"),
        ([[["rain", ""]]], "token 1 is ''"),
        ([[[]]], "dialogue 0, utterance 0 is an empty list"),
        ([b"rain"], "dialogue 0 is of type bytes"),
        ([{"context": GOOD}], r"dialogue 0 is of type dict; .* \(did you mean its 'context'\?\)"),
        (["rain ."], r"dialogue 0 is of type str; .* \(did you mean a list with one utterance, \['rain \.'\]\?\)"),
        (
            [{"role": "user", "content": "rain ."}],
            r"dialogue 0 is of type dict; .*did you mean \[\[message\[",
        ),
        (
            [[{"role": "user", "content": "rain ."}]],
            "utterance 0 is of type dict; .*the text in its 'content'",
        ),
        ([[["we won the race .", "yes !"]]], "token 0 is 'we won the race .'; a token has no white space"),
        ([[["rain", " ."]]], r"token 1 is ' \.'; a token has no white space"),
        ([[["My", "old", "dog"]]], "utterance 0, token 0 is 'My': tokens are taken as they are.* must be 'my'"),
        ("rain .", r"dialogues is of type str; must be a list, one item per dialogue$"),
        ({"a": GOOD}, r"dialogues is of type dict; must be a list, one item per dialogue$"),
        (iter([GOOD]), r"dialogues is of type list_iterator; must be a list, one item per dialogue"),
        ([[["rain", "EOS"]]], "utterance 0, token 1 is 'EOS': a special token is no word; must be left out"),
        (None, "dialogues is of type NoneType"),
        ([["\ud800"]], "surrogate"),
    ],
)
def test_dialogues(engine: Engine, dialogues: Any, message: str) -> None:
    for call in (engine.generate, engine.classify, lambda d: engine.score(d, ["x"] * length_hint(d))):
        with pytest.raises(mime_fast.InputError, match=message):
            call(dialogues)


def test_a_stream_in_place_of_a_list(engine: Engine) -> None:
    """The method that takes it is named, where there is one."""
    for call, hint in (
        (engine.generate, r" \(generate_iter takes any iterable\)"),
        (lambda given: engine.score(given, ["x"]), r" \(score_iter takes any iterable\)"),
        (engine.classify, ""),
    ):
        with pytest.raises(mime_fast.InputError, match=f"one item per dialogue{hint}$"):
            call(iter([GOOD]))  # type: ignore[arg-type]


def test_an_even_number_of_turns_is_allowed_on_request(engine: Engine) -> None:
    assert engine.generate([["rain .", "bread ."]], strict_turns=False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_beams": 0}, "num_beams=0: must be an integer of 1 to 10000"),
        ({"num_beams": 10**400}, "must be an integer of 1 to 10000"),
        ({"num_return_sequences": 10_001, "do_sample": True}, "num_return_sequences=10001"),
        ({"num_beams": 2.5}, "num_beams=2.5"),
        ({"num_beams": True}, "num_beams=True"),
        ({"max_new_tokens": 0}, "max_new_tokens=0"),
        ({"max_new_tokens": 1001}, "must be at most 1000 positions"),
        ({"max_new_tokens": 5, "min_new_tokens": 6}, "min_new_tokens=6: must be at most max_new_tokens=5"),
        ({"length_penalty": math.nan}, "length_penalty=nan"),
        ({"length_penalty": math.inf}, "length_penalty=inf"),
        ({"temperature": 0.0, "do_sample": True}, "temperature=0.0: must be above 0; .* is do_sample=False"),
        ({"temperature": np.float32(0)}, r"temperature=.*0\.0.*: must be above 0; .* is do_sample=False"),
        ({"temperature": 0}, "temperature=0: must be above 0; .* is do_sample=False"),
        ({"max_length": 20}, r"max_length=20: no option of this name; did you mean max_new_tokens\?"),
        ({"request_id": [1]}, r"request_id=\[1\]: no option of this name; did you mean request_ids\?"),
        ({"temperature": math.nan, "do_sample": True}, "temperature=nan"),
        ({"top_p": 1.5, "do_sample": True}, "top_p=1.5"),
        ({"top_p": 0, "do_sample": True}, "top_p=0"),
        ({"top_k": -1, "do_sample": True}, "top_k=-1"),
        ({"top_k": 3}, "top_k=3 without do_sample=True"),
        ({"do_sample": True, "num_beams": 3}, "do_sample=True with num_beams=3"),
        ({"num_return_sequences": 6}, "num_return_sequences=6: must be at most num_beams=5"),
        ({"search": "beam"}, "search='beam': must be 'standard' or 'mime'"),
        ({"search": "mime", "length_penalty": 0.5}, "search='mime' is the released beam.*length_penalty=0.5"),
        ({"search": "mime", "no_repeat_ngram_size": 2}, "no_repeat_ngram_size=2"),
        ({"search": "mime", "do_sample": True}, "^search='mime' is the released beam: .*, not do_sample=True$"),
        ({"search": np.array(["mime", "mime"])}, r"search=array.*: must be 'standard' or 'mime'"),
        ({"suppress_tokens": b"\x0c"}, r"suppress_tokens=b'\\x0c': must be a list of token ids"),
        ({"suppress_tokens": np.array([9.5])}, r"suppress_tokens=9\.5: must be an integer"),
        ({"truncation": "newest"}, "truncation='newest'"),
        ({"truncation": np.array(["oldest", "oldest"])}, "truncation=array"),
        ({"stochastic": "no"}, "stochastic='no': must be true or false"),
        ({"strict_turns": None}, "strict_turns=None: must be true or false"),
    ],
)
def test_options(engine: Engine, options: dict[str, Any], message: str) -> None:
    with pytest.raises(mime_fast.ConfigError, match=message):
        engine.generate([GOOD], **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"emotions": ["happyish"]}, "emotions, dialogue 0: unknown emotion 'happyish'"),
        ({"emotions": [32]}, "emotions, dialogue 0: unknown emotion 32"),
        ({"emotions": ["sad", "sad"]}, "2 emotions for 1 dialogues"),
        ({"emotions": "sad"}, "emotions is of type str"),
        ({"seed": -1}, "seed, dialogue 0: -1"),
        ({"seed": 2**64}, "seed, dialogue 0"),
        ({"seed": 1.5}, "seed is of type float; must be an integer, or a list with one per dialogue"),
        ({"seed": None}, "seed is of type NoneType"),
        ({"seed": "5"}, "seed is of type str"),
        ({"seed": [1, 2]}, "2 seed for 1 dialogues"),
        ({"request_ids": ["a"]}, "request_ids, dialogue 0: 'a'"),
        ({"request_ids": []}, "0 request_ids for 1 dialogues"),
        ({"emotions": {"sad"}}, "emotions is of type set; must be a list, in the order of the dialogues"),
        ({"request_ids": 5}, "request_ids=5: must be a list with one integer per dialogue"),
        ({"request_ids": "1"}, "request_ids='1': must be a list with one integer per dialogue"),
        ({"request_ids": np.array(5)}, r"request_ids=array\(5\): must be a list with one integer per dialogue"),
    ],
)
def test_per_dialogue_values(engine: Engine, options: dict[str, Any], message: str) -> None:
    with pytest.raises(mime_fast.InputError, match=message):
        engine.generate([GOOD], **options)


@pytest.mark.parametrize("name", ["request_ids", "seed", "prefixes", "emotions"])
def test_iterables_must_be_as_long_as_the_dialogues(engine: Engine, name: str) -> None:
    values: dict[str, list[Any]] = {"prefixes": ["oh", None, "no"], "emotions": ["sad", None, "joyful"]}
    three = values.get(name, [4, 5, 6])

    def given(values: Any) -> dict[str, Any]:
        return {name: values}

    expected = engine.generate([GOOD] * 3, num_beams=1, **given(three))
    again = engine.generate([GOOD] * 3, num_beams=1, **given(iter(three)))
    assert [reply.token_ids for reply in again] == [reply.token_ids for reply in expected]
    with pytest.raises(mime_fast.InputError, match=f"{name}: more than 2 for 2 dialogues; must be one each"):
        engine.generate([GOOD] * 2, **given(iter(three)))
    with pytest.raises(mime_fast.InputError, match=f"3 {name} for 4 dialogues"):
        engine.generate([GOOD] * 4, **given(iter(three)))
    with pytest.raises(mime_fast.InputError, match="responses: more than 1 for 1 dialogues"):
        engine.score([GOOD], iter(["yes", "no"]))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("responses", "message"),
    [
        ([], "0 responses for 1 dialogues"),
        ("rain", "responses is of type str"),
        ([["week", "UNK"]], "response 0, token 1 is 'UNK': a special token is no word; must be left out"),
        (None, "responses is None; must be a list, one item per dialogue"),
        ({"rain"}, "responses is of type set; must be a list, in the order of the dialogues"),
        ({"rain": 1}, "responses is of type dict; must be a list, in the order of the dialogues"),
        ([["it rains .", "again ?"]], "response 0, token 0 is 'it rains .'; a token has no white space"),
        ([["It", "rains"]], "response 0, token 0 is 'It': tokens are taken as they are"),
        ([""], "response 0 is empty"),
        ([5], "response 0 is of type int"),
        ([["rain"] * 1000], "response 0 has 1000 words; must have at most 999"),
    ],
)
def test_responses(engine: Engine, responses: Any, message: str) -> None:
    with pytest.raises(mime_fast.InputError, match=message):
        engine.score([GOOD], responses)


def test_models_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(mime_fast.CheckpointError, match="no model at 'no-such-model'"):
        load("no-such-model")
    with pytest.raises(mime_fast.CheckpointError, match="no model at ''; give a model folder"):
        load("")
    with pytest.raises(mime_fast.CheckpointError, match="no model at 'xxxx"):
        load("x" * 5000)
    with pytest.raises(mime_fast.CheckpointError, match=r"missing config\.json, generation_config\.json"):
        load(tmp_path)
    with pytest.raises(mime_fast.ConfigError, match="path=5: must be None, a model folder or the name"):
        load(5)  # type: ignore[arg-type]


@pytest.mark.parametrize("threads", [0, -1, 1.5, True, "2", 4097, 10**30])
def test_threads(model_folder: Path, threads: Any) -> None:
    with pytest.raises(mime_fast.ConfigError, match="threads="):
        load(model_folder, threads=threads)


@pytest.mark.parametrize("batch_size", [0, 2**20 + 1, 10**30])
def test_batch_sizes(model_folder: Path, batch_size: int) -> None:
    with pytest.raises(mime_fast.ConfigError, match=r"batch_size=.*: must be an integer of 1 to 1048576"):
        load(model_folder, batch_size=batch_size)


def test_numbers_of_other_libraries_are_described_as_plain_ones(model_folder: Path) -> None:
    given: dict[str, Any] = {"threads": np.int64(1), "batch_size": np.int32(3)}
    engine = load(model_folder, device="cpu", **given)
    assert json.loads(json.dumps(engine.describe())) == load(model_folder, "cpu", threads=1, batch_size=3).describe()


def test_devices_and_precisions(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(mime_fast.ConfigError, match="device='tpu'"):
        Wanted(device="tpu")
    with pytest.raises(mime_fast.ConfigError, match="precision='int4'"):
        Wanted(precision="int4")
    with pytest.raises(mime_fast.ConfigError, match=r"precision=\['float32'\]"):
        Wanted(precision=["float32"])  # type: ignore[arg-type]
    monkeypatch.setattr("mime_fast.backends.placement._why_no_driver", lambda: "")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(mime_fast.BackendError, match="device='cuda' cannot run"):
        Wanted(device="cuda")
    Wanted(device="auto")


def test_one_thread_starts_no_thread(model_folder: Path) -> None:
    """In a fresh process: the number of threads stays what it was after the imports."""
    if not os.path.isdir("/proc/self/task"):
        pytest.skip("threads are counted through /proc, which is absent")
    program = (
        "import os, sys, mime_fast, torch\n"
        "from mime_fast.engine.engine import Engine\n"
        "before = len(os.listdir('/proc/self/task'))\n"
        "engine = mime_fast.load(sys.argv[1], device='cpu', threads=1)\n"
        "engine.generate([['rain .']] * 70)\n"
        "engine.score([['rain .']], ['bread'])\n"
        "print(before, len(os.listdir('/proc/self/task')))\n"
    )
    out = subprocess.run([sys.executable, "-c", program, str(model_folder)], capture_output=True, text=True, check=True)
    before, after = out.stdout.split()
    assert before == after


def test_a_call_leaves_no_number_of_threads_behind(engine: Engine) -> None:
    """A thread that begins while another one's call runs, and ends after it."""
    began, may_end, found = threading.Event(), threading.Event(), []

    def call() -> None:
        with engine.running():
            began.set()
            may_end.wait(60)

    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        thread = threading.Thread(target=call)
        with engine.running():
            thread.start()
            assert began.wait(60)
        may_end.set()
        thread.join()
        newcomer = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
        newcomer.start()
        newcomer.join()
    finally:
        may_end.set()
        torch.set_num_threads(before)
    assert found == [3]
