from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipt_stream.media.redact import HIDDEN, redact


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rtsp://user:pass@cam:554/a?b=c", "rtsp://***@cam:554/a?b=c"),
        (
            "[Errno 5] Input/output error: 'rtsp://us%25er:p@ss/w@cam/x'",
            "[Errno 5] Input/output error: 'rtsp://***@cam/x'",
        ),
        ("rtsp://user@[fe80::1%25eth0]:554/x", "rtsp://***@[fe80::1%25eth0]:554/x"),
        ("http://a:b@one/x, then https://c:d@two/y", "http://***@one/x, then https://***@two/y"),
        ("http://cam/video.cgi?usr=admin&pwd=a%40b&res=2", "http://cam/video.cgi?usr=***&pwd=***&res=2"),
        ("http://cam/x?%74oken=abc&n=1", "http://cam/x?%74oken=***&n=1"),
        ("http://proxy/?url=rtsp%3A%2F%2Fu%3Ap%40cam&n=1", "http://proxy/?url=***&n=1"),
        ("http://proxy/?url=http%253A%252F%252Fu%253Ap%2540cam", "http://proxy/?url=***"),
        ("http://proxy/rtsp%3A%2F%2Fu%3Ap%40cam/", "http://***"),
        ("rtsp%3A%2F%2Fu%3Ap%40cam", "***"),
        ("http://h/?next=%26token%3Dabc", "http://h/?next=***"),
        ("Authorization: Basic dXNlcjpwYXNz", "Authorization: ***"),
        ("Set-Cookie: id=1; path=/", "Set-Cookie: ***"),
        ("http://cam/x?pw=secret&u=a&p=secret&fps=5", "http://cam/x?pw=***&u=***&p=***&fps=5"),
        (
            "http://h/a.m3u8?hdnts=exp=1~hmac=ab&st=c&md5=d&tok=e&start=5",
            "http://h/a.m3u8?hdnts=***&st=***&md5=***&tok=***&start=5",
        ),
        ("No such command 'rtsp:/u:p@cam/x'.", "No such command 'rtsp:/***@cam/x'."),
        ("'admin:p@ss@cam/x'", "'***@cam/x'"),
        ("rtsp:u:p@cam/x", "***@cam/x"),
        ("rtmp://h/app/key?a=/b/c", "rtmp://h/app/***"),
        ("rtmps://h:1935/app/instance/key", "rtmps://h:1935/app/instance/***"),
        ("rtmp://h/key", "rtmp://h/***"),
        ("whip:https://h/secret/publish", "whip:https://h/***"),
        ("http://h:8080/live/user/word/12.ts", "http://h:8080/live/***/12.ts"),
        ("http://h/live/camera/index.m3u8", "http://h/live/camera/index.m3u8"),
        ("rtmp://u:p@h/app?a=b/key", "rtmp://***@h/***"),
        ("rtmp:/h/app/key/", "rtmp:/h/app/***"),
        ("http://proxy/?to=rtmp%3A%2F%2Fh%2Fapp%2Fkey", "http://proxy/?to=***"),
    ],
)
def test_what_is_secret_is_hidden_and_the_rest_stays(text: str, expected: str) -> None:
    assert redact(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Connection refused",
        "udp://@239.0.0.1:5000",
        "udp:@239.0.0.1:5000",
        "rtmp://h",
        "rtmp://h:1935/",
        "rtsp://cam:554/live/ch0?res=2#x",
        "http://h/?to=a%40b.c",
        "50% at 10:30",
    ],
)
def test_what_is_not_secret_stays(text: str) -> None:
    assert redact(text) == text


SECRETS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=6, max_size=16)


@given(
    secret=SECRETS,
    is_encoded=st.booleans(),
    form=st.sampled_from(["{}@cam/x", "admin:{}@cam:80/x", "{}:@[::1]/x?y=z@w"]),
    slashes=st.sampled_from(["/", "//"]),
)
def test_no_password_of_printable_characters_comes_through(
    secret: str, is_encoded: bool, form: str, slashes: str
) -> None:
    written = quote(secret, safe="") if is_encoded else secret
    text = f"cannot open 'rtsp:{slashes}{form.format(written)}' or http://u:{written}@b/c: refused"
    assert written not in redact(text)
    assert "refused" in redact(text)


@given(
    key=st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="/@"), min_size=6, max_size=16),
    form=st.sampled_from(["h/{}", "h/app/{}", "u:p@h:1935/a/b/{}", "h/app/{}?x=/b/c", "h/app/x?y=/{}", "/app/{}/"]),
)
def test_no_key_of_a_publisher_comes_through(key: str, form: str) -> None:
    shown = redact(f"to rtmp://{form.format(key)} now")
    assert key not in shown
    assert HIDDEN in shown
    assert shown.endswith(" now")
