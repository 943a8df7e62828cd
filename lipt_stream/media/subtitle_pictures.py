"""Subtitles that are pictures: for how long one is shown, and which one is on the screen where a cut begins.

Their packets seldom state a duration. VobSub's tell it inside; a picture of PGS or DVB stays until the next one, which
may be empty.
"""

# pyright: reportUnknownMemberType=false
# PyAV's stubs leave the type parameter of Packet open.
from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Final

from av.packet import Packet
from av.stream import Stream
from av.subtitles.codeccontext import SubtitleCodecContext

from lipt_stream.media.av_errors import AV_ERRORS
from lipt_stream.media.container_fit import codec_name
from lipt_stream.media.lanes import Lane

LONGEST_SECONDS: Final = 60
"""How long a subtitle may be on the screen, words or picture: so far before a cut they are looked for."""
_UNTIL_THE_NEXT: Final = frozenset({"hdmv_pgs_subtitle", "dvb_subtitle"})
_COMPOSITION: Final = 0x16
"""The segment that a PGS picture begins with (US patent application 2009/0185789). A Blu-ray has each
of a picture's segments in a packet of its own, Matroska all of them in one."""


def state_duration(packet: Packet[Stream], *, is_needed: bool) -> None:
    """Gives a subtitle's packet the duration that it states only inside, and where that `is_needed` any at all: MP4's
    last packet is never read again without one."""
    if packet.stream.type != "subtitle" or packet.duration:
        return
    if codec_name(packet.stream) == "dvd_subtitle":
        packet.duration = round(_stated_inside(packet) / packet.time_base)
    if is_needed and not packet.duration:
        packet.duration = 1


def _stated_inside(packet: Packet[Stream]) -> Fraction:
    """Seconds up to the command that takes a VobSub picture from the screen; 0 where there is none, or no sense."""
    decoder = packet.stream.codec_context
    assert isinstance(decoder, SubtitleCodecContext)
    try:
        shown = decoder.decode2(packet)
    except AV_ERRORS:
        return Fraction(0)
    seconds = Fraction(shown.end_display_time if shown else 0, 1_000)
    return seconds if seconds <= LONGEST_SECONDS else Fraction(0)


class StandingSubtitles:
    """Of each stream, the last picture from before a cut that stays until the next one comes."""

    def __init__(self) -> None:
        self._held: dict[int, list[tuple[Packet[Stream], Lane]]] = {}

    def hold(self, packet: Packet[Stream], lane: Lane, seconds_before: Fraction) -> None:
        """Takes note of a packet that lies `seconds_before` the cut, of whatever stream."""
        codec = codec_name(packet.stream)
        if codec not in _UNTIL_THE_NEXT or seconds_before > LONGEST_SECONDS:
            return
        goes_on = codec == "hdmv_pgs_subtitle" and bytes(packet)[:1] != bytes([_COMPOSITION])
        held = self._held.setdefault(packet.stream_index, [])
        if not goes_on:
            held.clear()
        held.append((packet, lane))

    def let_go(self) -> Iterator[tuple[Packet[Stream], Lane]]:
        """What is held. One that empties the screen is among it: nothing is there to be emptied, and no harm done."""
        held = [item for items in self._held.values() for item in items]
        self._held.clear()
        yield from held
