"""Faults of what the operator stands on: its database, the API server, the node; each puts back what it took away."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import psycopg
import pytest
from tests.e2e.harm import Hold, bill_of, files_of, runs_of
from tests.e2e.real_cluster import REPOSITORY, Cluster, eventually, own_kubeconfig, run
from tests.e2e.studio import EMULATORS, Film, Studio

from videotask_contract.phases import Phase, is_legal
from videotask_contract.steps import Step
from videotask_emulators.control import ControlClient

RECOVERY_SECONDS = 60
"""Deadline for work to go on after a fault on a busy machine; the table says how long it took, and 15 s is meant."""
_PART_SECONDS = 120


# --- what is told at the end --------------------------------------------------------------------------------------


class Recovery(NamedTuple):
    """What came after a fault, in seconds from its end."""

    permit: float
    """Until a pod of the film had its start permit."""
    job: float | None
    """Until the operator made that pod's Job, to the second; None where it was made before the fault ended."""


@dataclass(slots=True)
class FaultTable:
    """A line for each fault; the fixture `table` prints it after the module."""

    lines: list[tuple[str, Recovery, float, Film]] = field(default_factory=list)
    """Fault, how work went on, seconds until a bare pod started, film."""
    results: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Bill and result of each film, by its uid."""
    durations: set[str] = field(default_factory=set)

    def add(self, fault: str, recovery: Recovery, film: Film, *, bare_pod_seconds: float = 0.0) -> None:
        """Note how work went on after the end of this fault.

        After a fault of the cluster itself no pod of anybody's starts for a while; that is not counted as ours.
        """
        self.lines.append((fault, recovery, bare_pod_seconds, film))
        ours = recovery.permit - bare_pod_seconds
        assert ours <= RECOVERY_SECONDS, f"{fault}: work went on {ours:.1f} s after it could"

    def close(self, film: Film, bill_usd: Decimal, planned_usd: Decimal) -> None:
        """Note how the film ended; films of one storyboard are as long as each other."""
        self.durations.add(film.status["film"]["durationSeconds"])
        assert len(self.durations) == 1, f"the films differ in length: {self.durations}"
        self.results[film.uid] = (f"{bill_usd:.4f} of {planned_usd:.4f}", "the same film, nothing paid twice")

    def __str__(self) -> str:
        rows = [("fault", "next Job after", "work goes on after", "a bare pod after", "bill (USD)", "result")]
        for fault, recovery, bare_pod_seconds, film in self.lines:
            bill, result = self.results.get(film.uid, ("", "NOT FINISHED"))
            job = "there already" if recovery.job is None else f"{recovery.job:.0f} s"
            bare = f"{bare_pod_seconds:.1f} s" if bare_pod_seconds else "-"
            rows.append((fault, job, f"{recovery.permit:.1f} s", bare, bill, result))
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
        )


def work_goes_on(film: Film, ended_at: datetime) -> Recovery:
    """Wait until a pod of the film that began after the fault has its start permit; return how long it took.

    For that the record, the API server, the node and the report endpoint must all be at work again.
    """
    query = (
        "SELECT permitted_at, job_created_at FROM step_runs WHERE task_uid = %s AND permitted_at > %s "
        "ORDER BY permitted_at LIMIT 1"
    )

    def permitted() -> list[dict[str, Any]]:
        with contextlib.suppress(psycopg.Error, AssertionError, OSError):
            return film.studio.sql(query, film.uid, ended_at)
        return []

    try:
        [run] = eventually(f"{film.name} goes on", permitted, timeout_seconds=_PART_SECONDS)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{film.story()}") from None
    job_seconds = (run["job_created_at"] - ended_at).total_seconds() if run["job_created_at"] else None
    return Recovery(
        permit=(run["permitted_at"] - ended_at).total_seconds(),
        job=None if job_seconds is None or job_seconds <= -1 else max(job_seconds, 0),
    )


def bare_pod_starts(studio: Studio, namespace: str, ended_at: datetime) -> float:
    """Start a pod that has nothing to do with us and return the seconds from the fault's end until it ran."""
    name = f"bare-{uuid.uuid4().hex[:6]}"
    pod = studio.bare_pod(name)

    def is_taken() -> bool:
        try:
            studio.cluster.apply(pod, namespace=namespace)
        except AssertionError:
            return False
        return True

    eventually("a bare pod is taken", is_taken, timeout_seconds=_PART_SECONDS)

    def has_run() -> bool:
        found = studio.api(f"/api/v1/namespaces/{namespace}/pods/{name}")
        return found is not None and found["status"].get("phase") in {"Running", "Succeeded"}

    eventually("a bare pod runs", has_run, timeout_seconds=_PART_SECONDS)
    return (datetime.now(UTC) - ended_at).total_seconds()


