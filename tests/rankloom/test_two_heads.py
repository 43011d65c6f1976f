"""A transformer with two heads: what the second reads, copies, pickles, threads, and passes that fail."""

import copy
import io
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from transformers import BertForSequenceClassification

from rankloom.two_heads import TwoHeads
from tests.tiny_models import tiny_config

IDS = torch.tensor([[2, 5, 3, 6, 3], [2, 7, 3, 8, 3]])


@pytest.fixture(params=[False, True], ids=["last", "below last"])
def model(request):
    torch.manual_seed(1)
    classifier = BertForSequenceClassification(tiny_config(num_labels=1)).eval()
    layers = classifier.base_model.encoder.layer
    return TwoHeads(classifier, torch.nn.Linear(32, 2), layers[-1] if request.param else None).eval()


def outputs(model, ids=IDS):
    with torch.inference_mode():
        return model(input_ids=ids)


def test_the_second_head_reads_what_it_is_told(model, request):
    found = outputs(model)
    with torch.inference_mode():
        states = model.classifier(input_ids=IDS, output_hidden_states=True).hidden_states
        expected = model.token_head(states[-2 if "below last" in request.node.name else -1])
    torch.testing.assert_close(found.tokens, expected)


def test_a_copy_stands_by_itself(model):
    twin = copy.deepcopy(model)
    before = outputs(model)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.add_(0.1)
    assert not torch.equal(outputs(twin).tokens, before.tokens)
    assert torch.equal(outputs(model).tokens, before.tokens)
    del model
    assert outputs(twin).tokens.shape == (2, 5, 2)


def test_it_can_be_saved_whole(model):
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    again = torch.load(file, weights_only=False)
    assert torch.equal(outputs(again).tokens, outputs(model).tokens)


def test_threads_do_not_mix_states(model):
    expected = [outputs(model, row[None]).tokens for row in IDS]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda place: outputs(model, IDS[place % 2][None]).tokens, range(40)))
    assert all(torch.equal(one, expected[place % 2]) for place, one in enumerate(found))


def test_a_pass_that_fails_leaves_nothing_behind(model):
    def failing(*_):
        raise RuntimeError("no memory")

    handle = model.classifier.classifier.register_forward_hook(failing)  # behind what the second head reads
    with pytest.raises(RuntimeError, match="no memory"):
        outputs(model)
    assert model._states == {}
    handle.remove()
    assert outputs(model).scores.shape == (2,)
    assert model._states == {}
