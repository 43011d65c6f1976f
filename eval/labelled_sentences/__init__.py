"""Texts whose sentences are labelled: which of them help to answer a question.

Such files are what context pruners are trained on and measured with. Each format has a file here; all give the same
records, so that training, collections and measures need not know where labels come from.
"""

from rankloom.eval.labelled_sentences.collection import (
    LabelledCollection,
    LaidLabels,
    lay_labels,
    read_labelled_collection,
)
from rankloom.eval.labelled_sentences.files import LabelledFile, find_labelled, read_labelled, read_labelled_noted
from rankloom.eval.labelled_sentences.own import write_labelled
from rankloom.eval.labelled_sentences.text import LabelledText

__all__ = [
    "LabelledCollection",
    "LabelledFile",
    "LabelledText",
    "LaidLabels",
    "find_labelled",
    "lay_labels",
    "read_labelled",
    "read_labelled_collection",
    "read_labelled_noted",
    "write_labelled",
]
