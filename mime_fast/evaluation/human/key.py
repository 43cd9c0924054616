"""The key: a study as JSON. It un-blinds the sheets, so it is only for the people who run the study."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from mime_fast.config.checks import check_bool, check_int
from mime_fast.emotions import INDEX
from mime_fast.errors import DataError
from mime_fast.evaluation.human.sampling import Instance
from mime_fast.evaluation.human.study import MOST_ANNOTATORS, Compared, Rated, SheetRow, Study
from mime_fast.evaluation.json_file import read_json

FORMAT = "mime_fast human study 1"


def write_key(study: Study) -> bytes:
    """The key's content."""
    content = asdict(study)
    sheets = [
        {"kind": kind, "annotator": annotator, "rows": [asdict(row) for row in rows]}
        for (kind, annotator), rows in study.sheets.items()
    ]
    return json.dumps({"format": FORMAT} | content | {"sheets": sheets}, ensure_ascii=False, indent=1).encode() + b"\n"


def read_key(path: str | os.PathLike[str]) -> Study:
    """The study behind a key.

    Raises:
        DataError: it cannot be read, is no key, or does not fit together.
    """
    content = read_json(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise DataError(f"{path}: not a key; the key.json of mime-fast human sample is expected")
    try:
        json.dumps(content, ensure_ascii=False, allow_nan=False).encode()  # what is written of it is JSON and UTF-8
        study = _study(content)
        _check_types(study)
        _check(study)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise DataError(
            f"{path}: a broken key ({type(error).__name__}: {error}); key.json as written is expected"
        ) from None
    return study


def _study(content: Mapping[str, Any]) -> Study:
    fields = {name: content[name] for name in ("tag", "seed", "split", "annotators", "systems", "replies")}
    return Study(
        **fields,
        instances=[Instance(**item) for item in content["instances"]],
        ratings=[Rated(item["instance"], tuple(item["models"])) for item in content["ratings"]],
        comparisons=[Compared(**item) for item in content["comparisons"]],
        same=[Compared(**item) for item in content["same"]],
        sheets={
            (sheet["kind"], sheet["annotator"]): [SheetRow(**row) for row in sheet["rows"]]
            for sheet in content["sheets"]
        },
        draw=content.get("draw"),  # keys from before there were fixed draws lack it
    )


def _check_types(study: Study) -> None:
    """TypeError or ValueError where a value of a key is of another type than it must be."""
    lists = [*study.replies.values(), *(instance.context for instance in study.instances)]
    if not all(isinstance(each, list) for each in lists):
        raise TypeError("replies and contexts must be lists")
    texts: list[object] = [study.tag, study.split, study.draw or "", *(text for each in lists for text in each)]
    texts += [text for instance in study.instances for text in (instance.id, instance.gold)]
    texts += [row.id for rows in study.sheets.values() for row in rows]
    texts += [about.get("source", "") for about in study.systems.values()]
    if not all(isinstance(text, str) for text in texts):
        raise TypeError("names, ids and replies must be text")
    if study.systems.keys() != study.replies.keys():
        raise ValueError("replies of other systems than it names")
    if not all(rated.models for rated in study.ratings):
        raise ValueError("models must not be empty")
    asked: list[Rated | Compared] = [*study.ratings, *study.comparisons, *study.same]
    for item in asked:
        check_int("instance", item.instance, 0, len(study.instances) - 1)
    for row in (row for rows in study.sheets.values() for row in rows):
        check_int("item", row.item, 0)
        check_bool("swapped", row.swapped)


def _check(study: Study) -> None:
    """ValueError or KeyError where the parts of a key do not fit together."""
    check_int("annotators", study.annotators, 1, MOST_ANNOTATORS)
    check_int("seed", study.seed, 0)
    for instance in study.instances:
        INDEX[instance.emotion]
    for texts in study.replies.values():
        if len(texts) != len(study.instances):
            raise ValueError(f"{len(texts)} replies to {len(study.instances)} instances")
    for rated in study.ratings:
        for name in rated.models:
            study.reply(name, rated.instance)
    for item in (*study.comparisons, *study.same):
        study.reply(item.first, item.instance), study.reply(item.second, item.instance)
    wanted = {("ratings", a) for a in range(1, study.annotators + 1)} | {
        ("ab", a) for a in range(1, study.annotators + 2)
    }
    if set(study.sheets) != wanted:
        raise ValueError("sheets of other annotators than it says")
    for (kind, annotator), rows in study.sheets.items():
        count = len(study.ratings if kind == "ratings" else study.comparisons)
        if sorted(row.item for row in rows) != list(range(count)):
            raise ValueError(f"the {kind} sheet of annotator {annotator} does not ask every item once")
    ids = [row.id for rows in study.sheets.values() for row in rows]
    if len(set(ids)) < len(ids):
        raise ValueError("an item's id is there twice")
