"""Array types that every package shares."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]
"""``[H, W, 3]`` RGB, 0 to 255, sRGB."""

Mask = npt.NDArray[np.uint8]
"""``[H, W]``, 255 where a change is allowed, 0 where it is not."""

UInt8 = npt.NDArray[np.uint8]
UInt16 = npt.NDArray[np.uint16]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Array = npt.NDArray[Any]
Arrays = Mapping[str, Array]
"""By name."""
