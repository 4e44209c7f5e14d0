"""Chart and samples pass the API server's own schemas and the restricted pod security, for every kind of values."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("crds")]

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
VALUES = {
    "defaults": (),
    "emulators": ("-f", str(SAMPLES / "values-emulators.yaml")),
    "external database": ("--set=postgresql.embedded.enabled=false", "--set=postgresql.external.secretName=record"),
    "no stamp": ("--set=approvals.stamp=off",),
    "everything set": (
        "--set=images.registry=registry.example.com/films",
        "--set=images.pullSecrets={registry}",
        "--set=operator.priorityClassName=system-cluster-critical",
        "--set=operator.nodeSelector.disk=fast",
        "--set=operator.podLabels.team=films",
        "--set=operator.podAnnotations.note=hello",
        '--set-json=operator.tolerations=[{"key":"films","operator":"Exists","effect":"NoSchedule"}]',
        '--set-json=operator.affinity={"nodeAffinity":{}}',
        "--set=postgresql.embedded.storage.storageClassName=fast",
        "--set=postgresql.embedded.nodeSelector.disk=fast",
        '--set-json=postgresql.embedded.tolerations=[{"operator":"Exists"}]',
    ),
}


def dry_run(cluster, namespace: str, text: str) -> str:
    """Let the API server admit everything without keeping it; return its warnings."""
    words = ["apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict", "-f", "-"]
    return cluster.kubectl(*words, stdin=text, namespace=namespace).stderr


@pytest.mark.parametrize("values", VALUES)
def test_the_rendered_chart_is_admitted_without_a_warning(cluster, namespace, values):
    objects = cluster.render(*VALUES[values], release="videotask", namespace=namespace)
    assert len(objects) > 15
    assert dry_run(cluster, namespace, yaml.safe_dump_all(objects)) == ""


def test_a_pod_that_is_not_restricted_would_be_warned_about(cluster, namespace):
    objects = cluster.render(release="videotask", namespace=namespace)
    (deployment,) = [document for document in objects if document["kind"] == "Deployment"]
    del deployment["spec"]["template"]["spec"]["containers"][0]["securityContext"]
    assert "restricted" in dry_run(cluster, namespace, json.dumps(deployment))


@pytest.mark.parametrize("sample", sorted(path.name for path in SAMPLES.glob("*.yaml") if "values" not in path.name))
def test_a_sample_is_admitted_without_a_warning(cluster, namespace, sample):
    assert dry_run(cluster, namespace, (SAMPLES / sample).read_text(encoding="utf-8")) == ""
