"""The command line. `main` is the console script `kdray`."""

from kdray.cli.main import main

__all__ = ["main"]
