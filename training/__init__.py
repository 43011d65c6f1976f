"""Training: what a stage learns from, and the losses that no library has.

What belongs here: builders of training data, losses, students, recipes. What does not: stages; training writes a model
folder that a stage then loads by its path. The loops are those of sentence-transformers (extra `train`), whose losses
take the ones of this folder as parts; modules with losses import torch, this one does not.
"""

from rankloom.training.distillation import Example, ensemble, read_examples, write_examples
from rankloom.training.pages import Pages
from rankloom.training.pretraining_config import PageKeys
from rankloom.training.pretraining_tasks import PseudoPair, body_first, inverse_cloze, link_prediction
from rankloom.training.teachers import teach

__all__ = [
    "Example",
    "PageKeys",
    "Pages",
    "PseudoPair",
    "body_first",
    "ensemble",
    "inverse_cloze",
    "link_prediction",
    "read_examples",
    "teach",
    "write_examples",
]
