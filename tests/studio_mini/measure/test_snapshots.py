"""Mixtures of denoisers, also where one has more layers."""

from unittest import mock

import torch

from studio_mini.architecture import build_transformer
from studio_mini.measure.snapshots import Bench
from studio_mini.train.growth import grown


def test_mixtures_lie_between_the_checkpoint_and_a_larger_denoiser() -> None:
    base = build_transformer(1, layers=1)
    other = grown(build_transformer(2, layers=1), 3)
    bench = mock.Mock(base=base)
    found = {share: Bench.mixture(bench, other, share).state_dict() for share in (0.0, 0.25, 1.0)}
    assert {len([name for name in state if name.endswith("img_mod.1.bias")]) for state in found.values()} == {3}
    for name, value in grown(base, 3).state_dict().items():
        torch.testing.assert_close(found[0.0][name], value)
        torch.testing.assert_close(found[0.25][name], 0.75 * value + 0.25 * other.state_dict()[name])
        torch.testing.assert_close(found[1.0][name], other.state_dict()[name])
