"""The whole loop with real steps, real PostgreSQL and real media: a film without a cluster, whatever is killed."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from decimal import Decimal

import pytest
from tests.support.builders import a_channel_spec, a_spec, a_storyboard

from videotask_contract.phases import HAPPY_PATH, Phase
from videotask_contract.steps import STEPS, Provider, Step
from videotask_emulators.testing import EmulatorProcess
from videotask_operator.laptop import READY
from videotask_operator.local.files import read_json
from videotask_operator.local.folder import LocalFolder
from videotask_operator.local.postgres import find_postgres, stop_postgres
from videotask_operator.local.processes import start_mark

SMALL = {"frame": {"width": 640, "height": 360, "framesPerSecond": 12}, "clipSeconds": 5}
ANSWER_SECONDS = 600
pytestmark = pytest.mark.timeout(1500)


class Laptop:
    """The operator's program over a folder, with the emulators behind it."""

    def __init__(self, root, url):
        self.folder = LocalFolder(root)
        self.url = url
        self.process = None
        channel = a_channel_spec()
        self.claim = channel["volume"]["claimName"]
        self.folder.prepare()
        self.folder.make_volume(self.claim)
        for provider in Provider:
            secret = channel["credentials"][provider.value]["secretRef"]
            self.folder.save_secret(secret["name"], {secret.get("key", "api-key"): f"{provider.value}-demo-key"})
        self.folder.apply(self.manifest("Channel", "tides", channel))
        self.apply()

    def manifest(self, kind, name, spec):
        return {"apiVersion": "videotask.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}

    def apply(self, **changes):
        spec = a_spec(storyboard=a_storyboard(scenes=2), quality=SMALL, **changes)
        self.folder.apply(self.manifest("VideoTask", "tide", spec))

    def start(self):
        environment = os.environ | {
            "VIDEOTASK_PROVIDER_BASE_URLS": json.dumps(dict.fromkeys(Provider, self.url)),
            "VIDEOTASK_POLL_INTERVAL_SECONDS": "0.2",
        }
        (self.folder.root / READY).unlink(missing_ok=True)
        with (self.folder.root / "operator.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "videotask_operator.laptop", self.folder.root],
                stdout=log,
                stderr=log,
                env=environment,
            )
        self.wait("the operator decides", (self.folder.root / READY).exists)

    def kill(self):
        self.process.kill()
        self.process.wait(20)

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)

    def end(self):
        """Leave nothing behind, whatever the test did."""
        if self.process is None or self.process.poll() is not None:
            self.start()  # it alone knows how to end what it left
        self.stop()
        stop_postgres(self.folder.root / "postgres")

    @property
    def status(self):
        return (read_json(self.folder.status("tide")) or {}).get("status", {})

    def step(self, number):
        steps = self.status.get("steps", [])
        return steps[number]["state"] if steps else "Pending"

    def wait(self, what, is_so):
        deadline = time.monotonic() + ANSWER_SECONDS
        while not is_so():
            log = (self.folder.root / "operator.log").read_text()[-3000:]
            assert time.monotonic() < deadline, f"not within {ANSWER_SECONDS} s: {what}; {self.status}; {log}"
            assert self.status.get("phase") not in {"Failed", "AssemblyError", "AssetError"}, self.status
            time.sleep(0.05)  # the condition's poll, not a guess

    def wait_for(self, phase):
        self.wait(phase.value, lambda: self.status.get("phase") == phase.resource)

    def pids(self):
        return [pod["pid"] for path in self.folder.runs.glob("*/pod.json") if (pod := read_json(path))]


@pytest.fixture(scope="module")
def emulators():
    with EmulatorProcess(options=("--clip-fps", "12")) as running:
        yield running


@pytest.fixture
def laptop(tmp_path, emulators):
    emulators.control.reset()
    made = Laptop(tmp_path, emulators.url)
    yield made
    made.end()


def billed_twice(control):
    seen = [(entry["provider"], entry["kind"], entry["prompt_sha256"]) for entry in control.bill()["entries"]]
    return {entry for entry in seen if seen.count(entry) > 1}


