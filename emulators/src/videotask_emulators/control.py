"""A small client of the control API for tests and demos; it talks to no provider path."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen


class ControlError(RuntimeError):
    """The control API refused a request; the message holds its words."""


@dataclass(frozen=True, slots=True)
class ControlClient:
    """Talks to one server's control API; `base_url` without a slash at its end."""

    base_url: str
    timeout_seconds: float = 30.0

    def health(self) -> dict[str, Any]:
        """Return what /healthz says."""
        return self._json("GET", "/healthz")

    def bill(self) -> dict[str, Any]:
        """Return {"total_usd": str, "entries": [...]} since the last reset."""
        return self._json("GET", "/_control/bill")

    def total_usd(self) -> Decimal:
        """Return the bill's sum."""
        return Decimal(self.bill()["total_usd"])

    def reset_bill(self) -> None:
        """Start a new bill."""
        self._json("POST", "/_control/bill/reset")

    def set_price_factor(self, factor: str | Decimal | float) -> None:
        """Bill every price times this factor from now on."""
        self._json("POST", "/_control/prices", {"factor": str(factor)})

    def calls(self, since: int = 0) -> list[dict[str, Any]]:
        """Return the calls with a number above `since`; an open one has the status None."""
        return list(self._json("GET", "/_control/calls?" + urlencode({"since": since}))["calls"])

    def in_flight(self) -> dict[str, dict[str, dict[str, int]]]:
        """Return, by "provider/key name", the calls or jobs in flight and their high-water marks."""
        return dict(self._json("GET", "/_control/calls?since=999999999")["keys"])

    def add_fault(
        self,
        kind: str,
        *,
        provider: str = "",
        match: Mapping[str, str] | None = None,
        times: int = 1,
        probability: float = 1.0,
        **params: Any,
    ) -> str:
        """Set a fault and return its id; `times` -1 is for ever."""
        document = {
            "kind": kind, "provider": provider, "match": dict(match or {}), "times": times, "probability": probability,
            "params": params,
        }  # fmt: skip
        return str(self._json("POST", "/_control/faults", document)["id"])

    def faults(self) -> list[dict[str, Any]]:
        """Return the faults that were set, with their hits."""
        return list(self._json("GET", "/_control/faults")["faults"])

    def clear_faults(self, fault_id: str = "") -> None:
        """Forget all faults, or the one with this id."""
        self._json("DELETE", "/_control/faults?" + urlencode({"id": fault_id}))

    def held(self) -> list[dict[str, Any]]:
        """Return the calls that a hold_call fault holds."""
        return list(self._json("GET", "/_control/held")["held"])

    def release(self, request_id: str = "") -> list[str]:
        """Let held calls go on, all or one; returns their request ids."""
        return list(self._json("POST", "/_control/release", {"request_id": request_id})["released"])

    def put_key(self, provider: str, **facts: Any) -> dict[str, Any]:
        """Add a key (key=, name=, secret=, plan=, concurrency=, credits_left=, trouble=) or change a named one."""
        return self._json("POST", "/_control/keys", {"provider": provider, **facts})

    def keys(self) -> list[dict[str, Any]]:
        """Return the keys, without their values."""
        return list(self._json("GET", "/_control/keys")["keys"])

    def add_voice(self, voice_id: str, name: str = "") -> None:
        """Make a voice exist."""
        self._json("POST", "/_control/voices", {"voice_id": voice_id, "name": name})

    def jobs(self) -> list[dict[str, Any]]:
        """Return Kling's jobs."""
        return list(self._json("GET", "/_control/jobs")["jobs"])

    def matte(self, image: bytes) -> bytes | None:
        """Return the true matte (PNG, mode L) of an image that came from here; None for an environment."""
        name = hashlib.sha256(image).hexdigest()
        try:
            return self._send("GET", f"/_control/matte?sha256={name}", None)
        except HTTPError as error:
            if error.code == 404:  # noqa: PLR2004 - not found
                return None
            raise

    def reset(self) -> None:
        """Forget faults and calls, start a new bill, and set the price factor to 1."""
        self._json("POST", "/_control/reset")

    def _json(self, method: str, path: str, document: Any = None) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = json.loads(self._send(method, path, document))
        except HTTPError as error:
            raise ControlError(
                f"{method} {path}: {error.code} {error.read().decode(errors='replace')[:2000]}"
            ) from error
        return answer

    def _send(self, method: str, path: str, document: Any) -> bytes:
        data = None if document is None else json.dumps(document).encode()
        request = Request(  # noqa: S310 - the base URL is the caller's own emulator
            self.base_url + path, data=data, method=method, headers={"Content-Type": "application/json"}
        )
        with urlopen(request, timeout=self.timeout_seconds) as response:  # noqa: S310 - as above
            return bytes(response.read())
