"""One HTTP exchange with a provider; it tells "never sent" from "may have been charged", and must never log a key."""

from __future__ import annotations

import email.utils
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from types import TracebackType
from typing import Any, Final, Self

import httpx
from pydantic import SecretStr

from videotask_contract import VERSION
from videotask_contract.errors import FailureClass, OutcomeUnknownError, TransientError, VideoTaskError
from videotask_contract.task_file import ProviderSettings
from videotask_steps.tls import tls_of

_MAX_WORDS: Final = 400
"""Of a provider's own message, in characters."""
_UNFIT_TO_SEND: Final = (httpx.LocalProtocolError, httpx.UnsupportedProtocol)
"""Raised over our own request, in words that may quote its headers."""
_NEVER_SENT: Final = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    *_UNFIT_TO_SEND,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorRule:
    """What a provider's code means for us."""

    failure_class: FailureClass
    advice: str = ""
    """What a person should do, in a few words."""


class Transport:
    """A provider's address, its key and how long one request may take."""

    def __init__(
        self,
        settings: ProviderSettings,
        key: SecretStr,
        *,
        header: str,
        prefix: str = "",
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.provider = settings.provider
        self._key = key
        self._http = httpx.AsyncClient(
            base_url=settings.base_url,
            timeout=settings.request_timeout_seconds,
            headers={header: prefix + key.get_secret_value(), "User-Agent": f"videotask-operator/{VERSION}"},
            limits=httpx.Limits(max_connections=None),
            verify=tls_of(settings.base_url),
            transport=transport,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        await self._http.aclose()

    async def post_paid(self, path: str, *, body: Any, query: dict[str, str] | None = None) -> httpx.Response:
        """Send a call that costs money, once.

        Raises a NETWORK TransientError when it was never sent, and OutcomeUnknownError when it was and no whole answer
        came back.
        """
        try:
            return await self._http.post(path, json=body, params=query)
        except _NEVER_SENT as error:
            raise self._unreachable(error) from error
        except httpx.RequestError as error:
            raise OutcomeUnknownError(
                f"{self.provider.value} was asked and no whole answer came back ({type(error).__name__}); "
                "it may have been charged",
            ) from error

    async def get_free(self, path: str, *, query: dict[str, str]) -> httpx.Response:
        """Send a call that costs nothing; a NETWORK TransientError when no whole answer came back."""
        try:
            return await self._http.get(path, params=query)
        except httpx.RequestError as error:
            raise self._unreachable(error) from error

    def words(self, message: object) -> str:
        """Return a provider's message fit to be shown: cut, and without the key should it quote it."""
        text = str(message).replace(self._key.get_secret_value(), "[key]")
        return " ".join(text.split())[:_MAX_WORDS]

    def require_its_own_word(self, response: httpx.Response, *, is_its_own: bool) -> None:
        """Raise OutcomeUnknownError for a server error of a paid call that the provider did not sign with its code.

        A gateway in between answers 502 or 504 while the provider goes on working, and charges: only the provider's own
        code, as its pages of errors tell it, proves that nothing was made.
        """
        status = response.status_code
        if not is_its_own and (status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.REQUEST_TIMEOUT):
            raise OutcomeUnknownError(
                f"{self.provider.value} answered {status} without a code of its own, perhaps a gateway before it; "
                f"it may have been charged: {self.words(response.text)}",
                provider_code=f"HTTP_{status}",
            )

    def error(
        self,
        rule: ErrorRule,
        message: object,
        *,
        code: str,
        status: int,
        retry_after_seconds: float | None = None,
    ) -> VideoTaskError:
        """Return the error of an answer, in the provider's words and ours."""
        advice = f"; {rule.advice}" if rule.advice else ""
        text = f"{self.provider.value} answered {status} {code}: {self.words(message)}{advice}"
        if rule.failure_class.is_transient:
            return TransientError(
                text,
                failure_class=rule.failure_class,
                provider_code=code,
                retry_after_seconds=retry_after_seconds,
            )
        return VideoTaskError(text, failure_class=rule.failure_class, provider_code=code)

    def _unreachable(self, error: Exception) -> TransientError:
        # Its words quote a header in an escaped spelling, in which the key would not be found.
        words = "" if isinstance(error, _UNFIT_TO_SEND) else f": {self.words(error)}"
        return TransientError(
            f"{self.provider.value} could not be reached ({type(error).__name__}{words})",
            failure_class=FailureClass.NETWORK,
        )


def json_object(response: httpx.Response) -> dict[str, Any]:
    """Return the body as an object; an empty one when it is no JSON object."""
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def retry_after_seconds(response: httpx.Response) -> float | None:
    """Return the Retry-After header in seconds, given as a number or as an HTTP date (RFC 9110, 10.2.3)."""
    value = response.headers.get("retry-after", "").strip()
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() - time.time())


def rule_of_status(status: int) -> ErrorRule:
    """Return the rule for an answer whose code is not in the provider's table."""
    match status:
        case 401 | 403:
            return ErrorRule(failure_class=FailureClass.ACCOUNT, advice="check the channel's key and its account")
        case 429:
            return ErrorRule(failure_class=FailureClass.RATE_LIMITED)
        case 408:
            return ErrorRule(failure_class=FailureClass.TRANSIENT)
        case _ if status >= 500:  # noqa: PLR2004  HTTP's own line
            return ErrorRule(failure_class=FailureClass.TRANSIENT)
        case _:
            return ErrorRule(failure_class=FailureClass.PERMANENT)


def utc_now() -> datetime:
    """Return the time; the one clock the clients read."""
    return datetime.now(UTC)
