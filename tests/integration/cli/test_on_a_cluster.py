"""The command line on a cluster: what kubectl is asked for, what is made of its answers, and how commands end."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
import sys
import time
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import pytest
from tests.support.builders import UID, a_spec, a_storyboard

import videotask_operator.cli.cluster
from videotask_operator.cli import commands
from videotask_operator.cli.__main__ import main
from videotask_operator.cli.cluster import ClusterPlace
from videotask_operator.cli.exits import CommandExit
from videotask_operator.cli.kubectl import Kubectl

REVIEW = {"gate": "final", "round": 2, "requestedAt": "2026-11-21T11:30:00Z", "command": "kubectl …"}


class FakeCluster:
    """A kubectl on PATH, and the one file that is its API server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file = folder / "cluster.json"
        self._calls = folder / "calls.jsonl"
        task = {
            "apiVersion": "videotask.dev/v1alpha1",
            "kind": "VideoTask",
            "metadata": {"name": "heron", "namespace": "films", "uid": UID, "resourceVersion": "41"},
            "spec": a_spec(storyboard=a_storyboard(scenes=3), title="The heron …"),
            "status": {"phase": "FinalReview", "message": "look", "review": REVIEW},
        }
        self.store = {"tasks": {"heron": task}, "jobs": [], "pods": [], "conflicts": 0, "refuses": ""}
        self.save()

    def save(self) -> None:
        self._file.write_text(json.dumps(self.store))

    def generate(self, **volume):
        """Let the film's storyboard be a generated one, with these files in its folder on the volume."""
        spec = self.store["tasks"]["heron"]["spec"]
        del spec["storyboard"]
        spec["topic"] = "A heron"
        pod = {
            "securityContext": {},
            "containers": [{"image": "step:1", "securityContext": {}}],
            "volumes": [{"name": "channel", "persistentVolumeClaim": {"claimName": "films"}}],
        }
        made = job("a", "2026-11-21T11:00:00Z", {"videotask.dev/task-uid": UID})
        self.store["jobs"] = [made | {"spec": {"template": {"spec": pod}}}]
        self.store["volume"] = volume
        self.save()

    @property
    def pods_left(self):
        return json.loads(self._file.read_text()).get("created", [])

    @property
    def spec(self):
        return json.loads(self._file.read_text())["tasks"]["heron"]["spec"]

    @property
    def calls(self):
        return [json.loads(line) for line in self._calls.read_text().splitlines()]

    def patches(self):
        return [json.loads(call[call.index("-p") + 1]) for call in self.calls if "patch" in call]


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    program = tmp_path / "kubectl"
    # -I and -S: it starts in a fiftieth of a second.
    program.write_text(f"#!{sys.executable} -IS\n{Path(__file__).with_name('fake_kubectl.py').read_text()}")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("FAKE_CLUSTER", str(tmp_path / "cluster.json"))
    monkeypatch.delenv("VIDEOTASK_FOLDER", raising=False)
    return FakeCluster(tmp_path)


def test_an_approval_carries_round_and_user_through_the_context_that_was_named(cluster, capsys):
    assert main(["approve", "heron", "--context", "prod", "-n", "studio"]) == CommandExit.DONE
    assert cluster.spec["approvals"] == {"final": {"decision": "Approved", "round": 2, "by": "ada"}}
    assert all(call[:2] == ["--context", "prod"] for call in cluster.calls)
    assert cluster.calls[-1][call_index(cluster.calls[-1], "-n")] == "studio"
    assert capsys.readouterr().out == "heron: approved final, round 2\n"


def call_index(call, flag):
    return call.index(flag) + 1


def test_a_change_that_met_another_version_is_built_anew_and_loses_nothing(cluster):
    cluster.store["conflicts"] = 2
    cluster.save()
    assert main(["take", "heron", "clips:2=1"]) == CommandExit.DONE
    assert [(take["item"], take["take"]) for take in cluster.spec["takes"]] == [("3", 1), ("2", 1)]
    assert [patch["metadata"]["resourceVersion"] for patch in cluster.patches()] == ["41", "410", "4100"]


