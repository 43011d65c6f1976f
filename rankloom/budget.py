"""What may be spent: a limit of calls, tokens, seconds or money for stages whose models are asked many times.

A stage that asks a language model looks at the session's budget before each batch and counts what the batch took.
When a limit is reached it returns the best that it has so far (feedback leaves a query as it is), and says so in the
ledger (`unfinished`).
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

from rankloom.errors import UsageError
from rankloom.ledger import Cost, Note


class Priced(Protocol):
    """Tells what a cost comes to in money, as `rankloom.eval.costs.Price` does."""

    def of(self, cost: Cost) -> float:
        """The money."""
        ...


class Budget:
    """Limits of what a session's stages may spend together; what the cache answers costs nothing.

    A limit of calls is never passed. The others are known only after a batch: it may pass them, by its own cost. A
    model that counts no tokens, as some servers do not, is noted as `uncounted_tokens` where tokens are limited. Stages
    that run side by side take turns: each holds `turn` from looking at the budget until it has counted what it spent.

    Args:
        calls: Calls of models.
        tokens: Tokens read and written.
        seconds: Time spent waiting for models.
        money: In the currency of the prices.
        prices: Model or stage -> what it costs; needed for a limit of money.

    Raises:
        UsageError: There is no limit, one is not positive, or there is one of money and there are no prices.

    Example:
        >>> budget = Budget(calls=2)
        >>> budget.spend(Cost("setwise", calls=2, tokens=900))
        >>> budget.exhausted()
        'the budget of 2 calls is spent'
    """

    def __init__(
        self,
        *,
        calls: int | None = None,
        tokens: int | None = None,
        seconds: float | None = None,
        money: float | None = None,
        prices: Mapping[str, Priced] | None = None,
    ) -> None:
        given = {"calls": calls, "tokens": tokens, "seconds": seconds, "money": money}
        self.limits = {name: limit for name, limit in given.items() if limit is not None}
        self.prices = dict(prices or {})
        self.spent: dict[str, float] = dict.fromkeys(given, 0)
        self.turn = threading.RLock()
        if not self.limits:
            raise UsageError("a budget needs a limit", stage="Budget", accepted=", ".join(given))
        for name, limit in self.limits.items():
            if not limit > 0:
                raise UsageError(f"{name} is out of range", stage="Budget", value=limit, accepted="a positive number")
        if money is not None and not self.prices:
            raise UsageError("a limit of money needs prices", stage="Budget", fix="pass prices={model: Price(...)}")

    def spend(self, cost: Cost) -> None:
        """Count what was spent; for money, by the price of its model, or else of its stage.

        Raises:
            UsageError: Money is limited, and there is no price.
        """
        if cost.calls:
            self.check_priced(cost.stage, cost.model)
        price = self.prices.get(cost.model) or self.prices.get(cost.stage)
        with self.turn:
            self.spent["calls"] += cost.calls
            self.spent["tokens"] += cost.tokens
            self.spent["seconds"] += cost.seconds
            self.spent["money"] += 0.0 if price is None else price.of(cost)

    def check_priced(self, stage: str, model: str) -> None:
        """Refuse to spend money that nobody can count.

        Args:
            stage: Who spends.
            model: On what.

        Raises:
            UsageError: Money is limited, and neither has a price.
        """
        if "money" in self.limits and model not in self.prices and stage not in self.prices:
            raise UsageError(
                "money is limited, and nobody says what the model costs",
                stage=stage,
                value=model,
                accepted=f"a model or stage with a price: {', '.join(self.prices)}",
                fix="name it in prices; one that is free has the price {}",
            )

    def uncounted(self, cost: Cost) -> tuple[Note, ...]:
        """A note if a limit can not be kept, because calls were made and the model has counted no tokens."""
        price = self.prices.get(cost.model) or self.prices.get(cost.stage)
        by_token = price is not None and price.of(replace(cost, calls=0, tokens=1_000_000, written=500_000)) > 0
        limited = [name for name in ("tokens", "money") if name in self.limits and (name == "tokens" or by_token)]
        if not limited or not cost.calls or cost.tokens:
            return ()
        detail = f"{cost.model or 'the model'} does not tell its tokens: no limit of {' or '.join(limited)} can be kept"
        return (Note(cost.stage, "uncounted_tokens", amount=cost.calls, detail=detail),)

    def calls_left(self, most: int) -> int:
        """How many calls may still be made, of as many as are wanted at most."""
        limit = self.limits.get("calls")
        return most if limit is None else max(0, min(most, int(limit - self.spent["calls"])))

    def exhausted(self, *, calls: int = 1) -> str:
        """Which limit leaves no room for the next calls, in words; empty if none.

        Args:
            calls: How many calls belong together: they are made all, or not at all.
        """
        for name, limit in self.limits.items():
            if self.spent[name] >= limit or (name == "calls" and self.calls_left(calls) < calls):
                return f"the budget of {limit:g} {name} is spent"
        return ""
