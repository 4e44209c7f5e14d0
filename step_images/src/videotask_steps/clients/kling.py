"""Speaks Kling's wire format for clips; it must never start a second job while the first may exist."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import httpx
from pydantic import SecretStr

from videotask_contract.errors import FailureClass, OutcomeUnknownError, TransientError, VideoTaskError
from videotask_contract.task_file import ProviderSettings
from videotask_steps.clients.transport import (
    ErrorRule,
    Transport,
    json_object,
    retry_after_seconds,
    rule_of_status,
)
from videotask_steps.tls import trusted

MAX_PROMPT_CHARACTERS: Final = 2500
MAX_IMAGE_BYTES: Final = 50_000_000
_IDS_A_REQUEST: Final = 20
"""So that an address stays under 2,000 characters."""

_ACCOUNT: Final = ErrorRule(
    failure_class=FailureClass.ACCOUNT,
    advice="check the key in the Secret of the channel's spec.credentials.kling, and the account's balance",
)
_PERMANENT: Final = ErrorRule(failure_class=FailureClass.PERMANENT)
_REFUSED: Final = ErrorRule(failure_class=FailureClass.REFUSED, advice="change the scene's prompts")
_RATE_LIMITED: Final = ErrorRule(failure_class=FailureClass.RATE_LIMITED)
_TRANSIENT: Final = ErrorRule(failure_class=FailureClass.TRANSIENT)

ERRORS: Final[dict[int, ErrorRule]] = {
    1000: _ACCOUNT,
    1001: _ACCOUNT,
    1002: _ACCOUNT,
    1003: _ACCOUNT,
    1004: _ACCOUNT,
    1100: _ACCOUNT,
    1101: _ACCOUNT,
    1102: _ACCOUNT,
    1103: _ACCOUNT,
    1200: _PERMANENT,
    1201: _PERMANENT,
    1202: _PERMANENT,
    1203: _PERMANENT,
    1300: _REFUSED,
    1301: _REFUSED,
    1302: _RATE_LIMITED,
    1303: _RATE_LIMITED,
    1304: ErrorRule(failure_class=FailureClass.ACCOUNT, advice="add the cluster's address to the account's allow-list"),
    5000: _TRANSIENT,
    5001: _TRANSIENT,
    5002: _TRANSIENT,
}
"""By the body's `code`, which counts also on HTTP 200. Source: the vendor's page of error codes."""

_POLICY_WORDS: Final = ("risk", "policy", "safety", "sensitive", "moderation", "prohibited")


_WORDS: Final = ("text/", "application/json", "application/xml")
"""Kinds of answers that are no clip, whatever their status says."""
_NO_LONGER_THERE: Final = frozenset({HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.GONE})


class ResultNotThereError(TransientError):
    """The clip's address leads to nothing: its host is late, the address has expired, or the clip was cleared."""

    failure_class = FailureClass.NETWORK


