"""What systems are called, and the options after their names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mime_fast.errors import CheckpointError, ConfigError
from mime_fast.evaluation.systems import LOAD_OPTIONS, check_systems, parse_system


@pytest.mark.parametrize(
    ("text", "name", "source", "options"),
    [
        ("MIME=mime-ed", "MIME", "mime-ed", {}),
        ("MIME w/o STC=run,stochastic=false", "MIME w/o STC", "run", {"stochastic": False}),
        ("a = b,d/e,num_beams=3,search=mime", "a", " b,d/e", {"num_beams": 3, "search": "mime"}),
        ("a=x,y,temperature=0.5", "a", "x,y", {"temperature": 0.5}),
        ("a=x,suppress_tokens=[0, 7,8],seed=1", "a", "x", {"suppress_tokens": [0, 7, 8], "seed": 1}),
    ],
)
def test_a_system(text: str, name: str, source: str, options: dict[str, Any]) -> None:
    system = parse_system(text)
    assert (system.name, system.source, system.options) == (name, source, options)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("mime-ed", "must be NAME=MODEL"),
        ("=mime-ed", "must be NAME=MODEL"),
        ("a=", "must be NAME=MODEL"),
        ("a:b=mime-ed", "must be NAME=MODEL"),
        ("a\nb=mime-ed", "must be NAME=MODEL"),
        ("a=mime-ed,colour=red", "unknown option 'colour'; must be one of 'device', .*"),
        ("a = b,c=d/e,num_beams=3", "unknown option 'c'"),
        ("a=mime-ed,seed=1,seed=2", "seed is given twice"),
    ],
)
def test_what_is_no_system(text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        parse_system(text)


def test_what_is_not_allowed_here() -> None:
    with pytest.raises(ConfigError, match=r"'a=b,seed=3': option 'seed'; must be one of 'device', .*, 'stochastic'"):
        parse_system("a=b,seed=3", (*LOAD_OPTIONS, "stochastic"))
    with pytest.raises(ConfigError, match="'a=b,seed=3': option 'seed'; must have no options here"):
        parse_system("a=b,seed=3", ())


def test_a_file_in_place_of_a_model(tmp_path: Path) -> None:
    file = tmp_path / "said.jsonl"
    file.touch()
    system = parse_system(f"a={file}", files=True)
    assert system.is_file
    check_systems([system], files=True)
    with pytest.raises(CheckpointError, match="no model at"):
        check_systems([system])
    with pytest.raises(ConfigError, match="options are for models"):
        parse_system(f"a={file},seed=1", files=True)
    with pytest.raises(ConfigError, match="must be NAME=MODEL_OR_FILE"):
        parse_system("a", files=True)


def test_options_by_what_takes_them() -> None:
    system = parse_system("a=b,stochastic=false,precision=int8,num_beams=1")
    assert system.load_options == {"precision": "int8"}
    assert system.generate_options == {"stochastic": False, "num_beams": 1}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("num_beams=0", "A: num_beams=0: must be an integer of 1"),
        ("stochastic=no", "A: stochastic='no': must be true or false"),
        ("seed=-1", "A: seed=-1: must be an integer of 0"),
        ("num_beams=5,do_sample=true", "A: do_sample=True with num_beams=5"),
        ("num_beams=2,top_k=3", "A: top_k=3 without do_sample=True"),
        ("batch_size=0", "A: batch_size=0"),
        ("exact_logprobs=1", "A: exact_logprobs=1: must be true or false"),
        ("temperature=" + "[" * 20_000 + "]" * 20_000, r"A: temperature='\[\["),
    ],
    ids=lambda value: value[:20],
)
def test_values_are_checked_before_any_work(options: str, told: str) -> None:
    with pytest.raises(ConfigError, match=f"^{told}"):
        check_systems([parse_system("B=mime-ed"), parse_system(f"A=mime-ed,{options}")])
    check_systems([parse_system("A=mime-ed,seed=3,num_beams=2,batch_size=8,exact_logprobs=false,top_k=null")])


def test_the_search_of_all_systems_is_checked_with_their_own() -> None:
    with pytest.raises(ConfigError, match="A: do_sample=True with num_beams=5"):
        check_systems([parse_system("A=mime-ed,num_beams=5")], search={"do_sample": True})
    check_systems([parse_system("A=mime-ed,num_beams=1")], search={"do_sample": True})


def test_systems_are_checked_before_any_work() -> None:
    with pytest.raises(ConfigError, match="'a' given more than once"):
        check_systems([parse_system("a=mime-ed"), parse_system("a=mime-ed,seed=1")])
    with pytest.raises(CheckpointError, match="no model at 'nowhere'"):
        check_systems([parse_system("a=nowhere")])
    with pytest.raises(ConfigError, match="no models"):
        check_systems([])
