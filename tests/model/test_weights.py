"""Files of weights: ours and the reference's, whole and broken."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from lipt_stream.errors import OutputError, WeightsError
from lipt_stream.model.config import LiptConfig
from lipt_stream.model.lipt import LIPT, deploy
from lipt_stream.model.weights import WeightsInfo, load_weights, save_weights

DATA = Path(__file__).parents[1] / "data"
CONFIGS = {
    "tiny24_x2": LiptConfig(2, 24, 8, 1, 8),
    "c32m4_x3": LiptConfig(3, 32, 4, 1, 8),
    "c32m2n0w16_x4": LiptConfig(4, 32, 2, 0, 16),
    "c24m2_x1": LiptConfig(1, 24, 2, 1, 8),
}
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
CONFIG = '{"scale": 2, "channels": 4, "units": 2, "shared": 1, "window": 4, %s}'  # the last of two that are alike holds


def assert_gives_the_stored_output(folder: Path, name: str, form: str) -> None:
    model, info = load_weights(folder / f"{name}_{form}.pt")
    assert model.config == CONFIGS[name]
    assert model.deployed == (form == "deploy")
    assert not model.training
    assert (info.name, info.scale, info.origin) == (f"{name}_{form}", CONFIGS[name].scale, "reference")
    with np.load(folder / f"{name}_io.npz") as stored:
        x = torch.from_numpy(stored["x"]) / 255
        expected = torch.from_numpy(stored["y" if form == "train" else "y_deploy"])
    with torch.inference_mode():
        torch.testing.assert_close(model(x) * 255, expected, atol=2e-3, rtol=0)
        torch.testing.assert_close(deploy(model)(x), model(x), atol=1e-4, rtol=0)


@pytest.mark.parametrize("form", ["train", "deploy"])
def test_reference_checkpoint_gives_the_references_output(form: str) -> None:
    assert_gives_the_stored_output(DATA, "c24m2_x1", form)


@pytest.mark.parametrize("form", ["train", "deploy"])
@pytest.mark.parametrize("name", [name for name in CONFIGS if name != "c24m2_x1"])
def test_shared_reference_checkpoint_gives_the_references_output(shared: Path, name: str, form: str) -> None:
    assert_gives_the_stored_output(shared / "fixtures", name, form)


def test_the_training_form_keeps_its_statistics() -> None:
    trained, _ = load_weights(DATA / "c24m2_x1_train.pt")
    again, _ = load_weights(DATA / "c24m2_x1_deploy.pt")
    for name, tensor in deploy(trained).state_dict().items():
        torch.testing.assert_close(tensor, again.state_dict()[name], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("deployed", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_what_is_saved_is_loaded(tmp_path: Path, deployed: bool, dtype: torch.dtype) -> None:
    model = LIPT(TINY, deployed=deployed).to(dtype, memory_format=torch.channels_last)
    save_weights(tmp_path / "test.safetensors", model, INFO)
    loaded, info = load_weights(tmp_path / "test.safetensors")
    assert info == INFO
    assert (loaded.config, loaded.deployed) == (TINY, deployed)
    for name, tensor in loaded.state_dict().items():
        assert tensor.dtype in (torch.float32, torch.int64)
        assert torch.equal(tensor, model.state_dict()[name].to(tensor.dtype))
    assert [path.name for path in tmp_path.iterdir()] == ["test.safetensors"]


def test_the_content_tells_the_format_not_the_name(tmp_path: Path) -> None:
    shutil.copy(DATA / "c24m2_x1_deploy.pt", tmp_path / "weights.safetensors")
    assert load_weights(tmp_path / "weights.safetensors")[1].origin == "reference"


def test_the_window_of_a_reference_checkpoint_can_be_given() -> None:
    assert load_weights(DATA / "c24m2_x1_deploy.pt", window=16)[0].config.window == 16


def test_a_window_that_would_take_all_memory_is_refused() -> None:
    with pytest.raises(WeightsError, match="window must be even and from 2 to 64, not 1000000"):
        load_weights(DATA / "c24m2_x1_deploy.pt", window=1_000_000)


def test_our_files_know_their_window(tmp_path: Path) -> None:
    save_weights(tmp_path / "test.safetensors", LIPT(TINY, deployed=True), INFO)
    assert load_weights(tmp_path / "test.safetensors", window=4)[0].config.window == 4
    with pytest.raises(WeightsError, match="window of 4, not 8"):
        load_weights(tmp_path / "test.safetensors", window=8)


def test_saving_refuses_another_scale(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="x3"):
        save_weights(tmp_path / "test.safetensors", LIPT(TINY, deployed=True), dataclasses.replace(INFO, scale=3))


def test_saving_where_nothing_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="Cannot write"):
        save_weights(tmp_path / "missing" / "test.safetensors", LIPT(TINY, deployed=True), INFO)


def one_line(error: pytest.ExceptionInfo[WeightsError]) -> str:
    assert error.value.hint
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_mismatch_names_every_tensor_and_the_config(tmp_path: Path) -> None:
    state = torch.load(DATA / "c24m2_x1_deploy.pt", weights_only=True)
    unit = "body.0.modules_hrm_a.lcs_a_0."
    del state[unit + "conv0.bias"], state[unit + "conv1.weight"]
    state["extra.one"], state["extra.two"] = torch.zeros(1), torch.zeros(1)
    state["head.0.bias"] = torch.zeros(23)
    torch.save(state, tmp_path / "odd.pt")
    with pytest.raises(WeightsError) as error:
        load_weights(tmp_path / "odd.pt")
    told = one_line(error)
    for expected in (
        "missing: blocks.0.units.0.hrm_a.conv0.bias, blocks.0.units.0.hrm_a.conv1.weight;",
        "extra: extra.one, extra.two;",
        "wrong shape: head.bias is (23,) for (24,)",
        "LiptConfig(scale=1, channels=24, units=2, shared=1, window=8, scattered=False, sampled_values=False)",
        "deployed form",
    ):
        assert expected in told


@pytest.mark.parametrize(("name", "value"), [("sub_mean.bias", -100.0), ("add_mean.weight", 2.0)])
def test_another_mean_is_refused(tmp_path: Path, name: str, value: float) -> None:
    state = torch.load(DATA / "c24m2_x1_deploy.pt", weights_only=True)
    state[name] = torch.full_like(state[name], value)
    torch.save(state, tmp_path / "mean.pt")
    with pytest.raises(WeightsError, match=name) as error:
        load_weights(tmp_path / "mean.pt")
    one_line(error)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_none_are_refused(tmp_path: Path, value: float) -> None:
    model = LIPT(TINY, deployed=True)
    model.tail.weight.data[0, 0, 0, 0] = value
    save_weights(tmp_path / "nan.safetensors", model, INFO)
    state = torch.load(DATA / "c24m2_x1_train.pt", weights_only=True)
    state["model_state_dict"]["module.tail.0.weight"][0] = value
    torch.save(state, tmp_path / "nan.pt")
    for name in ("nan.safetensors", "nan.pt"):
        with pytest.raises(WeightsError, match=r"tail\.weight") as error:
            load_weights(tmp_path / name)
        one_line(error)


class RunsCode:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("it_ran"),)


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"head.0.weight": torch.zeros(1), "other": RunsCode()}, "code.pt")
    with pytest.raises(WeightsError, match="refused") as error:
        load_weights("code.pt")
    one_line(error)
    assert not Path("it_ran").exists()


@pytest.mark.parametrize(
    "content",
    [b"", b"not weights at all", b"PK\x03\x04 a zip's first bytes", b"\x80\x02 a pickle's", b"\x10\0\0\0\0\0\0\0{"],
)
def test_what_is_not_weights_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "other.pt").write_bytes(content)
    with pytest.raises(WeightsError) as error:
        load_weights(tmp_path / "other.pt")
    one_line(error)


@pytest.mark.parametrize("content", [[1, 2], {}, {"epoch": 3}, {"weight": torch.zeros(2)}, torch.zeros(3)], ids=str)
def test_a_checkpoint_of_something_else_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(WeightsError) as error:
        load_weights(tmp_path / "other.pt")
    one_line(error)


def test_a_checkpoint_without_its_ends_is_refused(tmp_path: Path) -> None:
    state = torch.load(DATA / "c24m2_x1_deploy.pt", weights_only=True)
    del state["tail.0.weight"]
    torch.save(state, tmp_path / "headless.pt")
    with pytest.raises(WeightsError, match=r"lacks tail\.weight"):
        load_weights(tmp_path / "headless.pt")


@pytest.mark.parametrize("missing", ["nowhere.pt", "."])
def test_a_missing_file_is_said_to_be_missing(tmp_path: Path, missing: str) -> None:
    with pytest.raises(WeightsError, match="Cannot read weights") as error:
        load_weights(tmp_path / missing)
    one_line(error)


def test_another_networks_safetensors_is_refused(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match="no format"):
        load_weights(tmp_path / "other.safetensors")


@pytest.mark.parametrize(
    "change",
    [
        {"config": "{}"},
        {"config": '{"scale": 7, "channels": 4, "units": 2, "shared": 1, "window": 4}'},
        {"config": "["},
        {"info": "{}"},
        {"form": "half"},
        {"config": CONFIG % '"channels": 4.0'},
        {"config": CONFIG % '"scattered": "no"'},
        {"config": CONFIG % '"window": 1000000'},
        {"config": "[" * 100_000},
        {"info": json.dumps(dataclasses.asdict(INFO) | {"scale": 4})},
        {"info": json.dumps(dataclasses.asdict(INFO) | {"scores": {"Set5": 10**400}})},
    ],
    ids=lambda change: str(change)[:60],
)
def test_unusable_metadata_is_refused(tmp_path: Path, change: dict[str, str]) -> None:
    path = tmp_path / "test.safetensors"
    save_weights(path, LIPT(TINY, deployed=True), INFO)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    save_file(load_file(path), path, metadata | change)
    with pytest.raises(WeightsError, match="unusable metadata") as error:
        load_weights(path)
    one_line(error)


@pytest.mark.parametrize("change", ['"units": 200000000', '"channels": 200000'])
def test_no_network_is_made_that_is_far_larger_than_its_file(tmp_path: Path, change: str) -> None:
    path = tmp_path / "test.safetensors"
    save_weights(path, LIPT(TINY, deployed=True), INFO)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    save_file(load_file(path), path, metadata | {"config": CONFIG % change})
    with pytest.raises(WeightsError, match="too few") as error:
        load_weights(path)
    one_line(error)


@pytest.mark.parametrize("position", ["body.0.modules_hrm_a.lcs_a_999999.", "body.999999.modules_hrm_a.lcs_a_0."])
def test_a_place_that_no_network_has_is_refused(tmp_path: Path, position: str) -> None:
    state = torch.load(DATA / "c24m2_x1_deploy.pt", weights_only=True)
    torch.save(state | {position + "0.weight": torch.zeros(1)}, tmp_path / "odd.pt")
    with pytest.raises(WeightsError) as error:
        load_weights(tmp_path / "odd.pt")
    one_line(error)


@pytest.mark.parametrize(
    "odd",
    [
        lambda tensor: tensor.to(torch.float8_e4m3fn),
        lambda tensor: tensor.to(torch.int8),
        lambda tensor: tensor.to(torch.complex64),
        lambda tensor: tensor.to_sparse(),
        lambda tensor: tensor.to("meta"),
        lambda tensor: tensor.sum(),
    ],
    ids=["float8", "int8", "complex", "sparse", "meta", "number"],
)
def test_tensors_of_other_kinds_are_refused(tmp_path: Path, odd: Callable[[Tensor], Tensor]) -> None:
    state = torch.load(DATA / "c24m2_x1_deploy.pt", weights_only=True)
    torch.save(state | {"head.0.weight": odd(state["head.0.weight"])}, tmp_path / "odd.pt")
    with pytest.raises(WeightsError, match=r"no plain tensor.*head\.0\.weight is") as error:
        load_weights(tmp_path / "odd.pt")
    one_line(error)


def test_our_files_with_tensors_of_another_kind_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "test.safetensors"
    save_weights(path, LIPT(TINY, deployed=True), INFO)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    save_file({name: tensor.to(torch.float8_e4m3fn) for name, tensor in load_file(path).items()}, path, metadata)
    with pytest.raises(WeightsError, match="no plain tensor") as error:
        load_weights(path)
    one_line(error)


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
