"""What each command does: asks the place, builds a change or a page, prints it; decisions stay with the operator."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from videotask_contract import VERSION, layout
from videotask_contract.changes import PAID_STEPS
from videotask_contract.errors import BadInputError, OutcomeUnknownError, VideoTaskError
from videotask_operator.cli.change import Change, patch_text
from videotask_operator.cli.cluster import RESOURCE, ClusterPlace
from videotask_operator.cli.completion import completion_script
from videotask_operator.cli.decisions import decide_approval, decide_rejection
from videotask_operator.cli.describe import describe_task
from videotask_operator.cli.editing import build_edit
from videotask_operator.cli.editor import Editor
from videotask_operator.cli.exits import CommandExit
from videotask_operator.cli.folder import open_folder
from videotask_operator.cli.kubectl import Kubectl, global_flags
from videotask_operator.cli.manual import SUMMARIES
from videotask_operator.cli.place import Place
from videotask_operator.cli.references import parse_redo, parse_step, parse_take
from videotask_operator.cli.table import film_lines, folded, print_lines
from videotask_operator.cli.takes import ask_redo, choose_takes, name_request
from videotask_operator.cli.task import Task
from videotask_operator.cli.watching import watch_film, watch_films
from videotask_operator.cli.wishes import wish_cancel, wish_resume, wish_retry, wish_settings, wish_suspend
from videotask_operator.core.costs import parse_keys, parse_month

FOLDER_VARIABLE: Final = "VIDEOTASK_FOLDER"


def open_place(options: argparse.Namespace) -> Place:
    """Return the cluster or folder that was named; what stands on the command line beats the environment."""
    names_cluster = any((options.namespace, options.context, options.kubeconfig))
    if options.folder is not None:
        if names_cluster:
            raise BadInputError("--folder names a laptop's folder, the other flags a cluster; give one of them")
        return open_folder(options.folder, is_given=True)
    if (folder := os.environ.get(FOLDER_VARIABLE)) and not names_cluster:
        return open_folder(Path(folder), is_given=False)
    return ClusterPlace(
        kubectl=Kubectl(global_flags(context=options.context, kubeconfig=options.kubeconfig)),
        given_namespace=options.namespace,
        operator_namespace=getattr(options, "operator_namespace", None),
    )


def get(options: argparse.Namespace) -> CommandExit:
    """Show one film or all, once or until interrupted."""
    if options.until and not (options.watch and options.task):
        raise BadInputError("--until: give NAME and -w with it")
    if options.task and options.all_namespaces:
        raise BadInputError("-A: a film is named in one namespace; leave NAME or -A out")
    place = open_place(options)
    if options.watch:
        return _watch(place, options)
    tasks = [place.get_task(options.task)] if options.task else place.list_tasks(all_namespaces=options.all_namespaces)
    match options.output:
        case "json":
            _print_json(tasks[0].resource if options.task else _list(tasks))
        case "name":
            for task in tasks:
                _print(_full_name(task))
        case _ if not tasks:
            sys.stderr.write("no VideoTasks here\n")
        case _:
            console = Console()
            width = console.width if console.is_terminal else None
            wide = options.output == "wide"
            print_lines(
                console, film_lines(tasks, now=_now(), width=width, wide=wide, with_namespace=options.all_namespaces)
            )
    return CommandExit.DONE


def describe(options: argparse.Namespace) -> CommandExit:
    """Tell all of one film."""
    place = open_place(options)
    task = place.get_task(options.task)
    if options.output == "json":
        _print_json(task.resource)
        return CommandExit.DONE
    page = describe_task(task, events=place.events(task), flags=place.flags, now=_now())
    console = Console()
    print_lines(console, folded(page, console) if console.is_terminal else page)
    return CommandExit.DONE


def approve(options: argparse.Namespace) -> CommandExit:
    """Say yes to what is on show."""
    place = open_place(options)
    user = place.user()
    return _change(
        place, options, lambda task: decide_approval(task, by=user, gate=options.gate, review_round=options.round)
    )


def reject(options: argparse.Namespace) -> CommandExit:
    """Say no to what is on show."""
    place = open_place(options)
    user = place.user()

    def build(task: Task) -> Change:
        return decide_rejection(task, by=user, reason=options.reason, gate=options.gate, review_round=options.round)

    return _change(place, options, build)


def redo(options: argparse.Namespace) -> CommandExit:
    """Ask for new takes."""
    place = open_place(options)
    steps = parse_redo(options.items)
    request = options.request or name_request(steps, now=datetime.now(UTC), token=secrets.token_hex(2))

    def build(task: Task) -> Change:
        return ask_redo(task, steps, request=request, storyboard=place.load_storyboard(task))

    try:
        return _change(place, options, build)
    except OutcomeUnknownError as error:
        raise OutcomeUnknownError(
            f"{error.message}; with --request {request} the same request is never paid for twice"
        ) from error


def take(options: argparse.Namespace) -> CommandExit:
    """Choose takes."""
    place = open_place(options)
    choices = [parse_take(word) for word in options.choices]
    return _change(place, options, lambda task: choose_takes(task, choices, storyboard=place.load_storyboard(task)))


def edit(options: argparse.Namespace) -> CommandExit:
    """Edit a scene or an asset, by flags or in an editor, or take edits back."""
    place = open_place(options)
    editor = Editor()
    try:
        build = build_edit(place, options, edit=editor)
        if build is None:
            sys.stderr.write(f"{options.task}: nothing was changed\n")
            return CommandExit.DONE
        return _change(place, options, build)
    except VideoTaskError as error:
        error.message += editor.keep()
        raise


def retry(options: argparse.Namespace) -> CommandExit:
    """Raise spec.attempt."""
    return _change(open_place(options), options, wish_retry)


def suspend(options: argparse.Namespace) -> CommandExit:
    """Stop it for a while."""
    return _change(open_place(options), options, wish_suspend)


def resume(options: argparse.Namespace) -> CommandExit:
    """Let it go on."""
    return _change(open_place(options), options, wish_resume)


def cancel(options: argparse.Namespace) -> CommandExit:
    """End it, once a person has said yes."""
    place = open_place(options)
    if not (options.yes or options.dry_run):
        task = place.get_task(options.task)
        if wish_cancel(task).patch is not None and not _confirms(task):
            sys.stderr.write(f"{task.name} goes on\n")
            return CommandExit.FAILED
    return _change(place, options, wish_cancel)


def set_fields(options: argparse.Namespace) -> CommandExit:
    """Change single settings."""
    return _change(open_place(options), options, lambda task: wish_settings(task, options.settings))


def fetch(options: argparse.Namespace) -> CommandExit:
    """Copy the film, or its storyboard, to this machine."""
    place = open_place(options)
    task = place.get_task(options.task)
    default = f"{task.name}-storyboard.json" if options.storyboard else f"{task.name}.mp4"
    output: Path = options.output or Path(default)
    if output.is_dir():  # said before the copy, not after it
        raise BadInputError(f"-o: {output} is a folder; name a file, for example {output / default}")
    if output.exists() and not output.is_file():
        raise BadInputError(f"-o: {output} is no plain file; name one")
    output = output.resolve()  # what a link names is written anew, not the link
    output.parent.mkdir(parents=True, exist_ok=True)
    # Beside its end, so that the last move is a rename and no half a film ever stands there.
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".fetch-") as folder:
        if options.storyboard:
            place.fetch_parts(task, Path(folder), [layout.STORYBOARD])
            found = Path(folder) / layout.STORYBOARD
        else:
            found = place.fetch(task, Path(folder), image=options.image)
        found.replace(output)
    _print(str(options.output or default))
    return CommandExit.DONE


def logs(options: argparse.Namespace) -> CommandExit:
    """Print the newest run's log."""
    step = None if options.step is None else parse_step(options.step)
    place = open_place(options)
    code = place.show_log(place.get_task(options.task), step, follow=options.follow)
    return CommandExit.DONE if code == 0 else CommandExit.FAILED


