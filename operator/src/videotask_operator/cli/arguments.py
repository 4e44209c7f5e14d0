"""The words of the command line; each command names the function that carries it out, cli/manual.py what it teaches."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from videotask_contract import VERSION
from videotask_contract.phases import Phase
from videotask_contract.steps import Gate, Step
from videotask_operator.cli import commands
from videotask_operator.cli.completion import SHELLS
from videotask_operator.cli.exits import CommandExit
from videotask_operator.cli.manual import EXAMPLES, NOTES, SUMMARIES
from videotask_operator.cli.wishes import SETTINGS
from videotask_operator.core.costs import CostKey

_Run = Callable[[argparse.Namespace], CommandExit]
_DESCRIPTION: Final = "Films as VideoTasks: watch them, decide on them, change them, fetch them."
_EPILOG: Final = """\
where
  A cluster, as the user of your kubeconfig (-n, --context, --kubeconfig), or
  the folder of an operator on this machine (--folder DIR, VIDEOTASK_FOLDER;
  `make demo` leaves .build/demo/operator).

examples
  videotask get -w                              all films, live
  videotask describe reedwater                  one film, and what to do next
  videotask approve reedwater --round 1         yes to what is on show
  videotask redo reedwater clips:7,12           new takes of clips 7 and 12
  videotask edit reedwater --scene 7 --narration "The lamp was lit again."

