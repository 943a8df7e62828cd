"""`python -m lipt_stream` is `lipt-stream`."""

from lipt_stream.cli.entry import main

if __name__ == "__main__":
    main()
