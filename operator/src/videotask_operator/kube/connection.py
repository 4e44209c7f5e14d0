"""How the API server is reached, from inside a pod or by a kubeconfig; credentials never leave this file in a log."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from kubernetes.aio.client import Configuration
from kubernetes.aio.config import load_incluster_config, load_kube_config

_SERVICE_ACCOUNT_TOKEN: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


def is_in_cluster() -> bool:
    """Tell whether this process runs in a pod with a service account."""
    return bool(os.environ.get("KUBERNETES_SERVICE_HOST")) and _SERVICE_ACCOUNT_TOKEN.exists()


async def load_configuration(kubeconfig: Path | None = None) -> Configuration:
    """Return the connection: the given kubeconfig, else the pod's service account, else KUBECONFIG or ~/.kube/config.

    A pod's token is read anew every minute, since the kubelet rotates it. Raises kubernetes' ConfigException where
    none of them is usable.
    """
    configuration = Configuration()
    if kubeconfig is None and is_in_cluster():
        load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    else:
        await load_kube_config(  # type: ignore[no-untyped-call]
            config_file=str(kubeconfig) if kubeconfig else None,
            client_configuration=configuration,
        )
    return configuration
