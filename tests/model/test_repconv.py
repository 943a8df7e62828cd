"""Branches against their merge: the same function, its borders and its gradients included."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn

from lipt_stream.model.config import LiptConfig
from lipt_stream.model.lipt import LIPT, deploy
from lipt_stream.model.repconv import Affine, LinearBranches, RepConv, Sobel, chain, fold_batch_norm, merge


def randomise(module: nn.Module, seed: int = 0) -> None:
    """Every parameter and statistic away from its initial value, so that no term of a merge is zero or one."""
    generator = torch.Generator().manual_seed(seed)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.2, generator=generator)
            part.running_var.uniform_(0.3, 2, generator=generator)
            part.weight.data.uniform_(-0.5, 0.5, generator=generator)
            part.bias.data.normal_(0, 0.2, generator=generator)
        elif isinstance(part, Sobel):
            part.scale.data.normal_(0, 0.2, generator=generator)
            part.bias.data.normal_(0, 0.2, generator=generator)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-9)])
@pytest.mark.parametrize("size", [(1, 1), (1, 5), (2, 2), (9, 13)], ids=str)
def test_branches_merge_exactly_up_to_the_border(dtype: torch.dtype, tolerance: float, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    branches = RepConv(6).to(dtype).eval()
    randomise(branches)
    x = torch.randn(2, 6, *size, dtype=dtype)
    merged = branches.affine()
    assert merged.weight.shape == (6, 6, 3, 3)
    torch.testing.assert_close(F.conv2d(x, *merged, padding=1), branches(x), atol=tolerance, rtol=0)


def test_every_branch_takes_part() -> None:
    torch.manual_seed(0)
    branches = RepConv(4).eval()
    randomise(branches)
    whole = branches.affine().weight
    for branch in branches.branches:
        assert branch.affine().weight.abs().max() > 1e-3
    torch.testing.assert_close(merge(branch.affine() for branch in branches.branches).weight, whole)


def test_the_merge_carries_the_same_gradients_as_the_branches() -> None:
    torch.manual_seed(0)
    branches = RepConv(4).double().eval()
    randomise(branches)
    x, weight = torch.randn(2, 4, 7, 6, dtype=torch.float64), torch.randn(2, 4, 7, 6, dtype=torch.float64)
    parameters = list(branches.parameters())
    through_branches = torch.autograd.grad((branches(x) * weight).sum(), parameters)
    through_merge = torch.autograd.grad((F.conv2d(x, *branches.affine(), padding=1) * weight).sum(), parameters)
    for one, other in zip(through_branches, through_merge, strict=True):
        torch.testing.assert_close(one, other, atol=1e-9, rtol=1e-9)


def test_a_chain_of_full_convolutions() -> None:
    first = Affine(torch.randn(5, 3, 1, 1, dtype=torch.float64), torch.randn(5, dtype=torch.float64))
    second = Affine(torch.randn(4, 5, 3, 3, dtype=torch.float64), torch.randn(4, dtype=torch.float64))
    x = torch.randn(1, 3, 8, 8, dtype=torch.float64)
    steps = F.conv2d(F.conv2d(x, *first), *second)
    torch.testing.assert_close(F.conv2d(x, *chain(first, second)), steps, atol=1e-12, rtol=0)


def test_folding_a_batch_norm() -> None:
    norm = nn.BatchNorm2d(4).double().eval()
    randomise(norm)
    convolution = Affine(torch.randn(4, 3, 3, 3, dtype=torch.float64), torch.randn(4, dtype=torch.float64))
    x = torch.randn(1, 3, 6, 6, dtype=torch.float64)
    folded = F.conv2d(x, *fold_batch_norm(convolution, norm))
    torch.testing.assert_close(folded, norm(F.conv2d(x, *convolution)), atol=1e-12, rtol=0)


@st.composite
def configs(draw: st.DrawFn) -> LiptConfig:
    """Any small network, those included that no checkpoint has."""
    shared = draw(st.integers(0, 2))
    return LiptConfig(
        scale=draw(st.sampled_from([1, 2, 3, 4])),
        channels=draw(st.sampled_from([2, 4, 6])),
        units=draw(st.integers(1, 2)) * (1 + shared),
        shared=shared,
        window=draw(st.sampled_from([2, 4, 8, 16])),
        scattered=draw(st.booleans()),
        sampled_values=draw(st.booleans()),
    )


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-9)])
@settings(max_examples=6)
@given(config=configs(), height=st.integers(1, 24), width=st.integers(1, 24))
@example(config=LiptConfig(3, 8, 4, 1, 8), height=13, width=22)
@example(config=LiptConfig(4, 4, 6, 2, 16, scattered=True, sampled_values=True), height=17, width=1)
def test_deploy_is_exact(dtype: torch.dtype, tolerance: float, config: LiptConfig, height: int, width: int) -> None:
    torch.manual_seed(0)
    model = LIPT(config, deployed=False).to(dtype).eval()
    randomise(model)
    plain = deploy(model)
    assert plain.deployed
    assert not plain.training
    assert plain.head.weight.dtype == dtype
    assert not any(isinstance(part, nn.BatchNorm2d) for part in plain.modules())
    x = torch.rand(2, 3, height, width, dtype=dtype)
    with torch.inference_mode():
        torch.testing.assert_close(plain(x), model(x), atol=tolerance, rtol=0)


def test_deploy_leaves_the_trained_network_alone() -> None:
    model = LIPT(LiptConfig.named("nano", 2), deployed=False)
    before = copy.deepcopy(model.state_dict())
    plain = deploy(model)
    for parameter in plain.parameters():
        parameter.data.fill_(7)
    assert model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_deploying_twice_gives_an_equal_copy() -> None:
    once = deploy(LIPT(LiptConfig.named("nano", 2), deployed=False))
    twice = deploy(once)
    for name, tensor in twice.state_dict().items():
        assert torch.equal(tensor, once.state_dict()[name])
        assert tensor.data_ptr() != once.state_dict()[name].data_ptr()


def test_training_uses_the_statistics_of_the_batch() -> None:
    torch.manual_seed(0)
    branches = RepConv(4)
    before = branches.square.norm.running_mean.clone()
    branches(torch.randn(2, 4, 8, 8) + 3).sum().backward()
    assert not torch.equal(branches.square.norm.running_mean, before)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in branches.parameters())


def scattered(branches: LinearBranches, seed: int = 0) -> LinearBranches:
    """Every parameter away from its start, so that each has a part in the merged kernel."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in branches.parameters():
        parameter.data.normal_(0, 0.3, generator=generator)
    return branches


