"""What is heard of a sound track, decoded for an audit: where its codec had to change, nothing else tells."""

# pyright: reportUnknownMemberType=false
from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from av.audio.codeccontext import AudioCodecContext

from lipt_stream.media.audit import DAMAGE, undamaged_packets
from lipt_stream.media.av_errors import reading
from lipt_stream.media.containers import open_film


@dataclass(frozen=True, slots=True)
class HeardSound:
    """`digest`: BLAKE2b of all samples, channel beside channel, as the decoder gives them."""

    samples: int
    digest: bytes


def hear(path: Path, index: int) -> HeardSound:
    """Decodes the sound in stream `index`, past damage. Raises InputError where the file cannot be opened."""
    count, whole = 0, hashlib.blake2b(digest_size=16)
    with open_film(path) as container, reading(path):
        stream = container.streams[index]
        context = stream.codec_context
        assert isinstance(context, AudioCodecContext)
        for packet in chain(undamaged_packets(container, [stream]), [None]):
            try:
                frames = context.decode(packet)  # pyright: ignore[reportArgumentType]
            except (*DAMAGE, EOFError):
                continue
            for frame in frames:
                samples = frame.to_ndarray()
                whole.update((samples.T if frame.format.is_planar else samples).tobytes())
                count += frame.samples
    return HeardSound(count, whole.digest())
