"""The `videotask` command: a person's hand on films; it must never have more rights than that person has."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from videotask_contract.errors import VideoTaskError
from videotask_operator.cli.arguments import build_parser
from videotask_operator.cli.exits import CommandExit, exit_of


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out one command and return its exit code."""
    try:
        options = build_parser().parse_args(arguments)
        return int(options.run(options))
    except VideoTaskError as error:
        sys.stderr.write(f"videotask: {error.message}\n")
        return int(exit_of(error))
    except BrokenPipeError:
        # The reader of a pipe has seen enough; what Python would flush at its end has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(CommandExit.DONE)
    except OSError as error:
        # A file or folder of this machine; that it cannot be used is no bug of ours.
        where = f"{error.filename}: " if error.filename is not None else ""
        sys.stderr.write(f"videotask: {where}{error.strerror or error}\n")
        return int(CommandExit.FAILED)
    except KeyboardInterrupt:
        return int(CommandExit.INTERRUPTED)


if __name__ == "__main__":
    sys.exit(main())
