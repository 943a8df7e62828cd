"""The optimizer: Adam where there is nothing to turn, faster where numbers depend on each other."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from lipt_stream.train.soap import EPSILON, MEMORY, MOMENTUM, Soap


def correlated(*shape: int, seed: int = 0) -> tuple[nn.Parameter, Callable[[Tensor], Tensor]]:
    """A weight (out, in) or (out, in, 3, 3) to find from what it makes of inputs that resemble each other, and, at each
    place of its kernel, those at the others; and the mean squared distance of what it makes."""
    generator = torch.Generator().manual_seed(seed)
    wanted = torch.randn(shape, generator=generator)
    seen = torch.randn(256, shape[1], wanted[0, 0].numel(), generator=generator)
    for axis in (1, 2):
        size = seen.shape[axis]
        turn = torch.linalg.qr(torch.randn(size, size, generator=generator)).Q
        seen = (seen.movedim(axis, -1) * torch.logspace(0, -1, size) @ turn).movedim(-1, axis)

    def distance(weight: Tensor) -> Tensor:
        return (seen.flatten(1) @ (weight - wanted).flatten(1).mT).square().mean()

    return nn.Parameter(torch.zeros(shape)), distance


def train(parameter: nn.Parameter, distance: Callable[[Tensor], Tensor], steps: int, *, adam: bool = False) -> float:
    """The mean squared distance at which it ends."""
    soap, usual = Soap([parameter]), torch.optim.Adam([parameter])
    for number in range(steps):
        rate = 0.05 * (1 - number / steps)
        parameter.grad = None
        distance(parameter).backward()
        if adam:
            usual.param_groups[0]["lr"] = rate
            usual.step()
        else:
            soap.step(rate)
    return float(distance(parameter.detach()))


@pytest.mark.parametrize("shape", [(12,), (1, 1, 1, 1)], ids=str)
def test_what_has_no_directions_is_stepped_as_by_adam(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    ours = nn.Parameter(torch.randn(shape))
    theirs = copy.deepcopy(ours)
    soap, adam = Soap([ours]), torch.optim.Adam([theirs], lr=0.01, betas=(MOMENTUM, MEMORY), eps=EPSILON)
    for _ in range(25):
        ours.grad = torch.randn(shape)
        theirs.grad = ours.grad.clone()
        soap.step(0.01)
        adam.step()
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("shape", [(8, 24), (8, 8, 3, 3), (3, 36, 3, 3)], ids=str)
def test_weights_whose_inputs_resemble_each_other_are_found_sooner_than_by_adam(shape: tuple[int, ...]) -> None:
    assert train(*correlated(*shape), 1000) < 0.6 * train(*correlated(*shape), 1000, adam=True)


def test_weights_of_one_shape_step_as_each_would_alone() -> None:
    problems = [correlated(4, 6, 3, 3, seed=seed) for seed in range(3)]
    together = [parameter for parameter, _ in problems]
    soap = Soap(together)
    for _ in range(23):
        soap.zero_grad()
        sum(distance(parameter) for parameter, distance in problems).backward()  # pyright: ignore[reportUnknownMemberType, reportAttributeAccessIssue]
        soap.step(0.01)
    for seed, parameter in enumerate(together):
        alone, distance = correlated(4, 6, 3, 3, seed=seed)
        single = Soap([alone])
        for _ in range(23):
            single.zero_grad()
            distance(alone).backward()
            single.step(0.01)
        torch.testing.assert_close(parameter, alone, rtol=1e-3, atol=1e-4)


def test_bases_stay_orthogonal_and_become_the_gradients_own_directions() -> None:
    generator = torch.Generator().manual_seed(0)
    turn = torch.linalg.qr(torch.randn(5, 5, generator=generator)).Q
    sizes = torch.tensor([8.0, 4.0, 2.0, 1.0, 0.5])
    weight = nn.Parameter(torch.zeros(3, 5))
    soap = Soap([weight])
    for _ in range(2000):
        weight.grad = (torch.randn(3, 5, generator=generator) * sizes) @ turn.mT
        soap.step(1e-3)
    basis = soap.state_dict()["stacks"][0]["basis2"][0]
    torch.testing.assert_close(basis.mT @ basis, torch.eye(5), atol=1e-5, rtol=0)
    assert (basis.mT @ turn).diagonal().abs().min() > 0.95


def test_weights_that_nothing_reaches_stay_where_they_are() -> None:
    weight = nn.Parameter(torch.ones(4, 4, 3, 3))
    soap = Soap([weight])
    for _ in range(25):
        weight.grad = torch.zeros_like(weight)
        soap.step(0.1)
    assert torch.equal(weight, torch.ones_like(weight))
