"""The smallest weights of either format, and how a refusal of weights has to read."""

from __future__ import annotations

from pathlib import Path

import pytest

from lipt_stream.errors import WeightsError
from lipt_stream.model.config import LiptConfig
from lipt_stream.model.weights import WeightsInfo

DATA = Path(__file__).parents[1] / "data"
INFO = WeightsInfo(
    name="test-x2",
    task="sr",
    scale=2,
    licence="Apache-2.0",
    training_data="none",
    scores={"Set5": 33.5},
    origin="lipt-stream",
)
TINY = LiptConfig(scale=2, channels=4, units=2, shared=1, window=4)


def one_line(error: pytest.ExceptionInfo[WeightsError]) -> str:
    assert error.value.hint
    assert "\n" not in str(error.value)
    return str(error.value)
