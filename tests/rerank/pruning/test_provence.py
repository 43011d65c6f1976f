"""Provence in each layout against the same model in plain torch, and what any text, splitter and block give."""

import os
import re

import numpy as np
import pytest

from rankloom import Document, Run, ScoreKind, Session
from rankloom.corpus import MemoryDocuments
from rankloom.encoders import sentence_model as sentence_encoders
from rankloom.errors import DataError, UsageError
from rankloom.pipeline import Top
from rankloom.rerank import BiEncoder, CrossEncoder, Provence, split_sentences
from rankloom.testing import StageConformance
from tests.tiny_models import tiny_cross_encoder
from tests.tiny_provence import (
    tiny_byte_bpe,
    tiny_joint_adapter,
    tiny_metaspace,
    tiny_open_provence,
    tiny_provence,
)

SESSION = Session(offline=True, device="cpu")
FOLDER = "RANKLOOM_TEST_PROVENCE"  # where the tests' model is, also for the processes that they start
TEXTS = {
    "sky": "The sky is blue. Bread! Light is blue, why?",
    "moon": "The moon moves the sea. Tide.",
    "bread": "Yeast!",
    "empty": "",
    "long": "The sea. " * 12 + "light " * 60 + ". Blue sky! The moon is light.",
    "same": "The sky is blue. Bread! Light is blue, why?",
}
QUERIES = {"q1": "Why is the sky blue?", "q2": "tide"}
DOCUMENTS = MemoryDocuments(
    [Document(doc_id, text, title="The sea" * (doc_id == "moon")) for doc_id, text in TEXTS.items()]
)


@pytest.fixture(scope="module")
def layouts(tmp_path_factory):
    """Layout -> folder, and a function from tokens to score and probabilities, in plain torch."""
    import torch

    root = tmp_path_factory.mktemp("provence")

    def naver(name, **options):
        folder, model = tiny_provence(root / name, **options)

        def read(ids):
            score, tokens = model(torch.tensor([ids]))
            return float(score[0]), tokens[0].softmax(-1)[:, 1].tolist()

        return folder, read

    def opened(name, **options):
        folder, model, head = tiny_open_provence(root / name, **options)

        def read(ids):
            encoder = model.model if name == "open modern" else model.bert
            types = {} if name == "open modern" else {"token_type_ids": torch.tensor([[0] * (ids.index(3) + 1)
                     + [1] * (len(ids) - ids.index(3) - 1)])}  # fmt: skip
            score = model(torch.tensor([ids]), **types).logits[0, 0].sigmoid()
            if name == "open modern":  # what goes into the last normalisation
                norm, encoder.final_norm = encoder.final_norm, torch.nn.Identity()
            states = encoder(torch.tensor([ids]), **types).last_hidden_state
            if name == "open modern":
                encoder.final_norm = norm
            return float(score), head(states)[0].softmax(-1)[:, 1].tolist()

        return folder, read

    with torch.inference_mode():
        yield {
            "provence": naver("provence"),
            "xprovence": naver("xprovence", multilingual=True, tokenizer=tiny_metaspace),
            "open bert": opened("open bert", prefix=""),
            "open modern": opened("open modern", modern=True, tokenizer=tiny_byte_bpe),
        }


@pytest.fixture(scope="module")
def adapters(tmp_path_factory):
    return tiny_joint_adapter(tmp_path_factory.mktemp("joint"))


@pytest.fixture(scope="module")
def tiny(layouts):
    stage = Provence(str(layouts["provence"][0]))
    stage.warm_up(SESSION)  # held, so that each test need not load the model
    os.environ[FOLDER] = stage.model
    yield stage.model
    assert stage._loaded is not None
    del os.environ[FOLDER]


@pytest.fixture
def batches(monkeypatch):
    """Sizes of the batches that models have read so far."""
    from rankloom.two_heads import TwoHeads

    sizes = []
    forward = TwoHeads.forward

    def counting(self, **features):
        sizes.append(len(features["input_ids"]))
        return forward(self, **features)

    monkeypatch.setattr(TwoHeads, "forward", counting)
    return sizes