def test_linear_branches_start_as_the_convolution_that_they_replace() -> None:
    torch.manual_seed(0)
    plain = nn.Conv2d(6, 6, 3, padding=1).double()
    branches = LinearBranches(plain).double()
    x = torch.randn(2, 6, 5, 8, dtype=torch.float64)
    torch.testing.assert_close(branches(x), plain(x), atol=1e-6, rtol=0)  # made in float32


def test_linear_branches_are_the_sum_of_six_convolutions() -> None:
    """Against the branches computed one by one, with the border that makes a 1x1 before a 3x3 exact."""
    torch.manual_seed(0)
    branches = scattered(LinearBranches(nn.Conv2d(4, 4, 3, padding=1)).double())
    x = torch.randn(2, 4, 6, 5, dtype=torch.float64)
    expected = F.conv2d(x, *branches.square.affine(), padding=1) + branches.point(x)
    for first, second in zip(branches.points, branches.squares, strict=True):
        weight, bias = second.affine()
        inner = F.pad(x, (1, 1, 1, 1))  # the first convolution sees an image padded with zeros
        expected = expected + F.conv2d(first(inner), weight, bias, groups=4 // weight.shape[1])
    torch.testing.assert_close(branches(x), expected, atol=1e-12, rtol=0)
    torch.testing.assert_close(F.conv2d(x, *branches.affine(), padding=1), branches(x), atol=0, rtol=0)


def test_autocast_does_not_round_what_is_merged() -> None:
    branches = scattered(LinearBranches(nn.Conv2d(6, 6, 3, padding=1)))
    exact = branches.affine()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        trained = branches.affine()
        assert branches(torch.rand(1, 6, 5, 4)).dtype == torch.bfloat16
    assert torch.equal(trained.weight, exact.weight)
    assert torch.equal(trained.bias, exact.bias)


def test_the_gradients_of_linear_branches_are_those_of_finite_differences() -> None:
    torch.manual_seed(0)
    branches = scattered(LinearBranches(nn.Conv2d(2, 2, 3, padding=1)).double())
    names = [name for name, _ in branches.named_parameters()]
    x = torch.randn(1, 2, 3, 4, dtype=torch.float64)

    def output(*values: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(branches, dict(zip(names, values, strict=True)), (x,))

    assert torch.autograd.gradcheck(output, tuple(p.detach().requires_grad_() for p in branches.parameters()))
