"""LIPT as an OpenVINO graph of one fixed size, stated op by op.

Not converted from torch: tracing takes seconds per size where this takes hundredths, and here windows can be cut by a
single Gather that composes shift, sparse sampling and cutting, which made the network a third faster.
Same names and order as `model/lipt.py`; a test holds both to the same output.
"""

from __future__ import annotations

from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from lipt_stream.engine.openvino_import import opset, ov
from lipt_stream.model.attention import Attention, sparse_sampling
from lipt_stream.model.lipt import HRM, LIPT, MEAN, Block, Unit

Node: TypeAlias = Any
"""An op, one of its outputs, or the model that they make (openvino_import.py says why they are not typed)."""
Index: TypeAlias = NDArray[np.int32]


def build_graph(network: LIPT, height: int, width: int) -> Node:
    """The deployed `network` for one image whose sides are multiples of its window.

    Input (1, 3, height, width) float32 in 0..1; output (1, 3, scale * height, scale * width) float32, not clamped.
    """
    config = network.config
    if height % config.window or width % config.window:
        raise ValueError(f"{width}x{height} is no multiple of the window, {config.window}")
    image = opset.parameter([1, 3, height, width], np.float32, name="image")
    mean = opset.constant(np.array(MEAN, np.float32).reshape(1, 3, 1, 1))
    x = _convolution(opset.subtract(image, mean), network.head)
    y = x
    for index, block in enumerate(network.blocks):
        shift = index % 2 * config.window // 2
        y = _block(y, cast("Block", block), _Windows(height, width, config.window, shift))
    y = _convolution(opset.add(y, x), network.tail)
    return ov.Model([opset.add(_pixel_shuffle(y, height, width, config.scale), mean)], [image], "LIPT")


def _block(x: Node, block: Block, windows: _Windows) -> Node:
    maps: tuple[Node, Node] | None = None
    for child in block.units:
        unit = cast("Unit", child)
        x = opset.add(x, _hrm(x, unit.hrm_a))
        x = opset.add(x, _hrm(x, unit.hrm_c))
        y, maps = _attention(x, unit.attention, windows, maps)
        x = opset.add(x, y)
        x = opset.add(x, _hrm(x, unit.hrm_b))
    return x


def _hrm(x: Node, hrm: HRM) -> Node:
    return _convolution(opset.relu(_convolution(x, hrm.conv0)), hrm.conv1)


