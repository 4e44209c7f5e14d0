"""The objects that a bare cluster lacks: DNS and who may serve it; it must never hold anything of the product."""

from typing import Any

from local_cluster import addresses

_DNS = {"name": "kube-dns", "namespace": "kube-system"}


def native_addons() -> list[dict[str, Any]]:
    """Return what makes the CoreDNS process the cluster's DNS: a Service without selector that leads to it."""
    return [_role(), _binding(), _service(), _endpoints()]


def _role() -> dict[str, Any]:
    watch = ["list", "watch"]
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "system:coredns"},
        "rules": [
            {"apiGroups": [""], "resources": ["endpoints", "services", "pods", "namespaces"], "verbs": watch},
            {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": watch},
        ],
    }


def _binding() -> dict[str, Any]:
    group = "rbac.authorization.k8s.io"
    return {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "system:coredns"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "system:coredns"},
        "subjects": [{"apiGroup": group, "kind": "User", "name": "system:coredns"}],
    }


def _service() -> dict[str, Any]:
    ports = [{"name": protocol.lower(), "port": 53, "protocol": protocol} for protocol in ("UDP", "TCP")]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _DNS,
        "spec": {"clusterIP": addresses.DNS_SERVICE, "ports": ports},
    }


def _endpoints() -> dict[str, Any]:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {**_DNS, "labels": {"kubernetes.io/service-name": "kube-dns"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [addresses.GATEWAY], "conditions": {"ready": True}}],
        "ports": [{"name": protocol.lower(), "port": 53, "protocol": protocol} for protocol in ("UDP", "TCP")],
    }
