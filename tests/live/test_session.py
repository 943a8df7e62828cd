"""Whole sessions: real sources, the real network, real sinks."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import av
import pytest

from lipt_stream.cli.live_panel import plain_line
from lipt_stream.errors import InputError, LiptError, SettingsError
from lipt_stream.live import stats_line
from lipt_stream.live.session import LiveSession
from lipt_stream.live.spec import LiveSpec
from lipt_stream.live.targets import parse_targets
from lipt_stream.media.live_address import live_address
from lipt_stream.media.synthetic import stamped_index
from lipt_stream.model import catalog
from tests.film import flat_picture

CLIP = Path(__file__).parents[1] / "data" / "clips" / "flower.mp4"
LANCZOS = LiveSpec(model="lanczos", runtime="torch")
PATIENCE_SECONDS = 120


class Running:
    """A session in a thread of its own, with all that it said."""

    def __init__(self, session: LiveSession) -> None:
        self.session = session
        self.lines: list[Mapping[str, Any]] = []
        self.events: list[str] = []
        self._stop = threading.Event()
        self._outcome: list[Any] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            report = self.session.run(on_stats=self.lines.append, on_event=self.events.append, stop=self._stop.is_set)
            self._outcome.append(report)
        except LiptError as error:
            self._outcome.append(error)

    def until(self, holds: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not holds():
            if time.monotonic() > deadline:
                said = self.session.stats(), self.events
                self.end()
                raise AssertionError(said)
            time.sleep(0.02)

    def end(self) -> Any:
        self._stop.set()
        self._thread.join(PATIENCE_SECONDS)
        assert not self._thread.is_alive()
        return self._outcome[0]


def run_to_its_end(session: LiveSession) -> Running:
    running = Running(session)
    running.until(lambda: running._outcome)
    return running


def decoded(path: Path) -> list[Any]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def test_a_file_is_played_to_its_end(tmp_path: Path) -> None:
    target = tmp_path / "larger.mkv"
    session = LiveSession(live_address(str(CLIP)), parse_targets([str(target)]), LANCZOS)
    report = run_to_its_end(session).end()
    assert report.frames_in == 90
    assert report.frames_in == report.frames_out + report.frames_dropped
    frames = decoded(target)
    assert len(frames) == report.frames_out
    assert (frames[0].width, frames[0].height) == (960, 540)
    times = [frame.pts for frame in frames]
    assert times == sorted(set(times))
    with av.open(str(target)) as container:
        assert container.streams.audio, "sound came along"


def turned(path: Path, matrix: list[int]) -> None:
    """A small film of half a second, with a display matrix."""
    with av.open(str(path), "w") as target:
        picture = target.add_stream("libx264", rate=25)
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        picture.set_display_matrix(matrix)
        for number in range(12):
            target.mux(picture.encode(flat_picture(number)))
        target.mux(picture.encode(None))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_picture_that_is_to_be_turned_is_turned_in_files(tmp_path: Path, suffix: str) -> None:
    quarter = [0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30]
    turned(tmp_path / "phone.mp4", quarter)
    with av.open(str(tmp_path / "phone.mp4")) as phone:
        rotation = next(phone.decode(video=0)).rotation
    assert rotation in (90, -90)
    target, stream = tmp_path / f"larger{suffix}", tmp_path / "larger.ts"
    targets = parse_targets([str(target), str(stream), "null"])
    report = run_to_its_end(LiveSession(live_address(str(tmp_path / "phone.mp4")), targets, LANCZOS)).end()
    assert decoded(target)[0].rotation == rotation
    told = [note for note in report.notes if "turned" in note]
    assert told == [f"{stream} does not tell that the picture is to be turned by {rotation}°"]


def test_a_mirror_that_is_lost_is_told(tmp_path: Path) -> None:
    turned(tmp_path / "mirror.mp4", [-(1 << 16), 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30])
    target = tmp_path / "larger.mkv"
    targets = parse_targets([str(target)])
    report = run_to_its_end(LiveSession(live_address(str(tmp_path / "mirror.mp4")), targets, LANCZOS)).end()
    assert decoded(target)[0].rotation == 0
    assert "how the picture is to be mirrored and turned is not carried over" in report.notes


def test_sound_that_cannot_be_decoded_is_counted(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.mkv"
    with av.open(str(CLIP)) as film, av.open(str(damaged), "w") as target:
        picture = target.add_stream_from_template(film.streams.video[0])
        sound = target.add_stream("alac", rate=44_100, layout="mono")
        for packet in film.demux(video=0):
            if packet.dts is not None and packet.dts * packet.time_base < 0.5:
                packet.stream = picture
                target.mux(packet)
        for n in range(8):
            frame = av.AudioFrame(format="s16p", layout="mono", samples=4096)
            frame.planes[0].update(bytes(frame.planes[0].buffer_size))
            frame.sample_rate, frame.pts = 44_100, 4096 * n
            for packet in sound.encode(frame):
                whole = av.Packet(bytes(packet.size) if n % 2 else bytes(packet))
                whole.pts, whole.dts, whole.time_base, whole.stream = packet.pts, packet.dts, packet.time_base, sound
                target.mux(whole)
    report = run_to_its_end(LiveSession(live_address(str(damaged)), parse_targets(["null"]), LANCZOS)).end()
    assert report.sounds_dropped >= 3


@pytest.mark.parametrize("model", ["nano", "lanczos"])
def test_a_pinned_rung_is_kept_and_pictures_are_those_of_the_source(tmp_path: Path, model: str) -> None:
    target = tmp_path / "larger.mp4"
    spec = LiveSpec(model=model, runtime="torch")
    session = LiveSession(live_address("test:96x64@10"), parse_targets([str(target)]), spec)
    running = Running(session)
    running.until(lambda: session.stats()["frames_out"] > 5)  # pyright: ignore[reportOperatorIssue]
    report = running.end()
    assert report.rung == model
    assert report.steps == 0
    assert session.models == ("auto", *(["nano"] if model == "nano" else []), "lanczos"), "no other can be asked for"
    assert running.session.stats()["pinned"]
    frames = decoded(target)
    assert len(frames) == report.frames_out > 5
    indices = [stamped_index(frame.to_ndarray(format="gray"), 8) for frame in frames]
    assert indices == sorted(set(indices)), "each picture once, in order"


def test_a_scale_for_which_there_are_no_weights_is_left_to_lanczos_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    small = tuple(entry for entry in catalog.entries() if entry.scale != 3)
    monkeypatch.setattr(catalog, "entries", lambda: small)
    spec = LiveSpec(scale=3, runtime="torch", duration_seconds=0.5)
    report = run_to_its_end(LiveSession(live_address("test:64x64@10"), parse_targets(["null"]), spec)).end()
    assert report.rung == "lanczos"
    assert "no network has weights for x3: Lanczos upscales" in report.notes


def test_statistics_are_whole_from_the_first_line_on() -> None:
    session = LiveSession(live_address("test:64x64@20"), parse_targets(["null"]), LANCZOS)
    empty = session.stats()
    assert empty["state"] == "connecting"
    assert empty["latency_p50_ms"] is None
    assert "latency -/- ms" in plain_line(empty)
    running = Running(session)
    running.until(lambda: len(running.lines) >= 2 and running.lines[-1]["frames_out"])
    report = running.end()
    line = running.lines[-1]
    assert line.keys() == empty.keys()
    assert line["state"] == "live"
    assert line["rung"] == "lanczos"
    assert [(sink["name"], sink["state"]) for sink in line["sinks"]] == [("null", "ok")]
    assert line["dropped"] == sum(line["dropped_by_reason"].values())
    assert report.to_json()["frames_out"] >= line["frames_out"]


def test_a_session_goes_on_where_no_file_can_be_opened_to_ask_for_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted() -> float:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(stats_line, "rss_mb", exhausted)
    session = LiveSession(live_address("test:64x64@20"), parse_targets(["null"]), LANCZOS)
    running = Running(session)
    running.until(lambda: len(running.lines) >= 2 and running.lines[-1]["frames_out"])
    assert running.end().frames_out
    assert running.lines[-1]["rss_mb"] is None
    assert "memory unknown" in plain_line(running.lines[-1])


def test_paused_pictures_are_sent_again_and_time_goes_on(tmp_path: Path) -> None:
    target = tmp_path / "larger.mkv"
    session = LiveSession(live_address("test:64x64@20"), parse_targets([str(target)]), LANCZOS)
    running = Running(session)
    running.until(lambda: session.stats()["frames_out"])
    session.pause(True)
    assert session.stats()["state"] == "paused"
    before = session.stats()
    # They come all the same, none is lost in silence, and the camera has not slowed down.
    running.until(lambda: session.stats()["frames_in"] >= before["frames_in"] + 10)  # pyright: ignore
    running.until(lambda: session.stats()["fps_in"] > 10)  # pyright: ignore[reportOperatorIssue]
    running.until(lambda: session._meters.frames_repeated >= 2)
    during = session.stats()
    session.pause(False)
    running.until(lambda: session.stats()["frames_out"] > during["frames_out"])  # pyright: ignore
    report = running.end()
    assert report.dropped_by_reason["paused"] >= 5
    assert 0 <= report.frames_in - report.frames_out - report.frames_dropped <= 5
    frames = decoded(target)
    assert len(frames) == report.frames_out + report.frames_repeated
    times = [frame.pts for frame in frames]
    assert times == sorted(set(times))


def test_a_recording_begins_and_ends_while_the_session_runs(tmp_path: Path) -> None:
    session = LiveSession(live_address("test:64x64@20"), [], LANCZOS, record_to=tmp_path)
    with pytest.raises(SettingsError, match="no picture"):
        session.record(True)
    elsewhere = LiveSession(live_address("test:64x64@20"), [], LANCZOS, record_to=tmp_path / "missing")
    lost = Running(elsewhere)
    lost.until(lambda: elsewhere.stats()["frames_out"])
    with pytest.raises(SettingsError, match="missing"):
        elsewhere.record(True)
    assert elsewhere.stats()["recording"] is None
    lost.end()
    running = Running(session)
    running.until(lambda: session.stats()["frames_out"])
    name = session.record(True)
    assert name is not None
    assert session.record(True) == name, "asked twice, begun once"
    running.until(lambda: any(sink["delivered"] > 10 for sink in session.stats()["sinks"]))  # pyright: ignore
    assert session.record(False) is None
    running.until(lambda: f"recording: {name}: written" in running.events)
    assert session.stats()["sinks"] == [], "it is no sink of the session any more"
    running.end()
    assert len(decoded(Path(name))) > 10


def test_stills_are_the_same_moment_twice() -> None:
    session = LiveSession(live_address("test:64x64@20"), [], LANCZOS)
    assert session.stills() is None
    running = Running(session)
    running.until(lambda: session.stats()["frames_out"])
    stills = session.stills()
    running.end()
    assert stills is not None
    assert stills.source.shape == (64, 64, 3)
    assert stills.result.shape == (128, 128, 3)
    shrunk = stills.result.reshape(64, 2, 64, 2, 3).mean((1, 3))
    assert abs(shrunk - stills.source).mean() < 12


def test_models_are_chosen_by_name() -> None:
    session = LiveSession(live_address("test:64x64@10"), [], LiveSpec(runtime="torch"))
    running = Running(session)
    running.until(lambda: session.stats()["frames_out"])
    assert next(iter(session.models)) == "auto"
    assert {"tiny", "nano", "lanczos"} <= set(session.models)
    session.choose_model("lanczos")
    running.until(lambda: session.stats()["rung"] == "lanczos")
    assert session.stats()["pinned"]
    session.choose_model("auto")
    assert not session.stats()["pinned"]
    assert session.stats()["rung_reason"] != "asked for"
    with pytest.raises(SettingsError, match="Known: auto"):
        session.choose_model("huge")
    running.end()


def test_a_source_that_cannot_be_had_ends_with_its_reason() -> None:
    session = LiveSession(live_address("rtsp://127.0.0.1:9/camera"), [], LiveSpec(retries=0))
    error = run_to_its_end(session).end()
    assert isinstance(error, InputError)
    assert "127.0.0.1:9" in str(error)


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "film.mp4"
    text.write_text("no film")
    assert isinstance(run_to_its_end(LiveSession(live_address(str(text)), [], LANCZOS)).end(), InputError)


def test_a_model_without_weights_is_refused() -> None:
    session = LiveSession(live_address("test"), [], LiveSpec(model="huge"))
    assert isinstance(run_to_its_end(session).end(), SettingsError)


def test_sound_that_cannot_be_had_costs_the_sound_and_not_the_session(tmp_path: Path) -> None:
    """ADPCM, as G.726 of old cameras and WMA: its decoder asks for more than a stream's usual description."""
    film = tmp_path / "film.avi"
    with av.open(str(film), "w") as target:
        picture = target.add_stream("mpeg4", rate=25)
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        sound = target.add_stream("adpcm_ima_wav", rate=8_000, layout="mono")
        for number in range(12):
            target.mux(picture.encode(flat_picture(number)))
        frame = av.AudioFrame(format="s16p", layout="mono", samples=sound.codec_context.frame_size)
        frame.planes[0].update(bytes(frame.planes[0].buffer_size))
        frame.sample_rate, frame.pts = 8_000, 0
        target.mux([*sound.encode(frame), *picture.encode(None), *sound.encode(None)])
    report = run_to_its_end(LiveSession(live_address(str(film)), parse_targets(["null"]), LANCZOS)).end()
    assert report.frames_in == 12
    assert report.frames_out > 5
    assert any("without sound: Sound of codec adpcm_ima_wav" in note for note in report.notes)
