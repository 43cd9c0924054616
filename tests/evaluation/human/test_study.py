"""Blinding, orders, sides, and the key."""

from __future__ import annotations

import codecs
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mime_fast.errors import ConfigError, DataError
from mime_fast.evaluation.human.key import read_key, write_key
from mime_fast.evaluation.human.kit import annotator_files, write_fourth, write_study
from mime_fast.evaluation.human.study import KINDS, Study, make_study
from mime_fast.files import write_bytes
from tests.evaluation.human.conftest import instances, replies, small_study


def annotators_bytes(study: Study) -> dict[str, bytes]:
    """All that annotators get."""
    return {
        f"{annotator}/{name}": body
        for annotator in range(1, study.annotators + 2)
        for name, body in annotator_files(
            study, annotator, {kind: study.sheets.get((kind, annotator), []) for kind in KINDS}
        ).items()
    }


def renamed(order: list[str], names: dict[str, str], **changes: Any) -> Study:
    said = replies(20)
    pairs = [(names["Alpha"], names["Beta"]), (names["Alpha"], names["Gamma"])]
    listed = [names[old] for old in order]
    return make_study(instances(20), {names[old]: said[old] for old in order}, rated=listed, pairs=pairs, **changes)


def test_names_and_their_order_change_no_byte_that_annotators_get() -> None:
    same = {name: name for name in ("Alpha", "Beta", "Gamma")}
    one = annotators_bytes(renamed(["Alpha", "Beta", "Gamma"], same))
    assert one == annotators_bytes(renamed(["Gamma", "Alpha", "Beta"], same))
    others = {"Alpha": "zz", "Beta": "A model", "Gamma": "Beta"}
    assert one == annotators_bytes(renamed(["Alpha", "Beta", "Gamma"], others))
    assert one != annotators_bytes(renamed(["Alpha", "Beta", "Gamma"], same, seed=1))


def test_the_seed_by_itself_tells_no_side() -> None:
    """Orders and sides are those of which model said what: with other replies, the same seed gives others."""
    said, count = replies(40), 40
    turned = said | {"Alpha": said["Beta"], "Beta": said["Alpha"]}
    one, other = (
        make_study(instances(count), each, rated=[], pairs=[("Alpha", "Beta")], annotators=1, seed=0)
        for each in (said, {**said, "Gamma": [f"{text} ." for text in said["Gamma"]]})
    )
    assert [row.item for row in one.sheets["ab", 1]] != [row.item for row in other.sheets["ab", 1]]
    sides = [{row.item: row.swapped for row in study.sheets["ab", 1]} for study in (one, other)]
    assert 0 < sum(sides[0][item] == sides[1][item] for item in range(len(one.comparisons))) < len(one.comparisons)
    assert annotators_bytes(one) == annotators_bytes(
        make_study(instances(count), turned, rated=[], pairs=[("Beta", "Alpha")], annotators=1, seed=0)
    )


def test_a_model_of_several_pairs_is_named() -> None:
    three = {name: name for name in ("Alpha", "Beta", "Gamma")}
    assert renamed(list(three), three).in_several_pairs == ["Alpha"]
    assert make_study(instances(3), replies(3), rated=[], pairs=[("Alpha", "Beta")]).in_several_pairs == []


def test_annotators_files_hold_no_name_source_emotion_or_gold_reply() -> None:
    study = small_study(20)
    everything = b"".join(annotators_bytes(study).values())
    for secret in ("Alpha", "Beta", "Gamma", "models/", "gold words", *{one.emotion for one in study.instances}):
        assert secret.encode() not in everything
    assert not any(instance.id.encode() in everything for instance in study.instances)


