"""The cache of degraded pairs: made once, by processes or alone, whole or made again, used without PyAV."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from lipt_stream.errors import InputError, OutputError
from lipt_stream.train import clips
from lipt_stream.train.evaluate import psnr_y
from lipt_stream.train.imresize import imresize
from lipt_stream.train.pairs import Pair, make_pairs
from lipt_stream.train.recipe import Degradation


def picture(height, width):
    """Smooth, with an edge."""
    y, x = np.mgrid[:height, :width]
    light = 110 + 60 * np.sin(x / 7) * np.cos(y / 9) + 40 * (x > width // 2)
    return np.repeat(light.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)


def saved(folder: Path, name: str, image) -> Path:
    path = folder / name
    Image.fromarray(image).save(path)
    return path


def test_pairs_are_kept_and_used_again(tmp_path):
    images = [saved(tmp_path, "a.png", picture(64, 80)), saved(tmp_path, "b.png", picture(50, 70))]
    cache = tmp_path / "cache"
    pairs = make_pairs(images, cache, Degradation(), per_image=2, seed=3)
    assert [pair.hr_path for pair in pairs] == [images[0], images[0], images[1], images[1]]
    assert len({pair.lr_path for pair in pairs}) == 4
    times = {pair.lr_path: pair.lr_path.stat().st_mtime_ns for pair in pairs}
    time.sleep(0.02)
    assert make_pairs(images, cache, Degradation(), per_image=2, seed=3) == pairs
    assert {pair.lr_path: pair.lr_path.stat().st_mtime_ns for pair in pairs} == times
    for other in (
        make_pairs(images, cache, Degradation(), seed=4),
        make_pairs(images, cache, Degradation(crf=(20.0, 30.0)), seed=3),
    ):
        assert not {pair.lr_path for pair in other} & times.keys()
    before = make_pairs(images[:1], cache, Degradation(), seed=3)
    saved(tmp_path, "a.png", picture(64, 82))
    assert make_pairs(images[:1], cache, Degradation(), seed=3) != before


def test_processes_share_the_work_and_change_nothing(tmp_path):
    images = [saved(tmp_path, f"{n}.png", picture(64, 64 + 2 * n)) for n in range(3)]
    alone = make_pairs(images, tmp_path / "alone", Degradation(), seed=1)
    shared = make_pairs(images, tmp_path / "shared", Degradation(), seed=1, workers=2)
    for one, other in zip(alone, shared, strict=True):
        assert one.lr_path.name == other.lr_path.name
        assert np.array_equal(one.read(2)[1], other.read(2)[1])


@pytest.mark.parametrize("damage", ["empty", "half", "noise"])
def test_a_damaged_file_in_the_cache_is_made_again(tmp_path, damage):
    image = saved(tmp_path, "a.png", picture(64, 80))
    (pair,) = make_pairs([image], tmp_path / "cache", Degradation())
    whole = pair.lr_path.read_bytes()
    broken = {"empty": b"", "half": whole[: len(whole) // 2], "noise": bytes(len(whole))}[damage]
    pair.lr_path.write_bytes(broken)
    (pair.lr_path.parent / f"{pair.lr_path.name}.1.part").write_bytes(whole[:9])  # what a kill leaves
    assert make_pairs([image], tmp_path / "cache", Degradation()) == [pair]
    assert pair.lr_path.read_bytes() == whole


def test_what_is_no_image_is_named_and_left_out(tmp_path):
    good = saved(tmp_path, "good.png", picture(64, 64))
    text = tmp_path / "text.png"
    text.write_text("not an image")
    deep = saved(tmp_path, "deep.tif", np.full((64, 64), 0.4, np.float32))
    tiny = saved(tmp_path, "tiny.png", picture(10, 64))
    missing = tmp_path / "missing.png"
    told = []
    pairs = make_pairs([text, good, deep, tiny, missing], tmp_path / "cache", Degradation(), skipped=told.append)
    assert [pair.hr_path for pair in pairs] == [good]
    assert [skipped.path for skipped in told] == [text, deep, tiny, missing]
    assert all(str(skipped.path) in skipped.reason for skipped in told)
    assert "too small" in told[2].reason
    with pytest.warns(UserWarning, match=r"text\.png"):
        make_pairs([text, good], tmp_path / "cache", Degradation())
    with pytest.raises(InputError, match="None of 2 images"):
        make_pairs([text, deep], tmp_path / "cache", Degradation(), skipped=told.append)


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1"])
def test_every_kind_of_image_becomes_a_pair_of_rgb(tmp_path, mode):
    path = tmp_path / "image.png"
    Image.fromarray(picture(65, 80)).convert(mode).save(path)
    (pair,) = make_pairs([path], tmp_path / "cache", Degradation())
    high, low = pair.read(2)
    assert (high.shape, low.shape) == ((64, 80, 3), (32, 40, 3))


def test_a_pair_is_found_whatever_its_image_is_called(tmp_path):
    image = saved(tmp_path, "a.png", picture(64, 64))
    (pair,) = make_pairs([image], tmp_path / "cache", Degradation())
    (renamed,) = make_pairs([image.rename(tmp_path / "a-17.png")], tmp_path / "cache", Degradation())
    assert renamed.lr_path == pair.lr_path


def test_no_pair(tmp_path):
    small = saved(tmp_path, "small.png", picture(40, 40))
    large = saved(tmp_path, "large.png", picture(40, 44))
    with pytest.raises(InputError, match="too large"):
        Pair(small, large).read(2)


def test_a_picture_that_no_webp_holds_is_left_out_and_the_others_are_not(tmp_path):
    wide = saved(tmp_path, "wide.png", np.zeros((8, 16_400, 3), np.uint8))
    good = saved(tmp_path, "good.png", picture(64, 64))
    told = []
    pairs = make_pairs([wide, good], tmp_path / "cache", Degradation(task="denoise", scale=1), skipped=told.append)
    assert [pair.hr_path for pair in pairs] == [good]
    assert "16400 pixels long" in told[0].reason


def test_a_cache_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="file"):
        make_pairs([saved(tmp_path, "a.png", picture(64, 64))], tmp_path / "file" / "cache", Degradation())


def test_a_folder_that_holds_anything_else_is_no_cache(tmp_path):
    """Backups would pass by all that is in it."""
    image, home = saved(tmp_path, "a.png", picture(64, 64)), tmp_path / "home"
    home.mkdir()
    (home / "thesis.odt").write_text("years of work")
    with pytest.raises(OutputError, match=r"home holds what is no pair, such as thesis\.odt\. Give another --pairs"):
        make_pairs([image], home, Degradation())
    assert [path.name for path in home.iterdir()] == ["thesis.odt"]


INTERRUPTED_AT_BIRTH = """
import os, signal, sys
if "--multiprocessing-fork" in sys.orig_argv:
    os.kill(os.getpid(), signal.SIGINT)
