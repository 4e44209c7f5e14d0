"""What a cluster leaves behind, and whether it is known for ours."""

import os

import pytest

from local_cluster import native, network, places, processes
from local_cluster.errors import ClusterError
from local_cluster.parts import all_parts, part_named

SAVED = """\
*nat
:PREROUTING ACCEPT [0:0]
:KUBE-SERVICES - [0:0]
:CNI-HOSTPORT-DNAT - [0:0]
:DOCKER - [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A KUBE-SERVICES -d 10.96.0.1/32 -j KUBE-SERVICES
COMMIT
*filter
:FORWARD DROP [0:0]
-A FORWARD -j ACCEPT
COMMIT
"""


def test_only_chains_of_kubernetes_and_cni_and_the_ways_to_them_are_removed():
    assert list(network._removal_script(SAVED.splitlines())) == [
        "*nat",
        '-D PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
        "-F KUBE-SERVICES",
        "-F CNI-HOSTPORT-DNAT",
        "-X KUBE-SERVICES",
        "-X CNI-HOSTPORT-DNAT",
        "COMMIT",
    ]


@pytest.fixture
def pids(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "PIDS", tmp_path)
    return tmp_path


def test_a_pid_that_another_process_has_now_is_not_ours(pids):
    (pids / "etcd.pid").write_text(f"{os.getpid()} 1\n")
    assert processes.running_process("etcd") is None


def test_a_process_of_ours_is_known_by_pid_and_start(pids):
    tick = processes._start_tick(os.getpid())
    (pids / "etcd.pid").write_text(f"{os.getpid()} {tick}\n")
    assert processes.running_process("etcd") == processes.Process(pid=os.getpid(), start_tick=tick)


def test_stopping_what_does_not_run_says_so_and_signals_nobody(pids):
    (pids / "etcd.pid").write_text(f"{os.getpid()} 1\n")
    assert processes.stop_process("etcd", grace_seconds=0) is False


def test_the_api_server_starts_after_etcd_and_before_all_that_asks_it():
    stages = {part.name: part.stage for part in all_parts()}
    assert stages["etcd"] < stages["kube-apiserver"] < min(stages["kubelet"], stages["kube-controller-manager"])


@pytest.mark.parametrize("name", ["apiserver", "kube-apiserver"])
def test_a_part_answers_to_its_short_name_too(name):
    assert part_named(name).name == "kube-apiserver"


def test_another_kubernetes_is_told_of_before_the_builds(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "STATE", tmp_path / "none-yet")
    monkeypatch.setattr(native, "all_parts", tuple)  # whether a cluster of ours is up beside the tests or not
    monkeypatch.setattr(native, "ensure_debian_packages", lambda packages: None)
    monkeypatch.setattr(native, "foreign_chains", lambda: ["KUBE-SERVICES"])
    built = []
    monkeypatch.setattr(native, "ensure_tool", built.append)
    with pytest.raises(ClusterError, match=r"another Kubernetes .*`scripts/cluster down`"):
        native.NativeEngine().up()
    assert built == []
