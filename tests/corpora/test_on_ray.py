"""Jobs and datasets on a local Ray of two actors: what comes out is what one process makes."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mime_fast import distributed
from mime_fast.data.reading.options import Columns
from mime_fast.data.reading.sources import find_sources
from mime_fast.errors import BackendError, ConfigError, DataError
from tests.corpora.conftest import MakeJob, some_rows, write_rows

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install '.[ray]'")
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # Ray's own
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore:The minimum number of concurrent actors"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        ray.init(address="local", num_cpus=3, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        ray.data.DataContext.get_current().enable_progress_bars = False
        yield
        ray.shutdown()


def on_ray(make_job: MakeJob, *given: Any, **options: Any) -> Any:
    return make_job(*given, **{"workers": 2, "ray_address": ""} | options)


def parent_of(pid: int) -> int:
    (found,) = re.findall(r"^PPid:\t(\d+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(found)


def kill_an_actor(pause: float) -> bool:
    """SIGKILL to one of this session's actors as soon as there is one that has worked for some time."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        time.sleep(pause)
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                is_actor = (folder / "cmdline").read_bytes().startswith(b"ray::MapWorker")
                starter = parent_of(parent_of(int(folder.name))) if is_actor else None  # the raylet's
            except OSError:
                continue
            if starter == os.getpid():
                os.kill(int(folder.name), signal.SIGKILL)
                return True
    return False


@pytest.mark.parametrize("name", ["out.jsonl", "parts.parquet/"])
@pytest.mark.parametrize("kind", ["score", "generate"])
def test_a_job_gives_the_bytes_of_one_machine(tmp_path: Path, make_job: MakeJob, kind: str, name: str) -> None:
    rows: list[Any] = some_rows(600)
    rows[300], rows[599] = "{", {"context": []}
    inputs = [
        str(write_rows(tmp_path / f"{i}.jsonl", rows[start:end])) for i, start, end in ((0, 0, 250), (1, 250, 600))
    ]
    task = {"seed": 5, "search": {"do_sample": True, "num_beams": 1} if kind == "generate" else {}}
    for folder in ("here", "ray"):
        (tmp_path / folder).mkdir()
    here = make_job(inputs, f"{tmp_path}/here/{name}", kind=kind, task=task).run()
    there = on_ray(make_job, inputs, f"{tmp_path}/ray/{name}", kind=kind, task=task).run()
    for figure in ("rows", "errors", "tokens", "perplexity_micro", "perplexity_macro", "emotions"):
        assert getattr(here, figure) == getattr(there, figure)
    files = {path.relative_to(tmp_path / "here") for path in (tmp_path / "here").rglob("*") if path.is_file()}
    files = {file for file in files if "manifest" not in file.name}
    assert len(files) == (2 if name == "out.jsonl" else 16)
    for file in files:
        assert (tmp_path / "here" / file).read_bytes() == (tmp_path / "ray" / file).read_bytes()


def test_five_thousand_rows_and_a_killed_actor(tmp_path: Path, make_job: MakeJob) -> None:
    source = write_rows(tmp_path / "in.jsonl", some_rows(5_000))
    make_job(source, tmp_path / "here.jsonl", part_rows=700).run()
    killed: list[bool] = []
    killer = threading.Thread(target=lambda: killed.append(kill_an_actor(0.2)))
    killer.start()
    summary = on_ray(make_job, source, tmp_path / "ray.jsonl", part_rows=700).run()
    killer.join()
    assert killed == [True]
    assert summary.rows == summary.answered == 5_000
    assert (tmp_path / "ray.jsonl").read_bytes() == (tmp_path / "here.jsonl").read_bytes()


