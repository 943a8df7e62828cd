"""A film to be audited: pictures of the bundled clip, written with all that goes with them, or with a fault."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import OutputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from lipt_stream.frame import END
from lipt_stream.media.encoder_choice import choose_encoder
from lipt_stream.media.file_sink import FileSink
from lipt_stream.media.file_source import FileSource
from lipt_stream.verify.audit import Verification

COUNT = 40
SIZE = 160, 90
TICK = Fraction(1, 90_000)
MILLISECOND = Fraction(1, 1_000)


@dataclass(frozen=True)
class Film:
    """A film to be written: which of the clip's pictures, when, how large, and all that goes with them."""

    shown: tuple[int, ...] = tuple(range(COUNT))
    times_ms: tuple[int, ...] = tuple(40 * n + (7 if n % 3 else 0) for n in range(COUNT))
    scale: int = 1
    matrix: int = 6
    full_range: bool = False
    convert_range: bool = False  # whether the samples are in full range as well
    convert_matrix: int = 5  # by which the samples are made (swscale's number: 5 is BT.601, 1 is BT.709)
    transfer: int = 6
    hdr: str = "mastering-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50):cll=1000,400"
    aspect: Fraction = Fraction(4, 3)
    rotation: int = 90
    pix_fmt: str = "yuv420p"
    siting: str = "left"
    languages: tuple[str, ...] = ("eng", "deu")
    audio_delay_ms: int = 0
    audio_skipped: int | None = None  # a packet left out of every sound track
    picture_tags: tuple[tuple[str, str], ...] = (("language", "eng"), ("title", "Uncut"), ("timecode", "10:00:00:00"))
    picture_flags: Disposition = Disposition.original
    subtitle: str = "<i>Hello</i>"
    subtitle_ms: tuple[int, int] = (200, 500)  # from when, and for how long
    answer_ms: int = 200  # when another line begins
    chapters: tuple[tuple[str, int], ...] = (("Seed", 0), ("Bloom", 600))
    chapter_ms: int = 500
    tags: tuple[tuple[str, str], ...] = (("title", "A flower"), ("comment", "Filmed in spring"))
    attachments: tuple[bytes, ...] = (b"not really a font", b"nor this")  # of one name
    blank_ms: int | None = None  # the time of a picture that is left black, ms

    def but(self, **changes: object) -> Film:
        return replace(self, **changes)


SOURCE = Film()
GOOD = Film(scale=2)


Write = Callable[[Film], Path]


def decoded(path: Path) -> list[VideoFrame]:
    with av.open(str(path)) as container:
        return [frame for frame, _ in zip(container.decode(video=0), range(COUNT), strict=False)]


def write_film(path: Path, film: Film, clip: Path, pictures: list[VideoFrame]) -> None:
    with av.open(str(clip)) as sound, av.open(str(path), "w") as target:
        stream = _add_picture(target, film)
        tracks = [target.add_stream_from_template(sound.streams.audio[0]) for _ in film.languages]
        for track, language in zip(tracks, film.languages, strict=True):
            track.metadata["language"] = language
        text = target.add_mux_stream("subrip") if film.subtitle else None
        for attachment in film.attachments:
            target.add_attachment("font.ttf", "font/ttf", attachment)
        target.metadata.update(dict(film.tags))
        target.set_chapters([_chapter(*chapter, film.chapter_ms) for chapter in film.chapters])
        _encode(target, stream, film, [pictures[n] for n in film.shown])
        packets = [packet for packet in sound.demux(audio=0) if packet.size and packet.pts * packet.time_base < 1.5]
        for number, packet in enumerate(packets):
            for track in tracks:
                if number != film.audio_skipped:
                    target.mux_one(copied(packet, track, film.audio_delay_ms))
        if text is not None:
            for words, start_ms, shown_ms in ((film.subtitle, *film.subtitle_ms), ("Hi", film.answer_ms, 300)):
                line = av.Packet(words.encode())
                line.stream, line.time_base = text, Fraction(1, 1000)
                line.pts = line.dts = start_ms
                line.duration = shown_ms
                target.mux_one(line)


def _add_picture(target: OutputContainer, film: Film) -> VideoStream:
    stream = target.add_stream("libx264", 25)
    stream.width, stream.height = SIZE[0] * film.scale, SIZE[1] * film.scale
    stream.pix_fmt, stream.time_base = film.pix_fmt, TICK
    stream.set_display_rotation(film.rotation)
    stream.metadata.update(dict(film.picture_tags))
    stream.disposition = film.picture_flags
    context = stream.codec_context
    context.time_base = TICK
    quality = {"preset": "ultrafast", "crf": "14", "x264-params": film.hdr}
    context.options = quality | {"chroma_sample_location": film.siting}
    context.sample_aspect_ratio = film.aspect
    context.colorspace, context.color_range = film.matrix, 2 if film.full_range else 1
    context.color_primaries, context.color_trc = 6, film.transfer
    return stream


def _encode(target: OutputContainer, stream: VideoStream, film: Film, pictures: list[VideoFrame]) -> None:
    scaler = VideoReformatter()
    for picture, time_ms in zip(pictures, film.times_ms, strict=True):
        large = scaler.reformat(
            picture,
            stream.width,
            stream.height,
            film.pix_fmt,
            src_colorspace=5,
            dst_colorspace=film.convert_matrix,
            src_color_range=1,
            dst_color_range=2 if film.convert_range else 1,
            interpolation="BICUBIC",
        )
        if time_ms == film.blank_ms:
            black = np.zeros((stream.height, stream.width, 3), np.uint8)
            large = VideoFrame.from_ndarray(black).reformat(format=film.pix_fmt)
        large.pts, large.time_base, large.pict_type = time_ms * 90, TICK, 0
        _mux(target, stream.encode(large))
    _mux(target, stream.encode(None))


def _mux(target: OutputContainer, packets: list[av.Packet]) -> None:
    for packet in packets:
        packet.duration = 3600
        target.mux_one(packet)


def copied(packet: av.Packet, track: av.stream.Stream, delay_ms: int) -> av.Packet:
    copy = av.Packet(bytes(packet))
    copy.stream, copy.time_base = track, packet.time_base
    delay = round(Fraction(delay_ms, 1000) / packet.time_base)
    copy.pts, copy.dts, copy.duration = packet.pts + delay, packet.dts + delay, packet.duration
    return copy


def _chapter(title: str, start_ms: int, shown_ms: int) -> dict[str, object]:
    unit, end_ms = Fraction(1, 1000), start_ms + shown_ms
    return {"id": start_ms, "start": start_ms, "end": end_ms, "time_base": unit, "metadata": {"title": title}}


def failures(verification: Verification) -> dict[str, str]:
    return {check.name: check.detail for check in verification.failed}


def through_the_sink(path: Path, result: Path) -> dict[str, Any]:
    """The film with every sample doubled both ways; what `quick_check` wants to know of it."""
    source = FileSource(path)
    large = source.format.scaled(2)
    sink = FileSink(result, large, encoder=choose_encoder("libx264", options={"preset": "ultrafast"}), copy_from=path)
    small_planes, planes = source.format.new_planes(), large.new_planes()
    pts: list[int] = []
    end = 0
    while (frame := source.read(small_planes)) is not END:
        for small, plane in zip(small_planes, planes, strict=True):
            plane[...] = small.repeat(2, 0).repeat(2, 1)
        frame.planes = planes
        sink.write(frame)
        pts.append(frame.pts)
        end = frame.pts + frame.duration
    sink.close()
    source.close()
    return {"pts": pts, "end_pts": end, "time_base": large.time_base}
