"""`make film`: a film on a real cluster, from nothing to the approve command; it must never spend without a yes."""

import os
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, NoReturn

from rich.console import Console

from film_making import results
from film_making.failure import FilmError
from film_making.installation import Installation, run_script, use_cluster
from film_making.key_file import check_keys, read_keys
from film_making.places import BUILD, REPOSITORY
from film_making.samples import (
    DEMO_KEYS,
    Manifest,
    load_channel,
    load_task,
    parse_channel,
    parse_task,
    with_first_scenes,
    with_fresh_name,
)
from film_making.stopwatch import Stopwatch
from film_making.watch import watch_status
from videotask_contract.errors import VideoTaskError
from videotask_contract.phases import ERRORS, STOPPED, Phase, phase_of_resource
from videotask_contract.resources import ChannelSpec, VideoTaskSpec
from videotask_contract.steps import Provider
from videotask_operator.cli.fetch import fetch_film
from videotask_operator.cli.progress import FilmProgress, format_seconds
from videotask_operator.settings import Settings

_NO_CLUSTER = 3
"""Exit code of scripts/cluster where no cluster can run; it has said why."""
_FILM_SECONDS = 3 * 3600.0
_LOOK_SECONDS = 0.25
_SHEET_PARTS = ("storyboard.json", "ledger", "assets", "composites", "narration")


