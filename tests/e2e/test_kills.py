"""Operator and pods killed at states that were seen: the same film, the same bill, nothing stuck."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.e2e.harm import (
    Freeze,
    assert_undisturbed,
    delete_pod,
    evict_pod,
    holds,
    open_run,
    own_channel,
    own_film,
    pod_is_gone,
    running_pod,
    runs_of,
    sigkill_pod,
)
from tests.e2e.real_cluster import eventually
from tests.e2e.studio import LARGE_FRAME, Film, Studio

from videotask_contract.phases import Phase
from videotask_contract.steps import Step

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]

CALL_OF_STEP = {
    Step.ASSET_GENERATION: "image",
    Step.VIDEO_GENERATION: "create",
    Step.NARRATION_GENERATION: "speech",
    Step.SFX_GENERATION: "sfx",
}
"""The paid call by which a test stands in the middle of a step."""
_SECONDS = 150


@pytest.fixture(scope="module")
def plain(studio: Studio) -> Callable[[], Film]:
    """A film that nobody touches, made beside the first of the others; the call waits for it."""
    film = own_film(studio, "plain")

    def finished() -> Film:
        film.wait_phase(Phase.FINAL_REVIEW)
        return film

    return finished


def kill_operator(studio: Studio) -> None:
    """SIGKILL the operator; a fresh pod follows, since the kubelet lets a container that died often wait longer."""
    studio.kill_operator()
    studio.delete_operator(force=True)


def job_names(film: Film) -> set[str]:
    return {job["metadata"]["name"] for job in film.jobs()}


# --- the operator -------------------------------------------------------------------------------------------------


def test_an_operator_killed_in_every_gap_between_its_actions(studio, plain, eventual):
    """Decide, record, act, see, report, show: it dies once in each gap, and wastes no run."""
    film = own_film(studio, "gaps")
    seen = Freeze(
        film, "UPDATE", "OLD.job_created_at IS NULL AND NEW.job_created_at IS NOT NULL AND NEW.step LIKE 'composite%'"
    )
    reported = Freeze(film, "UPDATE", "OLD.closed_at IS NULL AND NEW.outcome = 'done' AND NEW.step LIKE 'video_gen%'")
    opened = Freeze(film, "INSERT", "NEW.step LIKE 'narration%'")
    with contextlib.ExitStack() as stack:
        for freeze in (seen, reported, opened):
            stack.callback(freeze.end)
        jobs = stack.enter_context(no_jobs(film, f"{film.name}-{Step.SFX_GENERATION.slug}"))
        status = stack.enter_context(no_status(film))

        # Its Job is there, and not yet recorded as seen.
        seen.wait()
        run = open_run(film, Step.COMPOSITE_CREATION)
        assert run["job_name"] in job_names(film)
        assert run["job_created_at"] is None
        kill_operator(studio)
        seen.end()
        studio.await_operator()
        jobs.await_effect()
        status.await_effect()

        # In the middle of a report: its transaction has begun and is not committed.
        reported.wait()
        assert open_run(film, Step.VIDEO_GENERATION)
        kill_operator(studio)
        reported.end()

        # A step is done and recorded so; the next one's run is not.
        opened.wait()
        last = runs_of(film)[-1]
        assert (last["step"], last["outcome"]) == ("video_generation", "done")
        kill_operator(studio)
        opened.end()
        studio.await_operator()

        # A run is recorded; its Job is not made.
        run = eventual("effects are recorded", lambda: open_run(film, Step.SFX_GENERATION), timeout_seconds=_SECONDS)
        assert run["job_name"] not in job_names(film)
        kill_operator(studio)
        jobs.end()
        studio.await_operator()

        # The next step is recorded and its Job made; the status does not show it.
        run = eventual("assembly is recorded", lambda: open_run(film, Step.VIDEO_ASSEMBLY), timeout_seconds=_SECONDS)
        eventual("its Job is made", lambda: run["job_name"] in job_names(film), timeout_seconds=_SECONDS)
        assert film.phase is not Phase.ASSEMBLING
        kill_operator(studio)
        status.end()
        studio.await_operator()

        film.wait_phase(Phase.FINAL_REVIEW)
    assert_undisturbed(film, plain())
    assert [run["step"] for run in runs_of(film)] == [step.value for step in Step], "a run was wasted"


def test_an_operator_killed_in_the_middle_of_each_step(studio, plain, eventual):
    channel = own_channel(studio, "steps")
    with holds(studio, channel, *CALL_OF_STEP.values()) as calls:
        film = own_film(studio, "steps", channel=channel)
        for step in Step:
            with calls[CALL_OF_STEP[step]] if step in CALL_OF_STEP else contextlib.nullcontext():
                eventual(f"{step} runs", lambda step=step: open_run(film, step), timeout_seconds=_SECONDS)
                kill_operator(studio)
            studio.await_operator()
    film.wait_phase(Phase.FINAL_REVIEW)
    assert_undisturbed(film, plain())
    assert [run["step"] for run in runs_of(film)] == [step.value for step in Step], "a run was wasted"


# --- pods ---------------------------------------------------------------------------------------------------------


def test_every_steps_pod_deleted_once_and_one_evicted(studio, plain, eventual):
    """SIGTERM: calls in flight are finished and paid once, and the next run begins with what they made."""
    channel = own_channel(studio, "deleted")
    with holds(studio, channel, *CALL_OF_STEP.values()) as calls:
        film = own_film(studio, "deleted", channel=channel, frame=LARGE_FRAME)
        for step in Step:
            with calls[CALL_OF_STEP[step]] if step in CALL_OF_STEP else contextlib.nullcontext():
                pod = running_pod(film, step)
                (evict_pod if step is Step.NARRATION_GENERATION else delete_pod)(film, pod)
            eventual(f"that pod of {step} is gone", lambda pod=pod: pod_is_gone(film, pod), timeout_seconds=_SECONDS)
    film.wait_phase(Phase.FINAL_REVIEW)
    assert_undisturbed(film, plain())


def test_a_killed_step_never_buys_a_clip_twice_and_says_what_else_may_have_been_paid(studio, plain):
    """SIGKILL leaves a step no last word: clips are looked up at Kling, and where nobody can look it counts as paid."""
    channels = {call: own_channel(studio, f"killed-{call}") for call in ("create", "poll", "speech")}
    with (
        holds(studio, channels["create"], "create", stage="after_charging") as creates,
        holds(studio, channels["poll"], "poll") as polls,
        holds(studio, channels["speech"], "speech", stage="after_charging") as speeches,
    ):
        created, polled, spoken = (own_film(studio, channel, channel=channel) for channel in channels.values())
        with creates["create"]:
            sigkill_pod(created, running_pod(created, Step.VIDEO_GENERATION))
        with polls["poll"]:
            sigkill_pod(polled, running_pod(polled, Step.VIDEO_GENERATION))
        with speeches["speech"]:
            sigkill_pod(spoken, running_pod(spoken, Step.NARRATION_GENERATION))
    for film in (created, polled, spoken):
        film.wait_phase(Phase.FINAL_REVIEW)
    assert_undisturbed(created, plain())
    assert_undisturbed(polled, plain())
    assert_undisturbed(spoken, plain(), twice=Counter({"speech": 1}))


# --- what the API server is made to refuse ------------------------------------------------------------------------


class Refusal:
    """An admission policy that holds one kind of request of one film back."""

    def __init__(self, film: Film, name: str, *, rule: dict[str, Any], condition: str, probe: list[str]) -> None:
        self._kubectl = film.studio.cluster.kubectl
        self._namespace, self._probe = film.namespace, probe
        self._name = f"{film.namespace}-{film.name}-{name}"
        kind = "ValidatingAdmissionPolicy"
        place = {"name": "this-film", "expression": f"request.namespace == '{film.namespace}'"}
        conditions = [place, {"name": "this-request", "expression": condition}]
        policy = {
            "matchConstraints": {"resourceRules": [rule]},
            "matchConditions": conditions,
            "validations": [{"expression": "false", "message": self._name}],
        }
        binding = {"policyName": self._name, "validationActions": ["Deny"]}
        film.studio.cluster.apply(self._object(kind, policy), self._object(f"{kind}Binding", binding))

    def _object(self, kind: str, spec: dict[str, Any]) -> dict[str, Any]:
        version = "admissionregistration.k8s.io/v1"
        return {"apiVersion": version, "kind": kind, "metadata": {"name": self._name}, "spec": spec}

    def await_effect(self) -> None:
        """Wait until it counts: the API server needs a moment to take a new policy up."""

        def is_refused() -> bool:
            done = self._kubectl(*self._probe, "--dry-run=server", namespace=self._namespace, check=False)
            return self._name in done.stderr

        eventually(f"{self._name} counts", is_refused, timeout_seconds=60)

    def end(self) -> None:
        """Let such requests through again."""
        for kind in ("validatingadmissionpolicybinding", "validatingadmissionpolicy"):
            self._kubectl("delete", kind, self._name, "--ignore-not-found")


@contextlib.contextmanager
def no_jobs(film: Film, prefix: str) -> Iterator[Refusal]:
    """No Job of a name that begins so is taken."""
    rule = {"apiGroups": ["batch"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["jobs"]}
    condition = f"object.metadata.name.startsWith('{prefix}')"
    probe = ["create", "job", f"{prefix}-probe", "--image=none"]
    refusal = Refusal(film, "jobs", rule=rule, condition=condition, probe=probe)
    try:
        yield refusal
    finally:
        refusal.end()


@contextlib.contextmanager
def no_status(film: Film) -> Iterator[Refusal]:
    """The status cannot be made to say that the film is being assembled."""
    rule = {
        "apiGroups": ["videotask.dev"],
        "apiVersions": ["v1alpha1"],
        "operations": ["UPDATE"],
        "resources": ["videotasks/status"],
    }
    condition = f"object.metadata.name == '{film.name}' && object.status.phase == 'Assembling'"
    change = '{"status":{"phase":"Assembling"}}'
    probe = ["patch", "videotask", film.name, "--subresource=status", "--type=merge", "-p", change]
    refusal = Refusal(film, "status", rule=rule, condition=condition, probe=probe)
    try:
        yield refusal
    finally:
        refusal.end()
