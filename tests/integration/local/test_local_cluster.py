"""LocalCluster runs real processes as a cluster runs pods, and what it says of them is proved."""

from __future__ import annotations

import os
import signal
from dataclasses import replace

import pytest

from videotask_contract.steps import Step
from videotask_operator.core.model import EventDraft, EventType, RunRecord, TaskKey
from videotask_operator.core.ports import ForeignJobError
from videotask_operator.local.files import read_json
from videotask_operator.local.processes import start_mark

KEY = TaskKey("default", "heron")
JOB = "heron-composite-creation-1"
SLEEP = (
    "import os, pathlib, time\n"
    "pathlib.Path(os.environ['VIDEOTASK_VOLUME'], '.pid').write_text(str(os.getpid()))\n"
    "pathlib.Path(os.environ['VIDEOTASK_VOLUME'], '.pid').rename(pathlib.Path(os.environ['VIDEOTASK_VOLUME'], 'pid'))\n"
    "time.sleep(300)\n"
)
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SLEEP
POLITE = "import signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(17))\n" + SLEEP


def a_run(**changes):
    values = {
        "run_id": "run-1",
        "task_uid": "u",
        "number": 1,
        "step": Step.COMPOSITE_CREATION,
        "attempt": 1,
        "job_name": JOB,
        "account": None,
        "concurrency": 1,
        "opened_at": None,
    }
    return RunRecord(**(values | changes))


async def test_a_step_that_ends_well_is_a_complete_job_with_its_termination_message(world, done_report):
    world.program = (
        "import os, pathlib; pathlib.Path(os.environ['VIDEOTASK_TERMINATION_LOG'])"
        f".write_text({done_report.model_dump_json(by_alias=True)!r})"
    )
    await world.cluster.create_run(world.order())
    pod = world.wait_for_end()
    job = world.cluster.observe(KEY).jobs[0]
    assert (pod.exit_code, pod.running, job.active, job.failed_reason) == (0, False, False, None)
    assert done_report.model_validate_json(pod.termination_message) == done_report
    assert KEY in world.changed


async def test_a_step_sees_its_files_its_own_key_and_nothing_of_our_environment(world, monkeypatch):
    monkeypatch.setenv("HIDDEN_SECRET", "x")
    world.folder.save_secret("kling", {"api-key": "k-123"})
    world.folder.save_secret("gemini", {"api-key": "g-456"})
    world.program = (
        "import json, os, pathlib\n"
        "e = os.environ\n"
        "seen = {'names': sorted(e), 'key': e['KLING_API_KEY'],\n"
        "        'run': json.load(open(e['VIDEOTASK_TASK_FILE']))['runId'],\n"
        "        'token': pathlib.Path(e['VIDEOTASK_REPORT_TOKEN_FILE']).read_text(),\n"
        "        'mode': oct(os.stat(e['VIDEOTASK_REPORT_TOKEN_FILE']).st_mode & 0o777)}\n"
        "pathlib.Path(e['VIDEOTASK_VOLUME'], 'seen.json').write_text(json.dumps(seen))"
    )
    await world.cluster.create_run(world.paid_order())
    pod = world.wait_for_end()
    seen = read_json(world.task_folder / "seen.json")
    assert pod.exit_code == 0
    assert (seen["run"], seen["key"], seen["mode"]) == ("run-1", "k-123", "0o600")
    assert "GEMINI_API_KEY" not in seen["names"]
    assert "HIDDEN_SECRET" not in seen["names"]
    caller = await world.cluster.authenticate(seen["token"])
    assert caller is not None
    assert (caller.pod_name, caller.pod_uid) == (pod.name, pod.uid)
    assert await world.cluster.owns_run(caller, a_run(), KEY)
    assert not await world.cluster.owns_run(caller, a_run(run_id="run-2"), KEY)
    assert not await world.cluster.owns_run(caller, a_run(), TaskKey("default", "other"))
    assert await world.cluster.authenticate(seen["token"] + "x") is None
    record = (world.folder.runs / JOB / "order.json").read_text()
    assert seen["token"] not in record
    assert "k-123" not in record


@pytest.mark.parametrize("code", [10, 17])
async def test_a_step_that_fails_shows_its_own_exit_code(world, code):
    world.program = f"raise SystemExit({code})"
    await world.cluster.create_run(world.order())
    assert world.wait_for_end().exit_code == code
    assert world.cluster.observe(KEY).jobs[0].failed_reason == "BackoffLimitExceeded"


async def test_a_step_killed_by_a_signal_shows_128_and_the_signal(world):
    world.program = "import os; os.kill(os.getpid(), 9)"
    await world.cluster.create_run(world.order())
    assert world.wait_for_end().exit_code == 137


async def test_creating_a_run_again_adopts_it_and_starts_nothing_twice(world):
    world.program = "import os, pathlib, uuid; pathlib.Path(os.environ['VIDEOTASK_VOLUME'], uuid.uuid4().hex).touch()"
    for _ in range(3):
        await world.cluster.create_run(world.order())
    await world.restarted().create_run(world.order())
    world.wait_for_end()
    await world.cluster.create_run(world.order())
    world.wait_for_end()
    assert len(list(world.task_folder.iterdir())) == 1


