"""Requests to the API server as plain dicts, each with a time-out; turns every failure into the one tree of errors."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Protocol, Self

import aiohttp
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.client.rest import RESTClientObject

from videotask_contract.errors import FailureClass, PermanentError, TransientError
from videotask_contract.resources import MANAGED_BY

_KEEP_ALIVE_SECONDS: Final = 80.0
"""The API server closes idle connections after 90 s (apiserver's IdleTimeout); a kept one saves a TLS handshake."""
_CONNECT_SECONDS: Final = 5.0
_PAGE_SIZE: Final = 100
"""Objects asked for at once: of films, as they come, some ten megabytes."""
_GONE: Final = 410
_TEMPORARY: Final = frozenset({401, 408, 425, 429})
"""401: a token that has just been rotated; the next request reads the new one."""
_SERVER_ERROR: Final = 500
_NOT_OK: Final = 400

JSON_PATCH: Final = "application/json-patch+json"
MERGE_PATCH: Final = "application/merge-patch+json"
METADATA_ONLY: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


class Sink(Protocol):
    """Takes a list in, page by page."""

    def extend(self, bodies: Iterable[dict[str, Any]], /) -> None:
        """Take the next page in."""

    def clear(self) -> None:
        """Forget all pages: the list begins anew."""


class ApiRefusedError(PermanentError):
    """The API server answered and said no; `status` is its HTTP status."""

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message, provider_code=str(status))
        self.status = status


class ApiUnavailableError(TransientError):
    """The API server did not answer, or asked for patience; nothing may be concluded about any object."""