class JobState(StrEnum):
    """Where a job stands."""

    SUBMITTED = "submitted"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipRequest:
    """One clip to be made."""

    model: str
    prompt: str
    first_frame: str
    """Bare base64 of a JPEG or PNG."""
    resolution: str
    seconds: int
    external_task_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job as the provider tells it."""

    job_id: str
    state: str
    external_task_id: str = ""
    """Our own id of it."""
    message: str = ""
    url: str | None = None
    """Signed address of the clip: as good as a key, never to be logged."""
    billed_usd: Decimal | None = None
    """None where the bill is missing, empty or cannot be read."""
    is_unbilled: bool = False
    """True when the provider says itself that there is nothing on the bill."""

    @property
    def is_under_way(self) -> bool:
        """True until it succeeded or failed."""
        return self.state not in {JobState.SUCCEEDED, JobState.FAILED}


class KlingClient(Transport):
    """Create, look up, poll and download; the download goes to another host and never carries the key."""

    def __init__(
        self,
        settings: ProviderSettings,
        key: SecretStr,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        super().__init__(settings, key, header="Authorization", prefix="Bearer ", transport=transport)
        self._downloads = httpx.AsyncClient(
            timeout=settings.request_timeout_seconds, follow_redirects=True, verify=trusted()
        )

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._downloads.aclose()
        await super().__aexit__(error_type, error, traceback)

    async def create(self, request: ClipRequest) -> Job:
        """Start a paid job. OutcomeUnknownError when it may have been started: look it up before asking again."""
        response = await self.post_paid(f"/image-to-video/{request.model}", body=_create_body(request))
        if response.status_code == HTTPStatus.OK and "code" not in json_object(response):
            raise OutcomeUnknownError("kling answered 200 and its words cannot be read; it may be charged")
        self.require_its_own_word(response, is_its_own=isinstance(json_object(response).get("code"), int))
        data = self._data_of(response)
        if not isinstance(data, dict) or not data.get("id"):
            raise OutcomeUnknownError("kling accepted a job and gave it no id; it may be charged")
        return _job_of(data)

    async def find(self, external_task_id: str) -> Job | None:
        """Return the job of our own id; None when the provider knows none."""
        jobs = await self._jobs({"external_task_ids": external_task_id})
        # One that does not say whose it is was asked for by this id: taken for another's, it would be paid twice.
        return next((job for job in jobs if job.external_task_id in {external_task_id, ""}), None)

    async def find_all(self, external_task_ids: Sequence[str]) -> list[Job]:
        """Return the jobs of these ids of ours; those that the provider does not know are left out."""
        jobs: list[Job] = []
        for begin in range(0, len(external_task_ids), _IDS_A_REQUEST):
            some = external_task_ids[begin : begin + _IDS_A_REQUEST]
            jobs += await self._jobs({"external_task_ids": ",".join(some)})
        return [job for job in jobs if job.external_task_id in external_task_ids]

    async def fetch(self, job_id: str) -> Job | None:
        """Return the job of the provider's id; None when the provider knows none."""
        return next((job for job in await self._jobs({"task_ids": job_id}) if job.job_id == job_id), None)

    async def download(self, url: str, path: Path) -> None:
        """Stream a clip into the file; a NETWORK TransientError when it did not come whole.

        Raises ResultNotThereError when its host says that there is none, or sends nothing: that is no word on the clip.
        """
        try:
            async with self._downloads.stream("GET", url) as response:
                kind = response.headers.get("content-type", "").split(";")[0]
                if response.status_code in _NO_LONGER_THERE:
                    raise ResultNotThereError(f"kling's clip is not there: its host answered {response.status_code}")
                if response.status_code != HTTPStatus.OK or kind.startswith(_WORDS):
                    raise TransientError(
                        f"kling's clip could not be downloaded: its host answered {response.status_code} with {kind}",
                        failure_class=FailureClass.NETWORK,
                    )
                with path.open("wb") as file:
                    async for chunk in response.aiter_bytes():
                        file.write(chunk)
                    if file.tell() == 0:
                        raise ResultNotThereError("kling's clip is not there: its host answered 200 and sent nothing")
        except httpx.RequestError as error:
            raise TransientError(
                f"kling's clip could not be downloaded ({type(error).__name__})",
                failure_class=FailureClass.NETWORK,
            ) from error

    def failure_of_job(self, job: Job) -> VideoTaskError:
        """Return the error of a job that ended as failed; policy words make it a refusal, the rest may heal."""
        is_policy = any(word in job.message.lower() for word in _POLICY_WORDS)
        rule = _REFUSED if is_policy else _TRANSIENT
        return self.error(rule, job.message or "no reason given", code="failed", status=HTTPStatus.OK)

    async def _jobs(self, query: dict[str, str]) -> list[Job]:
        """Return what is listed; an empty list is a word on the jobs, and anything that is no list is none."""
        response = await self.get_free("/tasks", query=query)
        if response.status_code == HTTPStatus.OK and "code" not in json_object(response):
            raise TransientError("kling answered 200 and its words cannot be read", failure_class=FailureClass.NETWORK)
        data = self._data_of(response)
        if not isinstance(data, list) or not all(isinstance(one, dict) and one.get("id") for one in data):
            raise TransientError(
                "kling answered 200 and its list of jobs cannot be read", failure_class=FailureClass.NETWORK
            )
        return [_job_of(one) for one in data]

    def _data_of(self, response: httpx.Response) -> Any:
        body = json_object(response)
        code = body.get("code")
        if response.status_code == HTTPStatus.OK and code == 0:
            return body.get("data")
        rule = ERRORS.get(code) if isinstance(code, int) else None
        raise self.error(
            rule or rule_of_status(response.status_code),
            body.get("message") or response.text,
            code=str(code) if code is not None else f"HTTP_{response.status_code}",
            status=response.status_code,
            retry_after_seconds=retry_after_seconds(response),
        )


def _create_body(request: ClipRequest) -> dict[str, Any]:
    return {
        "contents": [
            {"type": "prompt", "text": request.prompt[:MAX_PROMPT_CHARACTERS]},
            {"type": "first_frame", "url": request.first_frame},
        ],
        # multi_shot is on unless it is switched off, and would cut away from the scene.
        "settings": {
            "resolution": request.resolution,
            "duration": request.seconds,
            "audio": "off",
            "multi_shot": False,
        },
        "options": {"external_task_id": request.external_task_id},
    }


def _job_of(data: dict[str, Any]) -> Job:
    outputs = [output for output in data.get("outputs") or [] if isinstance(output, dict)]
    urls = [str(output["url"]) for output in outputs if output.get("type") == "video" and output.get("url")]
    return Job(
        job_id=str(data.get("id", "")),
        state=str(data.get("status", "")),
        external_task_id=str(data.get("external_id") or ""),
        message=str(data.get("message") or ""),
        url=urls[0] if urls else None,
        billed_usd=_billed_usd(data.get("billing")),
        is_unbilled=data.get("billing") == [],
    )


def _billed_usd(billing: object) -> Decimal | None:
    if not isinstance(billing, list) or not billing:
        return None
    try:
        amounts = [Decimal(str(line["amount"])) for line in billing]
    except (KeyError, TypeError, InvalidOperation):
        return None
    return sum(amounts, Decimal(0)) if all(amount.is_finite() and amount >= 0 for amount in amounts) else None