def candidates(session=SESSION):
    scores = {doc_id: -float(place) for place, doc_id in enumerate(TEXTS)}
    return Run.from_dict(dict.fromkeys(QUERIES, scores), queries=QUERIES, documents=DOCUMENTS, session=session)


def one(stage, text, query="why is the sky blue", title="", session=SESSION):
    """The one hit of a run, and what is noted of it."""
    run = stage.run(Run.from_documents(query, [Document("d", text, title=title)]), session=session)
    return run["q1"][0], run.ledger.notes


# --- the same as in plain torch ---------------------------------------------------------------------------------


def tokens_by_hand(folder, query, text, *, naver, title=""):
    """Tokens of the question, and of each sentence, by the rules that the layouts' authors give."""
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    starts = [start for start, _ in split_sentences(text)]
    whole = [text[start:end] for start, end in zip(starts, [*starts[1:], len(text)], strict=True)]
    if naver:
        query = " ".join(re.sub(r"[!-/:-@\[-`{-~]", "", query).lower().split())
        whole = [f" {one.strip()}" if place else one.strip() for place, one in enumerate(whole)]
    elif title:
        whole.insert(0, f"{title}\n")
    asked, *sentences = tokenizer([query, *whole], add_special_tokens=False).input_ids
    return asked, sentences


def by_hand(folder, read, query, text, threshold, *, naver):
    """Score, means and decisions of a text that fits."""
    asked, sentences = tokens_by_hand(folder, query, text, naver=naver)
    ids = [2, *asked, 3, *(token for some in sentences for token in some), 3]
    score, tokens = read(ids)
    place, means, decisions = len(asked) + 2, [], []
    for some in sentences:
        own = tokens[place : place + len(some)]
        place += len(some)
        means.append(sum(own) / len(own))
        share = sum(token > threshold for token in own) / len(own)
        decisions.append(share > threshold if naver else means[-1] > threshold)
    return score, means, decisions


@pytest.mark.parametrize("layout", ["provence", "xprovence", "open bert", "open modern"])
def test_a_layout_gives_what_its_authors_code_gives(layouts, layout):
    folder, read = layouts[layout]
    naver = not layout.startswith("open")
    seen = set()
    for threshold in (0.1, 0.3, 0.5, 0.7):
        run = Provence(str(folder), threshold=threshold, title="ignore", max_tokens=64).run(candidates())
        assert run.ranking.kind == (ScoreKind.LOGIT if naver else ScoreKind.PROBABILITY)
        assert np.ptp([hit.score for hit in run["q1"]]) > 0.01
        for hit in [hit for hits in run.values() for hit in hits if hit.doc_id in ("sky", "moon", "bread")]:
            query = hit._list.query.text
            score, means, decisions = by_hand(folder, read, query, hit.text, threshold, naver=naver)
            assert hit.score == pytest.approx(score, abs=1e-4)
            assert [span.probability for span in hit.spans] == pytest.approx(means, abs=1e-4)
            assert [span.kept for span in hit.spans] == decisions
            seen.update(decisions)
    assert seen == {True, False}  # the thresholds tell sentences apart


