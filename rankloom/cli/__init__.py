"""The command line: the outermost layer, which may import everything and which nothing imports.

One file a verb. `main` maps errors to exit codes: 0 done, 2 usage, 3 missing extra, 4 missing file or model, 5 invalid
configuration or data, 6 failure of a model or engine, 7 finished in part.
"""

from rankloom.cli.main import main

__all__ = ["main"]
