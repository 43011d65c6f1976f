"""Language models for tests of feedback: transparent, the same everywhere, and they say what they were asked."""

from rankloom.fingerprint import digest
from rankloom.language_model import Completion, LanguageModel


class Writer(LanguageModel):
    """Says, to each prompt, what the first key that stands in it leads to; its last line and sample if none does."""

    name = "writer-1"

    def __init__(self, said=None, *, greedy=False, cut=()):
        self.said, self.greedy, self.cut = dict(said or {}), greedy, tuple(cut)
        self.asked = []
        self.loaded = False

    def fingerprint(self):
        return digest("writer", self.said, self.greedy, self.cut)

    def load(self, session):
        self.loaded = session is not None

    def close(self):
        self.loaded = False

    def generate(self, prompts, *, max_tokens, session):
        assert session is not None
        self.asked += prompts
        for prompt in prompts:
            key = next((key for key in self.said if key in prompt.text), None)
            lines = prompt.text.splitlines() or [""]
            text = f"{lines[-1]} {prompt.sample}" if key is None else self.said[key]
            written = len(text.split())
            yield (
                prompt,
                Completion(text, len(prompt.text.split()), written, cut=key in self.cut or written > max_tokens),
            )
