"""The `videotask` command: what kubectl cannot do for a person; it must never have more rights than that person has."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from videotask_contract import VERSION
from videotask_contract.errors import VideoTaskError
from videotask_operator.cli.fetch import fetch_film
from videotask_operator.cli.kubectl import current_namespace


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out one command and return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except VideoTaskError as error:
        sys.stderr.write(f"videotask: {error.message}\n")
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("videotask", description="Films on Kubernetes, beside kubectl.")
    parser.add_argument("--version", action="version", version=f"videotask {VERSION}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    fetch = commands.add_parser("fetch", help="copy a finished film to this machine")
    fetch.add_argument("task", help="name of the VideoTask")
    fetch.add_argument("-n", "--namespace", help="its namespace (default: that of kubectl's current context)")
    fetch.add_argument("-o", "--output", type=Path, help="file to write (default: TASK.mp4)")
    fetch.add_argument(
        "--image", help="image of the pod that reads the volume; it needs sleep and tar (default: a step's)"
    )
    fetch.set_defaults(run=_fetch)
    return parser


def _fetch(options: argparse.Namespace) -> int:
    output: Path = options.output or Path(f"{options.task}.mp4")
    namespace = options.namespace or current_namespace()
    output.parent.mkdir(parents=True, exist_ok=True)
    # Beside its end, so that the last move is a rename and no half a film ever stands there.
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".fetch-") as folder:
        film = fetch_film(task=options.task, namespace=namespace, target=Path(folder), image=options.image)
        film.replace(output)
    sys.stdout.write(f"{output}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
