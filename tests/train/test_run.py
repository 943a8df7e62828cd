"""A run's materials: which images are taken, which are left out and named, where validation comes from."""

from __future__ import annotations

import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from lipt_stream.errors import InputError, OutputError, SettingsError, WeightsError
from lipt_stream.model.weights import load_weights
from lipt_stream.train.run import Folders, Materials, load_materials, make_trainer, open_run, train, write_weights
from lipt_stream.train.spec import TrainSpec

CPU = torch.device("cpu")
SPEC = TrainSpec("nano", minutes=1.0, batch=2, patch=8, tail_patch=16)
WEIGHTS = Path(__file__).resolve().parents[2] / "weights"


def materials(spec: TrainSpec, photos: Path, out: Path, valid: Path | None = None) -> Materials:
    return load_materials(spec, Folders([photos], valid, out, out / "pairs"), CPU)


def noise(*shape: int, dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype=dtype)


def av_png(image: np.ndarray) -> bytes:
    """A PNG of 16 bits in each of three colours, which Pillow cannot write."""
    frame = av.VideoFrame.from_ndarray(image, format="rgb48le").reformat(format="rgb48be")
    encoder = av.CodecContext.create("png", "w")
    encoder.width, encoder.height, encoder.pix_fmt = frame.width, frame.height, "rgb48be"
    encoder.time_base = Fraction(1, 25)
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])


def test_a_twentieth_is_held_back(photos: Path, tmp_path: Path) -> None:
    found = materials(SPEC, photos, tmp_path)
    assert (found.images, len(found.validation), found.skipped) == (3, 1, [])


def test_images_of_every_kind(photos: Path, tmp_path: Path) -> None:
    """Gray, transparent, palette and 16-bit colour are taken as 8-bit RGB; what cannot be used is named."""
    Image.fromarray(noise(64, 64)).save(photos / "gray.png")
    Image.fromarray(noise(64, 64, dtype=np.uint16)).save(photos / "gray16.png")
    Image.fromarray(noise(64, 64, 4)).save(photos / "alpha.png")
    Image.fromarray(noise(64, 64)).convert("1").save(photos / "bits.png")
    (photos / "colour48.png").write_bytes(av_png(noise(64, 64, 3, dtype=np.uint16)))
    Image.fromarray(noise(64, 64, 2), "LA").save(photos / "gray-alpha.png")
    Image.fromarray(noise(64, 64, 3)).quantize(16).save(photos / "palette.png")
    before = materials(SPEC, photos, tmp_path).images
    assert before == 10
    Image.fromarray(noise(64, 64, dtype=np.uint16).astype(np.float32)).save(photos / "deep.tif")
    Image.fromarray(noise(39, 200, 3)).save(photos / "small.png")
    (photos / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    cut = (photos / "a.png").read_bytes()
    (photos / "cut.png").write_bytes(cut[: len(cut) // 2])
    (photos / "empty.jpg").touch()
    (photos / "notes.txt").write_text("no image")
    valid = tmp_path / "valid"
    valid.mkdir()
    Image.fromarray(noise(40, 40, 3)).save(valid / "v.png")
    Image.fromarray(noise(20, 40, 3)).save(valid / "tiny.png")
    found = materials(SPEC, photos, tmp_path, valid)
    assert (found.images, len(found.validation)) == (11, 1)
    told = {skipped.path.name: skipped.reason for skipped in found.skipped}
    assert told.keys() == {"deep.tif", "small.png", "broken.png", "cut.png", "empty.jpg", "tiny.png"}
    assert "more than 8 bits" in told["deep.tif"]
    assert "200x39, less than a crop of 40" in told["small.png"]
    assert "cannot be read as an image" in told["cut.png"]


def test_what_is_validated_by_and_what_a_run_made_is_not_trained_on(photos: Path) -> None:
    out = photos / "run"
    out.mkdir()
    Image.fromarray(noise(64, 64, 3)).save(out / "stills.png")
    found = materials(SPEC, photos, out, photos / "more")
    assert (found.images, len(found.validation)) == (3, 1)


def test_folders_without_use(photos: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    for folder, words in ((empty, "holds no image"), (tmp_path / "none", "is not a folder")):
        with pytest.raises(InputError, match=words):
            materials(SPEC, folder, tmp_path)
        with pytest.raises(InputError, match=words):
            materials(SPEC, photos, tmp_path, folder)
    alone = tmp_path / "alone"
    alone.mkdir()
    (photos / "a.png").rename(alone / "a.png")
    with pytest.raises(InputError, match="No image is left to train on"):
        materials(SPEC, alone, tmp_path)
    large = TrainSpec("nano", minutes=1.0, batch=2, patch=64)
    with pytest.raises(InputError, match=r"None of 2 images can be used: .*less than a crop of 200"):
        materials(large, photos, tmp_path)


@pytest.mark.parametrize(("task", "scale"), [("sr", 2), ("deblock", 1)])
def test_degraded_pairs_train_too(photos: Path, tmp_path: Path, task: str, scale: int) -> None:
    spec = TrainSpec("nano", scale=scale, task=task, degrade="video", minutes=1.0, batch=2, patch=8, tail_patch=16)
    Image.fromarray(noise(17 * scale, 8 * scale, 3)).save(photos / "small.png")
    found = materials(spec, photos, tmp_path)
    assert (found.images, len(found.validation)) == (3, 1)
    assert [skipped.path.name for skipped in found.skipped] == ["small.png"]
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "pairs").iterdir()}
    assert len(made) == 5
    materials(spec, photos, tmp_path)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "pairs").iterdir()} == made
    low, high = found.batches.draw(3, 8, torch.Generator().manual_seed(0))
    assert (low.shape, high.shape) == ((3, 3, 8, 8), (3, 3, 8 * scale, 8 * scale))
    trainer = make_trainer(spec, found, tmp_path, device=CPU, precision="float32")
    list(trainer.run(lambda: trainer.step >= 1))
    write_weights(trainer, tmp_path / "w.safetensors", licence="CC0-1.0", training_data="noise")
    info = load_weights(tmp_path / "w.safetensors")[1]
    assert (info.name, info.task) == {"sr": ("nano-x2-video", "sr"), "deblock": ("nano-x1-deblock", "deblock")}[task]


