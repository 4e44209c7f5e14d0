"""The base image for machines that reach no registry: Debian with its Python; it must never differ between images."""

import hashlib
import inspect
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from local_cluster import places
from local_cluster.commands import run
from local_cluster.console import progress

_SUITE = "trixie"  # its Python is 3.13, as in the public base python:3.13-slim-trixie
_PACKAGES = ("python3", "python3-venv", "ca-certificates")
_UNNEEDED = (
    "dev/*",
    "usr/share/doc/*",
    "usr/share/man/*",
    "usr/share/info/*",
    "usr/share/locale/*",
    "usr/share/lintian/*",
    "usr/share/bash-completion/*",
    "usr/lib/*/gconv/*",
    "usr/lib/*/perl-base/*",
    "usr/bin/perl*",
    "var/cache/apt/*",
    "var/cache/debconf/*",
    "var/lib/apt/lists/*",
    "var/log/*.log",
    "var/log/apt/*",
)


def base_reference() -> str:
    """Return the base image's name; its tag says how it is made."""
    recipe = f"{_SUITE}{_PACKAGES}{_UNNEEDED}{inspect.getsource(fill_base_folder)}"
    return f"localhost/videotask-base:{_SUITE}-{hashlib.sha256(recipe.encode()).hexdigest()[:8]}"


def fill_base_folder(folder: Path) -> None:
    """Bootstrap Debian into the folder and cut what no container needs."""
    command = ["debootstrap", "--variant=minbase", f"--include={','.join(_PACKAGES)}", _SUITE, str(folder)]
    run(command, log=places.CACHE / "logs" / "debootstrap.log", timeout_seconds=1200)
    for pattern in _UNNEEDED:
        for path in folder.glob(pattern):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    for cache in folder.glob("usr/share/**/__pycache__"):
        shutil.rmtree(cache)


def make_base(build: Callable[[Path, str], None]) -> None:
    """Make the base in a folder that is gone afterwards; `build(context, reference)` turns it into an image."""
    with (
        progress(f"Making the base image (Debian {_SUITE} with Python)", expected="2 minutes"),
        tempfile.TemporaryDirectory(dir=places.CACHE, prefix="base-") as scratch,
    ):
        fill_base_folder(Path(scratch) / "root")
        (Path(scratch) / "Dockerfile").write_text('FROM scratch\nADD root /\nCMD ["python3"]\n')
        build(Path(scratch), base_reference())
