"""Keys, certificates and kubeconfigs of the native cluster; it must never leave a private key readable by others."""

import os
from dataclasses import dataclass
from pathlib import Path

from local_cluster import addresses, places
from local_cluster.commands import run

_DAYS = "3650"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Whom a certificate names: to the API server, O= is the group and CN= the user."""

    file: str
    common_name: str
    group: str = ""
    alternative_names: tuple[str, ...] = ()
    authority: str = "ca"


_API_NAMES = (
    "DNS:kubernetes",
    "DNS:kubernetes.default",
    "DNS:kubernetes.default.svc",
    f"DNS:kubernetes.default.svc.{addresses.DNS_DOMAIN}",
    "DNS:localhost",
    "IP:127.0.0.1",
    f"IP:{addresses.API_SERVICE}",
    f"IP:{addresses.GATEWAY}",
)
_NODE_NAMES = (f"DNS:{addresses.NODE}", f"IP:{addresses.GATEWAY}", "IP:127.0.0.1")

IDENTITIES = (
    Identity(file="apiserver", common_name="kube-apiserver", alternative_names=_API_NAMES),
    Identity(file="apiserver-kubelet-client", common_name="kube-apiserver-kubelet-client", group="system:masters"),
    Identity(file="front-proxy-client", common_name="front-proxy-client", authority="front-proxy-ca"),
    Identity(file="admin", common_name="kubernetes-admin", group="system:masters"),
    Identity(file="controller-manager", common_name="system:kube-controller-manager"),
    Identity(file="scheduler", common_name="system:kube-scheduler"),
    Identity(file="proxy", common_name="system:kube-proxy"),
    Identity(file="coredns", common_name="system:coredns"),
    Identity(
        file="kubelet",
        common_name=f"system:node:{addresses.NODE}",
        group="system:nodes",
        alternative_names=_NODE_NAMES,
    ),
)
_KUBECONFIG_OWNERS = ("controller-manager", "scheduler", "proxy", "coredns", "kubelet")


def pem(name: str) -> str:
    """Return the path of a certificate."""
    return str(places.PKI / f"{name}.crt")


def key(name: str) -> str:
    """Return the path of a private key."""
    return str(places.PKI / f"{name}.key")


def kubeconfig_of(owner: str) -> str:
    """Return the path of a part's kubeconfig."""
    return str(places.KUBECONFIGS / f"{owner}.kubeconfig")


def make_certificates() -> None:
    """Make both authorities, every identity's pair, the service accounts' keys and the kubeconfigs. Idempotent."""
    done = places.PKI / "complete"
    if done.exists():
        return
    previous_mask = os.umask(0o077)
    try:
        places.PKI.mkdir(parents=True, exist_ok=True)
        for authority in ("ca", "front-proxy-ca"):
            _make_authority(authority)
        for identity in IDENTITIES:
            _make_pair(identity)
        _make_service_account_keys()
        places.KUBECONFIGS.mkdir(exist_ok=True)
        for owner in _KUBECONFIG_OWNERS:
            Path(kubeconfig_of(owner)).write_text(_kubeconfig(owner))
        places.KUBECONFIG.write_text(_kubeconfig("admin"))
    finally:
        os.umask(previous_mask)
    done.touch()


def _openssl(*words: str) -> None:
    run(["openssl", *words], timeout_seconds=30)


def _make_key(name: str) -> None:
    _openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", key(name))


def _make_authority(name: str) -> None:
    _make_key(name)
    subject = f"/CN=videotask-{name}"
    usage = ["-addext", "keyUsage=critical,digitalSignature,keyCertSign,cRLSign"]
    _openssl("req", "-x509", "-new", "-key", key(name), "-subj", subject, "-days", _DAYS, *usage, "-out", pem(name))


def _make_pair(identity: Identity) -> None:
    _make_key(identity.file)
    subject = (f"/O={identity.group}" if identity.group else "") + f"/CN={identity.common_name}"
    request = places.PKI / f"{identity.file}.csr"
    _openssl("req", "-new", "-key", key(identity.file), "-subj", subject, "-out", str(request))
    extensions = "keyUsage=critical,digitalSignature\nextendedKeyUsage=clientAuth,serverAuth\n"
    if identity.alternative_names:
        extensions += f"subjectAltName={','.join(identity.alternative_names)}\n"
    extension_file = places.PKI / f"{identity.file}.ext"
    extension_file.write_text(extensions)
    authority = ["-CA", pem(identity.authority), "-CAkey", key(identity.authority), "-CAcreateserial"]
    signing = ["x509", "-req", "-in", str(request), *authority, "-days", _DAYS, "-extfile", str(extension_file)]
    _openssl(*signing, "-out", pem(identity.file))


def _make_service_account_keys() -> None:
    _make_key("service-accounts")
    _openssl("pkey", "-in", key("service-accounts"), "-pubout", "-out", str(places.PKI / "service-accounts.pub"))


def _kubeconfig(owner: str) -> str:
    return f"""apiVersion: v1
kind: Config
clusters:
- name: videotask
  cluster:
    server: https://127.0.0.1:{addresses.API_PORT}
    certificate-authority: {pem("ca")}
users:
- name: {owner}
  user:
    client-certificate: {pem(owner)}
    client-key: {key(owner)}
contexts:
- name: videotask
  context: {{cluster: videotask, user: {owner}}}
current-context: videotask
"""
