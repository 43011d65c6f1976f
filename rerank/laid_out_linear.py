"""Linear layers whose weights lie as oneDNN multiplies by them, which spares laying them out in each call.

In float32 torch multiplies by MKL, which is slower on some processors (by a tenth on AMD's), and in bfloat16 by oneDNN,
which lays out the weights anew for each product. The operators have no public name, but torch's compiler calls them in
every model that it freezes; where they are missing or refuse, layers stay as they are.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

_ROWS = 512  # the layout suits products with about so many
_TRIED = 4  # rows that are multiplied both ways before a layer is taken
#: How far the two may differ, in units of what they give; less than a product of lower precision does.
_OFF = {torch.float32: 1e-4, torch.bfloat16: 5e-2}


def lay_out(module: Any) -> None:
    """Replace the linear layers inside a module; on processors and versions of torch that can not do it, none.

    Args:
        module: In evaluation mode, on the processor.
    """
    for name, child in module.named_children():
        if type(child) is nn.Linear:
            if (replaced := _laid_out(child)) is not None:
                setattr(module, name, replaced)
        else:
            lay_out(child)


class LaidOutLinear(nn.Module):
    """A linear layer that is not trained any more.

    Args:
        linear: The layer whose weights it takes; they are copied, its bias is not.

    Raises:
        RuntimeError: oneDNN can not do it on this processor.
        AttributeError: This version of torch does not offer it.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), _ROWS)  # noqa: SLF001  # see above
        self.bias = None if linear.bias is None else linear.bias.detach()

    def forward(self, rows: Tensor) -> Tensor:
        """As `torch.nn.Linear`, without gradients."""
        multiply = torch.ops.mkldnn._linear_pointwise  # noqa: SLF001  # see above
        output: Tensor = multiply(rows, self.weight, self.bias, "none", [], "")
        return output


@torch.inference_mode()
def _laid_out(linear: nn.Linear) -> LaidOutLinear | None:
    """A layer that gives what another gives, if this machine can have one."""
    weight = linear.weight
    sample = torch.randn((_TRIED, linear.in_features), generator=torch.Generator().manual_seed(0)).to(weight.dtype)
    try:
        layer = LaidOutLinear(linear)
        found, expected = layer(sample), linear(sample)
    except (AttributeError, RuntimeError, TypeError):
        return None
    off = _OFF.get(weight.dtype, 0.0) * float(expected.float().square().mean().sqrt())
    return layer if torch.allclose(found.float(), expected.float(), rtol=0, atol=off) else None
