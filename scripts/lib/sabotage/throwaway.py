"""A throwaway copy of the work tree whose own sources are the ones that run, in every process its tests start."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sabotage import witness
from sabotage.patches import REPOSITORY, PatchError

SOURCES: Final = ("operator/src", "step_images/src", "emulators/src")
PACKAGES: Final = ("videotask_contract", "videotask_operator", "videotask_steps", "videotask_emulators")
WITNESS: Final = "sabotage_witness"
_VENV: Final = REPOSITORY / ".venv"
_IMAGES: Final = ".build/values-images.yaml"
"""What scripts/images has built, for the tests on a cluster."""


class CopyError(Exception):
    """The copy cannot be used."""


class Copy:
    """A folder with the work tree's files and a Python of its own that shares the venv's packages.

    That Python finds the copy's sources first, by a .pth file and not by a variable: some tests start programs with an
    environment of their own. The venv's .pth files are not followed, so that its editable install is never seen.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.python = root / ".venv" / "bin" / "python"

    def make(self, *, commit: str | None = None) -> None:
        """Fill the folder anew, from the work tree or from a commit, and prove whose sources run."""
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.mkdir(parents=True)
        if commit is None:
            self._copy_work_tree()
        else:
            self._copy_commit(commit)
        self._make_python()
        self._prove()

    @contextmanager
    def patched(self, file: str, text: str) -> Iterator[None]:
        """Hold this text in the file for a while."""
        path = self.root / file
        before = path.read_bytes()
        try:
            self._write(path, text.encode())
            yield
        finally:
            self._write(path, before)

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.root, ignore_errors=True)

    def _write(self, path: Path, content: bytes) -> None:
        path.write_bytes(content)
        if path.suffix == ".py":
            # Bytecode is known by second and size: a patch may change neither.
            Path(importlib.util.cache_from_source(str(path))).unlink(missing_ok=True)

    def _copy_work_tree(self) -> None:
        listed = _git("ls-files", "-z", "--cached", "--others", "--exclude-standard").decode().split("\0")
        for name in filter(None, listed):
            source, target = REPOSITORY / name, self.root / name
            if source.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target)
        if (REPOSITORY / _IMAGES).is_file():
            (self.root / ".build").mkdir()
            shutil.copy2(REPOSITORY / _IMAGES, self.root / _IMAGES)

    def _copy_commit(self, commit: str) -> None:
        archive = _git("archive", "--format=tar", commit)
        subprocess.run(["tar", "-x", "-C", str(self.root)], input=archive, check=True)

    def _make_python(self) -> None:
        shared = self._run(_VENV / "bin" / "python", "import sysconfig; print(sysconfig.get_path('purelib'))")
        self._run_words(str(_VENV / "bin" / "python"), "-m", "venv", "--without-pip", "--symlinks", ".venv")
        own = Path(self._run(self.python, "import sysconfig; print(sysconfig.get_path('purelib'))"))
        paths = [*(str(self.root / source) for source in SOURCES), shared]
        (own / "sabotage.pth").write_text("\n".join(paths) + "\n")
        (own / f"{WITNESS}.py").symlink_to(witness.__file__)

    def _prove(self) -> None:
        """See, without any variable of ours, that every package comes out of the copy."""
        words = f"import {', '.join(PACKAGES)}; print('\\n'.join(m.__file__ for m in ({', '.join(PACKAGES)})))"
        for file in self._run(self.python, words).splitlines():
            if not Path(file).is_relative_to(self.root):
                raise CopyError(f"{file} would be tested and not the copy in {self.root}")

    def _run(self, python: Path, program: str) -> str:
        return self._run_words(str(python), "-c", program).strip()

    def _run_words(self, *words: str) -> str:
        environment = {"PATH": os.environ["PATH"]}
        done = subprocess.run(words, cwd=self.root, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise CopyError(f"{' '.join(words)[:200]}: {done.stderr.strip()[-1000:]}")
        return done.stdout


def _git(*words: str) -> bytes:
    done = subprocess.run(["git", *words], cwd=REPOSITORY, capture_output=True, check=False)
    if done.returncode != 0:
        raise PatchError(f"git {' '.join(words)}: {done.stderr.decode().strip()}")
    return done.stdout
