"""Chat over a folder of documents, with citations that open at the sentence.

    python examples/chat_over_folder.py my-documents                      # offline: answers quote a sentence
    python examples/chat_over_folder.py my-documents --url http://localhost:11434/v1 --model qwen3:8b

See the README beside this file.
"""

from __future__ import annotations

import argparse
import html
import sys
import webbrowser
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from folder_texts import Folder, read_folder

from rankloom import Corpus, Document, Pipeline, RankloomError, Session
from rankloom.eval.answer_text import token_f1
from rankloom.eval.answers import Answer, answer
from rankloom.eval.extractive import BestSentence
from rankloom.language_model import LanguageModel
from rankloom.language_models import OpenAICompatible
from rankloom.rerank import BiEncoder, SentencePruner
from rankloom.retrieval import BM25

PASSAGES = 5  # that an answer may rest on
_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{question}</title>
<style>body {{ font: 1.1rem/1.5 sans-serif; max-width: 42rem; margin: 2rem auto; padding: 0 1rem }}
pre {{ font: inherit; white-space: pre-wrap }} :root {{ color-scheme: light dark }}</style>
<h1>{question}</h1>
<p>{answer}</p>
{citations}
</html>
"""


@dataclass(frozen=True, slots=True)
class Cited:
    """A sentence that an answer rests on.

    Args:
        number: The `[n]` of its passage.
        passage: The passage it stands in.
        start: Its first character in the passage.
        end: One past its last character.
        link: Opens its file at the sentence, or at its page.
    """

    number: int
    passage: Document
    start: int
    end: int
    link: str

    @property
    def text(self) -> str:
        """The sentence."""
        return self.passage.text[self.start : self.end]

    @property
    def place(self) -> str:
        """The file, and the page if it has pages."""
        page = self.passage.metadata["page"]
        return f"{self.passage.metadata['file']}, page {page}" if page else str(self.passage.metadata["file"])


class Chat:
    """Answers questions from the passages of a folder. Each question stands for itself.

    Args:
        folder: Where the documents are.
        passages: What was read of them; at least one.
        model: Who answers.
        session: Where results are remembered, and whether the network may be used.
    """

    def __init__(self, folder: Path, passages: list[Document], model: LanguageModel, session: Session) -> None:
        self._folder, self._model, self._session = folder, model, session
        self._passages = {passage.id: passage for passage in passages}
        bm25 = BM25.for_corpus(Corpus.of(passages), session)
        self._pipe: Pipeline = bm25.top(50) >> BiEncoder().top(PASSAGES) >> SentencePruner()

    def ask(self, question: str) -> tuple[Answer, list[Cited], list[str]]:
        """The answer, the sentences that it cites, and what happened on the way (texts that were cut, and the like).

        Raises:
            RankloomError: The question is empty, or the model can not be asked.
        """
        given = answer(self._pipe.run([question], session=self._session), self._model, session=self._session)
        said = given.answers["q1"]
        notes = [f"{kind}: {count}" for kind, count in given.ledger.counts().items()]
        return said, list(self._cited(said)), notes

    def _cited(self, said: Answer) -> Iterator[Cited]:
        """Of each passage that is cited, the sentence nearest to the answer, among those that the model was shown."""
        for citation in said.cited:
            passage = self._passages[citation.doc_id]
            start, end = max(citation.spans, key=lambda span: token_f1(passage.text[slice(*span)], [said.text]))
            yield Cited(citation.number, passage, start, end, link_to(self._folder, passage, passage.text[start:end]))


def link_to(folder: Path, passage: Document, sentence: str) -> str:
    """A link at a PDF's page, or at the text itself (https://wicg.github.io/scroll-to-text-fragment)."""
    address = (folder / passage.metadata["file"]).resolve().as_uri()
    if passage.metadata["page"]:
        return f"{address}#page={passage.metadata['page']}"
    lines = [line.strip() for line in sentence.splitlines()]  # a browser finds a text of several lines by its ends
    ends = dict.fromkeys([lines[0], lines[-1]])
    return f"{address}#:~:text={','.join(quote(end, safe='').replace('-', '%2D') for end in ends)}"


