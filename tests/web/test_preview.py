"""The preview as the session sees it: takes packets at once, counts, and wants nothing while nobody watches."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Callable
from fractions import Fraction
from types import FrameType

import pytest
from clock_session import ClockSession, Tone

from lipt_stream.frame import VideoFormat
from lipt_stream.live.composition import Composition
from lipt_stream.live.preview import PreviewSink
from lipt_stream.media.encoded import EncodedPacket, EncodedStream
from lipt_stream.media.live_encoder import LiveEncoder
from lipt_stream.web import preview as preview_module
from lipt_stream.web.preview import Preview
from lipt_stream.web.viewer import Item, Viewer

SOURCE = VideoFormat(width=32, height=16, frame_rate=Fraction(30))
COMPOSITION = Composition(SOURCE, SOURCE.scaled(2))


def new_preview(*sound: EncodedStream) -> tuple[Preview, LiveEncoder]:
    preview = Preview()
    encoder = LiveEncoder(COMPOSITION.format, encoder="libx264", keyframe_seconds=600)
    preview.composition = COMPOSITION
    preview.open([encoder.stream, *sound])
    return preview, encoder


def encoded(encoder: LiveEncoder, number: int) -> EncodedPacket:
    (packet,) = encoder.encode(COMPOSITION.format.new_planes(), number * 3000, 3000)
    return packet


async def soon(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def take_all(viewer: Viewer) -> list[Item]:
    """What the viewer's queue holds when nothing more is on its way."""
    await asyncio.sleep(0.05)
    items: list[Item] = []
    while viewer._queue:  # pyright: ignore[reportPrivateUsage]
        item = await viewer.take()
        assert item is not None
        items.append(item)
    return items


def test_it_is_a_preview_sink() -> None:
    sink: PreviewSink = Preview()
    assert sink.status().state == "starting"


def test_it_must_know_what_its_pictures_are() -> None:
    encoder = LiveEncoder(COMPOSITION.format, encoder="libx264")
    with pytest.raises(ValueError, match="composed"):
        Preview().open([encoder.stream])


def test_nothing_is_wanted_while_nobody_watches() -> None:
    preview, encoder = new_preview()
    assert not preview.wanted
    assert not preview.wants_keyframe
    for number in range(1000):
        preview.offer(encoded(encoder, number))
    status = preview.status()
    assert (status.delivered, status.dropped, status.detail) == (0, 0, "nobody is watching")
    preview.close(1)
    assert preview.status().state == "closed"


def test_a_viewer_gets_pictures_from_a_keyframe_on_until_the_end() -> None:
    preview, encoder = new_preview()

    async def watch() -> None:
        encoded(encoder, 0)
        viewer = preview.join()
        assert preview.wanted
        assert preview.wants_keyframe
        preview.offer(encoded(encoder, 1))
        assert await take_all(viewer) == []
        encoder.force_keyframe()
        for number in (2, 3):
            preview.offer(encoded(encoder, number))
        assert not preview.wants_keyframe
        opening, init, *pictures = await take_all(viewer)
        assert isinstance(opening.data, str)
        told = json.loads(opening.data)
        assert told["type"] == "picture"
        assert told["mime"].startswith('video/mp4; codecs="avc1.')
        assert told["result"] == {"x": 0, "y": 0, "width": 64, "height": 32}
        assert told["source"] == {"x": 0, "y": 32, "width": 32, "height": 16}
        assert not told["sound_available"]
        assert isinstance(init.data, bytes)
        assert init.data[4:8] == b"ftyp"
        assert [bytes(item.data[4:8]) for item in pictures if isinstance(item.data, bytes)] == [b"moof", b"moof"]
        ending = asyncio.create_task(viewer.take())
        await asyncio.sleep(0)
        assert preview.status().delivered == 2
        preview.close(1)
        assert await ending is None
        preview.leave(viewer)

    asyncio.run(watch())
    assert preview.status().delivered == 2
    assert preview.status().state == "closed"
    preview.close(1)
    preview.offer(encoded(encoder, 4))


def test_sound_is_for_those_who_want_it() -> None:
    tone = Tone()
    preview, encoder = new_preview(tone.stream)

    async def watch() -> None:
        silent, hearing = preview.join(), preview.join()
        hearing.with_sound = True
        preview.offer(encoded(encoder, 0))
        sounds = tone.until(0.2)
        for packet in sounds:
            preview.offer(packet)
        first, second = await take_all(silent), await take_all(hearing)
        assert len(first) == 3
        assert len(second) == 3 + sum(packet.dts >= 0 for packet in sounds), "AAC begins before the session does"
        assert [json.loads(items[0].data)["sound"] for items in (first, second)] == [False, True]
        assert "mp4a" in json.loads(second[0].data)["mime"]
        assert sum(item.is_picture for item in second) == 1

    asyncio.run(watch())


