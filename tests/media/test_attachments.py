"""Fonts and covers that Matroska holds: their names too may be in an old encoding."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition

from lipt_stream.errors import InputError
from lipt_stream.frame import Frame, VideoFormat
from lipt_stream.media.encoder_choice import choose_encoder
from lipt_stream.media.file_sink import FileSink
from lipt_stream.media.file_source import FileSource
from tests.film import flat_picture

SMALL = VideoFormat(width=64, height=48)


def png() -> bytes:
    context = av.CodecContext.create("png", "w")
    context.width, context.height, context.pix_fmt, context.time_base = 8, 8, "rgb24", 1
    return bytes(context.encode(av.VideoFrame.from_ndarray(np.zeros((8, 8, 3), np.uint8)))[0])


def film_with(path: Path, name: str, mime_type: str, data: bytes) -> None:
    """Of one picture. In the names, @ stands for a byte that is no UTF-8."""
    content = io.BytesIO()
    with av.open(content, "w", format="matroska") as target:
        picture = target.add_stream("libx264", 25)
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        target.add_attachment(name, mime_type, data)
        target.mux(picture.encode(flat_picture(0)))
        target.mux(picture.encode(None))
    written = content.getvalue()
    for text in (name, mime_type):
        written = written.replace(text.encode(), text.encode().replace(b"@", b"\xe9"))
    path.write_bytes(written)


@pytest.mark.parametrize(
    ("name", "mime_type"), [("Kaf@.ttf", "font/ttf"), ("plain.ttf", "font/t@f"), ("Kaf@.png", "image/png")]
)
def test_names_in_an_old_encoding_are_kept_as_text(tmp_path: Path, name: str, mime_type: str) -> None:
    film, result = tmp_path / "old.mkv", tmp_path / "new.mkv"
    film_with(film, name, mime_type, png())
    sink = FileSink(result, SMALL, encoder=choose_encoder("libx264"), copy_from=film)
    sink.write(Frame(index=0, pts=0, duration=3600, planes=SMALL.new_planes()))
    sink.close()
    with av.open(str(result)) as container:
        attached = container.streams[1]
        assert attached.metadata["filename"] == name.replace("@", "é")
        assert attached.metadata["mimetype"] == mime_type.replace("@", "é")


def test_the_name_of_an_attachment_that_is_left_out_can_be_printed(tmp_path: Path) -> None:
    film = tmp_path / "old.mkv"
    film_with(film, "Kaf@.ttf", "font/ttf", b"not really a font")
    sink = FileSink(tmp_path / "new.mp4", SMALL, encoder=choose_encoder("libx264"), copy_from=film)
    sink.abort()
    assert "the attachment Kafé.ttf is left out: only .mkv holds attachments" in sink.notes


@pytest.mark.parametrize(("has_sound", "held"), [(True, "audio"), (False, "a cover picture")])
def test_a_cover_is_no_video(clip: Path, tmp_path: Path, has_sound: bool, held: str) -> None:
    song = tmp_path / "song.m4a"
    with av.open(str(clip)) as source, av.open(str(song), "w", format="mp4") as target:
        sound = target.add_stream_from_template(source.streams.audio[0]) if has_sound else None
        cover = target.add_stream("png")
        cover.width, cover.height, cover.pix_fmt = 8, 8, "rgb24"
        cover.disposition = Disposition.attached_pic
        packet = av.Packet(png())
        packet.pts, packet.dts, packet.time_base, packet.stream = 0, 0, Fraction(1, 25), cover
        target.mux(packet)
        for packet in source.demux(audio=0) if sound else []:
            if packet.size:
                packet.stream = sound
                target.mux(packet)
    with pytest.raises(InputError, match=rf"song\.m4a: it holds no video, only {held}\. Name a file with pictures"):
        FileSource(song)
