"""Every fault of a result is found by the audit and called by its name."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from av.stream import Disposition

from lipt_stream.verify.audit import verify
from tests.verify.audited_film import COUNT, GOOD, SOURCE, Film, Write, failures

ALL = tuple(range(COUNT))
FAR = (*ALL[:5], 30, *ALL[6:30], 5, *ALL[31:])
SWAPPED = (*ALL[:20], 21, 20, *ALL[22:])
REPEATED = (*ALL[:20], 19, *ALL[21:])

FAULTS: dict[str, tuple[Film, dict[str, str]]] = {
    "a picture missing": (
        GOOD.but(shown=ALL[:17] + ALL[18:], times_ms=SOURCE.times_ms[:17] + SOURCE.times_ms[18:]),
        {"frames": "1 missing: 17 (0.687", "pictures": "missing: the source's 17", "timestamps": "at 0.687 s"},
    ),
    "a picture missing, the rest moved up": (
        GOOD.but(shown=ALL[:17] + ALL[18:], times_ms=SOURCE.times_ms[:-1]),
        {"frames": "1 missing: 17", "pictures": "missing: the source's 17", "timestamps": "", "duration": "-33"},
    ),
    "a picture doubled": (
        GOOD.but(shown=(*ALL[:21], 20, *ALL[21:]), times_ms=(*SOURCE.times_ms[:21], 815, *SOURCE.times_ms[21:])),
        {"frames": "1 too many", "pictures": "shown twice: 21", "timestamps": "none in the source at 0.815 s"},
    ),
    "a picture replaced by the one before": (
        GOOD.but(shown=REPEATED),
        {"pictures": "missing: the source's 20; shown twice: 20"},
    ),
    "two pictures far apart swapped": (GOOD.but(shown=FAR), {"pictures": "5"}),
    "two pictures swapped": (GOOD.but(shown=SWAPPED), {"pictures": "out of order: 21"}),
    "a picture left black": (GOOD.but(blank_ms=840), {"likeness": "pictures 21 show nothing"}),
    "the end cut off": (
        GOOD.but(shown=ALL[:30], times_ms=SOURCE.times_ms[:30]),
        {"frames": "10 missing: 30-39 (1.200 to 1.56", "pictures": "", "timestamps": "", "duration": "-393"},
    ),
    "a constant rate forced": (
        GOOD.but(times_ms=tuple(40 * n for n in range(COUNT))),
        {"timestamps": "26 of 40 are off, by up to 7.0 ms"},
    ),
    "sound late": (
        GOOD.but(audio_delay_ms=60),
        {"audio 1 offset": "60.0 ms late against the picture", "audio 2 offset": ""},
    ),
    "a sound track dropped": (GOOD.but(languages=("eng",)), {"audio streams": "lost: audio 2 (aac deu"}),
    "a sound packet dropped": (
        GOOD.but(audio_skipped=12),
        {"audio 1 packets": "the first that differs is number 12", "audio 2 packets": ""},
    ),
    "a language lost": (GOOD.but(languages=("eng", "und")), {"audio 2": "the language deu became -"}),
    "a subtitle lost": (GOOD.but(subtitle=""), {"subtitle streams": "lost: subtitle 1 (subrip"}),
    "a subtitle changed": (GOOD.but(subtitle="<i>Hullo</i>"), {"subtitle 1 packets": "number 0"}),
    "a subtitle's italics lost": (GOOD.but(subtitle="Hello"), {"subtitle 1 packets": "number 0"}),
    "subtitles late": (GOOD.but(subtitle_ms=(260, 500), answer_ms=260), {"subtitle 1 offset": "60.0 ms late"}),
    "the second of two subtitles that begin together late": (
        GOOD.but(answer_ms=600),
        {"subtitle 1 packets": "packet 1 comes 400.0 ms off"},
    ),
    "a subtitle shown too long": (
        GOOD.but(subtitle_ms=(200, 900)),
        {"subtitle 1 packets": "number 0 is shown for another time"},
    ),
    "wrong samples under the right matrix tag": (
        GOOD.but(convert_matrix=1),
        {"colour": "BT.709 was taken for BT.601"},
    ),
    "wrong transfer tag": (GOOD.but(transfer=1), {"transfer": "BT.601 became BT.709"}),
    "mastering display lost": (
        GOOD.but(hdr="cll=1000,400"),
        {"mastering display": "the mastering display metadata is lost"},
    ),
    "content light changed": (
        GOOD.but(hdr=SOURCE.hdr.replace("1000,400", "1000,401")),
        {"content light": "the content light metadata changed"},
    ),
    "wrong matrix tag": (
        GOOD.but(matrix=1),
        {"matrix": "BT.601 for the source and BT.709", "colour": "BT.601 was taken for BT.709"},
    ),
    "wrong range tag": (
        GOOD.but(full_range=True),
        {"range": "takes the result for full", "colour": "studio range was taken for full"},
    ),
    "wrong samples under the right range tag": (
        GOOD.but(convert_range=True),
        {"colour": "full range was taken for studio"},
    ),
    "chroma siting changed": (GOOD.but(siting="topleft"), {"chroma location": "left became topleft"}),
    "a chapter lost": (GOOD.but(chapters=SOURCE.chapters[:1]), {"chapters": "2 chapters became 1; lost: Bloom"}),
    "a chapter moved": (GOOD.but(chapters=(("Seed", 0), ("Bloom", 700))), {"chapters": "2 begins +100"}),
    "chapters that end early": (GOOD.but(chapter_ms=10), {"chapters": "1 ends -490"}),
    "aspect lost": (GOOD.but(aspect=Fraction(1)), {"sample aspect ratio": "4/3 became 1"}),
    "rotation lost": (GOOD.but(rotation=0), {"rotation": "90° became 0°"}),
    "size wrong": (GOOD.but(scale=3), {"size": "480x270 is x2 was asked"}),
    "metadata lost": (GOOD.but(tags=SOURCE.tags[:1]), {"metadata": "lost: comment"}),
    "attachment changed": (
        GOOD.but(attachments=(b"another", SOURCE.attachments[1])),
        {"attachments": "changed: font.ttf"},
    ),
    "one of two attachments of one name lost": (
        GOOD.but(attachments=SOURCE.attachments[1:]),
        {"attachments": "lost: font.ttf"},
    ),
    "the picture's language, title and timecode lost": (
        GOOD.but(picture_tags=()),
        {"picture track": 'language eng became -; the title "Uncut" became ""; the timecode 10:00:00:00 became -'},
    ),
    "the picture's flags lost": (
        GOOD.but(picture_flags=Disposition.default),
        {"picture track": "the dispositions original became -"},
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_is_found_and_only_it(source: Path, write: Write, name: str) -> None:
    film, expected = FAULTS[name]
    found = failures(verify(source, write(film), scale=2))
    assert found.keys() == expected.keys()
    for check, words in expected.items():
        assert found[check], f"{check} gives no reason"
        assert words in found[check]