def open_provence_by_hand(layout, query, text, *, title, max_length):
    """Score and means as OpenProvence's own code comes to them: long sentences in fragments, in as many blocks."""
    folder, read = layout
    asked, sentences = tokens_by_hand(folder, query, text, naver=False, title=title)
    size = max(16, max_length // 2)
    fragments = [
        (place, some[start : start + size])
        for place, some in enumerate(sentences)
        for start in range(0, len(some), size)
    ]
    blocks = [[]]
    for place, tokens in fragments:
        taken = sum(len(one) for _, one in blocks[-1])
        if blocks[-1] and len(asked) + 1 + taken + len(tokens) > max_length - 2:
            blocks.append([])
        blocks[-1].append((place, tokens))
    scores, means = [], {place: [] for place in range(len(sentences))}
    for block in blocks:
        score, probabilities = read([2, *asked, 3, *(token for _, some in block for token in some), 3])
        scores.append(score)
        start = len(asked) + 2
        for place, tokens in block:
            means[place].append(np.mean(probabilities[start : start + len(tokens)]))
            start += len(tokens)
    return max(scores), [float(np.mean(some)) for some in means.values()][bool(title) :]


@pytest.mark.parametrize("layout", ["open bert", "open modern"])
@pytest.mark.parametrize("title", ["", "The sea"])
def test_open_provence_reads_long_sentences_in_pieces_and_titles_with_a_line_break(layouts, layout, title):
    folder, _ = layouts[layout]
    for text in (TEXTS["sky"], TEXTS["long"], "light sky sea " * 30):
        hit, notes = one(Provence(str(folder), max_tokens=48), text, query="why sky", title=title)
        score, means = open_provence_by_hand(layouts[layout], "why sky", text, title=title, max_length=48)
        assert hit.score == pytest.approx(score, abs=1e-4)
        assert [span.probability for span in hit.spans] == pytest.approx(means, abs=1e-4)
        assert "truncated" not in {note.kind for note in notes}


def test_an_adapter_scores_as_the_cross_encoder_of_the_same_weights(adapters):
    folder, cross_encoder, _ = adapters
    joint = Provence(str(folder), threshold=0.5).run(candidates())
    alone = CrossEncoder(str(cross_encoder)).run(candidates())
    for query in QUERIES:
        scores = {hit.doc_id: hit.score for hit in alone[query] if hit.doc_id != "long"}  # which is read in blocks
        assert {hit.doc_id: hit.score for hit in joint[query] if hit.doc_id in scores} == pytest.approx(
            scores, abs=1e-4
        )
    assert np.ptp(list(scores.values())) > 0.01
    assert joint.ranking.kind == alone.ranking.kind == ScoreKind.LOGIT


def test_an_adapter_has_a_tokenizer_of_its_own(adapters):
    """Tokenizers hold how texts are cut; one that two models share would cut texts of one as the other does."""
    stage = Provence(str(adapters[0]))
    stage.warm_up(SESSION)
    found = stage._found(SESSION)
    encoder = sentence_encoders.sentence_model(found.backbone, SESSION, precision="float32", stage="test").model
    assert stage._loaded.model.tokenizer is not encoder.tokenizer


@pytest.mark.parametrize("kind", [Provence, CrossEncoder])
def test_an_adapter_loads_its_backbone_once(tmp_path, monkeypatch, kind):
    loads = []
    load = sentence_encoders.load
    monkeypatch.setattr(sentence_encoders, "load", lambda *given, **more: loads.append(given) or load(*given, **more))
    joint, cross_encoder, _ = tiny_joint_adapter(tmp_path)
    stage = kind(str(joint if kind is Provence else cross_encoder))
    for _ in range(3):
        stage.run(candidates())
    assert len(loads) == 1


@pytest.mark.parametrize("below_last", [False, True])
def test_an_adapter_prunes_as_its_model_says(tmp_path, below_last):
    import torch
    from transformers import AutoTokenizer

    folder, cross_encoder, model = tiny_joint_adapter(tmp_path, below_last=below_last)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "backbone" / "model")
    hits = Provence(str(folder), title="ignore").run(candidates())["q1"]
    alone = {hit.doc_id: hit.score for hit in CrossEncoder(str(cross_encoder)).run(candidates())["q1"]}
    for hit in [one for one in hits if one.doc_id in ("sky", "bread")]:
        with torch.inference_mode():
            found = model(**tokenizer(hits.query.text, hit.text, return_tensors="pt"))
        tokens = found.tokens[0].softmax(-1)[:, 1].tolist()
        sentences = [hit.text[span.start : span.end] for span in hit.spans]
        place = len(tokenizer(hits.query.text).input_ids)
        for span, sentence in zip(hit.spans, sentences, strict=True):
            count = len(tokenizer(sentence, add_special_tokens=False).input_ids)
            assert span.probability == pytest.approx(np.mean(tokens[place : place + count]), abs=1e-4)
            place += count
        assert hit.score == pytest.approx(float(found.scores[0]), abs=1e-4)
        assert hit.score == pytest.approx(alone[hit.doc_id], abs=1e-4)


