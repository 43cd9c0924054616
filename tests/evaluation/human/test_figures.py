"""The figures of small studies whose answers are known, and their Markdown."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from mime_fast.errors import ConfigError
from mime_fast.evaluation.human.agreement import fleiss_kappa, resamples
from mime_fast.evaluation.human.figure_types import Interval
from mime_fast.evaluation.human.figures import study_figures
from mime_fast.evaluation.human.markdown import format_report
from mime_fast.evaluation.human.study import SheetRow, Study
from mime_fast.evaluation.human.voters import Voter
from tests.evaluation.human.conftest import Desk, choose, fill, rated


def numbers(interval: Interval) -> tuple[float, float, float]:
    """Low, value and high of a figure that is defined."""
    low, value, high = interval["low"], interval["value"], interval["high"]
    assert low is not None and value is not None and high is not None
    return low, value, high


def test_means_by_hand(desk: Desk, study: Study) -> None:
    report = study_figures(study, desk.collect())
    sums: dict[str, list[int]] = {"Alpha": [], "Beta": [], "Gamma": []}
    positive: dict[str, list[int]] = {name: [] for name in sums}
    for annotator in (1, 2, 3):
        for row in study.sheets["ratings", annotator]:
            for model in rated(study, row).models:
                sums[model].append(desk.rate(annotator, row)[0])
                if rated(study, row).instance in (0, 2, 4):  # joyful, proud, hopeful
                    positive[model].append(desk.rate(annotator, row)[0])
    for model, ratings in sums.items():
        figures = report["ratings"][model]
        assert figures["all"]["empathy"]["value"] == pytest.approx(sum(ratings) / len(ratings))
        assert figures["all"]["empathy"]["ratings"] == len(ratings) == 18
        assert figures["positive"]["empathy"]["value"] == pytest.approx(sum(positive[model]) / len(positive[model]))
        assert figures["positive"]["empathy"]["ratings"] == figures["negative"]["empathy"]["ratings"] == 9
        assert figures["all"]["fluency"] == {"value": 5.0, "low": 5.0, "high": 5.0, "ratings": 18}
    assert report["ratings"]["Alpha"]["all"]["relevance"]["value"] == 4.0
    assert report["ratings"]["Gamma"]["all"]["relevance"]["value"] == pytest.approx(
        (4 + 5 * 3) / 6
    )  # a reply is shared


def test_the_known_winner_is_named(desk: Desk, study: Study) -> None:
    report = study_figures(study, desk.collect())
    assert report["best"] == {"empathy": ["Alpha"], "relevance": ["Alpha"], "fluency": ["Alpha", "Beta", "Gamma"]}
    first = report["differences"][0]
    assert (first["first"], first["second"]) == ("Alpha", "Beta")
    assert first["empathy"]["low"] > 1.5 and first["relevance"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    beta, gamma = report["ab"]
    assert (beta["win"]["value"], beta["lose"]["value"], beta["tie"]["value"]) == (1.0, 0.0, 0.0)
    assert gamma["same"] == 1 and gamma["comparisons"] == 6
    assert [gamma["win"]["value"], gamma["tie"]["value"]] == pytest.approx([5 / 6, 1 / 6])
    low, _, high = numbers(gamma["tie"])
    assert low == 0.0 and high > 0.3
    assert report["open"] == {} and report["faults"] == []
    assert [note.rpartition(" ")[2] for note in report["notes"]] == ["1", "1"]  # a shared reply, a pair of equal ones


def test_kappa_is_of_the_answers_given(desk: Desk, study: Study) -> None:
    report = study_figures(study, desk.collect())
    kappa = {row["what"]: row for row in report["agreement"]}
    assert list(kappa) == ["empathy", "relevance", "fluency", "Alpha : Beta", "Alpha : Gamma"]
    assert kappa["relevance"]["value"] == 1.0 and kappa["fluency"]["value"] is None
    counts = []
    for item in range(len(study.ratings)):
        row = SheetRow("", item)
        given = [desk.rate(annotator, row)[0] for annotator in (1, 2, 3)]
        counts.append([given.count(rating) for rating in range(1, 6)])
    assert kappa["empathy"]["value"] == pytest.approx(fleiss_kappa(np.array(counts)))
    low, value, high = numbers(kappa["empathy"])
    assert low <= value <= high
    assert (kappa["empathy"]["items"], kappa["empathy"]["annotators"]) == (17, 3)


def test_a_difference_is_of_the_same_resamples(desk: Desk, study: Study) -> None:
    """Ratings differ by dialogue, Alpha's is always one more than Beta's: only each model's own mean is unsure."""

    def rate(_: int, row: SheetRow) -> tuple[int, int, int]:
        item = rated(study, row)
        return (1 + item.instance // 2 + ("Alpha" in item.models), 3, 3)

    for annotator in (1, 2, 3):
        desk.sheets[f"ratings-{annotator}.csv"] = fill(study, "ratings", annotator, rate)
    report = study_figures(study, desk.collect())
    assert numbers(report["differences"][0]["empathy"]) == pytest.approx((1, 1, 1), abs=1e-12)
    for model in ("Alpha", "Beta"):
        low, _, high = numbers(report["ratings"][model]["all"]["empathy"])
        assert high - low > 0.5


def test_a_kappa_resamples_the_dialogues_of_its_items(desk: Desk, study: Study) -> None:
    """Each dialogue is in a resample with all of its items, whatever their order is."""
    backwards = replace(
        study,
        ratings=study.ratings[::-1],
        sheets={
            key: [replace(row, item=len(study.ratings) - 1 - row.item) if key[0] == "ratings" else row for row in rows]
            for key, rows in study.sheets.items()
        },
    )
    rng = np.random.default_rng(0)
    given = {(who, item): int(rng.integers(1, 6)) for who in (1, 2, 3) for item in range(len(study.ratings))}
    for who in (1, 2, 3):
        desk.sheets[f"ratings-{who}.csv"] = fill(
            backwards, "ratings", who, lambda who, row: (given[who, row.item], 3, 3)
        )
    desk.study = backwards
    report = study_figures(backwards, desk.collect(), number=200, seed=4)
    found = []
    for drawn in resamples(len(study.instances), 200, 4):
        counts = [
            [sum(given[who, item] == rating for who in (1, 2, 3)) for rating in range(1, 6)]
            for item, asked in enumerate(backwards.ratings)
            for _ in range(int(drawn[asked.instance]))
        ]
        found.append(fleiss_kappa(np.array(counts)))
    low, _, high = numbers(report["agreement"][0])
    assert (low, high) == pytest.approx(tuple(np.quantile(found, [0.025, 0.975])), abs=1e-12)


def test_the_same_seed_gives_the_same_report(desk: Desk, study: Study) -> None:
    answers = desk.collect()
    one = json.dumps(study_figures(study, answers, number=200, seed=5))
    assert one == json.dumps(study_figures(study, answers, number=200, seed=5))
    assert one != json.dumps(study_figures(study, answers, number=200, seed=6))
    with pytest.raises(ConfigError, match="bootstrap=5"):
        study_figures(study, answers, number=5)


def dispute(desk: Desk, item: int) -> None:
    """Make the three annotators differ on one comparison."""
    study = desk.study
    models = study.comparisons[item].first, study.comparisons[item].second, None
    for annotator, model in enumerate(models, start=1):
        planned = study.sheets["ab", annotator]
        for row, plan in zip(desk.sheets[f"ab-{annotator}.csv"], planned, strict=True):
            if plan.item == item:
                row["choice"] = choose(study, model)(plan)


def test_a_dispute_waits_for_a_fourth(desk: Desk, study: Study) -> None:
    dispute(desk, 2)
    report = study_figures(study, desk.collect())
    assert report["open"] == {"disputed": 1}
    assert report["ab"][0]["verdicts"] == {"win": 5, "lose": 0, "tie": 0, "disputed": 1, "split": 0, "incomplete": 0}
    assert "which one more annotator can settle: 1**" in format_report(report)
    desk.sheets["ab-4.csv"] = fill(study, "ab", 4, lambda _, row: [choose(study, "Beta")(row)])
    settled = study_figures(study, desk.collect())
    assert settled["open"] == {} and settled["ab"][0]["verdicts"]["lose"] == 1
    assert settled["notes"][0].endswith(f"on which the others agree, not counted: {len(study.comparisons) - 1}")
    assert report["agreement"] == settled["agreement"]  # the fourth is no part of it
    assert report["study"]["fourth"] is None
    assert settled["study"]["fourth"] == {"annotator": 4, "votes": 1, "voter": None}
    assert "3 annotators; and annotator 4, where they had no majority (votes: 1). Brackets" in format_report(settled)


def test_a_partial_report(desk: Desk, study: Study) -> None:
    """Annotator 3 did nothing, 2 left a cell: the rest counts, kappa is of two."""
    desk.sheets["ratings-3.csv"], desk.sheets["ab-3.csv"] = [], []
    desk.sheets["ratings-2.csv"][0]["empathy"] = "7"
    report = study_figures(study, desk.collect())
    assert [fault["column"] for fault in report["faults"]] == ["empathy", "all", "all"]
    assert sum(report["ratings"][name]["all"]["empathy"]["ratings"] for name in report["ratings"]) in (34, 35)
    kappa = {row["what"]: row for row in report["agreement"]}
    assert (kappa["empathy"]["items"], kappa["relevance"]["items"]) == (16, 17)
    assert kappa["empathy"]["annotators"] == 2
    assert report["open"] == {}  # two agree, so the third changes nothing
    assert "## Incomplete (faults: 3)" in format_report(report)


def test_nothing_answered_is_a_report_of_dashes(study: Study, desk: Desk) -> None:
    desk.sheets.clear()
    report = study_figures(study, desk.collect())
    assert report["best"] == {"empathy": [], "relevance": [], "fluency": []}
    assert report["ratings"]["Alpha"]["all"]["empathy"] == {"value": None, "low": None, "high": None, "ratings": 0}
    json.dumps(report, allow_nan=False)
    assert "| Alpha | - | - | - | 0 |" in format_report(report)


def test_markdown(desk: Desk, study: Study) -> None:
    report = study_figures(study, desk.collect())
    text = format_report(report)
    assert text.startswith("# Replies judged blind\n\nStudy ")
    mean = report["ratings"]["Alpha"]["all"]["empathy"]["value"]
    assert f"| Alpha | **{mean:.2f}** [" in text and "| **5.00** [5.00, 5.00] | 18 |" in text
    assert "| Alpha vs. Gamma | 83.3 % [" in text
    tables = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert len(tables) > 3
    for table in tables:
        assert set(table[1]) <= set("|-: ")
        assert len({line.count("|") for line in table}) == 1


def test_names_cannot_break_a_table(desk: Desk, study: Study) -> None:
    report = study_figures(study, desk.collect())
    report["ratings"]["a|b*c"] = report["ratings"].pop("Gamma")
    assert "| a\\|b\\*c | " in format_report(report)


def test_every_vote_counts_without_a_majority(desk: Desk, study: Study) -> None:
    """Alpha : Gamma has five comparisons, all of them Alpha's, and two equal replies."""
    dispute(desk, 2)
    report = study_figures(study, desk.collect())
    beta, gamma = (pair["votes"] for pair in report["ab"])
    assert beta["cast"] == gamma["cast"] == 18
    assert [beta[outcome]["value"] for outcome in ("win", "lose", "tie")] == [16 / 18, 1 / 18, 1 / 18]
    assert [gamma[outcome]["value"] for outcome in ("win", "lose", "tie")] == [15 / 18, 0, 3 / 18]
    low, _, high = numbers(beta["win"])
    assert low < 16 / 18 < high == 1
    text = format_report(report)
    assert f"| Alpha vs. Beta | 88.9 % [{100 * low:.1f}, 100.0] | 5.6 % [" in text


def test_an_annotator_who_did_not_come_has_no_votes(desk: Desk, study: Study) -> None:
    desk.sheets["ab-3.csv"] = []
    report = study_figures(study, desk.collect())
    assert [pair["votes"]["cast"] for pair in report["ab"]] == [12, 12]


def test_models_that_vote_are_named(desk: Desk, study: Study) -> None:
    voters = [Voter("language model", "Some Model 2"), Voter("person"), Voter("language model", "Some Model 2")]
    text = format_report(study_figures(study, desk.collect(), voters=voters))
    assert "3 annotators: 1 person, 2 language models (Some Model 2). Brackets" in text
