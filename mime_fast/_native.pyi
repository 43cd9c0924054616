from typing import Literal, overload

import numpy as np
import numpy.typing as npt

@overload
def standard_normal(
    seeds: npt.NDArray[np.uint64],
    request_ids: npt.NDArray[np.uint64],
    purpose: int,
    size: int,
    *,
    step: int = 0,
    sequence: int = 0,
    dtype: Literal["float64"] = "float64",
) -> npt.NDArray[np.float64]: ...
@overload
def standard_normal(
    seeds: npt.NDArray[np.uint64],
    request_ids: npt.NDArray[np.uint64],
    purpose: int,
    size: int,
    *,
    step: int = 0,
    sequence: int = 0,
    dtype: Literal["float32"],
) -> npt.NDArray[np.float32]: ...
