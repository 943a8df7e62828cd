"""`python -m lipt_stream` is `lipt-stream`."""

from lipt_stream.cli.main import main

if __name__ == "__main__":
    main()
