"""The CRDs and the contract's models say the same; a field, limit or default in one alone fails here."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from videotask_contract.phases import Phase
from videotask_contract.resources import (
    API_VERSION,
    GROUP,
    ChannelSpec,
    ChannelStatus,
    VideoTaskSpec,
    VideoTaskStatus,
    to_json,
)
from videotask_contract.steps import Gate
from videotask_contract.storyboard import MAX_TEXT_BYTES

CRDS = Path(__file__).resolve().parents[3] / "crds"
LIMITS = ("minLength", "maxLength", "pattern", "minimum", "maximum", "multipleOf", "minItems", "maxItems", "enum")
ONLY_IN_THE_CRD = {
    # The pattern or the enum of the items implies it; the cluster's cost estimate needs it said.
    ("VideoTask.spec.budgetUSD", "maxLength"): 11,
    ("Channel.spec.budget.perDayUSD", "maxLength"): 11,
    ("VideoTask.spec.gates", "maxItems"): len(Gate),
    # The model takes any phase; the phases table is its authority.
    ("VideoTask.status.phase", "enum"): [phase.resource for phase in Phase],
    ("VideoTask.status.history[].phase", "enum"): [phase.resource for phase in Phase],
}
PARTS: list[tuple[str, str, type[BaseModel]]] = [
    ("videotasks", "spec", VideoTaskSpec),
    ("videotasks", "status", VideoTaskStatus),
    ("channels", "spec", ChannelSpec),
    ("channels", "status", ChannelStatus),
]


@cache
def crd(plural: str) -> dict[str, Any]:
    return yaml.safe_load((CRDS / f"{plural}.yaml").read_text(encoding="utf-8"))


def version_of(plural: str) -> dict[str, Any]:
    (version,) = crd(plural)["spec"]["versions"]
    return version


def root_schema(plural: str) -> dict[str, Any]:
    return version_of(plural)["schema"]["openAPIV3Schema"]


def model_schema(model: type[BaseModel]) -> dict[str, Any]:
    schema = model.model_json_schema(by_alias=True)
    return _plain(schema, schema.get("$defs", {}))


def _plain(node: Any, definitions: dict[str, Any]) -> Any:
    """References resolved, "or null" removed: absent and null are one in a resource."""
    if isinstance(node, list):
        return [_plain(child, definitions) for child in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        target = definitions[node["$ref"].removeprefix("#/$defs/")]
        node = {**target, **{key: value for key, value in node.items() if key != "$ref"}}
    if "anyOf" in node:
        (choice,) = [option for option in node["anyOf"] if option != {"type": "null"}]
        node = {**choice, **{key: value for key, value in node.items() if key != "anyOf"}}
        return _plain(node, definitions)
    return {key: _plain(value, definitions) for key, value in node.items() if key != "$defs"}


def differences(path: str, crd_node: dict[str, Any], model_node: dict[str, Any]) -> list[str]:
    found = []
    if crd_node["type"] != model_node["type"]:
        found.append(f"{path}: type {crd_node['type']} in the CRD, {model_node['type']} in the model")
    for limit in LIMITS:
        ours = crd_node.get(limit)
        if ONLY_IN_THE_CRD.get((path, limit)) == ours and limit not in model_node:
            continue
        if ours != model_node.get(limit):
            found.append(f"{path}: {limit} {ours!r} in the CRD, {model_node.get(limit)!r} in the model")
    found += _default_differences(path, crd_node, model_node)
    if model_node["type"] == "array":
        found += differences(f"{path}[]", crd_node["items"], model_node["items"])
    if "properties" in model_node:
        found += _field_differences(path, crd_node, model_node)
    elif "additionalProperties" in model_node:
        found += differences(f"{path}.*", crd_node["additionalProperties"], model_node["additionalProperties"])
    return found


def _default_differences(path: str, crd_node: dict[str, Any], model_node: dict[str, Any]) -> list[str]:
    if model_node["type"] == "object":
        return []  # filled from the fields' own defaults; shown by the test on empty resources
    ours, theirs = crd_node.get("default"), model_node.get("default")
    if theirs == [] and ours is None:
        return []  # an absent list is an empty list
    return [] if ours == theirs else [f"{path}: default {ours!r} in the CRD, {theirs!r} in the model"]


def _field_differences(path: str, crd_node: dict[str, Any], model_node: dict[str, Any]) -> list[str]:
    ours, theirs = crd_node["properties"], model_node["properties"]
    found = [f"{path}.{name}: only in the CRD" for name in ours.keys() - theirs.keys()]
    found += [f"{path}.{name}: only in the model" for name in theirs.keys() - ours.keys()]
    if set(crd_node.get("required", ())) != set(model_node.get("required", ())):
        found.append(
            f"{path}: required {crd_node.get('required')} in the CRD, {model_node.get('required')} in the model"
        )
    for name in ours.keys() & theirs.keys():
        found += differences(f"{path}.{name}", ours[name], theirs[name])
    return found


def filled(schema: dict[str, Any], value: Any) -> Any:
    """The value as the API server would default it."""
    if schema["type"] == "array":
        return [filled(schema["items"], item) for item in value]
    if schema["type"] != "object" or "properties" not in schema:
        return value
    with_defaults = {name: child["default"] for name, child in schema["properties"].items() if "default" in child}
    return {name: filled(schema["properties"][name], child) for name, child in {**with_defaults, **value}.items()}


def every_field(path: str, node: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    fields = []
    for name, child in node.get("properties", {}).items():
        fields += [(f"{path}.{name}", child), *every_field(f"{path}.{name}", child)]
    for inner in ("items", "additionalProperties"):
        if inner in node:
            fields += [(f"{path}.{inner}", node[inner]), *every_field(f"{path}.{inner}", node[inner])]
    return fields


@pytest.mark.parametrize(("plural", "part", "model"), PARTS, ids=lambda value: getattr(value, "__name__", value))
def test_the_crd_and_the_model_hold_the_same_fields_limits_and_defaults(plural, part, model):
    kind = crd(plural)["spec"]["names"]["kind"]
    found = differences(f"{kind}.{part}", root_schema(plural)["properties"][part], model_schema(model))
    assert not found, "\n".join(found)


def test_a_difference_would_be_found():
    schema = root_schema("videotasks")["properties"]["spec"]
    other = {**schema, "properties": {**schema["properties"], "sceneCount": {"type": "integer", "maximum": 61}}}
    found = differences("VideoTask.spec", other, model_schema(VideoTaskSpec))
    assert {problem.split(" ")[1] for problem in found} == {"minimum", "maximum", "default"}


@pytest.mark.parametrize("plural", ["videotasks", "channels"])
def test_every_field_is_described(plural):
    fields = every_field(crd(plural)["spec"]["names"]["kind"], root_schema(plural))
    bare = [
        path
        for path, node in fields
        if len(node.get("description", "")) < 5 and not path.endswith(".metadata")  # the API server forbids that one
    ]
    assert not bare
    assert len(fields) > 40


@pytest.mark.parametrize("plural", ["videotasks", "channels"])
def test_every_string_a_person_writes_is_bounded(plural):
    spec = root_schema(plural)["properties"]["spec"]
    unbounded = [
        path
        for path, node in every_field("spec", spec)
        if node["type"] == "string" and "maxLength" not in node and "enum" not in node
    ]
    assert not unbounded


@pytest.mark.parametrize("plural", ["videotasks", "channels"])
def test_unknown_fields_are_never_kept(plural):
    text = (CRDS / f"{plural}.yaml").read_text(encoding="utf-8")
    assert "preserve-unknown-fields" not in text
    assert "preserveUnknownFields" not in text


def test_the_smallest_task_is_defaulted_alike_by_cluster_and_model():
    smallest = {"channelRef": {"name": "night-stories"}, "title": "T", "topic": "A heron"}
    by_cluster = filled(root_schema("videotasks")["properties"]["spec"], smallest)
    by_model = to_json(VideoTaskSpec.model_validate(smallest))
    assert by_cluster == {name: value for name, value in by_model.items() if value not in ([], {})}


def test_a_task_with_its_own_quality_is_defaulted_alike_by_cluster_and_model():
    given = {"channelRef": {"name": "c"}, "title": "T", "topic": "A heron", "quality": {"clipSeconds": 5}}
    by_cluster = filled(root_schema("videotasks")["properties"]["spec"], given)
    by_model = to_json(VideoTaskSpec.model_validate(given))
    assert by_cluster["quality"] == by_model["quality"]


def test_the_smallest_channel_is_defaulted_alike_by_cluster_and_model():
    account = {"secretRef": {"name": "keys"}}
    smallest = {
        "voice": {"voiceID": "abc"},
        "credentials": {"gemini": account, "kling": account, "elevenlabs": account},
        "volume": {"claimName": "films"},
    }
    by_cluster = filled(root_schema("channels")["properties"]["spec"], smallest)
    assert by_cluster == to_json(ChannelSpec.model_validate(smallest))


def test_names_of_gates_in_rules_are_the_contract_s():
    spec = root_schema("videotasks")["properties"]["spec"]["properties"]
    (rule,) = spec["approvals"]["x-kubernetes-validations"]
    listed = "[" + ", ".join(f"'{gate.value}'" for gate in Gate) + "]"
    assert rule["rule"] == f"self.all(gate, gate in {listed})"
    assert spec["approvals"]["maxProperties"] == len(Gate)


def test_the_size_limit_in_the_rule_is_the_contract_s():
    storyboard = root_schema("videotasks")["properties"]["spec"]["properties"]["storyboard"]
    (rule,) = [entry for entry in storyboard["x-kubernetes-validations"] if "bytes" in entry["rule"]]
    assert rule["rule"].endswith(f"<= {MAX_TEXT_BYTES}")
    assert str(MAX_TEXT_BYTES) in rule["message"]
    assert f"{MAX_TEXT_BYTES:,}" in storyboard["description"]


def test_lists_keyed_by_name_and_sets_are_declared():
    spec = root_schema("videotasks")["properties"]["spec"]["properties"]
    storyboard = spec["storyboard"]["properties"]
    for field in ("assets", "scenes"):
        assert storyboard[field]["x-kubernetes-list-map-keys"] == ["name"]
    assert spec["gates"]["x-kubernetes-list-type"] == "set"


@pytest.mark.parametrize(
    ("plural", "short", "columns", "wide"),
    [
        (
            "videotasks",
            "vt",
            ["Phase", "Step", "Progress", "Cost", "Age", "Message"],
            ["Channel", "Priority", "Attempt", "Film"],
        ),
        ("channels", "vch", ["Ready", "Active", "Spent Today", "Age", "Message"], ["Voice", "Volume"]),
    ],
)
def test_kubectl_get_shows_what_people_look_for(plural, short, columns, wide):
    names = crd(plural)["spec"]["names"]
    assert names["shortNames"] == [short]
    assert names["categories"] == ["video"]
    assert names["singular"] not in names["categories"]  # kubectl patch SINGULAR would mean the whole category
    shown = version_of(plural)["additionalPrinterColumns"]
    assert [column["name"] for column in shown if not column.get("priority")] == columns
    assert [column["name"] for column in shown if column.get("priority")] == wide
    assert shown[-1]["name"] == "Message"


@pytest.mark.parametrize("plural", ["videotasks", "channels"])
def test_columns_read_fields_that_exist(plural):
    for column in version_of(plural)["additionalPrinterColumns"]:
        node = root_schema(plural)
        words = column["jsonPath"].removeprefix(".").split("[")[0].split(".")
        if words[0] == "metadata":
            continue
        for word in words:
            node = node["properties"][word]


@pytest.mark.parametrize("plural", ["videotasks", "channels"])
def test_group_version_and_status_subresource_are_the_contract_s(plural):
    assert crd(plural)["spec"]["group"] == GROUP
    assert version_of(plural)["name"] == API_VERSION
    assert version_of(plural)["subresources"] == {"status": {}}
    assert crd(plural)["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
