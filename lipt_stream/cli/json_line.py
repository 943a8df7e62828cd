"""What `--json` prints."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import cast


def json_line(value: object) -> str:
    """`value` as one line of JSON; null stands for what JSON has no word for: infinite numbers and NaN."""
    return json.dumps(_finite(value), allow_nan=False)


def _finite(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in cast("Mapping[str, object]", value).items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_finite(item) for item in cast("Sequence[object]", value)]
    return value
