"""An audit of a result against its source: see audit.py."""
