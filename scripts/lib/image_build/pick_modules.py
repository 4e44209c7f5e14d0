"""Copies the modules that one module of ours imports, near or far, into an image; it must never copy one more.

So each step's image holds its own provider's client and no other, without a list that someone must keep.
"""

import ast
import compileall
import functools
import py_compile
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

OUR_PACKAGES = ("videotask_contract", "videotask_operator", "videotask_steps", "videotask_emulators")


def find_modules(start: str, roots: list[Path]) -> dict[str, Path]:
    """Return the file of `start` and of every module of ours that it leads to, by module name.

    A package brings its `__init__.py` and its data files (`py.typed`, JSON), not its other modules. Raises
    ModuleNotFoundError for a module of ours that is in none of the roots.
    """
    found: dict[str, Path] = {}
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found[name] = _file_of(name, roots)
        waiting += _packages_of(name)
        waiting += [other for other in _imports(name, found[name], roots) if other.split(".")[0] in OUR_PACKAGES]
    return dict(sorted(found.items()))


def files_of(modules: dict[str, Path]) -> list[Path]:
    """Return the modules' files and the data that lies beside a package's `__init__.py`."""
    files = set(modules.values())
    for path in modules.values():
        if path.name == "__init__.py":
            files |= {data for data in path.parent.iterdir() if data.is_file() and data.suffix not in (".py", ".pyc")}
    return sorted(files)


def _packages_of(name: str) -> list[str]:
    words = name.split(".")
    return [".".join(words[:count]) for count in range(1, len(words))]


def _file_of(name: str, roots: list[Path]) -> Path:
    for root in roots:
        base = root.joinpath(*name.split("."))
        for candidate in (base / "__init__.py", base.with_suffix(".py")):
            if candidate.is_file():
                return candidate
    raise ModuleNotFoundError(f"{name} is in none of {', '.join(str(root) for root in roots)}")


@functools.cache
def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def _imports(name: str, path: Path, roots: list[Path]) -> Iterator[str]:
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(_parse(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from _imported_from(node, package, roots)


def _imported_from(node: ast.ImportFrom, package: str, roots: list[Path]) -> Iterator[str]:
    base = node.module or ""
    if node.level:
        kept = package.split(".")[: len(package.split(".")) - node.level + 1]
        base = ".".join([*kept, base] if base else kept)
    yield base
    for alias in node.names:  # `from package import module` imports a module
        if base.split(".")[0] in OUR_PACKAGES and _is_module(f"{base}.{alias.name}", roots):
            yield f"{base}.{alias.name}"


def _is_module(name: str, roots: list[Path]) -> bool:
    try:
        _file_of(name, roots)
    except ModuleNotFoundError:
        return False
    return True


def _main(start: str, source: str, target: str) -> None:
    root = Path(source)
    for path in files_of(find_modules(start, [root])):
        copy = Path(target) / path.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    compileall.compile_dir(target, quiet=1, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)


if __name__ == "__main__":
    _main(*sys.argv[1:])
