"""What `study_figures` found as Markdown, in the form of the paper's tables."""

from __future__ import annotations

from mime_fast.evaluation.human.answers import Fault
from mime_fast.evaluation.human.criteria import CRITERIA, OUTCOMES
from mime_fast.evaluation.human.figure_types import About, Interval, StudyFigures
from mime_fast.evaluation.human.voters import Voter, name_voters
from mime_fast.evaluation.markdown import item, safe, table


def format_report(report: StudyFigures) -> str:
    """Markdown that ends without a line feed; [a, b] after a figure is its interval, the best mean is bold."""
    about = report["study"]
    parts = [
        "# Replies judged blind",
        f"Study {about['tag']}: {about['instances']} dialogues of the {about['split']} split{_draw(about)} (seed "
        f"{about['seed']}), {about['annotators']} annotators{_voters(about)}. Brackets: {about['level']:.0%} "
        f"intervals, {about['resamples']:,} resamples of the dialogues (seed {about['bootstrap_seed']}).",
        *_incomplete(report),
        *_ratings(report),
        *_comparisons(report),
        "## Agreement",
        table(
            ["answers", "Fleiss' kappa", "items", "annotators"],
            [[safe(row["what"]), _figure(row), row["items"], row["annotators"]] for row in report["agreement"]],
        ),
    ]
    if report["notes"]:
        parts += ["## Notes", "\n".join(item(safe(note)) for note in report["notes"])]
    return "\n\n".join(parts)


def _draw(about: About) -> str:
    return "" if about["draw"] is None else f", the fixed draw to {about['draw']}"


def _voters(about: About) -> str:
    voters, fourth = about["voters"], about["fourth"]
    named = "" if voters is None else f": {safe(name_voters([Voter(**voter) for voter in voters]))}"
    if fourth is None:
        return named
    who = "" if fourth["voter"] is None else f", {safe(name_voters([Voter(**fourth['voter'])]))}"
    return f"{named}; and annotator {fourth['annotator']}{who}, where they had no majority (votes: {fourth['votes']})"


def _incomplete(report: StudyFigures) -> list[str]:
    """What is missing, first of all: the figures below it are of the rest."""
    parts = []
    if report["faults"]:
        faults = [item(safe(str(Fault(**fault)))) for fault in report["faults"]]
        parts += [
            f"## Incomplete (faults: {len(faults)})",
            "The figures below leave these answers out.",
            "\n".join(faults),
        ]
    waiting = report["open"].get("disputed", 0)
    if waiting:
        parts.append(f"**Comparisons without a majority, which one more annotator can settle: {waiting}**")
    return parts


def _ratings(report: StudyFigures) -> list[str]:
    ratings, best = report["ratings"], report["best"]
    if not ratings:
        return []
    rows = [
        [
            safe(model),
            *(_figure(figures["all"][criterion], bold=model in best[criterion]) for criterion in CRITERIA),
            max(figures["all"][criterion]["ratings"] for criterion in CRITERIA),
        ]
        for model, figures in ratings.items()
    ]
    split = [
        [
            criterion,
            *(_figure(ratings[model][group][criterion]) for model in ratings for group in ("positive", "negative")),
        ]
        for criterion in CRITERIA
    ]
    sides = [f"{safe(model)}, {group}" for model in ratings for group in ("positive", "negative")]
    parts = ["## Ratings, 1 to 5 (as Table 2)", table(["model", *CRITERIA, "ratings"], rows)]
    parts += ["## Ratings by the user's emotion (as Table 4)", table(["", *sides], split)]
    if report["differences"]:
        differences = [
            [f"{safe(row['first'])} - {safe(row['second'])}", *(_figure(row[name], sign="+") for name in CRITERIA)]
            for row in report["differences"]
        ]
        parts += ["## Differences of the means", table(["models", *CRITERIA], differences)]
    return parts


def _comparisons(report: StudyFigures) -> list[str]:
    if not report["ab"]:
        return []
    rows = []
    for row in report["ab"]:
        verdicts = row["verdicts"]
        undecided = sum(verdicts[name] for name in ("disputed", "split", "incomplete"))
        shares = [share(row[outcome]) for outcome in OUTCOMES]
        rows.append(
            [f"{safe(row['first'])} vs. {safe(row['second'])}", *shares, row["comparisons"], row["same"], undecided]
        )
    header = ["A/B", "first wins", "first loses", "tie", "comparisons", "of equal replies", "no verdict yet"]
    votes = [
        [
            f"{safe(row['first'])} vs. {safe(row['second'])}",
            *(share(row["votes"][outcome]) for outcome in OUTCOMES),
            row["votes"]["cast"],
        ]
        for row in report["ab"]
    ]
    return [
        "## A/B, by majority (as Table 3)",
        table(header, rows),
        "## A/B, by votes",
        "Every vote counts, with or without a majority; equal replies are everybody's tie.",
        table(["A/B", "first wins", "first loses", "tie", "votes"], votes),
    ]


def share(found: Interval) -> str:
    """A share as a percentage with its interval."""
    return _figure(found, percent=True)


def _figure(found: Interval, *, bold: bool = False, sign: str = "", percent: bool = False) -> str:
    def number(value: float | None) -> str:
        if value is None:
            return "-"
        return f"{100 * value:.1f}" if percent else f"{value:{sign}.2f}"

    if found["value"] is None:
        return "-"
    value = number(found["value"]) + (" %" if percent else "")
    return f"{f'**{value}**' if bold else value} [{number(found['low'])}, {number(found['high'])}]"