def test_goes_on_where_one_machine_stopped(tmp_path: Path, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    source, out = write_rows(tmp_path / "in.jsonl", some_rows(400)), tmp_path / "out.jsonl"
    make_job(source, tmp_path / "whole.jsonl").run()
    job = make_job(source, out)
    with monkeypatch.context() as patch:
        patch.setattr("mime_fast.corpora.job.CorpusJob._check_errors", stop_after(3))
        with pytest.raises(KeyboardInterrupt):
            job.run()
    assert on_ray(make_job, source, out).run().rows_now == 280
    assert out.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def stop_after(parts: int) -> Any:
    left = [parts]

    def check(*_: object, **__: object) -> None:
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt

    return check


def test_what_is_wrong_is_told_as_here(tmp_path: Path, make_job: MakeJob) -> None:
    source = write_rows(tmp_path / "in.jsonl", [*some_rows(5), "{"])
    with pytest.raises(DataError, match=r"in.jsonl, line 6: not JSON .*the first bad row"):
        on_ray(make_job, source, tmp_path / "out.jsonl", strict=True).run()
    with pytest.raises(ConfigError, match="num_beams=0"):
        on_ray(make_job, source, tmp_path / "out.jsonl", kind="generate", task={"search": {"num_beams": 0}}).run()
    with pytest.raises(ConfigError, match="standard input"):
        on_ray(make_job, "-", tmp_path / "out.jsonl").run()
    with pytest.raises(ConfigError, match="Ray: an output that is a file"):
        on_ray(make_job, source, None)
    with pytest.raises(BackendError, match="no GPU"):
        on_ray(make_job, source, tmp_path / "out.jsonl", load_options={"device": "cuda"}).run()
    assert not (tmp_path / "out.jsonl").exists()


def test_datasets(make_job: MakeJob, model_dir: Path) -> None:
    import mime_fast

    rows = some_rows(300)
    for i, row in enumerate(rows):
        row |= {"said": row.pop("context"), "seed": i % 3}
    rows[7]["said"] = ["a", "b"]
    options: Any = {"model": str(model_dir), "columns": Columns("said"), "num_actors": 2, "top_emotions": 2}
    found = distributed.score(ray.data.from_items(rows, override_num_blocks=4), **options).take_all()
    assert [row["row"] for row in found] == list(range(300))
    assert found[7]["id"] == "row-7" and "agent spoke last" in found[7]["error"] and found[7]["logprob"] is None
    good = [i for i in range(300) if i != 7]
    engine = mime_fast.load(model_dir, threads=1)
    said, seeds = [rows[i]["said"] for i in good], [i % 3 for i in good]
    scores = engine.score(said, [rows[i]["response"] for i in good], seed=seeds, request_ids=good)
    for i, score in zip(good, scores, strict=True):
        row = found[i]
        assert (row["id"], row["error"], row["tokens"]) == (f"row-{i}", None, score.tokens)
        assert (row["logprob"], row["token_logprobs"]) == (score.logprob, score.token_logprobs)
        assert sum(share is not None for share in row["emotion_probs"].values()) == 2
    numbered = ray.data.from_items([row | {"row": 1000 + i} for i, row in enumerate(rows)], override_num_blocks=3)
    search: Any = {"do_sample": True, "num_beams": 1, "max_new_tokens": 8}
    replies = distributed.generate(numbered, **options, **search).take_all()
    wanted = engine.generate(said, seed=seeds, request_ids=[1000 + i for i in good], **search)
    assert [replies[i]["text"] for i in good] == [reply.text for reply in wanted]
    assert replies[7]["row"] == 1007 and replies[7]["text"] is None


def test_a_union_is_numbered_as_it_is_shown(model_dir: Path) -> None:
    parts = [ray.data.from_items(some_rows(40)[i : i + 20], override_num_blocks=4) for i in (0, 20)]
    dataset = parts[0].union(parts[1])
    shown = [row["id"] for row in dataset.take_all()]
    found = distributed.score(dataset, model=str(model_dir), num_actors=1).take_all()
    assert [row["id"] for row in found] == shown == [f"row-{i}" for i in range(40)]
    assert [row["row"] for row in found] == list(range(40))
    numbered = [ray.data.from_items([row | {"row": 7}], override_num_blocks=1) for row in some_rows(4)]
    again = distributed.score(numbered[0].union(*numbered[1:]), model=str(model_dir), num_actors=1).take_all()
    assert [(row["id"], row["row"]) for row in again] == [(f"row-{i}", 7) for i in range(4)]
    contexts = [one.context for one in (dataset, *parts)] + [ray.data.DataContext.get_current()]
    assert not any(context.execution_options.preserve_order for context in contexts)


def test_a_dataset_whose_actor_is_killed(model_dir: Path) -> None:
    dataset = ray.data.from_items(some_rows(3_000), override_num_blocks=12)
    killed: list[bool] = []
    killer = threading.Thread(target=lambda: killed.append(kill_an_actor(0.2)))
    killer.start()
    found = distributed.score(dataset, model=str(model_dir), num_actors=2).take_all()
    killer.join()
    assert killed == [True]
    assert [(row["row"], row["id"], row["error"]) for row in found] == [(i, f"row-{i}", None) for i in range(3_000)]


def test_row_numbers_that_are_none(model_dir: Path) -> None:
    rows: list[dict[str, Any]] = [{"row": number, "context": ["hello"], "response": "hi"} for number in (0, -1)]
    good, bad = distributed.score(ray.data.from_items(rows), model=str(model_dir)).take_all()
    assert good["error"] is None
    assert (bad["row"], bad["logprob"]) == (None, None) and "row=-1" in bad["error"]
    with pytest.raises(ConfigError, match="num_actors=-1"):
        distributed.score(ray.data.from_items(rows), num_actors=-1)


def test_inputs_by_uri(tmp_path: Path, make_job: MakeJob) -> None:
    source = write_rows(tmp_path / "in.jsonl", some_rows(100))
    assert [one.name for one in find_sources(f"file://{tmp_path}")] == [str(source)]
    make_job(source, tmp_path / "path.jsonl").run()
    on_ray(make_job, f"file://{source}", tmp_path / "uri.jsonl").run()
    assert (tmp_path / "path.jsonl").read_bytes() == (tmp_path / "uri.jsonl").read_bytes()
