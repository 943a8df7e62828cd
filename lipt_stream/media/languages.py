"""Names of languages: ISO 639-2 has two for some, and FFmpeg's MOV muxer knows only those of a table of Apple's."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

# Of two names, which are the same to everyone, the one that stands in the table; below, the table's own names.
_IN_MOV: Final = MappingProxyType(
    {"fre": "fra", "cze": "ces", "slo": "slk", "rum": "ron", "mao": "mri"}
    | {"deu": "ger", "nld": "dut", "ell": "gre", "zho": "chi", "isl": "ice", "sqi": "alb", "hye": "arm", "kat": "geo"}
    | {"fas": "per", "msa": "may", "cym": "wel", "eus": "baq", "mya": "bur", "bod": "tib"}
    | {"nob": "nor", "mkd": "mac"}
    | {"swe": "sve", "hrv": "hr ", "srp": "sr ", "fao": "fo ", "pan": "pa "}
)
_NO_ISO: Final = MappingProxyType({_IN_MOV[name]: name for name in ("swe", "hrv", "srp", "fao", "pan")})


def in_mov(language: str) -> str:
    """The name by which FFmpeg's MOV muxer knows `language`, where it knows it by another; one and the same for all
    names of a language."""
    return _IN_MOV.get(language, language)


def in_iso_639(language: str) -> str:
    """The name that all but FFmpeg's MOV reader know, of a `language` that it may have read."""
    return _NO_ISO.get(language, language)
