"""``python -m sknumerai.cli`` is the command ``sknumerai``."""

import sys

from sknumerai.cli import main

if __name__ == "__main__":  # not again in the worker processes of --n-jobs
    sys.exit(main())
