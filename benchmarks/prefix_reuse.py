"""What it brings that prompts' common beginning is read once: times of a small random causal model on the processor.

`python benchmarks/prefix_reuse.py` asks about `--prompts` prompts of `--length` tokens in batches of `--batch`, of
which a share is the same in all, for the likelihood of a label and for outputs of `--written` tokens: with the
beginning read once (as `Local` does) and with each prompt read whole. Both ways take turns; a ratio is the median of
`--rounds`. Prints a Markdown table. The largest difference is that of the log probabilities.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

from rankloom.language_model import Prompt
from rankloom.language_models.generation import Writer, generate_batch
from rankloom.language_models.prefix import Prefixes
from rankloom.language_models.scoring import Row, score_rows
from rankloom.likelihood import Continuation

VOCABULARY = 2000


def random_model() -> Writer:
    """Two layers of 128 numbers."""
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=4096,
        initializer_range=0.1,
    )
    model = LlamaForCausalLM(config).eval()
    model.generation_config = GenerationConfig(pad_token_id=0)  # type: ignore[no-untyped-call]
    return Writer(model, tokenizer=_Silent(), ends=(), padding=0, limit=None)


class _Silent:
    """Reads no tokens as text: what is measured is the model."""

    def decode(self, tokens: list[int], **_: Any) -> str:
        return " ".join(map(str, tokens))


def prompts_of(count: int, length: int, share: float) -> list[list[int]]:
    """Random prompts that begin with the same tokens."""
    chance = torch.Generator().manual_seed(2)

    def tokens(size: int) -> list[int]:
        return torch.randint(1, VOCABULARY, (size,), generator=chance).tolist()

    head = tokens(round(length * share))
    return [head + tokens(length - len(head)) for _ in range(count)]


def scored(writer: Writer, prompts: list[list[int]], batch: int, *, once: bool) -> list[float]:
    """The likelihood of a label after each prompt."""
    rows = [Row(prompt, [], [(Continuation(Prompt(str(place)), "x"), 7)]) for place, prompt in enumerate(prompts)]
    prefixes = Prefixes(writer, prompts) if once else None
    batches = (rows[start : start + batch] for start in range(0, len(rows), batch))
    return [told.log_probability for some in batches for _, told in score_rows(writer, some, prefixes)]


def written(writer: Writer, prompts: list[list[int]], batch: int, tokens: int, *, once: bool) -> list[str]:
    """An output for each prompt."""
    prefixes = Prefixes(writer, prompts) if once else None
    batches = (prompts[start : start + batch] for start in range(0, len(prompts), batch))
    return [
        one.text
        for some in batches
        for one in generate_batch(writer, some, max_tokens=tokens, drawing=None, prefixes=prefixes)
    ]


def ratio(work: Callable[[bool], Any], rounds: int) -> float:
    """How many times as long it takes to read each prompt whole; the median of some rounds."""
    found = []
    for _ in range(rounds):
        seconds = []
        for once in (False, True):
            started = time.perf_counter()
            work(once)
            seconds.append(time.perf_counter() - started)
        found.append(seconds[0] / seconds[1])
    return statistics.median(found)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--written", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shares", type=float, nargs="+", default=[0.1, 0.25, 0.5, 0.75, 0.9])
    options = parser.parse_args()
    writer = random_model()
    print("| shared | likelihoods, times | outputs, times | largest difference | same outputs |")
    print("|---:|---:|---:|---:|---|")
    for share in options.shares:
        prompts = prompts_of(options.prompts, options.length, share)

        def score(once: bool, prompts: list[list[int]] = prompts) -> list[float]:  # by place
            return scored(writer, prompts, options.batch, once=once)

        def write(once: bool, prompts: list[list[int]] = prompts) -> list[str]:  # by place
            return written(writer, prompts, options.batch, options.written, once=once)

        apart = max(abs(one - other) for one, other in zip(score(False), score(True), strict=True))
        same = write(False) == write(True)
        times = f"{ratio(score, options.rounds):.2f} | {ratio(write, options.rounds):.2f}"
        print(f"| {share:.0%} | {times} | {apart:.1g} | {'yes' if same else 'no'} |", flush=True)


if __name__ == "__main__":
    main()