def costs(options: argparse.Namespace) -> CommandExit:
    """Have the operator's program print the costs."""
    # This machine's calendar: the operator's pod has another clock, and a table does not say its month.
    month = options.month or f"{_now().astimezone():%Y-%m}"
    parse_month(month)  # here, because the program's complaint would come as a line of its log
    words = ["--month", month]
    if options.by is not None:
        parse_keys(options.by)
        words += ["--by", options.by]
    if options.channel is not None:
        words += ["--channel", options.channel]
    if options.namespace is not None:
        words += ["--namespace", options.namespace]
    if options.output is not None:
        words += ["-o", options.output]
    return CommandExit.DONE if open_place(options).show_costs(words) == 0 else CommandExit.FAILED


def version(options: argparse.Namespace) -> CommandExit:
    """Print the version."""
    _print(json.dumps({"version": VERSION}) if options.output == "json" else f"videotask {VERSION}")
    return CommandExit.DONE


def completion(options: argparse.Namespace) -> CommandExit:
    """Print a shell's completion script."""
    sys.stdout.write(completion_script(options.shell, commands=tuple(sorted(SUMMARIES)), steps=tuple(PAID_STEPS)))
    return CommandExit.DONE


def _change(place: Place, options: argparse.Namespace, build: Callable[[Task], Change]) -> CommandExit:
    """Make the change and tell it in the way that was asked for."""
    task, change = place.change_task(options.task, build, dry_run=options.dry_run)
    if options.dry_run:
        _print(patch_text(change.patch or {}))
        return CommandExit.DONE
    match options.output:
        case "json":
            _print_json(task.resource)
        case "name":
            _print(_full_name(task))
        case _:
            Console().print(Text.assemble((task.name, "bold"), f": {change.words}"), soft_wrap=True, highlight=False)
    return CommandExit.DONE


def _watch(place: Place, options: argparse.Namespace) -> CommandExit:
    seen = place.watch(options.task, all_namespaces=options.all_namespaces)
    if options.output in {"json", "name"}:
        for look in chain.from_iterable(seen):
            is_json = options.output == "json"
            _print(json.dumps(look.task.resource, default=str) if is_json else _full_name(look.task))
            if options.task and (look.is_gone or look.task.is_over or look.task.phase is options.until):
                is_there = not look.is_gone and (options.until is None or look.task.phase is options.until)
                return CommandExit.DONE if is_there else CommandExit.NOT_NOW
        return CommandExit.DONE
    console = Console(highlight=False)
    if options.task:
        title = f"{options.task}  {place.get_task(options.task).spec.get('title', '')}".rstrip()
        return watch_film(console, seen, title=title, flags=place.flags, until=options.until)
    watch_films(console, seen, clock=_now, wide=options.output == "wide", with_namespace=options.all_namespaces)
    return CommandExit.DONE


def _confirms(task: Task) -> bool:
    if not sys.stdin.isatty():
        raise BadInputError("cancel ends a film for good; where nobody can be asked, give -y")
    sys.stderr.write(
        f"Cancel {task.name}, {task.where_it_stands()}, ${task.cost_usd:.2f} spent? It cannot be taken back. [y/N] "
    )
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def _full_name(task: Task) -> str:
    return f"{RESOURCE.replace('videotasks', 'videotask', 1)}/{task.name}"


def _list(tasks: list[Task]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "List", "items": [task.resource for task in tasks]}


def _print_json(value: Any) -> None:
    _print(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _now() -> datetime:
    return datetime.now(UTC)
