"""Where training starts: bilinear upscaling, another network's body, and branches that change nothing."""

from __future__ import annotations

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


def test_another_start_needs_the_same_body() -> None:
    with pytest.raises(WeightsError, match=r"channels 32 for 16, units 6 for 2"):
        start_from(LIPT(LiptConfig.named("tiny", 2), deployed=True), LiptConfig.named("nano", 2))
