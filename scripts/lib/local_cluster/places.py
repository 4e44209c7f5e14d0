"""Where everything of the local cluster lies; it must never point outside the cache."""

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
CACHE = Path(os.environ.get("VIDEOTASK_CACHE") or Path.home() / ".cache" / "videotask-operator").expanduser().resolve()

TOOLS = CACHE / "tools"
BIN = CACHE / "bin"
STATE = CACHE / "cluster"
IMAGE_STORE = CACHE / "containerd"  # outlives `down`: the next `up` needs no import
LOCK = CACHE / "cluster.lock"

LOGS = STATE / "logs"
PIDS = STATE / "pids"
PKI = STATE / "pki"
CONFIG = STATE / "config"
KUBECONFIGS = STATE / "kubeconfigs"
USERS = STATE / "users"
VOLUMES = STATE / "volumes"
KUBECONFIG = STATE / "kubeconfig"
ENGINE = STATE / "engine"
CONTAINERD_SOCKET = STATE / "containerd.sock"
