"""What is kept of a study: votes and who cast them, and no word of the dialogues."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mime_fast.errors import ConfigError, DataError
from mime_fast.evaluation.human.figures import study_figures
from mime_fast.evaluation.human.markdown import format_report
from mime_fast.evaluation.human.record import check_free, format_records, make_record, read_record, write_record
from mime_fast.evaluation.human.study import Study
from mime_fast.evaluation.human.voters import Voter, name_voters, parse_voters
from tests.evaluation.human.conftest import Desk, fill


def record_of(study: Study, desk: Desk, *voters: str) -> dict[str, Any]:
    answers = desk.collect()
    figures = study_figures(study, answers, voters=parse_voters(voters, study.annotators))
    return make_record(study, answers, figures, note="made up")


def test_a_record_has_every_vote_and_no_text(desk: Desk, study: Study, tmp_path: Path) -> None:
    desk.sheets["ab-3.csv"][0]["choice"] = ""
    record = record_of(study, desk, "model:Some Model 2")
    path = tmp_path / "one.json"
    path.write_bytes(write_record(record))
    assert read_record(path) == json.loads(path.read_text())
    beta, gamma = record["ballots"]
    assert (gamma["first"], gamma["second"]) == ("Alpha", "Gamma")
    assert gamma["votes"]["1"] == "=wwwww"
    assert beta["votes"]["1"] == beta["votes"]["2"] == "wwwwww"
    assert sorted("".join(ballot["votes"]["3"] for ballot in record["ballots"])) == sorted("=." + "w" * 10)
    assert record["faults"] == 1
    assert record["systems"]["Beta"]["source"] == "Beta"
    assert record["systems"]["Beta"]["replies_sha256"] != record["systems"]["Gamma"]["replies_sha256"]
    text = path.read_text()
    assert not any(word in text for word in ("answer 1", "Something happened", "talk:", "gold words", "models/"))


def test_an_annotator_of_whom_nothing_came_is_no_voter(desk: Desk, study: Study) -> None:
    desk.sheets["ab-2.csv"] = desk.sheets["ratings-2.csv"] = []
    record = record_of(study, desk, "model:First", "model:Second", "model:Third")
    assert [voter["name"] for voter in record["voters"]] == ["First", "Third"]


def test_the_table_of_studies(desk: Desk, study: Study) -> None:
    record = record_of(study, desk, "person", "person", "model:Some|Model")
    text = format_records({"first": record | {"draw": "develop"}, "second": record})
    lines = text.splitlines()
    assert lines[0] == "| study | dialogues | first : second | wins | loses | tie | votes | kappa | voters |"
    assert lines[2].startswith("| first | develop | Alpha : Beta | 100.0 % [100.0, 100.0] | 0.0 % [")
    assert lines[4].startswith("| second | test, seed 0 | Alpha : Beta |")
    assert lines[3].endswith("| 18 | - | 2 people, 1 language model (Some\\|Model) |")


def test_a_fourth_who_voted_is_named(desk: Desk, study: Study, tmp_path: Path) -> None:
    """Records of 0.3.0 do not say whether there was one."""
    voters = [*parse_voters(["person"], 3), Voter("language model", "Some Model")]
    desk.sheets["ab-4.csv"] = fill(study, "ab", 4, desk.vote)
    answers = desk.collect()
    figures = study_figures(study, answers, voters=voters)
    record = make_record(study, answers, figures)
    assert len(record["voters"]) == 3 and all(voter["kind"] == "person" for voter in record["voters"])
    named = {"kind": "language model", "name": "Some Model"}
    assert record["fourth"] == {"annotator": 4, "votes": 0, "voter": named}
    assert "3 people; and annotator 4, 1 language model (Some Model), where they had no" in format_report(figures)
    table = format_records({"one": record, "old": {name: record[name] for name in record if name != "fourth"}})
    assert table.splitlines()[2].endswith("| 3 people; without a majority one more: 1 language model (Some Model) |")
    assert table.splitlines()[4].endswith("| 3 people |")
    (tmp_path / "x.json").write_text(json.dumps(record | {"fourth": 3}))
    with pytest.raises(DataError, match="a broken record"):
        read_record(tmp_path / "x.json")


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        (["people"], "voter 'people': must be person, or model:NAME"),
        (["model:"], "voter 'model:'"),
        (["model"], "voter 'model'"),
        (["person", "person"], "2 voters for 3 annotators"),
        ([], "0 voters for 3 annotators"),
    ],
)
def test_who_votes_is_said_plainly(given: list[str], fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        parse_voters(given, 3)


def test_one_word_stands_for_all() -> None:
    assert parse_voters(["model: A b"], 3) == [Voter("language model", "A b")] * 3
    assert name_voters(parse_voters(["person"], 3)) == "3 people"


@pytest.mark.parametrize(
    "change",
    [
        {"ab": 3},
        {"ab": [{"first": "a", "second": "b"}]},
        {"ab": ["x"]},
        {"agreement": [{"what": "Alpha : Beta"}]},
        {"agreement": [{"what": "Alpha : Beta", "value": "high"}]},
        {"voters": None},
        {"voters": ["person"]},
        {"voters": [{"name": "x"}]},
        {"draw": "\ud800"},
    ],
)
def test_a_broken_record_is_refused(desk: Desk, study: Study, tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps(record_of(study, desk, "person") | change))
    with pytest.raises(DataError, match=r"x\.json: a broken record"):
        read_record(path)
    with pytest.raises(ConfigError, match="there is another file already"):
        check_free(path, study.tag)


def test_no_other_file_is_replaced(desk: Desk, study: Study, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    check_free(path, "any")
    path.write_bytes(write_record(record_of(study, desk, "person")))
    check_free(path, study.tag)
    with pytest.raises(ConfigError, match="there is another file already"):
        check_free(path, "bcdfgh")
    path.write_text("{}")
    with pytest.raises(ConfigError, match="there is another file already"):
        check_free(path, study.tag)
    with pytest.raises(DataError, match="not a record"):
        read_record(path)
