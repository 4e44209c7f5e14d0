"""A VideoTask's status as kubectl's own watch tells it; a watch that ends is begun again."""

import json
import queue
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import IO, Any

from film_making.failure import FilmError

_AGAIN_SECONDS = 1.0


def watch_status(
    name: str, namespace: str, *, look_seconds: float, timeout_seconds: float
) -> Iterator[Mapping[str, Any]]:
    """Yield the status at every change, and the last one again every `look_seconds` so that clocks go on.

    FilmError when the resource is gone, or after `timeout_seconds`.
    """
    news: queue.SimpleQueue[Mapping[str, Any]] = queue.SimpleQueue()
    watching = _Watch(name, namespace, news)
    watching.start()
    status: Mapping[str, Any] = {}
    deadline = time.monotonic() + timeout_seconds
    try:
        while time.monotonic() < deadline:
            with suppress(queue.Empty):
                status = news.get(timeout=look_seconds)
            yield status
    finally:
        watching.end()
    raise FilmError(
        f"no film after {timeout_seconds / 60:.0f} minutes; kubectl -n {namespace} describe videotask {name}"
    )


class _Watch(threading.Thread):
    """Reads `kubectl get -w -o json`, whose documents follow one another without a separator."""

    def __init__(self, name: str, namespace: str, news: "queue.SimpleQueue[Mapping[str, Any]]") -> None:
        super().__init__(daemon=True)
        self._command = ["kubectl", "get", "videotask", name, "-n", namespace, "-w", "-o", "json"]
        self._news = news
        self._ending = threading.Event()
        self._process: subprocess.Popen[str] | None = None

    def run(self) -> None:
        while not self._ending.is_set():
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
            if self._process.stdout is not None:
                for document in _documents(self._process.stdout):
                    self._news.put(document.get("status", {}))
            self._process.wait()
            self._ending.wait(_AGAIN_SECONDS)

    def end(self) -> None:
        """End the watch and its program."""
        self._ending.set()
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
        self.join(timeout=10)


def _documents(stream: IO[str]) -> Iterator[dict[str, Any]]:
    decoder, text = json.JSONDecoder(), ""
    for line in stream:
        text += line
        # kubectl prints each object over many lines and closes it at the left margin.
        if line[:1] not in {"{", "}"} or not line.rstrip().endswith("}"):
            continue
        with suppress(ValueError):
            found, end = decoder.raw_decode(text.lstrip())
            text = text.lstrip()[end:]
            yield found
