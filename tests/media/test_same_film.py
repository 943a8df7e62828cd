"""A film goes in and the same film comes out: through FileSource and FileSink at scale 1, read back by plain PyAV."""

from __future__ import annotations

import io
import signal
import struct
import subprocess
import sys
import time
from contextlib import closing
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from lipt_stream.errors import LiptError, OutputError
from lipt_stream.frame import END, Frame, VideoFormat
from lipt_stream.media.encoders import choose_encoder
from lipt_stream.media.file_sink import FileSink
from lipt_stream.media.file_source import FileSource
from lipt_stream.media.siting import stated_siting
from tests.film import flat_picture

LIMIT = 60  # pictures of each real film


def through(source_path: Path, target: Path, encoder: str = "libx264", limit: int | None = None) -> list[str]:
    """Re-encodes the picture as it is, copies the rest, and returns the notes of both ends."""
    with closing(FileSource(source_path)) as source:
        options = {"libx264": {"preset": "veryfast"}, "libsvtav1": {"preset": "12"}}.get(encoder, {})
        choice = choose_encoder(encoder, options=options, bit_depth=source.format.bit_depth, suffix=target.suffix)
        sink = FileSink(target, source.format, encoder=choice, copy_from=source_path)
        planes = source.format.new_planes()
        while sink.frames_written != limit and (frame := source.read(planes)) is not END:
            assert isinstance(frame, Frame)
            sink.write(frame)
        sink.close()
        return source.notes + sink.notes


def times(path: Path, limit: int | None = None) -> list[Fraction | None]:
    """Presentation times by plain PyAV, damage skipped."""
    found: list[Fraction | None] = []
    with av.open(str(path), metadata_errors="surrogateescape") as container:
        for packet in container.demux(container.streams.video[0]):
            try:
                found += [None if f.pts is None else f.pts * f.time_base for f in packet.decode()]
            except av.FFmpegError:
                continue
            if limit and len(found) >= limit:
                return found[:limit]
    return found


def assert_same_times(source: Path, target: Path, tolerance: Fraction, limit: int | None = None) -> None:
    before, after = times(source, limit), times(target)
    assert len(after) == len(before)
    assert all(a is not None and b is not None and a < b for a, b in pairwise(after))
    early = max(Fraction(0), -(before[0] or Fraction(0)))  # a film that begins before zero is moved to zero
    for was, now in zip(before, after, strict=True):
        if was is not None and now is not None:
            assert abs(was + early - now) <= tolerance


