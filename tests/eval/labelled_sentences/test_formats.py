"""Every format of labelled sentences, in small files made here: what is read, and what is refused."""

import json
from dataclasses import replace

import pytest

from rankloom.errors import DataError, NotFoundError, UsageError
from rankloom.eval.labelled_sentences import (
    LabelledText,
    find_labelled,
    read_labelled,
    read_labelled_noted,
    write_labelled,
)
from rankloom.eval.labelled_sentences.trecqa import printed


def lines(records):
    return "".join(json.dumps(record) + "\n" for record in records)


def read(path, split=None):
    return read_labelled(find_labelled(str(path), split))


def by_question(texts):
    """Question id -> the relevant sentences of its texts, without spaces around them."""
    found = {}
    for text in texts:
        assert text.text == "".join(text.sentences)
        assert [text.text[start:end] for start, end in text.offsets()] == [
            text.sentences[place].strip() for place in text.relevant
        ]
        found.setdefault(text.query_id, []).extend(text.sentences[place].strip() for place in text.relevant)
    return found


SKY = {"split": "train", "claim_id": 1, "claim": "Sky is blue.", "doc_id": 7, "rationale": [1]}
RATIONALES = [
    SKY | {"sentences": ["A.  \n", "B."]},
    SKY | {"rationale": [0], "sentences": ["A.  \n", "B."]},
    SKY | {"doc_id": 8, "rationale": [0], "sentences": ["C.", "D. "]},
    SKY | {"split": "validation", "claim_id": 2, "claim": "Bread.", "sentences": ["A.", " B."]},
]


def test_scifact(tmp_path):
    path = tmp_path / "scifact-rationales.jsonl"
    path.write_text(lines(RATIONALES))
    texts = read(path, "train")
    assert [(text.query_id, text.doc_id, text.text, text.relevant) for text in texts] == [
        ("1", "7", "A. B.", (0, 1)),  # of both rationales
        ("1", "8", "C. D.", (0,)),
    ]
    assert by_question(read(path)) == by_question(read(f"{path}/validation")) == {"2": ["B."]}
    assert find_labelled(str(path)).format.tested == ("scifact/test",)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rationale": [2]}, r"line 2: there is no sentence 2 among 2"),
        ({"rationale": [-1]}, r"line 2: there is no sentence -1"),
        ({"rationale": ["1"]}, r"line 2: there is no sentence '1'"),
        ({"rationale": None}, r"line 2: .*not iterable"),
        ({"split": "test"}, r"line 2: the split is 'test'"),
        ({"sentences": "A. B."}, r"line 2: the sentences are no list of strings"),
        ({"sentences": ["A.", 3]}, r"line 2: the sentences are no list of strings"),
        ({"sentences": ["A.", "Z."]}, r"line 2: .*'7' reads otherwise in an earlier record"),
        ({"claim": "  "}, r"line 2: the question is blank"),
        ({"claim": "Another."}, r"line 2: the question '1' .* reads otherwise"),
    ],
)
def test_a_malformed_line_is_named(tmp_path, change, message):
    path = tmp_path / "scifact-rationales.jsonl"
    path.write_text(lines([RATIONALES[0], RATIONALES[0] | change]))
    with pytest.raises(DataError, match=rf"scifact-rationales\.jsonl {message}"):
        read(path, "train")


def test_a_missing_field_is_named(tmp_path):
    path = tmp_path / "fool-me-twice-x.jsonl"
    path.write_text('{"id": 1, "text": "?", "gold_evidence": []}\n')
    with pytest.raises(DataError, match=r"line 1: there is no 'retrieved_evidence'.*wikipedia_page"):
        read(path)


def section(number, question, answers=(0,), candidates=("One. ", "Two. ")):
    return {
        "article": f"Article {number // 2}",
        "section": f"S{number}",
        "question": question,
        "answers": list(answers),
        "candidates": list(candidates),
    }


def test_selqa(tmp_path):
    path = tmp_path / "selqa-some.json"
    records = [section(number, f"Why {number}?") for number in range(20)]
    records.append(section(3, "why  3?", [1]))
    records.append(section(4, "Other?", [2], ["One.", " ", "Two.", "\n"]))
    path.write_text(json.dumps(records))
    splits = {split: find_labelled(f"{path}/{split}") for split in ("test", "validation", "train")}
    articles, found, notes = {}, {}, []
    for split, file in splits.items():
        texts, own = read_labelled_noted(file)
        articles[split] = {text.title for text in texts}
        found |= by_question(texts)
        notes += own
    assert {split: len(titles) for split, titles in articles.items()} == {"test": 5, "validation": 1, "train": 4}
    assert len(set.union(*articles.values())) == 10
    assert found == {str(number): ["One."] for number in range(1, 21)} | {"4": ["One.", "Two."], "22": ["Two."]}
    assert [(note.kind, note.query_id, note.doc_id, note.amount) for note in notes] == [
        ("skipped_record", "22", "Article_2#S4", 2)
    ]
    assert read(path) == read(path, "test")
    path.write_text(json.dumps([*records, section(1, "?", [9])]))
    with pytest.raises(DataError, match=r"record 23: there is no sentence 9 among 2"):
        [read(path, split) for split in splits]
    path.write_text('{"no": "array"}')
    with pytest.raises(DataError, match="no JSON array"):
        read(path)


