"""The adversary learns to tell pictures apart, pays gradient to the pictures alone, and resumes."""

import copy
import math

import torch

from studio_mini.train.adversary import Adversary

VIEWS = ("face", "picture")


def adversary(seed: int = 0) -> Adversary:
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    return Adversary(VIEWS, "cpu")


def pictures(seed: int, *, blurred: bool) -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    sharp = torch.rand(4, 3, 48, 48, generator=draw).round() * 2 - 1
    shown = torch.nn.functional.avg_pool2d(sharp, 5, 1, 2) if blurred else sharp
    return dict.fromkeys(VIEWS, shown)


def test_it_learns_to_tell_smears_from_truths() -> None:
    telling = adversary()
    losses = [float(telling.learn(pictures(k, blurred=True), pictures(k, blurred=False))) for k in range(40)]
    assert abs(losses[0] - math.log(2)) < 0.1
    assert losses[-1] < 0.5


def test_only_pictures_get_gradient_from_its_terms() -> None:
    telling = adversary()
    made = {name: one.requires_grad_() for name, one in pictures(0, blurred=True).items()}
    terms = telling.terms(made, pictures(0, blurred=False))
    assert set(terms) == {"adversary", "features"}
    torch.stack(list(terms.values())).sum().backward()
    assert all(one.grad is not None and one.grad.any() for one in made.values())
    assert all(weight.grad is None for weight in telling.parameters())


def test_the_truth_itself_is_not_told_apart() -> None:
    truths = pictures(0, blurred=False)
    terms = adversary().eval().terms(truths, truths)
    assert abs(float(terms["adversary"]) - math.log(2)) < 1e-5
    assert float(terms["features"]) < 1e-6


def test_resuming_changes_nothing() -> None:
    whole, resumed = adversary(), adversary(seed=1)
    whole.learn(pictures(0, blurred=True), pictures(0, blurred=False))
    resumed.load_state_dict(whole.state_dict())
    resumed.optimizer.load_state_dict(copy.deepcopy(whole.optimizer.state_dict()))
    for one in (whole, resumed):
        one.learn(pictures(1, blurred=True), pictures(1, blurred=False))
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        torch.testing.assert_close(a, b)
