"""`python -m rankloom`: the command line."""

import sys

from rankloom.cli import main

if __name__ == "__main__":
    sys.exit(main())
