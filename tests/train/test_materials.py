"""A run's materials: which images are taken, which are left out and named, where validation comes from."""

from __future__ import annotations

import dataclasses
import os
import shutil
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from lipt_stream.errors import InputError, OutputError, SettingsError
from lipt_stream.model.weights import load_weights
from lipt_stream.train import materials as materials_module
from lipt_stream.train.folders import search
from lipt_stream.train.materials import Folders, Materials, load_materials
from lipt_stream.train.run import make_trainer, write_weights
from lipt_stream.train.spec import TrainSpec

CPU = torch.device("cpu")
SPEC = TrainSpec("nano", minutes=1.0, batch=2, patch=8, tail_patch=16)


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
    assert before == "10 images"
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
    assert (found.images, len(found.validation)) == ("11 images", 1)
    told = {skipped.path.name: skipped.reason for skipped in found.skipped}
    images = {"deep.tif", "small.png", "broken.png", "cut.png", "empty.jpg", "tiny.png"}
    assert told.keys() == images | {photos.name}
    assert told[photos.name] == "1 file of other kinds (.txt 1)"
    assert "more than 8 bits" in told["deep.tif"]
    assert "200x39, less than the 40 pixels a side that --patch and --tail-patch take" in told["small.png"]
    assert "cannot be read as an image" in told["cut.png"]


def test_without_a_tail_nothing_needs_to_be_as_large_as_its_patches(photos: Path, tmp_path: Path) -> None:
    spec = dataclasses.replace(SPEC, tail_patch=96, tail_share=0.0)
    assert materials(spec, photos, tmp_path, photos / "more").images.endswith("images")


def test_what_is_validated_by_and_what_a_run_made_is_not_trained_on(photos: Path) -> None:
    out = photos / "run"
    out.mkdir()
    Image.fromarray(noise(64, 64, 3)).save(out / "stills.png")
    found = materials(SPEC, photos, out, photos / "more")
    assert (found.images, len(found.validation)) == ("3 images", 1)


def test_folders_without_use(photos: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    for folder, words in (
        (empty, "holds no image"),
        (tmp_path / "none", "is not a folder"),
        (tmp_path / ("long" * 100), "cannot be read: File name too long"),
    ):
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
    with pytest.raises(InputError, match=r"None of 2 images can be used: .*less than the 200 pixels a side"):
        materials(large, photos, tmp_path)


@pytest.mark.parametrize(("task", "scale"), [("sr", 2), ("deblock", 1)])
def test_degraded_pairs_train_too(photos: Path, tmp_path: Path, task: str, scale: int) -> None:
    spec = TrainSpec("nano", scale=scale, task=task, degrade="video", minutes=1.0, batch=2, patch=8, tail_patch=16)
    Image.fromarray(noise(17 * scale, 8 * scale, 3)).save(photos / "small.png")
    found = materials(spec, photos, tmp_path)
    assert (found.images, len(found.validation)) == ("3 images", 1)
    assert [skipped.path.name for skipped in found.skipped] == ["small.png"]
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "pairs").iterdir()}
    assert len(made) == 6
    assert (tmp_path / "pairs" / "CACHEDIR.TAG").read_text().startswith("Signature: 8a477f597d28d172789f06886806bc55")
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
    assert (found.images, len(found.validation)) == ("8 moments of films", 1)
    with pytest.raises(InputError, match="holds no image"):
        materials(SPEC, films, tmp_path, photos / "more")


def test_variants_of_each_image_are_trained_on_and_one_is_validated_by(photos: Path, tmp_path: Path) -> None:
    spec = TrainSpec("nano", degrade="video", variants=2, batch=2, patch=8, tail_patch=16)
    found = materials(spec, photos, tmp_path)
    assert (found.images, len(found.validation)) == ("3 images, each degraded 2 times", 1)


def test_folders_that_overlap_give_each_image_once(photos: Path, tmp_path: Path) -> None:
    found = load_materials(SPEC, Folders([photos, photos / "more"], None, tmp_path, tmp_path / "pairs"), CPU)
    assert (found.images, len(found.validation)) == ("3 images", 1)


