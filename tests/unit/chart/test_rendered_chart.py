"""What the chart makes of its values, rendered by helm: rights, security, settings, policies, database."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from videotask_contract.resources import GROUP
from videotask_contract.steps import Provider, Step
from videotask_operator.__main__ import job_settings
from videotask_operator.settings import Settings

CHART = Path(__file__).resolve().parents[3] / "charts" / "videotask-operator"
STAMP_V1 = "--api-versions=admissionregistration.k8s.io/v1/MutatingAdmissionPolicy"
STAMP_V1BETA1 = "--api-versions=admissionregistration.k8s.io/v1beta1/MutatingAdmissionPolicy"
CLUSTER_SCOPED = (
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "MutatingAdmissionPolicy",
    "MutatingAdmissionPolicyBinding",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
)


def of_kind(objects: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [document for document in objects if document["kind"] == kind]


def the(objects: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    (found,) = [document for document in of_kind(objects, kind) if document["metadata"]["name"] == name]
    return found


def pod_specs(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [document["spec"]["template"]["spec"] for document in objects if "template" in document.get("spec", {})]


def containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    return [*pod.get("initContainers", ()), *pod["containers"]]


def settings_of(objects: list[dict[str, Any]], monkeypatch) -> Settings:
    """The operator's settings as its pod would read them."""
    data = the(objects, "ConfigMap", "videotask-operator")["data"]
    for name, value in data.items():
        monkeypatch.setenv(name, value)
    return Settings()


def test_helm_lint_is_content(helm):
    done = helm("lint", "--strict", str(CHART))
    assert done.returncode == 0, done.stdout


def test_every_setting_in_the_config_map_is_one_the_operator_reads(render):
    data = the(render("--set=steps.concurrency.video_generation=4"), "ConfigMap", "videotask-operator")["data"]
    known = {f"VIDEOTASK_{name.upper()}" for name in Settings.model_fields}
    assert set(data) <= known
    assert all(isinstance(value, str) for value in data.values())


def test_the_operator_reads_its_settings_from_the_rendered_config_map(render, monkeypatch):
    objects = render(
        "--set=namespaces={studio,annex}",
        "--set=fleet.maxActiveTasks=7",
        "--set-json=retryMinutes=[1,2.5]",
        "--set=steps.nodeSelector.disk=fast",
        "--set=steps.nodeSelectors.video_assembly.cpu=fast",
        "--set=steps.concurrency.video_generation=4",
        "--set=providers.kling.baseURL=http://emulators:8080/",
        "--set-json=providers.pollIntervalSeconds=0.5",
        '--set-json=prices={"elevenlabs_effect_usd":"0.15"}',
        '--set-json=steps.tolerations=[{"key":"films","operator":"Exists"}]',
        "--set=images.registry=registry.example.com/films",
        "--set-string=operator.extraEnv.VIDEOTASK_RESYNC_SECONDS=45",
    )
    settings = settings_of(objects, monkeypatch)
    assert settings.namespaces == ("studio", "annex")
    assert settings.report_url == "http://videotask-report.studio.svc:8090"
    assert settings.fleet_max_active_tasks == 7
    assert settings.retry_minutes == (1, 2.5)
    assert settings.step_node_selector == {"disk": "fast"}
    assert settings.step_node_selectors == {Step.VIDEO_ASSEMBLY: {"cpu": "fast"}}
    assert settings.step_tolerations == [{"key": "films", "operator": "Exists"}]
    assert settings.step_concurrency == {Step.VIDEO_GENERATION: 4}
    assert settings.base_urls()[Provider.KLING] == "http://emulators:8080"
    assert settings.poll_interval_seconds == 0.5
    assert str(settings.prices.elevenlabs_effect_usd) == "0.15"
    assert set(settings.step_images) == set(settings.step_resources) == set(Step)
    assert settings.step_images[Step.SFX_GENERATION].startswith("registry.example.com/films/videotask-sfx-generation:")
    assert settings.resync_seconds == 45


