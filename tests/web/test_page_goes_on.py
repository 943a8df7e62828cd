"""The page in a real browser while something fails: connections, packets, tabs that sleep, buffers that are busy."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from clock_session import READ_CLOCK
from watched_page import PATIENCE_SECONDS, PRESENT_MS, STATE, Served, Visit, assert_present, until, wait_for_picture


def test_it_says_that_the_connection_is_lost_and_comes_back(serving: Callable[..., Any], visit: Visit) -> None:
    with serving() as (_, server):
        page = visit(server.url, server_leaves=True)
        wait_for_picture(page)
        port = server.port
    until(page, f"{STATE} === 'Connection lost'")
    assert "Trying again" in page.inner_text("#veil")
    with serving(port=port) as (_, server):
        wait_for_picture(page)
        until(page, f"{STATE} === 'Live'")
        assert_present(page)
    with serving(port=port, token="another token, so that the page is not known any more"):
        until(page, "document.getElementById('veil').textContent.includes('locked out')")


def test_a_damaged_packet_is_got_over(served: Served, visit: Visit) -> None:
    starts: list[str] = []
    fragments: list[bytes] = []

    def damage_one(page: Any) -> None:
        def route(socket: Any) -> None:
            def pass_on(message: str | bytes) -> None:
                if isinstance(message, bytes):
                    fragments.append(message)
                    if len(fragments) == 20:
                        message = b"\0\0\0\x10moof" + b"\xff" * (len(message) - 8)
                elif json.loads(message)["type"] == "picture":
                    starts.append(message)
                socket.send(message)

            socket.connect_to_server().on_message(pass_on)

        page.route_web_socket("**/watch", route)

    page = visit(served[1].url, prepare=damage_one)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(starts) < 2 and time.monotonic() < deadline:
        page.wait_for_timeout(50)
    assert len(starts) == 2, "the page asks for a new start"
    assert_present(page)


def test_a_page_that_slept_comes_back_to_the_present(served: Served, visit: Visit) -> None:
    page = visit(served[1].url)
    wait_for_picture(page)
    devtools = page.context.new_cdp_session(page)
    devtools.send("Page.setWebLifecycleState", {"state": "frozen"})
    time.sleep(3)
    devtools.send("Page.setWebLifecycleState", {"state": "active"})
    assert_present(page)
    until(page, "Number(document.getElementById('slack').textContent) < 700")
    assert all(picture["age"] < PRESENT_MS for picture in page.evaluate(READ_CLOCK, 5))


def test_a_tab_that_nobody_has_looked_at_keeps_nothing(served: Served, visit: Visit) -> None:
    """Chromium opens no source in a tab of the background before its first look at it, which may be next week."""
    page = visit(served[1].url)
    wait_for_picture(page)
    kept, kept_at_last, starts = page.evaluate("""
        async () => {
          const { Player } = await import('/page/player.js');
          let open, starts = 0;
          window.MediaSource = class extends EventTarget {
            static isTypeSupported() { return true; }
            readyState = 'open';
            addEventListener(name, react) { open = react; }
            addSourceBuffer() { return Object.assign(new EventTarget(), { appendBuffer() {} }); }
          };
          URL.createObjectURL = () => '';
          const player = new Player(document.createElement('video'), { broken: () => { starts += 1; } });
          player.start({ mime: 'video/mp4', tail_seconds: 0, sound: false });
          const kept = [];
          for (let number = 0; number < 10000; number++) {
            player.append(new ArrayBuffer(1));
            kept.push(player.pending.length);
          }
          open();
          return [Math.max(...kept), kept.at(-1), starts];
        }""")
    assert kept < 1000
    assert kept_at_last == 0, "what is kept would be hours old"
    assert starts == 1, "the picture begins anew where somebody looks"


def test_what_was_played_is_let_go_once_the_buffer_is_free(served: Served, visit: Visit) -> None:
    """Between the end of an append and the event that tells of it, the next message may have begun another."""
    page = visit(served[1].url)
    wait_for_picture(page)
    removals = page.evaluate("""
        async () => {
          const { Player } = await import('/page/player.js');
          let open, removals = 0;
          const buffer = Object.assign(new EventTarget(), {
            appendBuffer() {},
            remove() {
              if (buffer.updating) throw new Error('still processing');
              removals += 1;
            },
          });
          window.MediaSource = class extends EventTarget {
            static isTypeSupported() { return true; }
            addEventListener(name, react) { open = react; }
            addSourceBuffer() { return buffer; }
          };
          URL.createObjectURL = () => '';
          const buffered = { length: 1, start: () => 0, end: () => 100 };
          const player = new Player(Object.assign(new EventTarget(), { buffered }), {});
          player.start({ mime: 'video/mp4', tail_seconds: 0, sound: false });
          open();
          return [true, false].map((updating) => {
            buffer.updating = updating;
            buffer.dispatchEvent(new Event('updateend'));
            return removals;
          });
        }""")
    assert removals == [0, 1]