def test_a_copy_of_what_is_validated_by_is_not_trained_on(photos: Path, tmp_path: Path) -> None:
    """Whatever it is called, wherever it lies, in whatever format."""
    valid = tmp_path / "valid"
    valid.mkdir()
    shutil.copy(photos / "a.png", valid / "other.png")
    Image.open(photos / "b.png").save(valid / "b.webp", lossless=True)
    found = materials(SPEC, photos, tmp_path, valid)
    assert (found.images, len(found.validation)) == ("2 images", 2)
    assert [skipped.reason.rpartition("/")[2] for skipped in found.skipped] == [
        "a.png is also validated by", "b.png is also validated by",
    ]  # fmt: skip
    video = TrainSpec("nano", degrade="video", batch=2, patch=8, tail_patch=16)
    found = materials(video, photos, tmp_path, valid)
    assert (found.images, len(found.validation), len(found.skipped)) == ("2 images", 2, 2)
    shutil.copy(photos / "c.png", valid)
    shutil.copy(photos / "more" / "d.png", valid)
    with pytest.raises(InputError, match=r"None of 4 images can be used: .*is also validated by"):
        materials(SPEC, photos, tmp_path, valid)


def test_an_earlier_run_below_the_data_is_passed_by_and_named(photos: Path, tmp_path: Path) -> None:
    run = photos / "runs" / "one"
    (run / "pairs").mkdir(parents=True)
    (run / "checkpoint.pt").touch()
    shutil.copy(photos / "a.png", run / "stills.png")
    Image.fromarray(noise(64, 64, 3)).save(run / "pairs" / "degraded.webp")
    found = materials(SPEC, photos, tmp_path)
    assert (found.images, [skipped.path for skipped in found.skipped]) == ("3 images", [run])


def test_images_that_another_run_degraded_are_no_material(photos: Path, tmp_path: Path) -> None:
    video = TrainSpec("nano", degrade="video", minutes=1.0, batch=2, patch=8, tail_patch=16)
    load_materials(video, Folders([photos], None, tmp_path / "a", photos / "kept"), CPU)
    for spec in (SPEC, video):
        found = load_materials(spec, Folders([photos], None, tmp_path / "b", tmp_path / "b" / "pairs"), CPU)
        assert found.images == "3 images"
        told = f"{photos / 'kept'} is a cache, such as --pairs (CACHEDIR.TAG lies in it)"
        assert [skipped.reason for skipped in found.skipped] == [told]


def test_pairs_are_not_kept_among_images(photos: Path, tmp_path: Path) -> None:
    video = TrainSpec("nano", degrade="video", minutes=1.0, batch=2, patch=8, tail_patch=16)
    other = tmp_path / "other"
    shutil.copytree(photos, other)
    before = sorted(other.iterdir())
    with pytest.raises(OutputError, match=r"no pair, such as a\.png\. Give another --pairs"):
        load_materials(video, Folders([photos], None, tmp_path / "out", other), CPU)
    with pytest.raises(SettingsError, match=r"other is a folder of --data\. Give it a folder of its own"):
        load_materials(video, Folders([photos, other], None, tmp_path / "out", other), CPU)
    assert sorted(other.iterdir()) == before


def test_what_is_no_regular_file_is_named(photos: Path, tmp_path: Path) -> None:
    os.mkfifo(photos / "pipe.png")
    os.mkfifo(photos / "pipe.mkv")
    (photos / "zero.png").symlink_to("/dev/zero")
    found = materials(SPEC, photos, tmp_path)
    assert found.images == "3 images"
    names = ("pipe.mkv", "pipe.png", "zero.png")
    assert {skipped.reason for skipped in found.skipped} == {f"{photos / name} is not a regular file" for name in names}