def main() -> int:
    """Make the film and return the exit code."""
    console = Console(highlight=False)
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, _interrupt)
    try:
        _make_film(console)
    except FilmError as error:
        if str(error):
            console.print(f"make film: {error}", style="red", markup=False, soft_wrap=True)
        return error.exit_code
    except VideoTaskError as error:
        console.print(f"make film: {error.message}", style="red", markup=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print("\nmake film: interrupted; a film under way goes on in the cluster. Watch it, or cancel it:")
        console.print('  eval "$(scripts/cluster env)"; kubectl get videotasks -A -w', markup=False)
        return 130
    return 0


def _make_film(console: Console) -> None:
    channel_manifest, task_manifest = load_channel(), _wanted_task()
    channel, task = parse_channel(channel_manifest), parse_task(task_manifest)
    is_real = _wants_real_providers()
    base_urls = _base_urls()
    keys = _agreed_keys(console, channel, task, base_urls) if is_real else DEMO_KEYS
    namespace = os.environ.get("NAMESPACE") or ("films-real" if is_real else "films")
    installation = Installation(namespace=namespace, is_real=is_real)
    stopwatch = Stopwatch(console)
    _bring_up(stopwatch, installation, channel, keys, base_urls)
    billed_before = Decimal(0) if is_real else installation.billed_usd()
    name = task_manifest["metadata"]["name"]
    started = time.monotonic()
    console.print(
        f"── The film, as `kubectl -n {namespace} get videotask {name} -w` shows it",
        style="bold",
        markup=False,
        soft_wrap=True,
    )
    installation.apply_film(channel_manifest, task_manifest)
    status = _watch(console, name, namespace, title=results.film_title(task))
    made_seconds = time.monotonic() - started
    with stopwatch.part("fetch", "Fetching film and sheets from the channel's volume"):
        film = _fetch(name, namespace, status, task=task, channel=channel)
    _tell(console, stopwatch, status, film, made_seconds=made_seconds)
    if is_real:
        console.print(f"{'paid':<14}${status['costUSD']}, expected ${status['estimatedCostUSD']}")
    else:
        results.settle_accounts(console, Decimal(status["costUSD"]), installation.billed_usd() - billed_before)
    results.next_commands(console, _after_film(status, name, namespace))


def _bring_up(
    stopwatch: Stopwatch,
    installation: Installation,
    channel: ChannelSpec,
    keys: Mapping[Provider, str],
    base_urls: Mapping[Provider, str],
) -> None:
    with stopwatch.part("cluster", "A Kubernetes cluster (the first time: about 15 minutes of builds)"):
        _cluster_up()
        use_cluster()
    with stopwatch.part("images", "Images (the first time: some minutes)"):
        run_script("scripts/images")
    with stopwatch.part("chart", f"Operator, emulators and channel in namespace {installation.namespace}"):
        installation.prepare(channel, keys)
        installation.install(base_urls)


def _cluster_up() -> None:
    try:
        run_script("scripts/cluster", "up")
    except FilmError as error:
        if error.exit_code != _NO_CLUSTER:
            raise
        # scripts/cluster has just said which part is missing, and what to do instead.
        raise FilmError(
            "no cluster can run here; `make demo` makes a film without one", exit_code=_NO_CLUSTER
        ) from error


def _wanted_task() -> Manifest:
    task = with_fresh_name(load_task(full=True))
    scenes = os.environ.get("SCENES", "")
    if not scenes:
        return task
    if not scenes.isdecimal() or not 1 <= int(scenes) <= len(task["spec"]["storyboard"]["scenes"]):
        most = len(task["spec"]["storyboard"]["scenes"])
        raise FilmError(f"SCENES={scenes} cannot be made; give a number from 1 to {most}", exit_code=2)
    return with_first_scenes(task, int(scenes))


def _base_urls() -> dict[Provider, str]:
    """Return the providers' addresses; KLING_BASE_URL=https://api-beijing.klingai.com is for mainland accounts."""
    urls = Settings.model_fields["provider_base_urls"].get_default(call_default_factory=True)
    return {provider: os.environ.get(f"{provider.value.upper()}_BASE_URL") or urls[provider] for provider in Provider}


def _wants_real_providers() -> bool:
    """Tell what PROVIDERS asks for; a word that is not known must not end in the wrong purse."""
    wanted = os.environ.get("PROVIDERS") or "emulators"
    if wanted not in {"emulators", "real"}:
        raise FilmError(f"PROVIDERS={wanted} is not known; emulators (the default) or real", exit_code=2)
    return wanted == "real"


def _agreed_keys(
    console: Console, channel: ChannelSpec, task: VideoTaskSpec, base_urls: Mapping[Provider, str]
) -> dict[Provider, str]:
    """Return the real keys once they are proved, the price is told and a person has said yes."""
    keys = read_keys(REPOSITORY / (os.environ.get("KEYS") or "keys.env"))
    console.print("Checking the keys by calls that cost nothing ...")
    problems = check_keys(keys, base_urls)
    if problems:
        raise FilmError("a key does not work, and nothing was paid:\n  " + "\n  ".join(problems))
    console.print("All three keys work.\n")
    console.print(results.price(channel, task, title=f"{results.film_title(task)}: what it will cost"))
    console.print(f"No call is made that could pass spec.budgetUSD, ${_dollars(task)}.\n")
    _ask(console)
    return keys


def _dollars(task: VideoTaskSpec) -> str:
    try:
        return f"{task.budget:.2f}"
    except InvalidOperation as error:  # the contract's pattern keeps this from happening
        raise FilmError(f"spec.budgetUSD: {task.budget_usd} is no amount") from error


def _ask(console: Console) -> None:
    if os.environ.get("YES") == "1":
        return
    if not sys.stdin.isatty():
        raise FilmError("nobody can be asked without a terminal, so nothing is spent; YES=1 says yes beforehand")
    if console.input("Spend this money? [y/N] ").strip().lower() not in {"y", "yes"}:
        raise FilmError("nothing was spent")


def _watch(console: Console, name: str, namespace: str, *, title: str) -> Mapping[str, Any]:
    """Show the film's way until it is on show; FilmError when it stops before."""
    with FilmProgress(console, title=title) as progress:
        for status in watch_status(name, namespace, look_seconds=_LOOK_SECONDS, timeout_seconds=_FILM_SECONDS):
            progress.show(status)
            phase = phase_of_resource(status.get("phase", Phase.QUEUED.resource))
            if phase is Phase.FINAL_REVIEW:
                return status
            if phase in STOPPED:
                what = "failed" if phase in ERRORS else "stopped"
                raise FilmError(
                    f"the film {what} at {phase.label}: {status.get('message', '')}\n"
                    f'eval "$(scripts/cluster env)"; kubectl -n {namespace} describe videotask {name}'
                )
    raise FilmError("the watch ended before the film did")


def _fetch(name: str, namespace: str, status: Mapping[str, Any], *, task: VideoTaskSpec, channel: ChannelSpec) -> Path:
    BUILD.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILD, prefix="film-") as text:
        folder = Path(text)
        film = fetch_film(task=name, namespace=namespace, target=folder, parts=_SHEET_PARTS)
        return results.keep(film, folder, name=name, status=status, task=task, channel=channel)


def _tell(
    console: Console, stopwatch: Stopwatch, status: Mapping[str, Any], film: Path, *, made_seconds: float
) -> None:
    before = [part for part in stopwatch.parts if part[0] != "fetch"]
    after = [part for part in stopwatch.parts if part[0] == "fetch"]
    whole = format_seconds(stopwatch.seconds + made_seconds)
    console.print()
    title = f"Made in {format_seconds(made_seconds)}, in all {whole}"
    console.print(results.time_table(status, title=title, before=before, after=after))
    results.tell_files(console, film)


def _after_film(status: Mapping[str, Any], name: str, namespace: str) -> tuple[tuple[str, str], ...]:
    return (
        ('eval "$(scripts/cluster env)"', "makes kubectl and helm speak to this cluster"),
        (f"kubectl -n {namespace} describe videotask {name}", "what happened, and what to do next"),
        (status["review"]["command"], "approves the film, in the round on show"),
        ("scripts/cluster down", "ends the cluster and removes all it left"),
    )


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
