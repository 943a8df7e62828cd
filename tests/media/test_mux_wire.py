"""What goes through the pipes between a live sink and its muxing process comes out as it went in."""

from __future__ import annotations

import io
import subprocess
import sys
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from lipt_stream.media.encoded import EncodedPacket, EncodedStream
from lipt_stream.media.mux_wire import (
    MuxJob,
    Report,
    pack_job,
    pack_packet,
    pack_report,
    read_job,
    read_packets,
    read_report,
)

ticks = st.integers(-(2**62), 2**62)
packets = st.builds(
    EncodedPacket,
    kind=st.sampled_from(["video", "audio"]),
    data=st.binary(max_size=300),
    pts=ticks,
    dts=ticks,
    duration=st.integers(0, 2**40),
    is_keyframe=st.booleans(),
)
streams = st.builds(
    EncodedStream,
    kind=st.sampled_from(["video", "audio"]),
    codec=st.text(max_size=8),
    time_base=st.fractions(min_value=Fraction(1, 10**6), max_value=1),
    extradata=st.binary(max_size=40),
    width=st.integers(0, 20_000),
    frame_rate=st.fractions(min_value=0, max_value=1_000),
    channels=st.integers(0, 8),
)
jobs = st.builds(
    MuxJob,
    url=st.text(max_size=30),
    format=st.just("mp4"),
    options=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
    streams=st.lists(streams, max_size=2).map(tuple),
    stall_seconds=st.floats(0, 100),
    place=st.sampled_from(["network", "file", "folder", "device"]),
    segment_seconds=st.floats(0, 100),
)


@settings(max_examples=25)
@given(jobs, st.lists(packets, max_size=5), st.integers(0, 400))
def test_a_job_and_its_packets_come_out_as_they_went_in(
    job: MuxJob, sent: list[EncodedPacket], bytes_cut_off: int
) -> None:
    whole = b"".join(pack_packet(packet) for packet in sent)
    pipe = io.BytesIO(pack_job(job) + whole)
    assert read_job(pipe) == job
    assert list(read_packets(pipe)) == sent
    cut = list(read_packets(io.BytesIO(whole[: max(0, len(whole) - bytes_cut_off)])))
    assert cut == sent[: len(cut)]


@given(st.builds(Report, written=st.integers(0), is_open=st.booleans(), path=st.text(), error=st.text()))
def test_a_report_is_one_line(report: Report) -> None:
    line = pack_report(report)
    assert line.count(b"\n") == 1
    assert read_report(line) == report


def test_the_muxing_process_loads_neither_torch_nor_numpy() -> None:
    program = "import sys, lipt_stream.media.mux_child; print({'torch', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
