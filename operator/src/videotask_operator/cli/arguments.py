"""The words of the command line and what they teach; each command names the function that carries it out."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any, Final

from videotask_contract import VERSION
from videotask_contract.changes import PAID_STEPS
from videotask_contract.phases import Phase
from videotask_contract.steps import Gate, Step
from videotask_operator.cli import commands
from videotask_operator.cli.completion import SHELLS
from videotask_operator.cli.wishes import SETTINGS
from videotask_operator.core.costs import CostKey

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
_COSTS_EPILOG: Final = """\
The operator's own program answers, from its record: in a cluster by
`kubectl exec` into its pod, which takes that right in its namespace; on a
laptop from the folder's database. Without -n it tells of all films.

examples
  videotask costs --month 2026-11 --by channel
  videotask costs --by channel,provider,film -o csv > november.csv
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
    _add_looking(adder)
    _add_deciding(adder)
    _add_changing(adder)
    _add_stopping(adder)
    _add_getting(adder)
    _add_rest(adder)
    parser.epilog = f"{_command_list(adder)}\n{_EPILOG}"
    return parser


def _command_list(adder: Any) -> str:
    entries = adder._choices_actions  # noqa: SLF001  argparse tells it nowhere else
    return "\n".join(["commands", *(f"  {entry.dest:<12}{entry.help}" for entry in entries), ""])


def _add_looking(adder: Any) -> None:
    get = _command(
        adder,
        "get",
        "show films, once or live",
        run=commands.get,
        name="?",
        examples=(
            ("videotask get", "all films of the namespace"),
            ("videotask get -A -o wide", "of all namespaces, with channel, priority, attempt and file"),
            ("videotask get -w", "live; on a pipe, a line for each change"),
            ("videotask get reedwater -w", "one film live, step by step"),
            ("videotask get reedwater -w --until FinalReview", "wait; exit code 4 if it ends otherwise"),
        ),
    )
    get.add_argument("-A", "--all-namespaces", action="store_true", help="films of all namespaces")
    get.add_argument("-w", "--watch", action="store_true", help="keep looking, until interrupted or the film has ended")
    get.add_argument(
        "--until",
        type=_phase,
        metavar="PHASE",
        help="with -w and NAME: stop when it is there (FinalReview, Completed, …)",
    )
    _output(get, "json", "wide", "name")
    describe = _command(
        adder,
        "describe",
        "tell all of one film, and what to do next",
        run=commands.describe,
        examples=(("videotask describe reedwater", "steps, money, changes, history, events"),),
    )
    _output(describe, "json")


def _add_deciding(adder: Any) -> None:
    for word, summary in (("approve", "say yes to what is on show"), ("reject", "say no to what is on show, and why")):
        deciding = _command(
            adder,
            word,
            summary,
            run=commands.approve if word == "approve" else commands.reject,
            examples=(
                (f"videotask {word} reedwater{_REASON[word]}", "what is on show now"),
                (f"videotask {word} reedwater --round 2{_REASON[word]}", "only if round 2 is still on show"),
            ),
            note="A decision counts for one gate and one round. In a cluster it takes the verb approve on videotasks.",
        )
        if word == "reject":
            deciding.add_argument("--reason", required=True, metavar="TEXT", help="what is to be better")
        deciding.add_argument(
            "--gate", type=Gate, choices=list(Gate), metavar="GATE", help=f"refuse any other gate: {', '.join(Gate)}"
        )
        deciding.add_argument("--round", type=_count, metavar="N", help="refuse any other round")
        _changing(deciding)


_REASON: Final = {"approve": "", "reject": " --reason 'The heron blinks'"}


