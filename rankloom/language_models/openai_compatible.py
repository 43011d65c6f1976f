"""Language models behind HTTP, on any server that speaks OpenAI's protocol of chat completions."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeVar, get_args

from rankloom.checks import between, choice, whole
from rankloom.encoders import readable
from rankloom.errors import StageError, UsageError
from rankloom.fingerprint import digest
from rankloom.language_model import Completion, Prompt
from rankloom.language_models.label_scores import NoLogprobsError, label_scores, places_of, written_first
from rankloom.language_models.pace import Pace
from rankloom.language_models.retrying import GarbledReplyError, Retrying
from rankloom.likelihood import Continuation, Likelihood, ScoringModel
from rankloom.openai_client import (
    check_may_be_asked,
    checked_address,
    checked_variable,
    connected,
    described,
    key_in,
    without_key,
)
from rankloom.parallel import completed
from rankloom.parameter_kinds import ServerAddress, VariableName
from rankloom.session import Session

LimitName = Literal["max_tokens", "max_completion_tokens"]
_VERSION = 1  # raised when the same reply becomes another completion
_STAGE = "openai_compatible"
_OWN_FIELDS = frozenset(
    {
        "model",
        "messages",
        "temperature",
        "top_p",
        "seed",
        "n",
        "stream",
        "max_tokens",
        "max_completion_tokens",
        "logprobs",
        "top_logprobs",
    }
)
_LISTED = 20  # the most that OpenAI lists, and vLLM by default
_LABEL_TOKENS = 8  # of an output up to a label that does not begin it, as in "Passage A", "[1]" and "**Yes"
_CUT = frozenset({"length", "content_filter"})  # reasons to finish that leave the rest unsaid


_Read = TypeVar("_Read")


class OpenAICompatible(ScoringModel):
    """A completion for each prompt, by `POST {url}/chat/completions`: vLLM, llama.cpp, ollama, OpenAI, and others.

    A request that fails for a passing reason (no connection, no answer within `timeout`, 429, 5xx, a reply that is no
    completion or ends with an error) is sent again: after the pause that the server asks for (`Retry-After`), or else
    one that grows and is partly random. When a prompt has failed for good, the answers that are under way are still
    waited for and kept. A server on this machine is also asked when the session is offline, and never through a proxy.

    The key comes from an environment variable, when the first request is sent; it is part of no fingerprint, log, error
    or file. Outputs that the server has stopped at the limit, or has filtered, count as cut. A prompt that is too long
    for the model is an error, if the server says so; one that cuts prompts without a word can not be found out.

    How likely labels are (`scoring: likelihood`, `yes_no`, `graded_relevance`) is read from the likeliest tokens that
    the server lists (`logprobs`, as vLLM, llama.cpp and OpenAI have it), one request for each prompt: of the first
    token that is no mark or line break, or of that after what all labels begin with (`Passage`). A label that is not
    among them gets less than the least of them, and stages note it (`unlisted_label`). No other texts have likelihoods,
    such as queries.

    Args:
        name: The server's name for the model.
        url: Where it is, without `/chat/completions`, such as `http://localhost:8000/v1` (vLLM),
            `http://localhost:11434/v1` (ollama) or `https://api.openai.com/v1`.
        key: The environment variable that holds the key; None for a server that asks for none.
        temperature: 0 takes the most likely words. Above it, outputs are drawn, each with a seed: the session's plus
            the number of the sample. None leaves it to the server, for models that take no temperature.
        top_p: Draw only from the most likely tokens that have this probability together; None for all.
        limit_name: How the server calls the limit of tokens; OpenAI's reasoning models say `max_completion_tokens`.
        send_seed: Whether a seed is sent, where outputs are drawn; some servers refuse the field.
        top_logprobs: How many tokens are listed, where likelihoods are asked for; many servers take 20 at most.
        context_tokens: How many tokens the model reads, prompt and output together. With it, the longest prompt of a
            stage is checked before the first is sent, at three bytes a token (most texts have more): fewer words of
            passages are shown where there is no room for all (noted as `truncated`), and what does not fit even so is
            an error. None: nothing is checked, and what the server says of a long prompt is an error then.
        body: More fields of the request, such as `{chat_template_kwargs: {enable_thinking: false}}` for vLLM. They are
            part of the fingerprint and stand in manifests: no place for a key.
        concurrency: Requests under way at a time.
        requests_per_minute: Requests that begin in a minute, at even intervals, repeated ones included, for each
            process; None for no limit.
        retries: How often a request is sent again.
        timeout: Seconds until a request counts as failed.
        deadline: Seconds after which a prompt's request is not sent again.

    Raises:
        UsageError: A number is out of range, the address is none, or `key` can not be the name of a variable.

    Example:
        >>> OpenAICompatible("qwen3:8b", url="http://localhost:11434/v1", temperature=0.7).greedy
        False
    """

    requires = ("openai",)
    labels_only = True

    def __init__(
        self,
        name: str,
        *,
        url: ServerAddress,
        key: VariableName = None,
        temperature: float | None = 0.0,
        top_p: float | None = None,
        limit_name: LimitName = "max_tokens",
        send_seed: bool = True,
        top_logprobs: int = _LISTED,
        context_tokens: int | None = None,
        body: Mapping[str, Any] | None = None,
        concurrency: int = 8,
        requests_per_minute: float | None = None,
        retries: int = 6,
        timeout: float = 120.0,
        deadline: float = 600.0,
    ) -> None:
        self.name = name
        self.url = checked_address(url, stage=_STAGE, parameter="url")
        self.key = checked_variable(key, stage=_STAGE, parameter="key")
        self.temperature = _or_none(temperature, 2.0, "temperature")
        self.top_p = _or_none(top_p, 1.0, "top_p")
        self.limit_name, self.send_seed = (
            choice(limit_name, get_args(LimitName), stage=_STAGE, parameter="limit_name"),
            send_seed,
        )
        self.top_logprobs = whole(top_logprobs, least=2, stage=_STAGE, parameter="top_logprobs")
        if context_tokens is not None:
            whole(context_tokens, least=1, stage=_STAGE, parameter="context_tokens")
        self.context_tokens = context_tokens
        self.body = dict(body or {})
        if taken := self.body.keys() & _OWN_FIELDS:
            raise UsageError("body sets a field that has a parameter of its own", stage=_STAGE, value=min(taken))
        self.concurrency = whole(concurrency, least=1, stage=_STAGE, parameter="concurrency")
        self.requests_per_minute = _positive(requests_per_minute, "requests_per_minute")
        self.retries = whole(retries, least=0, stage=_STAGE, parameter="retries")
        self.timeout, self.deadline = _positive(timeout, "timeout"), _positive(deadline, "deadline")
        self._begin()

    def _begin(self) -> None:
        """What is not carried into another process: the client, which holds the key and connections, and locks."""
        self._client: Any = None
        self._lock = threading.Lock()
        self._pace = Pace(self.requests_per_minute)

    def __getstate__(self) -> dict[str, Any]:
        """The parameters."""
        return {name: value for name, value in self.__dict__.items() if not name.startswith("_")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """The parameters, and a client that is to be made anew."""
        self.__dict__.update(state)
        self._begin()

    def __repr__(self) -> str:
        """The call that makes a model with the same outputs, as far as the server's are the same."""
        return f"OpenAICompatible({self.name!r}, url={self.url!r})"

    @property
    def greedy(self) -> bool:  # type: ignore[override]  # by the temperature
        """Whether the most likely words are taken."""
        return self.temperature == 0

    def fingerprint(self) -> str:
        """A digest of the address, the model and what changes its output; not of the key, nor of how it is asked."""
        drawn: list[object] = [self.temperature, self.top_p, self.send_seed]
        if self.top_logprobs != _LISTED:  # which changes no completion; those that are kept by default stay
            drawn.append(self.top_logprobs)
        return digest("chat completions", _VERSION, self.url, self.name, drawn, self.limit_name, self.body)

    def numerics(self, session: Session) -> str:
        """A digest of the session's seed, where outputs are drawn; the server's numbers are its own."""
        return digest(None if self.greedy else session.seed)

    def likelihood_numerics(self, session: Session) -> str:  # noqa: ARG002  # the server's numbers are its own
        """Nothing of the session."""
        return ""

    @property
    def knows_room(self) -> bool:  # type: ignore[override]  # as told
        """Whether `context_tokens` is given."""
        return self.context_tokens is not None

    def room(self, max_tokens: int, session: Session) -> int | None:  # noqa: ARG002  # no server says
        """What `context_tokens` leaves beside an output."""
        return None if self.context_tokens is None else self.context_tokens - max_tokens

    def load(self, session: Session) -> None:
        """Make the client; opens no socket.

        Raises:
            NotFoundError: The session is offline, and the server is on another machine.
            UsageError: The environment variable with the key is not set.
            MissingExtraError: `openai` is not installed.
        """
        with self._lock:
            if self._client is None:
                self._client = connected(
                    self.url,
                    self.key,
                    parameter="key",
                    offline=session.offline,
                    retries=0,  # `Retrying` sends again
                    timeout=self.timeout,
                    stage=_STAGE,
                )
            else:  # which another session may have let in
                check_may_be_asked(self.url, offline=session.offline, stage=_STAGE)

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            if self._client is not None:
                self._client.close()
            self._client = None

    def generate(
        self, prompts: Sequence[Prompt], *, max_tokens: int, session: Session
    ) -> Iterator[tuple[Prompt, Completion]]:
        """Completions in the order in which they arrive.

        Raises:
            StageError: The server refused a prompt, or failed too often; names the status and what it said.
            NotFoundError: The session is offline, and the server is on another machine.
            UsageError: The environment variable with the key is not set.
            MissingExtraError: `openai` is not installed.
        """
        self.load(session)
        return completed(
            lambda prompt: self._answer(prompt, max_tokens, session.seed), prompts, threads=self.concurrency
        )

    def log_likelihoods(
        self, asked: Sequence[Continuation], *, session: Session
    ) -> Iterator[tuple[Continuation, Likelihood]]:
        """How likely labels are, prompt by prompt, as replies arrive; `temperature` and `top_p` play no part.

        Raises:
            UsageError: The texts after a prompt are no labels that a token tells apart, or as `generate`.
            StageError: The server tells no log probabilities, or as `generate`.
            NotFoundError: As `generate`.
            MissingExtraError: As `generate`.
        """
        labels: dict[Prompt, list[str]] = {}
        for one in asked:
            labels.setdefault(one.prompt, []).append(one.text)
        for own in labels.values():
            written_first(own, stage=_STAGE)  # before anything is paid
        self.load(session)
        for prompt, told in completed(
            lambda prompt: self._labels(prompt, labels[prompt]), list(labels), threads=self.concurrency
        ):
            yield from ((Continuation(prompt, text), one) for text, one in zip(labels[prompt], told, strict=True))

    # --- inside ------------------------------------------------------------------------------------------------

    def _answer(self, prompt: Prompt, max_tokens: int, seed: int) -> Completion:
        """The completion of one prompt."""
        request = self._request(prompt, max_tokens)
        if self.top_p is not None:
            request["top_p"] = self.top_p
        if not self.greedy and self.send_seed:
            request["seed"] = seed + prompt.sample
        return self._sent(request, prompt, _read)

    def _labels(self, prompt: Prompt, labels: Sequence[str]) -> list[Likelihood]:
        """How likely the labels after a prompt are; the tokens that were read count once."""
        request = self._request(prompt, _LABEL_TOKENS)
        request |= {"logprobs": True, "top_logprobs": self.top_logprobs}
        if self.temperature is not None:
            request["temperature"] = 0.0

        def read(reply: Any) -> list[Likelihood]:
            said = _read(reply)
            tokens = [said.read + said.written, *[0] * (len(labels) - 1)]
            scores = label_scores(labels, places_of(reply.choices[0]), stage=_STAGE)
            return [Likelihood(one.log_probability, n, one.listed) for one, n in zip(scores, tokens, strict=True)]

        return self._sent(request, prompt, read)

    def _request(self, prompt: Prompt, max_tokens: int) -> dict[str, Any]:
        """The fields of a request that all have."""
        system = [{"role": "system", "content": readable(prompt.system)}] if prompt.system else []
        request: dict[str, Any] = {
            "model": self.name,
            "messages": [*system, {"role": "user", "content": readable(prompt.text)}],
            self.limit_name: max_tokens,
            "extra_body": self.body,
        }
        if self.temperature is not None:
            request["temperature"] = self.temperature
        return request

    def _sent(self, request: Mapping[str, Any], prompt: Prompt, read: Callable[[Any], _Read]) -> _Read:
        """What is read in the reply to a request, which is sent again while it fails for a passing reason."""

        def ask() -> _Read:
            self._pace.wait()
            try:
                return read(self._client.chat.completions.create(**request))
            except ValueError as error:  # no JSON, or of another form
                raise GarbledReplyError(f"the reply can not be read ({error})") from None

        import openai

        try:
            return Retrying(self.retries, self.deadline).ask(ask, stage=_STAGE)
        except (openai.OpenAIError, GarbledReplyError) as error:
            failure = self._failure(error, prompt, scored="logprobs" in request)
        except NoLogprobsError:
            failure = self._no_logprobs()
        raise failure  # outside of the handler: an error's context would hold the request, and so the key

    def _no_logprobs(self) -> StageError:
        """What is said of a server that has answered, but tells no log probabilities."""
        return StageError(
            "the server does not tell how likely the tokens of its outputs are (logprobs)",
            stage=_STAGE,
            value=self.url,
            accepted="a server and a model that do, such as vLLM, llama.cpp, or OpenAI's models that do not reason",
            fix="let the model write its answers instead, where the stage can (scoring: generation), or take a model "
            "on this machine (local)",
        )

    def _failure(self, error: Exception, prompt: Prompt, *, scored: bool) -> StageError:
        """What is said of a prompt that has failed for good, without the key; `scored` if logprobs were asked for."""
        refused = f"if the prompt is too long (it has {len(prompt.system) + len(prompt.text)} characters): shorten it"
        if scored:
            refused += "; if it is about logprobs: a lower top_logprobs, or scoring: generation"
        fixes = {
            400: refused,
            401: f"check the key in {self.key}" if self.key else "name the variable with the key by key=",
            403: f"check the key in {self.key}" if self.key else "name the variable with the key by key=",
            404: "check url and name",
            429: "less concurrency, requests_per_minute, more retries, a later deadline, or a higher quota",
        }
        fix = fixes.get(getattr(error, "status_code", 0), "check that the server is up")
        reason = without_key(str(error), key_in(self.key, stage=_STAGE, parameter="key"))
        return StageError(
            f"the server did not answer a prompt ({described(error)}: {reason})",
            stage=_STAGE,
            value=self.url,
            fix=f"{fix}; what was answered before is kept in the cache",
        )