exit codes
  0 done   1 refused or failed   2 wrong words or values   3 no such VideoTask
  4 not possible where the film stands   5 try again   130 interrupted
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands; its namespace has `run`, the function to call with it."""
    parser = argparse.ArgumentParser(
        "videotask",
        usage="videotask COMMAND [NAME] [options]; videotask COMMAND --help teaches each",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"videotask {VERSION}")
    adder = parser.add_subparsers(
        prog="videotask", dest="command", required=True, metavar="COMMAND", help=argparse.SUPPRESS
    )
    for add in (_add_looking, _add_deciding, _add_changing, _add_edit, _add_stopping, _add_getting, _add_rest):
        add(adder)
    listed = "\n".join(f"  {word:<12}{summary}" for word, summary in SUMMARIES.items())
    parser.epilog = f"commands\n{listed}\n\n{_EPILOG}"
    return parser


def _add_looking(adder: Any) -> None:
    get = _film(adder, "get", commands.get, name="?")
    get.add_argument("-A", "--all-namespaces", action="store_true", help="films of all namespaces")
    get.add_argument("-w", "--watch", action="store_true", help="keep looking, until interrupted or the film has ended")
    until = "with -w and NAME: stop when it is there (FinalReview, Completed, …)"
    get.add_argument("--until", type=_phase, metavar="PHASE", help=until)
    _output(get, "json", "wide", "name")
    _output(_film(adder, "describe", commands.describe), "json")


def _add_deciding(adder: Any) -> None:
    approve = _change(adder, "approve", commands.approve)
    reject = _change(adder, "reject", commands.reject)
    reject.add_argument("--reason", required=True, metavar="TEXT", help="what is to be better")
    for deciding in (approve, reject):
        gates = f"refuse any other gate: {', '.join(Gate)}"
        deciding.add_argument("--gate", type=Gate, choices=list(Gate), metavar="GATE", help=gates)
        deciding.add_argument("--round", type=_count, metavar="N", help="refuse any other round")


def _add_changing(adder: Any) -> None:
    redo = _change(adder, "redo", commands.redo)
    _many(redo, "items", "STEP:ITEMS", "scenes by number or name, images by name; a step alone: all")
    redo.add_argument("--request", metavar="ID", help="your own name for this request (default: a fresh one)")
    take = _change(adder, "take", commands.take)
    _many(take, "choices", "STEP:ITEM=TAKE", "the take's number, from 1, or latest")
    settings = _change(adder, "set", commands.set_fields)
    _many(settings, "settings", "KEY=VALUE", "; ".join(SETTINGS))


def _add_edit(adder: Any) -> None:
    edit = _change(adder, "edit", commands.edit)
    which = edit.add_mutually_exclusive_group()
    which.add_argument("--scene", metavar="SCENE", help="number or name of a scene")
    which.add_argument("--asset", metavar="NAME", help="name of an asset")
    fields = edit.add_argument_group("new words")
    for flag, metavar, what in (
        ("narration", "TEXT", "what is spoken"),
        ("motion", "TEXT", "what moves"),
        ("sound-effect", "TEXT", "what is heard"),
        ("environment", "NAME", "name of the environment asset"),
        ("characters", "NAMES", "names from left to right: heron,fox; empty for none"),
        ("prompt", "TEXT", "with --asset: what is asked of the image model"),
    ):
        fields.add_argument(f"--{flag}", metavar=metavar, help=what)
    edit.add_argument("--clear", action="store_true", help="take edits back instead")
    edit.add_argument("--storyboard", type=Path, metavar="FILE", help="the storyboard.json that was fetched")


def _add_stopping(adder: Any) -> None:
    _change(adder, "retry", commands.retry)
    _change(adder, "suspend", commands.suspend)
    _change(adder, "resume", commands.resume)
    cancel = _change(adder, "cancel", commands.cancel)
    cancel.add_argument("-y", "--yes", action="store_true", help="do not ask")


def _add_getting(adder: Any) -> None:
    fetch = _film(adder, "fetch", commands.fetch)
    fetch.add_argument("-o", "--output", type=Path, metavar="FILE", help="file to write (default: NAME.mp4)")
    instead = "the storyboard instead (default file: NAME-storyboard.json)"
    fetch.add_argument("--storyboard", action="store_true", help=instead)
    reads = "image of the pod that reads the volume; it needs sleep and tar (default: a step's)"
    fetch.add_argument("--image", help=reads)
    logs = _film(adder, "logs", commands.logs)
    logs.add_argument("step", nargs="?", metavar="STEP", help=f"{', '.join(Step)}, or what it makes")
    logs.add_argument("-f", "--follow", action="store_true", help="until the run has ended")


def _add_rest(adder: Any) -> None:
    costs = _command(adder, "costs", commands.costs)
    _place(costs)
    operators = os.environ.get("VIDEOTASK_OPERATOR_NAMESPACE")
    costs.add_argument("--operator-namespace", default=operators, metavar="NS", help="where the operator runs")
    month = "by the channels' own clocks (default: this month, here)"
    costs.add_argument("--month", metavar="YYYY-MM", nargs="?", const="", help=month)
    costs.add_argument("--by", metavar="WORDS", help=f"a list of {', '.join(CostKey)} (default: channel)")
    costs.add_argument("--channel", metavar="NAME", help="only this channel's films")
    _output(costs, "table", "csv", "json")
    _output(_command(adder, "version", commands.version), "json")
    completion = _command(adder, "completion", commands.completion)
    completion.add_argument("shell", choices=SHELLS)


def _change(adder: Any, word: str, run: _Run) -> argparse.ArgumentParser:
    """Add a command that changes one film."""
    parser = _film(adder, word, run)
    parser.add_argument("--dry-run", action="store_true", help="print the patch and change nothing")
    _output(parser, "json", "name")
    return parser


def _film(adder: Any, word: str, run: _Run, *, name: str | None = None) -> argparse.ArgumentParser:
    """Add a command for one film; `name` "?" makes its name optional."""
    parser = _command(adder, word, run)
    parser.add_argument("task", metavar="NAME", nargs=name, help="name of the VideoTask")
    _place(parser)
    return parser


def _command(adder: Any, word: str, run: _Run) -> argparse.ArgumentParser:
    """Add a command with all that the manual says of it."""
    summary = SUMMARIES[word]
    parser: argparse.ArgumentParser = adder.add_parser(
        word,
        description=f"{summary[:1].upper()}{summary[1:]}. {NOTES.get(word, '')}".rstrip(),
        epilog=f"examples\n{EXAMPLES[word]}",
        formatter_class=_Formatter,
    )
    parser.set_defaults(run=run)
    return parser


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the examples as they are and folds the description."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if text.startswith("examples"):
            return text
        return super(argparse.RawDescriptionHelpFormatter, self)._fill_text(text, width, indent)


def _place(parser: argparse.ArgumentParser) -> None:
    place = parser.add_argument_group("where")
    place.add_argument("-n", "--namespace", metavar="NS", help="namespace (default: that of kubectl's context)")
    place.add_argument("--context", help="context of the kubeconfig")
    place.add_argument("--kubeconfig", metavar="FILE", help="kubeconfig (default: as kubectl finds it)")
    folder = "a laptop's folder instead of a cluster (or VIDEOTASK_FOLDER)"
    place.add_argument("--folder", type=Path, metavar="DIR", help=folder)


def _output(parser: argparse.ArgumentParser, *choices: str) -> None:
    parser.add_argument("-o", "--output", choices=choices, help="how to print it", metavar="|".join(choices))


def _many(parser: argparse.ArgumentParser, name: str, form: str, what: str) -> None:
    parser.add_argument(name, nargs="+", metavar=form, help=what)


def _phase(word: str) -> Phase:
    for phase in Phase:
        if word.lower() in {phase.value, phase.resource.lower()}:
            return phase
    raise argparse.ArgumentTypeError(f"{word!r} is no phase; there are {', '.join(phase.resource for phase in Phase)}")


def _count(word: str) -> int:
    if not word.isdecimal() or int(word) < 1:
        raise argparse.ArgumentTypeError(f"{word!r} is no round; rounds count from 1")
    return int(word)