def test_what_the_steps_jobs_are_built_from_follows_the_values(render, monkeypatch):
    settings = settings_of(
        render(
            "--set=images.pullSecrets={harbour,annex}",
            "--set=steps.oneNodePerChannel=true",
            "--set=steps.temporarySize=512Mi",
            "--set=steps.keepFinishedSeconds=3600000",
        ),
        monkeypatch,
    )
    jobs = job_settings(settings)
    assert tuple(jobs.pull_secrets) == ("harbour", "annex")
    assert (jobs.one_node_per_channel, jobs.temporary_size, jobs.keep_finished_seconds) == (True, "512Mi", 3_600_000)


@pytest.mark.parametrize(
    ("given", "seconds"),
    [("0.5", 0.5), ("5", 5), ("12.25", 12.25), ("60", 60), ("60.0", 60), ("10", 10), ("0.05", 0.05)],
)
def test_the_pause_between_polls_may_be_set_as_plainly_as_any_value(render, monkeypatch, given, seconds):
    assert (
        settings_of(render(f"--set=providers.pollIntervalSeconds={given}"), monkeypatch).poll_interval_seconds
        == seconds
    )


@pytest.mark.parametrize("given", ["0", "0.0", "60.5", "61", "soon", "-1", "1e3"])
def test_a_pause_between_polls_that_makes_no_sense_is_refused(complaint, given):
    assert "pollIntervalSeconds" in complaint(f"--set=providers.pollIntervalSeconds={given}")


def test_the_fleet_is_paused_by_a_value_and_the_notes_say_so(render, helm, monkeypatch):
    assert settings_of(render(), monkeypatch).fleet_paused is False
    assert settings_of(render("--set=operator.paused=true"), monkeypatch).fleet_paused is True
    words = ("install", "videotask", str(CHART), "--namespace=studio", "--dry-run=client")
    assert "FLEET IS PAUSED" in helm(*words, "--set=operator.paused=true").stdout
    assert "FLEET IS PAUSED" not in helm(*words).stdout


def test_the_steps_reach_the_report_service_at_the_address_they_are_given(render, monkeypatch):
    objects = render("--set=report.port=9000")
    service = the(objects, "Service", "videotask-report")
    settings = settings_of(objects, monkeypatch)
    assert settings.report_url == "http://videotask-report.studio.svc:9000"
    assert settings.report_port == service["spec"]["ports"][0]["port"] == 9000
    deployment = the(objects, "Deployment", "videotask-operator")
    assert service["spec"]["selector"].items() <= deployment["spec"]["template"]["metadata"]["labels"].items()


def test_the_report_service_keeps_an_operator_that_is_not_ready(render):
    """Its watches may begin anew after an outage of the API server while it takes reports as ever."""
    objects = render()
    service = the(objects, "Service", "videotask-report")
    assert service["spec"]["publishNotReadyAddresses"] is True
    deployment = the(objects, "Deployment", "videotask-operator")
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}
    assert deployment["spec"]["replicas"] == 1


def test_no_role_of_the_operator_touches_secrets_or_asks_for_everything(render):
    objects = render("--set=namespaces={studio,annex}")
    roles = of_kind(objects, "Role") + of_kind(objects, "ClusterRole")
    assert len(roles) == 6
    for role in roles:
        for rule in role["rules"]:
            for words in (rule["apiGroups"], rule["resources"], rule["verbs"]):
                assert "*" not in words
            assert "secrets" not in rule["resources"]


