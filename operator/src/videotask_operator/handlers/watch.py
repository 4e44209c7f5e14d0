"""Watches VideoTasks, Channels, Jobs and pods with kopf in its own thread; hands each event over and does no more.

kopf gets `on.event` handlers alone: no timers, daemons or delete handlers, so that it writes no finalizers,
annotations or Events of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, cast

import kopf
import structlog

from videotask_operator.kube.connection import load_configuration
from videotask_operator.kube.paths import Kind

EventSink = Callable[[Kind, str | None, Mapping[str, Any]], None]
"""Kind, type (ADDED, MODIFIED, DELETED; None in a watch's first list) and object of one event."""

_log = structlog.get_logger()

_ERROR_BACKOFFS_SECONDS: Final = (0.2, 0.5, 1, 2, 2)
"""kopf's own end at 21 s; after these it lists anew, or ends and is begun again below."""
_RESTART_SECONDS: Final = 1.0
_STEADY_SECONDS: Final = 5.0
_IDENTITY: Final = "videotask-operator"
_NOWHERE: Final = "videotask-operator-watches-nothing"
_QUEUE_EXIT_SECONDS: Final = 0.5
_CHUNK_SIZE: Final = 100
_IDLE_SECONDS: Final = 0.5
"""kopf holds each object, whole, until nothing was heard of it for this long, by itself for 5 s: with a watch's first
list that is every film at once."""
_GRACE_SECONDS: Final = 1.5
"""kopf by itself waits 5 s for what was under way when it was told to end; a pod has no more than that in all."""
_TLS_SECONDS: Final = 0.1
"""A closed session needs a moment to say goodbye on its TLS connections (aiohttp, "Graceful shutdown")."""
_REQUEST_SECONDS: Final = 30.0
_CONNECT_SECONDS: Final = 5.0


class Watch:
    """A running watch; `stop` ends it."""

    def __init__(
        self, *, namespaces: Callable[[], Iterable[str]], on_event: EventSink, kubeconfig: Path | None = None
    ) -> None:
        self._namespaces = namespaces
        self._on_event = on_event
        self._kubeconfig = kubeconfig
        self._target = asyncio.get_running_loop()
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._current: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._began_at = time.monotonic()
        self.failures = 0
        """How often kopf has ended by itself and was begun again; without watches only the LISTs move films on."""

    def start(self) -> None:
        """Begin; events reach `on_event` in the loop in which this object was made."""
        self._thread.start()

    @property
    def is_steady(self) -> bool:
        """True while the watches hold: they never ended by themselves, or have not for some seconds."""
        held_seconds = time.monotonic() - self._began_at
        return self.is_alive and (self.failures == 0 or held_seconds >= _STEADY_SECONDS)

    @property
    def is_alive(self) -> bool:
        """True while the thread runs."""
        return self._thread.is_alive()

    def restart(self) -> None:
        """End the present watches and begin new ones, for example because the custom resources were not there."""
        with self._lock:
            if self._current is not None:
                loop, flag = self._current
                loop.call_soon_threadsafe(flag.set)

    async def stop(self, *, timeout_seconds: float = 4.0) -> bool:
        """End the watches and wait for the thread; False where it did not end in time and is left behind."""
        self._stopping.set()
        self.restart()
        await asyncio.to_thread(self._thread.join, timeout_seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                asyncio.run(self._watch())
            except Exception as error:  # noqa: BLE001  whatever ends kopf, the watches must go on
                self.failures += 1
                _log.warning("watch_ended", error=repr(error)[:500], failures=self.failures)
            self._stopping.wait(_RESTART_SECONDS)

    async def _watch(self) -> None:
        flag = asyncio.Event()
        self._began_at = time.monotonic()
        with self._lock:
            self._current = (asyncio.get_running_loop(), flag)
        # Made before kopf starts: of the tasks that are made later it waits for each when it ends.
        told_to_end = asyncio.create_task(flag.wait())
        watching = asyncio.create_task(self._operator(flag))
        try:
            if self._stopping.is_set():
                flag.set()
            await asyncio.wait({told_to_end, watching}, return_when=asyncio.FIRST_COMPLETED)
            await _end(watching)
        finally:
            told_to_end.cancel()
            with self._lock:
                self._current = None
        if not watching.cancelled():
            watching.result()

    async def _operator(self, flag: asyncio.Event) -> None:
        await kopf.operator(
            registry=self._registry(),
            settings=build_settings(),
            # None at all would mean the whole cluster to it.
            namespaces=list(self._namespaces()) or [_NOWHERE],
            standalone=True,
            # Its own guess asks for the user's name, which a pod's numeric user has not.
            identity=cast("Any", _IDENTITY),
            stop_flag=flag,
        )

    def _registry(self) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()
        kopf.on.login(registry=registry)(self._login)
        for kind in Kind:
            kopf.on.event(kind.group, kind.version, kind.value, registry=registry, id=f"see-{kind.value}")(
                self._handler(kind)
            )
        return registry

    def _handler(self, kind: Kind) -> Callable[..., Any]:
        async def hand_over(event: Mapping[str, Any], **_: Any) -> None:
            # A closed loop means that the process ends: there is nobody left to tell.
            with contextlib.suppress(RuntimeError):
                self._target.call_soon_threadsafe(self._on_event, kind, event["type"], event["object"])

        return hand_over

    async def _login(self, **_: Any) -> kopf.ConnectionInfo:
        configuration = await load_configuration(self._kubeconfig)
        header = await configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
        scheme, token = (header or " ").rsplit(" ", 1)
        return kopf.ConnectionInfo(
            server=configuration.host,
            ca_path=configuration.ssl_ca_cert,
            insecure=not configuration.verify_ssl,
            scheme=(scheme or "Bearer") if token else None,
            token=token or None,
            certificate_path=configuration.cert_file,
            private_key_path=configuration.key_file,
            proxy_url=configuration.proxy,
        )


def start(namespaces: Callable[[], Iterable[str]], on_event: EventSink, *, kubeconfig: Path | None = None) -> Watch:
    """Begin to watch; call it in the loop that wants the events, once everything was listed there.

    `namespaces` is asked whenever the watches begin anew: one in which a right is missing would end them all.
    """
    # kopf says "handler succeeded" for each event; what matters is said by the reconciler.
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
    # It warns that signals do not reach a thread; they are not meant to.
    logging.getLogger("kopf._core.reactor.running").setLevel(logging.ERROR)
    watch = Watch(namespaces=namespaces, on_event=on_event, kubeconfig=kubeconfig)
    watch.start()
    return watch


async def _end(watching: asyncio.Task[None]) -> None:
    """End kopf: by its flag, which was set, then by cancelling it."""
    await asyncio.wait({watching}, timeout=_GRACE_SECONDS)
    if not watching.done():
        watching.cancel()
        await asyncio.wait({watching}, timeout=_GRACE_SECONDS)
    await asyncio.sleep(_TLS_SECONDS)


def build_settings() -> kopf.OperatorSettings:
    """Return kopf's settings: it scans once, has no peers, posts nothing and asks only for what is ours."""
    settings = kopf.OperatorSettings()
    settings.scanning.disabled = True
    settings.peering.standalone = True
    settings.posting.enabled = False
    settings.networking.error_backoffs = _ERROR_BACKOFFS_SECONDS
    settings.networking.request_timeout = _REQUEST_SECONDS
    settings.networking.connect_timeout = _CONNECT_SECONDS
    settings.watching.chunk_size = _CHUNK_SIZE
    settings.queueing.idle_timeout = _IDLE_SECONDS
    settings.queueing.exit_timeout = _QUEUE_EXIT_SECONDS
    settings.process.ultimate_exiting_timeout = None
    for kind in Kind:
        if kind.label_selector is not None:
            settings.watching.label_selectors[kind.group, kind.version, kind.value] = kind.label_selector
    return settings
