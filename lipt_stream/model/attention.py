"""Attention within windows, as LIPT has it. Letters in shapes as in `lipt.py`."""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lipt_stream.model.autocast import without_autocast
from lipt_stream.model.config import LiptConfig
from lipt_stream.model.repconv import ConvNorm

MAP_NUMBERS: Final = 2**19
"""Numbers of attention maps that an eager CPU run holds at a time: 2 MB in float32, about what a core's cache holds."""

Queries: TypeAlias = tuple[Tensor, Tensor]
"""The dense and the sparse half's queries, (N h, w, p p, C/2) each. They are their own keys, so they are the maps."""


class Sampling(NamedTuple):
    """Where the sparse windows' rows (H,) and columns (W,) lie in the picture: two permutations, int64."""

    rows: Tensor
    columns: Tensor

    @property
    def inverse(self) -> tuple[Tensor, Tensor]:
        """Rows and columns that undo it."""
        return self.rows.argsort(), self.columns.argsort()


class Attention(nn.Module):
    """NVSM-SA: self-attention within windows, one half of the channels densely cut, the other sparsely sampled.

    `softmax(q q^T) v` without scaling, heads or position bias. A block's shared units take the first unit's maps; they
    are computed again from its queries, C/2 numbers a pixel, where the maps themselves would be p p numbers a pixel.
    """

    def __init__(self, config: LiptConfig, *, shared: bool, deployed: bool) -> None:
        super().__init__()
        channels = config.channels
        self.window = config.window
        self.scattered, self.sampled_values = config.scattered, config.sampled_values
        self.shared = shared
        width = channels if shared else 2 * channels  # (v dense, v sparse), or (q, v dense, q, v sparse)
        self.project_in = nn.Conv2d(channels, width, 1) if deployed else ConvNorm(channels, width, 1)
        self.project_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, sampling: Sampling, queries: Queries | None) -> tuple[Tensor, Queries]:
        """x (N, C, H, W). Returns (N, C, H, W) and the queries."""
        height, width = x.shape[-2:]
        dense, sparse = self.project_in(x).permute(0, 2, 3, 1).chunk(2, dim=-1)  # (N, H, W, C or C/2) each
        if queries is None:
            sparse = _taken(sparse, sampling.rows, sampling.columns)
            q_sparse, v_sparse = self._windows(sparse).chunk(2, dim=-1)  # (N h, w, p p, C/2) each
            del sparse  # a frame's worth of memory each time: this is where a pass needs most
            q_dense, v_dense = self._windows(dense).chunk(2, dim=-1)
        else:
            q_dense, q_sparse = queries
            v_dense = self._windows(dense)
            if self.sampled_values:
                sparse = _taken(sparse, sampling.rows, sampling.columns)
            # Else as the reference does: cut densely, though the map was made from sampled pixels.
            v_sparse = self._windows(sparse)
            del sparse
        del dense
        y_dense, y_sparse = attend(q_dense, v_dense), attend(q_sparse, v_sparse)  # (N h, w, p p, C/2)
        if self.scattered:
            back = _taken(self._picture(y_sparse, height, width), *sampling.inverse)
            y = torch.cat((self._picture(y_dense, height, width), back), dim=-1)  # (N, H, W, C)
        else:
            y = self._picture(torch.cat((y_dense, y_sparse), dim=-1), height, width)
        return self.project_out(y.permute(0, 3, 1, 2)), (q_dense, q_sparse)

    def _windows(self, x: Tensor) -> Tensor:
        """(N, H, W, c) -> (N h, w, p p, c). Two batch axes, because one would outgrow a CUDA grid at 8K."""
        p = self.window
        n, height, width, channels = x.shape
        x = x.reshape(n, height // p, p, width // p, p, channels).transpose(2, 3)  # (N, h, w, p, p, c)
        return x.reshape(n * height // p, width // p, p * p, channels)

    def _picture(self, y: Tensor, height: int, width: int) -> Tensor:
        """(N h, w, p p, c) -> (N, H, W, c), the inverse of `_windows`."""
        p = self.window
        channels = y.shape[-1]
        y = y.reshape(-1, height // p, width // p, p, p, channels).transpose(2, 3)  # (N, h, p, w, p, c)
        return y.reshape(-1, height, width, channels)


def _taken(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """(N, H, W, c) -> the same, its rows and columns in the order that is given."""
    return x.index_select(1, rows).index_select(2, columns)


def attend(q: Tensor, v: Tensor) -> Tensor:
    """softmax(q q^T) v of every window, without ever holding the maps of the whole frame. (N h, w, p p, C/2) all.

    The fused kernels keep no map and sum in float32 whatever the dtype. On a CPU they are slow for windows this small:
    run eagerly there, a few rows of windows at a time, whose maps stay in cache, take two thirds of their time.
    With gradients they run in float32 there: in bfloat16 they take six times as long backwards, and round more.
    """
    # An exporter traces with gradients, checks its trace without them, and must find the same.
    if q.device.type == "cpu" and torch.is_grad_enabled() and not torch.jit.is_tracing():  # pyright: ignore[reportPrivateImportUsage]
        exact = q.to(torch.promote_types(q.dtype, torch.float32))
        with without_autocast(q.device):
            return F.scaled_dot_product_attention(exact, exact, v.to(exact.dtype), scale=1.0).to(v.dtype)
    if q.device.type != "cpu" or is_traced():
        return F.scaled_dot_product_attention(q, q, v, scale=1.0)
    y = torch.empty_like(v)
    step = max(1, MAP_NUMBERS // (q.shape[1] * q.shape[2] ** 2))
    for start in range(0, len(q), step):
        rows = slice(start, start + step)
        maps = torch.softmax(q[rows] @ q[rows].mT, dim=-1)  # (step, w, p p, p p)
        torch.matmul(maps, v[rows], out=y[rows])
    return y


def sparse_sampling(window: int, side: int) -> Tensor:
    """Which rows (or columns) the sparse windows take, in order: int64 (side rounded down to whole windows,).

    Of the 2p rows from a window's first on, window k takes every other one of the first half, then the others of the
    second: for p = 8, k p + (0 2 4 6 9 11 13 15). Taken modulo the picture's padded side this is a permutation of its
    rows: each pixel is sampled exactly once (the "non-volatile" of the paper).
    """
    step = torch.arange(window)
    within = 2 * step + (step >= window // 2)  # p + 2 (i - p/2) + 1 = 2 i + 1
    starts = torch.arange(side // window) * window
    return (starts[:, None] + within).flatten()


def is_traced() -> bool:
    """Whether this call is recorded, for export or compilation: a loop in it would be unrolled."""
    return torch.jit.is_tracing() or torch.compiler.is_compiling()  # pyright: ignore[reportPrivateImportUsage]
