"""The audit on real files: a faithful result passes, what is not whole or no film does not; and the command."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lipt_stream.cli.main import build_app
from lipt_stream.errors import InputError
from lipt_stream.frame import END, VideoFormat
from lipt_stream.media.encoder_choice import choose_encoder
from lipt_stream.media.file_sink import FileSink
from lipt_stream.media.synthetic import SyntheticSource
from lipt_stream.verify.audit import Verification, quick_check, verify
from tests.verify.audited_film import GOOD, Write, failures, through_the_sink


def test_a_faithful_result_passes(source: Path, write: Write) -> None:
    verification = verify(source, write(GOOD), scale=2)
    assert failures(verification) == {}
    assert verification.ok
    names = {check.name for check in verification.checks}
    assert {"frames", "timestamps", "duration", "pictures", "colour", "size", "rotation", "matrix", "range"} <= names
    assert {"audio 1 packets", "audio 2 offset", "subtitle 1", "chapters", "attachments", "metadata"} <= names
    shown = {check.name: (check.source, check.result) for check in verification.checks}
    assert shown["frames"] == ("40", "40")
    assert shown["size"] == ("160x90", "320x180")
    assert shown["sample aspect ratio"] == ("4/3", "4/3")


def test_a_language_by_its_other_name_is_the_same(source: Path, write: Write) -> None:
    assert failures(verify(source, write(GOOD.but(languages=("eng", "ger"))), scale=2)) == {}


def test_a_result_cut_short_in_the_file_is_not_taken_for_whole(source: Path, write: Write, tmp_path: Path) -> None:
    whole = write(GOOD).read_bytes()
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole[: len(whole) * 6 // 10])
    found = failures(verify(source, cut))
    assert "missing" in found["frames"]
    assert "audio 1 packets" in found or "audio streams" in found


@pytest.mark.parametrize(
    "content", [b"", b"this is no film at all", bytes(range(256)) * 40], ids=["empty", "text", "bytes"]
)
def test_a_result_that_is_no_video_fails_and_a_source_that_is_none_is_an_error(
    source: Path, tmp_path: Path, content: bytes
) -> None:
    wrong = tmp_path / "wrong.mkv"
    wrong.write_bytes(content)
    verification = verify(source, wrong)
    assert not verification.ok
    assert list(failures(verification)) == ["readable"]
    assert "wrong.mkv" in failures(verification)["readable"]
    with pytest.raises(InputError, match=r"wrong\.mkv"):
        verify(wrong, source)
    with pytest.raises(InputError, match="no such file"):
        verify(tmp_path / "nowhere.mkv", source)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_what_our_sink_writes_passes(clip: Path, tmp_path: Path, suffix: str) -> None:
    result = tmp_path / f"large{suffix}"
    report = through_the_sink(clip, result)
    assert failures(verify(clip, result)) == {}
    assert failures(Verification(quick_check(result, **report))) == {}


def test_the_command_prints_a_table_or_one_object_and_exits_by_the_verdict(source: Path, write: Write) -> None:
    runner = CliRunner()
    good, bad = str(write(GOOD)), str(write(GOOD.but(matrix=1)))
    passed = runner.invoke(build_app(["verify"]), ["verify", str(source), good, "--scale", "2"])
    assert passed.exit_code == 0
    assert "checks hold" in passed.output
    failed = runner.invoke(build_app(["verify"]), ["verify", str(source), bad])
    assert failed.exit_code == 1
    assert "matrix: a player takes BT.601 for the source and BT.709 for the result" in failed.output
    told = runner.invoke(build_app(["verify"]), ["verify", str(source), bad, "--json"])
    assert told.exit_code == 1
    answer = json.loads(told.output)
    assert answer["ok"] is False
    assert {tuple(check) for check in answer["checks"]} == {("name", "ok", "source", "result", "detail")}
    assert [check["name"] for check in answer["checks"] if not check["ok"]] == ["colour", "matrix"]


def test_the_last_picture_of_an_mp4_is_no_longer_than_its_track(tmp_path: Path) -> None:
    """With B-frames its own duration is a step of decoding time, which a gap before it makes too long."""
    video = VideoFormat(width=64, height=48, frame_rate=Fraction(25), time_base=Fraction(1, 25))
    for name, encoder in (("source.mkv", "ffv1"), ("result.mp4", "libx264")):
        source, planes = SyntheticSource(video, 22), video.new_planes()
        sink = FileSink(tmp_path / name, video, encoder=choose_encoder(encoder), copy_from=None)
        while (frame := source.read(planes)) is not END:
            sink.write(replace(frame, pts=frame.index + 3 * (frame.index == 21), duration=1))
        sink.close()
    assert failures(verify(tmp_path / "source.mkv", tmp_path / "result.mp4")) == {}
