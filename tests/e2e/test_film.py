"""The house film on a real cluster: what is on the volume, in the Jobs, and on a person's screen while it is made."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable

import pytest
from tests.e2e.house_film import APPROVER, CHANNEL
from tests.support.film_audit import Audit, audit_film

from videotask_contract.layout import FILM
from videotask_contract.phases import HAPPY_PATH
from videotask_contract.steps import STEPS, TRAITS, Step

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(2700)]

SCENES, ASSETS = 18, 22
PAID = [traits.step for traits in STEPS if traits.provider is not None]
ITEMS = {Step.ASSET_GENERATION: ASSETS, **dict.fromkeys(PAID[1:], SCENES)}


@pytest.fixture(scope="module")
def audit(house_film) -> Audit:
    return audit_film(house_film.files)


# --- the film -----------------------------------------------------------------------------------------------------


def test_every_scene_of_the_film_is_what_it_was_made_from(house_film, audit):
    """That muted and swapped inputs fail this audit is shown in tests/integration/steps, on a small film."""
    print(f"\nfinal review after {house_film.seconds:.0f} s; {audit.facts}\n{audit.table()}")
    assert audit.findings == []
    assert [row.number for row in audit.rows] == [f"{number:02d}" for number in range(1, SCENES + 1)]


def test_the_film_is_full_hd_with_stereo_sound(audit):
    assert audit.facts["video"] == "h264 High 1920x1080 yuv420p"
    assert audit.facts["audio"] == "aac LC 48000 Hz 2 channels"
    assert audit.facts["loudness_lufs"] == pytest.approx(-14, abs=1)


def test_the_status_names_this_very_file(house_film):
    film, content = house_film.status["film"], (house_film.files / FILM).read_bytes()
    assert film["path"] == f"{house_film.film.folder}/{FILM}"
    assert (film["sizeBytes"], film["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())


def test_what_a_reader_pod_brings_is_what_lies_on_the_volume(house_film):
    brought = house_film.film.fetched()
    assert digests(brought) == digests(house_film.files)


def digests(folder) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


# --- the Jobs -----------------------------------------------------------------------------------------------------


def test_six_jobs_ran_one_after_another_each_in_its_own_image(house_film):
    steps = [job["metadata"]["labels"]["videotask.dev/step"] for job in house_film.jobs]
    assert steps == [traits.step.value for traits in STEPS]
    images = [pod["status"]["containerStatuses"][0]["imageID"] for pod in house_film.pods]
    assert len(images) == len(set(images)) == len(STEPS)
    assert all("sha256:" in image for image in images)
    # A Job begins when the one before has reported, which may be before its container's exit has been noticed.
    began = [job["metadata"]["creationTimestamp"] for job in house_film.jobs]
    assert began == sorted(began)


def test_each_job_has_the_channel_s_volume_and_of_it_the_film_s_own_folder(house_film):
    for job in house_film.jobs:
        pod = job["spec"]["template"]["spec"]
        [volume] = [found for found in pod["volumes"] if "persistentVolumeClaim" in found]
        assert volume["persistentVolumeClaim"]["claimName"] == CHANNEL
        [mount] = [mount for mount in pod["containers"][0]["volumeMounts"] if mount["name"] == volume["name"]]
        assert mount["subPath"] == house_film.film.folder


def test_each_step_has_its_own_provider_s_key_and_no_other(house_film):
    for job in house_film.jobs:
        provider = TRAITS[Step(job["metadata"]["labels"]["videotask.dev/step"])].provider
        variables = job["spec"]["template"]["spec"]["containers"][0]["env"]
        secrets = [found["valueFrom"]["secretKeyRef"]["name"] for found in variables if "valueFrom" in found]
        assert secrets == ([f"{CHANNEL}-{provider.value}"] if provider else [])


# --- the watch ----------------------------------------------------------------------------------------------------


def runs_of(values: Iterable[str]) -> list[str]:
    """Return the values with repetitions in a row taken as one."""
    return [value for value, _ in itertools.groupby(value for value in values if value)]


def test_the_phases_on_the_screen_are_the_table_s_in_its_order(house_film):
    expected = [phase.resource for phase in HAPPY_PATH]
    statuses = [status for status in house_film.watch.statuses() if status]
    assert runs_of(status["phase"] for status in statuses) == expected
    for name in ("table", "wide"):
        lines = house_film.watch.lines(name)
        # Before the operator has seen it a film has a name and an age.
        assert runs_of(line[1] for line in lines if line[1] in expected) == expected


@pytest.mark.parametrize("step", PAID)
def test_each_paid_step_shows_progress_that_never_goes_back(house_film, step):
    shown = [status["progress"] for status in house_film.watch.statuses() if status.get("step") == step.value]
    values = [tuple(map(int, value.split("/"))) for value in shown]
    done = [value[0] for value in values]
    print(f"\n{step}: {runs_of(shown)}")
    assert done == sorted(done)
    assert {value[1] for value in values} == {ITEMS[step]}
    assert len(set(done)) >= 3


def test_neither_cost_nor_run_nor_attempt_ever_goes_back(house_film):
    statuses = [status for status in house_film.watch.statuses() if "costUSD" in status]
    costs = [float(status["costUSD"]) for status in statuses]
    assert costs == sorted(costs)
    numbers = [status["run"] for status in statuses if "run" in status]
    assert numbers == sorted(numbers)
    assert {status["attempt"] for status in statuses} == {1}


def test_the_table_shows_what_a_person_wants_to_know(house_film):
    watch, name = house_film.watch, house_film.film.name
    assert watch.header() == ["NAME", "PHASE", "STEP", "PROGRESS", "COST", "AGE", "MESSAGE"]
    assert watch.header("wide") == [*watch.header()[:5], "CHANNEL", "PRIORITY", "ATTEMPT", "FILM", "AGE", "MESSAGE"]
    phase, cost = house_film.status["phase"], house_film.status["costUSD"]
    assert (watch.lines()[-1][:2], watch.lines()[-1][4]) == ([name, phase], cost)
    assert APPROVER in watch.lines()[-1][-1]
    wide = dict(zip(watch.header("wide"), watch.lines("wide")[-1], strict=True))
    assert (wide["CHANNEL"], wide["PRIORITY"], wide["ATTEMPT"]) == (CHANNEL, "normal", "1")
    assert wide["FILM"] == house_film.status["film"]["path"]


def test_describe_at_the_final_review_says_what_to_do(house_film):
    words = " ".join(house_film.described.split())
    assert house_film.at_review["review"]["command"] in words
    assert "AwaitingApproval" in words
    assert f"Phase: {HAPPY_PATH[13].resource}" in words
    assert house_film.at_review["film"]["path"] in words


def test_each_condition_at_the_final_review_is_told_as_kubernetes_does(house_film):
    conditions = {found["type"]: found for found in house_film.at_review["conditions"]}
    holding = {name for name, found in conditions.items() if found["status"] == "True"}
    assert holding == {"Accepted", "PodStarting", "AwaitingApproval", "NeedsAttention"}
    assert all(found["reason"] and found["lastTransitionTime"] for found in conditions.values())
