"""Entry point of `lipt-stream`."""

from __future__ import annotations

import signal


def main() -> None:
    """Load the program, which takes seconds because of torch, and run it.

    Ctrl-C while it loads ends the process as it does any other program's, without a traceback.
    """
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    from lipt_stream.cli.process_list import hide_credentials
    from lipt_stream.cli.screen import stand_in_for_closed_streams

    stand_in_for_closed_streams()
    hide_credentials()
    from lipt_stream.cli.main import main as run

    signal.signal(signal.SIGINT, before)
    run()
