"""What a person sees while a long thing runs; it must never write to stdout, which is for results."""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator

_HEARTBEAT_SECONDS = 30.0


def _is_coloured() -> bool:
    return sys.stderr.isatty() and "NO_COLOR" not in os.environ


def paint(text: str, colour: str) -> str:
    """Return `text` in a colour ("green", "red", "yellow", "dim") where stderr is a terminal, else as it is."""
    if not _is_coloured():
        return text
    code = {"green": "32", "red": "31", "yellow": "33", "dim": "2"}[colour]
    return f"\033[{code}m{text}\033[0m"


def say(text: str) -> None:
    """Write one line to stderr."""
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def progress(title: str, *, expected: str = "") -> Iterator[None]:
    """Say what runs, how long it is expected to take, that it still runs, and how long it took in seconds."""
    note = f" (about {expected} the first time)" if expected else ""
    say(f"{paint('·', 'dim')} {title}{note} ...")
    started = time.monotonic()
    ended = threading.Event()
    heart = threading.Thread(target=_beat, args=(title, started, ended), daemon=True)
    heart.start()
    try:
        yield
    except BaseException:
        _finish(heart, ended)
        say(f"{paint('✗', 'red')} {title} failed after {time.monotonic() - started:.1f} s")
        raise
    _finish(heart, ended)
    say(f"{paint('✓', 'green')} {title}: {time.monotonic() - started:.1f} s")


def _finish(heart: threading.Thread, ended: threading.Event) -> None:
    ended.set()
    heart.join()


def _beat(title: str, started: float, ended: threading.Event) -> None:
    terminal = sys.stderr.isatty()
    while not ended.wait(1.0 if terminal else _HEARTBEAT_SECONDS):
        elapsed_seconds = time.monotonic() - started
        if terminal:
            sys.stderr.write(f"\r\033[K  {elapsed_seconds:.0f} s")
            sys.stderr.flush()
        else:
            say(f"  {title}: still at it, {elapsed_seconds:.0f} s")
    if terminal:
        sys.stderr.write("\r\033[K")
        sys.stderr.flush()
