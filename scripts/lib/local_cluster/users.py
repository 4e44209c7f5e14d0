"""People of the cluster, each with a client certificate; it must never print a private key."""

import base64
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from local_cluster import places
from local_cluster.commands import run
from local_cluster.kubectl import apply, fetch, kubectl, wait_until

_SIGNER = "kubernetes.io/kube-apiserver-client"


def make_user(name: str, *, groups: list[str]) -> Path:
    """Return the kubeconfig of the user `name` in `groups`, its certificate signed by the cluster. Idempotent.

    The cluster's own CSR API signs, so that it is the same on kind and on the native cluster. A user may do nothing
    until a RoleBinding says so.
    """
    home = places.USERS / "+".join([name, *sorted(groups)])
    kubeconfig = home / "kubeconfig"
    if not kubeconfig.exists():
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        private_key, certificate = home / "user.key", home / "user.crt"
        request = _request(name, groups, private_key)
        certificate.write_text(_signed(name, request))
        _write_kubeconfig(kubeconfig, name, private_key, certificate)
    return kubeconfig


def _request(name: str, groups: list[str], private_key: Path) -> str:
    subject = "".join(f"/O={group}" for group in groups) + f"/CN={name}"
    curve = ["-pkeyopt", "ec_paramgen_curve:P-256"]
    command = [
        "openssl",
        "req",
        "-new",
        "-newkey",
        "ec",
        *curve,
        "-noenc",
        "-keyout",
        str(private_key),
        "-subj",
        subject,
    ]
    previous_mask = os.umask(0o077)
    try:
        return run(command)
    finally:
        os.umask(previous_mask)


def _signed(name: str, request: str) -> str:
    object_name = f"videotask-user-{name.lower()}-{os.getpid()}"
    signing_request: dict[str, Any] = {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": object_name},
        "spec": {
            "request": base64.b64encode(request.encode()).decode(),
            "signerName": _SIGNER,
            "usages": ["client auth"],
        },
    }
    apply(signing_request)
    kubectl("certificate", "approve", object_name)
    signed = ""

    def is_signed() -> bool:
        nonlocal signed
        signed = fetch("csr", object_name)["status"].get("certificate", "")
        return bool(signed)

    wait_until(f"the certificate of {name}", is_signed, timeout_seconds=20)
    kubectl("delete", "csr", object_name)
    return base64.b64decode(signed).decode()


def _write_kubeconfig(target: Path, name: str, private_key: Path, certificate: Path) -> None:
    shown = json.loads(kubectl("config", "view", "--raw", "--flatten", "--minify", "-o", "json"))
    user = {"client-certificate": str(certificate), "client-key": str(private_key)}
    shown["users"] = [{"name": name, "user": user}]
    for context in shown["contexts"]:
        context["context"]["user"] = name
    with tempfile.NamedTemporaryFile("w", dir=target.parent, delete=False) as unfinished:  # 0600 by its nature
        json.dump(shown, unfinished)
    Path(unfinished.name).replace(target)
