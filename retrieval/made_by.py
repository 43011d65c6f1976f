"""What made the vectors of an index: the facts that a manifest keeps of it, and the check that queries fit them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from rankloom.encoders.precision import precision_identity
from rankloom.errors import NotFoundError, UsageError
from rankloom.fingerprint import digest
from rankloom.session import Session


class Maker(Protocol):
    """What indexes ask of an encoder, of whatever it makes of texts."""

    @property
    def model(self) -> str:
        """Its model's name."""

    def fingerprint(self) -> str:
        """A digest of the vector space; not of the precision."""

    def settings(self) -> dict[str, Any]:
        """What besides the model and the session decides the vectors of texts: JSON values by name."""

    def precision_in(self, session: Session) -> str:
        """What vectors are computed with in a session."""

    def resolve(self, session: Session) -> object:
        """Find what is needed, without loading it."""


def vectors_digest(encoder: Maker, session: Session) -> str:
    """A digest of all that decides vectors besides the texts; the encoder has been resolved."""
    return digest(encoder, encoder.settings(), precision_identity(encoder.precision_in(session), stage="encoder"))


def facts(encoder: Maker, precision: str) -> dict[str, Any]:
    """What a manifest keeps of an encoder: JSON values by name."""
    return {
        "model": encoder.model,
        "encoder": encoder.fingerprint(),
        "encoder_kind": type(encoder).__name__,
        "encoder_settings": encoder.settings(),
        "precision": precision,
    }


def check_space(encoder: Maker, about: Mapping[str, Any], *, stage: str) -> None:
    """Refuse an encoder of another vector space than the index's.

    A model that is not on this machine passes: it is checked when it has been fetched.

    Args:
        encoder: What queries are to be encoded by.
        about: The `facts`.
        stage: Who asks, for the error.

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
        stage=stage,
        value=others or encoder.model,
        accepted=f"the model it was made with, {about['model']} ({about['encoder']})",
        fix="open it with that model and these settings, or build it again",
    )


def _differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """Which kind of encoder and which settings are not the same, for errors."""
    one, other = ({"encoder": about["encoder_kind"], **about["encoder_settings"]} for about in (there, here))
    names = [name for name in {**one, **other} if one.get(name) != other.get(name)]
    return "; ".join(f"{name} {one.get(name)!r} there, {other.get(name)!r} here" for name in names)
