"""The EmpatheticDialogues reader: every way the files come, both pairings, and every malformed row by name."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from mime_fast.data.dialogues import Row
from mime_fast.data.empathetic_dialogues import Pair, read_pairs
from mime_fast.data.reading.options import Columns, Reading
from mime_fast.data.reading.reader import Reader
from mime_fast.data.reading.rows import BadRow, check
from mime_fast.data.reading.sources import find_sources
from mime_fast.errors import ConfigError, DataError

HEADER = "conv_id,utterance_idx,context,prompt,speaker_idx,utterance,selfeval,tags"


def row(conv: str, index: int | str, text: str, *, emotion: str = "proud", prompt: str = "My garden.") -> str:
    return f"{conv},{index},{emotion},{prompt},{conv[-1]},{text},,"


DIALOGUES = [
    row("a1", 1, "My tomatoes won_comma_ again!"),
    row("a1", 2, 'A "first" prize?'),
    row("a1", 3, "Yes."),
    row("a1", 4, "Well done\u2028you\x0b!"),
    row("a1", 5, "Thanks."),
    row("b2", 1, "So did the beans."),
    row("b2", 2, "Wow_comma_ both."),
    row("c3", 1, "Alone.", emotion="lonely", prompt="Nobody_comma_ at home."),
    row("d4", 1, "My boat sank.", emotion="sad", prompt="The boat."),
    row("d4", 2, "Oh no.", emotion="sad", prompt="The boat."),
]


def write(path: Path, rows: list[str], *, end: str = "\n") -> Path:
    path.write_bytes((end.join([HEADER, *rows]) + end).encode())
    return path


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    return write(tmp_path / "train.csv", DIALOGUES)


def test_true_pairs(csv: Path) -> None:
    assert read_pairs(csv, "train") == [
        Pair(["My tomatoes won, again!"], 'A "first" prize?', "proud", "My garden.", "a1"),
        Pair(
            ["My tomatoes won, again!", 'A "first" prize?', "Yes."],
            "Well done\u2028you\x0b!",
            "proud",
            "My garden.",
            "a1",
        ),
        Pair(["So did the beans."], "Wow, both.", "proud", "My garden.", "b2"),
        Pair(["My boat sank."], "Oh no.", "sad", "The boat.", "d4"),
    ]


def test_released_pairs_go_on_after_the_same_prompt_and_drop_the_last_dialogue(csv: Path) -> None:
    pairs = read_pairs(csv, "train", "released")
    assert [pair.response for pair in pairs] == ['A "first" prize?', "Well done\u2028you\x0b!", "Wow, both."]
    assert pairs[2].context[3:] == ["Well done\u2028you\x0b!", "Thanks.", "So did the beans."]
    assert len(pairs[2].context) == 6


def test_speaker_turns_after_the_first(csv: Path) -> None:
    turns = ["My tomatoes won, again!", 'A "first" prize?', "Yes.", "Well done\u2028you\x0b!", "Thanks."]
    assert read_pairs(csv, "train", responder="speaker") == [
        Pair(turns[:2], turns[2], "proud", "My garden.", "a1"),
        Pair(turns[:4], turns[4], "proud", "My garden.", "a1"),
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_every_way_the_files_come(tmp_path: Path, csv: Path, end: str) -> None:
    expected = read_pairs(csv, "train")
    content = write(tmp_path / "again.csv", DIALOGUES, end=end).read_bytes()
    plain, packed, nested = (tmp_path / name for name in ("plain", "packed", "nested"))
    for folder in (plain, packed, nested / "empatheticdialogues"):
        folder.mkdir(parents=True)
    (plain / "test.csv").write_bytes(content)
    (packed / "test.csv.gz").write_bytes(gzip.compress(content))
    (nested / "empatheticdialogues" / "test.csv").write_bytes(content)
    archive = tmp_path / "empatheticdialogues.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for name, body in (("train.csv", b"no"), ("test.csv", content)):
            member = tarfile.TarInfo(f"empatheticdialogues/{name}")
            member.size = len(body)
            tar.addfile(member, io.BytesIO(body))
    for path in (plain, packed, nested, archive, plain / "test.csv", str(packed / "test.csv.gz")):
        assert read_pairs(path, "test") == expected


def test_a_conversation_that_two_files_have(tmp_path: Path) -> None:
    write(tmp_path / "valid_a.csv", DIALOGUES[:5])
    write(tmp_path / "valid-old.csv", DIALOGUES[5:])
    assert len(read_pairs(tmp_path, "valid")) == 4
    write(tmp_path / "valid-old.csv", DIALOGUES)
    with pytest.raises(DataError, match=r"valid_a\.csv: conv_id 'a1' is in .*valid-old\.csv, too; give one of these"):
        read_pairs(tmp_path, "valid")


def test_a_single_file_is_read_whatever_the_split_and_its_name(tmp_path: Path, csv: Path) -> None:
    odd = tmp_path / "odd.name"
    odd.write_bytes(gzip.compress(csv.read_bytes()))
    assert read_pairs(odd, "valid") == read_pairs(csv, "train")


def test_ninth_column_with_candidates_is_allowed(tmp_path: Path) -> None:
    rows = [row("a1", 1, "Hi."), row("a1", 2, "Hello.") + ",Bye_comma_ then.|Yes_pipe_no."]
    assert [pair.response for pair in read_pairs(write(tmp_path / "test.csv", rows), "test")] == ["Hello."]


def test_no_final_line_feed_and_no_rows(tmp_path: Path, csv: Path) -> None:
    whole = read_pairs(csv, "train")
    csv.write_bytes(csv.read_bytes().removesuffix(b"\n"))
    assert read_pairs(csv, "train") == whole
    csv.write_text(HEADER)
    assert read_pairs(csv, "train") == read_pairs(csv, "train", "released") == []


@pytest.mark.parametrize(
    ("rows", "line", "fault"),
    [
        (["a1,1,proud,p,0,u,"], 2, "7 cells; 8 are expected"),
        ([row("a1", 1, "one, two, three")], 2, "10 cells; 8 are expected"),
        ([row("a1", 1, "u"), "a1"], 3, "1 cells"),
        ([row("a1", "x", "u")], 2, "utterance_idx 'x' is not an integer; 1 is expected"),
        ([row("a1", "²", "u")], 2, "not an integer"),
        ([row("a1", 2, "u")], 2, "utterance_idx 2 is out of order; 1 is expected in 'a1'"),
        ([row("a1", 1, "u"), row("a1", 3, "u")], 3, "utterance_idx 3 is out of order; 2 is expected"),
        ([row("a1", 1, "u"), row("a1", 1, "u")], 3, "out of order"),
        ([row("a1", 1, "u"), row("b2", 2, "u")], 3, "out of order; 1 is expected in 'b2'"),
        ([row("a1", 1, "u", emotion="gleeful")], 2, "unknown emotion 'gleeful'; one of surprised, excited"),
    ],
)
def test_malformed_row_is_named(tmp_path: Path, rows: list[str], line: int, fault: str) -> None:
    path = write(tmp_path / "valid.csv", rows)
    with pytest.raises(DataError) as raised:
        read_pairs(tmp_path, "valid")
    assert f"{path}, line {line}: " in str(raised.value)
    assert fault in str(raised.value)


@pytest.mark.parametrize("content", [b"", b"\n", b"conv_id,utterance\n"])
def test_bad_header(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "train.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"train\.csv, line 1: a header of .* columns conv_id, utterance_idx,"):
        read_pairs(path, "train")


def test_invalid_utf8(tmp_path: Path) -> None:
    path = write(tmp_path / "train.csv", DIALOGUES)
    path.write_bytes(path.read_bytes().replace(b"Yes.", b"Y\xe9s."))
    with pytest.raises(DataError, match=r"train\.csv, line 4: invalid UTF-8"):
        read_pairs(path, "train")


def test_truncated_gzip_and_tar(tmp_path: Path, csv: Path) -> None:
    packed = tmp_path / "train.csv.gz"
    packed.write_bytes(gzip.compress(csv.read_bytes())[:-20])
    with pytest.raises(DataError, match=r"train\.csv\.gz: truncated or broken gzip"):
        read_pairs(packed, "train")
    archive = tmp_path / "all.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(csv, "empatheticdialogues/train.csv")
    archive.write_bytes(archive.read_bytes()[: 512 + 100])
    with pytest.raises(DataError, match=r"all\.tar: truncated or broken tar"):
        read_pairs(archive, "train")


def test_missing_split_names_what_is_there(tmp_path: Path, csv: Path) -> None:
    with pytest.raises(DataError, match=r"no test\.csv or test\.csv\.gz; there is train\.csv"):
        read_pairs(tmp_path, "test")
    archive = tmp_path / "all.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(csv, "empatheticdialogues/train.csv")
    with pytest.raises(DataError, match=r"no files test\.csv in the archive; there is empatheticdialogues/train\.csv"):
        read_pairs(archive, "test")
    with pytest.raises(DataError, match=r"nowhere\.csv: cannot be read: No such file"):
        read_pairs(tmp_path / "nowhere.csv", "train")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="there is no CSV file"):
        read_pairs(tmp_path / "empty", "train")


def test_options_are_checked(csv: Path) -> None:
    with pytest.raises(ConfigError, match="split='dev': must be one of train, valid, test"):
        read_pairs(csv, "dev")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="style='old': must be one of true, released"):
        read_pairs(csv, "train", "old")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("split", "style", "count"),
    [("train", "true", 40_252), ("train", "released", 40_250), ("valid", "true", 5_736), ("valid", "released", 5_734)],
)
def test_counts_of_the_real_files(data_dir: Path, split: str, style: str, count: int) -> None:
    pairs = read_pairs(data_dir / "empatheticdialogues.tar.gz", split, style)  # type: ignore[arg-type]
    assert len(pairs) == count
    assert not any("_comma_" in pair.response for pair in pairs)


def resaved(folder: Path, kind: str, *, keep_commas: bool) -> Path:
    """The dialogues as pandas saves them again, with real commas, or with `_comma_` where those are kept."""
    pd = pytest.importorskip("pandas")
    cells = [dict(zip(HEADER.split(","), one.split(","), strict=True)) for one in DIALOGUES]
    frame = pd.DataFrame(cells).astype({"utterance_idx": int, "speaker_idx": int})
    if not keep_commas:
        frame = frame.map(lambda cell: cell.replace("_comma_", ",") if isinstance(cell, str) else cell)
    path = folder / f"valid.{kind.split('-', maxsplit=1)[0]}"
    options: dict[str, Any] = {"index": "index" in kind, "quoting": 1 if "all" in kind else 0}
    if kind.startswith("csv"):
        frame.to_csv(
            path, sep=";" if "semicolon" in kind else ",", encoding="utf-16" if "wide" in kind else None, **options
        )
    elif kind.startswith("tsv"):
        frame.to_csv(path, sep="\t", **options)
    elif kind.startswith("jsonl"):
        frame.to_json(path, orient="records", lines=True)
    elif kind.startswith("json"):
        frame.to_json(path, orient="records")
    else:
        columns = list(frame.columns)[::-1] if "turned" in kind else list(frame.columns)
        frame.astype({"utterance_idx": float})[columns].to_parquet(path)
    return path


KINDS = ["csv", "csv-index", "csv-all", "csv-semicolon", "csv-wide", "tsv", "tsv-index"]
KINDS += ["jsonl", "json", "parquet", "parquet-turned"]


def rows_of(path: Path, columns: Columns) -> list[Row | BadRow]:
    return [check(raw, columns, need_response=True, strict_turns=True) for raw in Reader(find_sources(path), columns)]


@pytest.mark.parametrize("keep_commas", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_files_that_other_programs_saved(tmp_path: Path, csv: Path, kind: str, keep_commas: bool) -> None:
    expected = read_pairs(csv, "train")
    path = resaved(tmp_path, kind, keep_commas=keep_commas)
    assert read_pairs(path, "test") == expected
    assert read_pairs(tmp_path, "valid") == expected
    assert [(row.id, row.context, row.response) for row in rows_of(path, Columns()) if isinstance(row, Row)] == [
        (f"{pair.conv_id}:{len(pair.context) + 1}", pair.context, pair.response) for pair in expected
    ]


def test_other_encodings_are_named_and_read(tmp_path: Path) -> None:
    rows = [row("a1", 1, "My caf\u00e9 burned."), row("a1", 2, "Oh no.")]
    path = tmp_path / "train.csv"
    path.write_bytes("\n".join([HEADER, *rows]).encode("cp1252"))
    with pytest.raises(DataError, match=r"train\.csv, line 2: .*--encoding names: cp1252 would read '\u00e9'"):
        read_pairs(tmp_path, "train")
    assert read_pairs(tmp_path, "train", reading=Reading(encoding="cp1252"))[0].context == ["My caf\u00e9 burned."]


@pytest.mark.parametrize("shifted", ["utterance", "prompt"])
def test_quotes_that_come_late_are_named(tmp_path: Path, shifted: str) -> None:
    """Whether quotes are text is told from the first line that has one."""
    plain = [one for n in range(9000) for one in (row(f"a{n}", 1, 'I sing "la".'), row(f"a{n}", 2, "Oh."))]
    given = {"text": '"Well, yes"'} if shifted == "utterance" else {"text": "Well", "prompt": '"A boat, red"'}
    path = write(tmp_path / "train.csv", [*plain, row("z1", 1, **given), row("z1", 2, **given | {"text": "So?"})])
    with pytest.raises(DataError, match=r"line 18002: .* shifted, .*; --quoting csv reads commas in quotes"):
        read_pairs(path, "train")
    last = read_pairs(path, "train", reading=Reading(quoting="csv"))[-1]
    assert (last.context, last.situation) == (
        (["Well, yes"], "My garden.") if shifted == "utterance" else (["Well"], "A boat, red")
    )


def test_quotes_that_come_first_late_are_those_of_a_table(tmp_path: Path) -> None:
    plain = [one for n in range(9000) for one in (row(f"a{n}", 1, "I sing."), row(f"a{n}", 2, "Oh."))]
    path = write(tmp_path / "train.csv", [*plain, row("z1", 1, '"Well, yes"'), row("z1", 2, '"Oh ""no"" dear"')])
    last = read_pairs(path, "train")[-1]
    assert (last.context, last.response) == (["Well, yes"], 'Oh "no" dear')


def test_a_column_that_is_asked_for_wins(csv: Path) -> None:
    row = rows_of(csv, Columns(context="utterance", response="prompt"))[0]
    assert isinstance(row, Row)
    assert (row.context, row.response) == (["My tomatoes won_comma_ again!"], "My garden.")
    rows = rows_of(csv, Columns(emotion="context"))
    assert [row.emotion for row in rows if isinstance(row, Row)] == ["proud", "proud", "proud", "sad"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (Columns(id="conv_id"), "is EmpatheticDialogues"),
        (Columns(turns="last"), "is EmpatheticDialogues"),
        (Columns(emotion="prompt"), "is EmpatheticDialogues"),
    ],
)
def test_what_does_not_go_with_its_layout(csv: Path, columns: Columns, message: str) -> None:
    with pytest.raises(DataError, match=message):
        list(Reader(find_sources(csv), columns))


def test_a_part_of_its_columns_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("conv_id,context,utterance\na,sad,hello\n")
    with pytest.raises(
        DataError, match="looks like EmpatheticDialogues, whose 'context' is an emotion, without utterance_idx"
    ):
        list(Reader(find_sources(tmp_path / "a.csv"), Columns()))
    with pytest.raises(DataError, match=r"is a zip archive, or an Excel workbook; unpack it"):
        (tmp_path / "a.csv").write_bytes(b"PK\x03\x04\x00\xff")
        read_pairs(tmp_path / "a.csv", "train")


def test_shifted_cells_are_bad_rows_and_quotes_are_text(tmp_path: Path) -> None:
    shifted = [row("a1", 1, "a, b"), row("a1", 1, "u", prompt="p, q"), row("a1", 1, "a, b, c")]
    path = write(tmp_path / "a.csv", [*shifted, *DIALOGUES[:2], row("z1", 1, '"Oh" no"'), row("z1", 2, '"Yes"')])
    *bad, first, second = [row.response if isinstance(row, Row) else row.reason for row in rows_of(path, Columns())]
    assert (first, second) == ('A "first" prize?', '"Yes"')
    assert ["selfeval ' b'" in str(bad[0]), "speaker_idx ' q'" in str(bad[1]), "10 cells; 8" in str(bad[2])] == [
        True
    ] * 3


def test_one_comma_in_each_quoted_cell_is_no_ninth_column(tmp_path: Path) -> None:
    """As a program saves them again that quotes only what it must."""
    plain = [each.replace("_comma_", "").replace('"', "") for each in DIALOGUES]
    quoted = [each.replace("My tomatoes won again!", '"My tomatoes won, again!"') for each in plain]
    assert quoted != plain
    pairs = read_pairs(write(tmp_path / "saved.csv", quoted), "train")
    assert pairs[0].context == ["My tomatoes won, again!"]
    assert len(pairs) == len(read_pairs(write(tmp_path / "plain.csv", plain), "train"))


@pytest.mark.parametrize("name", ["conv_id", "utterance_idx", "context", "prompt", "utterance"])
def test_a_name_that_comes_twice_in_an_object_is_a_bad_row(tmp_path: Path, name: str) -> None:
    good = '{"conv_id": "a", "utterance_idx": 1, "context": "sad", "prompt": "p", "utterance": "u"}'
    path = tmp_path / "a.jsonl"
    path.write_text(f'{good}\n{{"{name}": "1", {good[1:].replace("1", "2")}\n')
    (bad,) = rows_of(path, Columns())
    assert isinstance(bad, BadRow) and "2 values of one name ('1'" in bad.reason


@pytest.mark.parametrize("name", ["conv_id", "prompt", "utterance"])
def test_a_lone_surrogate_is_named(tmp_path: Path, name: str) -> None:
    turn = {"conv_id": "a", "utterance_idx": 1, "context": "sad", "prompt": "p", "utterance": "u"}
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(turn) + "\n" + json.dumps(turn | {"conv_id": "b", name: "\ud800x"}) + "\n")
    with pytest.raises(DataError, match=f"a.jsonl, line 2: {name} has the lone surrogate"):
        read_pairs(path, "train")
    (bad,) = rows_of(path, Columns())
    assert isinstance(bad, BadRow) and bad.reason.startswith(f"{name} has the lone surrogate")
