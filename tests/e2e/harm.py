"""What tests do to a film from outside: accounts of its own, operators and pods killed at observed states."""

from __future__ import annotations

import contextlib
import itertools
import json
import uuid
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import PurePath
from typing import Any

from tests.e2e.real_cluster import eventually
from tests.e2e.studio import CHANNEL, Film, Studio

from videotask_contract.phases import Phase, is_legal
from videotask_contract.steps import Provider, Step
from videotask_emulators.control import ControlClient, ControlError

PAID_KINDS = Counter({"image": 2, "video": 1, "speech": 1, "sfx": 1})
"""What a film of one scene buys."""
_SECONDS = 150


# --- films with accounts of their own -----------------------------------------------------------------------------


def own_film(
    studio: Studio, name: str, *, channel: str | None = None, namespace: str | None = None, **spec: Any
) -> Film:
    """Start a film of one scene under `channel`; without one, under a channel and provider keys of its own name.

    The keys' name is the channel's: the emulators' bill, faults and held calls can be told apart by it. Whoever holds
    calls makes the channel first, asks for the holds, and starts the film under them: it does not wait for its tests.
    """
    channel = channel or own_channel(studio, name, namespace=namespace)
    return studio.start(studio.film(name, channel=channel, **spec), namespace=namespace)


def own_channel(studio: Studio, name: str, *, namespace: str | None = None, **spec: Any) -> str:
    """Make a channel with provider keys of its own, on the shared volume, and return its name."""
    namespace = namespace or studio.a
    tag = f"{name}-{uuid.uuid4().hex[:4]}"
    keys = {provider.value: f"{tag}-{provider.value}" for provider in Provider}
    for provider, key in keys.items():
        studio.control.put_key(provider, key=key, name=tag)
    studio.channel(namespace)
    return studio.channel(namespace, tag, keys=keys, volume={"claimName": CHANNEL}, **spec)


def channel_of(film: Film) -> str:
    return str(film.resource["spec"]["channelRef"]["name"])


def await_gate(film: Film, gate: str, *, review_round: int = 1) -> None:
    """Wait until a gate's round is on show."""

    def is_on_show(status: dict[str, Any]) -> bool:
        review = status.get("review") or {}
        return (review.get("gate"), review.get("round")) == (gate, review_round)

    film.wait(f"{film.name} shows {gate}, round {review_round}", is_on_show, timeout_seconds=_SECONDS)


def bill_of(film: Film) -> list[dict[str, Any]]:
    """Return the lines of the emulators' bill that the film's own keys were charged."""
    tag = channel_of(film)
    return [entry for entry in film.studio.bill() if entry["key_id"] == tag]


# --- calls that are held ------------------------------------------------------------------------------------------


class Hold:
    """Calls of one channel's keys that hang at the provider until `end`."""

    def __init__(self, studio: Studio, channel: str, operation: str, *, calls: int, stage: str) -> None:
        self._studio, self._channel, self._operation, self._calls = studio, channel, operation, calls
        self._is_over = False
        match = {"key_id": channel, "operation": operation}
        self._fault_id = studio.control.add_fault("hold_call", match=match, times=calls, stage=stage)

    def wait(self) -> None:
        """Wait until as many calls hang as were asked for."""
        what = f"{self._calls} {self._operation} calls of {self._channel} are held"
        eventually(what, lambda: len(self._held_if_told()) >= self._calls, timeout_seconds=_SECONDS)

    def __enter__(self) -> None:
        try:
            self.wait()
        except AssertionError as error:
            raise AssertionError(f"{error}\n{stories(self._studio, self._channel)}") from None

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self, control: ControlClient | None = None) -> None:
        """Let the calls go on and hold no more; by a control client of the caller's where the API server is away."""
        if self._is_over:
            return
        self._is_over = True
        control = control or self._studio.control
        control.clear_faults(self._fault_id)
        for call in control.held():
            if (call["key_id"], call["operation"]) == (self._channel, self._operation):
                control.release(call["request_id"])

    def _held_if_told(self) -> list[dict[str, Any]]:
        """Return none while the way there is cut: after an outage the node counts as away for a while."""
        try:
            return self._held()
        except ControlError:
            return []

    def _held(self) -> list[dict[str, Any]]:
        return [call for call in held_calls(self._studio, self._channel) if call["operation"] == self._operation]


