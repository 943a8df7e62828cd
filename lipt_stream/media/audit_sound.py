"""What is heard of a sound track, decoded for an audit: where its codec had to change, nothing else tells."""

# pyright: reportUnknownMemberType=false
from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from av.audio.codeccontext import AudioCodecContext

from lipt_stream.media.audit import DAMAGE, undamaged_packets
from lipt_stream.media.av_errors import reading
from lipt_stream.media.containers import open_film
from lipt_stream.media.pcm import SteadySound


@dataclass(frozen=True, slots=True)
class HeardSound:
    """`digest`: BLAKE2b of all samples, channel beside channel, as the decoder gives them, and where it changes their
    layout or rate, in those of the beginning. `delay_seconds`: how much later than the first packet the sound begins,
    where a decoder keeps some of it to itself to start from."""

    samples: int
    digest: bytes
    delay_seconds: float = field(default=0.0, compare=False)


def hear(path: Path, index: int) -> HeardSound:
    """Decodes the sound in stream `index`, past damage. Raises InputError where the file cannot be opened."""
    count, whole = 0, hashlib.blake2b(digest_size=16)
    first_packet: float | None = None
    start: float | None = None  # as the first frame with a time tells it
    with open_film(path) as container, reading(path):
        stream = container.streams[index]
        context = stream.codec_context
        assert isinstance(context, AudioCodecContext)
        sound = SteadySound(context)
        for packet in chain(undamaged_packets(container, [stream]), [None]):
            if first_packet is None and packet is not None and packet.pts is not None:
                first_packet = float(packet.pts * packet.time_base)
            try:
                frames = context.decode(packet)  # pyright: ignore[reportArgumentType]
            except (*DAMAGE, EOFError):
                continue
            for frame in frames:
                if start is None and frame.time is not None:
                    start = frame.time - count / frame.sample_rate
                for woven in sound.bring(frame):
                    whole.update(woven.to_ndarray().tobytes())
                    count += woven.samples
        for woven in sound.rest():
            whole.update(woven.to_ndarray().tobytes())
            count += woven.samples
    delay = 0.0 if first_packet is None or start is None else start - first_packet
    return HeardSound(count, whole.digest(), delay)
