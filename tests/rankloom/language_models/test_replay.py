"""Recordings of language models: answered from, made, and gone on with."""

import gzip
import json
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from rankloom import Session
from rankloom.errors import DataError, NotFoundError, UsageError
from rankloom.fingerprint import digest
from rankloom.language_model import Completion, LanguageModel, Prompt, complete
from rankloom.language_models import Recorder, Replay
from rankloom.language_models.transcript import read_transcript, transcript_line

SAID = {
    Prompt("why is the sky blue"): Completion("Air scatters blue light.", 5, 4),
    Prompt("why is the sky blue", sample=1): Completion("Rayleigh.", 5, 1, cut=True),
    Prompt("why is the sky blue", system="be brief"): Completion("Air."),
    Prompt("half a pair \ud83d \u5929"): Completion("\ud83d\n"),
}


class Counts(LanguageModel):
    """Says how often it was asked before."""

    def __init__(self, fail_after=99, name="counts"):
        self.asked, self.fail_after, self.name = [], fail_after, name

    def fingerprint(self):
        return digest(self.name)

    def generate(self, prompts, *, max_tokens, session):
        for prompt in prompts:
            if len(self.asked) == self.fail_after:
                raise ConnectionError("the line is dead")
            self.asked.append(prompt)
            yield prompt, Completion(f"answer {len(self.asked)}", 3, max_tokens, cut=session is None)


def written(path, said=None):
    path.write_text("".join(transcript_line(*one) for one in (said or SAID).items()), encoding="utf-8")
    return str(path)


def asked(model, prompts, session=None):
    return complete(model, list(prompts), max_tokens=9, session=session or Session(), stage="test").completions


class TestReplay:
    def test_what_was_said_is_said_again(self, tmp_path):
        model = Replay(written(tmp_path / "said.jsonl"))
        assert asked(model, SAID) == list(SAID.values())
        assert model.name == Replay.named_by({"path": model.path}) == "said.jsonl"
        assert asked(pickle.loads(pickle.dumps(model)), SAID) == list(SAID.values())

    def test_files_of_others(self, tmp_path):
        line = json.dumps({"prompt": "a", "completion": "b", "qid": 7, "model": "vicuna"})
        with gzip.open(tmp_path / "said.jsonl.gz", "wt") as file:
            file.write(f"\ufeff{line}\n\n{line}\n")
        assert asked(Replay(str(tmp_path / "said.jsonl.gz")), [Prompt("a")]) == [Completion("b")]

    def test_the_fingerprint_is_that_of_what_was_said(self, tmp_path):
        first = Replay(written(tmp_path / "one.jsonl")).fingerprint()
        turned = dict(reversed(SAID.items()))
        assert Replay(written(tmp_path / "two.jsonl", turned)).fingerprint() == first
        other = {**SAID, Prompt("tea"): Completion("A drink.")}
        assert Replay(written(tmp_path / "three.jsonl", other)).fingerprint() != first

    @pytest.mark.parametrize(
        ("prompt", "problem"),
        [
            (Prompt("why is the sea blue"), r"from character 12 of its text on .* 'ky blue' instead of 'ea blue'"),
            (
                Prompt("why is the sky blue", system="be bold"),
                r"from character 4 of its system on .* 'rief' instead of",
            ),
            (Prompt("why is the sky blue", sample=5), r"holds sample \d of the prompt, not sample 5"),
        ],
    )
    def test_a_missing_prompt_is_shown_beside_the_nearest(self, tmp_path, prompt, problem):
        with pytest.raises(DataError, match=problem):
            asked(Replay(written(tmp_path / "said.jsonl")), [prompt])

    def test_an_empty_transcript(self, tmp_path):
        (tmp_path / "none.jsonl").write_text("")
        with pytest.raises(DataError, match="holds no prompt"):
            asked(Replay(str(tmp_path / "none.jsonl")), [Prompt("a")])

    @pytest.mark.parametrize(
        ("line", "problem"),
        [
            ("{", "line 2: malformed JSON"),
            ("[]", "line 2: not a JSON object"),
            ('{"prompt": "a"}', "line 2: 'completion' is no text"),
            ('{"prompt": 1, "completion": "b"}', "line 2: 'prompt' is no text"),
            ('{"prompt": "a", "completion": "b", "sample": "0"}', "line 2: 'sample' is of another type"),
            ('{"prompt": "a", "completion": "b", "cut": 1}', "line 2: 'cut' is of another type"),
            ('{"prompt": "why", "completion": "other"}', "line 2: it answers a prompt differently"),
        ],
    )
    def test_lines_that_can_not_be_read(self, tmp_path, line, problem):
        path = tmp_path / "said.jsonl"
        path.write_text(f'{{"prompt": "why", "completion": "so"}}\n{line}\n')
        with pytest.raises(DataError, match=problem):
            Replay(str(path)).fingerprint()

    def test_a_file_that_is_not_there(self):
        with pytest.raises(NotFoundError, match=r"no such file; got 'nowhere\.jsonl'"):
            Replay("nowhere.jsonl").fingerprint()


