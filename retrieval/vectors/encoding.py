"""Which encoder made the vectors of an index: what the manifest keeps of it, and the encoder made again from that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rankloom.encoders import Encoder, SentenceEncoder
from rankloom.errors import NotFoundError, UsageError
from rankloom.fingerprint import digest
from rankloom.session import Session

GIVEN = "given"  # the precision of vectors that were computed elsewhere
_STAGE = "dense"


def vectors_digest(encoder: Encoder, session: Session) -> str:
    """A digest of all that decides vectors besides the texts; the encoder has been resolved."""
    return digest(encoder, encoder.settings(), encoder.precision_in(session))


def facts(encoder: Encoder, precision: str) -> dict[str, Any]:
    """What a manifest keeps of an encoder: JSON values by name."""
    return {
        "model": encoder.model,
        "encoder": encoder.fingerprint(),
        "encoder_kind": type(encoder).__name__,
        "encoder_settings": encoder.settings(),
        "precision": precision,
    }


def encoder_again(about: Mapping[str, Any], *, model: str | None, options: Mapping[str, Any]) -> Encoder:
    """The encoder that an index was made with, by what its manifest keeps.

    Args:
        about: The `facts`.
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


def check_space(encoder: Encoder, about: Mapping[str, Any]) -> None:
    """Refuse an encoder of another vector space than the index's.

    A model that is not on this machine passes: it is checked when it has been fetched.

    Raises:
        UsageError: The encoder's fingerprint is not the one in the manifest.
    """
    if encoder.fingerprint() == about["encoder"]:
        return
    try:
        encoder.resolve(Session(offline=True))
    except NotFoundError:
        return
    others = _differences(about, facts(encoder, about["precision"]))
    raise UsageError(
        "the index was made with another model, with other weights under the same name, or with other settings",
        stage=_STAGE,
        value=others or encoder.model,
        accepted=f"the model it was made with, {about['model']} ({about['encoder']})",
        fix="open it with that model and these settings, or build it again",
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


def _differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """Which kind of encoder and which settings are not the same, for errors."""
    one, other = ({"encoder": about["encoder_kind"], **about["encoder_settings"]} for about in (there, here))
    names = [name for name in {**one, **other} if one.get(name) != other.get(name)]
    return "; ".join(f"{name} {one.get(name)!r} there, {other.get(name)!r} here" for name in names)
