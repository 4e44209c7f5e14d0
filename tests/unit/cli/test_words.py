"""The words of the command line: each command understands the examples it teaches by, and a shell completes them."""

from __future__ import annotations

import re
import shlex
import subprocess

import pytest

from videotask_contract.errors import BadInputError, OutcomeUnknownError, PermanentError, TransientError
from videotask_operator.cli.__main__ import main
from videotask_operator.cli.arguments import build_parser
from videotask_operator.cli.commands import open_place
from videotask_operator.cli.completion import completion_script
from videotask_operator.cli.exits import CommandExit, NoSuchTaskError, NotNowError, exit_of
from videotask_operator.cli.folder import FolderPlace
from videotask_operator.cli.manual import EXAMPLES, NOTES, SUMMARIES


def helped(capsys, *words):
    with pytest.raises(SystemExit) as ended:
        main([*words, "--help"])
    assert ended.value.code == 0
    return capsys.readouterr().out


def test_the_help_names_every_command_and_completion_knows_them(capsys):
    listed = re.findall(
        r"^  ([a-z]+) {2,}", helped(capsys).partition("commands\n")[2].partition("\nwhere")[0], re.MULTILINE
    )
    [subcommands] = (action.choices for action in build_parser()._actions if action.dest == "command")
    assert listed == list(SUMMARIES)
    assert sorted(listed) == sorted(subcommands) == sorted(EXAMPLES)
    assert set(NOTES) <= set(listed)


@pytest.mark.parametrize("command", [(), *((word,) for word in SUMMARIES)])
def test_every_example_is_understood(capsys, command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    text = helped(capsys, *command)
    examples = re.findall(r"^  (videotask .*?)(?: {3,}.*| > .*)?$", text, re.MULTILINE)
    assert examples or command == ("completion",)
    for example in examples:
        build_parser().parse_args(shlex.split(example)[1:])


@pytest.mark.parametrize("command", [(), *((word,) for word in SUMMARIES)])
def test_no_line_of_help_is_wider_than_a_narrow_terminal(capsys, command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert max(map(len, helped(capsys, *command).splitlines())) <= 80


def completed(*typed):
    """Return what bash offers for the last of these words."""
    script = completion_script("bash", commands=("approve", "get"), steps=("video_generation",))
    test = f"""{script}
videotask() {{ echo "$*" >&2; printf 'videotask.videotask.dev/heron\\nvideotask.videotask.dev/fox\\n'; }}
COMP_WORDS=(videotask {shlex.join(typed)}); COMP_CWORD={len(typed)}; _videotask; printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(["bash", "-euc", test], check=True, capture_output=True, text=True, timeout=20)
    return done.stdout.split()


def test_a_shell_completes_commands_films_and_steps():
    assert completed("a") == ["approve"]
    assert completed("approve", "h") == ["heron"]
    assert completed("redo", "heron", "vid") == ["video_generation"]
    assert "--namespace" in completed("get", "--n")


def test_every_kind_of_failure_has_its_own_exit_code():
    errors = (PermanentError("x"), BadInputError("x"), NoSuchTaskError("x"), NotNowError("x"), TransientError("x"))
    assert [exit_of(error) for error in errors] == [1, 2, 3, 4, 5]
    assert exit_of(OutcomeUnknownError("x")) == CommandExit.FAILED


def test_what_stands_on_the_command_line_beats_the_environment(tmp_path, monkeypatch):
    def place_of(*words):
        return open_place(build_parser().parse_args(["get", *words]))

    monkeypatch.setenv("VIDEOTASK_FOLDER", str(tmp_path))
    assert isinstance(place_of(), FolderPlace)
    assert place_of().flags == ""
    assert place_of("--folder", str(tmp_path)).flags == f" --folder {tmp_path}"
    assert place_of("-n", "films", "--context", "prod").flags == " --context prod -n films"
    with pytest.raises(BadInputError, match="give one of them"):
        place_of("--folder", str(tmp_path), "-n", "films")
    with pytest.raises(BadInputError, match="is no folder"):
        place_of("--folder", str(tmp_path / "none"))


def test_a_folder_without_resources_is_told_from_an_empty_one(tmp_path, monkeypatch, capsys):
    assert main(["get", "--folder", str(tmp_path)]) == CommandExit.FAILED
    assert "holds no resources/videotasks" in capsys.readouterr().err
    (tmp_path / "resources" / "videotasks").mkdir(parents=True)
    assert main(["get", "--folder", str(tmp_path)]) == CommandExit.DONE
    assert main(["get", "heron", "--folder", str(tmp_path)]) == CommandExit.NOT_FOUND
