"""Reductions: many token vectors of a text to fewer, so that late interaction takes less room and time.

`reductions` reads a word such as `C8x32`; a `Reduction` works on tensors, inside training too; `reduce_token_vectors`
works on texts that are encoded already. Not for: fewer dimensions, or fewer bytes for a number (token indexes do that).
"""

from rankloom.reduction.post_hoc import reduce_token_vectors
from rankloom.reduction.reduction import Reduction, Reductions, Unreduced
from rankloom.reduction.words import FORMS, reductions

__all__ = ["FORMS", "Reduction", "Reductions", "Unreduced", "reduce_token_vectors", "reductions"]
