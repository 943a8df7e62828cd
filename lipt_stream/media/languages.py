"""Names of languages: ISO 639-2 has two for some, and FFmpeg's MOV muxer knows only those of a table of Apple's."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

# Of two names, which are the same to everyone, the one that stands in the table; below, the table's own names.
_IN_MOV: Final = MappingProxyType(
    {"fre": "fra", "cze": "ces", "slo": "slk", "rum": "ron", "mao": "mri"}
    | {"deu": "ger", "nld": "dut", "ell": "gre", "zho": "chi", "isl": "ice", "sqi": "alb", "hye": "arm", "kat": "geo"}
    | {"fas": "per", "msa": "may", "cym": "wel", "eus": "baq", "mya": "bur", "bod": "tib"}
    | {"swe": "sve", "nob": "nor", "hrv": "hr ", "srp": "sr ", "fao": "fo ", "pan": "pa ", "mkd": "mac"}
)


def in_mov(language: str) -> str:
    """The name by which FFmpeg's MOV muxer knows `language`, where it knows it by another; one and the same for all
    names of a language."""
    return _IN_MOV.get(language, language)
