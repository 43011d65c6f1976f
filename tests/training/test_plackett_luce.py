"""The policy gradient against the enumeration of all rankings, in exact expectation and in the mean of many draws."""

from itertools import permutations, product

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from rankloom.errors import UsageError  # noqa: E402
from rankloom.training.plackett_luce import log_probability, ndcg, pg_rank, sampled_rankings  # noqa: E402


def every_ranking(documents):
    return torch.tensor(list(permutations(range(documents))))[:, None, :]


def drawn(documents, seed):
    generator = np.random.default_rng(seed)
    scores = torch.tensor(generator.normal(size=(1, documents)), dtype=torch.float64, requires_grad=True)
    return scores, torch.tensor(generator.integers(0, 4, (1, documents)), dtype=torch.float64)


def exact_gradient(scores, gains, k):
    """That of the expected nDCG@k, by all rankings."""
    rankings = every_ranking(scores.shape[1])
    expected = (log_probability(scores, rankings).exp() * ndcg(gains, rankings, k)).sum()
    return torch.autograd.grad(expected, scores)[0]


@pytest.mark.parametrize("documents", [1, 2, 4, 6])
def test_probabilities_of_all_rankings_add_up_to_one(documents):
    scores, _ = drawn(documents, documents)
    assert log_probability(scores, every_ranking(documents)).exp().sum().item() == pytest.approx(1, abs=1e-12)


def test_a_probability_is_the_product_of_draws_without_replacement():
    scores, _ = drawn(5, 3)
    weights, ranking = scores.detach().exp()[0], [3, 0, 4, 2, 1]
    expected, left = 0.0, float(weights.sum())
    for place in ranking:
        expected += float(torch.log(weights[place] / left))
        left -= float(weights[place])
    assert log_probability(scores, torch.tensor([[ranking]])).item() == pytest.approx(expected, abs=1e-12)


def test_the_first_k_places_have_the_probability_of_all_rankings_that_begin_so():
    scores, _ = drawn(5, 4)
    rankings = every_ranking(5)
    alike = (rankings[:, 0, :2] == torch.tensor([4, 1])).all(-1)
    whole = log_probability(scores, rankings[alike]).exp().sum()
    assert log_probability(scores, rankings[alike][:1], 2).exp().item() == pytest.approx(whole.item(), abs=1e-12)


def test_ndcg_is_that_of_ir_measures():
    import ir_measures

    _, gains = drawn(6, 5)
    for ranking in every_ranking(6)[::97]:
        qrels = [ir_measures.Qrel("q", str(place), int(gain)) for place, gain in enumerate(gains[0])]
        run = [ir_measures.ScoredDoc("q", str(int(place)), -float(rank)) for rank, place in enumerate(ranking[0])]
        for k in (1, 3, 10):
            expected = ir_measures.calc_aggregate([ir_measures.nDCG @ k], qrels, run)[ir_measures.nDCG @ k]
            assert ndcg(gains, ranking[None], k).item() == pytest.approx(expected, abs=1e-6)


def test_a_query_without_a_relevant_document_is_worth_nothing():
    scores = torch.zeros(1, 3, requires_grad=True)
    loss = pg_rank(scores, torch.zeros(1, 3))
    loss.backward()
    assert (loss.item(), scores.grad.abs().sum().item()) == (0, 0)


@pytest.mark.parametrize(("documents", "k"), [(2, 1), (3, 2), (3, 10)])
def test_the_estimate_is_unbiased(documents, k, monkeypatch):
    """Its expectation over all pairs of samples is the gradient by enumeration."""
    from rankloom.training import plackett_luce

    scores, gains = drawn(documents, 7)
    rankings, mean = every_ranking(documents), torch.zeros_like(scores)
    chances = log_probability(scores, rankings).exp().detach().squeeze(-1)
    for first, second in product(range(len(rankings)), repeat=2):
        pair = rankings[[first, second]]
        monkeypatch.setattr(plackett_luce, "sampled_rankings", lambda _, __, pair=pair: pair)
        (gradient,) = torch.autograd.grad(pg_rank(scores, gains, samples=2, k=k), scores)
        mean += chances[first] * chances[second] * gradient
    torch.testing.assert_close(-mean, exact_gradient(scores, gains, k), atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("documents", [2, 4, 6])
def test_many_samples_come_close_to_the_gradient(documents):
    torch.manual_seed(1)
    scores, gains = drawn(documents, 11)
    (gradient,) = torch.autograd.grad(pg_rank(scores, gains, samples=40_000, k=3), scores)
    torch.testing.assert_close(-gradient, exact_gradient(scores, gains, 3), atol=0.01, rtol=0)


def test_samples_have_the_policy_s_frequencies():
    torch.manual_seed(2)
    scores, _ = drawn(3, 13)
    found = sampled_rankings(scores, 60_000)[:, 0]
    for ranking in every_ranking(3):
        share = (found == ranking[0]).all(-1).double().mean().item()
        assert share == pytest.approx(log_probability(scores, ranking[None]).exp().item(), abs=0.01)


def test_one_sample_is_refused():
    with pytest.raises(UsageError, match="samples"):
        pg_rank(torch.zeros(1, 3), torch.zeros(1, 3), samples=1)


def test_the_loss_is_minus_the_mean_ndcg_and_descent_raises_it():
    torch.manual_seed(3)
    scores = torch.zeros(4, 6, requires_grad=True)
    gains = torch.eye(6)[:4]
    optimiser = torch.optim.SGD([scores], lr=5.0)
    before = pg_rank(scores, gains).item()
    for _ in range(200):
        optimiser.zero_grad()
        pg_rank(scores, gains).backward()
        optimiser.step()
    assert scores.argmax(-1).tolist() == [0, 1, 2, 3]
    assert -1 <= pg_rank(scores, gains).item() < before
