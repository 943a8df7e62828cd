"""Credentials out of addresses and out of other people's messages. What is in doubt is hidden, not shown."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

HIDDEN: Final = "***"

_HEADER: Final = re.compile(r"\b((?:proxy-)?authorization|(?:set-)?cookie)\s*[:=].*", re.IGNORECASE)
_WORD: Final = re.compile(r"\S+")
# RFC 3986 ends the part before the '@' at the first of "/?#", but people type passwords as they are. So it ends at the
# last '@' of the word: a path that holds one loses its beginning, and no password is shown in part. They also forget a
# slash, or all that stands before the name.
_USER: Final = re.compile(r"([a-z][a-z0-9+.-]*:/{1,2}+)\S+@", re.IGNORECASE)
_BARE_USER: Final = re.compile(r"^(\W*)\w[^:/]*:[^/]+@")
_PAIR: Final = re.compile(r"([^?&;#=\s/]+)=([^&\s]*)")
# The key by which an RTMP server knows who publishes: the last part of the path, and what is asked behind it.
_STREAM_KEY: Final = re.compile(r"(\brtmps?:/{1,2}+[^/\s]*/(?:[^/?#\s]+/)*)\S+", re.IGNORECASE)
# A WHIP endpoint's path is what its publisher is known by, with many services; and IPTV puts user and password there.
_WHIP_PATH: Final = re.compile(r"(\bwhip:(?:https?:)?/{0,2}[^/\s]*/)\S+", re.IGNORECASE)
_IPTV_PATH: Final = re.compile(r"(://[^/\s]+/(?:live|movie|series)/)[^/\s]+/[^/\s]+(?=/)", re.IGNORECASE)
_TELLTALE: Final = re.compile(
    r"key|tok|pass|pwd|psw|pw|secret|auth|sig|cred|sess|sid|jwt|ticket|hash|user|usr|login|code|pin|policy|otp|access|hmac|hdn|md5|^st$|^[upk]$",
    re.IGNORECASE,
)


def redact(text: str) -> str:
    """`text` with what stands before an '@' in any address, the values of telling query keys, RTMP's keys,
    WHIP's paths and what IPTV's paths hold, as ***.

    Percent-encoded addresses inside others are found; where one cannot be cut out, what stands around it is hidden too.
    """
    return _WORD.sub(lambda word: _clean(word[0]), _HEADER.sub(rf"\1: {HIDDEN}", text))


def _clean(word: str) -> str:
    clean = _BARE_USER.sub(rf"\1{HIDDEN}@", _USER.sub(rf"\1{HIDDEN}@", word))
    clean = _STREAM_KEY.sub(rf"\1{HIDDEN}", _PAIR.sub(_clean_pair, clean))
    clean = _IPTV_PATH.sub(rf"\1{HIDDEN}", _WHIP_PATH.sub(rf"\1{HIDDEN}", clean))
    scheme, mark, rest = clean.partition("://")
    if _is_clean_inside(rest if mark else clean):
        return clean
    return scheme + mark + HIDDEN if mark else HIDDEN


def _clean_pair(pair: re.Match[str]) -> str:
    key, value = pair.groups()
    return pair[0] if not _TELLTALE.search(unquote(key)) and _is_clean_inside(value) else f"{key}={HIDDEN}"


def _is_clean_inside(word: str) -> bool:
    """Whether nothing is to be hidden behind the percent signs of `word`, however often it was encoded."""
    inside = unquote(word)
    return inside == word or _clean(inside) == inside