def test_links_are_followed_once_and_lead_nowhere_in_circles(photos: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    Image.fromarray(noise(64, 64, 3)).save(elsewhere / "e.png")
    (photos / "linked").symlink_to(elsewhere)
    (photos / "again").symlink_to(elsewhere)
    (photos / "more" / "up").symlink_to(photos)
    (photos / "circle.png").symlink_to(photos / "circle.png")
    found = materials(SPEC, photos, tmp_path)
    assert found.images == "4 images"
    assert [skipped.path.name for skipped in found.skipped] == ["circle.png"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads every folder")
def test_a_folder_that_cannot_be_read_is_named(photos: Path, tmp_path: Path) -> None:
    (photos / "more").chmod(0)
    try:
        found = materials(SPEC, photos, tmp_path)
    finally:
        (photos / "more").chmod(0o755)
    assert [skipped.reason for skipped in found.skipped] == [f"{photos / 'more'} cannot be read: Permission denied"]
    photos.chmod(0)
    try:
        with pytest.raises(InputError, match="photos cannot be read: Permission denied"):
            materials(SPEC, photos, tmp_path)
    finally:
        photos.chmod(0o755)


def test_films_that_are_not_used_are_named(photos: Path, tmp_path: Path) -> None:
    shutil.copy(CLIP, photos)
    told = [skipped.reason for skipped in materials(SPEC, photos, tmp_path).skipped]
    assert told == ["1 film of use only with --degrade video"]
    denoise = TrainSpec("nano", scale=1, task="denoise", degrade="video", batch=2, patch=8, tail_patch=16)
    told = [skipped.reason for skipped in materials(denoise, photos, tmp_path).skipped]
    assert told == ["1 film left aside by --task denoise"]


def test_what_is_left_out_takes_one_line(photos: Path, tmp_path: Path) -> None:
    Image.fromarray(noise(20, 20, 3)).save(photos / "a\nb.png")
    told = [str(skipped) for skipped in materials(SPEC, photos, tmp_path).skipped]
    assert len(told) == 1
    assert told[0].startswith(f"left out: {photos}/a\\nb.png is 20x20, less than ")


def test_images_that_no_memory_holds_are_refused_with_figures(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(materials_module, "free_host_bytes", lambda: 30_000)
    Image.fromarray(noise(400, 500, 3)).save(photos / "large.png")
    told = r"5 images take 0\.0 GB when decoded, and 0\.0 GB are free.*largest, .*large\.png, says that it is 500x400"
    with pytest.raises(InputError, match=told):
        materials(SPEC, photos, tmp_path)


def test_so_are_those_to_validate_by(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    valid = tmp_path / "valid"
    valid.mkdir()
    Image.fromarray(noise(400, 400, 3)).save(valid / "large.png")
    monkeypatch.setattr(materials_module, "free_host_bytes", lambda: 500_000)
    materials(SPEC, photos, tmp_path / "out", photos / "more")
    with pytest.raises(InputError, match=r"5 images take 0\.0 GB when decoded"):
        materials(SPEC, photos, tmp_path / "out", valid)


def test_each_degraded_image_is_told_of(photos: Path, tmp_path: Path) -> None:
    spec = TrainSpec("nano", degrade="video", batch=2, patch=8, tail_patch=16)
    told: list[tuple[int, int]] = []
    folders = Folders([photos], None, tmp_path, tmp_path / "pairs")
    load_materials(spec, folders, CPU, lambda done, of: told.append((done, of)))
    assert told == [(1, 1), (1, 3), (2, 3), (3, 3)]


def test_the_order_is_that_of_places_not_of_how_folders_are_written(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The crops that a seed draws go by the order, and a resumed run is refused with another one."""
    shutil.copytree(photos, tmp_path / "zoo")
    monkeypatch.chdir(tmp_path)
    begun, resumed = (
        [path.resolve() for path in search(folders).images]
        for folders in ([photos.absolute(), Path("zoo")], [Path(os.path.relpath(photos)), tmp_path / "zoo"])
    )
    assert begun == resumed
