"""Fixtures of the benchmarks: models, the parity gate, races; the report is written when the session ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks import chart, report, subjects
from benchmarks.engines import CONTENDERS, Contender, MimeRunner, Runner, Unavailable, load, run
from benchmarks.figures import Agreement, Figure, to_json
from benchmarks.machine import facts
from benchmarks.parity import faults
from benchmarks.race import CLOCK, Rounds, race
from benchmarks.subjects import FULL, QUICK, Effort, Subject
from benchmarks.tasks import TASKS, Task, task_of

FIGURES = pytest.StashKey[list[Figure]]()
ENGINES = pytest.StashKey[dict[str, object]]()
Note = Callable[[Figure, Sequence[float]], None]
Race = dict[Contender, Rounds | str]  # a reason in place of rounds where an engine cannot run


def effort_of(config: pytest.Config) -> Effort:
    return QUICK if config.getoption("mime_benchmark_quick") else FULL


@pytest.fixture(scope="session")
def effort(request: pytest.FixtureRequest) -> Effort:
    return effort_of(request.config)


@pytest.fixture(scope="session")
def cache(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where models are kept from run to run."""
    kept = getattr(request.config, "cache", None)
    return kept.mkdir("mime_fast_benchmarks") if kept else tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def random_subject(cache: Path) -> Subject:
    return subjects.random_subject(cache)


@pytest.fixture(scope="session")
def shipped_subject(cache: Path, effort: Effort) -> Subject:
    return subjects.shipped_subject(cache, effort)


@pytest.fixture(scope="session")
def parity(random_subject: Subject, shipped_subject: Subject, effort: Effort) -> list[Agreement]:
    """Native float32 held against the reference, random weights first; nothing is measured if it fails."""
    pairs = ((random_subject, task_of("beam")), (shipped_subject, task_of("shipped-beam")))
    checked = [subjects.beside_reference(subject, task, min(64, effort.contexts)) for subject, task in pairs]
    found = [one for one in checked if one]
    wrong = [fault for fault in map(faults, found) if fault]
    if wrong:
        pytest.exit("parity failed, nothing is measured: " + "; ".join(wrong), returncode=1)
    return found


@pytest.fixture(scope="session")
def races() -> dict[tuple[str, int], Race]:
    """The races that were run, by task and batch."""
    return {}


@pytest.fixture
def rounds(
    request: pytest.FixtureRequest,
    races: dict[tuple[str, int], Race],
    effort: Effort,
    parity: list[Agreement],
    task: Task,
    batch: int,
    contender: Contender,
) -> Rounds:
    """This engine's rounds in the race of all that were selected for the same task and batch."""
    key = task.key, batch
    if key not in races:
        calls = [_params(item) for item in request.session.items if "rounds" in getattr(item, "fixturenames", ())]
        selected = [call["contender"] for call in calls if (call["task"], call["batch"]) == (task, batch)]
        subject = request.getfixturevalue(f"{task.model}_subject")
        races[key] = _race(request.config, selected, subject, task, batch)
    found = races[key][contender]
    if isinstance(found, str):
        pytest.skip(found)
    return found


@pytest.fixture
def note(request: pytest.FixtureRequest, benchmark: BenchmarkFixture) -> Note:
    """Keep a figure for the report, and show seconds in pytest-benchmark's table."""

    def keep(figure: Figure, seconds: Sequence[float]) -> None:
        rounds = iter(seconds)
        benchmark.extra_info.update(to_json(figure))
        benchmark.pedantic(lambda: CLOCK.advance(next(rounds)), rounds=len(seconds))  # type: ignore[no-untyped-call]
        request.config.stash.setdefault(FIGURES, []).append(figure)

    return keep


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every task at every batch size by every engine, the engines next to each other."""
    axes: dict[str, tuple[Sequence[object], Callable[[object], str]]] = {
        "task": (TASKS, lambda task: task.key if isinstance(task, Task) else ""),
        "batch": (effort_of(metafunc.config).batches, str),
        "contender": (CONTENDERS, lambda one: str(one).replace(" ", "-")),
    }
    for name, (values, label) in axes.items():
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, values, ids=label)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Write the report of a run without failures."""
    stem = session.config.getoption("mime_benchmark_report")
    figures = session.config.stash.get(FIGURES, [])
    if not (stem and figures) or exitstatus != 0:
        return
    machine = facts(session.config.invocation_params.args)
    path = Path(stem)
    path.parent.mkdir(parents=True, exist_ok=True)
    described = session.config.stash.get(ENGINES, {})
    path.with_suffix(".md").write_text(report.markdown(figures, machine), encoding="utf-8")
    path.with_suffix(".json").write_text(report.as_json(figures, machine, described), encoding="utf-8")
    chart.draw(figures, path.with_suffix(".png"))


def _params(item: pytest.Item) -> dict[str, Any]:
    """What pytest parametrised the item with."""
    params: dict[str, Any] = item.callspec.params  # type: ignore[attr-defined]
    return params


def _race(config: pytest.Config, contenders: Sequence[Contender], subject: Subject, task: Task, batch: int) -> Race:
    effort = effort_of(config)
    chunks = subject.work.first(effort.replies[batch]).chunks(batch)
    found: Race = {}
    runners: dict[Contender, Runner] = {}
    for contender in contenders:
        try:
            runners[contender] = load(contender, subject.files, batch, 1)
        except Unavailable as error:
            found[contender] = str(error)
            continue
        _describe(config, contender, runners[contender])
        run(runners[contender], task, chunks[0].first(64))  # warm-up

    def all_chunks(runner: Runner) -> Callable[[], None]:
        def once() -> None:
            for chunk in chunks:
                run(runner, task, chunk)

        return once

    return found | race({one: all_chunks(runner) for one, runner in runners.items()}, effort.rounds, effort.budget)


def _describe(config: pytest.Config, contender: Contender, runner: Runner) -> None:
    if isinstance(runner, MimeRunner):
        described = {name: value for name, value in runner.engine.describe().items() if name not in ("model", "name")}
        config.stash.setdefault(ENGINES, {}).setdefault(str(contender), described)
