"""A larger network that begins with what a smaller one has learnt.

One that is twice as wide holds it twice, once turned, and so begins better than it: as the mean of two of the eight
views (teacher.py). Any other begins as the smaller one does: Net2Net (Chen, Goodfellow and Shlens, ICLR 2016), save
that what is added is not copied but random.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import TypeAlias, cast

import torch
from torch import Tensor, nn

from lipt_stream.model.lipt import LIPT

_Part: TypeAlias = tuple[nn.Conv2d, Tensor, Tensor]
"""A convolution of a smaller network, and which outputs and inputs of the larger one's are its own."""


def grow(network: LIPT, body: LIPT) -> None:
    """Let `network`, newly made, compute what `body` does, both deployed and of one scale; as wide and deep or more so.

    Units that are added add nothing at first. What `body` computes does not hear of added channels, which hear all. In
    both, what is silent is one layer of weights, whose gradient is none the less there from the first step on. Only
    added queries are heard, faintly, by the attention maps: silent, they would have no gradient.

    Of a network twice as wide no channel is added so: half of them are `body`, half its mirror image along the
    diagonal. These attend by the maps of both, the geometric mean of two that are much alike.
    """
    wide, narrow = network.config.channels, body.config.channels
    halves = [_half(body), _half(_turned(body))] if wide == 2 * narrow else [body]
    theirs = [_convolutions(half) for half in halves]
    with torch.no_grad():
        for name, module in _convolutions(network).items():
            if name in theirs[0]:
                places = (_places(name, module, range(first, first + narrow), wide) for first in (0, narrow))
                _take_over(module, [(half[name], *place) for half, place in zip(theirs, places, strict=False)])
            elif name.endswith((".conv1", ".project_out")):
                module.weight.zero_()


def _convolutions(network: LIPT) -> dict[str, nn.Conv2d]:
    modules = cast("Iterator[tuple[str, nn.Module]]", network.named_modules())
    return {name: module for name, module in modules if isinstance(module, nn.Conv2d)}


def _turned(body: LIPT) -> LIPT:
    """What does to a picture mirrored along its diagonal as `body` does: windows and sampling are alike both ways."""
    turned, scale = copy.deepcopy(body), body.config.scale
    with torch.no_grad():
        for convolution in _convolutions(turned).values():
            convolution.weight.copy_(convolution.weight.mT.clone())
        for values in (turned.tail.weight, _bias(turned.tail)):
            values.copy_(values.reshape(3, scale, scale, -1).transpose(1, 2).reshape(values.shape).clone())
    return turned


def _half(body: LIPT) -> LIPT:
    """As one of two that share a tail and, of which each gives half of every product of queries, attention maps."""
    half, channels = copy.deepcopy(body), body.config.channels
    with torch.no_grad():
        for name, convolution in _convolutions(half).items():
            values = (convolution.weight, _bias(convolution))
            if name == "tail":
                for tensor in values:
                    tensor.div_(2)
            elif name.endswith(".project_in") and convolution.out_channels == 2 * channels:  # (q, v, q, v)
                for tensor in values:
                    tensor.view(4, channels // 2, -1)[::2].mul_(0.5**0.5)
    return half


def _places(name: str, convolution: nn.Conv2d, own: range, wide: int) -> tuple[Tensor, Tensor]:
    """Which outputs and inputs of a convolution of the wide network are those of one that has its `own` channels."""
    outputs = inputs = torch.tensor(own)
    half = torch.arange(own.start // 2, own.stop // 2)
    if name == "head":
        inputs = torch.arange(3)
    elif name == "tail":
        outputs = torch.arange(convolution.out_channels)
    elif name.endswith(".project_in"):  # queries and values of both halves, or their values alone
        outputs = _in_groups(2 * convolution.out_channels // wide, half, wide // 2)
    elif name.endswith(".project_out"):
        inputs = _in_groups(2, half, wide // 2)
    return outputs, inputs


def _in_groups(count: int, used: Tensor, size: int) -> Tensor:
    """The `used` indices of each of `count` groups of `size`."""
    return (torch.arange(count)[:, None] * size + used).flatten()


def _take_over(ours: nn.Conv2d, parts: Sequence[_Part]) -> None:
    for _, outputs, _ in parts:
        ours.weight[outputs] = 0
        _bias(ours)[outputs] = 0
    for theirs, outputs, inputs in parts:
        ours.weight[outputs[:, None], inputs] += theirs.weight
        _bias(ours)[outputs] += _bias(theirs)


def _bias(convolution: nn.Conv2d) -> Tensor:
    assert convolution.bias is not None
    return convolution.bias
