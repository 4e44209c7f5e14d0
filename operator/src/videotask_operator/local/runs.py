"""The records of local runs, each a folder that stands for a Job and its pod; a run is started once, never twice."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from pydantic import ConfigDict

from videotask_contract.report import MAX_TERMINATION_BYTES
from videotask_contract.steps import Provider, Step
from videotask_contract.storyboard import ContractModel
from videotask_contract.task_file import (
    VARIABLE_TASK_FILE,
    VARIABLE_TERMINATION_LOG,
    VARIABLE_TOKEN_FILE,
    VARIABLE_VOLUME,
)
from videotask_operator.core.model import JobSeen, PodSeen, RunOrder
from videotask_operator.core.ports import ForeignJobError
from videotask_operator.local import supervise
from videotask_operator.local.files import PRIVATE, create_json, read_json, write_json, write_text
from videotask_operator.local.folder import LocalFolder
from videotask_operator.local.processes import ProcessGroup

StepCommand = Callable[[Step], list[str]]

_TASK_FILE: Final = "task.json"
_TOKEN: Final = "token"  # noqa: S105  a file's name
_TERMINATION_LOG: Final = "termination.log"
_DELETING: Final = "deleting.json"
_NEVER: Final = {"pid": None}
"""Stands in pod.json of a run that was deleted before it began."""
_RESTART_SECONDS: Final = 5.0
"""Pause before a supervisor that died before it began is started again."""
_LATE_KILL_SECONDS: Final = 5.0
"""Beyond the grace, after which a supervisor that does not end its step is killed with it."""


def step_program(step: Step) -> list[str]:
    """Return the command that runs a step with this Python."""
    return [sys.executable, "-m", f"videotask_steps.steps.{step.value}"]


class JobRecord(ContractModel):
    """What `order.json` of a run holds: all that is needed to start it, also after the operator was restarted."""

    model_config = ConfigDict(extra="ignore")
    job_name: str
    job_uid: str
    pod_name: str
    pod_uid: str
    run_id: str
    task_name: str
    task_uid: str
    created_at: datetime
    token_sha256: str
    command: tuple[str, ...]
    log: str
    deadline_seconds: int
    grace_seconds: int
    claim_name: str
    volume_folder: str
    provider: Provider | None
    secret_name: str | None
    secret_key: str | None


@dataclass(slots=True, kw_only=True)
class LocalRun:
    """A run's record, and what this operator process remembers of it."""

    job: JobRecord
    path: Path
    supervisor: subprocess.Popen[bytes] | None = None
    """Only if this operator process started it; kept to reap it."""
    start_again_at: float = 0.0
    waiting: tuple[str, str] | None = None
    """Reason and message why it cannot start."""
    seen: tuple[JobSeen, PodSeen | None] | None = None
    trouble: str = ""
    """What kept it from being moved on when that was last told."""


def create_run(folder: LocalFolder, order: RunOrder, *, step_command: StepCommand) -> LocalRun:
    """Write a run's record whole, or find it there already; ForeignJobError when the name belongs to another run."""
    path = folder.runs / order.job_name
    if (known := load_run(path)) is not None:
        if known.job.run_id != order.run_id:
            raise ForeignJobError(f"the run {order.job_name} exists and has run id {known.job.run_id}")
        return known
    token = secrets.token_urlsafe(32)
    job = JobRecord(
        job_name=order.job_name,
        job_uid=str(uuid.uuid4()),
        pod_name=f"{order.job_name}-{secrets.token_hex(3)[:5]}",
        pod_uid=str(uuid.uuid4()),
        run_id=order.run_id,
        task_name=order.key.name,
        task_uid=order.task_uid,
        created_at=datetime.now(UTC),
        token_sha256=hash_token(token),
        command=tuple(step_command(order.step)),
        log=str((folder.logs / f"{order.job_name}.log").resolve()),
        deadline_seconds=order.deadline_seconds,
        grace_seconds=order.grace_seconds,
        claim_name=order.claim_name,
        volume_folder=order.folder,
        provider=order.provider,
        secret_name=order.secret_name,
        secret_key=order.secret_key,
    )
    _write_record(path, job, token=token, task_file=order.task_file.model_dump_json(by_alias=True, exclude_none=True))
    return LocalRun(job=job, path=path)


