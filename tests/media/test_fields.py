"""Pictures that are coded as two fields each, in every container: one picture for two packets, deinterlaced.

No encoder at hand writes such H.264 (PAFF), so it is put together bit by bit: main profile, CAVLC, every macroblock of
type I_PCM (ITU-T H.264, 7.3.5), so that the samples are the decoder's exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from lipt_stream.frame import END
from lipt_stream.media.file_source import FileSource

Planes = tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]
_I_PCM, _I_SLICES = 25, 7  # tables 7-11 and 7-6


class _Bits:
    def __init__(self) -> None:
        self._bits: list[int] = []

    def u(self, count: int, value: int) -> _Bits:
        self._bits += [value >> place & 1 for place in range(count - 1, -1, -1)]
        return self

    def ue(self, *values: int) -> _Bits:
        """Exponential Golomb codes."""
        for value in values:
            length = (value + 1).bit_length()
            self.u(length - 1, 0).u(length, value + 1)
        return self

    def raw(self, samples: NDArray[np.uint8]) -> _Bits:
        self._bits += np.unpackbits(samples.ravel()).tolist()
        return self

    def align(self) -> _Bits:
        return self.u(-len(self._bits) % 8, 0)

    def nal(self, kind: int, importance: int) -> bytes:
        """A NAL unit with its trailing bits, start code and emulation prevention."""
        unit, zeros = bytearray(), 0
        for byte in np.packbits(self.u(1, 1).align()._bits).tolist():
            if zeros >= 2 and byte <= 3:
                unit.append(3)
                zeros = 0
            unit.append(byte)
            zeros = zeros + 1 if byte == 0 else 0
        return b"\0\0\0\1" + bytes([importance << 5 | kind]) + bytes(unit)


def _headers(width: int, height: int) -> bytes:
    sequence = _Bits().u(24, 77 << 16 | 30).ue(0, 0, 0, 4, 1).u(1, 0).ue(width // 16 - 1, height // 32 - 1)
    sequence.u(1, 0).u(1, 0).u(1, 1).u(2, 0)  # fields, no MBAFF, direct 8x8, no cropping, no VUI
    picture = _Bits().ue(0, 0).u(2, 0).ue(0, 0, 0).u(3, 0).ue(0, 0, 0).u(3, 0b100)  # deblocking is told by the slice
    return sequence.nal(7, 3) + picture.nal(8, 3)


def _field(planes: Planes, number: int, *, is_bottom: bool) -> bytes:
    is_idr = number == 0 and not is_bottom
    slice_ = _Bits().ue(0, _I_SLICES, 0).u(4, number % 16).u(2, 0b11 if is_bottom else 0b10)
    if is_idr:
        slice_.ue(0)
    slice_.u(8, (2 * number + is_bottom) % 256).u(2 if is_idr else 1, 0).ue(0, 1)  # deblocking is off
    height, width = planes[0].shape
    for row in range(0, height, 16):
        for column in range(0, width, 16):
            slice_.ue(_I_PCM).align()
            for plane, side in zip(planes, (16, 8, 8), strict=True):
                top, left = row * side // 16, column * side // 16
                slice_.raw(plane[top : top + side, left : left + side])
    return slice_.nal(5 if is_idr else 1, 1)


def paff(pictures: Sequence[Planes]) -> bytes:
    """A stream of `pictures` (Y, U, V of 4:2:0; width a multiple of 16, height of 32), each as two fields."""
    height, width = pictures[0][0].shape
    fields = (
        _field((y[parity::2], u[parity::2], v[parity::2]), number, is_bottom=parity == 1)
        for number, (y, u, v) in enumerate(pictures)
        for parity in (0, 1)
    )
    return _headers(width, height) + b"".join(fields)


COUNT = 12


def pictures() -> list[Planes]:
    """A bar that moves from field to field."""
    found: list[Planes] = []
    for number in range(COUNT):
        luma = np.full((64, 64), 60, np.uint8)
        for parity in (0, 1):
            left = (4 * number + 2 * parity) % 48
            luma[parity::2, left : left + 12] = 200
        found.append((luma, np.full((32, 32), 110, np.uint8), np.full((32, 32), 150, np.uint8)))
    return found


def write(path: Path) -> Path:
    raw = path.with_suffix(".h264")
    raw.write_bytes(paff(pictures()))
    if path != raw:
        with av.open(str(raw)) as source, av.open(str(path), "w") as target:
            copied = target.add_stream_from_template(source.streams.video[0])
            fields = (packet for packet in source.demux(video=0) if packet.size)
            for number, packet in enumerate(fields):
                packet.time_base, packet.duration = Fraction(1, 90_000), 1800
                packet.pts = packet.dts = 1800 * number
                packet.stream = copied
                target.mux(packet)
    return path


def read(path: Path, **options: str) -> tuple[list[np.ndarray], list[int], list[str]]:
    with closing(FileSource(path, **options)) as source:
        planes = source.format.new_planes()
        frames = [(planes[0].copy(), frame.pts) for frame in iter(lambda: source.read(planes), END)]
        return [luma for luma, _ in frames], [pts for _, pts in frames], source.notes


def combs(luma: np.ndarray) -> float:
    lines = luma.astype(int)
    return float(np.abs(lines[1:-1] * 2 - lines[:-2] - lines[2:]).mean())


@pytest.mark.parametrize("suffix", [".h264", ".ts", ".mkv", ".mp4"])
def test_two_fields_are_one_picture(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"film{suffix}")
    woven, _, _ = read(path, deinterlace="off")
    assert [np.array_equal(luma, wanted[0]) for luma, wanted in zip(woven, pictures(), strict=True)] == [True] * COUNT
    smooth, times, notes = read(path)
    assert len(smooth) == COUNT
    assert max(map(combs, smooth)) < min(map(combs, woven)) / 3
    assert len({later - earlier for earlier, later in pairwise(times)}) == 1
    assert "the video is interlaced; each frame is deinterlaced (bwdif) into one picture" in notes
    assert not [note for note in notes if "states" in note or "missing there" in note]
