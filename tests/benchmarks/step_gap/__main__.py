"""Measures what the operator adds between steps: six 2 s steps through it, against a bare chain of the same Jobs.

Both run on the same cluster in turn, several times. The chain makes the next Job as soon as a pod watch shows that the
last one ended, which is the fastest a tool can be that waits for pods. Prints a table and the ratio; asserts nothing.
Usage: python -m tests.benchmarks.step_gap [--rounds 3] [--tasks 20]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import statistics
import subprocess
import sys
import threading
import time
import uuid
from datetime import datetime
from pathlib import Path
from typing import Self

import yaml
from kubernetes import client, config, watch
from urllib3.exceptions import ProtocolError

REPOSITORY = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(REPOSITORY / "scripts" / "lib"))

from local_cluster.choice import current_engine  # noqa: E402  found by the line above
from local_images.builders import BuildFacts, choose_builder  # noqa: E402
from local_images.catalogue import Image  # noqa: E402

CACHE = Path(os.environ.get("VIDEOTASK_CACHE") or Path.home() / ".cache" / "videotask-operator")
IMAGE = Image(name="videotask-two-second-step", dockerfile="tests/benchmarks/step_gap/Dockerfile")
STEPS = (
    "asset_generation",
    "composite_creation",
    "video_generation",
    "narration_generation",
    "sfx_generation",
    "video_assembly",
)
DEADLINE_SECONDS = 180


class Bench:
    """One namespace with the operator in it."""

    def __init__(self) -> None:
        self.namespace = f"bench-{uuid.uuid4().hex[:8]}"
        self.kubeconfig = os.environ.get("KUBECONFIG") or self._say([str(REPOSITORY / "scripts/cluster"), "kubeconfig"])
        self.image = ""
        config.load_kube_config(self.kubeconfig)
        self._core, self._batch, self._custom = client.CoreV1Api(), client.BatchV1Api(), client.CustomObjectsApi()

    def kubectl(self, *words: str, stdin: str | None = None) -> str:
        command = [str(CACHE / "bin" / "kubectl"), "--kubeconfig", self.kubeconfig, "-n", self.namespace, *words]
        return self._say(command, stdin=stdin)

    def apply(self, *documents: dict) -> None:
        self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(documents))

    def open(self) -> None:
        """Build the step, install the chart with it for all six steps, and make a channel."""
        self.image = build_step()
        self.kubectl("create", "namespace", self.namespace)
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(REPOSITORY / "crds"))
        steps = [f"--set=images.steps.{step}={self.image}" for step in STEPS]
        helm = [str(CACHE / "bin" / "helm"), "--kubeconfig", self.kubeconfig, "install", "bench"]
        helm += [str(REPOSITORY / "charts/videotask-operator"), "-n", self.namespace, "--wait", "--timeout=3m"]
        helm += [
            "-f",
            str(REPOSITORY / ".build/values-images.yaml"),
            "-f",
            str(REPOSITORY / "samples/values-emulators.yaml"),
        ]
        helm += ["--set=crds.install=false", "--set=rbac.peopleRoles=false", "--set=fleet.maxActiveTasks=30", *steps]
        self._say(helm)
        self.apply(*self._channel())

    def close(self) -> None:
        self.kubectl("delete", "videotasks,channels", "--all", "--wait=false")
        helm = [
            str(CACHE / "bin" / "helm"),
            "--kubeconfig",
            self.kubeconfig,
            "uninstall",
            "bench",
            "-n",
            self.namespace,
        ]
        self._say(helm)
        self.kubectl("delete", "namespace", self.namespace, "--wait=false")

    def _channel(self) -> list[dict]:
        name = "tides"
        secrets = [
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": secret}, "stringData": {"api-key": "none"}}
            for secret in ("gemini", "kling", "elevenlabs")
        ]
        claim = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": name},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        }
        credentials = {provider: {"secretRef": {"name": provider}} for provider in ("gemini", "kling", "elevenlabs")}
        channel = {
            "apiVersion": "videotask.dev/v1alpha1",
            "kind": "Channel",
            "metadata": {"name": name},
            "spec": {
                "voice": {"voiceID": "JBFqnCBsd6RMkjVDRZzb"},
                "credentials": credentials,
                "volume": {"claimName": name},
                "limits": {"maxActiveTasks": 30},
                "budget": {"perDayUSD": "9999.00"},
            },
        }
        return [*secrets, claim, channel]

    # --- the operator's way -------------------------------------------------------------------------------------

    def run_operator(self, name: str) -> float:
        """Make one film of six 2 s steps; return seconds from its creation to the end of the last step's pod."""
        body = task(name)
        with self._watch(f"videotask.dev/task={name}") as ends:
            start = time.monotonic()
            self._custom.create_namespaced_custom_object(
                "videotask.dev", "v1alpha1", self.namespace, "videotasks", body
            )
            ends.wait_for("-video-assembly-")
            return time.monotonic() - start

    def gaps_ms(self) -> list[float]:
        """Return report -> next Job in milliseconds, from the operator's own log lines."""
        log = self.kubectl("logs", "deployment/bench-operator", "--tail=-1")
        lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
        gaps, reported = [], {}
        for line in lines:
            at = datetime.fromisoformat(line["timestamp"])
            if line["event"] == "step_reported":
                reported[line["task"]] = at
            elif line["event"] == "step_job_created" and line["task"] in reported:
                gaps.append((at - reported.pop(line["task"])).total_seconds() * 1000)
        return gaps

    def memory_mib(self) -> float:
        """Return the operator process's resident memory."""
        status = self.kubectl("exec", "deployment/bench-operator", "-c", "operator", "--", "cat", "/proc/1/status")
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        return int(found[1]) / 1024 if found else float("nan")

    # --- the bare chain -----------------------------------------------------------------------------------------

    def run_chain(self, name: str) -> float:
        """Make six Jobs, each when the pod watch shows the last one's end; return seconds as above."""
        with self._watch(f"chain={name}") as ends:
            start = time.monotonic()
            for number in range(6):
                self._batch.create_namespaced_job(self.namespace, chain_job(name, number, self.image))
                ends.wait_for(f"{name}-{number}-")
            return time.monotonic() - start

    def _watch(self, selector: str) -> Ends:
        return Ends(self._core, self.namespace, selector)

    def _say(self, command: list[str], stdin: str | None = None) -> str:
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(command[:6])} ... failed: {done.stderr.strip()}")
        return done.stdout.strip()


