"""`make demo`: a film on this machine alone, no cluster, no root, no keys; it must leave nothing running behind."""

import fcntl
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, NoReturn

from rich.console import Console

from film_making import results
from film_making.background import Background
from film_making.emulators import Emulators
from film_making.failure import FilmError
from film_making.places import DEMO, shown
from film_making.samples import (
    DEMO_KEYS,
    load_channel,
    load_task,
    parse_channel,
    parse_task,
    with_fresh_name,
)
from videotask_contract.phases import ERRORS, STOPPED, Phase, phase_of_resource
from videotask_contract.resources import ChannelSpec, VideoTaskSpec
from videotask_contract.steps import Provider
from videotask_operator.cli.progress import FilmProgress, format_seconds
from videotask_operator.core.order import account_for
from videotask_operator.laptop import READY
from videotask_operator.local.files import read_json
from videotask_operator.local.folder import LocalFolder

_OPERATOR_START_SECONDS = 90.0
_FILM_SECONDS = {False: 600.0, True: 3600.0}
_LOOK_SECONDS = 0.1
_POLL_INTERVAL_SECONDS = "0.5"
"""The emulators' clips take seconds, not minutes: Kling is asked more often than in earnest."""


def main() -> int:
    """Make the film and return the exit code."""
    console = Console(highlight=False)
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, _interrupt)
    try:
        with _only_one_demo():
            _make_film(console, full=os.environ.get("FULL", "") not in {"", "0"})
    except FilmError as error:
        console.print(f"make demo: {error}", style="red", markup=False, soft_wrap=True)
        return error.exit_code
    except KeyboardInterrupt:
        console.print("make demo: interrupted; nothing of it runs any more")
        return 130
    return 0


def _make_film(console: Console, *, full: bool) -> None:
    channel_manifest, task_manifest = load_channel(), with_fresh_name(load_task(full=full))
    channel, task = parse_channel(channel_manifest), parse_task(task_manifest)
    name = task_manifest["metadata"]["name"]
    with _machinery(channel) as (folder, emulators, operator):
        folder.apply(channel_manifest)
        folder.apply(task_manifest)
        started = time.monotonic()
        status = _watch(console, folder, operator, name=name, title=results.film_title(task), full=full)
        made_seconds = time.monotonic() - started
        billed_usd = emulators.billed_usd()
    source = folder.volume(channel.volume.claim_name) / status["film"]["path"]
    console.print("Drawing the contact sheet, and the composites before and after ...", style="dim")
    film = results.keep(source, source.parent, name=name, status=status, task=task, channel=channel)
    console.print()
    if console.is_terminal:
        console.print(f"Made in {format_seconds(made_seconds)}", style="bold")  # its parts stand just above
    else:
        console.print(results.time_table(status, title=f"Made in {format_seconds(made_seconds)}"))
    results.tell_files(console, film)
    results.settle_accounts(console, Decimal(status["costUSD"]), billed_usd)
    _tell_price(console, channel, task, full=full)
    results.next_commands(console, results.AFTER_DEMO)


@contextmanager
def _machinery(channel: ChannelSpec) -> Iterator[tuple[LocalFolder, Emulators, Background]]:
    """Sweep the last demo, start emulators and operator, and end both whatever happens."""
    emulators, operator = Emulators(DEMO), Background("operator", DEMO)
    folder = LocalFolder(DEMO / "operator")
    _sweep(emulators, operator)
    try:
        emulators.start()
        _prepare(folder, channel)
        operator.start(
            [sys.executable, "-m", "videotask_operator.laptop", folder.root],
            environment={
                "VIDEOTASK_PROVIDER_BASE_URLS": json.dumps(dict.fromkeys(Provider, emulators.url)),
                "VIDEOTASK_POLL_INTERVAL_SECONDS": _POLL_INTERVAL_SECONDS,
            },
        )
        operator.wait_until((folder.root / READY).exists, timeout_seconds=_OPERATOR_START_SECONDS)
        yield folder, emulators, operator
    finally:
        operator.end()
        emulators.program.end()


def _prepare(folder: LocalFolder, channel: ChannelSpec) -> None:
    folder.prepare()
    folder.make_volume(channel.volume.claim_name)
    for provider in Provider:
        secret = account_for(channel, provider).secret_ref
        folder.save_secret(secret.name, {secret.key: DEMO_KEYS[provider]})


def _sweep(emulators: Emulators, operator: Background) -> None:
    """End what a demo that was killed left running, then remove all it left lying."""
    operator.end()
    emulators.program.end()
    _end_postgres()
    for path in DEMO.iterdir():
        if path.name != _LOCK:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _end_postgres() -> None:
    from videotask_operator.local.postgres import stop_postgres  # noqa: PLC0415  its import takes half a second

    stop_postgres(DEMO / "operator" / "postgres")


def _watch(
    console: Console, folder: LocalFolder, operator: Background, *, name: str, title: str, full: bool
) -> dict[str, Any]:
    """Show the film's way until it is on show; FilmError when it stops before."""
    deadline = time.monotonic() + _FILM_SECONDS[full]
    with FilmProgress(console, title=title) as progress:
        while True:
            status: dict[str, Any] = (read_json(folder.status(name)) or {}).get("status", {})
            progress.show(status)
            phase = phase_of_resource(status.get("phase", Phase.QUEUED.resource))
            if phase is Phase.FINAL_REVIEW:
                return status
            if phase in STOPPED:
                raise FilmError(_why(status, phase, folder))
            operator.check()
            if time.monotonic() > deadline:
                raise FilmError(f"no film after {_FILM_SECONDS[full]:.0f} s; {_logs(folder)}")
            time.sleep(_LOOK_SECONDS)


def _why(status: dict[str, Any], phase: Phase, folder: LocalFolder) -> str:
    what = "failed" if phase in ERRORS else "stopped"
    return f"the film {what} at {phase.label}: {status.get('message', '')}; {_logs(folder)}"


def _logs(folder: LocalFolder) -> str:
    return f"what the steps said is in {shown(folder.logs)}, what the operator said in {shown(DEMO / 'operator.log')}"


def _tell_price(console: Console, channel: ChannelSpec, task: VideoTaskSpec, *, full: bool) -> None:
    console.print()
    console.print(results.price(channel, task, title="With the real providers this film would cost"))
    if not full:
        house = parse_task(load_task(full=True))
        console.print(f"The house film (FULL=1: 22 images, 18 scenes): {results.price_in_words(channel, house)}")


_LOCK = "lock"


@contextmanager
def _only_one_demo() -> Iterator[None]:
    DEMO.mkdir(parents=True, exist_ok=True)
    with (DEMO / _LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FilmError("another `make demo` is under way in this checkout; wait for it or end it") from None
        yield


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
