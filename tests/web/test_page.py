"""The page in a real browser: what a person sees, does, and is told."""

from __future__ import annotations

import io
from typing import Any

from clock_session import CELL, READ_CLOCK
from PIL import Image
from watched_page import PRESENT_MS, STATE, Served, Visit, assert_present, until, wait_for_picture

CHOICES = "[...document.getElementById('model').options].map((option) => option.value).join()"

# The share of the canvas's width that shows the source, whose last rows are black; the result's are white.
READ_DIVIDER = f"""
() => {{
  const canvas = document.getElementById('screen');
  const {{ data }} = canvas.getContext('2d').getImageData(0, canvas.height - {CELL // 2}, canvas.width, 1);
  let dark = 0;
  for (let x = 0; x < canvas.width; x++) dark += data[x * 4] < 128;
  return 100 * dark / canvas.width;
}}"""


def test_the_picture_moves_and_both_sides_are_of_one_moment(served: Served, visit: Visit) -> None:
    page = visit(served[1].url)
    assert "token" not in page.url
    wait_for_picture(page)
    seen = page.evaluate(READ_CLOCK, 40)
    assert len({picture["time"] for picture in seen}) > 20
    assert all(picture["agree"] for picture in seen)
    assert all(picture["age"] < PRESENT_MS for picture in seen)
    until(page, "document.getElementById('latency').textContent !== '–'")
    assert "320×180" in page.inner_text("#before-label")
    assert "640×360" in page.inner_text("#after-size")
    assert page.inner_text("#state") == "Live"


def test_the_divider_follows_mouse_finger_and_keys(served: Served, visit: Visit) -> None:
    page = visit(served[1].url, has_touch=True)
    wait_for_picture(page)
    box = page.locator("#screen").bounding_box()

    def at(share: float) -> tuple[float, float]:
        return box["x"] + share * box["width"], box["y"] + box["height"] / 2

    def shown() -> float:
        share = page.evaluate(READ_DIVIDER)
        assert abs(share - float(page.get_attribute("#divider", "aria-valuenow"))) < 1.5
        return share

    assert abs(shown() - 50) < 1.5
    page.mouse.move(*at(0.5))
    page.mouse.down()
    page.mouse.move(*at(0.7))
    page.mouse.move(*at(0.8))
    page.mouse.up()
    page.mouse.move(*at(0.3))  # let go: it stays
    assert abs(shown() - 80) < 1.5
    page.touchscreen.tap(*at(0.25))
    assert abs(shown() - 25) < 1.5
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    assert abs(shown() - 36) < 1.5
    page.focus("#divider")
    page.keyboard.press("End")
    assert shown() == 100
    page.keyboard.press("Home")
    page.keyboard.press("ArrowLeft")
    assert shown() == 0
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid", "focus can be seen"


def test_buttons_and_keys_steer_the_session(served: Served, visit: Visit) -> None:
    session, server = served
    known, session.models = session.models, ("auto",)
    page = visit(server.url)
    wait_for_picture(page)
    until(page, f"{CHOICES} === 'auto'")  # as before the first picture
    session.models = known
    until(page, f"{CHOICES} === '{','.join(known)}'")
    session.asked.clear()
    page.select_option("#model", "tiny")
    until(page, "document.getElementById('rung-detail').textContent === 'chosen by hand'")
    page.click("#pause")
    until(page, f"{STATE} === 'Paused'")
    page.focus("#pause")
    page.keyboard.press("p")
    until(page, f"{STATE} === 'Live'")
    page.keyboard.press("r")
    until(page, "document.getElementById('notice').textContent === 'Recording to out/live.mkv'")
    until(page, "document.getElementById('record').getAttribute('aria-pressed') === 'true'")
    page.click("#record")
    until(page, "document.getElementById('record').getAttribute('aria-pressed') === 'false'")
    page.select_option("#model", "auto")
    until(page, "document.getElementById('rung-detail').textContent !== 'chosen by hand'")
    assert session.asked == [
        ("model", "tiny"),
        ("pause", True),
        ("pause", False),
        ("record", True),
        ("record", False),
        ("model", "auto"),
    ]


def test_a_snapshot_is_a_pair_of_pngs(served: Served, visit: Visit) -> None:
    page = visit(served[1].url)
    wait_for_picture(page)
    downloads: list[Any] = []
    page.on("download", lambda download: downloads.append(download))
    page.click("#snapshot")
    until(page, "document.getElementById('notice').textContent.startsWith('Saved')")
    while len(downloads) < 2:
        page.wait_for_event("download")
    sizes = {}
    for download in downloads:
        with Image.open(io.BytesIO(download.path().read_bytes())) as image:
            assert image.format == "PNG"
            sizes[download.suggested_filename.rpartition("-")[2]] = image.size
    assert sizes == {"source.png": (320, 180), "x2.png": (640, 360)}


def test_a_snapshot_that_breaks_off_is_said(served: Served, visit: Visit) -> None:
    page = visit(served[1].url)
    wait_for_picture(page)
    half = {"content_type": "multipart/form-data; boundary=x", "body": "--x\r\nContent-Disposition: form-data; na"}
    page.route("**/snapshot", lambda route: route.fulfill(**half))
    page.click("#snapshot")
    until(page, "document.getElementById('notice').textContent === 'The server does not answer'")


def test_sound_is_off_until_it_is_asked_for(served: Served, visit: Visit) -> None:
    page = visit(served[1].url)
    wait_for_picture(page)
    heard = "document.getElementById('video').webkitAudioDecodedByteCount"
    assert page.evaluate("document.getElementById('video').muted")
    assert page.evaluate(heard) == 0
    page.click("#sound")
    until(page, f"{heard} > 0 && !document.getElementById('video').muted")
    assert page.get_attribute("#sound", "aria-pressed") == "true"
    assert_present(page)
    page.keyboard.press("m")
    until(page, "document.getElementById('video').muted")
    assert_present(page)


def test_a_reload_and_a_second_viewer_cost_the_session_nothing(served: Served, visit: Visit) -> None:
    session, server = served
    page = visit(server.url)
    wait_for_picture(page)
    page.reload()
    wait_for_picture(page)
    assert_present(page)
    second = visit(server.url)
    wait_for_picture(second)
    assert len(session.preview.viewers) >= 2
    frames, encoded = session.frames, session.encoded
    assert_present(page)
    assert_present(second)
    assert session.encoded - encoded <= session.frames - frames + 1, "each picture is encoded once"
    assert page.evaluate("document.querySelectorAll('#streams li').length") == 2


def test_it_fits_a_phone(served: Served, visit: Visit) -> None:
    page = visit(
        served[1].url, viewport={"width": 390, "height": 844}, device_scale_factor=3, is_mobile=True, has_touch=True
    )
    wait_for_picture(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    box = page.locator("#screen").bounding_box()
    assert box["width"] >= 380
    for name in ("pause", "snapshot", "record", "sound", "fullscreen"):
        button = page.locator(f"#{name}").bounding_box()
        assert button["height"] >= 44, name
        assert button["x"] + button["width"] <= 390, name


def test_graph_and_figures_are_told_to_those_who_cannot_see_them(served: Served, visit: Visit) -> None:
    page = visit(served[1].url)
    wait_for_picture(page)
    until(page, "document.getElementById('graph').getAttribute('aria-label').includes('frames per second of 30')")
    unnamed = """
        [...document.querySelectorAll('button, select, [role=slider], canvas')]
            .filter((element) => !element.textContent.trim() && !element.ariaLabel).length"""
    assert page.evaluate(unnamed) == 0
    assert page.evaluate("document.getElementById('graph').width") > 100
