"""Where training starts: bilinear upscaling, another network's body, and branches that change nothing."""

from __future__ import annotations

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lipt_stream.errors import WeightsError
from lipt_stream.model.config import LiptConfig
from lipt_stream.model.lipt import LIPT, deploy
from lipt_stream.model.repconv import LinearBranches
from lipt_stream.train.start import bilinear_start, branch_out, start_from


def smooth(height: int, width: int) -> Tensor:
    """A picture in 0..1 whose interpolation is told from another."""
    return F.interpolate(torch.rand(1, 3, 6, 6), size=(height, width), mode="bicubic").clamp(0, 1)


def inside(picture: Tensor, border: int) -> Tensor:
    return picture[..., border:-border, border:-border]


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_the_start_is_bilinear_upscaling(scale: int) -> None:
    torch.manual_seed(0)
    network = bilinear_start(LiptConfig.named("nano", scale)).eval()
    low = smooth(40, 48)
    with torch.inference_mode():
        found = network(low)
    expected = F.interpolate(low, scale_factor=scale, mode="bilinear") if scale > 1 else low
    error = inside(found - expected, 2 * scale)
    assert error.square().mean().sqrt() < 0.01  # 40 dB: the rest is what the small branches and other channels add
    shifted = inside(found - expected.roll(scale, dims=3), 2 * scale)
    assert error.square().mean() < shifted.square().mean() / 4


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_the_start_is_exactly_bilinear_without_its_random_parts(scale: int) -> None:
    network = bilinear_start(LiptConfig.named("nano", scale)).eval()
    with torch.no_grad():
        network.tail.weight[:, 3:] = 0
        for name, parameter in network.named_parameters():
            if name.startswith("blocks"):
                parameter.zero_()
    low = smooth(24, 32)
    with torch.inference_mode():
        found = network(low)
    expected = F.interpolate(low, scale_factor=scale, mode="bilinear") if scale > 1 else low
    off_channels = network.tail.weight[:, :3].abs().amax()
    assert off_channels <= 0.5 + 1e-2
    torch.testing.assert_close(inside(found, scale), inside(expected, scale), atol=0.02, rtol=0)
    torch.testing.assert_close(found.mean(), expected.mean(), atol=5e-3, rtol=0)


def test_branching_out_changes_nothing_and_is_undone() -> None:
    torch.manual_seed(0)
    network = bilinear_start(LiptConfig.named("tiny24", 2)).eval()
    branched = branch_out(network)
    assert sum(isinstance(module, LinearBranches) for module in branched.modules()) == 6 * network.config.units
    assert network.blocks[0].units[0].hrm_a.conv0 is not branched.blocks[0].units[0].hrm_a.conv0
    low = torch.rand(1, 3, 16, 24)
    with torch.no_grad():
        torch.testing.assert_close(branched.eval()(low), network(low), atol=1e-5, rtol=0)
    back = deploy(branched)
    for name, value in network.state_dict().items():
        torch.testing.assert_close(back.state_dict()[name], value, atol=1e-6, rtol=0, msg=name)


def test_every_parameter_of_the_branched_network_learns() -> None:
    torch.manual_seed(0)
    branched = branch_out(bilinear_start(LiptConfig.named("nano", 2))).train()
    branched(torch.rand(2, 3, 16, 16)).square().mean().backward()
    idle = [name for name, p in branched.named_parameters() if p.grad is None or p.grad.abs().max() < 1e-7]
    # A Sobel kernel's weights sum to zero: it does not see the bias of the convolution before it.
    assert [name for name in idle if not name.endswith(("points.2.conv.bias", "points.3.conv.bias"))] == []


def trained(scale: int) -> LIPT:
    torch.manual_seed(scale)
    network = bilinear_start(LiptConfig.named("nano", scale)).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return network


def test_another_start_at_the_same_scale_is_that_network() -> None:
    body = trained(2)
    started = start_from(body, body.config)
    assert all(torch.equal(value, body.state_dict()[name]) for name, value in started.state_dict().items())


@pytest.mark.parametrize(("before", "after"), [(2, 3), (2, 4), (1, 2), (4, 2)])
def test_another_start_at_another_scale_shows_the_same_picture(before: int, after: int) -> None:
    body = trained(before)
    low = smooth(24, 32)
    with torch.inference_mode():
        known, found = body(low), start_from(body, LiptConfig.named("nano", after)).eval()(low)
    assert found.shape[-2:] == (24 * after, 32 * after)
    torch.testing.assert_close(F.avg_pool2d(found, after), F.avg_pool2d(known, before), atol=0.02, rtol=0)


@pytest.mark.parametrize(("larger", "scale"), [("tiny24", 2), ("small", 4)])
def test_a_larger_network_starts_as_the_smaller_one(larger: str, scale: int) -> None:
    body = trained(scale)
    grown = start_from(body, LiptConfig.named(larger, scale)).eval()
    assert grown.config == LiptConfig.named(larger, scale)
    low = smooth(24, 32)
    with torch.inference_mode():
        assert (grown(low) - body(low)).abs().max() < 2e-3


@pytest.mark.parametrize("scale", [2, 3])
def test_a_network_twice_as_wide_starts_as_the_mean_of_two_views(scale: int) -> None:
    body = trained(scale)
    grown = start_from(body, LiptConfig.named("tiny", scale)).eval()
    low = smooth(24, 32)
    with torch.inference_mode():
        alone, turned, found = body(low), body(low.mT).mT, grown(low)
        assert torch.allclose(grown(low.mT).mT, found, atol=1e-5), "it sees both ways alike"
    mean = (alone + turned) / 2
    assert (alone - turned).abs().max() > 0.01, "else it would prove nothing"
    assert (found - mean).abs().max() < 0.2 * (alone - turned).abs().max()


def test_a_longer_body_is_another_scales() -> None:
    """small has 10 units at x2 and 12 at x4."""
    body = start_from(trained(2), LiptConfig.named("small", 2)).eval()
    low = smooth(16, 24)
    with torch.inference_mode():
        known, found = body(low), start_from(body, LiptConfig.named("small", 4)).eval()(low)
    torch.testing.assert_close(F.avg_pool2d(found, 4), F.avg_pool2d(known, 2), atol=0.02, rtol=0)


def test_all_that_was_added_learns_from_the_second_step_on() -> None:
    torch.manual_seed(0)
    network = branch_out(start_from(trained(2), LiptConfig.named("tiny", 2))).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    for _ in range(2):
        optimizer.zero_grad()
        (network(torch.rand(8, 3, 16, 16)) - 0.5).square().mean().backward()
        optimizer.step()
    for name, value in network.state_dict().items():
        if name.endswith("weight") and ("conv" in name or "project" in name):
            still = (value == before[name]).flatten(1).all(1)  # rows that did not move
            assert still.float().mean() < 0.1, name  # one behind a ReLU that was closed for all there was may wait


def test_another_start_needs_the_same_body_or_a_smaller_one() -> None:
    with pytest.raises(WeightsError, match=r"have channels 32 for at most 16, units 6 for at most 2"):
        start_from(LIPT(LiptConfig.named("tiny", 2), deployed=True), LiptConfig.named("nano", 2))
    config = LiptConfig.named("small", 2)
    with pytest.raises(WeightsError, match=r"have window 16 for 8"):
        start_from(LIPT(dataclasses.replace(config, window=16), deployed=True), config)