async def test_a_job_of_another_run_is_never_adopted(world):
    await world.cluster.create_run(world.order())
    with pytest.raises(ForeignJobError, match="run-1"):
        await world.cluster.create_run(world.order(run_id="run-2"))


async def test_an_operator_killed_and_started_again_finds_its_run_and_how_it_ended(world):
    world.program = POLITE
    await world.cluster.create_run(world.order())
    pid = int(world.wait_for_file(world.task_folder / "pid").read_text())
    world.restarted()
    pod = world.wait(lambda seen: bool(seen.pods) and seen.pods[0].running).pods[0]
    assert not await world.cluster.is_pod_gone(KEY, pod.uid)
    os.kill(pid, signal.SIGTERM)
    ended = world.wait_for_end()
    assert (ended.uid, ended.exit_code) == (pod.uid, 17)
    assert await world.cluster.is_pod_gone(KEY, pod.uid)


async def test_deleting_a_run_asks_it_to_end_and_then_forgets_it(world):
    world.program = POLITE
    await world.cluster.create_run(world.order())
    pid = int(world.wait_for_file(world.task_folder / "pid").read_text())
    uid = world.cluster.observe(KEY).pods[0].uid
    await world.cluster.delete_run(KEY, JOB)
    world.wait(lambda seen: not seen.jobs)
    assert start_mark(pid) is None
    assert await world.cluster.is_pod_gone(KEY, uid)
    assert not list(world.folder.runs.iterdir())
    await world.cluster.delete_run(KEY, JOB)


async def test_a_run_that_ignores_the_request_is_killed_after_its_grace(world):
    world.program = STUBBORN
    await world.cluster.create_run(world.order(grace_seconds=0))
    pid = int(world.wait_for_file(world.task_folder / "pid").read_text())
    await world.cluster.delete_run(KEY, JOB)
    world.wait(lambda seen: not seen.jobs)
    assert start_mark(pid) is None


async def test_a_deletion_goes_on_after_the_operator_was_killed(world):
    world.program = STUBBORN
    await world.cluster.create_run(world.order(grace_seconds=1))
    pid = int(world.wait_for_file(world.task_folder / "pid").read_text())
    await world.cluster.delete_run(KEY, JOB)
    world.restarted()
    assert world.cluster.observe(KEY).jobs[0].deleting
    world.wait(lambda seen: not seen.jobs)
    assert start_mark(pid) is None


async def test_a_run_past_its_deadline_is_ended_and_says_so(world):
    world.program = POLITE
    await world.cluster.create_run(world.order(deadline_seconds=1))
    pod = world.wait_for_end()
    assert pod.exit_code == 17
    assert world.cluster.observe(KEY).jobs[0].failed_reason == "DeadlineExceeded"


async def test_a_supervisor_killed_leaves_a_failed_job_without_pod_and_no_orphan(world):
    world.program = SLEEP
    await world.cluster.create_run(world.order())
    pid = int(world.wait_for_file(world.task_folder / "pid").read_text())
    os.kill(read_json(world.folder.runs / JOB / "pod.json")["pid"], signal.SIGKILL)
    seen = world.wait(lambda seen: not seen.pods)
    assert (seen.jobs[0].active, seen.jobs[0].failed_reason) == (False, "BackoffLimitExceeded")
    assert start_mark(pid) is None


async def test_nothing_that_a_step_started_outlives_it(world):
    world.program = (
        "import os, pathlib, subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(300)'])\n"
        "pathlib.Path(os.environ['VIDEOTASK_VOLUME'], 'child').write_text(str(child.pid))"
    )
    await world.cluster.create_run(world.order())
    world.wait_for_end()
    assert start_mark(int((world.task_folder / "child").read_text())) is None


async def test_a_missing_secret_holds_the_run_up_until_it_is_there(world):
    world.program = "pass"
    await world.cluster.create_run(world.paid_order())
    pod = world.wait(lambda seen: seen.pods[0].waiting_reason is not None).pods[0]
    assert (pod.waiting_reason, pod.running, pod.finished) == ("CreateContainerConfigError", False, False)
    assert 'secret "kling" not found' in pod.waiting_message
    assert not await world.cluster.is_pod_gone(KEY, pod.uid)
    world.folder.save_secret("kling", {"other": "x"})
    pod = world.wait(lambda seen: "couldn't find key api-key" in seen.pods[0].waiting_message).pods[0]
    world.folder.save_secret("kling", {"api-key": "x"})
    assert world.wait_for_end().exit_code == 0


async def test_a_run_deleted_before_it_began_never_begins(world):
    await world.cluster.create_run(world.paid_order())
    await world.cluster.delete_run(KEY, JOB)
    world.folder.save_secret("kling", {"api-key": "x"})
    world.wait(lambda seen: not seen.jobs)
    assert not list(world.folder.runs.iterdir())


