"""What goes with the picture so that it looks the same: how it is turned, where its chroma sits, its cover."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import av
import pytest
from PIL import Image

from lipt_stream.media.file_source import FileSource
from lipt_stream.media.siting import stated_siting
from tests.film import flat_picture
from tests.media.same_film import through, times

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