def _attention(
    x: Node, attention: Attention, windows: _Windows, maps: tuple[Node, Node] | None
) -> tuple[Node, tuple[Node, Node]]:
    weight, bias = _weights(attention.project_in)
    channels = weight.shape[1]
    if maps is None:
        # Two convolutions of C channels rather than one of 2 C whose result is split: a split copies.
        dense = windows.cut(_convolve(x, weight[:channels], bias[:channels]), channels, sparse=False)
        sparse = windows.cut(_convolve(x, weight[channels:], bias[channels:]), channels, sparse=True)
        q_dense, v_dense = _halves(dense)  # (1, h w, p p, C/2) each
        q_sparse, v_sparse = _halves(sparse)
        maps = _map(q_dense), _map(q_sparse)
    elif attention.sampled_values:
        half = channels // 2
        v_dense = windows.cut(_convolve(x, weight[:half], bias[:half]), half, sparse=False)
        v_sparse = windows.cut(_convolve(x, weight[half:], bias[half:]), half, sparse=True)
    else:
        v_dense, v_sparse = _halves(windows.cut(_convolve(x, weight, bias), channels, sparse=False))
    y_dense, y_sparse = (opset.matmul(map_, v, False, False) for map_, v in zip(maps, (v_dense, v_sparse), strict=True))
    if attention.scattered:
        dense, sparse = (windows.paste(y, channels // 2, sparse=s) for y, s in ((y_dense, False), (y_sparse, True)))
        y = opset.concat([dense, sparse], 1)
    else:
        y = windows.paste(opset.concat([y_dense, y_sparse], -1), channels, sparse=False)
    return _convolution(y, attention.project_out), maps


def _map(q: Node) -> Node:
    """softmax(q q^T): (1, h w, p p, C/2) -> (1, h w, p p, p p)."""
    return opset.softmax(opset.matmul(q, q, False, True), -1)


class _Windows:
    """Cutting (1, c, H, W) into windows of tokens (1, h w, p p, c), and pasting them back.

    Pixels move in runs that lie together in both orders: whole window rows, half ones where windows are shifted.
    """

    def __init__(self, height: int, width: int, window: int, shift: int) -> None:
        self.height, self.width, self.window = height, width, window
        self.run = window // 2 if shift else window
        rows, columns = np.arange(height), np.arange(width)
        sparse_rows = sparse_sampling(window, height).numpy() % height
        sparse_columns = sparse_sampling(window, width).numpy() % width
        self.dense = self._order((rows + shift) % height, (columns + shift) % width)
        self.sparse = self._order((sparse_rows + shift) % height, (sparse_columns + shift) % width)
        self.from_dense = np.argsort(self.dense).astype(np.int32)
        self.from_sparse = np.argsort(self.sparse).astype(np.int32)

    def cut(self, x: Node, channels: int, *, sparse: bool) -> Node:
        x = opset.transpose(x, _ints(0, 2, 3, 1))  # channels last: a pixel's channels move together
        order, run = (self.sparse, 1) if sparse else (self.dense, self.run)
        x = self._take(x, order, run, channels)
        return opset.reshape(x, _ints(1, -1, self.window**2, channels), False)

    def paste(self, y: Node, channels: int, *, sparse: bool) -> Node:
        order, run = (self.from_sparse, 1) if sparse else (self.from_dense, self.run)
        y = self._take(y, order, run, channels)
        y = opset.reshape(y, _ints(1, self.height, self.width, channels), False)
        return opset.transpose(y, _ints(0, 3, 1, 2))

    def _take(self, x: Node, order: Index, run: int, channels: int) -> Node:
        x = opset.reshape(x, _ints(1, self.height * self.width // run, run * channels), False)
        return opset.gather(x, opset.constant(order[::run] // run), opset.constant(np.array(1)))

    def _order(self, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Index:
        """Where in the picture each token comes from, window after window."""
        p = self.window
        pixels = rows[:, None] * self.width + columns
        pixels = pixels.reshape(self.height // p, p, self.width // p, p).transpose(0, 2, 1, 3)
        return pixels.reshape(-1).astype(np.int32)


def _pixel_shuffle(y: Node, height: int, width: int, scale: int) -> Node:
    """(1, 3 s s, H, W) -> (1, 3, s H, s W) as one permutation: DepthToSpace would leave a second one to the output."""
    y = opset.reshape(opset.transpose(y, _ints(0, 2, 3, 1)), _ints(1, height, width, 3, scale, scale), False)
    y = opset.transpose(y, _ints(0, 3, 1, 4, 2, 5))
    return opset.reshape(y, _ints(1, 3, scale * height, scale * width), False)


def _halves(x: Node) -> tuple[Node, Node]:
    first, second = opset.split(x, opset.constant(np.array(-1)), 2).outputs()
    return first, second


def _convolution(x: Node, module: Any) -> Node:
    return _convolve(x, *_weights(module))


def _convolve(x: Node, weight: NDArray[np.float32], bias: NDArray[np.float32]) -> Node:
    pad = [weight.shape[-1] // 2] * 2
    y = opset.convolution(x, opset.constant(weight), [1, 1], pad, pad, [1, 1])
    return opset.add(y, opset.constant(bias.reshape(1, -1, 1, 1)))


def _weights(module: Any) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weight (out, in, k, k) and bias (out,) of a Conv2d, copied: the graph outlives the network."""
    return module.weight.detach().float().cpu().numpy().copy(), module.bias.detach().float().cpu().numpy().copy()


def _ints(*values: int) -> Node:
    return opset.constant(np.array(values, np.int64))
