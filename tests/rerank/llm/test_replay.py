"""Published listwise runs, from the recorded outputs of their models (RANKLOOM_DATA)."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from rankloom import Run, Session
from rankloom.errors import NotFoundError
from rankloom.eval import load_collection, sources
from rankloom.eval.candidates import read_candidates
from rankloom.language_model import Completion, Prompt
from rankloom.language_models import Replay
from rankloom.language_models.transcript import transcript_line
from rankloom.rerank.llm import Listwise, load_template
from rankloom.rerank.llm.parsing import read_order
from rankloom.rerank.sorting import Answered, Windows, sort_hits


def data() -> Path | None:
    try:
        folder = sources.data_folder() / "llm_transcripts"
    except NotFoundError:
        return None
    return folder if folder.is_dir() else None


pytestmark = pytest.mark.skipif(data() is None, reason="RANKLOOM_DATA holds no llm_transcripts")


def records(name: str) -> list[dict[str, str]]:
    """Prompts and responses, one for each window, the windows of a query from the bottom."""
    folder = data()
    assert folder is not None
    return [json.loads(line) for line in (folder / f"dl19.{name}.jsonl").read_text().splitlines()]


def published(name: str) -> dict[str, list[str]]:
    """Query id -> document ids in the published order."""
    folder = data()
    assert folder is not None
    found: dict[str, list[str]] = {}
    for line in (folder / f"dl19.{name}.run.txt").read_text().splitlines():
        query_id, _, doc_id, *_ = line.split()
        found.setdefault(query_id, []).append(doc_id)
    return found


@pytest.fixture(scope="module")
def first_stage() -> Run:
    folder = data()
    assert folder is not None
    return read_candidates(folder.parent / "candidates" / "dl19" / "bm25.jsonl", session=Session(offline=True))


def replayed(lines: list[tuple[Prompt, str]], folder: Path) -> Replay:
    path = folder / "transcript.jsonl"
    path.write_text("".join(transcript_line(prompt, Completion(text)) for prompt, text in lines))
    return Replay(str(path))


def ndcg(run: Run) -> float:
    """nDCG@10 of all 43 queries."""
    return load_collection("candidates/dl19/bm25").evaluate(run, ["nDCG@10"]).means["nDCG@10"]


def test_rank_vicuna_on_a_hundred(first_stage: Run, tmp_path: Path) -> None:
    lines = []
    for record in records("rankvicuna.top100"):
        system, _, text = record["prompt"].partition(" USER: ")  # the chat format of Vicuna
        lines.append((Prompt(text, system), record["response"]))
    model = replayed(lines, tmp_path)
    run = Listwise(model, prompt="rank_vicuna").run(first_stage)  # a prompt that differs anywhere is not found
    wanted = published("rankvicuna.top100")
    assert {query_id: list(hits.doc_ids) for query_id, hits in run.items()} == wanted
    assert len(wanted) == 43
    assert run.ledger.costs[-1].calls == 387
    assert round(ndcg(run), 4) == 0.6665


def test_rank_vicuna_on_twenty(first_stage: Run, tmp_path: Path) -> None:
    template = load_template("rank_vicuna")
    lines = []
    for number, record in enumerate(records("rankvicuna.top20")):
        hits = list(first_stage[first_stage.queries[number].id])[:20]
        prompt = template.showing(first_stage.queries[number].text, [hit.text for hit in hits])
        # the recorder mended characters in passages; all but the passages is the same
        asked = record["prompt"].partition(" USER: ")[2].removesuffix(" ASSISTANT:")
        assert [line for line in asked.split("\n") if line[:1] != "["] == [
            line for line in prompt.text.split("\n") if line[:1] != "["
        ]
        lines.append((prompt, record["response"]))
    run = Listwise(replayed(lines, tmp_path), prompt="rank_vicuna", depth=20).run(first_stage)
    assert {query_id: list(hits.doc_ids) for query_id, hits in run.items()} == published("rankvicuna.top20")
    assert round(ndcg(run), 4) == 0.6164


@pytest.mark.parametrize("name", ["vicuna-7b.top100", "vicuna-13b.top100"])
def test_malformed_outputs_are_read_and_every_repair_is_counted(first_stage: Run, name: str) -> None:
    responses = [record["response"] for record in records(name)]
    repairs: Counter[str] = Counter()

    class Recorded:
        """Answers from the records, which stand query by query."""

        calls_each = 1

        def __init__(self) -> None:
            self.asked = Counter[int]()

        def answer(self, asked):  # type: ignore[no-untyped-def]
            answers = []
            for one in asked:
                response = responses[one.query * 9 + self.asked[one.query]]
                self.asked[one.query] += 1
                found = read_order(response, len(one.question.members))
                repairs.update(found.repairs if found.order else {"unreadable": 1})
                answers.append(tuple(one.question.members[place] for place in found.order))
            return Answered(answers)

    sortings = [Windows(100) for _ in first_stage.queries]
    outcome = sort_hits(sortings, Recorded(), stage="test")
    assert outcome.questions == len(responses) == 387
    assert all(sorted(sorting.order()) == list(range(100)) for sorting in sortings)
    # those in brackets, and one behind `>` that the limit has cut; most begin with `1.`, which is no passage
    in_brackets = r"(?:\[|> (?=[0-9]+$))([0-9]+)(?:\]|$)"
    numbers = [[int(part) for part in re.findall(in_brackets if "[" in one else "[0-9]+", one)] for one in responses]
    known = [[number for number in own if 1 <= number <= 20] for own in numbers]
    assert repairs["unreadable"] == sum(not own for own in known)
    assert repairs["unknown"] == sum(len(own) - len(right) for own, right in zip(numbers, known, strict=True) if right)
    assert repairs["repeated"] == sum(len(own) - len(set(own)) for own in known)
    assert repairs["missing"] == sum(20 - len(set(own)) for own in known if own)
