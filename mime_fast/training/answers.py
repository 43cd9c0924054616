"""What the teachers of L_cls say of each example, kept in a run's folder."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mime_fast.errors import CheckpointError
from mime_fast.files import write_bytes


def kept_answers(path: Path, count: int) -> npt.NDArray[np.float32] | None:
    """Answers [count, 32] that a run has kept; None where there is no such file.

    Raises:
        CheckpointError: the file is none of ours.
    """
    if not path.is_file():
        return None
    try:
        probs: npt.NDArray[np.float32] = np.load(path)
    except (OSError, ValueError, EOFError) as error:
        raise CheckpointError(f"{path}: not readable ({error}); it can be deleted, and is made again") from None
    if len(probs) != count:
        raise CheckpointError(f"{path}: {len(probs)} answers; must be {count}")
    return probs


def keep_answers(probs: npt.NDArray[np.float32], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()  # into a file NumPy writes by C's stdio, whose last error is lost
    np.save(content, probs)
    write_bytes(path, content.getvalue())