def test_fool_me_twice(tmp_path):
    evidence = [{"text": f"Sentence {number}."} for number in range(9)]
    claims = [
        {"id": f"c{number}", "text": "Claim.", "wikipedia_page": "Page", "gold_evidence": [evidence[0]],
         "retrieved_evidence": [*evidence, evidence[3]]}
        for number in range(40)
    ]  # fmt: skip
    path = tmp_path / "fool-me-twice.jsonl"
    path.write_text(lines(claims))
    texts = read(path)
    assert by_question(texts) == {f"c{number}": ["Sentence 0."] for number in range(40)}
    assert {text.title for text in texts} == {"Page"}
    assert all(len(text.sentences) == 9 for text in texts)  # the one that stands twice is one
    assert len({text.relevant for text in texts}) > 5  # the gold sentence stands anywhere


def test_hotpotqa(tmp_path):
    question = {
        "_id": "h1",
        "question": "Which?",
        "context": [["A a", ["One.", " Two.", ""]], ["B", ["Three."]], ["C", [" "]]],
        "supporting_facts": [["A a", 1], ["A a", 0]],
    }
    path = tmp_path / "hotpotqa_x.json"
    path.write_text(json.dumps([question]))
    texts, notes = read_labelled_noted(find_labelled(str(path)))
    assert [(text.doc_id, text.text, text.relevant) for text in texts] == [
        ("A_a", "One. Two.", (0, 1)),
        ("B", "Three.", ()),
    ]
    assert [(note.doc_id, note.detail) for note in notes] == [
        ("A_a", "blank sentences"),
        ("C", "blank sentences"),
        ("C", "a text without sentences"),
    ]
    for change, message in (
        ({"supporting_facts": [["D", 0]]}, "no paragraph 'D'"),
        ({"supporting_facts": [["B", 1]]}, "no sentence 1 among 1"),
        ({"context": [["A a", ["One."]], ["A a", ["Two."]]]}, "same title"),
        ({"supporting_facts": [["A"]]}, "unpack"),
    ):
        path.write_text(json.dumps([question, question | change]))
        with pytest.raises(DataError, match=rf"record 2: .*{message}"):
            read(path)


TREC = """<QApairs id='1.1'>
<question>
Who\tis\tMs\t.\tRoe\t?
WP\tVBZ
</question>
<positive>
Ms\t.\tRoe\t&\tCo\t.
NNP
Roe\t

</positive>
<negative>
``\tNo\t,\t''\the\tsaid\t.
RB
</negative>
</QApairs>
<QApairs id='1.2'>
<question>
Why\t?
</question>
</QApairs>
"""


def test_trecqa(tmp_path):
    path = tmp_path / "trecqa-x.xml"
    path.write_text(TREC)
    texts, notes = read_labelled_noted(find_labelled(str(path)))
    assert by_question(texts) == {"1.1": ["Ms. Roe & Co."]}
    assert set(texts[0].sentences) | {f"{one} " for one in texts[0].sentences} >= {"Ms. Roe & Co. ", '"No," he said. '}
    assert texts[0].question == "Who is Ms. Roe?"
    assert [(note.query_id, note.detail) for note in notes] == [("1.2", "a text without sentences")]
    path.write_text(TREC.replace("negative", "positive"))
    assert by_question(read(path)) == {"1.1": ['"No," he said.', "Ms. Roe & Co."]}
    assert read(path, "clean") == []
    path.write_text(TREC)
    assert read(path, "clean") == texts


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("</positive>\n", "", r"line 6: '<positive>' does not belong here"),
        ("<negative>", "<neutral>", r"line 12: '<neutral>' does not belong here"),
        ("</QApairs>\n<QApairs id='1.2'>", "", r"line 1: there are 2 questions"),
        ("id='1.2'", "id='1.1'", r"line 17: the id '1\.1' stands twice"),
        ("id='1.2'", "", r"line 17: '<QApairs >' does not belong here"),
        ("<QApairs id='1.1'>", "words", r"line 1: 'words' does not belong here"),
        ("</question>\n</QApairs>\n", "</question>\n", r"line 17: .* has no end"),
        ("Who\tis\tMs\t.\tRoe\t?", "", r"line 1: the question is blank"),
    ],
)
def test_trecqa_that_is_damaged(tmp_path, old, new, message):
    path = tmp_path / "trecqa-x.xml"
    assert old in TREC
    path.write_text(TREC.replace(old, new, 1))
    with pytest.raises(DataError, match=rf"trecqa-x\.xml {message}"):
        read(path)


