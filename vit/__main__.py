"""`python -m vit` is the command `vit`."""

import sys

from vit.cli import main

if __name__ == "__main__":
    sys.exit(main())
