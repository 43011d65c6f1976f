"""The catalogue of test collections: sources, splits, checksums, licences and quirks, as data.

What belongs here: facts, each with its origin named in the YAML file that holds it, and how to look them up. What does
not: reading files (`rankloom.eval.layouts`) and fetching them (`rankloom.eval.downloads`).
"""

from rankloom.eval.catalog.lookup import Wanted, catalog, records_of, relative, relative_of_folder, wanted
from rankloom.eval.catalog.record import CollectionRecord, FileRecord, SplitRecord

__all__ = [
    "CollectionRecord",
    "FileRecord",
    "SplitRecord",
    "Wanted",
    "catalog",
    "records_of",
    "relative",
    "relative_of_folder",
    "wanted",
]
