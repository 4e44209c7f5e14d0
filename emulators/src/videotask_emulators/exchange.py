"""One call's way through faults, charging and answering, the same for every provider; error shapes are theirs."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from aiohttp import web

from videotask_emulators.bill import Charged, Outcome
from videotask_emulators.calls import Call
from videotask_emulators.faults import Fault, FaultKind
from videotask_emulators.keys import Key
from videotask_emulators.prices import Charge
from videotask_emulators.world import WORLD, World

CALL: web.RequestKey[Call] = web.RequestKey("call", Call)

_HTML = (
    "<!doctype html><html><head><title>Checking your browser</title></head>"
    "<body><h1>One moment, please</h1></body></html>"
)
_LOOK_EVERY_SECONDS = 0.05


class Refusal(Exception):  # noqa: N818 - it is an answer, carried past the handler
    """An error answer in the provider's own shape."""

    def __init__(self, response: web.Response) -> None:
        super().__init__(response.status)
        self.response = response


class NoAnswer(Exception):  # noqa: N818 - it is an ending, not an error
    """The connection was cut on purpose."""


@dataclass(slots=True, kw_only=True)
class Exchange:
    """One call that has shown a good key: it meets at most one fault and is charged at most once."""

    request: web.Request
    world: World
    call: Call
    key: Key
    fault: Fault | None = None

    def has(self, *kinds: FaultKind) -> bool:
        """Tell whether the call met one of these faults."""
        return self.fault is not None and self.fault.kind in kinds

    def param(self, name: str, default: Any) -> Any:
        """Return a parameter of the met fault."""
        return default if self.fault is None else self.fault.params.get(name, default)

    def price_factor(self) -> Decimal:
        """Return what the price fault makes of this call's price; 1 without it."""
        return Decimal(str(self.param("factor", 1))) if self.has(FaultKind.PRICE) else Decimal(1)

    async def meet_fault(self, refusal_for: Callable[[Fault], web.Response | None]) -> None:
        """Take the fault that waits for this call and let it act as far as it acts before anything is charged."""
        self.fault = self.world.faults.take(self.call)
        if self.fault is None:
            return
        if self.has(FaultKind.TIMEOUT_BEFORE_CHARGING):
            await self._wait_out(float(self.param("hold_seconds", self.world.settings.hold_seconds)))
            self.cut()
        if self.has(FaultKind.HOLD_CALL) and self.param("stage", "before_charging") == "before_charging":
            await self.hold()
        response = refusal_for(self.fault)
        if response is not None:
            raise Refusal(response)

    async def charge(self, charge: Charge, kind: str, *, external_task_id: str = "") -> None:
        """Write the charge into the bill, then let the faults act that come after charging."""
        self.world.bill.add(
            Charged(
                provider=self.call.provider,
                key_id=self.key.name,
                model=self.call.model,
                kind=kind,
                request_id=self.call.request_id,
                charge=charge,
                prompt_sha256=self.call.prompt_sha256,
                text=self.call.prompt,
                external_task_id=external_task_id,
                outcome=self._outcome(),
            )
        )
        if self.has(FaultKind.TIMEOUT_AFTER_CHARGING):
            await self._wait_out(float(self.param("hold_seconds", self.world.settings.hold_seconds)))
            self.cut()
        if self.has(FaultKind.DISCONNECT_AFTER_CHARGING):
            self.cut()
        if self.has(FaultKind.HOLD_CALL) and self.param("stage", "before_charging") == "after_charging":
            await self.hold()

    async def hold(self) -> None:
        """Hold the call until the control API releases it, its caller leaves, or the server ends."""
        released = asyncio.Event()
        self.world.held[self.call.request_id] = released
        self.world.held_calls[self.call.request_id] = self.call.as_json()
        try:
            await self._wait_out(float(self.param("hold_seconds", self.world.settings.hold_seconds)), released)
        finally:
            del self.world.held[self.call.request_id]
            del self.world.held_calls[self.call.request_id]

    def cut(self) -> None:
        """Cut the connection without an answer; always raises NoAnswer."""
        if self.request.transport is not None:
            self.request.transport.abort()
        raise NoAnswer

    def json(self, document: Any, headers: dict[str, str] | None = None) -> web.Response:
        """Return a JSON answer, spoiled if the call met such a fault."""
        response = web.json_response(document, headers=headers)
        if self.has(FaultKind.HTML_AT_200):
            return html_page()
        if self.has(FaultKind.TRUNCATED_JSON) and self.call.operation != "text":
            whole = response.body
            response.body = whole[: len(whole) * 3 // 5] if isinstance(whole, bytes) else b"{"
        return response

    async def media(self, content: bytes, content_type: str, headers: dict[str, str]) -> web.StreamResponse:
        """Return media as the body, spoiled if the call met such a fault."""
        if self.has(FaultKind.HTML_AT_200):
            return html_page()
        if self.has(FaultKind.TRUNCATED_MEDIA) and self.param("mode", "short") == "connection":
            response = web.StreamResponse(headers={**headers, "Content-Type": content_type})
            response.content_length = len(content)
            await response.prepare(self.request)
            await response.write(content[: len(content) // 2])
            self.cut()
        return web.Response(body=self.spoiled(content), content_type=content_type, headers=headers)

    def spoiled(self, content: bytes) -> bytes:
        """Return media bytes cut or emptied if the call met such a fault."""
        if self.has(FaultKind.EMPTY_MEDIA):
            return b""
        if self.has(FaultKind.TRUNCATED_MEDIA):
            return content[: int(len(content) * float(self.param("share", 0.5)))]
        return content

    @contextlib.asynccontextmanager
    async def in_flight(self, what: str) -> AsyncIterator[None]:
        """Count this call as one in flight of `what` for its key."""
        self.key.enter(what)
        try:
            yield
        finally:
            self.key.leave(what)

    def _outcome(self) -> Outcome:
        if self.has(FaultKind.TIMEOUT_AFTER_CHARGING):
            return "timed_out_after_charging"
        if self.has(FaultKind.DISCONNECT_AFTER_CHARGING):
            return "disconnected_after_charging"
        return "client_gone" if self.request.transport is None else "answered"

    async def _wait_out(self, seconds: float, released: asyncio.Event | None = None) -> None:
        """Wait until the time is over, the event is set, the caller has left, or the server ends."""
        until = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < until:
            if self.world.closing.is_set() or self.request.transport is None:
                return
            if released is not None and released.is_set():
                return
            await asyncio.sleep(_LOOK_EVERY_SECONDS)


def open_exchange(request: web.Request, key: Key) -> Exchange:
    """Return the exchange of a call whose key is good."""
    call = request[CALL]
    call.key_name = key.name
    return Exchange(request=request, world=request.app[WORLD], call=call, key=key)


def html_page() -> web.Response:
    """Return the page that a proxy in between shows instead of the API's answer."""
    return web.Response(text=_HTML, content_type="text/html")
