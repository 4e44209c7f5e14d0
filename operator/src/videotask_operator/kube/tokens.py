"""Who holds a report token, by TokenReview; verdicts are kept for a minute by the token's hash, never by the token."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from videotask_contract.task_file import REPORT_AUDIENCE
from videotask_operator.core.model import Caller
from videotask_operator.kube.api import Api
from videotask_operator.kube.paths import TOKEN_REVIEWS

_GOOD_SECONDS: Final = 60.0
_BAD_SECONDS: Final = 5.0
"""A refusal is kept for a short while, so that a loop with a bad token does not become a loop of reviews."""
_MAX_VERDICTS: Final = 2_000
_MAX_TOKEN_CHARACTERS: Final = 16_384
_JWT_PARTS: Final = 3
_POD_NAME: Final = "authentication.kubernetes.io/pod-name"
_POD_UID: Final = "authentication.kubernetes.io/pod-uid"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Verdict:
    caller: Caller | None
    until: float


class TokenReviewer:
    """Asks the API server who holds a token. `clock` gives Unix seconds."""

    def __init__(
        self, api: Api, *, namespaces: frozenset[str], service_account: str, clock: Callable[[], float]
    ) -> None:
        self._api = api
        self._namespace_of_user = {
            f"system:serviceaccount:{namespace}:{service_account}": namespace for namespace in namespaces
        }
        self._clock = clock
        self._verdicts: OrderedDict[bytes, _Verdict] = OrderedDict()

    async def identify(self, token: str) -> Caller | None:
        """Return the pod that holds this token, or None. Raises ApiUnavailableError where nobody could be asked."""
        claims = _claims(token)
        if claims is None or claims.get("sub") not in self._namespace_of_user:
            # Its own words are enough to refuse it; only the API server's are enough to believe it.
            return None
        digest = hashlib.sha256(token.encode()).digest()
        now = self._clock()
        known = self._verdicts.get(digest)
        if known is not None and known.until > now:
            return known.caller
        caller = await self._review(token)
        self._keep(digest, _Verdict(caller=caller, until=_valid_until(caller, claims, now)))
        return caller

    async def _review(self, token: str) -> Caller | None:
        answer = await self._api.create(
            TOKEN_REVIEWS,
            {
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenReview",
                "spec": {"token": token, "audiences": [REPORT_AUDIENCE]},
            },
        )
        return self._caller_of(answer.get("status") or {})

    def _caller_of(self, status: Mapping[str, Any]) -> Caller | None:
        if not status.get("authenticated") or REPORT_AUDIENCE not in (status.get("audiences") or ()):
            return None
        user = status.get("user") or {}
        extra = user.get("extra") or {}
        namespace = self._namespace_of_user.get(user.get("username", ""))
        names, uids = list(extra.get(_POD_NAME) or ()), list(extra.get(_POD_UID) or ())
        if namespace is None or len(names) != 1 or len(uids) != 1:
            return None
        return Caller(namespace=namespace, pod_name=names[0], pod_uid=uids[0])

    def _keep(self, digest: bytes, verdict: _Verdict) -> None:
        self._verdicts[digest] = verdict
        self._verdicts.move_to_end(digest)
        while len(self._verdicts) > _MAX_VERDICTS:
            self._verdicts.popitem(last=False)


def _valid_until(caller: Caller | None, claims: Mapping[str, Any], now: float) -> float:
    if caller is None:
        return now + _BAD_SECONDS
    expires = claims.get("exp")
    return min(now + _GOOD_SECONDS, float(expires)) if isinstance(expires, int | float) else now


def _claims(token: str) -> dict[str, Any] | None:
    """Return what a token says of itself, unproved; None where it is no JSON Web Token (RFC 7519)."""
    parts = token.split(".")
    if len(parts) != _JWT_PARTS or len(token) > _MAX_TOKEN_CHARACTERS or not token.isascii():
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError):
        return None
    return claims if isinstance(claims, dict) else None
