"""One training of a language model by GRPO, by the trainer of trl."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import trl
from datasets import Dataset
from peft import LoraConfig
from trl import GRPOConfig, GRPOTrainer

from rankloom.errors import StageError
from rankloom.language_model import Prompt
from rankloom.language_models.generation import Writer, generate_batch
from rankloom.progress import Progress
from rankloom.training.loop import common_arguments, run_loop
from rankloom.training.rank_r1_config import RankR1Recipe
from rankloom.training.rank_r1_examples import Choice, rewards


class ChoiceTrainer(GRPOTrainer):  # type: ignore[misc]  # trl's types are not read
    """The trainer of trl, whose prompts have the tokens that `Local` gives them.

    Args:
        prompts: What is asked, by the number that stands in the data set for it.
        writer: The model and its tokenizer.
        recipe: Tells the chat template's options.
        options: The library's.
    """

    def __init__(self, *, prompts: Sequence[Prompt], writer: Writer, recipe: RankR1Recipe, **options: Any) -> None:
        if not hasattr(GRPOTrainer, "_tokenize_prompts"):  # else it would train on the numbers
            raise StageError(
                "this version of trl makes tokens of prompts by another method",
                stage="training",
                value=trl.__version__,
                accepted="trl 1.16",
                fix="pip install 'rankloom[rl]'",
            )
        self.prompts, self.writer, self.recipe = prompts, writer, recipe
        super().__init__(**options)

    def _tokenize_prompts(self, prompts: list[str]) -> tuple[list[list[int]], None, dict[str, Any]]:
        """Tokens of the prompts of a batch, no images, and nothing else."""
        return [prompt_tokens(self.writer, self.prompts[int(one)], self.recipe) for one in prompts], None, {}

    def create_model_card(self, *given: Any, **more: Any) -> None:
        """Checkpoints have no card."""


def reward(completions: list[str], answer: list[str], **_: Any) -> list[float]:
    """`rewards` in the form in which trl calls it."""
    return rewards(completions, answer)


def prompt_tokens(writer: Writer, prompt: Prompt, recipe: RankR1Recipe) -> list[int]:
    """A prompt as the model reads it: as `Local` with the layout `auto` gives it."""
    return (
        writer.chat_tokens(prompt, recipe.model.template_options)
        if writer.has_template
        else writer.plain_tokens(prompt)
    )


def fit(
    writer: Writer, choices: Sequence[Choice], recipe: RankR1Recipe, *, checkpoints: Path, progress: Progress
) -> Writer:
    """Train low-rank changes, from the last checkpoint where there is one.

    Args:
        writer: What is trained.
        choices: What is asked, and the right answers.
        recipe: Loss, steps, rates.
        checkpoints: Folder of checkpoints, and of `losses.jsonl`, which tells the mean reward.
        progress: Told of every step.

    Returns:
        The writer with its changes, whose model is one of peft.
    """
    how, loss, changes = recipe.training, recipe.loss, recipe.model
    arguments = GRPOConfig(
        **common_arguments(recipe, checkpoints)
        | {
            "per_device_train_batch_size": loss.at_once,
            "gradient_accumulation_steps": how.queries * loss.samples // loss.at_once,
        },
        num_generations=loss.samples,
        max_completion_length=loss.max_tokens,
        temperature=loss.temperature,
        beta=loss.beta,
        loss_type="grpo",
    )
    trainer = ChoiceTrainer(
        prompts=[one.prompt for one in choices],
        writer=writer,
        recipe=recipe,
        model=writer.model,
        reward_funcs=reward,
        args=arguments,
        train_dataset=Dataset.from_dict(
            {"prompt": [str(number) for number in range(len(choices))], "answer": [one.answer for one in choices]}
        ),
        processing_class=writer.tokenizer,
        peft_config=LoraConfig(
            task_type="CAUSAL_LM",
            r=changes.rank,
            lora_alpha=changes.alpha,
            lora_dropout=changes.dropout,
            target_modules=changes.modules,
        ),
    )
    run_loop(trainer, checkpoints, progress)
    return Writer(trainer.model, writer.tokenizer, writer.ends, writer.padding, writer.limit)


def measured(writer: Writer, choices: Sequence[Choice], recipe: RankR1Recipe) -> dict[str, float]:
    """Mean reward of the likeliest outputs, as they are in use; nothing of no questions."""
    if not choices:
        return {}
    earned: list[float] = []
    for start in range(0, len(choices), recipe.loss.at_once):
        some = choices[start : start + recipe.loss.at_once]
        tokens = [prompt_tokens(writer, one.prompt, recipe) for one in some]
        told = generate_batch(writer, tokens, max_tokens=recipe.loss.max_tokens, drawing=None)
        earned += rewards([one.text for one in told], [one.answer for one in some])
    return {"reward": round(sum(earned) / len(earned), 4)}