CLIP = Path(__file__).parents[1] / "data" / "clips" / "flower.mp4"


def test_films_alone_train_where_something_is_there_to_validate_by(photos: Path, tmp_path: Path) -> None:
    spec = TrainSpec("nano", degrade="video", batch=2, patch=8, tail_patch=16)
    films = tmp_path / "films"
    films.mkdir()
    shutil.copy(CLIP, films)
    with pytest.raises(InputError, match="Among the films is no image to validate by"):
        materials(spec, films, tmp_path)
    found = materials(spec, films, tmp_path, photos / "more")
    assert (found.images, len(found.validation)) == (8, 1)
    with pytest.raises(InputError, match="holds no image"):
        materials(SPEC, films, tmp_path, photos / "more")


def test_variants_of_each_image_are_trained_on_and_one_is_validated_by(photos: Path, tmp_path: Path) -> None:
    spec = TrainSpec("nano", degrade="video", variants=2, batch=2, patch=8, tail_patch=16)
    found = materials(spec, photos, tmp_path)
    assert (found.images, len(found.validation)) == (6, 1)


def test_folders_that_overlap_give_each_image_once(photos: Path, tmp_path: Path) -> None:
    found = load_materials(SPEC, Folders([photos, photos / "more"], None, tmp_path, tmp_path / "pairs"), CPU)
    assert (found.images, len(found.validation)) == (3, 1)