def load_run(path: Path) -> LocalRun | None:
    """Return the run whose record lies here, None when there is none."""
    value = read_json(path / supervise.ORDER)
    return None if value is None else LocalRun(job=JobRecord.model_validate(value), path=path)


def hash_token(token: str) -> str:
    """Return what is kept of a report token."""
    return hashlib.sha256(token.encode()).hexdigest()


def advance(run: LocalRun, folder: LocalFolder) -> bool:
    """Do what a kubelet would do next: start, escalate a deletion, reap. False when the record is gone for good."""
    if run.supervisor is not None:
        run.supervisor.poll()
    deleted_at = read_json(run.path / _DELETING)
    group = group_of(run)
    if deleted_at is not None:
        return _advance_deletion(run, group, deleted_at=float(deleted_at))
    if group is None:
        _start(run, folder)
    elif not group.is_led and group.is_alive:
        group.signal_all(signal.SIGKILL)  # its supervisor was killed: nobody would hold it to its deadline
    return True


def request_deletion(run: LocalRun) -> None:
    """Mark a run for deletion; the mark survives a restart of the operator."""
    create_json(run.path / _DELETING, time.time())


def look_at(run: LocalRun) -> tuple[JobSeen, PodSeen | None]:
    """Return the run as a Job and its pod; a pod whose supervisor was killed without a word is no more."""
    group = group_of(run)
    alive = group is not None and group.is_alive
    ended = read_json(run.path / supervise.EXIT) if not alive else None
    lost = group is not None and not alive and ended is None
    job = JobSeen(
        name=run.job.job_name,
        uid=run.job.job_uid,
        run_id=run.job.run_id,
        active=ended is None and not lost,
        failed_reason=_failed_reason(ended, lost=lost),
        deleting=(run.path / _DELETING).exists(),
        created_at=run.job.created_at,
    )
    return job, None if lost else _pod(run, alive=alive, ended=ended, deleting=job.deleting)


def group_of(run: LocalRun) -> ProcessGroup | None:
    """Return the processes of a run; None until its supervisor has begun."""
    pod = read_json(run.path / supervise.POD)
    return None if pod in (None, _NEVER) else ProcessGroup(leader_pid=pod["pid"], start_mark=pod["startMark"])


def is_gone(run: LocalRun) -> bool:
    """Tell whether it is proved that nothing of this run lives or will: one not yet begun may still begin."""
    group = group_of(run)
    return group is not None and not group.is_alive


def _write_record(path: Path, job: JobRecord, *, token: str, task_file: str) -> None:
    new = path.with_name(f".new-{path.name}")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(mode=0o700)
    write_text(new / _TOKEN, token, mode=PRIVATE)
    write_text(new / _TASK_FILE, task_file, mode=0o444)
    write_json(new / supervise.ORDER, job.model_dump(mode="json", by_alias=True))
    new.rename(path)


def _start(run: LocalRun, folder: LocalFolder) -> None:
    if run.supervisor is not None and run.supervisor.returncode is None:
        return  # it is about to write that it began
    if run.supervisor is not None:
        run.waiting = ("CreateContainerError", f"the step's supervisor ended before it began; see {run.job.log}")
    if time.monotonic() < run.start_again_at:
        return
    environment, run.waiting = _environment(run, folder)
    if environment is None:
        return
    run.start_again_at = time.monotonic() + _RESTART_SECONDS
    with Path(run.job.log).open("ab") as log:
        run.supervisor = subprocess.Popen(
            [sys.executable, "-m", supervise.__name__, str(run.path.resolve())],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=run.path,
            start_new_session=True,
        )