def _read(reply: Any) -> Completion:
    """The completion in a reply, as the `openai` package gives it.

    Raises:
        GarbledReplyError: There is none.
    """
    choices = getattr(reply, "choices", None)
    first = choices[0] if isinstance(choices, list) and choices else None
    message = getattr(first, "message", None)
    text = getattr(message, "content", None)
    finish = getattr(first, "finish_reason", None)
    if message is None or not isinstance(text, str | None) or finish == "error":
        raise GarbledReplyError(f"the reply holds no completion: {reply}")
    usage = getattr(reply, "usage", None)
    read, written = (_count(getattr(usage, name, None)) for name in ("prompt_tokens", "completion_tokens"))
    return Completion(text or "", read, written, cut=finish in _CUT)


def _count(tokens: object) -> int:
    """A number of tokens; 0 where the server does not count."""
    return tokens if isinstance(tokens, int) and tokens > 0 else 0


def _or_none(value: float | None, most: float, parameter: str) -> float | None:
    """A number from 0 on, or None."""
    return None if value is None else between(value, 0.0, most, stage=_STAGE, parameter=parameter)


def _positive(value: Any, parameter: str) -> Any:
    """A number above 0, or None where that is the default."""
    if value is not None and not (isinstance(value, int | float) and value > 0):
        raise UsageError(f"{parameter} is out of range", stage=_STAGE, value=value, accepted="a number above 0")
    return value
