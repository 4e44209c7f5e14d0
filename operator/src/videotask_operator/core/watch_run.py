"""What an open run's Job and pods mean: wait, create again, believe the exit, or call it lost."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from pydantic import ValidationError

from videotask_contract.errors import FailureClass, failure_class_of_exit
from videotask_contract.report import FinalReport
from videotask_contract.resources import ChannelSpec, VideoTaskSpec
from videotask_operator.core.draft import Draft
from videotask_operator.core.model import CreateRun, DeleteRun, JobSeen, Observation, PodSeen, RunRecord
from videotask_operator.core.order import build_order
from videotask_operator.core.settle import begin_again, fail_run, lay_down, lose_run, settle_report, stop_run
from videotask_operator.core.situation import Rules
from videotask_operator.core.slots import PATIENCE_WITH_PODS, gave_slots_back

UNREACHABLE: Final = "PodUnreachable"
POD_CANNOT_START: Final = "PodCannotStart"
_NO_ATTEMPT: Final = " No attempt is consumed."
_UNREACHABLE_AFTER: Final = timedelta(minutes=5)
"""Past the end of a deleted pod's grace: as long as Kubernetes itself waits before it gives up a node (the default
tolerationSeconds of node.kubernetes.io/unreachable)."""


def watch_run(
    draft: Draft,
    run: RunRecord,
    *,
    observed: Observation,
    spec: VideoTaskSpec | None,
    channel: ChannelSpec | None,
    rules: Rules,
    podless_since: datetime | None = None,
) -> None:
    """Look at an open run that nobody asked to stop; `podless_since` is since when it has no living pod."""
    job = _job_of(run, observed)
    pods = _pods_of(run, observed)
    if job is None and run.job_created_at is None:
        if draft.record.waiting_reason == POD_CANNOT_START and gave_slots_back(run, now=draft.now):
            _lay_down_as_told(draft, run)  # its Job cannot be made
            return
        if spec is not None and channel is not None:
            order = build_order(run=run, record=draft.record, spec=spec, channel=channel, rules=rules)
            draft.actions.append(CreateRun(order=order))
        return
    if job is not None and run.job_created_at is None:
        run = replace(run, job_created_at=job.created_at)
        draft.put_run(run)
    if _believe_exit(draft, run, job, pods, rules):
        return
    if _is_over(job) and not any(not pod.finished for pod in pods):
        _close_silent(draft, run, job, rules)
        return
    if _is_unreachable(draft, pods):
        return
    _tell_what_holds_it_up(draft, run, job, pods, rules, podless_since=podless_since)


def end_run(draft: Draft, run: RunRecord, *, observed: Observation) -> bool:
    """Stop a run and tell whether it is proved over; deletes its Job, then waits until no pod of it is left."""
    job = _job_of(run, observed)
    living = [pod for pod in _pods_of(run, observed) if not pod.finished]
    if run.stop_requested_at is None:
        run = replace(run, stop_requested_at=draft.now)
        draft.put_run(run)
        draft.actions.append(DeleteRun(job_name=run.job_name))
        # A Job that was never seen may still be on its way: one more look before it counts as absent.
        draft.look_again(draft.now + timedelta(seconds=2))
        return False
    if job is not None and not job.deleting:
        draft.actions.append(DeleteRun(job_name=run.job_name))
        draft.look_again(draft.now + timedelta(seconds=5))
        return False
    if living or job is not None:
        if not _is_unreachable(draft, living):
            draft.look_again(draft.now + timedelta(seconds=5))
        return False
    stop_run(draft, run)
    return True


def _is_unreachable(draft: Draft, pods: list[PodSeen]) -> bool:
    """Say what to do about a pod that should long be gone and is not; nothing of the film is begun beside it.

    Its node does not answer, so that it may work and pay on: only a person can know that the machine is off.
    """
    leaving = [pod for pod in pods if not pod.finished and pod.deletion_at is not None]
    for pod in leaving:
        since = pod.deletion_at or draft.now
        if draft.now - since < _UNREACHABLE_AFTER:
            draft.look_again(since + _UNREACHABLE_AFTER)
            continue
        record = draft.record
        draft.wait(
            UNREACHABLE,
            f"pod {pod.name} should have been gone at {since:%H:%M} UTC and {_node_of(pod)} does not answer for it; it "
            "may still be at work, so nothing is begun beside it. When that machine is surely off: kubectl delete pod "
            f"{pod.name} -n {record.namespace} --force --grace-period=0 (or delete its Node). No attempt is consumed.",
            until=draft.now + timedelta(seconds=60),
            warn=True,
        )
        return True
    if draft.record.waiting_reason == UNREACHABLE:
        draft.change(waiting_reason=None, message="the pod that did not answer is gone, or answers again")
    return False


def _node_of(pod: PodSeen) -> str:
    return f"its node {pod.node}" if pod.node else "its node"


def _job_of(run: RunRecord, observed: Observation) -> JobSeen | None:
    return next((job for job in observed.jobs if job.run_id == run.run_id), None)


def _pods_of(run: RunRecord, observed: Observation) -> list[PodSeen]:
    pods = [pod for pod in observed.pods if pod.run_id == run.run_id and pod.job_name == run.job_name]
    return sorted(pods, key=lambda pod: pod.created_at)


def _is_over(job: JobSeen | None) -> bool:
    return job is None or not job.active


def _believe_exit(draft: Draft, run: RunRecord, job: JobSeen | None, pods: list[PodSeen], rules: Rules) -> bool:
    """Close the run by a pod that ended and left word: a report as termination message, or an exit code of failure."""
    if any(pod.uid == run.permitted_pod_uid and not pod.finished for pod in pods):
        return False  # whoever else ended was refused the start permit: its word is none on this run
    ended = [pod for pod in pods if pod.finished and not (pod.disrupted and job is not None and job.active)]
    # The latest first, but the one that had the permit before all: it did the work.
    for pod in sorted(ended, key=lambda pod: (pod.uid == run.permitted_pod_uid, pod.created_at), reverse=True):
        report = _parse_report(pod.termination_message, run)
        if report is not None:
            settle_report(draft, replace(run, exit_code=pod.exit_code), report, rules=rules.retry)
            return True
    if not ended or any(not pod.finished for pod in pods):
        return False
    code = ended[-1].exit_code
    if code in {None, 0}:  # exit 0 without a report proves nothing
        return False
    failure_class = failure_class_of_exit(code or 0)
    if _ran_out_of_time(job):
        failure_class = FailureClass.TRANSIENT
    message = f"the pod ended with exit code {code} and left no report"
    if failure_class is FailureClass.ACCOUNT:
        message = (
            f"the account was refused (exit code {code}; the words were lost with the report, the pod's log has them)"
        )
    fail_run(draft, replace(run, exit_code=code), failure_class=failure_class, message=message, rules=rules.retry)
    return True


def _parse_report(message: str | None, run: RunRecord) -> FinalReport | None:
    if not message:
        return None
    try:
        report = FinalReport.model_validate_json(message)
    except ValidationError:
        return None
    return report if report.run_id == run.run_id and report.step == run.step.value else None


def _ran_out_of_time(job: JobSeen | None) -> bool:
    return job is not None and job.failed_reason == "DeadlineExceeded"


def _close_silent(draft: Draft, run: RunRecord, job: JobSeen | None, rules: Rules) -> None:
    if _ran_out_of_time(job) and run.permitted_at is None:
        # Its pod never began (its image, Secret or volume is missing): that consumes nothing, however long it takes.
        if draft.record.waiting_reason == POD_CANNOT_START:
            _lay_down_as_told(draft, run)
        else:
            begin_again(draft, run)
        return
    if _ran_out_of_time(job):
        message = "it ran over its deadline and left no report"
        fail_run(draft, run, failure_class=FailureClass.TRANSIENT, message=message, rules=rules.retry)
        return
    seen = "its Job is gone" if job is None else "its Job ended"
    lose_run(draft, run, message=f"{seen} with neither report nor exit code", rules=rules.retry)


def _lay_down_as_told(draft: Draft, run: RunRecord) -> None:
    lay_down(draft, run, words=draft.record.message.removesuffix(_NO_ATTEMPT), warn=False)


def _tell_what_holds_it_up(
    draft: Draft,
    run: RunRecord,
    job: JobSeen | None,
    pods: list[PodSeen],
    rules: Rules,
    *,
    podless_since: datetime | None,
) -> None:
    waiting = [pod for pod in pods if not pod.finished and not pod.running]
    # A pod that asked for the start permit has started, whatever a late watch still shows.
    patience = timedelta(seconds=rules.never_starting_seconds)
    if run.permitted_at is not None and podless_since is not None:
        _tell_of_missing_pod(draft, run, podless_since + patience)
        return
    running = any(pod.running for pod in pods) or (run.permitted_at is not None and not waiting)
    since = waiting[-1].created_at if waiting else job.created_at if job and not pods else None
    if running or since is None:
        if draft.record.waiting_reason == POD_CANNOT_START:
            draft.change(waiting_reason=None, message=f"run {run.number}: its pod has started")
        return
    if draft.now - since < patience:
        draft.look_again(since + patience)
        return
    pod = waiting[-1] if waiting else None
    reason = (pod.waiting_reason if pod else None) or "NotStarted"
    detail = (pod.waiting_message if pod else None) or "no pod was made for its Job: look at the Job's events"
    words = f"{reason}: {detail}; {_ADVICE.get(reason, 'kubectl describe pod tells more')}."
    if run.permitted_at is None and draft.now - since > PATIENCE_WITH_PODS:
        lay_down(draft, run, words=words, warn=draft.record.waiting_reason != POD_CANNOT_START)
        return
    draft.wait(POD_CANNOT_START, words + _NO_ATTEMPT, until=draft.now + timedelta(seconds=60), warn=True)


def _tell_of_missing_pod(draft: Draft, run: RunRecord, due_at: datetime) -> None:
    """Say that a run's pod was evicted and that its Job, which is active, makes no other."""
    if draft.now < due_at:
        draft.look_again(due_at)
        return
    draft.wait(
        POD_CANNOT_START,
        f"NoPod: the pod of run {run.number} is gone and its Job makes no other; a quota or an admission webhook may "
        f"refuse it: kubectl describe job {run.job_name} -n {draft.record.namespace}. No attempt is consumed.",
        until=draft.now + timedelta(seconds=60),
        warn=True,
    )


_ADVICE = {
    "CreateContainerConfigError": "create the Secret key it names, or correct the Channel's spec.credentials",
    "ErrImagePull": "make the image available to the node, or correct the chart's images value",
    "ImagePullBackOff": "make the image available to the node, or correct the chart's images value",
    "ErrImageNeverPull": "load the image onto the node, or change the chart's image pull policy",
    "InvalidImageName": "correct the chart's images value",
    "Unschedulable": "free or add node resources, or create the PersistentVolumeClaim the Channel names",
    "NotStarted": "check that the Channel's volume can be mounted",
}