def test_a_film_is_made_and_approved_without_a_cluster(laptop, emulators):
    laptop.start()
    laptop.wait_for(Phase.FINAL_REVIEW)
    status = laptop.status
    film = laptop.folder.volume(laptop.claim) / status["film"]["path"]
    assert hashlib.sha256(film.read_bytes()).hexdigest() == status["film"]["sha256"]
    assert Decimal(status["costUSD"]) == emulators.control.total_usd()
    assert [(step["state"], step["done"] == step["total"]) for step in status["steps"]] == [("Done", True)] * 6
    laptop.apply(approvals={"final": {"decision": "Approved", "by": "ada", "round": 1}})
    laptop.wait_for(Phase.COMPLETED)
    phases = [entry["phase"] for entry in laptop.status["history"]]
    assert phases == [phase.resource for phase in HAPPY_PATH]
    assert laptop.status["approvedBy"] == "ada"


def test_an_operator_killed_in_every_step_makes_the_same_film_and_pays_nothing_twice(laptop, emulators):
    for number, traits in enumerate(STEPS):
        laptop.start()
        laptop.wait(f"{traits.step.value} has begun", lambda number=number: laptop.step(number) in {"Running", "Done"})
        laptop.kill()
    laptop.start()
    laptop.wait_for(Phase.FINAL_REVIEW)
    assert (
        Decimal(laptop.status["costUSD"]) == emulators.control.total_usd() == Decimal(laptop.status["estimatedCostUSD"])
    )
    assert billed_twice(emulators.control) == set()


CALLS = {
    Step.ASSET_GENERATION: "image",
    Step.VIDEO_GENERATION: "create",
    Step.NARRATION_GENERATION: "speech",
    Step.SFX_GENERATION: "sfx",
}
"""The paid call of each paid step, by the emulators' name for it."""


def open_calls(control, operation):
    return [call for call in control.calls() if call["operation"] == operation and call["status"] is None]


def live_steps(folder, step):
    """Return the process groups of a step's runs that have not ended."""
    pods = {path: read_json(path) for path in folder.runs.glob(f"*-{step.slug}-*/pod.json")}
    living = {path: pod["pid"] for path, pod in pods.items() if pod and not path.with_name("exit.json").exists()}
    return [pid for pid in living.values() if start_mark(pid)]


def test_every_steps_processes_killed_once_make_the_same_film_and_pay_nothing_twice(laptop, emulators):
    control = emulators.control
    hangs = {
        step: control.add_fault("timeout_before_charging", match={"operation": operation}, times=-1)
        for step, operation in CALLS.items()
    }
    laptop.start()
    killed = set()
    for number, step in enumerate(traits.step for traits in STEPS):
        if step in CALLS:  # a paid step is killed in the middle of its calls, however fast the machine is
            laptop.wait(f"{step.value} calls", lambda step=step: open_calls(control, CALLS[step]))
        laptop.wait(f"{step.value} runs", lambda number=number: laptop.step(number) in {"Running", "Done"})
        for pid in live_steps(laptop.folder, step):
            os.killpg(pid, signal.SIGKILL)
            killed.add(step)
        if step in CALLS:
            control.clear_faults(hangs[step])
    laptop.wait_for(Phase.FINAL_REVIEW)
    assert killed >= set(CALLS), killed
    assert billed_twice(control) == set()
    # Speech and images cannot be looked up: calls that died unanswered stay on record as possibly paid.
    assert Decimal(laptop.status["costUSD"]) > control.total_usd()


def test_stopping_it_ends_its_steps_and_its_database(laptop):
    laptop.start()
    laptop.wait("a step runs", lambda: bool(laptop.pids()))
    pids = laptop.pids()
    laptop.stop()
    assert laptop.process.returncode == 0
    assert [start_mark(pid) for pid in pids] == [None] * len(pids)
    assert find_postgres(laptop.folder.root / "postgres") is None