def test_only_pairs_may_be_there_before_a_run(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert open_run(SPEC, out, resume=False) is None
    (out / "pairs").mkdir()
    assert open_run(SPEC, out, resume=False) is None
    (out / "log.jsonl").touch()  # of a try whose first checkpoint found no room
    (out / "checkpoint.pt.part").touch()
    assert open_run(SPEC, out, resume=False) is None
    (out / "notes.txt").touch()
    with pytest.raises(OutputError, match=r"is not empty. Go on with what is there by --resume"):
        open_run(SPEC, out, resume=False)
    with pytest.raises(InputError, match="Train without --resume to begin"):
        open_run(SPEC, out, resume=True)
    with pytest.raises(OutputError, match="Cannot make the folder"):
        open_run(SPEC, out / "notes.txt" / "run", resume=False)


def test_the_seed_decides_the_start(photos: Path, tmp_path: Path) -> None:
    found = materials(SPEC, photos, tmp_path)
    before = torch.get_rng_state()
    one, same = (make_trainer(SPEC, found, tmp_path, device=CPU) for _ in range(2))
    other = make_trainer(TrainSpec("nano", patch=8, tail_patch=16, seed=1), found, tmp_path, device=CPU)
    assert torch.equal(one.model.head.weight, same.model.head.weight)
    assert not torch.equal(one.model.head.weight, other.model.head.weight)
    assert torch.equal(torch.get_rng_state(), before)


def test_starting_from_weights_and_with_a_teacher(photos: Path, tmp_path: Path) -> None:
    found = materials(SPEC, photos, tmp_path)
    nano = WEIGHTS / "nano-x2.safetensors"
    started = make_trainer(SPEC, found, tmp_path, device=CPU, init=nano, teacher=WEIGHTS / "tiny-x2.safetensors")
    assert torch.equal(started.model.head.weight, load_weights(nano)[0].head.weight)
    list(started.run(lambda: started.step >= 1))
    gone_on = make_trainer(
        SPEC,
        found,
        tmp_path,
        device=CPU,
        init=tmp_path / "gone",
        teacher=WEIGHTS / "tiny-x2.safetensors",
        checkpoint=open_run(SPEC, tmp_path, resume=True),
    )
    assert gone_on.step == 1  # what it began with is not needed any more
    with pytest.raises(WeightsError, match="channels 32 for 16"):
        make_trainer(SPEC, found, tmp_path, device=CPU, init=WEIGHTS / "tiny-x2.safetensors")
    three = TrainSpec("nano", scale=3, patch=8, tail_patch=16)
    with pytest.raises(SettingsError, match="is for sr of video pictures, and this run for sr of clean ones"):
        make_trainer(SPEC, found, tmp_path, device=CPU, teacher=WEIGHTS / "tiny-x2-video.safetensors")
    with pytest.raises(SettingsError, match="enlarges x2, and this run x3"):
        make_trainer(three, found, tmp_path, device=CPU, teacher=nano)
    assert make_trainer(three, found, tmp_path, device=CPU, init=nano).model.config.scale == 3


def test_a_run_is_resumed_with_its_own_images_teacher_and_precision(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = materials(SPEC, photos, out)
    open_run(SPEC, out, resume=False)
    list(make_trainer(SPEC, found, out, device=CPU, precision="float32").run(lambda: True))
    resumed = open_run(SPEC, out, resume=True)
    make_trainer(SPEC, found, out, device=CPU, precision="float32", checkpoint=resumed)
    teacher = WEIGHTS / "tiny-x2.safetensors"
    with pytest.raises(SettingsError, match="with no teacher and the precision float32"):
        make_trainer(SPEC, found, out, device=CPU, precision="bfloat16", teacher=teacher, checkpoint=resumed)
    Image.fromarray(noise(70, 70, 3)).save(photos / "e.png")
    others = materials(SPEC, photos, out)
    with pytest.raises(SettingsError, match="with other training images"):
        make_trainer(SPEC, others, out, device=CPU, precision="float32", checkpoint=resumed)
    with pytest.raises(SettingsError, match="with the usual start"):
        make_trainer(SPEC, found, out, device=CPU, precision="float32", init=teacher, checkpoint=resumed)
    with pytest.raises(WeightsError, match="Cannot read weights"):
        make_trainer(SPEC, found, out, device=CPU, teacher=tmp_path / "gone", checkpoint=resumed)
    elsewhere = replace(resumed, device="cuda", generator=torch.zeros(16, dtype=torch.uint8))
    make_trainer(SPEC, found, out, device=CPU, precision="bfloat16", checkpoint=elsewhere)


def test_a_log_that_cannot_be_written(photos: Path, tmp_path: Path) -> None:
    trainer = make_trainer(SPEC, materials(SPEC, photos, tmp_path), tmp_path, device=CPU)
    (tmp_path / "log.jsonl").mkdir()
    with pytest.raises(OutputError, match=r"Cannot write .*log\.jsonl: Is a directory"):
        list(train(trainer, lambda: True))
