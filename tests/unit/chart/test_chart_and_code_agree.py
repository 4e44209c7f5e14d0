"""The chart's files say what the code says: versions, steps, settings and the CRDs; no helm is needed here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from videotask_contract import VERSION
from videotask_contract.steps import Provider, Step
from videotask_operator.settings import Settings

ROOT = Path(__file__).resolve().parents[3]
CHART = ROOT / "charts" / "videotask-operator"


def values() -> dict[str, Any]:
    return yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))


def schema() -> dict[str, Any]:
    return json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))


def test_the_chart_carries_the_very_crds():
    ours = {path.name: path.read_bytes() for path in (ROOT / "crds").glob("*.yaml")}
    carried = {path.name: path.read_bytes() for path in (CHART / "crd-files").glob("*.yaml")}
    assert len(ours) == 2
    assert carried == ours, "cp crds/*.yaml charts/videotask-operator/crd-files/"


def test_chart_and_product_have_one_version():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert chart["version"] == chart["appVersion"] == VERSION
    images = values()["images"]
    for reference in (images["operator"], *images["steps"].values()):
        assert reference.endswith(f":{VERSION}")


def test_every_step_has_an_image_and_resources():
    names = [step.value for step in Step]
    assert list(values()["images"]["steps"]) == names
    assert list(values()["steps"]["resources"]) == names
    assert schema()["definitions"]["stepName"]["enum"] == names
    assert list(schema()["properties"]["images"]["properties"]["steps"]["required"]) == names


def test_the_defaults_are_the_operator_s_own():
    ours, defaults = values(), Settings.model_construct()
    assert {provider: ours["providers"][provider.value]["baseURL"] for provider in Provider} == defaults.base_urls()
    assert ours["providers"]["pollIntervalSeconds"] == defaults.poll_interval_seconds
    assert ours["fleet"]["maxActiveTasks"] == defaults.fleet_max_active_tasks
    assert tuple(ours["retryMinutes"]) == defaults.retry_minutes
    assert ours["report"]["port"] == defaults.report_port
    assert ours["health"]["port"] == defaults.health_port
    assert ours["steps"]["serviceAccountName"] == defaults.step_service_account
    assert ours["images"]["pullPolicy"] == defaults.step_image_pull_policy
    assert ours["operator"]["paused"] is defaults.fleet_paused
    assert ours["steps"]["oneNodePerChannel"] is defaults.one_node_per_channel
    assert ours["steps"]["temporarySize"] == defaults.step_temporary_size
    assert ours["steps"]["keepFinishedSeconds"] == defaults.step_keep_finished_seconds
    assert tuple(ours["images"]["pullSecrets"]) == defaults.step_pull_secrets
    assert ours["operator"]["logLevel"] == defaults.log_level


def test_the_default_values_fit_their_own_schema():
    jsonschema.Draft7Validator.check_schema(schema())
    jsonschema.validate(values(), schema())


def _open_objects(path: str, node: Any) -> list[str]:
    if not isinstance(node, dict):
        return []
    found = [path] if "properties" in node and node.get("additionalProperties") is not False else []
    for name, child in node.items():
        found += _open_objects(f"{path}.{name}", child)
    return found


def test_the_schema_lets_no_unknown_key_pass():
    assert _open_objects("values", schema()) == []


def _keys_without_schema(path: str, ours: dict[str, Any], node: dict[str, Any]) -> list[str]:
    found = []
    for name, value in ours.items():
        known = node.get("properties", {}).get(name)
        if known is None:
            found.append(f"{path}.{name}")
        elif isinstance(value, dict) and "properties" in known:
            found += _keys_without_schema(f"{path}.{name}", value, known)
    return found


def test_every_value_stands_in_the_schema():
    assert _keys_without_schema("values", values(), schema()) == []


@pytest.mark.parametrize("part", ["requests", "limits"])
def test_every_container_has_a_memory_figure(part):
    ours = values()
    for resources in (
        ours["operator"]["resources"],
        ours["postgresql"]["embedded"]["resources"],
        *ours["steps"]["resources"].values(),
    ):
        assert "memory" in resources[part]
