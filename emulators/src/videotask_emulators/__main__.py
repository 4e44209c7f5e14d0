"""Starts the emulators from the command line; see README.md of this folder."""

from videotask_emulators.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