def lasts(seconds: float) -> None:
    """Let a fault last; its length is what is tried, and no guess at when something is ready."""
    time.sleep(seconds)


# --- the same film ------------------------------------------------------------------------------------------------


def assert_made_once(film: Film, *, scenes: int) -> tuple[Decimal, Decimal]:
    """Nothing was bought twice, everything is there, the record says the same; returns the bill and the plan."""
    bill = bill_of(film)
    assert Counter(entry["kind"] for entry in bill) == {"image": 2, "video": scenes, "speech": scenes, "sfx": scenes}
    billed = sum((Decimal(entry["amount_usd"]) for entry in bill), Decimal(0))
    spend = film.studio.sql("SELECT amount_usd, certainty FROM spend WHERE task_uid = %s", film.uid)
    assert {row["certainty"] for row in spend} == {"settled"}
    assert len(spend) == len(bill)
    assert sum(row["amount_usd"] for row in spend) == billed
    planned = Decimal(film.status["estimatedCostUSD"])
    assert abs(billed - planned) < Decimal("0.01"), f"planned {planned}, billed {billed}"
    _assert_whole(film, scenes)
    return billed, planned


def _assert_whole(film: Film, scenes: int) -> None:
    files = files_of(film)
    assert not [path for path in files if ".take" in path or path.endswith((".part", ".rejected"))]
    made = Counter(PurePath(path).parts[0] for path in files if len(PurePath(path).parts) > 1)
    assert {name: made[name] for name in ("assets", "composites", "clips", "narration", "sfx")} == {
        "assets": 2,
        "composites": scenes,
        "clips": scenes,
        "narration": scenes,
        "sfx": scenes,
    }


def assert_legal(film: Film) -> None:
    """No two runs were open at once, run numbers rise without a gap, every transition is in the table."""
    runs = runs_of(film)
    numbers = [run["number"] for run in runs]
    assert numbers == list(range(numbers[0], numbers[0] + len(runs)))
    for before, after in itertools.pairwise(runs):
        assert before["closed_at"] <= after["opened_at"]
    assert [run["step"] for run in runs if run["outcome"] == "done"] == [step.value for step in Step]
    lines = film.studio.sql("SELECT * FROM task_history WHERE task_uid = %s ORDER BY seq", film.uid)
    before: Phase | None = None
    for line in lines:
        after = Phase(line["status_after"])
        assert line["status_before"] == (before.value if before else None)
        assert before is None or is_legal(before, after)
        before = after


# --- processes of a container -------------------------------------------------------------------------------------


def container_pids(pod: dict[str, Any]) -> list[int]:
    """Return the processes of a pod's containers on this machine; none where the node is another one."""
    ids = [status["containerID"].rpartition("//")[2] for status in pod["status"]["containerStatuses"]]
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            text = (entry / "cgroup").read_text()
            if any(one in text for one in ids):
                found.append(int(entry.name))
    return found


@contextlib.contextmanager
def frozen(pids: Iterable[int]) -> Iterator[None]:
    """Stop these processes in the middle of whatever they do, connections open, until the end of the block."""
    stopped = []
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
            stopped.append(pid)
        yield
    finally:
        for pid in stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


# --- PostgreSQL ---------------------------------------------------------------------------------------------------


def postgres_pod(studio: Studio) -> dict[str, Any] | None:
    """Return the database's pod once it is ready."""
    name = f"{studio.installation.release}-postgresql-0"
    pod = studio.api(f"/api/v1/namespaces/{studio.installation.namespace}/pods/{name}")
    if pod is None or "deletionTimestamp" in pod["metadata"]:
        return None
    conditions = pod["status"].get("conditions", [])
    is_ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
    return pod if is_ready else None