def test_the_rounding_is_the_models_own_unless_it_is_named(layouts, adapters):
    for folder, own in (
        (layouts["provence"][0], "decision"),
        (layouts["open bert"][0], "probability"),
        (adapters[0], "probability"),
    ):
        apart, reasons = False, {"decision": set(), "probability": set(), "majority": set()}
        for threshold in (0.1, 0.25, 0.4, 0.5, 0.6):
            spans = {
                rounding: Provence(str(folder), threshold=threshold, rounding=rounding).run(candidates()).ranking.spans
                for rounding in (None, *reasons)
            }
            assert spans[None] == spans[own]
            for hit in zip(*spans.values(), strict=True):
                for default, *_, majority in zip(*hit, strict=True):
                    assert (default.start, default.probability) == (majority.start, majority.probability)
            fates = {rounding: [span.kept for hit in some for span in hit] for rounding, some in spans.items()}
            apart |= fates["decision"] != fates["probability"]
            for rounding, told in reasons.items():
                told.update(span.reason for hit in spans[rounding] for span in hit)
        assert apart  # at some threshold the texts tell the rules apart
        assert reasons["probability"] == {"above threshold", "below threshold"}
        assert reasons["decision"] == {"share of tokens above threshold", "share of tokens below threshold"}
        assert reasons["majority"] == {"most tokens above threshold", "most tokens below threshold"}


def test_the_threshold_is_the_models_own_unless_it_is_named(layouts):
    for layout, own in (("provence", 0.1), ("xprovence", 0.3), ("open bert", 0.2)):
        folder = str(layouts[layout][0])
        spans = Provence(folder).run(candidates()).ranking.spans
        assert spans == Provence(folder, threshold=own).run(candidates()).ranking.spans
        others = [Provence(folder, threshold=other).run(candidates()).ranking.spans for other in (0.0, 1.0)]
        assert spans not in others


# --- ranking and pruning ----------------------------------------------------------------------------------------


def test_reranking_and_pruning_can_be_had_alone(tiny):
    both = Provence(tiny).run(candidates())
    ranked = Provence(tiny, prune=False).run(candidates())
    pruned = Provence(tiny, rerank=False).run(candidates())
    assert both.to_dict() == ranked.to_dict()
    assert ranked.ranking.spans is None
    assert pruned.to_dict() == candidates().to_dict()
    assert pruned.ranking.kind == candidates().ranking.kind
    spans = {hit.doc_id: hit.spans for hit in pruned["q1"]}
    assert {hit.doc_id: hit.spans for hit in both["q1"]} == spans  # they move with their hits
    assert both["q1"].doc_ids != pruned["q1"].doc_ids
    ids = both["q1"].doc_ids
    assert ids.index("same") - ids.index("sky") in (1, -1)  # equal texts, equal scores


def test_best_of_a_pipeline(tiny):
    whole = Provence(tiny).run(candidates())
    best = Provence(tiny).top(2).run(candidates())
    assert best["q1"].doc_ids == whole["q1"].doc_ids[:2]
    assert best["q1"][0].spans == whole["q1"][0].spans
    assert isinstance((BiEncoder() >> Provence(tiny)).top(5).stages[-1], Top)


def test_hits_below_the_depth_stay_whole_and_below(tiny):
    run = Provence(tiny, depth=2).run(candidates())
    assert set(run["q1"].doc_ids[:2]) == {"sky", "moon"}
    assert [hit.spans is None for hit in run["q1"]] == [False, False, True, True, True, True]
    assert run["q1"].scored == 2
    assert {note.amount for note in run.ledger.notes if note.kind == "not_reranked"} == {4}


