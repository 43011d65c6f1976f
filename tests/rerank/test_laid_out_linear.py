"""Linear layers for oneDNN give what torch's give, or are not there."""

import pytest
import torch
from torch import nn

from rankloom.encoders.precision import native_bfloat16
from rankloom.rerank.laid_out_linear import LaidOutLinear, lay_out


def model(dtype=torch.float32):
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(48, 96), nn.Sequential(nn.GELU(), nn.Linear(96, 8, bias=False))).to(dtype).eval()


@pytest.mark.parametrize(("dtype", "off"), [(torch.float32, 1e-5), (torch.bfloat16, 0.02)])
@pytest.mark.parametrize("shape", [(1, 48), (700, 48), (3, 5, 48), (2, 1, 48)])
def test_what_layers_give_stays_the_same(dtype, off, shape):
    if not torch.backends.mkldnn.is_available() or (dtype == torch.bfloat16 and not native_bfloat16("cpu", stage="x")):
        pytest.skip("torch has no oneDNN on this processor, or none for bfloat16")
    plain, laid_out = model(dtype), model(dtype)
    lay_out(laid_out)
    assert [type(one) for one in laid_out.modules() if hasattr(one, "weight")] == [LaidOutLinear, LaidOutLinear]
    rows = torch.randn(shape).to(dtype)
    with torch.inference_mode():
        expected = plain(rows)
        torch.testing.assert_close(laid_out(rows), expected, atol=off, rtol=0)
        assert float(expected.std()) > 0.1


@pytest.mark.parametrize("error", [AttributeError, RuntimeError])
def test_where_it_can_not_be_done_layers_stay(monkeypatch, error):
    def refuse(*_):
        raise error("not here")

    monkeypatch.setattr(LaidOutLinear, "__init__", refuse)
    plain = model()
    lay_out(plain)
    assert not [one for one in plain.modules() if isinstance(one, LaidOutLinear)]


def test_an_operator_of_lower_precision_is_not_taken(monkeypatch):
    def keep(self, linear):
        nn.Module.__init__(self)
        self.linear = linear

    def in_bfloat16(self, rows):
        weight, bias = self.linear.weight.bfloat16(), self.linear.bias
        return nn.functional.linear(rows.bfloat16(), weight, None if bias is None else bias.bfloat16()).to(rows.dtype)

    monkeypatch.setattr(LaidOutLinear, "__init__", keep)
    monkeypatch.setattr(LaidOutLinear, "forward", in_bfloat16)
    for dtype, taken in ((torch.float32, 0), (torch.bfloat16, 2)):
        plain = model(dtype)
        lay_out(plain)
        assert len([one for one in plain.modules() if isinstance(one, LaidOutLinear)]) == taken


def test_an_operator_that_gives_other_numbers_is_not_taken(monkeypatch):
    monkeypatch.setattr(LaidOutLinear, "forward", lambda _, rows: rows.sum(-1, keepdim=True))
    plain = model()
    lay_out(plain)
    assert not [one for one in plain.modules() if isinstance(one, LaidOutLinear)]