def encode(path: Path, pts: list[int], *, unit: Fraction = Fraction(1, 90_000), options: dict[str, str] | None = None):
    """A film with B-frames whose luma tells the index."""
    container_options = (options or {}).copy()
    with av.open(str(path), "w", container_options=container_options) as container:
        codec = "mpeg4" if path.suffix == ".avi" else "libx264"
        stream = container.add_stream(codec, 25, options={"bf": "2"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = unit
        for index, moment in enumerate(pts):
            picture = av.VideoFrame(64, 48, "yuv420p")
            for plane in picture.planes:
                np.frombuffer(plane, np.uint8)[:] = 16 + 3 * index
            picture.pts, picture.time_base = moment, unit
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


STEADY = [3600 * n for n in range(40)]
ODD_FILMS = {
    "offset.ts": ([90_000 + t for t in STEADY], {}),
    "packed_b_frames.avi": (STEADY, {}),
    "raw.h264": (STEADY, {}),
    "edit_list.mp4": (STEADY, {"movflags": "+faststart"}),
    "no_edit_list.mp4": (STEADY, {"use_editlist": "0"}),
    "negative_cts.mov": (STEADY, {"movflags": "negative_cts_offsets"}),
    "fragments.mp4": (STEADY, {"movflags": "frag_keyframe+empty_moov"}),
    "late.mkv": ([450_000 + t for t in STEADY], {}),
    "wild.mkv": ([0, 90, 9000, 9090, 90_000, 91_000, 180_000, 450_000, 450_090], {}),
    "wild.mp4": ([77, 190, 9000, 9101, 90_000, 91_000, 180_000, 450_000, 450_090], {}),
    "single.mp4": ([0], {}),
    "two.mkv": ([0, 3600], {}),
}


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("name", ODD_FILMS)
def test_odd_timelines(tmp_path: Path, name: str, suffix: str) -> None:
    pts, options = ODD_FILMS[name]
    unit = Fraction(1, 25) if name.endswith(".avi") else Fraction(1, 90_000)
    encode(tmp_path / name, [t // 3600 for t in pts] if name.endswith(".avi") else pts, unit=unit, options=options)
    through(tmp_path / name, tmp_path / f"out{suffix}")
    assert len(times(tmp_path / f"out{suffix}")) == len(pts)
    assert_same_times(
        tmp_path / name, tmp_path / f"out{suffix}", Fraction(1, 1000) if suffix == ".mkv" else Fraction(0)
    )


def test_an_edit_that_begins_inside_the_film(tmp_path: Path) -> None:
    """A cut without re-encoding leaves pictures that are decoded and not shown; the players' loop is ours."""
    encode(tmp_path / "film.mkv", STEADY)
    with av.open(str(tmp_path / "film.mkv")) as source, av.open(str(tmp_path / "cut.mp4"), "w") as target:
        copied = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.pts -= 400  # milliseconds
                packet.dts = None if packet.dts is None else packet.dts - 400
                packet.stream = copied
                target.mux(packet)
    assert 0 < len(times(tmp_path / "cut.mp4")) < len(STEADY)
    through(tmp_path / "cut.mp4", tmp_path / "out.mp4")
    assert_same_times(tmp_path / "cut.mp4", tmp_path / "out.mp4", Fraction(0))


SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "video"
REAL = [
    *("clips/cctv_cars_768x432_30s.mp4", "clips/talking_head_selfie_1024x768.mp4", "clips/sintel_854x480_5s.mp4"),
    *("torture/" + name for name in ("SYN_vfr_random_pts.mkv", "vfr_128x128_yuv444.mp4", "flv_10bit.flv")),
    *("torture/" + name for name in ("mpeg1_640x480.mpg", "h264_raw_annexb_720p.264", "theora_59.94fps.ogv")),
    *("torture/" + name for name in ("no_duration.webm", "SYN_gif.gif", "empty_second_video_track.mp4")),
    *("torture/" + name for name in ("subs_srt.mkv", "fragmented_flower.mp4", "SYN_240fps.mp4", "SYN_1fps.mp4")),
]


@pytest.mark.parametrize("name", REAL)
def test_real_films(shared: Path, tmp_path: Path, name: str) -> None:
    path = shared / "data/video" / name
    through(path, tmp_path / "out.mp4", limit=LIMIT)
    assert_same_times(path, tmp_path / "out.mp4", Fraction(0), LIMIT)


ONE = 1 << 16  # in 16.16
MATRICES = {
    "turned": (0, ONE, 0, -ONE, 0, 0, 48 * ONE, 0, 1 << 30),
    "mirrored": (-ONE, 0, 0, 0, ONE, 0, 0, 0, 1 << 30),
    "upside down": (ONE, 0, 0, 0, -ONE, 0, 0, 0, 1 << 30),
    "turned and mirrored": (0, ONE, 0, ONE, 0, 0, 0, 0, 1 << 30),
}


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("turn", MATRICES)
def test_how_the_picture_is_turned_and_mirrored(tmp_path: Path, turn: str, suffix: str) -> None:
    with av.open(str(tmp_path / "film.mov"), "w") as container:
        stream = container.add_stream("libx264", 25)
        stream.width, stream.height = 64, 48
        stream.set_display_matrix(MATRICES[turn])
        for n in range(3):
            container.mux(stream.encode(flat_picture(n)))
        container.mux(stream.encode(None))
    through(tmp_path / "film.mov", tmp_path / f"out{suffix}")
    with av.open(str(tmp_path / f"out{suffix}")) as container:
        sides = {side.type.name: bytes(side) for side in next(container.decode(video=0)).side_data}
    got = struct.unpack("=9i", sides["DISPLAYMATRIX"])
    assert got[:6] == MATRICES[turn][:6]
    assert got[6:8] == (0, 0)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize(("before", "after"), [(".mp4", ".mp4"), (".mp4", ".mkv"), (".mkv", ".mp4"), (".mp4", ".mov")])
def test_covers(tmp_path: Path, kind: str, before: str, after: str) -> None:
    still = io.BytesIO()
    Image.new("RGB", (40, 30), (200, 30, 60)).save(still, kind)
    name = "cover.jpg" if kind == "JPEG" else "cover.png"
    with av.open(str(tmp_path / f"film{before}"), "w") as container:
        stream = container.add_stream("libx264", 25)
        stream.width, stream.height = 64, 48
        if before == ".mkv":
            container.add_attachment(name, f"image/{kind.lower()}", still.getvalue())
        else:
            with av.open(io.BytesIO(still.getvalue())) as picture_file:
                cover = container.add_stream_from_template(picture_file.streams.video[0], opaque=True)
                cover.disposition = av.stream.Disposition.attached_pic
        for n in range(3):
            container.mux(stream.encode(flat_picture(n)))
            if n == 0 and before != ".mkv":
                packet = av.Packet(still.getvalue())
                packet.pts = packet.dts = 0
                packet.stream = cover
                container.mux(packet)
        container.mux(stream.encode(None))
    notes = through(tmp_path / f"film{before}", tmp_path / f"out{after}")
    with av.open(str(tmp_path / f"out{after}")) as container:
        covers = [s for s in container.streams.video if s.disposition & av.stream.Disposition.attached_pic]
        if after == ".mov":
            assert covers == []
            assert "the cover picture is left out: .mov has no place for it" in notes
            return
        assert len(container.streams.video) == 2
        assert [bytes(packet) for packet in container.demux(covers[0]) if packet.size] == [still.getvalue()]
    assert len(times(tmp_path / f"out{after}")) == 3
    assert not any("cover" in note for note in notes)


@pytest.mark.parametrize("encoder", ["libx264", "libx265", "libsvtav1"])
@pytest.mark.parametrize("siting", ["left", "center", "topleft"])
def test_where_chroma_sits(tmp_path: Path, siting: str, encoder: str) -> None:
    with av.open(str(tmp_path / "film.mp4"), "w") as container:
        stream = container.add_stream("libx264", 25, options={"chroma_sample_location": siting})
        stream.width, stream.height = 64, 64
        container.mux(stream.encode(flat_picture(0, size=(64, 64))))
        container.mux(stream.encode(None))
    source = FileSource(tmp_path / "film.mp4")
    assert source.format.chroma_location == siting
    source.close()
    notes = through(tmp_path / "film.mp4", tmp_path / "out.mp4", encoder)
    with av.open(str(tmp_path / "out.mp4")) as container:
        stated = stated_siting(container.streams.video[0])
    if encoder == "libsvtav1" and siting == "center":
        assert stated is None
        assert "av1 cannot say that chroma sits in the middle; players will take it half a pixel to the left" in notes
    else:
        assert stated == siting


SOUNDS = {
    "aac": "mp4 mov mkv",
    "mp3": "mp4 mov mkv",
    "mp2": "mp4 mov mkv",
    "ac3": "mp4 mov mkv",
    "eac3": "mp4 mov mkv",
    "alac": "mp4 mov mkv",
    "flac": "mp4 mkv",
    "opus": "mp4 webm mkv",
    "vorbis": "mp4 webm mkv",
    "pcm_s16le": "mov mkv",
}
ENCODER_OF = {"mp3": "libmp3lame", "opus": "libopus"}


def write_sound(path: Path, codec: str) -> None:
    """A film of two pictures with half a second of `codec`, from .mkv, which holds every one of them."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", 25)
        video.width, video.height = 64, 48
        sound = container.add_stream(ENCODER_OF.get(codec, codec), 48_000, layout="stereo", options={"strict": "-2"})
        resampler = av.AudioResampler(sound.format.name, "stereo", 48_000, sound.codec_context.frame_size or 1024)
        tone = (8000 * np.sin(np.arange(48_000) / 20)).astype(np.int16)[np.newaxis]
        wave = av.AudioFrame.from_ndarray(tone, "s16", "stereo")
        wave.sample_rate, wave.pts = 48_000, 0
        for n in range(2):
            container.mux(video.encode(flat_picture(n)))
        for piece in (*resampler.resample(wave), *resampler.resample(None)):
            container.mux(sound.encode(piece))
        container.mux(sound.encode(None))
        container.mux(video.encode(None))


def sound_packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


@pytest.mark.parametrize("codec", SOUNDS)
def test_sound_is_copied_or_refused_by_name(shared: Path, tmp_path: Path, codec: str) -> None:
    source = tmp_path / "source.mkv"
    if codec == "vorbis":  # this FFmpeg cannot make one
        source = shared / "data/video/torture/alpha_vp9_transparent.webm"
    else:
        write_sound(source, codec)
    for container in ("mp4", "mov", "webm", "mkv"):
        target = tmp_path / f"out.{container}"
        encoder = "libsvtav1" if container == "webm" else "libx264"
        if container in SOUNDS[codec].split():
            through(source, target, encoder)
            wanted, got = sound_packets(source), sound_packets(target)
            assert got == wanted[: len(got)]
            assert len(got) >= len(wanted) - (codec == "alac"), "its last packet may end after the sound does"
            continue
        with pytest.raises(OutputError) as refusal:
            through(source, target, encoder)
        fitting = [f".{name}" for name in SOUNDS[codec].split() if name != "webm"]
        if container == "webm":  # AV1, which MOV does not hold
            fitting = [suffix for suffix in fitting if suffix != ".mov"]
        assert f"{container} cannot hold audio of codec {codec}" in str(refusal.value)
        assert f". Write to {' or '.join(sorted(fitting))}, or " in str(refusal.value)
        assert not target.exists()


WRITER = """
import sys
from fractions import Fraction
from pathlib import Path
import numpy as np
from lipt_stream.frame import Frame, VideoFormat
from lipt_stream.media.encoders import choose_encoder
from lipt_stream.media.file_sink import FileSink
format = VideoFormat(width=128, height=96, frame_rate=Fraction(25))
encoder = choose_encoder("libx264", options={"preset": "ultrafast", "g": "25"})
sink = FileSink(Path(sys.argv[1]), format, encoder=encoder, copy_from=Path(sys.argv[2]))
rng = np.random.default_rng(0)
for n in range(10**6):
    planes = tuple(rng.integers(16, 235, shape).astype(np.uint8) for shape in format.plane_shapes)
    sink.write(Frame(index=n, pts=90_000 + n * 3600, duration=3600, planes=planes))
    print(n, flush=True)
"""


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_what_a_kill_leaves_plays(clip: Path, tmp_path: Path, suffix: str) -> None:
    """SIGKILL, which nothing can answer: all but the last seconds is there, at its time, under the name .part."""
    target = tmp_path / f"film{suffix}"
    command = [sys.executable, "-c", WRITER, str(target), str(clip)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        deadline = time.monotonic() + 60
        while int(process.stdout.readline()) < 400:
            assert time.monotonic() < deadline
        process.send_signal(signal.SIGKILL)
    assert [path.name for path in tmp_path.iterdir()] == [f"film{suffix}.part"]
    left: list[Fraction] = []
    with av.open(str(tmp_path / f"film{suffix}.part")) as container:
        assert len(container.streams.audio) == 1
        for packet in container.demux(video=0):
            try:
                left += [frame.pts * frame.time_base for frame in packet.decode()]
            except av.FFmpegError:
                continue  # the very last one was cut through
    assert len(left) > 200
    assert [t - left[0] for t in left[:200]] == [Fraction(n, 25) for n in range(200)]
    assert left[0] == 1


def test_refusals_are_of_the_tree() -> None:
    """A folder that takes no files, even for root."""
    choice = choose_encoder("libx264")
    with pytest.raises(LiptError, match=r"Cannot write /proc/film\.mp4: .+\. \S.+") as refusal:
        FileSink(Path("/proc/film.mp4"), VideoFormat(width=64, height=48), encoder=choice, copy_from=None)
    assert "\n" not in str(refusal.value)
