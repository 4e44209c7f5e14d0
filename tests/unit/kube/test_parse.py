from __future__ import annotations

from datetime import UTC, datetime

import pytest
from tests.support.builders import NOON, UID, a_spec, a_storyboard

from videotask_operator.core.model import TaskKey
from videotask_operator.kube.parse import CANNOT_START, parse_channel, parse_job, parse_meta, parse_pod, parse_task


def condition(kind: str, status: str = "True", **more: str) -> dict[str, str]:
    return {"type": kind, "status": status, **more}


def container(**state: object) -> dict[str, object]:
    return {"containerStatuses": [{"name": "step", "state": state}]}


def test_a_task_that_holds_to_the_contract_is_read_whole(bodies) -> None:
    task = parse_task(bodies.task(status={"phase": "Queued"}))
    assert (task.key, task.uid, task.generation) == (TaskKey("studio", "film"), UID, 1)
    assert task.created_at == NOON
    assert task.spec is not None
    assert task.spec.title == "The tide"
    assert task.spec_error is None
    assert task.status == {"phase": "Queued"}
    assert not task.deleting


def test_a_broken_spec_is_a_sentence_with_the_fields_path_and_value(bodies) -> None:
    task = parse_task(bodies.task(spec=a_spec(priority="urgent", budgetUSD="-3")))
    assert task.spec is None
    assert task.spec_error is not None
    assert "spec.priority: " in task.spec_error
    assert "'urgent'" in task.spec_error
    assert "spec.budgetUSD: " in task.spec_error


def test_a_scene_that_names_no_asset_says_which_one(bodies) -> None:
    storyboard = a_storyboard()
    storyboard["scenes"][1]["environment"] = "moon"
    error = parse_task(bodies.task(spec=a_spec(storyboard=storyboard))).spec_error
    assert error is not None
    assert "storyboard.scenes[scene-2].environment: 'moon' is no environment asset" in error


def test_a_path_into_a_list_names_the_position(bodies) -> None:
    storyboard = a_storyboard()
    storyboard["scenes"][0]["narration"] = ""
    error = parse_task(bodies.task(spec=a_spec(storyboard=storyboard))).spec_error
    assert error is not None
    assert error.startswith("spec.storyboard.scenes[0].narration: ")


def test_many_problems_are_counted_not_all_told(bodies) -> None:
    storyboard = a_storyboard(scenes=9)
    for scene in storyboard["scenes"]:
        scene["narration"] = ""
    error = parse_task(bodies.task(spec=a_spec(storyboard=storyboard))).spec_error
    assert error is not None
    assert error.endswith("and 4 more")


def test_a_task_without_spec_or_status_is_no_exception(bodies) -> None:
    body = bodies.task()
    del body["spec"]
    task = parse_task(body)
    assert task.spec is None
    assert "spec.channelRef" in (task.spec_error or "")
    assert task.status == {}


def test_a_spec_of_the_same_generation_is_not_checked_again(bodies) -> None:
    known = parse_task(bodies.task())
    again = parse_task(bodies.task(version=2, status={"phase": "Claimed"}), known=known)
    assert again.spec is known.spec
    assert again.status == {"phase": "Claimed"}


@pytest.mark.parametrize("change", [{"uid": "other"}, {"metadata": {"generation": 2}}])
def test_a_new_generation_or_uid_is_checked_anew(bodies, change) -> None:
    known = parse_task(bodies.task())
    again = parse_task(bodies.task(spec=a_spec(title="Ebb"), **change), known=known)
    assert again.spec is not None
    assert again.spec.title == "Ebb"


def test_a_task_under_deletion_says_so(bodies) -> None:
    assert parse_task(bodies.task(metadata={"deletionTimestamp": "2026-11-21T12:00:00Z"})).deleting


def test_a_channel_and_its_broken_spec(bodies) -> None:
    channel = parse_channel(bodies.channel())
    assert channel.spec is not None
    assert channel.spec.volume.claim_name == "tides-films"
    broken = parse_channel(bodies.channel(spec={"volume": {"claimName": "x"}}))
    assert broken.spec is None
    assert "spec.voice" in (broken.spec_error or "")


def test_the_whole_task_name_comes_from_the_annotation(bodies) -> None:
    long_name = "f" * 200
    meta = parse_meta(bodies.job(metadata={"annotations": {"videotask.dev/task-name": long_name}}))
    assert meta.key == TaskKey("studio", long_name)