def page_of(question: str, said: str, cited: Iterable[Cited]) -> str:
    """An answer as a page: each number leads to the sentence in its file, and the passage is shown below."""
    cited = list(cited)
    numbers = "".join(f'<a href="{html.escape(one.link)}">[{one.number}]</a>' for one in cited)
    shown = []
    for one in cited:
        before, after = one.passage.text[: one.start], one.passage.text[one.end :]
        marked = f"{html.escape(before)}<mark>{html.escape(one.text)}</mark>{html.escape(after)}"
        head = f'<a href="{html.escape(one.link)}">[{one.number}] {html.escape(one.place)}</a>'
        shown.append(f"<h2>{head}</h2>\n<pre>{marked}</pre>")
    text = f"{html.escape(said)} {numbers}"
    return _PAGE.format(question=html.escape(question), answer=text, citations="\n".join(shown))


def main(arguments: list[str] | None = None) -> int:
    """Read the folder, then answer the questions given, or those typed. Returns 1 if one could not be answered."""
    parser = _parser()
    told = parser.parse_args(arguments)
    if told.url and not told.model:
        parser.error("--url needs --model, the endpoint's name for the model")
    folder = Path(told.folder)
    if not folder.is_dir():
        print(f"there is no folder {folder}", file=sys.stderr)
        return 1
    state = Path(told.state) if told.state else folder / ".rankloom"
    read = read_folder(folder, state / "texts.json")
    _tell(read)
    if not read.passages:
        return 1
    model: LanguageModel = BestSentence()
    if told.url:
        model = OpenAICompatible(told.model, url=told.url, key=told.key)
    session = Session(cache=state / "cache", offline=None if told.url else True)
    chat = Chat(folder, read.passages, model, session)
    failed = 0
    for number, question in enumerate(told.ask or _typed(), start=1):
        try:
            said, cited, notes = chat.ask(question)
        except RankloomError as error:
            print(error, file=sys.stderr)
            failed = 1
            continue
        text = said.text or "No answer in these documents."
        if cited and not told.url:  # it only quotes; a heading above the sentence is no part of the answer
            text = " ".join(cited[0].text.split())
        page = state / "answers" / f"{number}.html"
        page.parent.mkdir(exist_ok=True)
        page.write_text(page_of(question, text, cited), encoding="utf-8")
        print(text)
        for one in cited:
            print(f"  [{one.number}] {one.place}: {' '.join(one.text.split())}\n      {one.link}")
        if said.text and not cited:
            print("  (this answer cites no passage: nothing says that the documents hold it)")
        print(f"  {page.resolve().as_uri()}", *([f"({', '.join(notes)})"] if notes else []))
        if told.open:
            webbrowser.open(page.resolve().as_uri())
    return failed


def _tell(read: Folder) -> None:
    """What was read, and what was not."""
    print(f"{len(read.passages)} passages; {len(read.read)} files read, {len(read.unchanged)} unchanged")
    for name, problem in read.problems.items():
        print(f"  not read: {name}: {problem}")


def _typed() -> Iterator[str]:
    """Questions from the keyboard, until the input ends."""
    while True:
        try:
            question = input("> ").strip()
        except (EOFError, KeyboardInterrupt):
            return
        if question:
            yield question


def _parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description="Chat over a folder of documents; each question stands for itself.")
    parser.add_argument("folder", help="PDF, HTML, Markdown and plain text")
    parser.add_argument("--ask", action="append", metavar="QUESTION", help="instead of typing; may be repeated")
    parser.add_argument("--url", help="an endpoint that speaks OpenAI's protocol, such as http://localhost:11434/v1")
    parser.add_argument("--model", help="the endpoint's name for the model")
    parser.add_argument("--key", metavar="VARIABLE", help="the environment variable that holds the endpoint's key")
    parser.add_argument("--state", help="where texts, results and answers are kept; by default FOLDER/.rankloom")
    parser.add_argument("--open", action="store_true", help="show each answer in the browser")
    return parser


if __name__ == "__main__":
    sys.exit(main())