def _add_changing(adder: Any) -> None:
    redo = _command(
        adder,
        "redo",
        "have items made anew, paid again",
        run=commands.redo,
        examples=(
            ("videotask redo reedwater video_generation:7,12", "new takes of clips 7 and 12"),
            ("videotask redo reedwater images:old-heron clips:7", "an image by its name, and a clip"),
            ("videotask redo reedwater narrations", "all narrations"),
        ),
        note=f"Steps: {', '.join(PAID_STEPS)}; or what they make: images, clips, narrations, effects. What follows "
        "from the items is made anew too. Earlier takes stay: `videotask take` brings them back.",
    )
    redo.add_argument(
        "items", nargs="+", metavar="STEP:ITEMS", help="scenes by number or name, images by name; a step alone: all"
    )
    redo.add_argument("--request", metavar="ID", help="your own name for this request (default: a fresh one)")
    _changing(redo)
    take = _command(
        adder,
        "take",
        "let another take count, at no cost",
        run=commands.take,
        examples=(
            ("videotask take reedwater video_generation:7=1", "the first take of clip 7 counts again"),
            ("videotask take reedwater clips:7=latest", "no choice: the latest counts"),
        ),
    )
    take.add_argument("choices", nargs="+", metavar="STEP:ITEM=TAKE", help="the take's number, from 1, or latest")
    _changing(take)
    _add_edit(adder)


_METAVARS: Final = {"environment": "NAME", "characters": "NAMES"}


def _add_edit(adder: Any) -> None:
    edit = _command(
        adder,
        "edit",
        "give a scene or an asset new words",
        run=commands.edit,
        examples=(
            ('videotask edit reedwater --scene 7 --narration "The lamp was lit again."', "new words for one field"),
            ("videotask edit reedwater --scene 7", "its present words in $EDITOR"),
            ('videotask edit reedwater --asset old-heron --prompt "An old grey heron …"', "an image's prompt"),
            ("videotask edit reedwater --clear --scene 7", "take the edits of scene 7 back; without --scene: all"),
        ),
        note="Only what is edited and what depends on it is made and paid again. A generated storyboard that lies on "
        "a cluster's volume is read by `videotask fetch NAME --storyboard`; give it by --storyboard FILE.",
    )
    which = edit.add_mutually_exclusive_group()
    which.add_argument("--scene", metavar="SCENE", help="number or name of a scene")
    which.add_argument("--asset", metavar="NAME", help="name of an asset")
    fields = edit.add_argument_group("new words")
    for flag, what in (
        ("narration", "what is spoken"),
        ("motion", "what moves"),
        ("sound-effect", "what is heard"),
        ("environment", "name of the environment asset"),
        ("characters", "names from left to right: heron,fox; empty for none"),
        ("prompt", "with --asset: what is asked of the image model"),
    ):
        fields.add_argument(f"--{flag}", metavar=_METAVARS.get(flag, "TEXT"), help=what)
    edit.add_argument("--clear", action="store_true", help="take edits back instead")
    edit.add_argument("--storyboard", type=Path, metavar="FILE", help="the storyboard.json that was fetched")
    _changing(edit)


def _add_stopping(adder: Any) -> None:
    _changing(
        _command(
            adder,
            "retry",
            "go on after an error, with all that is finished kept",
            run=commands.retry,
            examples=(("videotask retry reedwater", "raises spec.attempt"),),
        )
    )
    _changing(
        _command(
            adder,
            "suspend",
            "stop a film for a while, with all that is finished kept",
            run=commands.suspend,
            examples=(("videotask suspend reedwater", "calls in flight finish first"),),
        )
    )
    _changing(
        _command(
            adder,
            "resume",
            "let a suspended film go on",
            run=commands.resume,
            examples=(("videotask resume reedwater", "where it stopped"),),
        )
    )
    cancel = _command(
        adder,
        "cancel",
        "end a film for good",
        run=commands.cancel,
        examples=(("videotask cancel reedwater", "asks first"), ("videotask cancel reedwater -y", "for scripts")),
    )
    cancel.add_argument("-y", "--yes", action="store_true", help="do not ask")
    _changing(cancel)
    settings = _command(
        adder,
        "set",
        "change budget, priority or a time limit while it runs",
        run=commands.set_fields,
        examples=(
            ("videotask set reedwater budget=12.50", "its cap in dollars"),
            ("videotask set reedwater priority=high", "which queued film goes first"),
            ("videotask set reedwater timeout.video_generation=900", "seconds for one clip; =default: the usual"),
        ),
    )
    settings.add_argument("settings", nargs="+", metavar="KEY=VALUE", help="; ".join(SETTINGS))
    _changing(settings)


