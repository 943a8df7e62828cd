"""What a user reads of an error."""

from __future__ import annotations

import pytest

from lipt_stream.errors import InputError


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("two\nlines", "two\\nlines"),
        ("back\rto the start", "back\\rto the start"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\u2028b", "a\\u2028b"),
        ("\u6620\u753b\u3000\u00e9 \U0001f469\u200d\U0001f680", "\u6620\u753b\u3000\u00e9 \U0001f469\u200d\U0001f680"),
    ],
)
def test_no_name_breaks_a_line_or_steers_a_terminal(name: str, shown: str) -> None:
    assert str(InputError(f"Cannot read {name}", "Check it")) == f"Cannot read {shown}. Check it"