def test_tokens_are_printed_as_usual():
    for tokens, text in (
        ("It 's the U.S . Army 's -LRB- big -RRB- base .", "It's the U.S. Army's (big) base."),
        ("`` I do n't , '' he said ; `` why ? ''", '"I don\'t," he said; "why?"'),
        ("the five -page primer , $ 5 , 20 %", "the five-page primer, $5, 20%"),
        ("in the '60s ` so '", "in the '60s 'so'"),
    ):
        assert printed(tokens.split()) == text


def squad(path):
    """Ten articles of two paragraphs, of which the answers are `blue` and, over two sentences, `Yes. No`."""
    articles = []
    for number in range(10):
        asked = [
            {"id": f"a{number}", "question": f"Which {number}?", "answers": [{"text": "blue", "answer_start": 15}]},
            {"id": f"b{number}", "question": f"What {number}?", "answers": [{"text": "gone", "answer_start": 0}]},
        ]
        context = f"Sky {number} is old. It is blue here. Bread needs yeast."
        more = [
            {"id": f"c{number}", "question": f"Both {number}?", "answers": [{"text": "air. Sea", "answer_start": 5}]}
        ]
        paragraphs = [{"context": context, "qas": asked}, {"context": "  There is air. Sea is wet. ", "qas": more}]
        articles.append({"title": f"T{number}", "paragraphs": paragraphs})
    path.write_text(json.dumps({"data": articles}))
    return path


def test_articles(tmp_path):
    path = squad(tmp_path / "some.json")
    for split, count in (("test", 5), ("validation", 1), ("train", 4)):
        texts, notes = read_labelled_noted(find_labelled(f"{path}/{split}"))
        assert len({text.doc_id for text in texts}) == count
        for query_id, relevant in by_question(texts).items():
            assert relevant == (["It is blue here."] if query_id[0] == "a" else ["There is air.", "Sea is wet."])
        assert len(texts) == 2 * count
        assert {note.detail for note in notes} == {"no answer can be found in the article"}
        assert [note.query_id[0] for note in notes] == ["b"] * count


def test_own_files_come_back(tmp_path):
    path = squad(tmp_path / "some.json")
    texts = read(path)
    written = write_labelled(tmp_path / "silver.labelled.jsonl", texts)
    assert read(written) == texts
    with pytest.raises(UsageError, match=r"write_labelled.*silver\.jsonl.*ends in \.labelled\.jsonl"):
        write_labelled(tmp_path / "silver.jsonl", texts)
    record = {"query_id": "1", "question": "?", "doc_id": "d", "title": "", "sentences": ["A. ", " "], "relevant": []}
    written.write_text(json.dumps(record))
    with pytest.raises(DataError, match=r"line 1: a sentence is blank"):
        read(written)


def test_a_file_stays_until_another_is_written_whole(tmp_path):
    sky = LabelledText("q1", "Why?", "d1", "", ("Half a pair: \ud83d. ", "Blå."), (0,))
    written = write_labelled(tmp_path / "own.labelled.jsonl", [sky])
    assert read(written) == [sky]
    before = written.read_bytes()
    assert before.isascii()

    def broken():
        yield replace(sky, query_id="q2")
        raise RuntimeError("the model is gone")

    with pytest.raises(RuntimeError, match="the model is gone"):
        write_labelled(written, broken())
    assert written.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [written.name]


def test_names(tmp_path, monkeypatch):
    (tmp_path / "sentences").mkdir()
    (tmp_path / "qa").mkdir()
    (tmp_path / "sentences" / "trecqa-x.xml").write_text(TREC)
    squad(tmp_path / "qa" / "some.json")
    monkeypatch.setenv("RANKLOOM_DATA", str(tmp_path))
    write_labelled(tmp_path / "own.labelled.jsonl", [])
    assert find_labelled("own.labelled.jsonl").name == "own.labelled.jsonl"
    assert find_labelled("trecqa-x.xml").name == "trecqa-x.xml/raw"
    assert find_labelled("sentences/trecqa-x.xml").path == tmp_path / "sentences" / "trecqa-x.xml"
    assert find_labelled("some.json").name == "some.json/test"
    assert find_labelled("some.json", "train").split == find_labelled("some.json/train").split == "train"
    for name in ("mini", "scifact/test", "nowhere.json", "trecqa-y.xml", "some.jsonl", "some.txt"):
        assert find_labelled(name) is None
    with pytest.raises(NotFoundError, match=r"own.labelled.jsonl has no split.*'train'.*no split: the file is one"):
        find_labelled("own.labelled.jsonl/train")
    with pytest.raises(NotFoundError, match=r"trecqa-x.xml has no split.*'train'.*raw, clean"):
        find_labelled("trecqa-x.xml/train")
    with pytest.raises(NotFoundError, match=r"no split.*'dev'.*test, validation, train"):
        find_labelled("some.json/dev")
