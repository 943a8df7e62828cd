"""Sessions that take their time to end: a promise to whoever stops one, which a busy machine cannot keep."""

from __future__ import annotations

import pytest

from lipt_stream.live import broadcast, works

PATIENCE_SECONDS = 60


@pytest.fixture(autouse=True)
def _sessions_finish_what_they_have(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures in flight, and files whose process has only just begun: else what is in them would be left to chance."""
    monkeypatch.setattr(works, "JOURNEY_SECONDS", PATIENCE_SECONDS)
    monkeypatch.setattr(broadcast, "CLOSE_SECONDS", PATIENCE_SECONDS)
