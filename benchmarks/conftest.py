"""Fixtures of the benchmarks: models, the parity gate, races; the report is written when the session ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks import subjects
from benchmarks.engines import CONTENDERS, Contender, MimeRunner, Runner, Unavailable, load, run
from benchmarks.figures import Agreement, Failure, Figure, to_json
from benchmarks.instructions import family, peer_settings, resolved
from benchmarks.kept import Kept
from benchmarks.machine import facts
from benchmarks.parity import faults
from benchmarks.race import CLOCK, Rounds, race
from benchmarks.ratios import below_one
from benchmarks.subjects import FULL, QUICK, Effort, Subject
from benchmarks.tasks import TASKS, Task, task_of

KEPT = pytest.StashKey[Kept]()
NO_PICTURE = pytest.StashKey[str]()
ENDED = {
    int(pytest.ExitCode.TESTS_FAILED): "some cases failed",
    int(pytest.ExitCode.INTERRUPTED): "it was interrupted",
    int(pytest.ExitCode.INTERNAL_ERROR): "pytest itself failed",
}
ENGINES = pytest.StashKey[dict[str, object]]()
Note = Callable[[Figure, Sequence[float]], None]
TOO_SLOW = 60.0  # seconds per round; slower engines are not measured
Race = dict[Contender, Rounds | str]  # a reason in place of rounds where an engine cannot run


def effort_of(config: pytest.Config) -> Effort:
    return QUICK if config.getoption("mime_benchmark_quick") else FULL


@pytest.fixture(scope="session")
def effort(request: pytest.FixtureRequest) -> Effort:
    return effort_of(request.config)


@pytest.fixture(scope="session")
def isa(request: pytest.FixtureRequest) -> str:
    """The instruction set that was asked for, or "auto"."""
    return str(request.config.getoption("mime_benchmark_isa"))


@pytest.fixture(scope="session")
def cache(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where models are kept from run to run."""
    kept = getattr(request.config, "cache", None)
    return kept.mkdir("mime_fast_benchmarks") if kept else tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def random_subject(cache: Path, isa: str) -> Subject:
    return subjects.random_subject(cache, isa)


@pytest.fixture(scope="session")
def shipped_subject(cache: Path, effort: Effort, isa: str) -> Subject:
    return subjects.shipped_subject(cache, effort, isa)


@pytest.fixture(scope="session")
def parity(random_subject: Subject, shipped_subject: Subject, effort: Effort) -> list[Agreement]:
    """Native float32 compared with the reference, random weights first; nothing is measured if it fails."""
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
    if found.error:
        pytest.fail(found.error)
    return found


@pytest.fixture
def note(request: pytest.FixtureRequest, benchmark: BenchmarkFixture) -> Generator[Note, None, None]:
    """Keep a figure for the report, and show seconds in pytest-benchmark's table."""

    def keep(figure: Figure, seconds: Sequence[float]) -> None:
        rounds = iter(seconds)
        benchmark.extra_info.update(to_json(figure))
        benchmark.pedantic(lambda: CLOCK.advance(next(rounds)), rounds=len(seconds))  # type: ignore[no-untyped-call]
        _kept(request.config).add(figure)

    yield keep
    benchmark.skipped = True  # a case that failed or was stopped has used no timer, of which the plugin would warn


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


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A case that fails or does not run is a row of the report."""
    found = yield
    if found.failed or found.skipped:
        reason = call.excinfo.exconly() if call.excinfo else found.longreprtext
        outcome = "failed" if found.failed else "not run"
        _kept(item.config).add(Failure(item.nodeid.rpartition("/")[2], outcome, reason))
    return found


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Write the report, however the run ended."""
    config = session.config
    name = resolved(config.getoption("mime_benchmark_isa"))
    machine = facts(config.invocation_params.args, name, peer_settings(config.getoption("mime_benchmark_isa")))
    ended = ENDED.get(int(exitstatus), "")
    engines: dict[str, object] = config.stash.get(ENGINES, {})
    config.stash[NO_PICTURE] = _kept(config).write(machine, engines, ended)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if behind := below_one(_kept(config).figures):
        terminalreporter.section("ratios under 1: the peer is ahead")
        for line in behind:
            terminalreporter.write_line(line)
    if reason := config.stash.get(NO_PICTURE, ""):
        terminalreporter.write_line(reason)


def _kept(config: pytest.Config) -> Kept:
    if KEPT not in config.stash:
        stem = config.getoption("mime_benchmark_report")
        name = family(resolved(config.getoption("mime_benchmark_isa")))
        config.stash[KEPT] = Kept(Path(str(stem).replace("{isa}", name)) if stem else None)
    return config.stash[KEPT]


def _params(item: pytest.Item) -> dict[str, Any]:
    """What pytest parametrised the item with."""
    params: dict[str, Any] = item.callspec.params  # type: ignore[attr-defined]
    return params


def _race(config: pytest.Config, contenders: Sequence[Contender], subject: Subject, task: Task, batch: int) -> Race:
    effort = effort_of(config)
    chunks = subject.work.first(effort.replies[batch]).chunks(batch)
    warm_up = chunks[0].first(16)
    found: Race = {}
    runners: dict[Contender, Runner] = {}
    for contender in contenders:
        try:
            runner = load(contender, subject.files, batch, 1)
            began = time.perf_counter()
            run(runner, task, warm_up)
            expected = (time.perf_counter() - began) * effort.replies[batch] / len(warm_up)
            if expected > TOO_SLOW:
                raise Unavailable(f"too slow: a round would take about {expected:.0f} s, of {TOO_SLOW:.0f} allowed")
            runners[contender] = runner
        except Unavailable as error:
            found[contender] = str(error)
            continue
        except Exception as error:  # the others go on
            found[contender] = Rounds(error=f"{type(error).__name__}: {error}")
            continue
        _describe(config, contender, runners[contender])

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