def hold(studio: Studio, channel: str, operation: str, *, calls: int = 1, stage: str = "before_charging") -> Hold:
    """Let a channel's next calls of this operation hang at the provider."""
    return Hold(studio, channel, operation, calls=calls, stage=stage)


def stories(studio: Studio, channel: str) -> str:
    """Return what the status of a channel's films says, for a wait that failed."""
    found = [film for space in (studio.a, studio.b) for film in studio.cluster.list("videotask", namespace=space)]
    mine = [film for film in found if film["spec"]["channelRef"]["name"] == channel]
    return json.dumps([film.get("status") for film in mine], indent=1)


def held_calls(studio: Studio, channel: str) -> list[dict[str, Any]]:
    """Return the calls that hang for a channel."""
    return [call for call in studio.control.held() if call["key_id"] == channel]


@contextlib.contextmanager
def holds(studio: Studio, channel: str, *operations: str, stage: str = "before_charging") -> Iterator[dict[str, Hold]]:
    """Let a channel's first call of each operation hang; to be asked for before its film is started."""
    made = {one: hold(studio, channel, one, stage=stage) for one in operations}
    try:
        yield made
    finally:
        for one in made.values():
            one.end()


# --- transactions that are held -----------------------------------------------------------------------------------


class Freeze:
    """The operator will hang inside the transaction that writes such a row of the film's runs, until `end`.

    `event` is INSERT or UPDATE, `condition` speaks of OLD and NEW.
    """

    def __init__(self, film: Film, event: str, condition: str) -> None:
        self._studio, self._what = film.studio, f"{film.name} hangs at {event} {condition}"
        self._name, self._number = f"freeze_{uuid.uuid4().hex[:8]}", uuid.uuid4().int % 2**31
        self._holder = film.studio.connect()
        self._run(f"SELECT pg_advisory_lock({self._number})")
        self._run(
            f"CREATE FUNCTION {self._name}() RETURNS trigger LANGUAGE plpgsql AS "
            f"'BEGIN PERFORM pg_advisory_xact_lock({self._number}); RETURN NEW; END'"
        )
        self._run(
            f"CREATE TRIGGER {self._name} BEFORE {event} ON step_runs FOR EACH ROW "
            f"WHEN (NEW.task_uid = '{film.uid}' AND {condition}) EXECUTE FUNCTION {self._name}()"
        )

    def wait(self) -> None:
        """Wait until the operator hangs there."""
        query = f"SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = {self._number} AND NOT granted"
        eventually(self._what, lambda: self._studio.sql(query), timeout_seconds=_SECONDS)

    def end(self) -> None:
        """Let go; what is written from now on is not held."""
        if self._holder.closed:
            return
        self._run(f"SELECT pg_advisory_unlock({self._number})")
        self._run(f"DROP TRIGGER {self._name} ON step_runs")
        self._run(f"DROP FUNCTION {self._name}()")
        self._holder.close()

    def _run(self, statement: str) -> None:
        self._holder.execute(statement.encode())


# --- pods and runs ------------------------------------------------------------------------------------------------


def runs_of(film: Film) -> list[dict[str, Any]]:
    return film.studio.sql("SELECT * FROM step_runs WHERE task_uid = %s ORDER BY number", film.uid)


def open_run(film: Film, step: Step) -> dict[str, Any] | None:
    """Return the film's open run of this step, None while there is none."""
    return next((run for run in runs_of(film) if run["step"] == step.value and run["closed_at"] is None), None)


def running_pod(film: Film, step: Step) -> dict[str, Any]:
    """Wait for a running pod of the step's latest run and return it."""

    def found() -> dict[str, Any] | None:
        run = open_run(film, step)
        mine = [pod for pod in film.pods() if run and pod["metadata"]["labels"]["job-name"] == run["job_name"]]
        return next((pod for pod in mine if _runs(pod)), None)

    return eventually(f"a pod of {step} of {film.name} runs", found, timeout_seconds=_SECONDS)


def _runs(pod: dict[str, Any]) -> bool:
    statuses = pod["status"].get("containerStatuses", [])
    return "deletionTimestamp" not in pod["metadata"] and any("running" in status["state"] for status in statuses)


def pod_is_gone(film: Film, pod: dict[str, Any]) -> bool:
    """Tell whether this very pod has ended."""
    path = f"/api/v1/namespaces/{film.namespace}/pods/{pod['metadata']['name']}"
    found = film.studio.api(path)
    return (
        found is None
        or found["metadata"]["uid"] != pod["metadata"]["uid"]
        or found["status"]["phase"] in {"Succeeded", "Failed"}
    )