def test_the_operator_may_do_this_and_nothing_else(render):
    (role,) = of_kind(render(), "Role")
    granted = {
        (group, resource): set(rule["verbs"])
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    assert granted == {
        (GROUP, "videotasks"): {"get", "list", "watch"},
        (GROUP, "channels"): {"get", "list", "watch"},
        (GROUP, "videotasks/status"): {"patch"},
        (GROUP, "channels/status"): {"patch"},
        ("batch", "jobs"): {"create", "delete", "get", "list", "watch"},
        ("", "configmaps"): {"create", "delete", "get", "list"},
        ("", "pods"): {"get", "list", "watch"},
        ("", "events"): {"create", "patch"},
    }


def test_across_the_cluster_the_operator_may_review_tokens_alone(render):
    objects = render()
    (binding,) = of_kind(objects, "ClusterRoleBinding")
    role = the(objects, "ClusterRole", binding["roleRef"]["name"])
    assert role["rules"] == [
        {"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]}
    ]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "videotask-operator", "namespace": "studio"}]


def test_each_watched_namespace_gets_role_binding_and_the_steps_account(render):
    objects = render("--set=namespaces={annex,attic}")
    for kind, name in (
        ("Role", "videotask-operator"),
        ("RoleBinding", "videotask-operator"),
        ("ServiceAccount", "videotask-step"),
    ):
        found = [document for document in of_kind(objects, kind) if document["metadata"]["name"] == name]
        assert [document["metadata"]["namespace"] for document in found] == ["annex", "attic"]
    for binding in of_kind(objects, "RoleBinding"):
        assert binding["subjects"][0]["namespace"] == "studio"


def test_the_steps_account_has_no_token_and_no_rights(render):
    objects = render()
    assert the(objects, "ServiceAccount", "videotask-step")["automountServiceAccountToken"] is False
    bindings = of_kind(objects, "RoleBinding") + of_kind(objects, "ClusterRoleBinding")
    assert all(subject["name"] != "videotask-step" for binding in bindings for subject in binding["subjects"])


def test_the_verb_approve_is_in_the_approver_s_role_alone(render):
    granting = {
        role["metadata"]["name"]
        for role in of_kind(render(), "ClusterRole") + of_kind(render(), "Role")
        for rule in role["rules"]
        if "approve" in rule["verbs"]
    }
    assert granting == {"videotask-approver"}


def test_no_person_s_role_may_write_a_status(render):
    for role in of_kind(render(), "ClusterRole"):
        assert all("/status" not in resource for rule in role["rules"] for resource in rule["resources"])


