"""Language models for tests that cite sentences about the sky, babble, or die; and what they are asked about."""

import re

from rankloom import Document, Run, Session
from rankloom.corpus import MemoryDocuments
from rankloom.fingerprint import digest
from rankloom.language_model import Completion, LanguageModel

SESSION = Session(offline=True)
DOCUMENTS = [
    Document("d1", "Air scatters the light of the sky. Bread needs yeast. At dusk the sky is red.", "On skies"),
    Document("d2", "Tides follow the moon. The sea rises twice."),
    Document("d3", " "),
    Document("d4", "The sky.  \n The sea."),
]
QUERIES = {"q1": "why is the sky blue", "q2": "sky at dusk"}
_SHOWN = re.compile(r"\[(\d+)\] (.*?)(?= \[\d+\] |\n\n)", re.DOTALL)


def shown(text):
    """The numbered texts of a prompt."""
    context = text[text.index("Context:\n") + len("Context:\n") :]
    return [sentence for _, sentence in _SHOWN.findall(context[: context.index("\n\n") + 2])]


def truth(text):
    """An answer that cites every sentence about the sky; a title is no sentence."""
    about = [number for number, sentence in enumerate(shown(text)) if "sky" in sentence]
    return f"It is so {''.join(f'[{number}]' for number in about)}." if about else "No answer"


class Citer(LanguageModel):
    """Says what is true, or something else."""

    name = "citer"

    def __init__(self, *, says=None, reads=None, fails_after=None, cut=False, greedy=True):
        self.says, self.context_tokens, self.fails_after, self.cut = says, reads, fails_after, cut
        self.knows_room, self.greedy = reads is not None, greedy
        self.prompts = []

    def fingerprint(self):
        return digest("citer")

    def room(self, max_tokens, session):  # noqa: ARG002
        return None if self.context_tokens is None else self.context_tokens - max_tokens

    def generate(self, prompts, *, max_tokens, session):  # noqa: ARG002
        for prompt in prompts:
            if len(self.prompts) == self.fails_after:
                raise ConnectionError("the line is dead")
            self.prompts.append(prompt)
            text = truth(prompt.text) if self.says is None else self.says(prompt.text)
            yield prompt, Completion(text, read=len(prompt.text.split()), written=len(text.split()), cut=self.cut)


def candidates(session=SESSION, documents=DOCUMENTS, queries=QUERIES):
    scores = {document.id: -float(place) for place, document in enumerate(documents)}
    held = MemoryDocuments(documents)
    return Run.from_dict(dict.fromkeys(queries, scores), queries=queries, documents=held, session=session)