class Api:
    """One connection pool to the API server, for one event loop. Use as an async context manager, or close it."""

    def __init__(self, configuration: Configuration, *, timeout_seconds: float = 10.0) -> None:
        # The cluster's own address is never behind the proxy that the environment names.
        configuration.client_session_kwargs = {"trust_env": False}
        self._client = ApiClient(configuration)
        # Names us in managedFields and in the API server's audit log.
        self._client.user_agent = MANAGED_BY
        self._client.rest_client = _KeepAliveRest(configuration)
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds, sock_connect=_CONNECT_SECONDS)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections at once, without the TLS goodbye that the loop may not live long enough to hear."""
        session = self._client.rest_client.pool_manager
        if session is not None and session.connector is not None:
            await session.connector.close(abort_ssl=True)
        await self._client.close()  # type: ignore[no-untyped-call]
        await asyncio.sleep(0)

    async def fetch(self, path: str, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        """GET one object."""
        return await self._send("GET", path, query=query)

    async def fetch_or_none(self, path: str) -> dict[str, Any] | None:
        """GET one object; None only when the API server itself says that there is none."""
        try:
            return await self.fetch(path)
        except ApiRefusedError as error:
            if error.status == 404:  # noqa: PLR2004  HTTP's own number
                return None
            raise

    async def fetch_list(
        self,
        path: str,
        *,
        label_selector: str | None = None,
        field_selector: str | None = None,
        accept: str = "application/json",
    ) -> tuple[list[dict[str, Any]], str]:
        """GET a whole list, page by page, at one resource version; return its items and that version."""
        items: list[dict[str, Any]] = []
        version = await self.read_list(
            path, items, label_selector=label_selector, field_selector=field_selector, accept=accept
        )
        return items, version

    async def read_list(
        self,
        path: str,
        sink: Sink,
        *,
        label_selector: str | None = None,
        field_selector: str | None = None,
        accept: str = "application/json",
    ) -> str:
        """Hand a whole list to `sink`, page by page, at one resource version; return that version.

        No page is kept once it was handed over: a thousand films as they come are a hundred megabytes. A list that
        took so long that the API server no longer has its version (410) is begun anew, once.
        """
        selectors = {"labelSelector": label_selector, "fieldSelector": field_selector}
        query = {"limit": str(_PAGE_SIZE)} | {name: value for name, value in selectors.items() if value}
        try:
            return await self._read_pages(path, sink, dict(query), accept)
        except ApiRefusedError as error:
            if error.status != _GONE:
                raise
        sink.clear()
        return await self._read_pages(path, sink, query, accept)

    async def _read_pages(self, path: str, sink: Sink, query: dict[str, str], accept: str) -> str:
        while True:
            metadata = await self._read_page(path, sink, query, accept)
            if not metadata.get("continue"):
                version: str = metadata.get("resourceVersion", "")
                return version
            query["continue"] = metadata["continue"]

    async def _read_page(self, path: str, sink: Sink, query: Mapping[str, str], accept: str) -> Mapping[str, Any]:
        page = await self._send("GET", path, query=query, accept=accept)
        sink.extend(page.get("items") or [])
        metadata: Mapping[str, Any] = page.get("metadata", {})
        return metadata

    async def create(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """POST an object; it has its own name, so that a repeated request changes nothing."""
        return await self._send("POST", path, body=body)

    async def patch(
        self, path: str, body: Mapping[str, Any] | Sequence[Any], *, content_type: str = MERGE_PATCH
    ) -> dict[str, Any]:
        """PATCH an object."""
        return await self._send("PATCH", path, body=body, content_type=content_type)

    async def delete(self, path: str, *, uid: str | None = None) -> None:
        """DELETE in the background; with a uid only the object that has it. Gone already is success."""
        options: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        try:
            await self._send("DELETE", path, body=options)
        except ApiRefusedError as error:
            # 409 is the precondition: the object of this uid is gone and another has its name.
            if error.status not in {404, 409}:
                raise

    async def _send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> dict[str, Any]:
        call = await self._client.param_serialize(
            method,
            path,
            query_params=list(query.items()) if query else None,
            header_params={"Accept": accept, "Content-Type": content_type},
            body=body,
            auth_settings=["BearerToken"],
        )
        try:
            status, data = await self._exchange(*call)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ApiUnavailableError(
                f"the Kubernetes API did not answer {method} {path}: {error!r}",
                failure_class=FailureClass.NETWORK,
            ) from error
        if status >= _NOT_OK:
            raise _error_of(status, data, f"{method} {path}")
        return _parse_answer(data, f"{method} {path}")

    async def _exchange(self, method: str, url: str, headers: dict[str, str], body: Any, _: Any) -> tuple[int, bytes]:
        for is_last in (False, True):
            try:
                response = await self._client.call_api(
                    method, url, header_params=headers, body=body, _request_timeout=self._timeout
                )
                return response.status, await response.read()  # type: ignore[no-untyped-call]
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                # A kept connection that the server closed at the same moment; all our requests may be repeated.
                if is_last:
                    raise
        raise AssertionError("unreachable")


class _KeepAliveRest(RESTClientObject):
    def _create_connector(self) -> aiohttp.TCPConnector:
        return aiohttp.TCPConnector(limit=self.maxsize, ssl=self.ssl_context, keepalive_timeout=_KEEP_ALIVE_SECONDS)


def _error_of(status: int, data: bytes, request: str) -> ApiRefusedError | ApiUnavailableError:
    message = f"the Kubernetes API answered {request} with {status}: {_reason(data)}"
    if status >= _SERVER_ERROR or status in _TEMPORARY:
        return ApiUnavailableError(message)
    return ApiRefusedError(message, status=status)


def _reason(data: bytes) -> str:
    try:
        answer = json.loads(data)
    except ValueError:
        return data[:200].decode(errors="replace")
    return str(answer.get("message", ""))[:500] if isinstance(answer, dict) else ""


def _parse_answer(data: bytes, request: str) -> dict[str, Any]:
    try:
        answer = json.loads(data)
    except ValueError as error:
        raise ApiUnavailableError(f"the answer to {request} is no JSON: {data[:100]!r}") from error
    if not isinstance(answer, dict):
        raise ApiUnavailableError(f"the answer to {request} is no object: {data[:100]!r}")
    return answer
