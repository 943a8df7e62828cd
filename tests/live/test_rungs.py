"""Which networks stand in the ladder: those with weights for film, and the one that is asked for."""

from __future__ import annotations

import pytest

from lipt_stream.errors import SettingsError
from lipt_stream.live.rungs import Rungs
from lipt_stream.live.spec import LiveSpec
from lipt_stream.model import catalog


@pytest.fixture
def tiny_is_clean_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if tiny had no weights for film."""
    without = tuple(entry for entry in catalog.entries() if (entry.model, entry.content) != ("tiny", "video"))
    monkeypatch.setattr(catalog, "entries", lambda: without)


def names(model: str, scale: int = 2) -> tuple[str, ...]:
    return Rungs(LiveSpec(model=model, scale=scale, runtime="torch", device="cpu")).names  # type: ignore[arg-type]


def test_every_network_that_has_weights_for_film_is_a_rung() -> None:
    assert names("auto") == ("tiny", "nano", "lanczos")


@pytest.mark.usefixtures("tiny_is_clean_alone")
def test_a_larger_network_for_clean_pictures_does_not_stand_above_a_smaller_one_for_film() -> None:
    assert names("auto") == names("nano") == names("lanczos") == ("nano", "lanczos")


@pytest.mark.usefixtures("tiny_is_clean_alone")
def test_one_that_is_asked_for_is_a_rung_whatever_it_has() -> None:
    assert names("tiny") == ("tiny", "nano", "lanczos")
    assert names("tiny-x2") == ("tiny-x2", "lanczos")


def test_a_network_without_weights_at_the_scale_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert names("auto", 1) == ("nano", "lanczos")
    with pytest.raises(SettingsError, match="tiny for x1"):
        names("tiny", 1)
    monkeypatch.setattr(catalog, "entries", lambda: ())
    assert names("auto") == ("lanczos",)
