"""Each command that is printed can be given as it stands, for what is on show, and helps where the film stands."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from videotask_operator.cli.cluster import ClusterPlace
from videotask_operator.cli.describe import next_commands
from videotask_operator.cli.exits import NotNowError
from videotask_operator.cli.folder import open_folder
from videotask_operator.cli.kubectl import Kubectl, global_flags
from videotask_operator.cli.task import Task
from videotask_operator.cli.wishes import wish_retry

DAY = (
    "video_generation: the next call may cost 0.4200 dollars and the channel's day of 5 has 0.1000 left; it goes on "
    "with its next day in UTC, or raise the Channel's spec.budget.perDayUSD; whoever may edit the Channel can: kubectl "
    'patch channel tides -n studio --type=merge -p \'{"spec":{"budget":{"perDayUSD":"17.00"}}}\''
)
OWN = "video_generation: the task's budget of 5 has 0.1000 left; raise spec.budgetUSD to go on"
MADE = [
    {"name": "asset_generation", "done": 22, "total": 22},
    {"name": "video_generation", "done": 18, "total": 18},
    {"name": "narration_generation", "done": 18, "total": 18},
]


def _commands(task: Task, flags: str = " -n studio") -> list[str]:
    return [command for command, _ in next_commands(task, flags=flags)]


def _with_steps(task: Task, *steps: dict[str, object]) -> Task:
    return Task({**task.resource, "status": {**task.status, "steps": list(steps)}})


def test_where_the_channels_day_is_full_its_channel_is_patched_and_not_the_film(task):
    film = task(phase="BudgetExceeded", message=DAY)
    [command] = _commands(film)
    patch = '{"spec":{"budget":{"perDayUSD":"17.00"}}}'
    assert shlex.split(command)[:4] == ["kubectl", "patch", "channels.videotask.dev", "tides"]
    assert shlex.split(command)[4:] == ["-n", "studio", "--type=merge", "-p", patch]
    assert _commands(film, " --folder '/my films'") == ["$EDITOR '/my films/resources/channels/tides.yaml'"]
    with pytest.raises(NotNowError) as refused:
        wish_retry(film)
    assert "budget=USD" not in refused.value.message


def test_where_the_films_own_budget_is_spent_that_is_raised(task):
    assert _commands(task(phase="BudgetExceeded", message=OWN)) == ["videotask set heron -n studio budget=USD"]


def test_a_decision_carries_the_round_that_is_on_show(on_show):
    decisions = [
        command for command in _commands(on_show("video", 2)) if " approve " in command or " reject " in command
    ]
    assert len(decisions) == 2
    assert all("--round 2" in command for command in decisions)


@pytest.mark.parametrize(
    ("gate", "redo"),
    [
        ("assets", "videotask redo heron -n studio images:NAME"),
        ("video", "videotask redo heron -n studio clips:1"),
        ("narration", "videotask redo heron -n studio narrations:1"),
        ("final", "videotask redo heron -n studio clips:1"),
    ],
)
def test_new_takes_are_offered_of_what_is_on_show_once_it_is_made(on_show, gate, redo):
    assert _commands(_with_steps(on_show(gate), *MADE))[-1] == redo
    assert not [command for command in _commands(on_show(gate)) if " redo " in command]


def test_a_storyboard_on_show_is_edited_and_nothing_is_redone(on_show):
    commands = _commands(_with_steps(on_show("storyboard")))
    assert commands[-1] == "videotask edit heron -n studio --scene 1 --narration '…'"
    assert not [command for command in commands if " redo " in command]


def test_a_place_with_blanks_in_its_name_is_one_word_of_the_command(tmp_path: Path):
    folder = tmp_path / "my films"
    folder.mkdir()
    assert shlex.split(open_folder(folder, is_given=True).flags) == ["--folder", str(folder)]
    flags = global_flags(context="prod", kubeconfig="/home/me/my files/config")
    place = ClusterPlace(kubectl=Kubectl(flags), given_namespace="films")
    assert shlex.split(place.flags) == [*flags, "-n", "films"]