def test_while_no_sound_comes_the_picture_goes_on_without(monkeypatch: pytest.MonkeyPatch) -> None:
    """A browser shows no picture that is later than its sound: with sound on, it would stand still."""
    monkeypatch.setattr(preview_module, "_SECONDS_BETWEEN_KEYFRAMES", -1.0)
    tone = Tone()
    preview, encoder = new_preview(tone.stream)
    starts: list[bool] = []  # of the picture: with sound?

    async def take(viewer: Viewer) -> None:
        while (item := await viewer.take()) is not None:
            if isinstance(item.data, str):
                starts.append(json.loads(item.data)["sound"])

    async def watch() -> None:
        hearing = preview.join()
        hearing.with_sound = True
        taking = asyncio.create_task(take(hearing))
        for number in range(0, 220, 10):
            if preview.wants_keyframe:
                encoder.force_keyframe()
            preview.offer(encoded(encoder, number))
            for packet in tone.until(number / 30) if not 30 <= number < 150 else []:
                preview.offer(packet)
            await asyncio.sleep(0.01)
        preview.close(1)
        await taking

    asyncio.run(watch())
    assert starts == [True, False, True], "from 1 s to 5 s there was no sound"


def test_sound_that_browsers_do_not_play_is_said_to_be_missing() -> None:
    alaw = EncodedStream(kind="audio", codec="pcm_alaw", time_base=Fraction(1, 8000), sample_rate=8000, channels=1)
    preview, encoder = new_preview(alaw)
    assert preview.status().detail == "nobody is watching, no sound: browsers do not play pcm_alaw"

    async def watch() -> None:
        viewer = preview.join()
        viewer.with_sound = True
        preview.offer(encoded(encoder, 0))
        assert len(await take_all(viewer)) == 3

    asyncio.run(watch())


def test_after_a_long_gap_it_starts_anew() -> None:
    preview, encoder = new_preview()

    async def watch() -> None:
        viewer = preview.join()
        for number in (0, 20, 100):
            preview.offer(encoded(encoder, number))
        assert sum(item.is_picture for item in await take_all(viewer)) == 0
        encoder.force_keyframe()
        preview.offer(encoded(encoder, 101))
        assert sum(item.is_picture for item in await take_all(viewer)) == 1

    asyncio.run(watch())


def test_offers_do_not_wait_for_a_server_that_hangs() -> None:
    preview, encoder = new_preview()
    packets = [encoded(encoder, number) for number in range(1000)]

    async def hang() -> None:
        viewer = preview.join()
        thread = threading.Thread(target=lambda: [preview.offer(packet) for packet in packets])
        thread.start()
        thread.join(60)  # the loop hangs here, and the offers are taken all the same
        assert not thread.is_alive()
        assert preview.status().dropped > 0
        await take_all(viewer)
        await soon(lambda: preview.wants_keyframe)
        encoder.force_keyframe()
        for number in (1000, 1001):
            preview.offer(encoded(encoder, number))
        assert sum(item.is_picture for item in await take_all(viewer)) == 2

    asyncio.run(hang())


@pytest.mark.parametrize("line", range(8))
def test_a_viewer_that_leaves_amid_a_look_is_counted_once(line: int) -> None:
    """A counter that sinks tells Prometheus of a restart, which adds all of it to its rate once more."""
    preview, _ = new_preview()

    async def come() -> Viewer:
        return preview.join()

    viewer = asyncio.run(come())
    viewer.delivered = 10
    leaving = threading.Thread(target=preview.leave, args=(viewer,))
    lines = iter(range(100))

    def step(frame: FrameType, event: str, _: object) -> object:
        if frame.f_code is Preview.status.__code__ and event == "line" and next(lines) == line:
            leaving.start()
            leaving.join(0.05)  # it may have to wait until the look is over
        return step

    sys.settrace(step)
    try:
        seen = preview.status().delivered
    finally:
        sys.settrace(None)
    if leaving.ident is None:  # the look has fewer lines
        leaving.start()
    leaving.join()
    assert seen == 10
    assert preview.status().delivered == 10


def test_keyframes_are_not_asked_for_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    preview, encoder = new_preview()
    monkeypatch.setattr(preview_module, "_SECONDS_BETWEEN_KEYFRAMES", 600.0)

    async def come_and_go() -> None:
        first = preview.join()
        preview.offer(encoded(encoder, 0))
        await take_all(first)
        preview.leave(first)
        for _ in range(20):
            viewer = preview.join()
            assert not preview.wants_keyframe, "one has just come"
            preview.leave(viewer)
        preview.join()
        monkeypatch.setattr(preview_module, "_SECONDS_BETWEEN_KEYFRAMES", 0.01)
        await soon(lambda: preview.wants_keyframe)

    asyncio.run(come_and_go())


def test_the_stand_in_session_is_composed_as_the_preview_says() -> None:
    preview = Preview()
    session = ClockSession(preview)
    assert preview.composition is not None
    assert preview.composition.format.width == 640
    assert session.models[0] == "auto"