def test_a_change_that_always_meets_another_version_says_so_and_ends(cluster, capsys):
    cluster.store["conflicts"] = 99
    cluster.save()
    assert main(["take", "heron", "clips:2=1"]) == CommandExit.TRY_AGAIN
    assert "changed by others 8 times" in capsys.readouterr().err


LOST = 'error: Patch "https://10.0.0.1:6443/…": read tcp 10.0.0.9:50022->10.0.0.1:6443: read: connection reset by peer'


def test_a_redo_whose_answer_was_lost_is_found_and_not_asked_for_twice(cluster, capsys):
    cluster.store["loses"] = LOST
    cluster.save()
    assert main(["redo", "heron", "clips:2"]) == CommandExit.DONE
    assert "asked for new takes of clip 2" in capsys.readouterr().out
    assert len(cluster.patches()) == 1


def test_where_it_cannot_be_seen_whether_a_redo_arrived_one_is_told_to_repeat_that_very_request(cluster, capsys):
    cluster.store |= {"loses": LOST, "looks": ["there", "away"]}
    cluster.save()
    assert main(["redo", "heron", "clips:2", "narrations"]) == CommandExit.FAILED
    complaint = capsys.readouterr().err
    request = cluster.spec["redo"]["request"]
    assert "may have been made all the same" in complaint
    assert f"--request {request}" in complaint
    cluster.store = json.loads((cluster.folder / "cluster.json").read_text())
    assert main(["redo", "heron", "narrations", "clips:2", "--request", request]) == CommandExit.DONE
    assert "were asked for already" in capsys.readouterr().out
    assert len(cluster.patches()) == 1


def test_a_refusal_stays_a_refusal(cluster, capsys):
    cluster.store["refuses"] = 'The VideoTask "heron" is invalid: spec.redo: too much'
    cluster.save()
    assert main(["redo", "heron", "clips:2"]) == CommandExit.FAILED
    assert "spec.redo: too much" in capsys.readouterr().err


def test_an_unknown_name_tells_names_that_are_near(cluster, capsys):
    assert main(["describe", "herno"]) == CommandExit.NOT_FOUND
    assert "no VideoTask 'herno' in namespace films; did you mean heron?" in capsys.readouterr().err


def test_who_may_not_approve_is_told_the_servers_words_and_who_can_help(cluster, capsys):
    cluster.store["refuses"] = (
        'Error from server (Forbidden): videotasks.videotask.dev "heron" is forbidden: ValidatingAdmissionPolicy '
        "denied request: spec.approvals: ada may not change approvals: it takes the verb approve on videotasks"
    )
    cluster.save()
    assert main(["approve", "heron"]) == CommandExit.FAILED
    said = capsys.readouterr().err
    assert "ada may not change approvals" in said
    command = "kubectl create rolebinding approver-ada --clusterrole=videotask-approver --user=ada -n films"
    assert command in " ".join(said.split())
    assert "something else that kubectl says" not in said
    assert "memcache" not in said


def test_a_dry_run_prints_the_patch_and_sends_none(cluster, capsys):
    assert main(["redo", "heron", "clips:2", "--request", "again", "--dry-run"]) == CommandExit.DONE
    assert json.loads(capsys.readouterr().out)["spec"]["redo"]["request"] == "again"
    assert cluster.patches() == []


def test_the_patch_of_a_dry_run_is_refused_for_a_list_that_others_changed_meanwhile(cluster, capsys):
    """Whoever sends it later by kubectl overwrites nobody's takes, as the command itself would not."""
    assert main(["take", "heron", "clips:2=1", "--dry-run"]) == CommandExit.DONE
    patch = capsys.readouterr().out
    cluster.store["conflicts"] = 1
    cluster.save()
    words = ["kubectl", "patch", "videotasks.videotask.dev", "heron", "-n", "films", "--type=merge", "-p", patch]
    sent = subprocess.run(words, capture_output=True, text=True, check=False)
    assert "Conflict" in sent.stderr
    assert [take["item"] for take in cluster.spec["takes"]] == ["3"]


