"""The networks of a backbone as the models' code sees them: asynchronous functions over torch tensors.

Inside Triton each is a call to the model of that name (`bls_networks.py`); in tests they are the modules themselves.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence

import torch

# Inputs by name, batch axis first, as in the network's contract; gives the network's only output.
Network = Callable[[Mapping[str, torch.Tensor]], Awaitable[torch.Tensor]]
# By the name of the model in Triton.
Networks = Mapping[str, Network]


def chunks(count: int, size: int) -> Sequence[slice]:
    """Cut ``count`` rows into runs of at most ``size``."""
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]
