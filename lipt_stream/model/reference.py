"""Checkpoints of the paper's implementation, put into this package's names and range."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor

from lipt_stream.errors import WeightsError
from lipt_stream.model.lipt import MEAN
from lipt_stream.model.repconv import SOBEL_X

RENAMES: Final = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"^module\.", ""),
        (r"^(head|tail)\.0\.", r"\1."),
        (r"^body\.(\d+)\.modules_(hrm_[abc])\.lcs_[abc]_(\d+)\.", r"blocks.\1.units.\3.\2."),
        (r"^body\.(\d+)\.modules_nvsm_sa\.smmsa_(\d+)\.project_", r"blocks.\1.units.\2.attention.project_"),
        (r"\.project_inp\.0\.", ".project_in.conv."),
        (r"\.project_inp\.1\.", ".project_in.norm."),
        (r"\.project_inp\.", ".project_in."),
        (r"\.dbb_origin\.conv\.", ".square.conv."),
        (r"\.dbb_origin\.bn\.", ".square.norm."),
        (r"\.dbb_1x1\.conv\.", ".point.conv."),
        (r"\.dbb_1x1\.bn\.", ".point.norm."),
        (r"\.dbb_1x1_kxk\.idconv1\.", ".point_square.first.conv."),
        (r"\.dbb_1x1_kxk\.bn1\.bn\.", ".point_square.first.norm."),
        (r"\.dbb_1x1_kxk\.conv2\.", ".point_square.second.conv."),
        (r"\.dbb_1x1_kxk\.bn2\.", ".point_square.second.norm."),
        (r"\.dbb_avg\.conv\.", ".point_average.first.conv."),
        (r"\.dbb_avg\.bn\.bn\.", ".point_average.first.norm."),
        (r"\.dbb_avg\.avgbn\.", ".point_average.second.norm."),
        (r"\.dbb_sobel([xy])\.k0$", r".point_sobel_\1.first.conv.weight"),
        (r"\.dbb_sobel([xy])\.b0$", r".point_sobel_\1.first.conv.bias"),
        (r"\.dbb_sobel([xy])\.", r".point_sobel_\1.second."),
    )
)


def is_reference(names: list[str]) -> bool:
    """Whether these tensor names are the paper's implementation's, in either form."""
    return any(re.match(r"(module\.)?(head\.0\.|body\.0\.modules_)", name) for name in names)


def from_reference(checkpoint: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A reference state dict, training or deployed form, in this package's names and for pictures in 0..1.

    The reference works in 0..255 and has the mean as two 1x1 convolutions (`sub_mean`, `add_mean`), which are checked
    and left out, as are the constant Sobel masks. Features become 1/256 of what they were, not 1/255: a power of two
    changes no rounding within the body, so the result is as near to the reference as float32 lets it be; head and
    tail make up for the difference. Attention logits are not homogeneous, so queries keep the reference's magnitude.

    Batch norms keep their variances: the function in evaluation mode is exact, but the statistics are those of
    features 256 times as large, which training with batch norms in training mode would first have to unlearn.

    Names that are not recognised are kept, for the caller to report. WeightsError where a constant is not LIPT's.
    """
    state: dict[str, Tensor] = {}
    for name, tensor in checkpoint.items():
        ours = name
        for pattern, replacement in RENAMES:
            ours = pattern.sub(replacement, ours)
        state[ours] = tensor.float() if tensor.is_floating_point() else tensor
    _take_constants(state)
    _to_this_form(state)
    _to_unit_range(state)
    return state


def _take_constants(state: dict[str, Tensor]) -> None:
    """Remove the tensors that are constants here, after comparing them."""
    mean = 255 * torch.tensor(MEAN)
    expected = {
        "sub_mean.weight": torch.eye(3)[:, :, None, None],
        "add_mean.weight": torch.eye(3)[:, :, None, None],
        "sub_mean.bias": -mean,
        "add_mean.bias": mean,
    }
    masks = {"x": torch.tensor(SOBEL_X), "y": torch.tensor(SOBEL_X).T}
    for name in [name for name in state if name in expected or re.search(r"point_sobel_[xy]\.second\.mask$", name)]:
        tensor = state.pop(name)
        constant = (
            expected[name] if name in expected else masks[name[-len("x.second.mask")]].expand(len(tensor), 1, 3, 3)
        )
        if tensor.shape != constant.shape or not torch.allclose(tensor, constant, atol=1e-2):
            raise WeightsError(f"{name} in this checkpoint is not LIPT's constant", "It belongs to another network")


def _to_this_form(state: dict[str, Tensor]) -> None:
    """Parameters that this package keeps in another form: the same function, fewer of them."""
    for name in list(state):
        tensor = state[name]
        if (
            name.endswith(".point_square.first.conv.weight")
            and tensor.dim() == 4
            and tensor.shape[0] == tensor.shape[1]
        ):
            state[name] = tensor + torch.eye(len(tensor))[:, :, None, None]  # stored as a difference to the identity
        elif re.search(r"point_sobel_[xy]\.second\.scale$", name):
            state[name] = tensor.flatten()  # (C, 1, 1, 1)
        elif name.endswith(".project_in.conv.bias"):
            running_mean = name.removesuffix("conv.bias") + "norm.running_mean"
            if running_mean in state and state[running_mean].shape == tensor.shape:
                state[running_mean] = state[running_mean] - state.pop(name)  # a bias before a norm moves its mean


def _to_unit_range(state: dict[str, Tensor]) -> None:
    for name, tensor in state.items():
        if name == "head.weight":
            state[name] = (tensor.double() * 255 / 256).float()
        elif name == "tail.weight":
            state[name] = (tensor.double() * 256 / 255).float()
        elif name == "tail.bias":
            state[name] = tensor / 255
        elif re.search(r"\.units\.0\.attention\.project_in\.(conv\.|norm\.)?(weight|bias|running_mean)$", name):
            state[name] = _around_queries(name, tensor)
        elif name.endswith((".bias", ".running_mean")):
            state[name] = tensor / 256


def _around_queries(name: str, tensor: Tensor) -> Tensor:
    """A first unit's projection, rows (q, v dense, q, v sparse): queries from features that are 256 times smaller."""
    rows = torch.arange(len(tensor))
    query = (rows * 4 // max(len(tensor), 1)) % 2 == 0
    if tensor.dim() == 4:
        return torch.where(query[:, None, None, None], tensor * 256, tensor)
    if name.endswith("norm.weight"):
        return tensor
    return torch.where(query, tensor, tensor / 256)