def test_every_pod_is_restricted_with_a_read_only_root(render):
    pods = pod_specs(render())
    assert len(pods) == 2
    for pod in pods:
        security = pod["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["runAsUser"] > 0
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in containers(pod):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["requests"]["memory"]
            assert container["resources"]["limits"]["memory"]


def test_there_is_never_a_second_operator(render):
    spec = the(render(), "Deployment", "videotask-operator")["spec"]
    assert spec["replicas"] == 1
    assert spec["strategy"] == {"type": "Recreate"}


def test_migrations_run_in_the_operator_s_image_before_it_starts(render):
    (deployment,) = of_kind(render(), "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    migrate, operator = pod["initContainers"][0], pod["containers"][0]
    assert (migrate["args"], operator["args"]) == (["migrate"], ["run"])
    assert migrate["image"] == operator["image"]
    assert migrate["env"] == operator["env"]
    assert not any("hook" in annotation for annotation in deployment["metadata"].get("annotations", {}))


def test_a_changed_setting_starts_a_new_pod_and_an_unchanged_one_does_not(render):
    def checksum(*flags: str) -> str:
        (deployment,) = of_kind(render(*flags), "Deployment")
        return deployment["spec"]["template"]["metadata"]["annotations"]["checksum/settings"]

    assert checksum() == checksum("--set=images.operator=other:1")
    assert checksum() != checksum("--set=fleet.maxActiveTasks=9")


@pytest.mark.parametrize(
    ("flags", "version"),
    [
        ((STAMP_V1,), "admissionregistration.k8s.io/v1"),
        ((STAMP_V1BETA1,), "admissionregistration.k8s.io/v1beta1"),
        ((STAMP_V1, STAMP_V1BETA1), "admissionregistration.k8s.io/v1"),
        ((STAMP_V1BETA1, "--set=approvals.stamp=on"), "admissionregistration.k8s.io/v1beta1"),
    ],
)
def test_the_stamp_is_installed_where_the_cluster_serves_it(render, flags, version):
    objects = render(*flags)
    for kind in ("MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding"):
        (policy,) = of_kind(objects, kind)
        assert policy["apiVersion"] == version


@pytest.mark.parametrize("flags", [(), (STAMP_V1, "--set=approvals.stamp=off")])
def test_without_the_stamp_approvals_are_checked_all_the_same(render, flags):
    objects = render(*flags)
    assert of_kind(objects, "MutatingAdmissionPolicy") == []
    (policy,) = of_kind(objects, "ValidatingAdmissionPolicy")
    assert policy["spec"]["failurePolicy"] == "Fail"
    (binding,) = of_kind(objects, "ValidatingAdmissionPolicyBinding")
    assert binding["spec"]["validationActions"] == ["Deny"]


def test_a_stamp_that_is_asked_for_and_not_to_be_had_is_an_error(complaint):
    assert "serves no MutatingAdmissionPolicy" in complaint("--set=approvals.stamp=on")


def test_the_policies_are_in_force_in_the_watched_namespaces(render):
    objects = render("--set=namespaces={annex,attic}", STAMP_V1)
    for kind in ("ValidatingAdmissionPolicyBinding", "MutatingAdmissionPolicyBinding"):
        (binding,) = of_kind(objects, kind)
        (term,) = binding["spec"]["matchResources"]["namespaceSelector"]["matchExpressions"]
        assert term == {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["annex", "attic"]}


def test_the_crds_are_the_files_and_are_kept_on_uninstall(render):
    rendered = {document["metadata"]["name"]: document for document in of_kind(render(), "CustomResourceDefinition")}
    ours = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in (CHART.parents[1] / "crds").glob("*.yaml")]
    assert rendered == {document["metadata"]["name"]: document for document in ours}
    for document in rendered.values():
        assert document["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert of_kind(render("--set=crds.install=false"), "CustomResourceDefinition") == []


def test_the_embedded_database_has_one_password_that_is_kept(render):
    objects = render()
    secret = the(objects, "Secret", "videotask-postgresql")
    assert set(secret["data"]) == {"password", "url"}
    assert secret["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    (database,) = of_kind(objects, "StatefulSet")
    (container,) = database["spec"]["template"]["spec"]["containers"]
    references = [entry["valueFrom"]["secretKeyRef"] for entry in container["env"] if "valueFrom" in entry]
    assert references == [{"name": "videotask-postgresql", "key": "password"}]
    assert database_reference(objects) == {"name": "videotask-postgresql", "key": "url"}


def database_reference(objects: list[dict[str, Any]]) -> dict[str, str]:
    (pod,) = [pod for pod in pod_specs(objects) if pod["containers"][0]["name"] == "operator"]
    environment = {entry["name"]: entry for entry in pod["containers"][0]["env"]}
    return environment["VIDEOTASK_DATABASE_URL"]["valueFrom"]["secretKeyRef"]


def test_a_secret_of_one_s_own_takes_the_generated_one_s_place(render):
    objects = render("--set=postgresql.embedded.existingSecret=mine")
    assert of_kind(objects, "Secret") == []
    assert database_reference(objects) == {"name": "mine", "key": "url"}


def test_an_external_database_leaves_no_embedded_one(render):
    objects = render("--set=postgresql.embedded.enabled=false", "--set=postgresql.external.secretName=record")
    assert of_kind(objects, "StatefulSet") == []
    assert of_kind(objects, "Secret") == []
    assert database_reference(objects) == {"name": "record", "key": "url"}


def test_two_databases_or_none_are_an_error(complaint):
    assert "both an external database" in complaint("--set=postgresql.external.secretName=record")
    assert "neither an external database" in complaint("--set=postgresql.embedded.enabled=false")


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("--set=fleet.maxActiveTaks=3", "maxActiveTaks"),
        ("--set=images.steps.mixing=x:1", "mixing"),
        ("--set=steps.concurrency.mixing=2", "mixing"),
        ("--set=fleet.maxActiveTasks=0", "maxActiveTasks"),
        ("--set=approvals.stamp=maybe", "stamp"),
        ("--set=providers.kling.baseURL=klingai.com", "baseURL"),
        ("--set=namespaces={Studio}", "namespaces"),
        ("--set=operator.extraEnv.PATH=/bin", "PATH"),
        ("--set=retryMinutes={-1}", "retryMinutes"),
    ],
)
def test_wrong_values_are_refused_by_name(complaint, flag, words):
    assert words in complaint(flag)


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("videotask-operator:1", "registry.example.com/films/videotask-operator:1"),
        ("films/operator:1", "registry.example.com/films/films/operator:1"),
        ("localhost/operator:1", "localhost/operator:1"),
        ("other.example.com:5000/operator@sha256:abc", "other.example.com:5000/operator@sha256:abc"),
    ],
)
def test_the_registry_is_put_before_references_that_name_none(render, reference, expected):
    objects = render("--set=images.registry=registry.example.com/films", f"--set=images.operator={reference}")
    (deployment,) = of_kind(objects, "Deployment")
    assert deployment["spec"]["template"]["spec"]["containers"][0]["image"] == expected