def test_another_threshold_takes_no_second_pass(tiny, batches, tmp_path):
    session = Session(offline=True, device="cpu", cache=tmp_path)
    first = Provence(tiny, threshold=0.5).run(candidates(session))
    del batches[:]
    changes = {"threshold": 0.6, "rounding": "majority", "best": 1, "rerank": False, "aggregate": "first", "depth": 2}
    for name, value in changes.items():
        stage = Provence(tiny, **{"threshold": 0.5, name: value})
        changed = stage.run(candidates(session))
        assert changed.ranking.fingerprint() != first.ranking.fingerprint()
        fresh = Provence(tiny, **{"threshold": 0.5, name: value}).run(candidates())
        if name != "depth":  # other batches, other float noise
            assert changed.ranking.fingerprint() == fresh.ranking.fingerprint()
    stage = Provence(tiny, threshold=0.9)
    del batches[:]
    stage.run(candidates(session))
    assert batches == []
    assert stage._loaded is None  # nor is a model loaded


# --- titles -----------------------------------------------------------------------------------------------------


def test_the_title_of_a_document_is_read_and_is_no_sentence(tiny):
    text = "The sky is blue. Bread!"
    plain, _ = one(Provence(tiny, title="ignore"), text, title="Tide")
    titled, _ = one(Provence(tiny), text, title="Tide")
    joined, _ = one(Provence(tiny), f"Tide {text}")
    assert titled.score != pytest.approx(plain.score, abs=1e-3)
    assert titled.score == pytest.approx(joined.score, abs=1e-4)
    assert [(span.start, span.end) for span in titled.spans] == split_sentences(text)
    assert [span.probability for span in titled.spans] != [span.probability for span in plain.spans]


def test_a_first_sentence_that_is_a_title_is_kept_with_others_and_else_judged_like_them(tiny):
    seen = set()
    sentences = ["The sky is blue.", "Bread!", "Light is blue, why?", "Moon."]
    for turn in range(4):
        text = " ".join(sentences[turn:] + sentences[:turn])
        for threshold in np.linspace(0, 1, 11):
            usual = one(Provence(tiny, threshold=threshold), text)[0]
            titled = one(Provence(tiny, threshold=threshold, title="first_sentence"), text)[0]
            assert titled.score == usual.score
            first, *rest = [span.kept for span in usual.spans]
            assert [span.kept for span in titled.spans] == [first or any(rest), *rest]
            seen.add((first, any(rest)))
    assert seen == {(True, True), (True, False), (False, True), (False, False)}


# --- any text ---------------------------------------------------------------------------------------------------


def test_a_text_that_fits_is_one_block_whatever_the_limit(tiny, batches):
    text = TEXTS["sky"]
    short, long = (one(Provence(tiny, max_tokens=limit), text)[0] for limit in (32, 64))
    assert short.score == pytest.approx(long.score, abs=1e-5)
    assert [one.probability for one in short.spans] == pytest.approx([one.probability for one in long.spans], abs=1e-5)
    assert batches == [1, 1]


def test_a_long_text_is_read_in_blocks_each_with_the_question(tiny):
    sentences = [f"The {word} is {other}." for word in ("sky", "sea", "moon") for other in ("blue", "light", "bread")]
    hit, notes = one(Provence(tiny, max_tokens=24, threshold=0.0), " ".join(sentences))
    assert notes == ()  # nothing was cut
    # Of 24 tokens, 3 are special and 5 the question's: three sentences of 5 tokens are a block.
    blocks = [one(Provence(tiny), " ".join(sentences[start : start + 3]))[0] for start in (0, 3, 6)]
    assert hit.score == pytest.approx(max(block.score for block in blocks), abs=1e-4)
    expected = [span.probability for block in blocks for span in block.spans]
    assert [span.probability for span in hit.spans] == pytest.approx(expected, abs=1e-4)
    first, _ = one(Provence(tiny, max_tokens=24, aggregate="first"), " ".join(sentences))
    assert first.score == pytest.approx(blocks[0].score, abs=1e-4)


