"""Fragmented MP4 for Media Source Extensions: an init segment, and one fragment per packet, made at once.

FFmpeg's muxer writes a fragment when the next packet comes, because only then it knows how long this one lasts; that
is a picture of latency. So it writes the init segment alone, and the fragments (ISO/IEC 14496-12, 8.8) are made here.
"""

# pyright: reportUnknownMemberType=false
# PyAV's stubs leave the keyword arguments of its calls open.
from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import av

from lipt_stream.errors import OutputError
from lipt_stream.media.av_errors import AV_ERRORS, reason
from lipt_stream.media.encoded import EncodedPacket, EncodedStream, Kind
from lipt_stream.media.mux_streams import add_stream

_VIDEO_TIMESCALE: Final = 90_000
_INIT_OPTIONS: Final = {
    "movflags": "empty_moov+default_base_moof+frag_custom",
    "video_track_timescale": str(_VIDEO_TIMESCALE),
}

# NAL units of H.264 (ITU-T H.264, table 7-1). Parameter sets lie in the init segment; `avc1` forbids them elsewhere.
_SPS, _PPS, _DELIMITER = 7, 8, 9
_START_CODE: Final = b"\x00\x00\x01"

# Flags of tfhd, trun and of a sample (ISO/IEC 14496-12, 8.8.7, 8.8.8 and 8.8.3.1).
_DEFAULT_BASE_IS_MOOF: Final = 0x020000
_OFFSET_DURATION_SIZE_FLAGS_COMPOSITION: Final = 0x000001 | 0x000100 | 0x000200 | 0x000400 | 0x000800
_DEPENDS_ON_NONE: Final = 0x02000000
_DEPENDS_ON_OTHERS_AND_IS_NO_SYNC_SAMPLE: Final = 0x01010000


@dataclass(slots=True)
class _Track:
    id: int
    stream: EncodedStream
    timescale: int
    last_dts: int | None = None
    duration: int = 0  # of the last sample, in the track's timescale


class FragmentMuxer:
    """Turns packets of `streams` (the picture, then the sound, if any) into what a browser's SourceBuffer takes.

    `init` comes first; a fragment of a keyframe may come next, at any time: whoever joins late is given `init` and all
    fragments from the next keyframe on. `mime` is the type to create the SourceBuffer with. Video is H.264, sound AAC
    or Opus; raises OutputError, naming the codec, for another one.
    """

    def __init__(self, streams: Sequence[EncodedStream]) -> None:
        self.mime = f'video/mp4; codecs="{", ".join(_codec_string(stream) for stream in streams)}"'
        self.init = _init_segment(streams)
        self._tracks: dict[Kind, _Track] = {}
        for number, stream in enumerate(streams, start=1):
            timescale = _VIDEO_TIMESCALE if stream.kind == "video" else stream.sample_rate
            self._tracks[stream.kind] = _Track(number, stream, timescale)
        self._sequence_number = 0

    def add(self, packet: EncodedPacket) -> bytes:
        """The fragment that holds `packet` alone. Empty for one before time zero, which MP4 cannot tell.

        A packet without a duration gets the distance to the one before, a second at most, as there may be a pause
        between; the first one gets the frame rate's.
        """
        track = self._tracks[packet.kind]
        ticks = track.timescale * track.stream.time_base
        dts, pts = round(packet.dts * ticks), round(packet.pts * ticks)
        if dts < 0:
            return b""
        if packet.duration:
            track.duration = round(packet.duration * ticks)
        elif track.last_dts is not None:
            track.duration = min(max(0, dts - track.last_dts), track.timescale)
        elif track.stream.frame_rate:
            track.duration = round(track.timescale / track.stream.frame_rate)
        track.last_dts = dts
        self._sequence_number += 1
        sample = _length_prefixed(packet.data) if track.stream.codec == "h264" else packet.data
        is_sync = packet.is_keyframe or packet.kind == "audio"
        return _fragment(self._sequence_number, track.id, dts, pts - dts, track.duration, is_sync, sample)


def _codec_string(stream: EncodedStream) -> str:
    """As RFC 6381 names it."""
    if stream.codec == "h264":
        sps = next((unit for unit in nal_units(stream.extradata) if unit[0] & 0x1F == _SPS), None)
        if sps is None:
            raise OutputError("A browser cannot play h264 without its parameter sets")
        return f"avc1.{sps[1:4].hex()}"  # profile, constraints, level
    if stream.codec == "aac":
        if not stream.extradata:
            raise OutputError("A browser cannot play aac without its configuration")
        return f"mp4a.40.{stream.extradata[0] >> 3}"  # the object type
    if stream.codec == "opus":
        return "opus"
    raise OutputError(f"A browser cannot play {stream.codec} {stream.kind} here", "It takes H.264 with AAC or Opus.")


def _init_segment(streams: Sequence[EncodedStream]) -> bytes:
    buffer = io.BytesIO()
    try:
        container = av.open(buffer, "w", format="mp4", options=_INIT_OPTIONS)
        for stream in streams:
            add_stream(container, stream)
        container.start_encoding()
        init = buffer.getvalue()
        container.close()  # writes an end that no one needs
    except AV_ERRORS as error:
        codecs = " and ".join(stream.codec for stream in streams)
        raise OutputError(f"MP4 cannot hold this {codecs}: {reason(error)}") from error
    return init


def nal_units(annex_b: bytes) -> Iterator[bytes]:
    """The NAL units of a byte stream with start codes (ITU-T H.264, annex B); none ends in a zero byte."""
    for piece in annex_b.split(_START_CODE)[1:]:
        unit = piece.rstrip(b"\x00")
        if unit:
            yield unit


def _length_prefixed(annex_b: bytes) -> bytes:
    """A sample as ISO/IEC 14496-15 stores it: each NAL unit behind its length in four bytes."""
    units = (unit for unit in nal_units(annex_b) if unit[0] & 0x1F not in (_SPS, _PPS, _DELIMITER))
    return b"".join(struct.pack(">I", len(unit)) + unit for unit in units)


def _fragment(
    sequence_number: int, track: int, dts: int, composition: int, duration: int, is_sync: bool, sample: bytes
) -> bytes:
    """moof and mdat with one sample; times in the track's timescale."""
    flags = _DEPENDS_ON_NONE if is_sync else _DEPENDS_ON_OTHERS_AND_IS_NO_SYNC_SAMPLE
    run = struct.pack(">IIIi", duration, len(sample), flags, composition)
    header = _full_box(b"mfhd", 0, 0, struct.pack(">I", sequence_number))
    track_header = _full_box(b"tfhd", 0, _DEFAULT_BASE_IS_MOOF, struct.pack(">I", track))
    decode_time = _full_box(b"tfdt", 1, 0, struct.pack(">Q", dts))
    run_header = 12 + 8  # the box's own header, the number of samples, the offset of the data
    moof_size = 8 + len(header) + 8 + len(track_header) + len(decode_time) + run_header + len(run)
    data_offset = moof_size + 8  # behind mdat's header
    samples = _full_box(b"trun", 1, _OFFSET_DURATION_SIZE_FLAGS_COMPOSITION, struct.pack(">II", 1, data_offset) + run)
    moof = _box(b"moof", header + _box(b"traf", track_header + decode_time + samples))
    assert len(moof) == moof_size
    return moof + _box(b"mdat", sample)


def _box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + name + content


def _full_box(name: bytes, version: int, flags: int, content: bytes) -> bytes:
    return _box(name, struct.pack(">I", version << 24 | flags) + content)
