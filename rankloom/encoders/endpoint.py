"""Vectors from an embedding endpoint that speaks OpenAI's protocol, at OpenAI or on a server of one's own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rankloom.checks import whole
from rankloom.codec import pack, unpack
from rankloom.encoders.embedding_reply import checked_reply, share_of_tokens
from rankloom.encoders.encoder import Encoded, Role
from rankloom.encoders.reading import readable
from rankloom.errors import DataError, StageError
from rankloom.fingerprint import digest
from rankloom.openai_client import (
    OPENAI,
    check_may_be_asked,
    checked_address,
    connected,
    described,
    key_in,
    may_be_asked,
    without_key,
)
from rankloom.parallel import completed
from rankloom.session import Session

_VERSION = 1  # raised when the same reply becomes another vector
_WORTH_A_REQUEST = 32  # texts; fewer are not split among requests that run at once
_log = logging.getLogger("rankloom")


class EmbeddingEndpoint:
    """One vector for each text, by `POST {base_url}/embeddings`.

    What was paid for is kept: with a cache in the session, every vector is remembered as soon as its request is
    answered, also when another request fails. A request that fails for a passing reason (429, 5xx, no connection) is
    sent again, with growing pauses or those that the endpoint asks for. A blank text is not sent; its vector is zero.
    A server on this machine is also asked when the session is offline, and never through a proxy.

    Texts that the endpoint refuses as too long are an error. An endpoint that cuts them without a word can not be
    found out: name its limit by `max_characters`.

    Args:
        model: The endpoint's name for the model.
        base_url: Where the endpoint is, without `/embeddings`.
        key_variable: The environment variable that holds the key; None for a server that asks for none. The key is
            read when the first request is sent, and is part of no fingerprint, log or error.
        dimensions: Ask for vectors of so many numbers, if the model can be asked. Default: the model's.
        query_prefix: Put before each query.
        document_prefix: Put before each document.
        normalize: Bring vectors to length 1, so that inner products are cosines.
        batch_size: Most texts in one request; fewer are sent in each where that lets `concurrency` requests of at least
            32 texts run at once. 256 is the least limit of common servers above 32.
        batch_characters: Most characters in one request, unless one text alone has more; about 50,000 tokens.
        max_characters: A longer text, prefix included, is an error.
        concurrency: Requests under way at a time.
        retries: How often a request is sent again.
        timeout: Seconds until a request counts as failed.
        stage: Who encodes, for errors.

    Raises:
        UsageError: A number is out of range, or the address is none.

    Example:
        >>> encoder = EmbeddingEndpoint("bge-m3", base_url="http://localhost:8080/v1", key_variable=None)
        >>> encoder.precision_in(Session())
        'remote'
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str = OPENAI,
        key_variable: str | None = "OPENAI_API_KEY",
        dimensions: int | None = None,
        query_prefix: str = "",
        document_prefix: str = "",
        normalize: bool = True,
        batch_size: int = 256,
        batch_characters: int = 200_000,
        max_characters: int | None = None,
        concurrency: int = 4,
        retries: int = 6,
        timeout: float = 60.0,
        stage: str = "encoder",
    ) -> None:
        self.model, self.key_variable, self.stage = model, key_variable, stage
        self.base_url = checked_address(base_url, stage=stage, parameter="base_url")
        self.prefixes: dict[Role, str] = {"query": query_prefix, "document": document_prefix}
        self.normalize, self.timeout = normalize, timeout
        self.batch_size = whole(batch_size, least=1, stage=stage, parameter="batch_size")
        self.batch_characters = whole(batch_characters, least=1, stage=stage, parameter="batch_characters")
        self.concurrency = whole(concurrency, least=1, stage=stage, parameter="concurrency")
        self.retries = whole(retries, least=0, stage=stage, parameter="retries")
        for parameter, number in {"dimensions": dimensions, "max_characters": max_characters}.items():
            if number is not None:
                whole(number, least=1, stage=stage, parameter=parameter)
        self.dimensions, self.max_characters = dimensions, max_characters
        self._width = dimensions  # of the vectors; None until the endpoint has told it
        self._client: Any = None
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        """The call that makes an encoder of the same model."""
        return f"EmbeddingEndpoint({self.model!r}, base_url={self.base_url!r})"

    def __getstate__(self) -> dict[str, Any]:
        """Without the client, which holds the key and connections."""
        return {**self.__dict__, "_client": None, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """With a lock of its own."""
        self.__dict__.update(state, _lock=threading.Lock())

    def fingerprint(self) -> str:
        """A digest of the endpoint, the model, and what is done to texts and vectors; the key takes no part."""
        settings = [self.base_url, self.model, self.dimensions, self.prefixes, self.normalize]
        return digest("embedding endpoint", _VERSION, settings)

    def settings(self) -> dict[str, Any]:
        """The address, and what is done to texts and vectors; the key takes no part."""
        named = {"base_url": self.base_url, "dimensions": self.dimensions, "normalize": self.normalize}
        return {**named, "query_prefix": self.prefixes["query"], "document_prefix": self.prefixes["document"]}

    def precision_in(self, session: Session) -> str:  # noqa: ARG002  # the protocol's
        """`remote`."""
        return "remote"

    def resolve(self, session: Session) -> None:
        """Nothing: there is nothing to be found before texts are sent."""

    def load(self, session: Session) -> None:
        """Make the client, if the session may use the network; opens no socket.

        Raises:
            UsageError: The environment variable with the key is not set.
            MissingExtraError: `openai` is not installed.
        """
        if may_be_asked(self.base_url, offline=session.offline):
            self._connected(session)

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            if self._client is not None:
                self._client.close()
            self._client = None

    def passages(self, texts: list[str], session: Session) -> list[list[str]]:  # noqa: ARG002  # the protocol's
        """Each document as it is: the endpoint's tokens are not known here."""
        return [[text] for text in texts]

    def encode(self, texts: list[str], *, role: Role, session: Session) -> Encoded:
        """Encode texts; equal ones once, and none that the session's cache holds.

        Args:
            texts: Any strings.
            role: Which prefix they get.
            session: Whether the network may be used; the cache that remembers vectors.

        Returns:
            Vectors in the order of the texts. Tokens are those that the endpoint counted for the request, shared out
            by the texts' lengths; 0 where it did not count. Nothing is known to be truncated. Calls are requests.

        Raises:
            NotFoundError: The session is offline, the endpoint is on another machine, and the cache does not hold every
                text.
            DataError: A text is longer than `max_characters`.
            StageError: The endpoint refused, or gave something else than finite vectors of one length for all texts; or
                all texts are blank, and it has told no length yet.
            UsageError: The environment variable with the key is not set.
            MissingExtraError: `openai` is not installed.
        """
        distinct = {readable(text) for text in texts}
        sent = {text: self.prefixes[role] + text for text in sorted(distinct) if text.strip()}
        keys = {text: digest(self.fingerprint(), whole_text) for text, whole_text in sent.items()}
        known = self._remembered(session, keys)
        requests = self._requests([text for text in sent if text not in known], sent)
        if requests:
            self._connected(session)
        for request, (vectors, tokens) in completed(
            lambda some: self._answer([sent[text] for text in some]), requests, threads=self.concurrency
        ):
            fresh = {text: (vectors[row], int(tokens[row])) for row, text in enumerate(request)}
            if session.cache is not None:
                packed = {keys[text]: pack({"tokens": n}, {"vector": vector}) for text, (vector, n) in fresh.items()}
                session.cache.put(packed, stage="embedding_endpoint")
            known.update(fresh)
        return self._together([readable(text) for text in texts], known, len(requests))

    # --- inside ------------------------------------------------------------------------------------------------

    def _remembered(self, session: Session, keys: dict[str, str]) -> dict[str, tuple[NDArray[np.float32], int]]:
        """Vectors and tokens of the texts that the cache holds; a damaged entry is asked for again."""
        if session.cache is None:
            return {}
        held, known = session.cache.get(keys.values()), {}
        damaged = []
        for text, key in keys.items():
            if key in held:
                try:
                    values, arrays = unpack(held[key])
                    known[text] = arrays["vector"].astype(np.float32), int(str(values["tokens"]))
                except DataError:
                    damaged.append(key)
        if damaged:
            _log.warning("%s: %d damaged vectors of the cache are asked for again", self.stage, len(damaged))
            session.cache.drop(damaged)
        return known

    def _requests(self, texts: Sequence[str], sent: dict[str, str]) -> list[tuple[str, ...]]:
        """Texts by request: at least one, at most what both limits allow, and spread over requests that run at once."""
        requests: list[list[str]] = []
        at_once = max(1, min(self.concurrency, len(texts) // _WORTH_A_REQUEST))
        most = min(self.batch_size, -(-len(texts) // at_once))
        characters = 0
        for text in texts:
            length = len(sent[text])
            if self.max_characters is not None and length > self.max_characters:
                raise DataError(
                    f"a text has {length} characters, more than the endpoint reads ({self.max_characters})",
                    stage=self.stage,
                    value=text[:80],
                    fix="split long documents into passages",
                )
            full = not requests or len(requests[-1]) == most or characters + length > self.batch_characters
            if full:
                requests.append([])
                characters = 0
            requests[-1].append(text)
            characters += length
        return [tuple(request) for request in requests]

    def _connected(self, session: Session) -> Any:
        """The client, made by the first who asks."""
        with self._lock:
            if self._client is None:
                self._client = connected(
                    self.base_url,
                    self.key_variable,
                    parameter="key_variable",
                    offline=session.offline,
                    retries=self.retries,
                    timeout=self.timeout,
                    stage=self.stage,
                )
            else:  # which another session may have let in
                check_may_be_asked(self.base_url, offline=session.offline, stage=self.stage)
            return self._client

    def _key(self) -> str:
        """The key from the environment."""
        return key_in(self.key_variable, stage=self.stage, parameter="key_variable")

    def _answer(self, texts: list[str]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Vectors and tokens of one request."""
        import openai

        more = {} if self.dimensions is None else {"dimensions": self.dimensions}
        try:
            reply = self._client.embeddings.create(model=self.model, input=texts, encoding_format="float", **more)
        except (openai.OpenAIError, ValueError) as error:
            raise self._failure(error, texts) from None  # the cause may hold the key
        vectors = checked_reply(reply, texts=len(texts), dimensions=self.dimensions, stage=self.stage)
        if self.normalize:
            lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
            vectors = (vectors / np.maximum(lengths, np.finfo(np.float32).tiny)).astype(np.float32)
        return vectors, share_of_tokens(reply, [len(text) for text in texts])

    def _failure(self, error: Exception, texts: list[str]) -> StageError:
        """What is said of a request that failed for good, without the key."""
        status = getattr(error, "status_code", None)
        reason = without_key(str(error), self._key())
        longest = max(len(text) for text in texts)
        fixes = {
            400: f"if a text is too long (the longest here has {longest} characters): split documents into passages",
            401: f"check the key in {self.key_variable}",
            403: f"check the key in {self.key_variable}",
            404: "check base_url and model",
            413: "a smaller batch_size or batch_characters; or split documents into passages",
            429: "less concurrency, more retries, or a higher quota",
        }
        fix = fixes.get(status or 0, "check that the endpoint is up; what was answered before is kept in the cache")
        return StageError(
            f"the endpoint did not answer a request for {len(texts)} texts ({described(error)}: {reason})",
            stage=self.stage,
            value=self.base_url,
            fix=fix,
        )

    def _together(self, texts: list[str], known: dict[str, tuple[NDArray[np.float32], int]], requests: int) -> Encoded:
        """The vectors of all texts, zero for blank ones."""
        widths = {len(vector) for vector, _ in known.values()} | ({self._width} if self._width else set())
        if len(widths) > 1:
            raise StageError("the endpoint gave vectors of different lengths", stage=self.stage, value=sorted(widths))
        if texts and not widths:
            raise StageError(
                "all texts are blank, and the endpoint has not told yet how long its vectors are",
                stage=self.stage,
                value=self.model,
                fix="name their length by dimensions=, or encode a text that is not blank before",
            )
        if widths:
            self._width = next(iter(widths))
        width = self._width or 0  # 0 only of no texts
        nothing = np.zeros(width, dtype=np.float32), 0
        rows = [known.get(text, nothing) for text in texts]
        vectors = np.array([vector for vector, _ in rows], dtype=np.float32).reshape(len(texts), width)
        tokens = np.array([count for _, count in rows], dtype=np.int64)
        return Encoded(vectors, tokens, np.zeros(len(texts), dtype=np.int64), requests)