def test_where_only_the_first_block_counts_no_other_is_read(tiny, batches, tmp_path):
    session = Session(offline=True, device="cpu", cache=tmp_path)
    text = " ".join(["The sky is blue."] * 9)
    whole, _ = one(Provence(tiny, max_tokens=24, aggregate="first"), text, session=session)
    assert sum(batches) == 3
    stage = Provence(tiny, max_tokens=24, aggregate="first", prune=False)
    for rows in (4, 4):  # nor is it mixed up with what was read whole; the second time it is in the cache
        first, notes = one(stage, text, session=session)
        assert sum(batches) == rows
        assert first.score == pytest.approx(whole.score, abs=1e-5)
        assert first.spans is None
        assert [(note.kind, note.amount) for note in notes] == [("truncated", 6 * 5)]


def test_a_sentence_longer_than_a_block_is_cut_and_noted(tiny):
    stage = Provence(tiny, max_tokens=24, threshold=0, splitter="lines")
    hit, notes = one(stage, "Sky.\n" + "light " * 40 + "\nSea.")
    assert [(note.kind, note.doc_id, note.amount) for note in notes] == [("truncated", "d", 40 - 16)]
    assert len(hit.spans) == 3
    with pytest.raises(DataError, match="'d'"):
        one(stage, "light " * 40, session=Session(offline=True, device="cpu", on_truncate="error"))
    _, notes = one(stage, "Sky.", query="sea " * 40)
    assert [(note.kind, note.amount) for note in notes] == [("truncated", 40 - 19)]


@pytest.mark.parametrize(
    "text", ["", " \n", "Yeast!", "no end", "السماء زرقاء. لماذا؟", "\u200b", "天很热。为什么\uff1f"]
)
def test_short_texts(tiny, text):
    hit, notes = one(Provence(tiny, threshold=1.0), text)
    assert [(span.start, span.end) for span in hit.spans] == split_sentences(text)
    assert (hit.pruned_text, [note.kind for note in notes]) == ("", ["nothing_kept"])
    assert np.isfinite(hit.score)


# --- what is refused --------------------------------------------------------------------------------------------


def test_other_models_are_refused(tmp_path):
    folder = tiny_cross_encoder(tmp_path / "cross-encoder")
    with pytest.raises(DataError, match=r"none that prunes.*BertForSequenceClassification.*CrossEncoder"):
        Provence(str(folder)).run(candidates())


def test_weights_of_another_layout_are_refused(tmp_path):
    from safetensors.torch import load_file, save_file

    for name, change in {
        "lacks token_classifier": lambda weights: weights.pop("token_classifier.weight"),
        "lacks classifier": lambda weights: weights.pop("classifier.weight"),
        "lacks deberta": lambda weights: weights.pop("deberta.encoder.layer.0.output.dense.bias"),
        "holds another.weight besides": lambda weights: weights.update(
            {"another.weight": weights["classifier.bias"] + 1}
        ),
    }.items():
        folder, _ = tiny_provence(tmp_path / name)
        weights = load_file(folder / "model.safetensors")
        change(weights)
        save_file(weights, folder / "model.safetensors")
        with pytest.raises(DataError, match=name):
            Provence(str(folder)).run(candidates())


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        ({"threshold": 1.5}, "threshold is out of range"),
        ({"rounding": "mean"}, "unknown rounding"),
        ({"title": "first"}, "unknown title"),
        ({"aggregate": "mean"}, "unknown aggregate"),
        ({"max_tokens": 3}, "max_tokens is out of range"),
        ({"rerank": False, "prune": False}, "told to do nothing"),
        ({"depth": 0}, "depth is out of range"),
    ],
)
def test_parameters_are_checked(parameters, problem):
    with pytest.raises(UsageError, match=f"provence.*{problem}"):
        Provence("a/model", **parameters)


class TestConformance(StageConformance):
    neutral = frozenset({"batch_size"})

    @pytest.fixture(autouse=True)
    def _model(self, tiny):
        """The model's folder is in the environment."""

    def make_stage(self):
        return Provence(os.environ[FOLDER], depth=3)

    def make_run(self):
        return candidates()
