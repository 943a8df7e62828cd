"""The film that audits have as their source, and results of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.verify.audited_film import SOURCE, Film, Write, decoded, write_film


@pytest.fixture(scope="session")
def source(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What every result is held against."""
    path = tmp_path_factory.mktemp("source") / "source.mkv"
    write_film(path, SOURCE, clip, decoded(clip))
    return path


@pytest.fixture(scope="session")
def write(source: Path, clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Write:
    """Makes a result from the source's own pictures."""
    pictures = decoded(source)

    def write_result(film: Film) -> Path:
        path = tmp_path_factory.mktemp("result") / "result.mkv"
        write_film(path, film, clip, pictures)
        return path

    return write_result