def sigkill_pod(film: Film, pod: dict[str, Any]) -> None:
    """SIGKILL a pod's process and wait until the pod has ended."""
    [container] = pod["status"]["containerStatuses"]
    film.studio._sigkill(container["containerID"].rpartition("//")[2])
    eventually("the killed pod has ended", lambda: pod_is_gone(film, pod), timeout_seconds=_SECONDS)


def delete_pod(film: Film, pod: dict[str, Any]) -> None:
    """Delete a pod as a person does and come back at once; its process gets SIGTERM."""
    film.studio.cluster.kubectl(
        "delete", "pod", pod["metadata"]["name"], "--wait=false", "--ignore-not-found", namespace=film.namespace
    )


def evict_pod(film: Film, pod: dict[str, Any]) -> None:
    """Evict a pod as a node that is being emptied does."""
    name = pod["metadata"]["name"]
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    path = f"/api/v1/namespaces/{film.namespace}/pods/{name}/eviction"
    film.studio.cluster.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))


# --- the same film ------------------------------------------------------------------------------------------------


def files_of(film: Film) -> set[str]:
    """Return the media of a film by path; a second take or a part left behind would stand out."""
    root = film.files()
    found = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    return {path for path in found if not path.startswith("ledger/") and PurePath(path).name != ".lock"}


def assert_undisturbed(film: Film, plain: Film, *, twice: Counter[str] | None = None) -> None:
    """The same film as one that nobody touched, at the same price; `twice` are calls that had to be paid again."""
    assert files_of(film) == files_of(plain)
    durations = [one.status["film"]["durationSeconds"] for one in (film, plain)]
    assert durations[0] == durations[1]
    assert_bill(film, plain, twice=twice)
    assert_runs_and_history(film)


def assert_bill(film: Film, plain: Film, *, twice: Counter[str] | None = None) -> None:
    """The bill of one who was not disturbed, and `twice`; the record says the same, and no less where nobody knows."""
    twice = twice or Counter()
    mine, theirs = bill_of(film), bill_of(plain)
    assert Counter(entry["kind"] for entry in theirs) == PAID_KINDS
    assert Counter(entry["kind"] for entry in mine) == PAID_KINDS + twice
    price = {entry["kind"]: Decimal(entry["amount_usd"]) for entry in theirs}
    expected = sum((price[kind] * count for kind, count in (PAID_KINDS + twice).items()), Decimal(0))
    assert sum((Decimal(entry["amount_usd"]) for entry in mine), Decimal(0)) == expected
    spend = film.studio.sql("SELECT amount_usd, certainty FROM spend WHERE task_uid = %s", film.uid)
    possibly = [row for row in spend if row["certainty"] == "possibly"]
    assert len(spend) == (PAID_KINDS + twice).total()
    assert len(possibly) == twice.total(), "exactly the calls in flight may be recorded as possibly paid"
    settled = sum((row["amount_usd"] for row in spend if row["certainty"] == "settled"), Decimal(0))
    assert settled == sum((price[kind] * count for kind, count in PAID_KINDS.items()), Decimal(0))
    # What may have been paid is held at no less than what was.
    paid_twice = sum((price[kind] * count for kind, count in twice.items()), Decimal(0))
    assert sum((row["amount_usd"] for row in possibly), Decimal(0)) >= paid_twice


def assert_runs_and_history(film: Film) -> None:
    """Run numbers rise, no two runs were open at once, the history is legal and without a gap, no item stands twice."""
    runs = runs_of(film)
    assert [run["number"] for run in runs] == list(range(1, len(runs) + 1))
    assert all(run["closed_at"] is not None for run in runs)
    for before, after in itertools.pairwise(runs):
        assert before["closed_at"] <= after["opened_at"]
    done = [run["step"] for run in runs if run["outcome"] == "done"]
    assert done == [step.value for step in Step]
    lines = film.studio.sql("SELECT * FROM task_history WHERE task_uid = %s ORDER BY seq", film.uid)
    phases = [Phase(line["status_after"]) for line in lines]
    for before, line in zip([None, *phases], lines, strict=False):
        assert line["status_before"] == (before.value if before else None)
        assert before is None or is_legal(before, Phase(line["status_after"]))
    items = film.studio.sql("SELECT step, item, count(*) AS n FROM items WHERE task_uid = %s GROUP BY 1, 2", film.uid)
    assert {row["n"] for row in items} == {1}