"""
WITH_WORKERS = """
import sys
from pathlib import Path
from lipt_stream.train.pairs import make_pairs
from lipt_stream.train.recipe import Degradation
if __name__ == "__main__":
    print(len(make_pairs([Path(name) for name in sys.argv[2:]], Path(sys.argv[1]), Degradation(), workers=2)))
"""


def test_workers_leave_ctrl_c_to_their_parent_from_the_first_moment_on(tmp_path):
    """Formerly they printed a traceback where it came while they imported torch."""
    (tmp_path / "sitecustomize.py").write_text(INTERRUPTED_AT_BIRTH)
    (tmp_path / "program.py").write_text(WITH_WORKERS)
    images = [saved(tmp_path, f"{n}.png", picture(64, 64 + 2 * n)) for n in range(2)]
    done = subprocess.run(
        [sys.executable, tmp_path / "program.py", tmp_path / "cache", *images],
        env=os.environ | {"PYTHONPATH": os.pathsep.join((str(tmp_path), str(Path(__file__).parents[2])))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "2\n", "")


WITHOUT_PYAV = """
import sys
from pathlib import Path
sys.modules["av"] = None
from lipt_stream.train.evaluate import psnr_y
from lipt_stream.train.imresize import imresize
from lipt_stream.train.pairs import make_pairs
from lipt_stream.train.recipe import Degradation
images = [Path(name) for name in sys.argv[2:]]
made = make_pairs(images, Path(sys.argv[1]), Degradation(), skipped=lambda one: print(one.reason))
print(*(pair.hr_path.name for pair in made))
"""


def test_what_is_there_is_used_without_pyav(tmp_path):
    here, other = (saved(tmp_path, f"{name}.png", picture(64, 64 + n)) for n, name in enumerate(("here", "other")))
    make_pairs([here], tmp_path / "cache", Degradation())
    command = [sys.executable, "-c", WITHOUT_PYAV, str(tmp_path / "cache"), str(here), str(other)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    reason, made = done.stdout.splitlines()
    assert reason.startswith(f"{other}: It is not among the pairs, and making it needs av")
    assert made == "here.png"


CLIP = Path(__file__).parents[1] / "data" / "clips" / "flower.mp4"


def test_moments_of_a_film_are_pairs_with_its_own_motion(tmp_path):
    pairs = make_pairs([CLIP], tmp_path / "cache", Degradation(), seed=1)
    assert len(pairs) == 8
    for pair in pairs:
        high, low = pair.read(2)
        assert (high.shape, low.shape) == ((134, 240, 3), (67, 120, 3))
        assert 20 < psnr_y(imresize(low, 2), high, 2) < 50  # the same moment, in place
    assert not np.array_equal(pairs[0].read(2)[0], pairs[-1].read(2)[0])
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()}
    assert make_pairs([CLIP], tmp_path / "cache", Degradation(), seed=1) == pairs
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()} == times
    pairs[3].hr_path.unlink()
    assert make_pairs([CLIP], tmp_path / "cache", Degradation(), seed=1) == pairs
    assert pairs[3].hr_path.exists()


def test_a_film_that_is_none_is_left_out(tmp_path):
    broken, good = tmp_path / "broken.mkv", saved(tmp_path, "good.png", picture(64, 64))
    broken.write_text("no film")
    told = []
    pairs = make_pairs([good, broken], tmp_path / "cache", Degradation(), skipped=told.append)
    assert [pair.hr_path for pair in pairs] == [good]
    assert [skipped.path for skipped in told] == [broken]


def test_a_film_that_is_cut_off_gives_what_it_has_and_is_named(tmp_path):
    cut = tmp_path / "cut.mkv"
    with av.open(str(CLIP)) as film, av.open(str(cut), "w") as copy:
        copied = copy.add_stream_from_template(film.streams.video[0])
        for packet in film.demux(video=0):
            if packet.dts is not None:
                packet.stream = copied
                copy.mux(packet)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    for _ in range(2):  # the second time from the cache
        told = []
        pairs = make_pairs([cut], tmp_path / "cache", Degradation(), skipped=told.append)
        assert 0 < len(pairs) < 8
        assert [skipped.reason for skipped in told] == [
            f"{cut} is damaged or cut off: only {len(pairs)} of its 8 moments could be taken"
        ]


def test_a_film_that_is_damaged_within_is_left_out(tmp_path):
    """Its decoder goes on, with smears that it reports in some pictures and shows in others."""
    damaged, good = tmp_path / "damaged.mp4", saved(tmp_path, "good.png", picture(64, 64))
    content = bytearray(CLIP.read_bytes())
    noise = np.random.default_rng(0)
    for place in range(len(content) // 5, len(content) * 4 // 5, 4000):
        content[place : place + 60] = noise.bytes(60)
    damaged.write_bytes(content)
    told = []
    pairs = make_pairs([damaged, good], tmp_path / "cache", Degradation(), skipped=told.append)
    assert [pair.hr_path for pair in pairs] == [good]
    assert [skipped.path for skipped in told] == [damaged]
    assert "is damaged, and what a decoder guesses is nothing to learn from" in told[0].reason


def test_films_that_begin_alike_are_told_apart(tmp_path):
    """Of one length, and black for longer than what is read of a film to tell it from others."""
    films = [tmp_path / "a.avi", tmp_path / "b.avi"]
    for number, path in enumerate(films):
        with av.open(str(path), "w") as film:
            stream = film.add_stream("rawvideo", rate=25, options={"pix_fmt": "yuv420p"})
            stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
            for index in range(36):
                shown = np.zeros((240, 320, 3), np.uint8) if index < 12 else np.roll(picture(240, 320), number * 9, 1)
                film.mux(stream.encode(av.VideoFrame.from_ndarray(shown, "rgb24")))
    one, other = (path.read_bytes() for path in films)
    assert len(one) == len(other)
    assert one[: 2**20] == other[: 2**20]
    pairs = make_pairs(films, tmp_path / "cache", Degradation())
    assert len({pair.hr_path for pair in pairs}) == len(pairs) == 8


def test_a_count_that_a_kill_left_empty_is_made_again(tmp_path):
    pairs = make_pairs([CLIP], tmp_path / "cache", Degradation())
    (count,) = (tmp_path / "cache").glob("*.count")
    count.write_text("")
    assert make_pairs([CLIP], tmp_path / "cache", Degradation()) == pairs
    assert count.read_text() == "8 of 8"


def test_moments_lie_evenly_over_a_film_and_end_where_it_ends(monkeypatch):
    """Its stated length may be that of its sound, or of what a cut file once was."""
    starts = []
    opened_at = clips._opened_at
    monkeypatch.setattr(clips, "_opened_at", lambda path, start: starts.append(start) or opened_at(path, start))
    assert len(list(clips.moments(CLIP, 3))) == 3
    total, latest = clips._length(CLIP)
    assert starts == pytest.approx([latest / 6, latest / 2, latest * 5 / 6])
    monkeypatch.setattr(clips, "_length", lambda _: (4 * total, 4 * latest))
    assert len(list(clips.moments(CLIP, 8))) == 2
    monkeypatch.setattr(clips, "_length", lambda _: (100 * total, 100 * latest))
    assert len(list(clips.moments(CLIP, 8))) == 1