def _add_getting(adder: Any) -> None:
    fetch = _command(
        adder,
        "fetch",
        "copy a finished film to this machine",
        run=commands.fetch,
        examples=(
            ("videotask fetch reedwater", "to reedwater.mp4, proved to be the film of the status"),
            ("videotask fetch reedwater -o ~/films/heron.mp4", "to a file of your choice"),
            ("videotask fetch reedwater --storyboard", "its storyboard, also before there is a film"),
        ),
    )
    fetch.add_argument("-o", "--output", type=Path, metavar="FILE", help="file to write (default: NAME.mp4)")
    fetch.add_argument(
        "--storyboard", action="store_true", help="the storyboard instead (default file: NAME-storyboard.json)"
    )
    fetch.add_argument(
        "--image", help="image of the pod that reads the volume; it needs sleep and tar (default: a step's)"
    )
    logs = _command(
        adder,
        "logs",
        "print what the newest run said",
        run=commands.logs,
        examples=(
            ("videotask logs reedwater -f", "of the step under way, as it comes"),
            ("videotask logs reedwater video_generation", "of the newest run of one step"),
        ),
    )
    logs.add_argument("step", nargs="?", metavar="STEP", help=f"{', '.join(Step)}, or what it makes")
    logs.add_argument("-f", "--follow", action="store_true", help="until the run has ended")
    costs = adder.add_parser(
        "costs",
        help="tell what was spent, kept and spent again",
        description="Tell what was planned, paid, possibly paid, kept by resume and spent on redo.",
        epilog=_COSTS_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _place(costs)
    costs.add_argument(
        "--operator-namespace",
        default=os.environ.get("VIDEOTASK_OPERATOR_NAMESPACE"),
        metavar="NS",
        help="where the operator runs",
    )
    costs.add_argument(
        "--month", metavar="YYYY-MM", help="by the channels' own clocks (default: this month)", nargs="?", const=""
    )
    costs.add_argument("--by", metavar="WORDS", help=f"a list of {', '.join(CostKey)} (default: channel)")
    costs.add_argument("--channel", metavar="NAME", help="only this channel's films")
    _output(costs, "table", "csv", "json")
    costs.set_defaults(run=commands.costs)


def _add_rest(adder: Any) -> None:
    version = adder.add_parser("version", help="print the version", description="Print the version.")
    _output(version, "json")
    version.set_defaults(run=commands.version)
    completion = adder.add_parser(
        "completion",
        help="print a script that completes words in a shell",
        description="Print a script that completes commands and the names of films in a shell.",
        epilog="examples\n  source <(videotask completion bash)\n  source <(videotask completion zsh)",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    completion.add_argument("shell", choices=SHELLS)
    completion.set_defaults(run=commands.completion)


def _command(
    adder: Any,
    word: str,
    summary: str,
    *,
    run: Any,
    examples: tuple[tuple[str, str], ...],
    name: str | None = None,
    note: str = "",
) -> argparse.ArgumentParser:
    """Add a command for one film; `name` "?" makes its name optional."""
    lines = [line for example, what in examples for line in (f"  # {what}", f"  {example}")]
    parser: argparse.ArgumentParser = adder.add_parser(
        word,
        help=summary,
        description=f"{summary[:1].upper()}{summary[1:]}.{' ' if note else ''}{note}",
        epilog="\n".join(["examples", *lines]),
        formatter_class=_Formatter,
    )
    parser.add_argument("task", metavar="NAME", nargs=name, help="name of the VideoTask")
    _place(parser)
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
    place.add_argument(
        "--folder", type=Path, metavar="DIR", help="a laptop's folder instead of a cluster (or VIDEOTASK_FOLDER)"
    )


def _changing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="print the patch and change nothing")
    _output(parser, "json", "name")


def _output(parser: argparse.ArgumentParser, *choices: str) -> None:
    parser.add_argument("-o", "--output", choices=choices, help="how to print it", metavar="|".join(choices))


def _phase(word: str) -> Phase:
    for phase in Phase:
        if word.lower() in {phase.value, phase.resource.lower()}:
            return phase
    raise argparse.ArgumentTypeError(f"{word!r} is no phase; there are {', '.join(phase.resource for phase in Phase)}")


def _count(word: str) -> int:
    if not word.isdecimal() or int(word) < 1:
        raise argparse.ArgumentTypeError(f"{word!r} is no round; rounds count from 1")
    return int(word)
