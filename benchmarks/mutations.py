"""Ways in which a file is damaged, seeded: the same seed gives the same bytes."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final


def mutate(film: bytes, seed: int) -> tuple[bytes, str]:
    """A damaged copy of `film`, never equal to it, and what was done in words."""
    rng = random.Random(seed)
    while True:
        damaged = bytearray(film)
        deeds = [rng.choice(MUTATIONS)(damaged, rng) for _ in range(rng.choice((1, 1, 1, 2, 3)))]
        if damaged != film:
            return bytes(damaged), ", ".join(deeds)


def _flip_bytes(film: bytearray, rng: random.Random) -> str:
    count = rng.choice((1, 2, 8, 32, 128))
    for _ in range(count if film else 0):
        film[rng.randrange(len(film))] = rng.randrange(256)
    return f"{count} bytes set"


def _flip_bits_of_the_header(film: bytearray, rng: random.Random) -> str:
    """Where sizes, counts and codecs stand: the first and the last part of the file."""
    count, span = rng.choice((1, 2, 4, 8)), min(1_200, len(film))
    for _ in range(count if film else 0):
        place = rng.randrange(span)
        film[place if rng.random() < 0.5 else len(film) - 1 - place] ^= 1 << rng.randrange(8)
    return f"{count} bits flipped at the ends"


def _extreme_numbers(film: bytearray, rng: random.Random) -> str:
    """Four bytes become the numbers that overflow a sum or a product."""
    value = rng.choice((b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\x00\x00\x00", b"\x00\x00\x00\x00"))
    place = rng.randrange(max(1, len(film)))
    film[place : place + 4] = value[: len(film) - place]
    return f"{value.hex()} at {place}"


def _cut_end(film: bytearray, rng: random.Random) -> str:
    del film[rng.randrange(len(film) + 1) :]
    return f"cut to {len(film)} bytes"


def _cut_start(film: bytearray, rng: random.Random) -> str:
    count = rng.randrange(len(film) // 4 + 1)
    del film[:count]
    return f"first {count} bytes cut"


def _drop_block(film: bytearray, rng: random.Random) -> str:
    start, end = _block(film, rng)
    del film[start:end]
    return f"{start}-{end} removed"


def _zero_block(film: bytearray, rng: random.Random) -> str:
    start, end = _block(film, rng)
    film[start:end] = bytes(end - start)
    return f"{start}-{end} zeroed"


def _noise_block(film: bytearray, rng: random.Random) -> str:
    start, end = _block(film, rng)
    film[start:end] = rng.randbytes(end - start)
    return f"{start}-{end} noise"


def _double_block(film: bytearray, rng: random.Random) -> str:
    start, end = _block(film, rng)
    film[end:end] = film[start:end]
    return f"{start}-{end} doubled"


def _swap_blocks(film: bytearray, rng: random.Random) -> str:
    start, end = _block(film, rng)
    other = rng.randrange(max(1, len(film) - (end - start)))
    first, second = bytes(film[start:end]), bytes(film[other : other + end - start])
    film[start:end], film[other : other + end - start] = second, first
    return f"{start}-{end} swapped with {other}"


def _block(film: bytearray, rng: random.Random) -> tuple[int, int]:
    start = rng.randrange(len(film) + 1)
    return start, min(len(film), start + rng.choice((16, 188, 512, 2048)))


MUTATIONS: Final[tuple[Callable[[bytearray, random.Random], str], ...]] = (
    *(_flip_bytes, _flip_bits_of_the_header, _extreme_numbers, _cut_end, _cut_start),
    *(_drop_block, _zero_block, _noise_block, _double_block, _swap_blocks),
)
