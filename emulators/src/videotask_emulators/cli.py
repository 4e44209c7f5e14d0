"""The command line: `python -m videotask_emulators serve`; it only reads arguments and starts the server."""

import argparse
import asyncio
import json
import logging
import tempfile
from pathlib import Path

from videotask_emulators import __version__
from videotask_emulators.keys import Key, default_keys
from videotask_emulators.latency import Latency
from videotask_emulators.settings import Settings


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format='{"event":"log","message":"%(message)s"}')
    if options.state_dir is not None:
        asyncio.run(_serve(options, options.state_dir))
        return 0
    with tempfile.TemporaryDirectory(prefix="videotask-emulators-") as folder:
        asyncio.run(_serve(options, Path(folder)))
    return 0


async def _serve(options: argparse.Namespace, state_dir: Path) -> None:
    from videotask_emulators.server import serve  # noqa: PLC0415 - worker processes import this module and need no server

    settings = Settings(
        state_dir=state_dir,
        host=options.host,
        port=options.port,
        latency=Latency(options.latency),
        seed=options.seed,
        public_url=options.public_url.rstrip("/"),
        clip_frames_per_second=options.clip_fps,
        workers=options.workers,
        hold_seconds=options.hold_seconds,
        keys=_keys(options.keys_file),
        voices=tuple(options.voice),
    )
    await serve(settings, pid_file=options.pid_file, url_file=options.url_file)


def _keys(path: Path | None) -> list[Key]:
    """Return the file's keys, a JSON list of what `POST /_control/keys` takes; the demo's keys without a file."""
    if path is None:
        return default_keys()
    from videotask_emulators.control_api import apply_key  # noqa: PLC0415 - as above

    return [apply_key(entry, None) for entry in json.loads(path.read_text("utf-8"))]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="videotask_emulators", description="Gemini, Kling and ElevenLabs on loopback."
    )
    parser.add_argument("--version", action="version", version=__version__)
    serve = parser.add_subparsers(dest="command", required=True).add_parser("serve", help="run the server")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    serve.add_argument("--port", type=int, default=8080, help="port; 0 takes a free one (default %(default)s)")
    serve.add_argument("--state-dir", type=Path, help="folder for bill, jobs and media; a temporary one without it")
    serve.add_argument("--pid-file", type=Path, help="file for the process id, removed at the end")
    serve.add_argument("--url-file", type=Path, help="file for the URL, written once the port listens")
    serve.add_argument("--latency", choices=[pace.value for pace in Latency], default=Latency.DEMO.value, help="pace")
    serve.add_argument("--seed", type=int, default=1, help="seed of all that prompts leave open (default %(default)s)")
    serve.add_argument("--public-url", default="", help="what result URLs begin with (default: the caller's Host)")
    serve.add_argument("--clip-fps", type=int, default=24, help="frames a second of clips (default %(default)s)")
    serve.add_argument("--workers", type=int, default=2, help="worker processes for media (default %(default)s)")
    serve.add_argument("--hold-seconds", type=float, default=3600.0, help="how long time-out faults hold a connection")
    serve.add_argument("--keys-file", type=Path, help="JSON list of keys, instead of the demo's")
    serve.add_argument("--voice", action="append", default=[], help="a voice id that exists, beside the premade ones")
    return parser
