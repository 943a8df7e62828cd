"""What a network costs, before anything is measured."""

from __future__ import annotations

from lipt_stream.model.config import LiptConfig


def multiply_adds(config: LiptConfig) -> int:
    """Multiplications with an addition that a deployed network of `config` needs per pixel of its input.

    Those of convolutions and of attention's two matrix products; padding, softmax and sums are left out. Attention maps
    are counted for every unit, as torch computes them; OpenVINO keeps a block's maps, which spares 3 % of nano.
    """
    c, p = config.channels, config.window
    ends = 9 * 3 * c + 9 * c * 3 * config.scale**2
    convolutions = 6 * 9 * c * c
    project_in = config.blocks * 2 * c * c + (config.units - config.blocks) * c * c
    attention = 2 * p * p * c  # q q^T and map v: p p numbers a pixel, c/2 deep, in both halves
    return ends + config.units * (convolutions + c * c + attention) + project_in