def build_step() -> str:
    """Build and load the benchmark's step; return its reference."""
    builder = choose_builder()
    base = builder.default_base()
    builder.prepare(base)
    reference = f"localhost/{IMAGE.name}:bench"
    builder.build(IMAGE, reference, BuildFacts(base=base, context=REPOSITORY, version="0.0.0", secrets={}))
    engine = current_engine()
    if engine is None:
        raise SystemExit("no cluster is up: scripts/cluster up")
    builder.load([reference], engine)
    return reference


def task(name: str) -> dict:
    """Return a VideoTask of one asset and one scene."""
    storyboard = {
        "assets": [{"name": "sea", "kind": "environment", "prompt": "the sea"}],
        "scenes": [
            {
                "name": "tide",
                "environment": "sea",
                "motion": "waves",
                "narration": "The tide comes in.",
                "soundEffect": "waves",
            },
        ],
    }
    spec = {"channelRef": {"name": "tides"}, "title": name, "storyboard": storyboard}
    return {"apiVersion": "videotask.dev/v1alpha1", "kind": "VideoTask", "metadata": {"name": name}, "spec": spec}


def chain_job(name: str, number: int, image: str) -> dict:
    """Return a Job as bare as the step allows."""
    container = {
        "name": "step",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "env": [{"name": "CHAIN", "value": "1"}],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    pod = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
    }
    labels = {"chain": name}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": f"{name}-{number}", "labels": labels},
        "spec": {"backoffLimit": 0, "template": {"metadata": {"labels": labels}, "spec": pod}},
    }


