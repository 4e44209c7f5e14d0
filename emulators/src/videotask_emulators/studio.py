"""Hands media work to worker processes, so that the event loop never waits and espeak's global state stays in one."""

import asyncio
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

Order = TypeVar("Order")
Result = TypeVar("Result")


class Studio:
    """A pool of worker processes that start when first needed and end with the program, however it ends."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._pool: ProcessPoolExecutor | None = None
        self._is_closed = False

    async def make(self, maker: Callable[[Order], Result], order: Order) -> Result:
        """Return what the maker makes of the order; a worker that died is replaced and the order given once more."""
        try:
            return await asyncio.wrap_future(self._ready().submit(maker, order))
        except BrokenProcessPool:
            if self._is_closed:
                raise
            self._pool = None
            return await asyncio.wrap_future(self._ready().submit(maker, order))

    def close(self) -> None:
        """End the workers at once, dropping what waits and what is being made."""
        self._is_closed = True
        if self._pool:
            self._pool.shutdown(wait=False, cancel_futures=True)
            for worker in multiprocessing.active_children():
                worker.terminate()

    def _ready(self) -> ProcessPoolExecutor:
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self._workers, mp_context=context, initializer=_end_with_parent)
        return self._pool


def _end_with_parent() -> None:
    """End this worker when the program is gone, even by SIGKILL, and leave Ctrl-C to the program."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent:
            parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