def test_what_the_storyboard_has_not_is_never_sent(cluster, capsys):
    assert main(["redo", "heron", "clips:4"]) == CommandExit.USAGE
    assert main(["edit", "heron", "--scene", "2", "--environment", "moon"]) == CommandExit.USAGE
    assert cluster.patches() == []
    assert "'moon' is no environment asset" in capsys.readouterr().err


def test_a_page_is_told_without_the_right_to_read_events(cluster, capsys):
    assert main(["describe", "heron"]) == CommandExit.DONE
    page = capsys.readouterr().out
    assert "videotask approve heron --round 2" in page
    assert "Events" not in page


def test_a_watch_shows_each_state_once_and_ends_where_it_was_to(cluster, capsys):
    assert main(["get", "heron", "-w", "--until", "Completed", "-o", "json"]) == CommandExit.DONE
    shown = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [task["status"]["phase"] for task in shown] == ["FinalReview", "FinalReview", "Completed"]
    assert shown[0]["spec"]["title"] == "The heron …"


def test_a_film_that_ends_otherwise_than_it_was_waited_for_is_no_success(cluster):
    assert main(["get", "heron", "-w", "--until", "Approved"]) == CommandExit.NOT_NOW


def test_a_watch_outlives_a_server_that_is_away_for_a_moment(cluster, capsys, monkeypatch):
    monkeypatch.setattr(videotask_operator.cli.cluster, "_WATCH_AGAIN_SECONDS", 0.05)
    cluster.store["looks"] = ["there", "away", "away", "there", "away"]
    cluster.save()
    assert main(["get", "heron", "-w", "--until", "Completed", "-o", "name"]) == CommandExit.DONE, capsys.readouterr()


def test_a_server_that_is_away_from_the_first_look_on_is_told_at_once(cluster, capsys):
    cluster.store["looks"] = ["away"]
    cluster.save()
    assert main(["get", "heron", "-w"]) == CommandExit.FAILED
    assert "is it the right cluster" in capsys.readouterr().err


def test_a_film_that_is_deleted_between_two_watches_is_gone(cluster, capsys, monkeypatch):
    monkeypatch.setattr(videotask_operator.cli.cluster, "_WATCH_AGAIN_SECONDS", 0.05)
    cluster.store["looks"] = ["there", "there", "away", "away", "deleted"]  # the second look is for the title
    cluster.save()
    assert main(["get", "heron", "-w", "--until", "Completed"]) == CommandExit.NOT_NOW, capsys.readouterr()


def test_of_all_films_too_the_one_that_is_deleted_between_two_watches_is_gone(cluster, monkeypatch):
    monkeypatch.setattr(videotask_operator.cli.cluster, "_WATCH_AGAIN_SECONDS", 0.05)
    cluster.store["looks"] = ["there", "away", "deleted"]
    cluster.save()
    seen = ClusterPlace(kubectl=Kubectl(), given_namespace="films").watch()
    assert [[(look.task.name, look.is_gone) for look in looks] for looks in islice(seen, 2)] == [
        [("heron", False)],
        [("heron", True)],
    ]


def test_names_and_lists_are_printed_for_programs(cluster, capsys):
    main(["get", "-o", "name"])
    assert capsys.readouterr().out == "videotask.videotask.dev/heron\n"
    main(["get", "-o", "json"])
    assert [item["metadata"]["name"] for item in json.loads(capsys.readouterr().out)["items"]] == ["heron"]


def test_logs_are_those_of_the_newest_job_of_the_step(cluster, capfd):
    label = {"videotask.dev/task-uid": UID}
    cluster.store["jobs"] = [
        job("a", "2026-11-21T11:00:00Z", label | {"videotask.dev/step": "video_generation"}),
        job("b", "2026-11-21T11:30:00Z", label | {"videotask.dev/step": "video_generation"}),
        job("c", "2026-11-21T11:45:00Z", label | {"videotask.dev/step": "sfx_generation"}),
    ]
    cluster.save()
    assert main(["logs", "heron", "clips", "-f"]) == CommandExit.DONE
    assert main(["logs", "heron"]) == CommandExit.DONE
    assert capfd.readouterr().out == "ran: job/b --tail=-1 --follow\nran: job/c --tail=-1\n"
    assert main(["logs", "heron", "narrations"]) == CommandExit.FAILED


