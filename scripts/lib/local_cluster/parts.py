"""The parts of the native cluster: command line, order and health of each; it must never start one by itself."""

import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass

from local_cluster import addresses, places
from local_cluster.certificates import key, kubeconfig_of, pem
from local_cluster.tools import COREDNS, ETCD, KUBERNETES, program

_PROBE_TIMEOUT_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One program of the cluster. `stage` orders the start: parts of one stage start together."""

    name: str
    stage: int
    command: tuple[str, ...]
    is_ready: Callable[[], bool]
    ready_timeout_seconds: float = 60.0
    grace_seconds: float = 5.0


def all_parts() -> tuple[Part, ...]:
    """Return every part in the order of its start."""
    return (
        _etcd(),
        _containerd(),
        _apiserver(),
        _controller_manager(),
        _scheduler(),
        _kubelet(),
        _proxy(),
        _coredns(),
    )


def part_named(name: str) -> Part:
    """Return the part of that name, by its full or its short name (`apiserver`). Raises KeyError."""
    return next(part for part in all_parts() if name in (part.name, part.name.removeprefix("kube-")))


def _etcd() -> Part:
    client = f"http://127.0.0.1:{addresses.ETCD_PORT}"
    peer = f"http://127.0.0.1:{addresses.ETCD_PEER_PORT}"
    command = (
        program(ETCD),
        "--name=videotask",
        f"--data-dir={places.STATE / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=videotask={peer}",
        "--unsafe-no-fsync",  # a test cluster: speed over a power cut
        "--log-level=warn",
    )
    return Part(name="etcd", stage=0, command=command, is_ready=lambda: _answers(f"{client}/readyz"))


def _containerd() -> Part:
    command = ("containerd", "--config", str(places.CONFIG / "containerd.toml"))
    return Part(name="containerd", stage=0, command=command, is_ready=_containerd_answers)


def _apiserver() -> Part:
    command = (
        program(KUBERNETES, "kube-apiserver"),
        f"--advertise-address={addresses.GATEWAY}",
        f"--secure-port={addresses.API_PORT}",
        f"--service-cluster-ip-range={addresses.SERVICE_NETWORK}",
        f"--etcd-servers=http://127.0.0.1:{addresses.ETCD_PORT}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        "--runtime-config=admissionregistration.k8s.io/v1beta1=true",
        "--feature-gates=MutatingAdmissionPolicy=true",
        f"--client-ca-file={pem('ca')}",
        f"--tls-cert-file={pem('apiserver')}",
        f"--tls-private-key-file={key('apiserver')}",
        f"--kubelet-client-certificate={pem('apiserver-kubelet-client')}",
        f"--kubelet-client-key={key('apiserver-kubelet-client')}",
        f"--kubelet-certificate-authority={pem('ca')}",
        "--kubelet-preferred-address-types=InternalIP",
        f"--service-account-issuer=https://kubernetes.default.svc.{addresses.DNS_DOMAIN}",
        f"--service-account-key-file={places.PKI / 'service-accounts.pub'}",
        f"--service-account-signing-key-file={key('service-accounts')}",
        f"--requestheader-client-ca-file={pem('front-proxy-ca')}",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={pem('front-proxy-client')}",
        f"--proxy-client-key-file={key('front-proxy-client')}",
        "--profiling=false",
    )
    # readyz, and never livez: the controller manager dies of missing RBAC when started before it says 200.
    address = f"https://127.0.0.1:{addresses.API_PORT}/readyz"
    return Part(name="kube-apiserver", stage=1, command=command, is_ready=lambda: _answers(address), grace_seconds=10)


def _controller_manager() -> Part:
    kubeconfig = kubeconfig_of("controller-manager")
    command = (
        program(KUBERNETES, "kube-controller-manager"),
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        "--bind-address=127.0.0.1",
        f"--secure-port={addresses.CONTROLLER_MANAGER_PORT}",
        f"--cluster-signing-cert-file={pem('ca')}",
        f"--cluster-signing-key-file={key('ca')}",
        f"--root-ca-file={pem('ca')}",
        f"--service-account-private-key-file={key('service-accounts')}",
        "--use-service-account-credentials=true",
        f"--service-cluster-ip-range={addresses.SERVICE_NETWORK}",
        "--leader-elect=false",
        # The defaults (20, 30, 5) hold the whole cluster to a few Jobs a second.
        "--kube-api-qps=500",
        "--kube-api-burst=1000",
        "--concurrent-job-syncs=20",
        "--profiling=false",
    )
    address = f"https://127.0.0.1:{addresses.CONTROLLER_MANAGER_PORT}/healthz"
    return Part(name="kube-controller-manager", stage=2, command=command, is_ready=lambda: _answers(address))


def _scheduler() -> Part:
    kubeconfig = kubeconfig_of("scheduler")
    command = (
        program(KUBERNETES, "kube-scheduler"),
        f"--config={places.CONFIG / 'scheduler.yaml'}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        "--bind-address=127.0.0.1",
        f"--secure-port={addresses.SCHEDULER_PORT}",
    )
    address = f"https://127.0.0.1:{addresses.SCHEDULER_PORT}/healthz"
    return Part(name="kube-scheduler", stage=2, command=command, is_ready=lambda: _answers(address))


def _kubelet() -> Part:
    command = (
        program(KUBERNETES, "kubelet"),
        f"--config={places.CONFIG / 'kubelet.yaml'}",
        f"--kubeconfig={kubeconfig_of('kubelet')}",
        f"--root-dir={places.STATE / 'kubelet'}",
        f"--cert-dir={places.STATE / 'kubelet' / 'pki'}",
        f"--hostname-override={addresses.NODE}",
        f"--node-ip={addresses.GATEWAY}",
    )
    address = f"http://127.0.0.1:{addresses.KUBELET_HEALTH_PORT}/healthz"
    return Part(name="kubelet", stage=2, command=command, is_ready=lambda: _answers(address))


def _proxy() -> Part:
    command = (program(KUBERNETES, "kube-proxy"), f"--config={places.CONFIG / 'proxy.yaml'}")
    address = f"http://127.0.0.1:{addresses.PROXY_HEALTH_PORT}/livez"
    return Part(name="kube-proxy", stage=2, command=command, is_ready=lambda: _answers(address))


def _coredns() -> Part:
    command = (program(COREDNS), "-conf", str(places.CONFIG / "Corefile"))
    address = f"http://127.0.0.1:{addresses.DNS_READY_PORT}/ready"
    return Part(name="coredns", stage=2, command=command, is_ready=lambda: _answers(address))


def _containerd_answers() -> bool:
    """Tell whether the socket accepts; ttrpc and GRPC serve from then on."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_PROBE_TIMEOUT_SECONDS)
        return probe.connect_ex(str(places.CONTAINERD_SOCKET)) == 0


def _answers(address: str) -> bool:
    """Tell whether a health address of our own says 200."""
    try:
        context = ssl.create_default_context() if address.startswith("https") else None
        if context:  # the controller manager and the scheduler sign their own
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        with opener.open(address, timeout=_PROBE_TIMEOUT_SECONDS) as answer:
            return bool(answer.status == 200)  # noqa: PLR2004
    except (urllib.error.URLError, OSError):
        return False
