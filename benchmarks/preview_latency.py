"""How old is a picture when the browser shows it? Glass to glass of the preview, read off the page's own canvas.

A session stamps every picture with the time of its capture, repeats its pixels in place of the network, and encodes it
as the product does; headless Chromium shows it on this same machine. So this is what the preview adds to the network's
own time: composing, encoding, WebSocket, decoding, the page's buffer, drawing.

    python benchmarks/preview_latency.py --out benchmarks/results/preview_latency.json
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Browser, sync_playwright
from results_file import write_result

from lipt_stream.web.preview import Preview
from lipt_stream.web.server import Server

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "web"))
from clock_session import FPS, READ_CLOCK, SCALE, ClockSession

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
SETTLING_MS = 4000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sources", nargs="+", default=["320x180", "640x360"], help="sizes before upscaling")
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3, help="the median round is reported, and all of them")
    parser.add_argument("--note", default="", help="what must be said of how it was run")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        version = browser.version
        results = [
            measured(browser, source, sound, arguments.seconds, arguments.rounds)
            for source in arguments.sources
            for sound in (False, True)
        ]
        browser.close()
    chromium = f"Chromium {version}, headless, no GPU"
    write_result(arguments.out, browser=chromium, fps=FPS, note=arguments.note, results=results)


def measured(browser: Browser, source: str, sound: bool, seconds: int, rounds: int) -> dict[str, Any]:
    width, height = map(int, source.split("x"))
    all_rounds = [one_round(browser, width, height, sound, seconds) for _ in range(rounds)]
    p50, p95 = (statistics.median(one[key] for one in all_rounds) for key in ("p50_ms", "p95_ms"))
    result = f"{width * SCALE}x{height * SCALE}"
    print(f"{source} to {result}, sound {'on' if sound else 'off'}: p50 {p50:.0f} ms, p95 {p95:.0f} ms", flush=True)
    for one in all_rounds:
        print("   ", ", ".join(f"{key} {value}" for key, value in one.items()), flush=True)
    return {"source": source, "result": result, "sound": sound, "p50_ms": p50, "p95_ms": p95, "rounds": all_rounds}


def one_round(browser: Browser, width: int, height: int, sound: bool, seconds: int) -> dict[str, float]:
    preview = Preview()
    session = ClockSession(preview, width=width, height=height, sound=sound)
    server = Server(session, preview, port=0, token="only-for-this-benchmark")
    server.start()
    session.start()
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    try:
        page.goto(server.url)
        while not page.evaluate("document.getElementById('veil').hidden"):
            page.wait_for_timeout(10)
        first_picture_ms = page.evaluate("performance.now()")  # since the page was asked for
        if sound:
            page.click("#sound")
        page.wait_for_timeout(SETTLING_MS)
        before = session.encoded
        seen = page.evaluate(READ_CLOCK, int(seconds * FPS * 0.95))
        made = session.encoded - before
    finally:
        page.close()
        session.stop()
        server.stop()
    ages = np.array([picture["age"] for picture in seen])
    return {
        "p50_ms": int(np.percentile(ages, 50)),
        "p95_ms": int(np.percentile(ages, 95)),
        "most_ms": int(ages.max()),
        "first_picture_ms": round(first_picture_ms),
        "shown_share": round(len({picture["time"] for picture in seen}) / made, 3),
        "agree_share": sum(picture["agree"] for picture in seen) / len(seen),
        "load_average": round(os.getloadavg()[0], 1),
    }


if __name__ == "__main__":
    main()
