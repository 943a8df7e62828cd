"""The queue before a sink, under any order of offers and takes."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from lipt_stream.frame import END
from lipt_stream.live.packet_queue import PacketQueue
from lipt_stream.media.encoded import EncodedPacket

SECONDS, BYTES = 1.0, 1_000
Step = tuple[str, int, bool]

steps = st.lists(
    st.tuples(
        st.sampled_from(["picture", "picture", "picture", "sound", "take", "take", "anew", "anew newest"]),
        st.integers(0, 400),  # bytes
        st.booleans(),  # a keyframe
    ),
    max_size=120,
)


def packet(kind: str, number: int, size: int, is_keyframe: bool) -> EncodedPacket:
    return EncodedPacket(
        kind="video" if kind == "picture" else "audio",
        data=bytes(size),
        pts=number,
        dts=number,
        duration=1,
        is_keyframe=is_keyframe or kind == "sound",
    )


@given(steps)
def test_what_is_taken_can_be_decoded_and_the_rest_is_counted(steps: list[Step]) -> None:
    queue = PacketQueue(seconds=SECONDS, size_bytes=BYTES, time_base=Fraction(1, 10))
    offered: list[EncodedPacket] = []
    taken: list[EncodedPacket] = []
    anew: list[int] = []  # how many were taken when the reader began anew
    for number, (what, size, is_keyframe) in enumerate(steps):
        if what.startswith("anew"):
            queue.start_anew(at_newest=what.endswith("newest"))
            anew.append(len(taken))
        elif what == "take":
            got = queue.take(0)
            assert got is not END
            if got:
                taken.append(got)
        else:
            offered.append(packet(what, number, size, is_keyframe))
            queue.offer(offered[-1])
    queue.close()
    waiting: list[EncodedPacket] = []
    while (got := queue.take(0)) is not END:
        assert got
        waiting.append(got)
    pictures = [one for one in waiting if one.kind == "video"]
    assert sum(len(one.data) for one in waiting) <= BYTES
    assert not pictures or pictures[-1].dts - pictures[0].dts <= SECONDS * 10
    taken += waiting
    assert sum(one.kind == "video" for one in taken) + queue.dropped == sum(one.kind == "video" for one in offered)
    # Each picture that is not a keyframe follows the very picture that was offered before it, with no new beginning.
    order = [one for one in offered if one.kind == "video"]
    for position, one in enumerate(taken):
        if one.kind == "video" and not one.is_keyframe:
            last = next(earlier for earlier in reversed(taken[:position]) if earlier.kind == "video")
            assert order.index(one) == order.index(last) + 1
            assert not any(taken.index(last) < begun <= position for begun in anew)


def test_a_closed_queue_takes_nothing_and_ends() -> None:
    queue = PacketQueue(seconds=1, size_bytes=100, time_base=Fraction(1, 10))
    queue.offer(packet("picture", 0, 1, True))
    queue.close()
    queue.offer(packet("picture", 1, 1, True))
    assert queue.dropped == 1
    assert queue.take(0) is not END
    assert queue.take(0) is END
    queue.close(drop=True)
    assert queue.dropped == 1


def test_a_keyframe_larger_than_the_bound_is_kept() -> None:
    queue = PacketQueue(seconds=1, size_bytes=100, time_base=Fraction(1, 10))
    queue.offer(packet("picture", 0, 500, True))
    assert queue.take(0) is not None
