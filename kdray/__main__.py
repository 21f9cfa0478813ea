"""`python -m kdray` is `kdray`."""

import sys

from kdray.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
