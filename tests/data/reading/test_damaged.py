"""Compressed files and Parquet that are cut off or damaged: what can be read is, and the rest is counted."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from mime_fast.data.reading import opening
from mime_fast.data.reading.options import Columns
from mime_fast.data.reading.reader import Reader
from mime_fast.data.reading.rows import Broken
from mime_fast.data.reading.sources import find_sources
from mime_fast.errors import DataError
from tests.data.reading.conftest import rows_of

ROWS = 20_000


def lines() -> bytes:
    rng = np.random.default_rng(0)
    return b"".join(b'{"context": ["%d"], "response": "b"}\n' % number for number in rng.integers(10**12, size=ROWS))


def frames(content: bytes, size: int = 100_000) -> list[bytes]:
    codec = pa.Codec("zstd")
    return [codec.compress(content[at : at + size], asbytes=True) for at in range(0, len(content), size)]


def lost(path: Path) -> tuple[int, int]:
    """Good rows, and how many the last, bad one is reported for."""
    *rows, last = Reader(find_sources(path), Columns())
    assert isinstance(last.content, Broken), last
    assert all(isinstance(row.content, bytes | dict) for row in rows)
    return len(rows), last.content.lost


def test_several_frames_and_skippable_ones(tmp_path: Path) -> None:
    content = lines()
    skippable = b"\x5a\x2a\x4d\x18" + (12).to_bytes(4, "little") + b"x" * 12
    (tmp_path / "a.jsonl.zst").write_bytes(skippable + b"".join(skippable + frame for frame in frames(content)))
    assert len(rows_of(tmp_path / "a.jsonl.zst")) == ROWS
    cut = content.index(b"\n", 300_000) + 7
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(content[:cut]) + gzip.compress(content[cut:]))
    assert len(rows_of(tmp_path / "b.jsonl.gz")) == ROWS


@pytest.mark.parametrize("kind", ["gz", "zst"])
def test_what_is_cut_off_is_reported(tmp_path: Path, kind: str) -> None:
    whole = gzip.compress(lines()) if kind == "gz" else b"".join(frames(lines()))
    file = tmp_path / f"a.jsonl.{kind}"
    file.write_bytes(whole[: len(whole) * 2 // 3])
    rows, _ = lost(file)
    assert 0.5 * ROWS < rows < 0.7 * ROWS
    assert "ends early" in rows_of(file)[-1][-1]


@pytest.mark.parametrize("kind", ["gz", "zst"])
@pytest.mark.parametrize("what", ["garbage", "cut off", "cut off early"])
def test_what_follows_a_whole_frame_costs_none_of_its_rows(tmp_path: Path, kind: str, what: str) -> None:
    content = lines()[: 36 * 3000]
    whole = gzip.compress(content) if kind == "gz" else pa.Codec("zstd").compress(content, asbytes=True)
    tail = {"garbage": b"x" * 12, "cut off": whole[: len(whole) // 2], "cut off early": whole[:5]}[what]
    (tmp_path / "a").write_bytes(whole + tail)
    assert lost(tmp_path / "a")[0] >= content.count(b"\n")


@pytest.mark.parametrize("kind", ["gz", "zst"])
def test_damage_counts_for_all_rows_that_follow(tmp_path: Path, kind: str) -> None:
    content = lines() * 10
    whole = bytearray(gzip.compress(content) if kind == "gz" else b"".join(frames(content)))
    at = len(whole) // 2
    whole[at : at + 2000] = b"\xff" * 2000
    file = tmp_path / f"a.jsonl.{kind}"
    file.write_bytes(whole)
    rows, missing = lost(file)
    assert rows > 0.3 * ROWS
    assert rows + missing == pytest.approx(10 * ROWS, rel=0.25)


def test_parquet_with_a_damaged_row_group(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    table = pa.table({"context": [str(one) for one in rng.integers(10**15, size=4000)], "response": ["b"] * 4000})
    parquet.write_table(table, tmp_path / "a.parquet", row_group_size=1000, compression="zstd", use_dictionary=False)
    content = bytearray((tmp_path / "a.parquet").read_bytes())
    at = len(content) * 5 // 8
    content[at : at + 3000] = b"\0" * 3000
    (tmp_path / "a.parquet").write_bytes(content)
    rows, missing = lost(tmp_path / "a.parquet")
    assert 0 < rows < 4000
    assert rows + missing == 4000
    assert f"{missing} of its 4000 rows are lost" in rows_of(tmp_path / "a.parquet")[-1][-1]


def test_parquet_that_is_cut_off(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"context": ["a"] * 100, "response": ["b"] * 100}), tmp_path / "a.parquet")
    content = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(content[:-100])
    (row,) = rows_of(tmp_path / "a.parquet")
    assert f"its {len(content) - 100} bytes are lost" in row[-1]


def test_a_failing_disk_names_the_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing(io.RawIOBase):
        served = 0

        def read(self, size: int = -1) -> bytes:
            self.served += 1
            if self.served > 1:
                raise OSError(5, "Input/output error")
            return b'{"context": ["a"], "response": "b"}\n'

    (tmp_path / "a.jsonl").write_bytes(b"")
    monkeypatch.setattr(opening, "open_stored", lambda _: Failing())
    with pytest.raises(DataError, match=r"a.jsonl, line 2: cannot be read: Input/output error"):
        rows_of(tmp_path / "a.jsonl")


def test_rows_are_streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stream(io.RawIOBase):
        served = 0

        def read(self, size: int = -1) -> bytes:
            self.served += 1
            return b'{"context": ["a"], "response": "b"}\n'

    stream = Stream()
    monkeypatch.setattr(opening, "open_stored", lambda _: stream)
    rows = iter(Reader(find_sources("-"), Columns()))
    assert [next(rows).index for _ in range(3)] == [0, 1, 2]
    assert stream.served <= 4
