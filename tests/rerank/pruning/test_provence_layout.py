"""What a model's files say: whose layout it is under any of its names, thresholds, and how much it reads at once."""

import json

import pytest

from rankloom import Document, Run, Session
from rankloom.errors import DataError, UsageError
from rankloom.models import resolve_model
from rankloom.rerank import Provence
from rankloom.rerank.pruning.provence_layout import positions, read_layout
from tests.tiny_provence import tiny_joint_adapter, tiny_open_provence, tiny_provence

SESSION = Session(offline=True, device="cpu")


def changed(folder, **fields):
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))
    return folder


def layout(folder, **options):
    return read_layout(resolve_model(str(folder), offline=True, stage="test"), stage="test", **options)


@pytest.mark.parametrize(
    ("said", "name"),
    [
        (("Provence", "Provence"), "provence"),
        (("deberta-v2", "DebertaV2ForCompressionAndRanking"), "provence"),
        (("XProvence", "XProvence"), "xprovence"),
        (("xprovence", "XProvenceForSequenceClassification"), "xprovence"),
        (("xlm-roberta", "XLMRobertaForCompressionAndRanking"), "xprovence"),
        (("open_provence", "OpenProvenceForSequenceClassification"), "open_provence"),
        (("modernbert", "OpenProvenceForTokenClassification"), "open_provence"),
        (("open_provence", "OpenProvenceModel"), "open_provence"),
    ],
)
def test_a_layout_is_known_by_any_of_its_names(tmp_path, said, name):
    folder = changed(tiny_provence(tmp_path / "model")[0], model_type=said[0], architectures=[said[1]])
    assert layout(folder).name == name


def test_other_models_are_none(tmp_path):
    folder = changed(tiny_provence(tmp_path / "model")[0], model_type="bert", architectures=["BertForMaskedLM"])
    with pytest.raises(DataError, match=r"none that prunes.*bert, BertForMaskedLM"):
        layout(folder)


def test_a_model_under_the_name_that_servers_know_runs(tmp_path):
    run = Run.from_documents("why", [Document("d", "The sky. Blue.")])
    folder, _ = tiny_provence(tmp_path / "model", multilingual=True)
    expected = Provence(str(folder)).run(run)["q1"][0]
    changed(folder, model_type="xprovence", architectures=["XProvenceForSequenceClassification"])
    found = Provence(str(folder)).run(run)["q1"][0]
    assert (found.score, found.spans) == (expected.score, expected.spans)


def test_open_provence_says_its_own_threshold_and_reads_long_sentences_in_pieces(tmp_path):
    folder, *_ = tiny_open_provence(tmp_path / "model")
    found = layout(changed(folder, default_threadshold=0.25))
    assert (found.threshold, found.max_tokens, found.longest) == (0.25, 48, 24)
    assert layout(changed(folder, default_threadshold=None)).threshold == 0.1
    assert layout(folder, max_tokens=20).longest == 16


def test_how_many_scores_there_are_the_weights_say(tmp_path):
    folder, *_ = tiny_open_provence(tmp_path / "model")
    run = Run.from_documents("why", [Document("d", "The sky. Blue.")])
    expected = Provence(str(folder)).run(run)["q1"][0].score
    assert Provence(str(changed(folder, num_labels=2))).run(run)["q1"][0].score == expected


def test_positions_begin_behind_the_padding_in_roberta_alone():
    assert positions({"model_type": "bert", "max_position_embeddings": 512, "pad_token_id": 0}) == 512
    assert positions({"model_type": "xlm-roberta", "max_position_embeddings": 514, "pad_token_id": 1}) == 512


@pytest.mark.parametrize("kind", ["provence", "xprovence", "open", "adapter"])
def test_more_tokens_than_positions_are_refused(tmp_path, kind):
    folder, most = {
        "provence": lambda: (tiny_provence(tmp_path / "model")[0], 66),
        "xprovence": lambda: (tiny_provence(tmp_path / "model", multilingual=True)[0], 65),
        "open": lambda: (tiny_open_provence(tmp_path / "model")[0], 64),
        "adapter": lambda: (tiny_joint_adapter(tmp_path)[0], 64),
    }[kind]()
    text = "The sky is blue. " * 60
    run = Run.from_documents("why", [Document("d", text)], session=SESSION)
    assert Provence(str(folder), max_tokens=most, threshold=0).run(run)["q1"][0].pruned_text == text.strip()
    with pytest.raises(UsageError, match=f"provence.*positions.*max_tokens={most + 1}.*at most {most}"):
        Provence(str(folder), max_tokens=most + 1).run(run)


def test_a_model_without_a_fast_tokenizer_is_refused(tmp_path):
    folder, _ = tiny_provence(tmp_path / "model")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(DataError, match=r"without a fast tokenizer.*tokenizer\.json"):
        Provence(str(folder)).warm_up(SESSION)
