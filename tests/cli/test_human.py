"""`mime-fast human`, from the sample to the tables."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from mime_fast.emotions import LABELS
from mime_fast.evaluation.human.key import read_key
from tests.cli.conftest import Run

SECRETS = ("Wise", "Dull", "calm", "tiny")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two made-up conversations of every emotion in test, one in valid."""
    folder = tmp_path_factory.mktemp("corpus")
    for split, talks in (("test", 2), ("valid", 1)):
        rows = ["conv_id,utterance_idx,context,prompt,speaker_idx,utterance,selfeval,tags"]
        for label in LABELS:
            for talk in range(talks):
                told = f'I saw <b>it</b> no {talk} "{label[:2]}"_comma_ né?'
                head = f"hit:{label}:{talk}"
                rows.append(f"{head},1,{label},p,0,{told},5|5|5_5|5|5,")
                rows.append(f"{head},2,{label},p,1,I see.,5|5|5_5|5|5,")
        (folder / f"{split}.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture
def dialogues(run: Run, corpus: Path, tmp_path: Path) -> Path:
    path = tmp_path / "dialogues.jsonl"
    outcome = run("human", "sample", "--data", corpus, "--per-emotion", 1, "--seed", 5, "--dialogues", path)
    assert (outcome.code, outcome.out) == (0, "")
    return path


def write_replies(path: Path, dialogues: Path, text: str) -> Path:
    rows = [json.loads(line) for line in dialogues.read_text().splitlines()]
    path.write_text("".join(json.dumps({"id": row["id"], "text": f"{text} {n}"}) + "\n" for n, row in enumerate(rows)))
    return path


@pytest.fixture
def sampled(run: Run, corpus: Path, dialogues: Path, tmp_path: Path) -> Path:
    """A study of two files of replies, 32 dialogues."""
    wise = write_replies(tmp_path / "w.jsonl", dialogues, "that is good to hear")
    dull = write_replies(tmp_path / "d.jsonl", dialogues, "i know")
    out = tmp_path / "study"
    outcome = run(
        *("human", "sample", "--data", corpus, "--per-emotion", 1, "--seed", 5, "--out", out),
        *("--models", f"Wise={wise}", f"Dull={dull}", "--ab", "Wise:Dull"),
    )
    assert (outcome.code, outcome.out) == (0, "")
    assert "32 dialogues, 64 replies to rate and 32 pairs to compare for each of 3 annotators" in outcome.err
    return out


def fill(study: Path, *, disputed: int = 0) -> list[Path]:
    """Annotators who like Wise's replies; they differ on some comparisons, the first of the first sheet."""
    paths = []
    open_items: list[str] = []
    for annotator in (1, 2, 3):
        folder = study / f"for-annotator-{annotator}"
        for kind in ("ratings", "ab"):
            path = folder / f"{kind}-{annotator}.csv"
            rows = list(csv.DictReader(io.StringIO(path.read_text("utf-8-sig"), newline="")))
            if not open_items and kind == "ab":
                contexts = [row["context"] for row in rows]
                open_items = [text for text in contexts if contexts.count(text) == 1][:disputed]
            for row in rows:
                if kind == "ratings":
                    good = "good to hear" in row["reply"]
                    row |= {"empathy": "5" if good else "2", "relevance": "4" if good else "3", "fluency": "5"}
                else:
                    wise, dull = ("A", "B") if "good to hear" in row["A"] else ("B", "A")
                    row["choice"] = (wise, dull, "tie")[annotator - 1] if row["context"] in open_items else wise
            text = io.StringIO(newline="")
            writer = csv.DictWriter(text, list(rows[0]), delimiter=";")
            writer.writeheader()
            writer.writerows(rows)
            paths.append(study.parent / f"filled-{kind}-{annotator}.csv")
            paths[-1].write_bytes(text.getvalue().encode("utf-8-sig"))
    return paths


def test_from_the_sample_to_the_known_winner(run: Run, sampled: Path, tmp_path: Path) -> None:
    key, figures = sampled / "private" / "key.json", tmp_path / "figures.json"
    outcome = run("human", "report", "--key", key, *fill(sampled), "--json", figures)
    assert (outcome.code, outcome.err) == (0, "")
    assert "| Wise | **5.00** [5.00, 5.00] | **4.00** [4.00, 4.00] | **5.00** [5.00, 5.00] | 96 |" in outcome.out
    assert (
        "| Wise vs. Dull | 100.0 % [100.0, 100.0] | 0.0 % [0.0, 0.0] | 0.0 % [0.0, 0.0] | 32 | 0 | 0 |" in outcome.out
    )
    report = json.loads(figures.read_text())
    assert report["best"]["empathy"] == ["Wise"]
    assert report["ratings"]["Dull"]["positive"]["empathy"]["ratings"] == 39
    assert report["ratings"]["Dull"]["negative"]["empathy"]["ratings"] == 57
    again = run("human", "report", "--key", key, *fill(sampled), "--json", "-")
    assert json.loads(again.out) == report
    out = tmp_path / "report.md"
    silent = run("human", "report", "--key", key, *fill(sampled), "--out", out)
    assert (silent.out, out.read_text().partition("\n<!-- made by ")[0]) == ("", outcome.out)
    assert run("human", "report", "--key", key, *fill(sampled), "--out", out, "--json", figures).code == 0  # again
    out.write_text("my notes")
    refused = run("human", "report", "--key", key, *fill(sampled), "--out", out)
    assert refused.code == 2 and f"--out {out}: exists, and is not as mime-fast human report made it" in refused.err
    assert out.read_text() == "my notes"


def test_annotators_folders_tell_no_secret(sampled: Path) -> None:
    folders = sorted(path.name for path in sampled.iterdir())
    assert folders == ["for-annotator-1", "for-annotator-2", "for-annotator-3", "private"]
    for path in sampled.glob("for-*/*"):
        content = path.read_text("utf-8-sig")
        emotions = [label for label in LABELS if label != "content"]  # which is a word of HTML
        assert not [secret for secret in (*SECRETS, "hit:", *emotions) if secret in content], path
        assert str(sampled.parent) not in content


def test_a_dispute_asks_for_a_fourth_sheet(run: Run, sampled: Path) -> None:
    key, filled = sampled / "private" / "key.json", fill(sampled, disputed=2)
    outcome = run("human", "report", "--key", key, *filled)
    folder = sampled / "for-annotator-4"
    assert outcome.code == 1
    assert f"2 comparisons have no majority; {folder} is written for annotator 4" in outcome.err
    assert "which one more annotator can settle: 2" in outcome.out
    assert sorted(path.name for path in folder.iterdir()) == ["ab-4.csv", "instructions.txt", "page.html"]
    assert "was written" in run("human", "report", "--key", key, *filled).err
    rows = list(csv.DictReader(io.StringIO((folder / "ab-4.csv").read_text("utf-8-sig"), newline="")))
    assert len(rows) == 2
    fourth = sampled.parent / "filled-4.csv"
    text = (folder / "ab-4.csv").read_text("utf-8-sig")
    fourth.write_text(text.replace(',""', ',"tie"'))
    settled = run("human", "report", "--key", key, *filled, fourth)
    assert (settled.code, settled.err) == (0, "")
    assert "| Wise vs. Dull | 93.8 % [" in settled.out and "| 32 | 0 | 0 |" in settled.out
    record = sampled.parent / "wise.json"
    given = ("human", "report", "--key", key, *filled, fourth, "--record", record, "--voters", *["person"] * 3)
    assert "3 voters for 4 annotators" in run(*given).err
    named = run(*given, "model:Made Up 1")
    assert (named.code, named.err) == (0, "")
    assert ": 3 people; and annotator 4, 1 language model (Made Up 1), where they had no majority" in named.out
    assert json.loads(record.read_text())["fourth"]["votes"] == 2


def test_a_study_is_tallied_and_recorded_without_a_fourth(run: Run, sampled: Path, tmp_path: Path) -> None:
    key, filled, record = sampled / "private" / "key.json", fill(sampled, disputed=2), tmp_path / "wise.json"
    given = ("human", "report", "--key", key, *filled, "--no-fourth", "--record", record)
    outcome = run(*given, "--voters", "model:Made Up 1", "--note", "A try.")
    assert (outcome.code, outcome.err) == (0, "")
    assert "3 annotators: 3 language models (Made Up 1)" in outcome.out
    assert "| Wise vs. Dull | 95.8 % [" in outcome.out.split("## A/B, by votes")[1]
    assert not (sampled / "for-annotator-4").exists()
    assert json.loads(record.read_text())["note"] == "A try."
    table = run("human", "studies", record)
    assert (table.code, table.err) == (0, "")
    out = tmp_path / "table.md"
    assert run("human", "studies", record, "--out", out).code == run("human", "studies", record, "--out", out).code == 0
    record.with_name("other.md").write_text("my notes")
    assert run("human", "studies", record, "--out", record.with_name("other.md")).code == 2
    assert "| wise | valid, seed 5 | Wise : Dull | 95.8 % [" in table.out
    assert "| 96 | 0." in table.out and "| 3 language models (Made Up 1) |" in table.out


def test_a_fixed_draw_is_the_same_for_every_seed(run: Run, tmp_path: Path) -> None:
    rows = ["conv_id,utterance_idx,context,prompt,speaker_idx,utterance,selfeval,tags"]
    for label in LABELS:
        for talk in range(8):
            rows += [f"hit:{label}:{talk},{turn},{label},p,{turn - 1},word {talk},," for turn in (1, 2)]
    (tmp_path / "valid.csv").write_text("\n".join(rows) + "\n")
    ids = []
    for draw, seed in (("develop", 1), ("develop", 2), ("confirm", 1)):
        out = tmp_path / f"{draw}-{seed}.jsonl"
        outcome = run(*("human", "sample", "--data", tmp_path, "--draw", draw, "--seed", seed, "--dialogues", out))
        assert (outcome.code, outcome.err) == (0, "")
        ids.append([json.loads(line)["id"] for line in out.read_text().splitlines()])
    assert ids[0] == ids[1] and len(set(ids[0] + ids[2])) == 256
    replies = write_replies(tmp_path / "said.jsonl", tmp_path / "confirm-1.jsonl", "well")
    arguments = ("--draw", "confirm", "--models", f"a={replies}", "--out", tmp_path / "study")
    assert run("human", "sample", "--data", tmp_path, *arguments).code == 0
    key = json.loads((tmp_path / "study" / "private" / "key.json").read_text())
    assert (key["split"], key["draw"]) == ("valid", "confirm")


def test_faults_are_refused_cell_by_cell_or_reported(run: Run, sampled: Path) -> None:
    key, filled = sampled / "private" / "key.json", fill(sampled)
    text = filled[0].read_text("utf-8-sig")
    filled[0].write_text(text.replace(";5;4;5", ";5;four;5", 1).replace(";2;3;5", ";;3;5", 1))
    outcome = run("human", "report", "--key", key, *filled[:-1])
    assert (outcome.code, outcome.out) == (2, "")
    lines = outcome.err.splitlines()
    assert lines[0] == ("mime-fast: error: 3 faults; correct the sheets, or report on the rest with --partial")
    assert any("column relevance: 'four' came; must be 1, 2, 3, 4 or 5" in line for line in lines)
    assert any("column empathy: empty; 1, 2, 3, 4 or 5 is expected" in line for line in lines)
    assert lines[-1] == "  annotator 3, comparisons, column all: no row came; the sheet with its 32 items is expected"
    partial = run("human", "report", "--key", key, *filled[:-1], "--partial")
    assert (partial.code, partial.err) == (1, "")
    assert "## Incomplete (faults: 3)" in partial.out and "| Wise vs. Dull | 100.0 % [" in partial.out


def test_a_file_name_that_is_no_utf8(run: Run, corpus: Path, dialogues: Path, tmp_path: Path) -> None:
    said = write_replies(tmp_path / "caf\udce9.jsonl", dialogues, "well")
    argv = ("human", "sample", "--data", corpus, "--per-emotion", 1, "--seed", 5, "--models", f"Wise={said}")
    outcome = run(*argv, "--out", tmp_path / "study")
    assert outcome.code == 0, outcome.err
    key = read_key(tmp_path / "study" / "private" / "key.json")
    assert key.systems["Wise"]["source"].endswith("caf\\udce9.jsonl")


def test_models_answer_as_generate_does(
    run: Run, corpus: Path, dialogues: Path, model_dir: Path, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        outcome = run(
            *("human", "sample", "--data", corpus, "--per-emotion", 1, "--seed", 5, "--out", tmp_path / name),
            *("--models", f"Wise={model_dir},threads=1", f"calm={model_dir},threads=1,stochastic=false"),
            *("--rate", "Wise", "--ab", "Wise:calm"),
        )
        assert outcome.code == 0, outcome.err
    content = json.loads((tmp_path / "one" / "private" / "key.json").read_text())
    assert content["systems"]["calm"]["options"] == {"stochastic": False, "threads": 1}
    assert {tuple(item["models"]) for item in content["ratings"]} == {("Wise",)}
    said = [line["text"] for line in run("generate", dialogues, "--model", model_dir, "--seed", 5).lines]
    assert content["replies"]["Wise"] == said
    calm = run("generate", dialogues, "--model", model_dir, "--seed", 5, "--no-stochastic").lines
    assert content["replies"]["calm"] == [line["text"] for line in calm]
    for path in (tmp_path / "one").rglob("*.*"):
        assert path.read_bytes() == (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes()


def test_missing_replies_are_named(run: Run, corpus: Path, dialogues: Path, tmp_path: Path) -> None:
    said = write_replies(tmp_path / "said.jsonl", dialogues, "well")
    lines = said.read_text().splitlines()
    said.write_text("\n".join(lines[1:]) + "\n")
    outcome = run(
        *("human", "sample", "--data", corpus, "--per-emotion", 1, "--seed", 5),
        *("--models", f"Wise={said}", "--out", tmp_path / "study"),
    )
    assert outcome.code == 2
    assert f"no reply to 1 of 32 dialogues: {json.loads(lines[0])['id']};" in outcome.err
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (("human",), "STEP"),
        (("human", "sample"), "--data"),
        (("human", "sample", "--data", "d"), "nothing to do"),
        (("human", "sample", "--data", "d", "--models", "a=mime-ed"), "--models and --out go together"),
        (("human", "sample", "--data", "d", "--out", "o", "--dialogues", "x"), "--models and --out go together"),
        (("human", "sample", "--data", "d", "--models", "mime-ed", "--out", "o"), "NAME=MODEL_OR_FILE"),
        (("human", "sample", "--data", "d", "--models", "a=nowhere", "--out", "o"), "no model at 'nowhere'"),
        (("human", "sample", "--data", "d", "--models", "a=mime-ed", "--out", "o", "--ab", "a"), "A:B"),
        (("human", "sample", "--data", "d", "--models", "a=mime-ed", "--out", "o", "--ab", "a:b"), "named 'b'"),
        (("human", "sample", "--data", "d", "--models", "a=mime-ed", "--out", "o", "--rate"), "nothing to ask"),
        (("human", "sample", "--data", "no", "--models", "a=mime-ed", "--out", "o"), "no: cannot be read"),
        (("human", "sample", "--data", "d", "--dialogues", "x", "--annotators", "0"), "--annotators 0"),
        (("human", "sample", "--data", "d", "--dialogues", "x", "--per-emotion", "0"), "--per-emotion 0"),
        (("human", "sample", "--data", "d", "--draw", "develop", "--split", "test"), "--draw develop is 128"),
        (("human", "sample", "--data", "d", "--draw", "tune"), "invalid choice: 'tune'"),
        (("human", "report", "--key", "k.json", "s.csv", "--record", "r.json"), "--record needs --voters"),
        (("human", "report", "--key", "k.json", "s.csv", "--note", "A try."), "--note needs --record"),
        (
            ("human", "report", "--key", "k", "s", "--record", "r", "--voters", "person", "--note", "Caf\udce9"),
            "--note has the lone surrogate",
        ),
        (("human", "report", "--key", "k.json", "s.csv", "--no-fourth", "--fourth", "f"), "one of the two"),
        (("human", "studies", "r.json"), "r.json: cannot be read"),
        (("human", "report", "--key", "k.json"), "SHEET"),
        (("human", "report", "s.csv"), "--key"),
        (("human", "report", "--key", "k.json", "s.csv"), "k.json: cannot be read"),
    ],
)
def test_wrong_usage(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, argv: tuple[str, ...], told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = run(*argv)
    assert (outcome.code, outcome.out) == (2, "")
    assert "error: " in outcome.err and told in outcome.err and "Traceback" not in outcome.err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_answers_is_left_alone(run: Run, corpus: Path, sampled: Path, tmp_path: Path) -> None:
    before: dict[Path, Any] = {path: path.read_bytes() for path in sampled.rglob("*.*")}
    argv = ("human", "sample", "--data", corpus, "--models", f"a={tmp_path / 'w.jsonl'}", "--out", sampled)
    outcome = run(*argv)
    assert outcome.code == 2 and "is not empty" in outcome.err
    assert before == {path: path.read_bytes() for path in sampled.rglob("*.*")}


def test_dialogues_are_not_written_into_the_study(run: Run, corpus: Path, sampled: Path, tmp_path: Path) -> None:
    out = tmp_path / "new"
    out.mkdir()
    argv = ("human", "sample", "--data", corpus, "--models", f"a={tmp_path / 'w.jsonl'}", "--per-emotion", 1)
    for file in (out / "x.jsonl", tmp_path / "new" / ".." / "new" / "x.jsonl"):
        outcome = run(*argv, "--out", out, "--dialogues", file)
        assert outcome.code == 2 and f"--dialogues {file}: lies in --out {out}" in outcome.err
    assert list(out.iterdir()) == []
    assert run(*argv, "--seed", 5, "--out", out, "--dialogues", tmp_path / "x.jsonl").code == 0


def test_one_output_is_printed(run: Run, sampled: Path) -> None:
    key, filled = sampled / "private" / "key.json", fill(sampled)
    argv = ("human", "report", "--key", key, *filled, "--voters", "person")
    for one, other in (("--json", "--out"), ("--out", "--record"), ("--json", "--record")):
        outcome = run(*argv, one, "-", other, "-")
        assert (outcome.code, outcome.out) == (2, "")
        assert f"{one} - and {other} -: one of the two can go to standard output" in outcome.err
    for one in ("--json", "--record"):
        outcome = run(*argv, one, "-")
        assert outcome.code == 0 and isinstance(json.loads(outcome.out), dict)


def test_data_in_another_encoding(run: Run, corpus: Path, tmp_path: Path) -> None:
    folder, out = tmp_path / "cp1252", tmp_path / "drawn.jsonl"
    folder.mkdir()
    text = (corpus / "valid.csv").read_text().replace("I see.", "At the café.")
    (folder / "valid.csv").write_bytes(text.encode("cp1252"))
    argv = ("human", "sample", "--data", folder, "--per-emotion", 1, "--dialogues", out)
    refused = run(*argv)
    assert refused.code == 2 and "what --encoding names: cp1252 would read 'é'" in refused.err
    assert run(*argv, "--encoding", "cp1252").code == 0
    assert len(out.read_text().splitlines()) == 32