class TestRecorder:
    def test_what_was_recorded_is_replayed(self, tmp_path):
        path = str(tmp_path / "new" / "said.jsonl")
        prompts = [Prompt("a"), Prompt("b", system="be brief"), Prompt("a", sample=1)]
        said = asked(Recorder(path, Counts()), prompts)
        assert asked(Replay(path), prompts) == said
        line = json.loads((tmp_path / "new" / "said.jsonl").read_text().splitlines()[0])
        assert line.pop("made_by")
        assert line == {"prompt": "a", "completion": "answer 1", "read": 3, "written": 9, "model": "counts"}

    def test_it_goes_on_where_it_was_stopped(self, tmp_path):
        path, prompts = tmp_path / "said.jsonl", [Prompt(letter) for letter in "abcd"]
        with pytest.raises(ConnectionError):
            asked(Recorder(str(path), Counts(fail_after=2)), prompts)
        with path.open("a") as file:
            file.write('{"prompt": "c", "compl')  # killed while it wrote
        model = Counts()
        said = asked(Recorder(str(path), model), prompts)
        assert [prompt.text for prompt in model.asked] == ["c", "d"]
        assert [one.text for one in said] == ["answer 1", "answer 2", "answer 1", "answer 2"]
        assert len(read_transcript(path, stage="test")) == 4

    def test_a_last_line_without_its_end_stays(self, tmp_path):
        path = tmp_path / "said.jsonl"
        path.write_text('{"prompt": "a", "completion": "by hand"}')
        said = asked(Recorder(str(path), Counts()), [Prompt("a"), Prompt("b")])
        assert [one.text for one in said] == ["by hand", "answer 1"]
        assert len(read_transcript(path, stage="test")) == 2

    def test_a_new_path_records_what_the_cache_knows(self, tmp_path):
        session, model = Session(cache=tmp_path), Counts()
        asked(model, [Prompt("a")], session)
        asked(Recorder(str(tmp_path / "one.jsonl"), model), [Prompt("a")], session)
        asked(Recorder(str(tmp_path / "two.jsonl"), model), [Prompt("a")], session)
        assert len(model.asked) == 3
        assert (tmp_path / "two.jsonl").exists()

    @pytest.mark.parametrize("change", ["model", "limit", "seed"])
    def test_what_another_has_said_is_not_passed_on(self, tmp_path, change):
        path = str(tmp_path / "said.jsonl")
        asked(Recorder(path, Counts()), [Prompt("a")])
        model = Counts(name="other" if change == "model" else "counts")
        limit, session = 10 if change == "limit" else 9, Session(seed=8 if change == "seed" else 7)
        with pytest.raises(DataError, match=r"said\.jsonl holds an answer of counts .*under another path"):
            complete(Recorder(path, model), [Prompt("a")], max_tokens=limit, session=session, stage="test")
        complete(Recorder(path, model), [Prompt("b")], max_tokens=limit, session=session, stage="test")
        assert [prompt.text for prompt in model.asked] == ["b"]

    def test_what_the_transcript_answers_is_not_charged_for(self, tmp_path):
        recorder = Recorder(str(tmp_path / "said.jsonl"), Counts())
        asked(recorder, [Prompt("a")])
        done = complete(recorder, [Prompt("a"), Prompt("b")], max_tokens=9, session=Session(), stage="test")
        assert (done.cached, done.calls, done.tokens) == (1, 1, 12)
        assert done.completions[0].text == "answer 1"

    def test_side_by_side_the_first_answer_counts(self, tmp_path):
        path, both = tmp_path / "said.jsonl", threading.Barrier(2)

        class Draws(Counts):
            def __init__(self, text):
                super().__init__(name="draws")
                self.text = text

            def generate(self, prompts, *, max_tokens, session):
                both.wait(10)  # until neither finds anything in the file
                for number, prompt in enumerate(prompts):
                    yield prompt, Completion(f"{self.text} {number}", 1, max_tokens, cut=session is None)

        prompts = [Prompt(str(number)) for number in range(50)]
        recorders = [Recorder(str(path), Draws(text * 9000)) for text in ("x", "y")]  # longer than files buffer
        with ThreadPoolExecutor(2) as pool:
            one, other = pool.map(lambda recorder: asked(recorder, prompts), recorders)
        assert one == other == asked(Replay(str(path)), prompts)
        assert len(path.read_text().splitlines()) == 50

    def test_what_can_not_be_recorded(self, tmp_path):
        with pytest.raises(UsageError, match="not a language model"):
            Recorder("said.jsonl", "gpt")
        with pytest.raises(UsageError, match="plain text"):
            Recorder("said.jsonl.gz", Counts())
        (tmp_path / "file").write_text("")
        with pytest.raises(UsageError, match="can not be written"):
            asked(Recorder(str(tmp_path / "file" / "said.jsonl"), Counts()), [Prompt("a")])