async def test_a_missing_volume_holds_the_run_up(world):
    await world.cluster.create_run(world.order(claim_name="nowhere"))
    pod = world.wait(lambda seen: seen.pods[0].waiting_reason is not None).pods[0]
    assert pod.waiting_reason == "Unschedulable"
    assert '"nowhere" not found' in pod.waiting_message


async def test_a_task_keeps_its_uid_and_counts_its_generations(world):
    first = world.cluster.observe(KEY).task
    world.folder.apply({**world.task, "metadata": {"name": "heron", "labels": {"a": "b"}}})
    assert world.restarted().observe(KEY).task.generation == 1
    world.folder.apply({**world.task, "spec": world.task["spec"] | {"priority": "high"}})
    world.cluster.refresh()
    second = world.cluster.observe(KEY).task
    assert (first.uid, first.generation + 1) == (second.uid, second.generation)


async def test_a_task_deleted_and_applied_again_is_another_one_and_its_runs_end(world):
    world.program = SLEEP
    first = world.cluster.observe(KEY).task
    await world.cluster.create_run(world.order())
    pid = int(world.wait_for_file(world.task_folder / "pid").read_text())
    (world.folder.videotasks / "heron.yaml").unlink()
    world.wait(lambda seen: seen.task is None and not seen.jobs)
    assert start_mark(pid) is None
    world.folder.apply(world.task)
    world.cluster.refresh()
    assert world.cluster.observe(KEY).task.uid != first.uid


def _saves_by_renaming(world):
    """Take the file away and return what writes it anew, as many an editor does."""
    file = world.folder.videotasks / "heron.yaml"
    backup = file.rename(file.with_suffix(".yaml~"))

    def write():
        world.folder.apply({**world.task, "spec": world.task["spec"] | {"priority": "high"}})
        backup.unlink()

    return write


def _replaces_the_folder(world):
    """Take the whole folder away and return what brings it back, as a sync or a mount does."""
    folder = world.folder.videotasks
    aside = folder.rename(folder.with_name("aside"))

    def bring_back():
        folder.rmdir()  # the cluster made an empty one meanwhile
        aside.rename(folder)

    return bring_back


@pytest.mark.parametrize("takes_away", [_saves_by_renaming, _replaces_the_folder])
async def test_a_file_that_is_away_for_a_moment_is_the_same_task_afterwards(world, takes_away):
    now = [0.0]
    world.cluster._clock = lambda: now[0]
    before = world.cluster.observe(KEY).task
    for _ in range(2):  # the second time is no part of the first
        brings_back = takes_away(world)
        for seconds in (0.0, 1.0, 0.9):
            now[0] += seconds
            world.cluster.refresh()
            assert world.cluster.observe(KEY).task is not None
        brings_back()
        world.cluster.refresh()
        assert world.cluster.observe(KEY).task.uid == before.uid
    assert world.restarted().observe(KEY).task.uid == before.uid


async def test_status_is_saved_for_this_uid_alone_and_survives_a_restart(world):
    uid = world.cluster.observe(KEY).task.uid
    await world.cluster.save_status(KEY, uid="another", status={"phase": "Queued"})
    assert world.cluster.observe(KEY).task.status == {}
    await world.cluster.save_status(KEY, uid=uid, status={"phase": "Claimed"})
    assert world.cluster.observe(KEY).task.status == {"phase": "Claimed"}
    assert world.restarted().observe(KEY).task.status == {"phase": "Claimed"}
    assert world.cluster.observe(KEY).task.generation == 1


async def test_a_broken_spec_is_shown_with_the_fields_path_and_mended_by_the_next_write(world):
    world.folder.apply({**world.task, "spec": world.task["spec"] | {"budgetUSD": "-1", "surprise": 1}})
    world.cluster.refresh()
    task = world.cluster.observe(KEY).task
    assert task.spec is None
    assert "spec.budgetUSD: " in task.spec_error
    assert "spec.surprise: " in task.spec_error
    (world.folder.videotasks / "heron.yaml").write_text("spec: [")
    world.cluster.refresh()
    assert "cannot be read as YAML" in world.cluster.observe(KEY).task.spec_error
    world.folder.apply(world.task)
    world.cluster.refresh()
    assert world.cluster.observe(KEY).task.spec is not None


async def test_a_changed_channel_concerns_its_tasks(world):
    world.changed.clear()
    world.cluster.refresh()
    assert world.changed == []
    world.folder.apply({**world.channel, "spec": world.channel["spec"] | {"displayName": "River"}})
    world.cluster.refresh()
    assert world.changed == [KEY]
    assert world.cluster.observe(KEY).channel.spec.display_name == "River"


async def test_events_are_kept(world):
    draft = EventDraft(type=EventType.WARNING, reason="PodCannotStart", message="no “key”\nhere")
    await world.cluster.post_event(KEY, uid="u", event=draft)
    await world.cluster.post_event(KEY, uid="u", event=replace(draft, reason="Again"))
    assert [line.count('"reason"') for line in world.folder.events.read_text().splitlines()] == [1, 1]
