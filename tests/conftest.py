"""Rules for the whole suite: where shared data is, and what a GPU test does without a GPU."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

# Machines are noisy: no test is timed, nor is the making of its examples. They are the same in every run, so that none
# fails by chance a change that has nothing to do with it; `pytest --hypothesis-profile exploring` looks for others.
settings.register_profile("exploring", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("steady", settings.get_profile("exploring"), derandomize=True)
settings.load_profile("steady")

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED = REPOSITORY.parent / "shared"
GPU_REQUIRED = os.environ.get("LIPT_REQUIRE_GPU") == "1"


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        if GPU_REQUIRED:
            pytest.fail("LIPT_REQUIRE_GPU=1, but torch sees no NVIDIA GPU", pytrace=False)
        pytest.skip("no NVIDIA GPU")


@pytest.fixture(autouse=True)
def _same_pictures_in_every_run() -> None:
    """Whatever tests ran before, and however many numbers they drew."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of large test data beside the checkout; the test is skipped where it is missing."""
    if not SHARED.is_dir():
        pytest.skip(f"no shared test data at {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def clip() -> Path:
    """The bundled real clip: a few seconds of H.264 with AAC sound."""
    return REPOSITORY / "tests" / "data" / "clips" / "flower.mp4"
