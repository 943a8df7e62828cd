"""The words of subtitles, for audits: markup differs from one text codec to the next, the words do not."""

from __future__ import annotations

import html
import re
from typing import Final

TEXT_CODECS: Final = frozenset({"subrip", "text", "mov_text", "webvtt", "ass"})
_MARKUP: Final = re.compile(rb"<[^>]*>|\{\\[^}]*\}|\r")
_ASS_FIELDS: Final = 8  # before the words: a line's number, layer, style, name, three margins, effect
_ASS_BREAK: Final = re.compile(rb"\\[Nn]")
_ASS_SPACE: Final = re.compile(rb"\\h")


def words_of(codec: str, data: bytes) -> bytes:
    """Those of a packet of one of TEXT_CODECS, without markup; empty where it has none."""
    if codec == "mov_text":
        data = data[2 : 2 + int.from_bytes(data[:2], "big")]  # 3GPP TS 26.245: length, text, styles
    if codec == "ass":
        data = _ASS_SPACE.sub("\u00a0".encode(), _ASS_BREAK.sub(b"\n", data.split(b",", _ASS_FIELDS)[-1]))
    plain = _MARKUP.sub(b"", data).strip()
    if codec == "webvtt":
        plain = html.unescape(plain.decode(errors="surrogateescape")).encode(errors="surrogateescape")
    return plain
