"""Chart, emulators and channel on a cluster, brought to what is wanted; a film under way must not be disturbed."""

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import yaml

from film_making.failure import FilmError
from film_making.places import BUILD, CHART, REPOSITORY, SAMPLES
from film_making.samples import Manifest
from videotask_contract.resources import ChannelSpec
from videotask_contract.steps import Provider
from videotask_operator.cli.kubectl import kubectl
from videotask_operator.core.order import account_for

_RELEASE = "videotask"
_EMULATORS = "videotask-emulators"
_OPERATOR = "videotask-operator"
_NAME_LABEL = "app.kubernetes.io/name"
_INSTALL_SECONDS = 300
_OWNER = r".metadata.annotations.meta\.helm\.sh/release-namespace"


def run_script(*words: str) -> str:
    """Run one of the project's scripts, its messages going to the terminal; FilmError carries its exit code."""
    done = subprocess.run(
        [str(REPOSITORY / words[0]), *words[1:]], stdout=subprocess.PIPE, text=True, check=False, cwd=REPOSITORY
    )
    if done.returncode != 0:
        raise FilmError(f"{' '.join(words)} failed", exit_code=done.returncode)
    return done.stdout


def use_cluster() -> None:
    """Make kubectl and helm of this program speak to the cluster of scripts/cluster."""
    for line in run_script("scripts/cluster", "env").splitlines():
        name, _, value = line.removeprefix("export ").partition("=")
        if name == "KUBECONFIG":
            os.environ["KUBECONFIG"] = value.strip("\"'")
        if name == "PATH":
            os.environ["PATH"] = value.partition(":")[0].strip("\"'") + os.pathsep + os.environ["PATH"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """One namespace with operator, emulators (unless the real providers are meant) and channel."""

    namespace: str
    is_real: bool

    def prepare(self, channel: ChannelSpec, keys: Mapping[Provider, str]) -> None:
        """Make namespace, Secrets and volume claim, and let the emulators start.

        FilmError, with nothing changed, where films of the other providers are made: these keys would pay for them.
        """
        self._refuse_other_providers()
        restricted = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
        self._apply(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace, "labels": restricted}}
        )
        self._apply(*_secrets(channel, keys), *_documents("volume.yaml"))
        if not self.is_real:
            self._apply(*map(_with_built_image, _documents("emulators.yaml")))

    def install(self, base_urls: Mapping[Provider, str]) -> None:
        """Install or upgrade the chart and wait until operator and emulators are ready."""
        words = ["helm", "upgrade", "--install", _RELEASE, str(CHART), "--namespace", self.namespace]
        words += ["-f", str(BUILD / "values-images.yaml"), "--take-ownership"]
        if self.is_real:
            words += [f"--set=providers.{provider.value}.baseURL={url}" for provider, url in base_urls.items()]
        else:
            words += ["-f", str(SAMPLES / "values-emulators.yaml")]
        if self._other_release_has_roles():
            words += ["--set=rbac.peopleRoles=false"]
        words += ["--wait", f"--timeout={_INSTALL_SECONDS}s"]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise FilmError(f"the chart could not be installed: {done.stderr.strip()[-800:]}\n{self._hint()}")
        if not self.is_real:
            self._kubectl("rollout", "status", f"deployment/{_EMULATORS}", f"--timeout={_INSTALL_SECONDS}s")

    def apply_film(self, channel: Manifest, task: Manifest) -> None:
        """Apply the Channel and the VideoTask as a person would."""
        self._kubectl("apply", "-f", "-", stdin=json.dumps(channel))
        self._kubectl("apply", "-f", "-", stdin=json.dumps(task))

    def billed_usd(self) -> Decimal:
        """Return what the emulators have charged since their pod started."""
        path = f"/api/v1/namespaces/{self.namespace}/services/{_EMULATORS}:http/proxy/_control/bill"
        return Decimal(json.loads(kubectl("get", "--raw", path))["total_usd"])

    def _refuse_other_providers(self) -> None:
        found = json.loads(kubectl("get", "deployments", "-n", self.namespace, "-o", "json"))["items"]
        has_emulators = any(one["metadata"]["name"] == _EMULATORS for one in found)
        has_operator = any(one["metadata"].get("labels", {}).get(_NAME_LABEL) == _OPERATOR for one in found)
        if (has_emulators and self.is_real) or (has_operator and not has_emulators and not self.is_real):
            theirs, ours = ("the emulators", "real") if self.is_real else ("the real providers", "the emulators'")
            raise FilmError(
                f"NAMESPACE={self.namespace}: films of {theirs} are made there, and any that is not finished would go "
                f"on with {ours} keys; give another NAMESPACE. Nothing was changed",
                exit_code=2,
            )

    def _other_release_has_roles(self) -> bool:
        """Tell whether people's roles, which a cluster has once, belong to an installation in another namespace."""
        words = ["clusterrole", "videotask-approver", "--ignore-not-found", "-o", f"jsonpath={{{_OWNER}}}"]
        return kubectl("get", *words) not in {"", self.namespace}

    def _apply(self, *objects: Manifest) -> None:
        # Server-side: client-side apply would keep a copy of each Secret in an annotation.
        words = ["apply", "--server-side", "--force-conflicts", "--field-manager=videotask-film", "-f", "-"]
        for one in objects:
            scope = [] if one["kind"] == "Namespace" else ["-n", self.namespace]
            kubectl(*words, *scope, stdin=json.dumps(one))

    def _kubectl(self, *words: str, stdin: str | None = None) -> str:
        return kubectl(*words, "-n", self.namespace, stdin=stdin, timeout_seconds=_INSTALL_SECONDS + 10)

    def _hint(self) -> str:
        pods = kubectl("get", "pods", "-n", self.namespace)
        return f"{pods}`kubectl -n {self.namespace} describe pods` says more"


def _secrets(channel: ChannelSpec, keys: Mapping[Provider, str]) -> list[Manifest]:
    wanted: dict[str, dict[str, str]] = {}
    for provider, key in keys.items():
        secret = account_for(channel, provider).secret_ref
        wanted.setdefault(secret.name, {})[secret.key] = key
    return [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": values}
        for name, values in wanted.items()
    ]


def _documents(name: str) -> list[Manifest]:
    return [document for document in yaml.safe_load_all((SAMPLES / name).read_text(encoding="utf-8")) if document]


def _with_built_image(document: Manifest) -> Manifest:
    if document["kind"] != "Deployment":
        return document
    images: dict[str, Any] = json.loads((BUILD / "images.json").read_text(encoding="utf-8"))
    document["spec"]["template"]["spec"]["containers"][0]["image"] = images[_EMULATORS]["reference"]
    return document
