"""Language models for tests: they read grades in passages, and may babble, contradict or die."""

import re

from rankloom import Document, Run, Session
from rankloom.corpus import MemoryDocuments
from rankloom.fingerprint import digest
from rankloom.language_model import Completion, LanguageModel, Prompt
from rankloom.likelihood import Likelihood, ScoringModel

SESSION = Session(offline=True, device="cpu")
_SHOWN = re.compile(r"^(?:Passage (\w+): \"|(\[\d+\]) )[^\n]*?grade (\d+)", re.MULTILINE)


class Grader(LanguageModel):
    """Knows that the passage of the highest grade is best; says so in the form that is asked for."""

    name = "grader"

    def __init__(self, *, says=None, fails_after=None):
        self.says, self.fails_after = says, fails_after  # prompt -> output, instead of the truth
        self.prompts = []

    def fingerprint(self):
        return digest("grader")

    def generate(self, prompts, *, max_tokens, session):  # noqa: ARG002
        for prompt in prompts:
            if len(self.prompts) == self.fails_after:
                raise ConnectionError("the line is dead")
            self.prompts.append(prompt)
            text = self.truth(prompt) if self.says is None else self.says(prompt)
            yield prompt, Completion(text, read=100, written=len(text))

    def truth(self, prompt):
        ranked = shown(prompt)
        if "[] > []" in prompt.text:
            return " > ".join(label for label, _ in ranked)
        if "<answer>" in prompt.text:
            return f"<think>The best is plain.</think> <answer>{ranked[0][0]}</answer>"
        return f"Passage {ranked[0][0]}"


def shown(prompt):
    """Labels and grades of the passages of a prompt, the best first."""
    found = [(letter or number, int(grade)) for letter, number, grade in _SHOWN.findall(prompt.text)]
    return sorted(found, key=lambda one: -one[1])


def graded_run(*lists, session=SESSION):
    """A run of queries whose hits have these grades, in the order of their ranks."""
    documents = [
        Document(f"q{number}d{place:03}", f"a passage of grade {grade}")
        for number, grades in enumerate(lists)
        for place, grade in enumerate(grades)
    ]
    scores = {
        f"q{number}": {f"q{number}d{place:03}": -float(place) for place in range(len(grades))}
        for number, grades in enumerate(lists)
    }
    queries = {name: f"query {name}" for name in scores}
    return Run.from_dict(scores, queries=queries, documents=MemoryDocuments(documents), session=session)


def grades(run, query_id):
    """The grades of a query's hits, in their order."""
    return [int(hit.text.rsplit(" ", 1)[1]) for hit in run[query_id]]


class Scorer(Grader, ScoringModel):
    """Also tells likelihoods: of the higher grades for `Yes`, high numbers, any query and a passage's own label."""

    name = "scorer"

    def __init__(self):
        super().__init__()
        self.asked = []

    def fingerprint(self):
        return digest("scorer")

    def log_likelihoods(self, asked, *, session):  # noqa: ARG002
        for one in asked:
            self.asked.append(one)
            yield one, Likelihood(self.told(one.prompt.text)(one.text), read=len(one.prompt.text))

    def told(self, text):
        """Continuation -> log probability, for a prompt that shows some passages."""
        if "Passage B" in text:
            by_label = {f"Passage {label}": grade for label, grade in _of(text)}
            return lambda continuation: by_label[continuation] - 50.0
        grade = int((re.search(r"grade (\d+)", text) or ["", 0])[1])
        liked = {"No": -3.0, **{str(number): grade * number / 10.0 - 5.0 for number in range(5)}}
        return lambda continuation: liked.get(continuation, grade / 10.0 - 3.0)


def _of(text):
    """Labels and grades of a prompt's passages."""
    return shown(Prompt(text))