def test_pull_secrets_reach_operator_database_and_steps(render):
    objects = render("--set=images.pullSecrets={registry}")
    for pod in pod_specs(objects):
        assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert the(objects, "ServiceAccount", "videotask-step")["imagePullSecrets"] == [{"name": "registry"}]


def test_a_second_release_in_another_namespace_meets_the_first_in_no_object(helm, render):
    second = helm(
        "template",
        "videotask",
        str(CHART),
        "--namespace=annex",
        STAMP_V1,
        "--set=crds.install=false",
        "--set=rbac.peopleRoles=false",
    )
    ours = {(document["kind"], document["metadata"]["name"]) for document in render(STAMP_V1)}
    theirs = {
        (document["kind"], document["metadata"]["name"])
        for document in yaml.safe_load_all(second.stdout)
        if document and document["kind"] in CLUSTER_SCOPED
    }
    assert theirs
    assert not ours & theirs


def test_every_object_says_which_release_it_belongs_to(render):
    for document in render(STAMP_V1):
        if document["kind"] == "CustomResourceDefinition":
            continue
        labels = document["metadata"]["labels"]
        assert labels["app.kubernetes.io/instance"] == "videotask"
        assert labels["app.kubernetes.io/name"] == "videotask-operator"
        if document["kind"] not in CLUSTER_SCOPED:
            assert document["metadata"]["namespace"] == "studio"


def notes(helm, *flags: str) -> str:
    done = helm("install", "videotask", str(CHART), "--namespace=studio", "--dry-run=client", *flags)
    assert done.returncode == 0, done.stderr
    return done.stdout.split("NOTES:", 1)[1]


def test_the_notes_lead_from_secret_to_approved_film_in_order(helm):
    text = notes(helm)
    marks = [
        "create secret generic kling --from-literal=api-key=",
        "apply -f samples/volume.yaml -f samples/channel.yaml",
        "apply -f samples/videotask.yaml",
        "get videotasks -w",
        "videotask fetch reedwater",
        "patch videotask reedwater --type=merge",
        "--clusterrole=videotask-approver",
    ]
    places = [text.find(mark) for mark in marks]
    assert -1 not in places
    assert places == sorted(places)


def test_every_patch_in_the_notes_is_valid_json_after_the_shell(helm):
    text = (
        notes(helm)
        .replace("\\\n", " ")
        .replace("\"$(kubectl auth whoami -o jsonpath='{.status.userInfo.username}')\"", "alice")
    )
    patches = [line for line in text.splitlines() if "patch videotask" in line]
    assert patches
    for line in patches:
        body = json.loads(shlex.split(line)[-1])
        assert body["spec"]["approvals"]["final"]["decision"] == "Approved"
