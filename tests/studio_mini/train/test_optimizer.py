"""Muon's update is orthogonal, its state comes back, and what gets no gradient stays."""

import torch
from torch import nn

from studio_mini.train.optimizer import MuonAdamW, orthogonalized


class Toy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.blocks = nn.ModuleList([nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8)) for _ in range(2)])
        self.unused = nn.ModuleList([nn.Linear(8, 8)])
        self.head = nn.Linear(8, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = x + block(x)
        return self.head(x)


def optimizer(toy: Toy) -> MuonAdamW:
    return MuonAdamW(nn.ModuleDict({"net": toy}), muon_rate=0.02, adam_rate=0.01, weight_decay=0.0)


def test_singular_values_come_close_to_one() -> None:
    draw = torch.Generator().manual_seed(1)
    for shape in ((3, 16, 40), (3, 40, 16)):
        values = torch.linalg.svdvals(orthogonalized(torch.randn(shape, generator=draw)))
        assert values.min() > 0.5
        assert values.max() < 1.4


def test_training_resumes_and_lowers_the_loss() -> None:
    x = torch.randn(64, 8, generator=torch.Generator().manual_seed(2))
    y = x.sum(1, keepdim=True).tanh()

    def steps(toy: Toy, opt: MuonAdamW, count: int) -> float:
        for _ in range(count):
            loss = (toy(x) - y).square().mean()
            loss.backward()
            opt.step(1.0)
        return float((toy(x) - y).square().mean().detach())

    whole = Toy()
    start = float((whole(x) - y).square().mean().detach())
    end = steps(whole, optimizer(whole), 20)
    first = Toy()
    opt = optimizer(first)
    steps(first, opt, 10)
    second = Toy()
    second.load_state_dict(first.state_dict())
    again = optimizer(second)
    again.load_state_dict(opt.state_dict())
    assert steps(second, again, 10) == end < start
    assert torch.equal(second.unused[0].weight, Toy().unused[0].weight)
