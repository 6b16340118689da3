"""Array types of this package."""

import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]
"""``[H, W, 3]`` RGB, 0 to 255, sRGB."""

Mask = npt.NDArray[np.uint8]
"""``[H, W]``, 255 where a change is allowed, 0 where it is not."""