class Ends:
    """A pod watch in its own thread that tells when a pod has ended."""

    def __init__(self, core: client.CoreV1Api, namespace: str, selector: str) -> None:
        self._core, self._namespace, self._selector = core, namespace, selector
        self._watch = watch.Watch()
        self._ended: set[str] = set()
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._watch.stop()

    def wait_for(self, part_of_name: str) -> None:
        """Return when a pod whose name holds this part has ended."""
        with self._news:
            if not self._news.wait_for(lambda: any(part_of_name in name for name in self._ended), DEADLINE_SECONDS):
                raise SystemExit(f"no pod *{part_of_name}* ended within {DEADLINE_SECONDS} s")

    def _read(self) -> None:
        # The stream is cut off in mid-chunk when the wait is over: that is its ordinary end.
        with contextlib.suppress(ProtocolError):
            self._read_events()

    def _read_events(self) -> None:
        listing = self._core.list_namespaced_pod
        for event in self._watch.stream(
            listing, self._namespace, label_selector=self._selector, timeout_seconds=DEADLINE_SECONDS
        ):
            pod = event["object"]
            if pod.status.phase in {"Succeeded", "Failed"}:
                with self._news:
                    self._ended.add(pod.metadata.name)
                    self._news.notify_all()


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="how often each way is measured (default: 3)")
    parser.add_argument("--tasks", type=int, default=20, help="tasks at once for the memory figure; 0 leaves it out")
    options = parser.parse_args()
    bench = Bench()
    print(f"Installing the operator in {bench.namespace} ...", flush=True)
    try:
        bench.open()
        operator, chain = [], []
        bench.run_chain("warm-chain")
        bench.run_operator("warm")
        for number in range(options.rounds):
            chain.append(bench.run_chain(f"chain{number}"))
            operator.append(bench.run_operator(f"film{number}"))
            print(f"round {number + 1}: chain {chain[-1]:.1f} s, operator {operator[-1]:.1f} s", flush=True)
        gaps = bench.gaps_ms()
        idle = bench.memory_mib()
        busy = measure_memory(bench, options.tasks) if options.tasks else float("nan")
    finally:
        bench.close()
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"\nsix 2 s steps, {options.rounds} rounds, machine's load {load}")
    print(f"{'':24}{'min':>8}{'median':>8}{'max':>8}")
    for name, values in (("bare chain, s", chain), ("operator, s", operator)):
        print(f"{name:24}{min(values):8.1f}{statistics.median(values):8.1f}{max(values):8.1f}")
    print(f"ratio operator / chain  {statistics.median(operator) / statistics.median(chain):8.3f}")
    p50, p95 = percentile(gaps, 0.5), percentile(gaps, 0.95)
    print(f"report -> next Job      p50 {p50:.0f} ms, p95 {p95:.0f} ms ({len(gaps)} gaps)")
    print(f"operator's memory       {idle:.0f} MiB after the rounds, {busy:.0f} MiB at {options.tasks} tasks")
    return 0


def measure_memory(bench: Bench, tasks: int) -> float:
    """Return the most the operator held while so many tasks went through it at once."""
    names = [f"many{number}" for number in range(tasks)]
    bench.apply(*(task(name) for name in names))
    most = 0.0
    end = time.monotonic() + DEADLINE_SECONDS * 3
    while time.monotonic() < end:
        most = max(most, bench.memory_mib())
        phases = bench.kubectl("get", "videotasks", "-o", "jsonpath={.items[*].status.phase}").split()
        if phases.count("FinalReview") >= tasks:
            return most
        time.sleep(1)
    raise SystemExit(f"{tasks} tasks did not get through")


if __name__ == "__main__":
    sys.exit(main())
