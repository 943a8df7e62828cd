"""Files that are no weights, or weights of another network, are refused by what is wrong with them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from lipt_stream.errors import WeightsError
from lipt_stream.model.lipt import LIPT
from lipt_stream.model.weights import load_weights, save_weights
from tests.model.small_weights import DATA, INFO, TINY, one_line

CONFIG = '{"scale": 2, "channels": 4, "units": 2, "shared": 1, "window": 4, %s}'  # the last of two that are alike holds


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


@pytest.mark.parametrize("missing", ["nowhere.pt", ".", "long" * 100])
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
        {"info": json.dumps(dataclasses.asdict(INFO) | {"name": ["nano"]})},
        {"info": json.dumps(dataclasses.asdict(INFO) | {"minutes": "long"})},
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


def test_where_a_run_stands_is_no_weights_and_has_them_beside_it(tmp_path: Path) -> None:
    torch.save({"format": 2, "spec": "{}", "step": 7, "model": {}}, tmp_path / "checkpoint.pt")
    with pytest.raises(WeightsError, match=r"where a training run stands\. Give the weights\.safetensors beside it"):
        load_weights(tmp_path / "checkpoint.pt")


def test_a_small_file_that_claims_large_tensors_is_refused_before_they_are_made(tmp_path: Path) -> None:
    """Two kilobytes took 3 GB: torch keeps a view as a view, and what is made of it is as large as it says."""
    state = torch.load(DATA / "c24m2_x1_deploy.pt", weights_only=True)
    state["head.0.weight"] = torch.zeros(1).expand(20_000, 20_000, 1, 1)
    torch.save(state, tmp_path / "view.pt")
    with pytest.raises(WeightsError, match=r"head\.0\.weight is .* 400,000,000 numbers") as error:
        load_weights(tmp_path / "view.pt")
    one_line(error)


def test_metadata_that_are_nothing_and_dtypes_that_torch_has_not_are_no_defect(tmp_path: Path) -> None:
    for header in (
        {"__metadata__": None, "a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}},
        {"a": {"dtype": "F4", "shape": [8], "data_offsets": [0, 4]}},
    ):
        words = json.dumps(header).encode()
        path = tmp_path / "odd.safetensors"
        path.write_bytes(len(words).to_bytes(8, "little") + words + bytes(4))
        with pytest.raises(WeightsError) as error:
            load_weights(path)
        one_line(error)


def test_a_network_that_is_all_nan_is_told_in_a_line_that_can_be_read(tmp_path: Path) -> None:
    model = LIPT(TINY, deployed=True)
    for parameter in model.parameters():
        parameter.data.fill_(float("nan"))
    save_weights(tmp_path / "nan.safetensors", model, INFO)
    with pytest.raises(WeightsError, match=r"NaN or infinite numbers in [^,]*, [^,]*, [^,]* and \d+ more") as error:
        load_weights(tmp_path / "nan.safetensors")
    one_line(error)
