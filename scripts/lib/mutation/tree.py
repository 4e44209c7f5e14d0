"""The throwaway copy in which mutmut works: the packages side by side in one src folder, as it wants them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sabotage.patches import REPOSITORY

PACKAGES: Final = (
    "operator/src/videotask_contract",
    "operator/src/videotask_operator",
    "step_images/src/videotask_steps",
    "emulators/src/videotask_emulators",
)
MUTATED: Final = (
    "src/videotask_operator/core/*.py",
    "src/videotask_steps/ledger*.py",
    "src/videotask_steps/compaction.py",
    "src/videotask_steps/money.py",
    "src/videotask_steps/failures.py",
    "src/videotask_steps/clients/*.py",
    "src/videotask_contract/errors.py",
    "src/videotask_contract/ledger_record.py",
    "src/videotask_contract/prices.py",
)
"""Decisions, ledger, error mapping and prices."""
TESTS: Final = (
    "tests/unit/core",
    "tests/unit/contract/test_failure_classes.py",
    "tests/unit/contract/test_phases.py",
    "tests/unit/contract/test_prices.py",
    "tests/unit/steps",
)
"""Instant and without servers, so that thousands of mutants can be tried."""
_LEFT_OUT: Final = ("tests/unit/steps/test_where_clean_up_runs.py",)
"""It looks into files that are not in the copy."""
_ALSO: Final = ("pyproject.toml", "tests", "docs", "crds", "samples")
_VENV: Final = REPOSITORY / ".venv"
_CALL: Final = "import sys; from mutmut.__main__ import cli; sys.exit(cli())"
_MAKE: Final = """
import contextlib, json, sys
from mutmut.__main__ import copy_also_copy_files, copy_src_dir, create_mutants
from mutmut.mutation.data import SourceFileMutationData
from mutmut.utils.file_utils import walk_mutatable_files
names = []
with contextlib.redirect_stdout(sys.stderr):
    copy_src_dir()
    copy_also_copy_files()
    create_mutants(1)
for path in walk_mutatable_files():
    data = SourceFileMutationData(path=path)
    data.load()
    names += data.exit_code_by_key
print(json.dumps(sorted(names)))
"""


_DIFFERENCES: Final = """
import json, sys
from mutmut.mutation.diff_apply import find_mutant, get_diff_for_mutant
print(json.dumps({name: get_diff_for_mutant(name, path=find_mutant(name).path) for name in sys.argv[1:]}))
"""


class MutationError(Exception):
    """The mutants could not be made or tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One small change, and what the tests said."""

    name: str
    status: str
    """mutmut's own word: killed, survived, timeout, no tests, ..."""

    @property
    def is_killed(self) -> bool:
        """True when the tests noticed; one that never ends was noticed too."""
        return self.status in {"killed", "timeout", "segfault"}


class Tree:
    """The copy, and mutmut in it."""

    def __init__(self, root: Path, *, files: Sequence[str] = (), tests: Sequence[str] = ()) -> None:
        self.root = root
        self._files = files or MUTATED
        self._tests = tests or TESTS
        self._python = root / ".venv" / "bin" / "python"

    def make(self, *, commit: str | None = None) -> None:
        """Fill the folder anew, from the work tree or from a commit."""
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.mkdir(parents=True)
        base = REPOSITORY if commit is None else self._check_out(commit)
        without_bytecode = shutil.ignore_patterns("__pycache__")
        for package in PACKAGES:
            shutil.copytree(base / package, self.root / "src" / Path(package).name, ignore=without_bytecode)
        for name in _ALSO:
            source = base / name
            if source.is_dir():
                shutil.copytree(source, self.root / name, ignore=without_bytecode)
            else:
                shutil.copy2(source, self.root / name)
        self._configure()
        self._make_python()

    def mutants(self) -> list[str]:
        """Make all mutants and return their names in a lasting order."""
        found: list[str] = json.loads(self._ask("-c", _MAKE))
        return found

    def run(self, names: Sequence[str], *, jobs: int, log: Path) -> None:
        """Try these mutants, or all where none is named; mutmut's progress goes to the terminal and to the log."""
        with log.open("wb") as output:
            process = subprocess.Popen(
                [str(self._python), "-c", _CALL, "run", "--max-children", str(jobs), *names],
                cwd=self.root,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            try:
                code = process.wait()
            except BaseException:
                process.terminate()
                process.wait()
                raise
        if code != 0:
            raise MutationError(f"mutmut ended with code {code}: {log.read_text(errors='replace')[-2000:]}")

    def results(self) -> list[Mutant]:
        """Return every mutant that was tried."""
        found = []
        for line in self._ask("-c", _CALL, "results", "--all", "true").splitlines():
            name, _, status = line.strip().rpartition(": ")
            if name and status != "not checked":
                found.append(Mutant(name=name, status=status))
        return found

    def differences(self, mutants: Sequence[Mutant]) -> dict[str, list[str]]:
        """Return, by the mutant's name, the lines that it changes, with - and + before them."""
        texts: dict[str, str] = json.loads(self._ask("-c", _DIFFERENCES, *(mutant.name for mutant in mutants)))
        return {
            name: [line for line in text.splitlines() if line[:1] in "+-" and line[:3] not in {"+++", "---"}]
            for name, text in texts.items()
        }

    def _check_out(self, commit: str) -> Path:
        folder = self.root / "checkout"
        folder.mkdir()
        archive = subprocess.run(["git", "archive", commit], cwd=REPOSITORY, capture_output=True, check=True).stdout
        subprocess.run(["tar", "-x", "-C", str(folder)], input=archive, check=True)
        return folder

    def _configure(self) -> None:
        lists = {
            "source_paths": ["src"],
            "only_mutate": list(self._files),
            "also_copy": [name for name in _ALSO if name != "tests"],
            "pytest_add_cli_args_test_selection": list(self._tests),
            "pytest_add_cli_args": [
                "-p",
                "no:cacheprovider",
                "--hypothesis-seed=0",
                *(f"--ignore={path}" for path in _LEFT_OUT),
            ],
        }
        lines = ["", "[tool.mutmut]", *(f"{key} = {json.dumps(value)}" for key, value in lists.items())]
        lines += ["use_git_change_detection = false", "timeout_multiplier = 10", "timeout_constant = 5"]
        path = self.root / "pyproject.toml"
        path.write_text(path.read_text(encoding="utf-8") + "\n".join(lines) + "\n", encoding="utf-8")

    def _make_python(self) -> None:
        purelib = "import sysconfig; print(sysconfig.get_path('purelib'))"
        shared = self._ask_of(_VENV / "bin" / "python", "-c", purelib).strip()
        self._ask_of(_VENV / "bin" / "python", "-m", "venv", "--without-pip", "--symlinks", str(self.root / ".venv"))
        own = Path(self._ask("-c", purelib).strip())
        (own / "mutation.pth").write_text(f"{self.root / 'mutants' / 'src'}\n{shared}\n")

    def _ask(self, *words: str) -> str:
        return self._ask_of(self._python, *words)

    def _ask_of(self, python: Path, *words: str) -> str:
        command = [str(python), *words]
        done = subprocess.run(
            command, cwd=self.root, env=self._environment(), capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise MutationError(f"{' '.join(words)[:100]}: {done.stderr.strip()[-1500:]}")
        return done.stdout

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
