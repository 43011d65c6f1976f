"""Outputs of models that think before they answer: what they think is no part of what they say."""

from __future__ import annotations

import re

_THOUGHT = re.compile("<(/?)think>", re.IGNORECASE)


def without_thought(output: str) -> str:
    """What a model says after its thinking; all of it, where it has not thought aloud.

    A thought that never ends has nothing after it. One that only ends, because the prompt has begun it, counts.

    Example:
        >>> without_thought("<think>They ask about light.</think> Air scatters it.")
        ' Air scatters it.'
        >>> without_thought("<think>They ask about"), without_thought("Air.")
        ('', 'Air.')
    """
    tags = list(_THOUGHT.finditer(output))
    ends = [tag.end() for tag in tags if tag.group(1)]
    if ends:
        return output[ends[0] :]
    return "" if tags else output
