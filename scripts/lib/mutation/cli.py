"""The command line of scripts/mutation; it must never change a file of the work tree outside .build."""

from __future__ import annotations

import argparse
import json
import random
import re
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from typing import Final, TypeVar

from local_cluster.console import paint, progress, say
from mutation.tables import is_noticed, table_mutants, tests_pass
from mutation.tree import Mutant, MutationError, Tree
from sabotage.patches import REPOSITORY
from sabotage.throwaway import Copy

_T = TypeVar("_T")

SEED: Final = 20261121
SAMPLE: Final = 200
_PLACE: Final = REPOSITORY / ".build" / "mutation"
_DESCRIPTION = """\
Changes the code that decides, pays and remembers, one small thing at a time (a < to a <=, a 1 to a 2, an "and" to an
"or"), and counts how often the unit tests notice. What nobody notices is named, with the change. mutmut does the work.
"""
_EPILOG = f"""\
examples:
  scripts/mutation                    a sample of {SAMPLE}, always the same for the same code (seed {SEED})
  scripts/mutation --all              all of them: about an hour on an idle core
  scripts/mutation --only ledger      those whose names hold "ledger"
  scripts/mutation --kind tables      the tables of errors, retries and prices alone

Mutants that change only the words of a message are counted apart: few messages are worth a test to the letter.
mutmut changes functions, not tables. Entries of tables are changed here: another meaning, left out, double the price.
Written: .build/mutation/results.json, tables.json and mutmut.txt.
Exit code: 0 it ran, whatever the score; 1 it could not run; 130 interrupted.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Try the mutants, tell the score and return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        subprocess.run([REPOSITORY / "scripts" / "venv", "dev"], check=True)
        _require_mutmut()
        return _run(options)
    except (MutationError, subprocess.CalledProcessError) as error:
        say(f"{paint('scripts/mutation:', 'red')} {error}")
        return 1
    except KeyboardInterrupt:
        say("scripts/mutation: interrupted; nothing of it is left but .build/mutation")
        return 130


def _parser() -> argparse.ArgumentParser:
    style = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        "scripts/mutation", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=style
    )
    parser.add_argument("--all", action="store_true", help="every mutant")
    kinds = ["both", "functions", "tables"]
    parser.add_argument("--kind", choices=kinds, default="both", help="what is changed (default: both)")
    parser.add_argument("--file", action="append", metavar="GLOB", help='only these files, as "src/*/core/budget.py"')
    parser.add_argument("--tests", action="append", metavar="PATH", help="only these tests notice: faster, and less")
    parser.add_argument("--only", metavar="WORD", default="", help="only mutants with this word in their names")
    parser.add_argument("--sample", type=int, default=SAMPLE, metavar="N", help=f"how many (default: {SAMPLE})")
    parser.add_argument("--seed", type=int, default=SEED, metavar="N", help=f"which ones (default: {SEED})")
    parser.add_argument("--commit", metavar="REV", help="change this commit (default: the work tree as it is)")
    parser.add_argument("-j", "--jobs", type=int, default=1, metavar="N", help="mutants at a time (default: 1)")
    return parser


def _require_mutmut() -> None:
    python = REPOSITORY / ".venv" / "bin" / "python"
    if subprocess.run([python, "-c", "import mutmut"], capture_output=True, check=False).returncode != 0:
        raise MutationError("mutmut is not in .venv; it belongs to the packages of requirements/dev.txt")


def _run(options: argparse.Namespace) -> int:
    if options.kind != "tables":
        _try_functions(options)
    if options.kind != "functions":
        _try_tables(options)
    return 0


def _try_functions(options: argparse.Namespace) -> None:
    tree = Tree(_PLACE / "tree", files=options.file or (), tests=options.tests or ())
    with progress("Copying the packages and making mutants"):
        tree.make(commit=options.commit)
        names = tree.mutants()
    chosen = _sample(names, names, options)
    began = time.monotonic()
    with progress(f"Trying {len(chosen)} mutants of functions; .build/mutation/mutmut.txt tells how far it is"):
        tree.run(chosen, jobs=options.jobs, log=_PLACE / "mutmut.txt")
    _tell(tree, [mutant for mutant in tree.results() if mutant.name in set(chosen)], time.monotonic() - began)


def _try_tables(options: argparse.Namespace) -> None:
    copy = Copy(_PLACE / "copy")
    with progress("Copying the work tree"):
        copy.make(commit=options.commit)
    with progress("Running the tests of the tables without any change"):
        if not tests_pass(copy, log=_PLACE / "tables.txt"):
            raise MutationError("they fail without any change; .build/mutation/tables.txt says how")
    mutants = table_mutants(copy.root)
    chosen = _sample(mutants, [mutant.name for mutant in mutants], options)
    alive = []
    with progress(f"Trying {len(chosen)} mutants of tables"):
        for number, mutant in enumerate(chosen, start=1):
            if not is_noticed(mutant, copy, log=_PLACE / "tables.txt"):
                alive.append(mutant)
                say(f"  [{number}/{len(chosen)}] {paint('not noticed:', 'red')} {mutant.name}")
    copy.remove()
    print(f"\nEntries of tables that may change unnoticed: {len(alive)}")
    for mutant in alive:
        print(f"  {mutant.name}")
    print(f"Score of tables: {_percent(len(chosen) - len(alive), len(chosen))}")
    facts = {"tried": len(chosen), "not noticed": [mutant.name for mutant in alive]}
    (_PLACE / "tables.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def _sample(things: Sequence[_T], names: Sequence[str], options: argparse.Namespace) -> list[_T]:
    """Return those that were asked for, in their order."""
    able = [position for position, name in enumerate(names) if options.only in name]
    chosen = able
    if not options.all and len(able) > options.sample:
        chosen = sorted(random.Random(options.seed).sample(able, options.sample))  # noqa: S311  guards nothing
    if not chosen:
        raise MutationError(f"there is no mutant with {options.only!r} in its name")
    say(f"{len(chosen)} of {len(able)} mutants (seed {options.seed})")
    return [things[position] for position in chosen]


def _tell(tree: Tree, mutants: Sequence[Mutant], seconds: float) -> None:
    alive = [mutant for mutant in mutants if not mutant.is_killed]
    changes = tree.differences(alive)
    wordy = {name for name, lines in changes.items() if _changes_words_alone(lines)}
    for title, some in (
        ("Survivors", [mutant for mutant in alive if mutant.name not in wordy]),
        ("Survivors that change only words", [mutant for mutant in alive if mutant.name in wordy]),
    ):
        print(f"\n{title}: {len(some)}")
        for mutant in some:
            print(f"  {mutant.name} ({mutant.status})")
            print("\n".join(f"      {line}" for line in changes[mutant.name]))
    counts = Counter(mutant.status for mutant in mutants)
    killed = sum(mutant.is_killed for mutant in mutants)
    print("\n" + ", ".join(f"{count} {status}" for status, count in sorted(counts.items())) + f", {seconds:.0f} s")
    but_words = _percent(killed, len(mutants) - len(wordy))
    print(f"Score: {_percent(killed, len(mutants))}; without survivors of words: {but_words}")
    facts = [{"mutant": mutant.name, "status": mutant.status, "change": changes.get(mutant.name)} for mutant in mutants]
    (_PLACE / "results.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def _changes_words_alone(lines: Sequence[str]) -> bool:
    """Tell whether old and new lines are the same but for what stands in quotes."""
    texts = {sign: "".join(line[1:] for line in lines if line.startswith(sign)) for sign in "+-"}
    bare = {sign: re.sub(r"""f?("[^"]*"|'[^']*')""", "", text) for sign, text in texts.items()}
    return bool(lines) and texts["+"] != texts["-"] and bare["+"] == bare["-"]


def _percent(part: int, whole: int) -> str:
    return f"{part}/{whole} = {100 * part / whole:.1f} %" if whole else "nothing to count"
