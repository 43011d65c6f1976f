"""Writes `docs/collections.md` to standard output."""

import sys

from rankloom.eval.catalog.table import page

sys.stdout.write(page())
