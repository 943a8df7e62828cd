"""Files of weights that were cut short or have a byte that is another."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lipt_stream.errors import WeightsError
from lipt_stream.model.lipt import LIPT
from lipt_stream.model.weights import load_weights, save_weights
from tests.model.small_weights import DATA, INFO, TINY, one_line

KINDS = "ours", "reference", "old reference"


@pytest.fixture(scope="module")
def whole_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """One small file of each format."""
    folder = tmp_path_factory.mktemp("whole")
    save_weights(folder / "ours", LIPT(TINY, deployed=True), INFO)
    reference = DATA / "c24m2_x1_deploy.pt"
    # As torch wrote before 1.6: pickles behind each other, then the tensors' bytes.
    torch.save(torch.load(reference, weights_only=True), folder / "old", _use_new_zipfile_serialization=False)
    return {
        "ours": (folder / "ours").read_bytes(),
        "reference": reference.read_bytes(),
        "old reference": (folder / "old").read_bytes(),
    }


def test_a_file_of_old_torch_cut_within_a_number_is_refused(whole_files: dict[str, bytes], tmp_path: Path) -> None:
    content = whole_files["old reference"]
    (tmp_path / "whole").write_bytes(content)
    assert load_weights(tmp_path / "whole")[1].origin == "reference"
    for kept in range(1, 120):
        (tmp_path / "cut").write_bytes(content[:kept])
        with pytest.raises(WeightsError) as error:
            load_weights(tmp_path / "cut")
        one_line(error)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from(KINDS), kept=st.floats(0, 0.999))
def test_a_truncated_file_is_refused(whole_files: dict[str, bytes], tmp_path: Path, kind: str, kept: float) -> None:
    content = whole_files[kind]
    (tmp_path / "cut").write_bytes(content[: int(kept * len(content))])
    with pytest.raises(WeightsError) as error:
        load_weights(tmp_path / "cut")
    one_line(error)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(KINDS),
    at=st.floats(0, 1, exclude_max=True),
    byte=st.integers(0, 255),
)
@example(kind="old reference", at=1 / 2000, byte=4)  # of a protocol that torch asserts not to be there
@example(kind="reference", at=0.0, byte=0x80)  # looks like a bare pickle of a protocol that torch warns of
def test_a_damaged_byte_is_refused_or_harmless(
    whole_files: dict[str, bytes], tmp_path: Path, kind: str, at: float, byte: int
) -> None:
    content = bytearray(whole_files[kind])
    header = len(content) if at < 0.5 else min(len(content), 2000)  # where structure is, damage is likeliest to tell
    content[int(at * header)] = byte
    (tmp_path / "damaged").write_bytes(content)
    try:
        model, _ = load_weights(tmp_path / "damaged")
    except WeightsError as refusal:
        told = refusal
    else:
        assert all(tensor.isfinite().all() for tensor in model.state_dict().values())
        return
    assert told.hint
    assert "\n" not in str(told)
