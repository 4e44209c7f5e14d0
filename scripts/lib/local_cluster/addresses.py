"""The addresses, ports and names of the native cluster; it must never be repeated as literals elsewhere."""

NODE = "videotask-node"
BRIDGE = "videotask0"
POD_NETWORK = "10.244.0.0/24"
GATEWAY = "10.244.0.1"  # the bridge's own address: what pods know this machine by
SERVICE_NETWORK = "10.96.0.0/16"
API_SERVICE = "10.96.0.1"
DNS_SERVICE = "10.96.0.10"
DNS_DOMAIN = "cluster.local"

# Off the usual ports, so that another cluster's programs on this machine are not in the way.
API_PORT = 16443
ETCD_PORT = 12379
ETCD_PEER_PORT = 12380
KUBELET_PORT = 10250
KUBELET_HEALTH_PORT = 10248
CONTROLLER_MANAGER_PORT = 10257
SCHEDULER_PORT = 10259
PROXY_HEALTH_PORT = 10256
PROXY_METRICS_PORT = 10249
DNS_HEALTH_PORT = 18080
DNS_READY_PORT = 18181

LISTENING_PORTS = (
    API_PORT,
    ETCD_PORT,
    ETCD_PEER_PORT,
    KUBELET_PORT,
    KUBELET_HEALTH_PORT,
    CONTROLLER_MANAGER_PORT,
    SCHEDULER_PORT,
    PROXY_HEALTH_PORT,
    PROXY_METRICS_PORT,
    DNS_HEALTH_PORT,
    DNS_READY_PORT,
)