@pytest.mark.parametrize(
    ("conditions", "active", "reason"),
    [
        ([], True, None),
        ([condition("Complete", "False")], True, None),
        ([condition("FailureTarget", reason="BackoffLimitExceeded")], True, None),
        ([condition("SuccessCriteriaMet"), condition("Complete")], False, None),
        ([condition("Failed", reason="DeadlineExceeded")], False, "DeadlineExceeded"),
        ([condition("Failed")], False, "Failed"),
    ],
)
def test_a_job_is_active_until_a_terminal_condition(bodies, conditions, active, reason) -> None:
    job = parse_job(bodies.job(status={"conditions": conditions}))
    assert (job.active, job.failed_reason) == (active, reason)
    assert (job.name, job.uid, job.run_id) == ("film-job-1", "job-uid", "run1")
    assert job.created_at == datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def test_a_running_pod(bodies) -> None:
    pod = parse_pod(bodies.pod(status={"phase": "Running", **container(running={"startedAt": "x"})}))
    assert pod.running
    assert not pod.finished
    assert pod.job_name == "film-job-1"
    assert pod.waiting_reason is None


def test_a_pod_that_ended_leaves_its_exit_code_and_message(bodies) -> None:
    state = container(terminated={"exitCode": 12, "message": '{"runId":"run1"}'})
    pod = parse_pod(bodies.pod(status={"phase": "Failed", **state}))
    assert pod.finished
    assert (pod.exit_code, pod.termination_message) == (12, '{"runId":"run1"}')
    assert pod.waiting_reason is None


def test_only_the_steps_container_is_believed(bodies) -> None:
    statuses = [
        {"name": "mesh-proxy", "state": {"terminated": {"exitCode": 0, "message": "fine"}}},
        {"name": "step", "state": {"terminated": {"exitCode": 11}}},
    ]
    pod = parse_pod(bodies.pod(status={"phase": "Failed", "containerStatuses": statuses}))
    assert (pod.exit_code, pod.termination_message) == (11, None)


@pytest.mark.parametrize("reason", sorted(CANNOT_START))
def test_a_pod_that_cannot_start_says_why(bodies, reason) -> None:
    state = container(waiting={"reason": reason, "message": 'secret "kling-key" not found'})
    pod = parse_pod(bodies.pod(status={"phase": "Pending", **state}))
    assert (pod.waiting_reason, pod.waiting_message) == (reason, 'secret "kling-key" not found')


def test_a_pod_that_finds_no_node_says_why(bodies) -> None:
    scheduled = condition("PodScheduled", "False", reason="Unschedulable", message="0/1 nodes are available")
    pod = parse_pod(bodies.pod(status={"phase": "Pending", "conditions": [scheduled]}))
    assert (pod.waiting_reason, pod.waiting_message) == ("Unschedulable", "0/1 nodes are available")


@pytest.mark.parametrize(
    "status", [{}, {"phase": "Pending"}, {"phase": "Pending", **container(waiting={"reason": "ContainerCreating"})}]
)
def test_a_pod_that_has_just_not_started_names_the_command_that_tells_more(bodies, status) -> None:
    pod = parse_pod(bodies.pod(status=status))
    assert pod.waiting_reason == "NotStarted"
    assert "kubectl describe pod film-job-1-abcde" in (pod.waiting_message or "")


def test_a_pod_under_deletion_waits_for_nothing(bodies) -> None:
    pod = parse_pod(bodies.pod(status={"phase": "Pending"}, metadata={"deletionTimestamp": "2026-11-21T12:00:00Z"}))
    assert pod.deleting
    assert pod.waiting_reason is None
    assert pod.deletion_at == datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
    assert parse_pod(bodies.pod(status={"phase": "Pending"})).deletion_at is None


def test_a_pod_names_the_node_it_is_on(bodies) -> None:
    body = bodies.pod(status={"phase": "Running"})
    assert parse_pod({**body, "spec": {"nodeName": "node-7"}}).node == "node-7"
    assert parse_pod({**body, "spec": {}}).node is None


def test_an_evicted_pod_is_disrupted(bodies) -> None:
    evicted = condition("DisruptionTarget", reason="EvictionByEvictionAPI")
    assert parse_pod(bodies.pod(status={"phase": "Failed", "conditions": [evicted]})).disrupted
    assert not parse_pod(bodies.pod(status={"phase": "Failed"})).disrupted


def test_a_pod_orphaned_from_its_job_is_still_known_by_the_jobs_name(bodies) -> None:
    labels = {**bodies.pod()["metadata"]["labels"], "batch.kubernetes.io/job-name": "film-job-1"}
    pod = parse_pod(bodies.pod(metadata={"ownerReferences": [], "labels": labels}))
    assert pod.job_name == "film-job-1"