def _environment(run: LocalRun, folder: LocalFolder) -> tuple[dict[str, str] | None, tuple[str, str] | None]:
    """Return the step's whole environment, or None and why it cannot start, in Kubernetes' words."""
    job = run.job
    volume = folder.volume(job.claim_name)
    if not volume.is_dir():
        return None, ("Unschedulable", f'persistentvolumeclaim "{job.claim_name}" not found: make the folder {volume}')
    task_folder = volume / job.volume_folder
    try:
        task_folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return None, ("CreateContainerError", f"the folder {task_folder} cannot be made: {error.strerror}")
    path = run.path.resolve()
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "C.UTF-8",
        "HOME": str(path),
        "PYTHONUNBUFFERED": "1",
        VARIABLE_TASK_FILE: str(path / _TASK_FILE),
        VARIABLE_VOLUME: str(task_folder.resolve()),
        VARIABLE_TOKEN_FILE: str(path / _TOKEN),
        VARIABLE_TERMINATION_LOG: str(path / _TERMINATION_LOG),
    }
    if job.provider is None:
        return environment, None
    value, problem = _secret_value(folder, job)
    return (None, problem) if value is None else (environment | {job.provider.key_variable: value}, None)


def _secret_value(folder: LocalFolder, job: JobRecord) -> tuple[str | None, tuple[str, str] | None]:
    secret: Mapping[str, Any] | None = (read_json(folder.secrets) or {}).get(job.secret_name)
    if secret is None:
        return None, ("CreateContainerConfigError", f'secret "{job.secret_name}" not found in {folder.secrets}')
    value = secret.get(job.secret_key or "")
    if not isinstance(value, str):
        return None, ("CreateContainerConfigError", f"couldn't find key {job.secret_key} in Secret {job.secret_name}")
    return value, None


def _advance_deletion(run: LocalRun, group: ProcessGroup | None, *, deleted_at: float) -> bool:
    if group is None and not _keep_from_beginning(run):
        return True
    if group is None or not group.is_alive:
        if run.supervisor is not None and run.supervisor.poll() is None:
            return True  # it is ending; reaped at the next look
        _remove_record(run)
        return False
    if not group.is_led or time.time() > deleted_at + run.job.grace_seconds + _LATE_KILL_SECONDS:
        group.signal_all(signal.SIGKILL)
    else:
        group.signal_leader(signal.SIGTERM)
    return True


def _keep_from_beginning(run: LocalRun) -> bool:
    """Take the supervisor's place, so that one that was just started ends at once; False when it came first."""
    return create_json(run.path / supervise.POD, _NEVER) or read_json(run.path / supervise.POD) == _NEVER


def _remove_record(run: LocalRun) -> None:
    grave = run.path.with_name(f".gone-{run.path.name}")
    shutil.rmtree(grave, ignore_errors=True)
    run.path.rename(grave)  # so that no half-removed record is ever read
    shutil.rmtree(grave, ignore_errors=True)


def _failed_reason(ended: dict[str, Any] | None, *, lost: bool) -> str | None:
    if lost:
        return "BackoffLimitExceeded"
    if ended is None or (ended["exitCode"] == 0 and ended["reason"] is None):
        return None
    return supervise.DEADLINE_EXCEEDED if ended["reason"] == supervise.DEADLINE_EXCEEDED else "BackoffLimitExceeded"


def _pod(run: LocalRun, *, alive: bool, ended: dict[str, Any] | None, deleting: bool) -> PodSeen:
    reason, message = run.waiting or (None, None)
    return PodSeen(
        name=run.job.pod_name,
        uid=run.job.pod_uid,
        run_id=run.job.run_id,
        job_name=run.job.job_name,
        created_at=run.job.created_at,
        running=alive,
        finished=ended is not None,
        disrupted=False,
        exit_code=None if ended is None else ended["exitCode"],
        termination_message=None if ended is None else _termination_message(run),
        waiting_reason=reason,
        waiting_message=message,
        deleting=deleting,
    )


def _termination_message(run: LocalRun) -> str | None:
    try:
        with (run.path / _TERMINATION_LOG).open("rb") as file:
            return file.read(MAX_TERMINATION_BYTES).decode(errors="replace") or None
    except FileNotFoundError:
        return None
