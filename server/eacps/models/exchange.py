"""Numpy arrays to and from the tensors of Triton's Python backend, by DLPack and without torch.

Imported inside Triton only, where ``triton_python_backend_utils`` exists. The embedded Triton was built for numpy 1:
``as_numpy`` misreads numpy 2's arrays, and numpy's own DLPack capsules are wrongly freed.
"""

import ctypes
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found]
from numpy.typing import NDArray

_set_destructor = ctypes.pythonapi.PyCapsule_SetDestructor
_set_destructor.argtypes = [ctypes.py_object, ctypes.c_void_p]


def array_of(tensor: Any) -> NDArray[Any]:
    """Return a tensor's values, wherever they are; on the host without a copy, and valid as long as the tensor."""
    if tensor.is_cpu():
        return np.from_dlpack(tensor)
    # Torch takes seconds in every process that imports it: only where another model answers from a GPU.
    from torch.utils.dlpack import from_dlpack

    array: NDArray[Any] = from_dlpack(tensor.to_dlpack()).cpu().numpy()
    return array


def tensor_of(name: str, array: NDArray[Any]) -> Any:
    """Return a tensor on the array's memory, or on a copy where that is not contiguous or must not be written."""
    capsule = np.require(array, requirements=("C", "W")).__dlpack__()
    tensor = pb_utils.Tensor.from_dlpack(name, capsule)
    # The memory is the tensor's now. Triton marks the capsule as used by a name that numpy does not know: numpy would
    # print a traceback into the log for every tensor sent.
    _set_destructor(capsule, None)
    return tensor
