"""The cluster breaks under a film's feet: the same film, the same bill, and work goes on soon after."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.e2e.faults import (
    FaultTable,
    assert_legal,
    assert_made_once,
    bare_pod_starts,
    container_pids,
    direct_control,
    frozen,
    is_held,
    kill_postgres,
    lasts,
    native_parts,
    postgres_pod,
    rebuild_database,
    unreachable_reports,
    without_part,
    work_goes_on,
)
from tests.e2e.harm import bill_of, hold, open_run, own_channel, own_film, running_pod, runs_of
from tests.e2e.real_cluster import eventually
from tests.e2e.studio import LARGE_FRAME, Film, Studio

from videotask_contract.phases import Phase
from videotask_contract.steps import Step

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]

SCENES = 2
DATABASE_OUTAGE_SECONDS = 60
API_OUTAGE_SECONDS = 30
_SECONDS = 150


@pytest.fixture(scope="module")
def faults() -> FaultTable:
    return FaultTable()


@pytest.fixture
def table(faults, tell) -> Iterator[FaultTable]:
    """The table of faults, printed after the last test."""
    yield faults
    tell("faults of the cluster", faults)


def now() -> datetime:
    return datetime.now(UTC)


def a_film(studio: Studio, channel: str) -> Film:
    return own_film(studio, channel, channel=channel, scenes=SCENES)


def is_over(film: Film, run_id: str) -> bool:
    return any(run["run_id"] == run_id and run["closed_at"] is not None for run in runs_of(film))


def delete_with_its_job(film: Film, pod: dict[str, Any]) -> None:
    """Delete a pod and its Job at once, as somebody who tidies up does."""
    names = [f"pod/{pod['metadata']['name']}", f"job/{pod['metadata']['labels']['job-name']}"]
    film.studio.cluster.kubectl("delete", *names, "--wait=false", namespace=film.namespace)


def the_run(film: Film, step: Step) -> str:
    run = eventually(f"{step} runs", lambda: open_run(film, step), timeout_seconds=_SECONDS)
    return str(run["run_id"])


# --- what people do by hand, the record, the report endpoint ------------------------------------------------------


def test_hands_the_database_and_the_report_endpoint(studio, table):
    """One film and five faults, each in the middle of a step."""
    channel = own_channel(studio, "faults")
    images, creates = hold(studio, channel, "image"), hold(studio, channel, "create")
    film = own_film(studio, channel, channel=channel, scenes=SCENES, frame=LARGE_FRAME)

    is_held(images)
    ended_at = kill_postgres(studio)
    images.end()
    table.add("PostgreSQL's pod killed", work_goes_on(film, ended_at), film)

    speeches = hold(studio, channel, "speech")
    is_held(creates)
    pids = container_pids(eventually("PostgreSQL is ready", lambda: postgres_pod(studio)))
    if pids:
        with frozen(pids):
            creates.end()
            lasts(DATABASE_OUTAGE_SECONDS)
        ended_at = now()
        table.add(f"PostgreSQL frozen for {DATABASE_OUTAGE_SECONDS} s", work_goes_on(film, ended_at), film)
    creates.end()

    effects = hold(studio, channel, "sfx")
    is_held(speeches)
    delete_with_its_job(film, running_pod(film, Step.NARRATION_GENERATION))
    speeches.end()
    table.add("pod and Job deleted by hand", work_goes_on(film, now()), film)

    is_held(effects)
    run = the_run(film, Step.SFX_GENERATION)
    with unreachable_reports(studio):
        effects.end()
        eventually("the effects' run is over", lambda: is_over(film, run), timeout_seconds=_SECONDS)
        assert open_run(film, Step.VIDEO_ASSEMBLY), "an exit whose report nobody heard leads to the next step"
    table.add("report endpoint unreachable for a step", work_goes_on(film, now()), film)

    job = running_pod(film, Step.VIDEO_ASSEMBLY)["metadata"]["labels"]["job-name"]
    studio.cluster.kubectl("delete", "job", job, "--wait=false", namespace=film.namespace)
    table.add("Job deleted by hand", work_goes_on(film, now()), film)

    film.wait_phase(Phase.FINAL_REVIEW)
    table.close(film, *assert_made_once(film, scenes=SCENES))
    assert_legal(film)


def test_a_lost_record_pays_nothing_by_itself_and_goes_on_at_a_persons_word(studio, table):
    channel = own_channel(studio, "lost")
    speeches = hold(studio, channel, "speech")
    film = a_film(studio, channel)
    is_held(speeches)
    rebuild_database(studio)
    # A schema is made when the operator starts; without one it says so, and decides nothing.
    studio.delete_operator()
    speeches.end()
    studio.await_operator()
    film.wait("its record is known to be lost", lambda status: status.get("phase") == Phase.SUSPENDED.resource)
    assert "record was lost" in film.status["message"]
    eventually(
        "no pod of the lost record is at work",
        lambda: all(pod["status"]["phase"] in {"Succeeded", "Failed"} for pod in film.pods()),
        timeout_seconds=_SECONDS,
    )
    bill = bill_of(film)
    assert not runs_of(film)
    film.patch({"attempt": 2})
    table.add("database dropped, attempt raised", work_goes_on(film, now()), film)
    film.wait_phase(Phase.FINAL_REVIEW)
    assert bill_of(film)[: len(bill)] == bill
    table.close(film, *assert_made_once(film, scenes=SCENES))
    assert_legal(film)


def note_with_bare_pod(table: FaultTable, film: Film, fault: str, ended_at: datetime) -> None:
    bare_pod_seconds = bare_pod_starts(film.studio, film.namespace, ended_at)
    table.add(fault, work_goes_on(film, ended_at), film, bare_pod_seconds=bare_pod_seconds)


# --- the API server and the container runtime ---------------------------------------------------------------------


def test_the_api_server_and_the_container_runtime(studio, cluster, table):
    """The API server gone for 30 s, then deaf for 30 s with every connection open, then containerd restarted."""
    parts = native_parts(cluster)
    channel = own_channel(studio, "api")
    control = direct_control(studio)

    images, creates = hold(studio, channel, "image"), hold(studio, channel, "create")
    film = a_film(studio, channel)
    is_held(images)
    # By SIGKILL: it says goodbye to nobody, and its own address stays in the Service that points to it.
    with without_part("apiserver", "--kill"):
        images.end(control)
        lasts(API_OUTAGE_SECONDS)
    ended_at = now()
    note_with_bare_pod(table, film, f"API server stopped for {API_OUTAGE_SECONDS} s", ended_at)

    is_held(creates)
    speeches = hold(studio, channel, "speech")
    with frozen([native_parts(cluster)["kube-apiserver"]]):
        creates.end(control)
        lasts(API_OUTAGE_SECONDS)
    ended_at = now()
    note_with_bare_pod(table, film, f"API server frozen for {API_OUTAGE_SECONDS} s", ended_at)

    is_held(speeches)
    with without_part("containerd", "--kill"):
        speeches.end(control)
    ended_at = now()
    note_with_bare_pod(table, film, "container runtime restarted", ended_at)
    assert parts["containerd"] != native_parts(cluster)["containerd"]

    film.wait_phase(Phase.FINAL_REVIEW)
    table.close(film, *assert_made_once(film, scenes=SCENES))
    assert_legal(film)