TRADE = "sed -i 's/nobody/somebody/' \"$1\""


def in_a_terminal(cluster, *words, edit=TRADE):
    """Run a command as somebody at a terminal whose editor trades one word for another; return code and screen."""
    editor = cluster.folder / "editor"
    editor.write_text(f"#!/bin/sh\n{edit}\n")
    editor.chmod(0o755)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "videotask_operator.cli", *words]
    environment = os.environ | {"EDITOR": str(editor), "VISUAL": ""}
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        screen = b""
        with contextlib.suppress(OSError):  # EIO: the other side has closed it
            while block := os.read(ours, 65536):
                screen += block
    os.close(ours)
    return process.returncode, " ".join(screen.decode().split())


def test_a_generated_storyboard_is_brought_from_the_volume_to_be_edited(cluster):
    """Scene 2 is asked for by its number and was edited by its name before: it stays one entry."""
    cluster.store["tasks"]["heron"]["spec"]["edits"] = {"scenes": [{"scene": "scene-2", "motion": "Zoom."}]}
    cluster.generate(**{"storyboard.json": json.dumps(a_storyboard(scenes=3))})
    code, screen = in_a_terminal(cluster, "edit", "heron", "--scene", "2")
    assert code == CommandExit.DONE, screen
    assert "reading the generated storyboard of heron from its channel's volume" in screen
    assert cluster.spec["edits"]["scenes"] == [
        {"scene": "scene-2", "motion": "Zoom.", "narration": "Part 2: the tide comes in and somebody sleeps."}
    ]
    assert cluster.pods_left == []


def test_an_editor_in_which_nothing_was_changed_is_told(cluster):
    code, screen = in_a_terminal(cluster, "edit", "heron", "--scene", "2", edit="true")
    assert (code, screen) == (CommandExit.DONE, "heron: nothing was changed")
    assert cluster.patches() == []


def test_what_was_typed_is_kept_where_it_could_not_be_sent(cluster):
    cluster.store["refuses"] = 'Error from server (Forbidden): User "ada" cannot patch resource "videotasks"'
    cluster.save()
    code, screen = in_a_terminal(cluster, "edit", "heron", "--scene", "2")
    assert code == CommandExit.FAILED
    assert "cannot patch" in screen
    kept = Path(screen.split("what was typed is kept in ")[1])
    assert "the tide comes in and somebody sleeps" in kept.read_text()
    kept.unlink()


@pytest.mark.parametrize("field", ["narration", "motion"])
def test_words_that_somebody_else_wrote_while_the_editor_was_open_are_not_overwritten(cluster, field):
    cluster.store["tasks"]["heron"]["spec"]["edits"] = {"scenes": [{"scene": "2", field: "Old."}]}
    cluster.save()
    other = f"sed -i 's/Old\\./Words of another./' {cluster.folder / 'cluster.json'}"
    code, screen = in_a_terminal(
        cluster, "edit", "heron", "--scene", "2", edit=f"sed -i 's/^narration: .*/narration: Mine./' \"$1\"\n{other}"
    )
    [scene] = cluster.spec["edits"]["scenes"]
    assert scene[field] == "Words of another."
    if field == "motion":
        assert (code, scene["narration"]) == (CommandExit.DONE, "Mine.")
    else:
        assert code == CommandExit.NOT_NOW
        assert "narration of scene 2 says 'Words of another.' by now" in screen
        kept = Path(screen.split("what was typed is kept in ")[1])
        assert "narration: Mine." in kept.read_text()
        kept.unlink()


def test_a_generated_storyboard_that_is_not_there_yet_is_told_with_what_to_do(cluster):
    cluster.generate()
    code, screen = in_a_terminal(cluster, "edit", "heron", "--scene", "2")
    assert code == CommandExit.FAILED
    assert "storyboard.json: Cannot stat" in screen
    assert "Give new words by --narration, --motion" in screen
    assert "--storyboard FILE" in screen
    assert cluster.patches() == []
    assert cluster.pods_left == []
    assert main(["edit", "heron", "--scene", "2", "--narration", "Nobody sleeps."]) == CommandExit.DONE


