"""What is heard of a sound track, decoded for an audit: where its codec had to change, nothing else tells."""

# pyright: reportUnknownMemberType=false
from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from math import isnan, nan
from pathlib import Path
from typing import Final

import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.packet import Packet
from av.stream import Stream
from numpy.typing import NDArray

from lipt_stream.media.audit_packets import DAMAGE, undamaged_packets
from lipt_stream.media.av_errors import reading
from lipt_stream.media.containers import open_film
from lipt_stream.media.pcm import SteadySound

_MARK_SAMPLES: Final = 4_096
_QUIETEST_ALAW: Final = 8  # it has no zero


@dataclass(frozen=True, slots=True)
class HeardSound:
    """`whole`: BLAKE2b of all samples, channel beside channel, as the decoder gives them, and where it changes their
    layout or rate, in those of the beginning; `sounding`: of those that are not silence. `seconds`: when each 4096th of
    these is heard, and where the sound ends; nan where no time tells. `delay_seconds`: how much later than the first
    packet the sound begins, where a decoder keeps some of it to itself to start from."""

    samples: int
    whole: bytes
    sounding: bytes
    seconds: array[float] = field(compare=False)
    delay_seconds: float = field(default=0.0, compare=False)


class _Listener:
    """Takes sound block by block: what it is and when it is heard."""

    def __init__(self, quietest: int) -> None:
        """`quietest`: the loudest sample that counts as silence."""
        self._quietest = quietest
        self.samples = 0
        self._sounding = 0
        self._digests = hashlib.blake2b(digest_size=16), hashlib.blake2b(digest_size=16)
        self._marks = array("d")
        self._now = nan  # where the last block ended

    def hear(self, block: AudioFrame, begin: float) -> None:
        """`begin`: in seconds; nan for a block that goes on where the last one ended."""
        begin = self._now if isnan(begin) else begin
        samples = block.to_ndarray().reshape(-1, block.layout.nb_channels)  # woven
        heard = np.flatnonzero(self._is_heard(samples).any(axis=1))
        whole, sounding = self._digests
        whole.update(samples.tobytes())
        sounding.update(samples[heard].tobytes())
        marked = heard[-self._sounding % _MARK_SAMPLES :: _MARK_SAMPLES]
        self._marks.extend((begin + marked / block.sample_rate).tolist())
        self.samples += len(samples)
        self._sounding += len(heard)
        self._now = begin + len(samples) / block.sample_rate

    def _is_heard(self, samples: NDArray[np.generic]) -> NDArray[np.bool_]:
        if samples.dtype == np.uint8:
            return samples != 128
        return samples != 0 if not self._quietest else np.abs(samples.astype(np.int32)) > self._quietest

    def heard(self, delay_seconds: float) -> HeardSound:
        whole, sounding = (digest.digest() for digest in self._digests)
        return HeardSound(self.samples, whole, sounding, array("d", [*self._marks, self._now]), delay_seconds)


def hear(path: Path, index: int, seconds: Sequence[float], *, source_codec: str) -> HeardSound:
    """Decodes the sound in stream `index`, past damage. Raises InputError where the file cannot be opened.

    `seconds`: when its packets are to be heard, each; nan where one goes on where the last one ended. `source_codec`:
    what it was once coded with, which tells what is silence.
    """
    first_packet: float | None = None
    start: float | None = None  # as the first frame with a time tells it
    with open_film(path) as container, reading(path):
        stream = container.streams[index]
        context = stream.codec_context
        assert isinstance(context, AudioCodecContext)
        sound = SteadySound(context)
        listener = _Listener(_QUIETEST_ALAW if source_codec == "pcm_alaw" else 0)
        packets = undamaged_packets(container, [stream])
        for packet, begin in chain(zip(packets, seconds, strict=False), [(None, nan)]):
            if first_packet is None and packet is not None and packet.pts is not None:
                first_packet = float(packet.pts * packet.time_base)
            for frame in _decoded(context, packet):
                is_timed = frame.time is not None
                if start is None and frame.time is not None:
                    start = frame.time - listener.samples / frame.sample_rate
                for woven in sound.bring(frame):
                    listener.hear(woven, begin if is_timed else nan)
                    is_timed = False
        for woven in sound.rest():
            listener.hear(woven, nan)
    return listener.heard(0.0 if first_packet is None or start is None else start - first_packet)


def _decoded(context: AudioCodecContext, packet: Packet[Stream] | None) -> Iterator[AudioFrame]:
    try:
        yield from context.decode(packet)  # pyright: ignore[reportArgumentType, reportReturnType]
    except (*DAMAGE, EOFError):
        return
