"""The optimizer: SOAP (Vyas et al., ICLR 2025, arXiv 2409.11321), which is Adam in the eigenbases of Shampoo's factors.

Adam scales each number of a gradient by itself. Those of a small convolution go together, as neighbouring pixels do, so
SOAP first turns the gradient into the directions in which it varies independently, one basis along the outputs and one
along the inputs and the kernel's places, and follows these as they change. `docs/training.md` has what that gains here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import torch
from torch import Tensor, nn

MOMENTUM: Final = 0.9
MEMORY: Final = 0.999
"""How much of the second moments and of the factors is kept from step to step."""
REFRESH_EVERY: Final = 10
"""Steps between two refreshes of the bases, after as many in which each step refreshes them."""
LARGEST_BASIS: Final = 320
"""Directions in a basis, save along outputs or inputs alone. Larger ones take long to follow, and fill checkpoints."""
EPSILON: Final = 1e-8


class Soap:
    """Steps parameters by their `grad`. Those of one shape are stepped together: a GPU launches once for all."""

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        by_shape: dict[torch.Size, list[nn.Parameter]] = {}
        for parameter in parameters:
            by_shape.setdefault(parameter.shape, []).append(parameter)
        self._stacks = [_Stack(alike) for alike in by_shape.values()]
        self._steps = 0

    def zero_grad(self) -> None:
        for stack in self._stacks:
            for parameter in stack.parameters:
                parameter.grad = None

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Each parameter needs a gradient."""
        self._steps += 1
        for stack in self._stacks:
            stack.step(learning_rate, self._steps)

    def state_dict(self) -> dict[str, Any]:
        """All that `load_state_dict` needs: "steps", and for "stacks" the tensors of each by name."""
        return {"steps": self._steps, "stacks": [stack.state for stack in self._stacks]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Of an optimizer of the same parameters, on any device."""
        self._steps = state["steps"]
        for stack, saved in zip(self._stacks, state["stacks"], strict=True):
            stack.state = {name: value.to(stack.parameters[0].device, copy=True) for name, value in saved.items()}


class _Stack:
    """Parameters of one shape, turned along each axis but the first, which counts them; vectors along none.

    `state`: "moment" as the gradients come and "square" in the bases; for each axis "factor{axis}" and "basis{axis}",
    (count, n, n): the gradients' covariance along it and, about, its eigenvectors.
    """

    def __init__(self, parameters: list[nn.Parameter]) -> None:
        self.parameters = tuple(parameters)
        self._shape = (len(parameters), *_as_turned(parameters[0].shape))
        blank = torch.zeros(self._shape).to(parameters[0])
        self.state = {"moment": blank, "square": blank.clone()}
        self._axes = range(1, len(self._shape)) if len(self._shape) > 2 else range(0)
        for axis in self._axes:
            size = self._shape[axis]
            self.state[f"factor{axis}"] = blank.new_zeros(len(parameters), size, size)
            self.state[f"basis{axis}"] = torch.eye(size).to(blank).repeat(len(parameters), 1, 1)

    def step(self, learning_rate: float, number: int) -> None:
        """The `number`-th one, counted from 1."""
        gradient = torch.stack([_gradient(parameter) for parameter in self.parameters]).reshape(self._shape)
        for axis in self._axes:
            lines = gradient.movedim(axis, 1).flatten(2)  # (count, n, others)
            self.state[f"factor{axis}"].lerp_(lines @ lines.mT, 1 - MEMORY)
        moment = self.state["moment"].lerp_(gradient, 1 - MOMENTUM)
        turned = self._turned(gradient)
        square = self.state["square"].mul_(MEMORY).addcmul_(turned, turned, value=1 - MEMORY)
        size = (square / (1 - MEMORY**number)).sqrt_().add_(EPSILON)
        change = self._turned(self._turned(moment / (1 - MOMENTUM**number)) / size, back=True)
        change = change.reshape(len(self.parameters), *self.parameters[0].shape).unbind()
        torch._foreach_add_(self.parameters, change, alpha=-learning_rate)  # pyright: ignore[reportPrivateUsage, reportPrivateImportUsage]
        if number % REFRESH_EVERY == 0 or number < REFRESH_EVERY:
            self._refresh_bases()

    def _turned(self, x: Tensor, *, back: bool = False) -> Tensor:
        """x, as the gradients come, in the bases; or back from them."""
        for axis in self._axes:
            basis = self.state[f"basis{axis}"]
            lines = x.movedim(axis, 1)
            turn = basis if back else basis.mT
            x = (turn @ lines.flatten(2)).reshape(lines.shape).movedim(1, axis)
        return x

    def _refresh_bases(self) -> None:
        """One orthogonal iteration, which sorts the directions by their size: the second moments move along."""
        for axis in self._axes:
            basis = self.state[f"basis{axis}"]
            ahead = self.state[f"factor{axis}"] @ basis
            order = (basis * ahead).sum(1).argsort(dim=1, descending=True)  # (count, n)
            self.state[f"basis{axis}"] = torch.linalg.qr(ahead.take_along_dim(order[:, None], 2)).Q  # pyright: ignore[reportUnknownMemberType]
            places = order.reshape([size if of in (0, axis) else 1 for of, size in enumerate(self._shape)])
            self.state["square"] = self.state["square"].take_along_dim(places, axis)


def _as_turned(shape: torch.Size) -> tuple[int, ...]:
    """(outputs, inputs x places), or (outputs, inputs, places) where a basis would grow too large."""
    if len(shape) < 2:
        return tuple(shape)
    others = shape[1:].numel()
    return (shape[0], others) if others <= LARGEST_BASIS else (shape[0], shape[1], shape[2:].numel())


def _gradient(parameter: nn.Parameter) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad
