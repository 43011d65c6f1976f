"""The model card of a language model that has learnt to choose passages."""

from __future__ import annotations

from typing import Any

from rankloom.training.encoder_card import counts_table
from rankloom.training.model_card import platform, score_table


def rank_r1_card(manifest: dict[str, Any]) -> str:
    """What a trained adapter is, as Markdown: data and licences, how it was trained, scores.

    Args:
        manifest: Of the training; see `rankloom.training.rank_r1.train`.
    """
    recipe = manifest["recipe"]
    model, asked, loss, training = recipe["model"], recipe["asked"], recipe["loss"], recipe["training"]
    children = recipe["negatives"]["count"]
    told = f", `template_options: {model['template_options']}`" if model["template_options"] else ""
    lines = [
        f"# {recipe['name']}",
        "",
        f"Low-rank changes of {model['model']} for choosing the most relevant passage after a thought. Made by",
        "`rankloom train` (recipe of kind `rank_r1`: Rank-R1, arXiv:2503.06034). Name this folder as a `local` model",
        f"of `setwise`, with `prompt: {asked['prompt']}`, `children: {children}`,",
        f"`passage_words: {asked['passage_words']}`{told}.",
        "",
        "## Data",
        "",
        *counts_table(manifest["data"]),
        "",
        f"Examples: {manifest['examples']:,}, each of a relevant passage and {children} others;",
        f"{manifest['too_long']:,} with a prompt of more than {asked['max_tokens']:,} tokens were left out.",
        "Nothing else was trained or tuned on.",
        "",
        "## Training",
        "",
        f"GRPO by trl: {training['steps']:,} steps of {training['queries']} prompts, {loss['samples']} outputs of each",
        f"(at most {loss['max_tokens']:,} tokens, temperature {loss['temperature']:g}), beta {loss['beta']:g};",
        "reward 1 for the right label in tags after a thought in tags, else 0. LoRA of rank",
        f"{model['rank']}, alpha {model['alpha']}, dropout {model['dropout']:g}, of {', '.join(model['modules'])};",
        f"learning rate {training['learning_rate']:g}, seed {recipe['seed']}.",
        f"{platform(manifest)}; {manifest['seconds'] / 60:.0f} minutes since it was last started.",
        *score_table(manifest, among="the first stage's best candidates"),
    ]
    return "\n".join(lines) + "\n"