def test_places_and_sides_say_nothing_about_the_model() -> None:
    """Over many seeds every model is in the middle of the sheets on average, and on either side equally often."""
    count, seeds = 40, 40
    places: dict[str, list[float]] = {"Alpha": [], "Beta": [], "Gamma": []}
    before_other = []
    for seed in range(seeds):
        study = small_study(count, seed=seed)
        rows = study.sheets["ratings", 1]
        for place, row in enumerate(rows):
            for model in study.ratings[row.item].models:
                places[model].append(place / (len(rows) - 1))
        first = {row.item: place for place, row in enumerate(rows)}
        for item in range(1, len(study.ratings) - 1):
            before_other.append(first[item] < first[item + 1])
        for pair in study.pairs:
            sides = [
                row.swapped
                for row in study.sheets["ab", 1]
                if (study.comparisons[row.item].first, study.comparisons[row.item].second) == pair
            ]
            assert abs(sum(sides) - len(sides) / 2) <= 0.5
    for found in places.values():
        assert abs(np.mean(found) - 0.5) < 4 * 0.2887 / np.sqrt(len(found))
        assert abs(np.std(found) - 0.2887) < 0.02
    assert abs(np.mean(before_other) - 0.5) < 0.05


def test_sides_are_not_told_by_the_place_in_the_sheet() -> None:
    halves = []
    for seed in range(60):
        rows = small_study(40, seed=seed).sheets["ab", 1]
        halves.append(np.mean([row.swapped for row in rows[: len(rows) // 2]]))
    assert abs(np.mean(halves) - 0.5) < 0.03


def test_every_annotator_has_an_order_and_sides_of_his_own() -> None:
    study = small_study(30)
    for kind in KINDS:
        orders = [[row.item for row in study.sheets[kind, annotator]] for annotator in (1, 2, 3)]
        assert all(sorted(order) == sorted(orders[0]) for order in orders)
        assert len({tuple(order) for order in orders}) == 3
    sides = [
        tuple(sorted((row.item, row.swapped) for row in study.sheets["ab", annotator])) for annotator in (1, 2, 3, 4)
    ]
    assert len(set(sides)) == 4


def test_ids_are_numbers_in_the_order_shown() -> None:
    study = small_study()
    for (kind, annotator), rows in study.sheets.items():
        letter = {"ratings": "r", "ab": "c"}[kind]
        assert [row.id for row in rows] == [f"{study.tag}-{letter}{annotator}-{n:03}" for n in range(1, len(rows) + 1)]


def test_equal_replies_are_asked_about_once() -> None:
    study = small_study()
    shared = [item for item in study.ratings if len(item.models) > 1]
    assert [(item.instance, item.models) for item in shared] == [(0, ("Alpha", "Gamma"))]
    assert len(study.ratings) == 3 * 6 - 1
    assert [(item.instance, item.first, item.second) for item in study.same] == [(0, "Alpha", "Gamma")]
    assert len(study.comparisons) == 2 * 6 - 1


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"rated": ["Delta"]}, "no model is named 'Delta'; the models are 'Alpha', 'Beta', 'Gamma'"),
        ({"pairs": [("Alpha", "Delta")]}, "no model is named 'Delta'"),
        ({"pairs": [("Alpha", "Alpha")]}, "Alpha:Alpha compares a model with itself"),
        ({"pairs": [("Alpha", "Beta"), ("Beta", "Alpha")]}, "is given twice"),
        ({"rated": ["Alpha", "Alpha"]}, "named twice"),
        ({"rated": []}, "nothing to ask"),
        ({"annotators": 0}, "annotators=0"),
    ],
)
def test_a_design_that_cannot_be(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        make_study(instances(), replies(), **({"rated": ["Alpha"], "pairs": []} | changes))


def test_the_key_is_the_whole_study(tmp_path: Path, study: Study) -> None:
    path = tmp_path / "key.json"
    path.write_bytes(write_key(study))
    assert read_key(path) == study
    path.write_bytes(codecs.BOM_UTF8 + path.read_bytes())
    assert read_key(path) == study


def test_the_same_study_is_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_study(small_study(), tmp_path / name)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert len(files) == 3 * 4 + 1
    assert all((tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes() for file in files)


def test_answers_are_never_overwritten(tmp_path: Path, study: Study) -> None:
    (tmp_path / "ratings-1.csv").touch()
    with pytest.raises(ConfigError, match="is not empty"):
        write_study(study, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["ratings-1.csv"]


@pytest.mark.parametrize("folder", ["new/study", "empty"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_study_that_cannot_be_written_leaves_nothing(
    tmp_path: Path, study: Study, monkeypatch: pytest.MonkeyPatch, folder: str, error: BaseException
) -> None:
    """So that the same command works when there is room again."""
    (tmp_path / "empty").mkdir()
    with monkeypatch.context() as patch:
        done: list[object] = []

        def failing(path: Path, body: bytes) -> None:
            if len(done) == 3:
                raise error
            done.append(path)
            write_bytes(path, body)

        patch.setattr("mime_fast.evaluation.human.kit.write_bytes", failing)
        with pytest.raises(type(error)):
            write_study(study, tmp_path / folder)
    assert done and list(tmp_path.rglob("*")) == [tmp_path / "empty"]
    write_study(study, tmp_path / folder)
    assert (tmp_path / folder / "private" / "key.json").is_file()


def _broken(content: dict[str, Any], fault: str) -> None:
    if fault == "format":
        content["format"] = "?"
    elif fault == "missing":
        del content["replies"]
    elif fault == "emotion":
        content["instances"][0]["emotion"] = "hungry"
    elif fault == "replies":
        content["replies"]["Alpha"].pop()
    elif fault == "model":
        content["ratings"][0]["models"] = ["Delta"]
    elif fault == "sheet":
        content["sheets"].pop()
    elif fault == "row":
        content["sheets"][0]["rows"].pop()
    elif fault == "twice":
        content["sheets"][0]["rows"][0]["id"] = content["sheets"][0]["rows"][1]["id"]
    elif fault == "list":
        content["instances"] = 3
    elif fault == "numbers":
        content["replies"]["Alpha"] = [*range(len(content["instances"]))]
    elif fault == "text":
        content["replies"]["Alpha"] = "x" * len(content["instances"])
    elif fault == "context":
        content["instances"][0]["context"] = [None]
    elif fault == "NaN":
        content["systems"]["Alpha"]["options"] = {"temperature": math.nan}
    elif fault == "surrogate":
        content["replies"]["Alpha"][0] = "\ud800"
    elif fault == "source":
        content["systems"]["Alpha"] = {"source": 3}
    elif fault == "systems":
        content["systems"]["Delta"] = {}
    elif fault == "place":
        content["comparisons"][0]["instance"] = -1
    elif fault == "item":
        content["sheets"][0]["rows"][0]["item"] += 0.0
    elif fault == "unrated":
        content["ratings"][0]["models"] = []
    elif fault == "id":
        content["sheets"][0]["rows"][0]["id"] = 7


FAULTS = (
    "format missing emotion replies model sheet row twice list numbers text context NaN surrogate source systems place "
    "item unrated id"
)


def test_a_fourth_sheet_replaces_no_other(tmp_path: Path, study: Study) -> None:
    assert [write_fourth(study, [0], tmp_path / "fourth") for _ in range(2)] == [True, False]
    before = {path.name: path.read_bytes() for path in (tmp_path / "fourth").iterdir()}
    with pytest.raises(ConfigError, match="fourth: is not empty; must be a new or an empty folder"):
        write_fourth(study, [0, 1], tmp_path / "fourth")
    assert {path.name: path.read_bytes() for path in (tmp_path / "fourth").iterdir()} == before


@pytest.mark.parametrize("fault", FAULTS.split())
def test_a_broken_key_is_refused(tmp_path: Path, study: Study, fault: str) -> None:
    content = json.loads(write_key(study))
    _broken(content, fault)
    path = tmp_path / "key.json"
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match="not a key" if fault == "format" else "a broken key"):
        read_key(path)


def test_a_key_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_key(tmp_path / "none.json")
    (tmp_path / "x.json").write_text("[")
    with pytest.raises(DataError, match="not readable as JSON"):
        read_key(tmp_path / "x.json")


def test_a_reply_tells_the_studies_apart() -> None:
    study = small_study()
    said = replies()
    said["Beta"][2] += "!"
    other = make_study(instances(), said, rated=["Alpha"], pairs=[])
    assert study.tag != other.tag and len(study.tag) == 6
    assert replace(study).tag == small_study().tag
