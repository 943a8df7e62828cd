"""Where training starts: at bilinear upscaling, or as another network, perhaps a smaller one; and in which form."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator
from typing import Final, cast

import torch
from torch import Tensor, nn

from lipt_stream.errors import WeightsError
from lipt_stream.model.config import LiptConfig
from lipt_stream.model.lipt import HRM, LIPT
from lipt_stream.model.repconv import LinearBranches
from lipt_stream.train.growth import grow

RESIDUAL_SCALE = 0.1
"""How much of a residual branch's usual initialisation is kept: the start is then close to the identity."""
_SAME: Final = ("shared", "window", "scattered", "sampled_values")
_NO_LARGER: Final = ("channels", "units")


def bilinear_start(config: LiptConfig) -> LIPT:
    """A deployed network that starts as bilinear upscaling: head passes RGB, tail interpolates, the body adds little.

    The body's sum comes upon the head's output a second time, so the tail holds half of each bilinear weight.
    """
    network = LIPT(config, deployed=True)
    with torch.no_grad():
        nn.init.normal_(network.head.weight, std=0.05)
        nn.init.zeros_(_bias(network.head))
        network.head.weight[:3] = 0
        network.head.weight[(0, 1, 2), (0, 1, 2), 1, 1] = 1.0
        _bilinear_tail(network)
        for name, module in cast("Iterator[tuple[str, nn.Module]]", network.named_modules()):
            if name.endswith((".conv1", ".project_out")):
                convolution = cast("nn.Conv2d", module)
                convolution.weight.mul_(RESIDUAL_SCALE)
                _bias(convolution).zero_()
    return network


def start_from(body: LIPT, config: LiptConfig) -> LIPT:
    """A deployed network of `config` that begins as `body`, a deployed network as wide and as deep or less so.

    A larger one computes nearly what `body` does, or better (growth.py). At another scale the tail starts as the
    picture that `body` makes, resized to this scale, pixel by input pixel. torch's generator decides what is random.
    WeightsError where `body` is the larger one, or differs in anything else.
    """
    ours, theirs = config, body.config
    differing = [f"{name} {getattr(theirs, name)} for {getattr(ours, name)}" for name in _SAME
                 if getattr(ours, name) != getattr(theirs, name)]  # fmt: skip
    differing += [f"{name} {getattr(theirs, name)} for at most {getattr(ours, name)}" for name in _NO_LARGER
                  if getattr(ours, name) < getattr(theirs, name)]  # fmt: skip
    if differing:
        hint = "Give weights of the same network or of a smaller one"
        raise WeightsError(f"The weights to start from have {', '.join(differing)}", hint)
    network = LIPT(config, deployed=True)
    larger = bilinear_start(dataclasses.replace(config, scale=theirs.scale))
    grow(larger, body)
    state = dict(larger.state_dict())
    state["tail.weight"] = _resized(state["tail.weight"], theirs.scale, ours.scale)
    state["tail.bias"] = _resized(state["tail.bias"], theirs.scale, ours.scale)
    network.load_state_dict(state)
    return network


def branch_out(network: LIPT) -> LIPT:
    """A copy of a deployed network whose every HRM convolution is a sum of linear branches that equals it.

    `deploy` merges it again.
    """
    branched = copy.deepcopy(network)
    branched.deployed = False
    for module in branched.modules():
        if isinstance(module, HRM):
            module.conv0 = LinearBranches(cast("nn.Conv2d", module.conv0))
            module.conv1 = LinearBranches(cast("nn.Conv2d", module.conv1))
    return branched


def _bilinear_tail(network: LIPT) -> None:
    s = network.config.scale
    line = _bilinear_weights(s)  # (s, 3)
    kernels = line[:, None, :, None] * line[None, :, None, :] / 2  # (s, s, 3, 3)
    tail = network.tail
    nn.init.normal_(tail.weight, std=1e-3)
    _bias(tail).zero_()
    for color in range(3):
        tail.weight[color * s * s : (color + 1) * s * s, color] = kernels.reshape(s * s, 3, 3)


def _resized(tail: Tensor, before: int, after: int) -> Tensor:
    """A tail's weight or bias (3 before^2, ...) with its grid of sub-pixels interpolated: (3 after^2, ...)."""
    place = ((torch.arange(after) + 0.5) * before / after - 0.5).clamp(0, before - 1)
    line = (1 - (place[:, None] - torch.arange(before)).abs()).clamp(min=0)  # (after, before)
    grid = tail.reshape(3, before, before, -1)
    return torch.einsum("ai,bj,cijk->cabk", line, line, grid).reshape(3 * after**2, *tail.shape[1:])


def _bilinear_weights(scale: int) -> Tensor:
    """(scale, 3): how each output sample of a pixel takes from the pixel before, itself and the one after."""
    position = (torch.arange(scale) + 0.5) / scale - 0.5  # of the output sample, in pixels from the centre
    return torch.stack((-position.clamp(max=0), 1 - position.abs(), position.clamp(min=0)), dim=1)


def _bias(convolution: nn.Conv2d) -> Tensor:
    assert convolution.bias is not None
    return convolution.bias