def test_a_storyboard_that_came_cut_is_told_and_never_kept(cluster, capsys, tmp_path):
    cluster.generate(**{"storyboard.json": json.dumps(a_storyboard(scenes=3))})
    cluster.store["cut"] = True
    cluster.save()
    file = tmp_path / "out" / "storyboard.json"
    assert main(["fetch", "heron", "--storyboard", "-o", str(file)]) == CommandExit.FAILED
    assert "did not come whole" in capsys.readouterr().err
    assert not file.exists()
    assert cluster.pods_left == []


NO_POD = "error: timed out waiting for the condition on pods/fetch-1"


@pytest.mark.parametrize("events", [None, [{"type": "Warning", "reason": "Failed", "message": "no such image step:1"}]])
def test_a_reader_that_does_not_start_is_told_with_its_events_for_its_pod_is_gone(cluster, capsys, tmp_path, events):
    cluster.generate(**{"storyboard.json": "{}"})
    cluster.store |= {"refuses": NO_POD} | ({"events": events} if events else {})
    cluster.save()
    assert main(["fetch", "heron", "--storyboard", "-o", str(tmp_path / "x.json")]) == CommandExit.FAILED
    complaint = capsys.readouterr().err
    assert "did not start" in complaint
    assert NO_POD in complaint
    assert ("no such image step:1" in complaint) is (events is not None)
    assert "describe pod" not in complaint
    assert cluster.pods_left == []


def job(name, created, labels):
    return {"metadata": {"name": name, "creationTimestamp": created, "labels": labels}}


def test_costs_are_told_by_the_operators_own_pod(cluster, capfd):
    assert main(["costs", "--by", "film"]) == CommandExit.FAILED
    cluster.store["pods"] = [{"metadata": {"name": "operator-1", "namespace": "system"}}]
    cluster.save()
    assert main(["costs", "--month", "2026-11", "--by", "channel,film", "-o", "csv"]) == CommandExit.DONE
    ran = capfd.readouterr().out
    assert ran == ("ran: operator-1 python -m videotask_operator costs --month 2026-11 --by channel,film -o csv\n")


def test_this_month_is_the_one_on_this_machines_calendar(cluster, capfd, monkeypatch):
    """On the first of a month, a morning in Tokyo is still the month before in UTC, which is the pod's clock."""
    cluster.store["pods"] = [operator_pod("operator-1", "films")]
    cluster.save()
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        monkeypatch.setattr(commands, "_now", lambda: datetime(2026, 11, 30, 23, 0, tzinfo=UTC))
        for words in (["costs"], ["costs", "--month"]):
            assert main(words) == CommandExit.DONE
            assert capfd.readouterr().out.split()[-2:] == ["--month", "2026-12"]
    finally:
        monkeypatch.undo()
        time.tzset()


def operator_pod(name, namespace, release="videotask"):
    return {"metadata": {"name": name, "namespace": namespace, "labels": {"app.kubernetes.io/instance": release}}}


def test_of_several_operators_none_is_picked_by_chance(cluster, capfd):
    cluster.store["pods"] = [operator_pod("one", "east"), operator_pod("two", "west")]
    cluster.save()
    assert main(["costs"]) == CommandExit.FAILED
    assert "several operators, in east and west; name one by --operator-namespace" in capfd.readouterr().err
    assert main(["costs", "--operator-namespace", "west"]) == CommandExit.DONE
    assert main(["costs", "-n", "east"]) == CommandExit.DONE
    assert [line.split()[1] for line in capfd.readouterr().out.splitlines()] == ["two", "one"]


def test_a_film_is_not_cancelled_where_nobody_can_be_asked(cluster, capsys):
    assert main(["cancel", "heron"]) == CommandExit.USAGE
    assert cluster.patches() == []
    assert main(["cancel", "heron", "-y"]) == CommandExit.DONE
    assert cluster.spec["state"] == "Cancelled"


@pytest.mark.parametrize("words", [["approve"], ["redo", "heron"], ["nonsense"], ["reject", "heron"]])
def test_wrong_words_end_with_two(cluster, words):
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == CommandExit.USAGE
