"""Encoders and the scheduling of threads: SVT-AV1, opened by root, makes threads real-time ones."""

from __future__ import annotations

import os
import sys
from collections import Counter
from fractions import Fraction
from pathlib import Path

import pytest

from lipt_stream.frame import Frame, VideoFormat
from lipt_stream.media.encoder_choice import choose_encoder
from lipt_stream.media.file_sink import FileSink
from tests.program import run_apart

VIDEO = VideoFormat(width=128, height=96, frame_rate=Fraction(25), time_base=Fraction(1, 25))


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root's threads become real-time ones")
@pytest.mark.parametrize("policy", ["SCHED_OTHER", "SCHED_BATCH"])  # which other systems do not name
def test_no_thread_becomes_a_real_time_one(tmp_path: Path, policy: str) -> None:
    ended = run_apart(_encode, tmp_path / "film.mkv", getattr(os, policy))
    assert ended.returncode == 0, ended.stderr


def _encode(path: Path, policy: int) -> None:
    os.sched_setscheduler(0, policy, os.sched_param(0))
    sink = FileSink(path, VIDEO, encoder=choose_encoder("libsvtav1"), copy_from=None)
    for number in range(3):
        sink.write(Frame(index=number, pts=number, duration=1, planes=VIDEO.new_planes()))
    policies = Counter(os.sched_getscheduler(int(thread.name)) for thread in Path("/proc/self/task").iterdir())
    sink.close()
    assert policies[policy] > 3, "the encoder has threads of its own"
    assert set(policies) == {policy}
