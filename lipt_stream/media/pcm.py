"""Sound decoded to PCM, where a container does not hold its codec: what is heard stays, sample by sample."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# PyAV's stubs leave the type parameter of Packet and the keyword arguments of its calls open.
from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from types import MappingProxyType
from typing import Final

from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream

_PCM: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "u8": ("u8", "pcm_u8"),
        "s16": ("s16", "pcm_s16le"),
        "s32": ("s32", "pcm_s32le"),
        "flt": ("flt", "pcm_f32le"),
        "dbl": ("dbl", "pcm_f64le"),
    }
)
"""What a decoder gives (planar formats without their p) -> the format of samples and the codec that hold it whole."""


def pcm_codec(stream: Stream) -> str | None:
    """FFmpeg's name of the PCM codec that holds what `stream` decodes to; None where there is none, or no decoder."""
    context = stream.codec_context
    if not isinstance(context, AudioCodecContext) or context.format is None:  # pyright: ignore[reportUnnecessaryComparison]
        return None
    found = _PCM.get(context.format.packed.name)
    return found[1] if found and context.sample_rate and context.layout.nb_channels else None


def add_pcm_stream(container: OutputContainer, source: Stream) -> Stream:
    """A stream of the PCM that `source` becomes, in which FFmpeg's encoder has nothing to do. Raises what av raises."""
    codec, context = pcm_codec(source), source.codec_context
    assert codec is not None
    assert isinstance(context, AudioCodecContext)
    return container.add_stream(codec, context.sample_rate, layout=_layout(context))


def _layout(context: AudioCodecContext) -> str:
    """Old files tell the number of channels and no more: one is the middle, two are left and right."""
    name = context.layout.name
    return {"1 channels": "mono", "2 channels": "stereo"}.get(name, name)


class SteadySound:
    """Frames of sound, woven (packed) and all in one format, layout and rate, into which FFmpeg brings those that have
    others. Broadcasts change between stereo and surround."""

    def __init__(self, decoder: AudioCodecContext) -> None:
        """The form is what `decoder` gives now: before it has decoded anything, that of the stream's beginning."""
        self._form = (decoder.format.packed.name, _layout(decoder), decoder.sample_rate)
        self._resampler: AudioResampler | None = None
        self._taken: tuple[str, str, int] | None = None  # format, layout and rate that the resampler is for
        self.changes = 0
        """How often one frame had another layout or rate than the one before."""

    def bring(self, frame: AudioFrame) -> list[AudioFrame]:
        """The frame in the one form. None or several frames where the rate is converted. Raises what av raises."""
        given = (frame.format.name, frame.layout.name, frame.sample_rate)
        held: list[AudioFrame] = []
        if self._resampler is None or given != self._taken:  # PyAV's takes one form only
            held = self.rest()
            self.changes += self._taken is not None and given[1:] != self._taken[1:]
            self._resampler, self._taken = AudioResampler(*self._form), given
        return held + self._resampler.resample(frame)

    def rest(self) -> list[AudioFrame]:
        """What is still held at the end."""
        return self._resampler.resample(None) if self._resampler else []


class PcmConverter:
    """One stream's packets through FFmpeg's decoder. Times stay; a packet becomes as many as it holds frames."""

    def __init__(self, source: Stream, container: OutputContainer) -> None:
        """Adds a stream of PCM. Raises what av raises."""
        context = source.codec_context
        assert isinstance(context, AudioCodecContext)
        self.target = add_pcm_stream(container, source)
        self._decoder = context
        self._sound = SteadySound(context)
        self._unit = source.time_base or Fraction(1, context.sample_rate)
        self._next: Fraction | None = None  # where the last frame ended, in seconds; None before the first

    @property
    def changes(self) -> int:
        """How often the sound changed its layout or rate, which the result does not."""
        return self._sound.changes

    def convert(self, packet: Packet[Stream] | None) -> list[Packet[Stream]]:
        """None: what the decoder still holds at the end. Raises what av raises for damage."""
        frames: list[AudioFrame] = self._decoder.decode(packet)  # pyright: ignore[reportArgumentType, reportAssignmentType]
        self._set_times(frames, packet)
        woven = [part for frame in frames for part in self._sound.bring(frame)]
        return [self._packet(frame) for frame in (woven if packet else woven + self._sound.rest())]

    def _set_times(self, frames: list[AudioFrame], packet: Packet[Stream] | None) -> None:
        """A frame without a time goes on where the one before it ended: a decoder gives the packet's time to the first
        in it alone, and none, and no unit either, to what it still held at the end."""
        if packet is not None:
            self._unit = packet.time_base
            if self._next is None:
                self._next = _begin_of(frames, packet)
        for frame in frames:
            frame.time_base = self._unit
            start = self._next or Fraction(0)
            if frame.pts is None:
                frame.pts = round(start / self._unit)
            else:
                start = frame.pts * self._unit
            self._next = start + _seconds([frame])

    def _packet(self, frame: AudioFrame) -> Packet[Stream]:
        size = frame.samples * frame.layout.nb_channels * frame.format.bytes
        packet: Packet[Stream] = Packet(bytes(frame.planes[0])[:size])
        assert frame.pts is not None
        assert frame.time_base is not None
        packet.pts = packet.dts = round(frame.pts * frame.time_base / self._unit)  # resampled, it has a unit of its own
        packet.time_base, packet.is_keyframe = self._unit, True
        packet.duration = round(Fraction(frame.samples, frame.sample_rate) / self._unit)
        return packet


def _seconds(frames: Sequence[AudioFrame]) -> Fraction:
    return sum((Fraction(frame.samples, frame.sample_rate) for frame in frames), Fraction(0))


def _begin_of(frames: Sequence[AudioFrame], packet: Packet[Stream]) -> Fraction | None:
    """Where `frames`, the first that came, begin in `packet`, in seconds. Codecs need some sound to start from, which
    the decoder keeps to itself: what it gives then are the last ones of the packet."""
    time = packet.pts if packet.pts is not None else packet.dts
    if not frames or time is None:
        return None
    start, duration = time * packet.time_base, (packet.duration or 0) * packet.time_base
    return start + max(Fraction(0), duration - _seconds(frames))
