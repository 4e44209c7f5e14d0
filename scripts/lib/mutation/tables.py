"""Mutants of tables, which mutmut leaves alone: an entry means something else, is left out, or costs double."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sabotage.throwaway import Copy

FILES: Final = (
    "operator/src/videotask_contract/errors.py",
    "operator/src/videotask_contract/prices.py",
    "operator/src/videotask_operator/core/retry.py",
    "step_images/src/videotask_steps/items.py",
    "step_images/src/videotask_steps/clients/gemini.py",
    "step_images/src/videotask_steps/clients/kling.py",
    "step_images/src/videotask_steps/clients/elevenlabs.py",
    "step_images/src/videotask_steps/clients/transport.py",
)
TESTS: Final = (
    "tests/unit/core/test_retry.py",
    "tests/unit/core/test_settle.py",
    "tests/unit/contract",
    "tests/unit/steps/test_error_tables.py",
    "tests/unit/steps/test_failures.py",
    "tests/unit/steps/test_items.py",
    "tests/unit/steps/test_pauses_before_a_retry.py",
)
_DEADLINE_SECONDS: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class TableMutant:
    """One entry of a table, changed."""

    file: str
    line: int
    start: int
    end: int
    """Offsets of the changed text in the file, in bytes."""
    old: str
    new: str

    @property
    def name(self) -> str:
        """Where it is and what becomes of it."""
        return f"{self.file}:{self.line}: {' '.join(self.old.split())} -> {self.new or 'left out'}"


def table_mutants(root: Path) -> list[TableMutant]:
    """Return every mutant of every table, file by file from top to bottom."""
    return [mutant for file in FILES for mutant in _of_file(root, file)]


def is_noticed(mutant: TableMutant, copy: Copy, *, log: Path) -> bool:
    """Tell whether a test fails, or cannot even be read, with this entry changed."""
    text = (copy.root / mutant.file).read_bytes()
    changed = text[: mutant.start] + mutant.new.encode() + text[mutant.end :]
    with copy.patched(mutant.file, changed.decode()):
        return not tests_pass(copy, log=log)


def tests_pass(copy: Copy, *, log: Path) -> bool:
    """Tell whether all tests of the tables pass in the copy as it is."""
    words = [str(copy.python), "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--hypothesis-seed=0", *TESTS]
    with log.open("wb") as output:
        done = subprocess.run(
            words,
            cwd=copy.root,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=_DEADLINE_SECONDS,
            check=False,
        )
    return done.returncode == 0


def _of_file(root: Path, file: str) -> Iterator[TableMutant]:
    source = (root / file).read_bytes()
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))

    def mutant(node: ast.expr, new: str, *, until: int | None = None) -> TableMutant:
        start = starts[node.lineno - 1] + node.col_offset
        end = until or starts[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)
        return TableMutant(file=file, line=node.lineno, start=start, end=end, old=source[start:end].decode(), new=new)

    for table in _tables(ast.parse(source)):
        for node in ast.walk(table):
            match node:
                case ast.Dict(values=values):
                    yield from (mutant(value, other) for value, other in _exchanged(values))
                case ast.Call(func=ast.Name(id="frozenset"), args=[ast.Set(elts=elements)]) if len(elements) > 1:
                    yield from (mutant(element, ast.unparse(_neighbour(elements, element))) for element in elements)
                case ast.Call(func=ast.Name(id="Decimal"), args=[ast.Constant(value=value)]):
                    yield mutant(node, f"(2 * Decimal({value!r}))")


def _tables(module: ast.Module) -> Iterator[ast.expr]:
    """Yield the values of names in capitals, and of the fields of models."""
    for node in module.body:
        fields = node.body if isinstance(node, ast.ClassDef) else [node]
        for field in fields:
            if isinstance(field, ast.Assign | ast.AnnAssign) and field.value is not None:
                yield field.value


def _exchanged(values: Sequence[ast.expr]) -> Iterator[tuple[ast.expr, str]]:
    """Yield each named value of a dictionary with another one of the same dictionary."""
    named = [value for value in values if isinstance(value, ast.Name | ast.Attribute)]
    words = list(dict.fromkeys(ast.unparse(value) for value in named))
    for value in named:
        others = [word for word in words if word != ast.unparse(value)]
        if others:
            yield value, others[0]


def _neighbour(elements: Sequence[ast.expr], element: ast.expr) -> ast.expr:
    """Return another element: a set that names one twice lacks the one it stands for."""
    return next(other for other in elements if other is not element)