def kill_postgres(studio: Studio) -> datetime:
    """Delete the database's pod without grace and return when its successor was ready."""
    pod = eventually("PostgreSQL is ready", lambda: postgres_pod(studio), timeout_seconds=60)
    name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
    words = ["delete", "pod", name, "--grace-period=0", "--force"]
    studio.cluster.kubectl(*words, namespace=studio.installation.namespace)

    def is_back() -> bool:
        found = postgres_pod(studio)
        return found is not None and found["metadata"]["uid"] != uid

    eventually("PostgreSQL is back", is_back, timeout_seconds=120)
    studio.database.end()
    return datetime.now(UTC)


def rebuild_database(studio: Studio) -> None:
    """Drop the database under the operator's feet and make an empty one of its name."""
    with studio.connect(database="postgres") as connection:
        connection.execute("DROP DATABASE videotask WITH (FORCE)")
        connection.execute("CREATE DATABASE videotask OWNER videotask")
    studio.database.end()


# --- parts of the native cluster ----------------------------------------------------------------------------------


def native_parts(cluster: Cluster) -> dict[str, int]:
    """Return the pids of the native cluster's parts; skips the test on any other cluster."""
    reason = "API server and runtime can only be stopped on the native cluster of scripts/cluster"
    if cluster.kubeconfig != own_kubeconfig():
        pytest.skip(f"{reason}; this one is foreign")
    done = run([str(REPOSITORY / "scripts" / "cluster"), "status", "-o", "json"])
    status = json.loads(done.stdout)
    if status["engine"] != "native":
        pytest.skip(f"{reason}; this one is {status['engine']}")
    return {part["name"]: part["pid"] for part in status["parts"]}


@contextlib.contextmanager
def without_part(name: str, *flags: str) -> Iterator[None]:
    """Stop a part of the native cluster for the block and start it again."""
    _say("stop", name, *flags)
    try:
        yield
    finally:
        _say("start", name)


def _say(*words: str) -> None:
    done = run([str(REPOSITORY / "scripts" / "cluster"), *words], timeout_seconds=_PART_SECONDS)
    assert done.returncode == 0, f"scripts/cluster {' '.join(words)}: {done.stderr}"


def direct_control(studio: Studio) -> ControlClient:
    """Return the emulators' control API past the API server, which will not be there."""
    namespace, selector = studio.installation.namespace, f"app.kubernetes.io%2Fname%3D{EMULATORS}"
    found = studio.api(f"/api/v1/namespaces/{namespace}/pods?labelSelector={selector}")
    [pod] = found["items"] if found else []
    return ControlClient(f"http://{pod['status']['podIP']}:8080", timeout_seconds=10)


# --- the report endpoint ------------------------------------------------------------------------------------------


@contextlib.contextmanager
def unreachable_reports(studio: Studio) -> Iterator[None]:
    """Take the report endpoint's Service away from the operator, which itself goes on deciding.

    The operator is killed too: connections that steps have open already would live on without the Service.
    """
    name, namespace = f"{studio.installation.release}-report", studio.installation.namespace
    selector = studio.cluster.get("service", name, namespace=namespace)["spec"]["selector"]
    studio.cluster.patch("service", name, {"spec": {"selector": {"nobody": "here"}}}, namespace=namespace)
    try:
        slices = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices?labelSelector="
        path = f"{slices}kubernetes.io%2Fservice-name%3D{name}"

        def has_no_endpoint() -> bool:
            found = studio.api(path)
            return not any(one.get("endpoints") for one in (found or {"items": []})["items"])

        eventually("the Service has no endpoint", has_no_endpoint)
        studio.restart_operator(kill=True)
        yield
    finally:
        back = [{"op": "replace", "path": "/spec/selector", "value": selector}]
        studio.cluster.patch("service", name, back, "--type=json", namespace=namespace)  # type: ignore[arg-type]


def is_held(hold: Hold) -> Hold:
    """Wait until the hold's calls hang."""
    hold.wait()
    return hold
