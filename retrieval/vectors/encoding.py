"""The encoder of an index made again from what the manifest keeps of it, and rows that may be added to others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rankloom.encoders import Encoder, SentenceEncoder
from rankloom.errors import UsageError
from rankloom.session import Session

GIVEN = "given"  # the precision of vectors that were computed elsewhere
_STAGE = "dense"


def encoder_again(about: Mapping[str, Any], *, model: str | None, options: Mapping[str, Any]) -> Encoder:
    """The encoder that an index was made with, by what its manifest keeps.

    Args:
        about: The facts; see `rankloom.retrieval.made_by`.
        model: Where the model is to be found, if not under the same name.
        options: Parameters of `SentenceEncoder` that shall be others than they were.

    Raises:
        UsageError: It was none that can be made from a name and parameters.
    """
    if about["encoder_kind"] == SentenceEncoder.__name__:
        return SentenceEncoder(
            about["model"] if model is None else model, stage=_STAGE, **{**about["encoder_settings"], **options}
        )
    if model is not None:  # asked for by name; whether it is of the same vector space is checked
        return SentenceEncoder(model, stage=_STAGE, **options)
    raise UsageError(
        f"the index was made with an encoder that can not be made again from its name, {about['encoder_kind']}",
        stage=_STAGE,
        value=about["model"],
        accepted=f"encoder= with one of the same vector space ({about['encoder']})",
        fix="pass the encoder: open(path, encoder=...)",
    )


def check_addition(encoder: Encoder, session: Session, about: Mapping[str, Any]) -> None:
    """Refuse to add rows of another kind than the index holds.

    Raises:
        UsageError: The precision or the windows are not those that the index was made with.
    """
    there, here = _rows_of(about["encoder_settings"]), _rows_of(encoder.settings())
    there["precision"], here["precision"] = about["precision"], encoder.precision_in(session)
    if there["precision"] == GIVEN or there == here:
        return
    named = [f"{name} {there[name]} there, {here[name]} here" for name in there if there[name] != here[name]]
    raise UsageError(
        "the index holds vectors that were made in another way",
        stage=_STAGE,
        value="; ".join(named),
        accepted="the window, stride and precision that the index was made with",
        fix="open it without naming them, in a session of the same dtype, or build it again",
    )


def _rows_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those settings that decide which rows a document has; windows do not overlap unless a stride is named."""
    window = settings.get("window")
    return {"window": window, "stride": settings.get("stride", window)}
