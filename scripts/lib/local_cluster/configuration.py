"""The files that the native parts read; it must never hold a secret, only paths to some."""

import os
from pathlib import Path

from local_cluster import addresses, places
from local_cluster.certificates import key, kubeconfig_of, pem

PAUSE_IMAGE = "localhost/videotask-pause:1"
_CNI_FOLDERS = ("/usr/lib/cni", "/opt/cni/bin")


def write_configuration() -> None:
    """Write the configuration of containerd, the scheduler, the kubelet, kube-proxy and CoreDNS."""
    places.CONFIG.mkdir(parents=True, exist_ok=True)
    files = {
        "containerd.toml": _containerd(),
        "scheduler.yaml": _scheduler(),
        "kubelet.yaml": _kubelet(),
        "proxy.yaml": _proxy(),
        "Corefile": _corefile(),
    }
    for name, text in files.items():
        (places.CONFIG / name).write_text(text)


def cni_folder() -> str:
    """Return where this machine keeps the CNI plugins."""
    return next((folder for folder in _CNI_FOLDERS if (Path(folder) / "bridge").exists()), _CNI_FOLDERS[0])


def snapshotter() -> str:
    """Return overlayfs, but native where the cache itself lies on an overlay: one cannot be stacked on the other."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    above = [mount for mount in mounts if places.CACHE.is_relative_to(mount[1])]
    filesystem = max(above, key=lambda mount: len(mount[1]))[2]
    return "native" if filesystem == "overlay" else "overlayfs"


def _containerd() -> str:
    return f"""version = 2
root = "{places.IMAGE_STORE}"
state = "{places.STATE / "containerd"}"

[grpc]
  address = "{places.CONTAINERD_SOCKET}"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  # Without CAP_SYS_RESOURCE nobody may lower an OOM score, and every sandbox would die of trying.
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "{snapshotter()}"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{cni_folder()}"
    conf_dir = "{places.CONFIG / "cni"}"
"""


def _scheduler() -> str:
    return f"""apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
clientConnection: {{kubeconfig: {kubeconfig_of("scheduler")}, qps: 200, burst: 400}}
leaderElection: {{leaderElect: false}}
enableProfiling: false
"""


def _kubelet() -> str:
    return f"""apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: 0.0.0.0
port: {addresses.KUBELET_PORT}
healthzPort: {addresses.KUBELET_HEALTH_PORT}
authentication: {{anonymous: {{enabled: false}}, webhook: {{enabled: true}}, x509: {{clientCAFile: {pem("ca")}}}}}
authorization: {{mode: Webhook}}
tlsCertFile: {pem("kubelet")}
tlsPrivateKeyFile: {key("kubelet")}
cgroupDriver: cgroupfs
containerRuntimeEndpoint: unix://{places.CONTAINERD_SOCKET}
podLogsDir: {places.LOGS / "pods"}
volumePluginDir: {places.STATE / "kubelet" / "volume-plugins"}
clusterDNS: ["{addresses.DNS_SERVICE}"]
clusterDomain: {addresses.DNS_DOMAIN}
resolvConf: {os.path.realpath("/etc/resolv.conf")}
failSwapOn: false
oomScoreAdj: 0
maxPods: 200
serializeImagePulls: false
registryPullQPS: 0
eventRecordQPS: 0
kubeAPIQPS: 200
kubeAPIBurst: 400
imageGCHighThresholdPercent: 100  # 100 switches it off: images come by import and cannot be pulled again
evictionHard: {{memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%, nodefs.inodesFree: 1%}}
"""


def _proxy() -> str:
    return f"""apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: iptables
clientConnection: {{kubeconfig: {kubeconfig_of("proxy")}}}
clusterCIDR: {addresses.POD_NETWORK}
hostnameOverride: {addresses.NODE}
healthzBindAddress: 127.0.0.1:{addresses.PROXY_HEALTH_PORT}
metricsBindAddress: 127.0.0.1:{addresses.PROXY_METRICS_PORT}
oomScoreAdj: 0
iptables: {{localhostNodePorts: false, minSyncPeriod: 100ms}}
conntrack: {{maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}}
"""


def _corefile() -> str:
    return f""".:53 {{
    bind {addresses.GATEWAY}
    errors
    health 127.0.0.1:{addresses.DNS_HEALTH_PORT}
    ready 127.0.0.1:{addresses.DNS_READY_PORT}
    kubernetes {addresses.DNS_DOMAIN} in-addr.arpa ip6.arpa {{
        kubeconfig {kubeconfig_of("coredns")}
        pods insecure
    }}
    cache 5
    forward . /etc/resolv.conf
}}
"""
