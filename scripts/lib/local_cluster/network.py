"""The bridge that pods hang on, and the kernel switches it needs; it must never leave a rule or a device behind."""

import json
from collections.abc import Iterator
from pathlib import Path

from local_cluster import addresses, places
from local_cluster.commands import run, succeeds

_SWITCHES: dict[str, str | None] = {
    "net/ipv4/ip_forward": "1",
    "net/bridge/bridge-nf-call-iptables": "1",  # a pod that calls its own node's Service must pass kube-proxy's rules
    # The kubelet sets these by itself: they are only remembered, to be put back.
    "vm/overcommit_memory": None,
    "kernel/panic": None,
    "kernel/panic_on_oops": None,
    "kernel/keys/root_maxkeys": None,
    "kernel/keys/root_maxbytes": None,
}
_CHAIN_PREFIXES = ("KUBE-", "CNI-")
_COMMENT = "videotask-operator local cluster"
_PROGRAMS = ("iptables", "ip6tables")
_TABLES = ("raw", "mangle", "nat", "filter")


def foreign_chains() -> list[str]:
    """Return the chains of another Kubernetes on this machine, which ours would disturb."""
    if not succeeds(["iptables-save"]):
        return []
    chains = [line[1:].split()[0] for line in run(["iptables-save"]).splitlines() if line.startswith(":KUBE-")]
    return [] if places.STATE.exists() else chains


def make_network() -> None:
    """Make the bridge, open forwarding for it and write the CNI configuration. Idempotent."""
    _remember_and_set_switches()
    if not succeeds(["ip", "link", "show", addresses.BRIDGE]):
        run(["ip", "link", "add", addresses.BRIDGE, "type", "bridge"])
        run(["ip", "address", "add", f"{addresses.GATEWAY}/24", "dev", addresses.BRIDGE])
    run(["ip", "link", "set", addresses.BRIDGE, "up"])
    for rule in _forward_rules():
        if not succeeds(["iptables", "-C", *rule]):
            run(["iptables", "-w", "-I", *rule])
    _write_cni()


def remove_network() -> None:
    """Take away the rules, the pods' devices and the bridge, and put the kernel switches back."""
    for rule in _forward_rules():
        if succeeds(["iptables", "-C", *rule]):
            run(["iptables", "-w", "-D", *rule])
    for program in _PROGRAMS:
        _remove_chains(program)
    for device in _bridged_devices():
        run(["ip", "link", "delete", device], check=False)
    if succeeds(["ip", "link", "show", addresses.BRIDGE]):
        run(["ip", "link", "delete", addresses.BRIDGE])
    _restore_switches()


def _forward_rules() -> tuple[list[str], list[str]]:
    comment = ["-m", "comment", "--comment", _COMMENT, "-j", "ACCEPT"]
    return ["FORWARD", "-i", addresses.BRIDGE, *comment], ["FORWARD", "-o", addresses.BRIDGE, *comment]


def _bridged_devices() -> list[str]:
    links = json.loads(run(["ip", "-j", "link", "show"]) or "[]")
    return [link["ifname"] for link in links if link.get("master") == addresses.BRIDGE]


def _remove_chains(program: str) -> None:
    """Remove every chain of kube-proxy, kubelet and CNI with the rules that lead there, then the tables left empty."""
    if not succeeds([f"{program}-save"]):
        return
    script = "\n".join(_removal_script(run([f"{program}-save"]).splitlines()))
    if script:
        run([f"{program}-restore", "--noflush", "-w"], stdin=f"{script}\n")
    saved = run([f"{program}-save"])
    for table in _TABLES:
        if _is_untouched(saved, table):
            run([program, "-w", "-t", table, "-X"], check=False)  # nft keeps an empty table otherwise


def _removal_script(saved: list[str]) -> Iterator[str]:
    table: list[str] = []
    for line in saved:
        if line.startswith("*"):
            table = [line]
        elif line == "COMMIT" and table:
            yield from _table_script(table)
        else:
            table.append(line)


def _table_script(table: list[str]) -> Iterator[str]:
    ours = [line[1:].split()[0] for line in table if line.startswith(":") and line[1:].startswith(_CHAIN_PREFIXES)]
    if not ours:
        return
    rules = [line for line in table if line.startswith("-A ")]
    yield table[0]
    for rule in rules:
        chain, target = rule.split()[1], rule.partition(" -j ")[2].split(" ")[0]
        if target in ours and chain not in ours:
            yield f"-D {rule.removeprefix('-A ')}"
    yield from (f"-F {chain}" for chain in ours)
    yield from (f"-X {chain}" for chain in ours)
    yield "COMMIT"


def _is_untouched(saved: str, table: str) -> bool:
    if f"*{table}\n" not in saved:
        return False
    body = saved.partition(f"*{table}\n")[2].partition("COMMIT")[0].splitlines()
    return all(line.startswith(":") and " ACCEPT " in line for line in body)


def _remember_and_set_switches() -> None:
    memory = places.STATE / "switches.json"
    before: dict[str, str] = json.loads(memory.read_text()) if memory.exists() else {}
    for switch, wanted in _SWITCHES.items():
        file = Path("/proc/sys") / switch
        if file.exists():
            before.setdefault(switch, file.read_text().strip())
            if wanted is not None:
                file.write_text(wanted)
    memory.write_text(json.dumps(before))


def _restore_switches() -> None:
    memory = places.STATE / "switches.json"
    if memory.exists():
        for switch, value in json.loads(memory.read_text()).items():
            (Path("/proc/sys") / switch).write_text(value)


def _write_cni() -> None:
    folder = places.CONFIG / "cni"
    folder.mkdir(parents=True, exist_ok=True)
    bridge = {
        "type": "bridge",
        "bridge": addresses.BRIDGE,
        "isGateway": True,
        "ipMasq": True,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": addresses.POD_NETWORK, "gateway": addresses.GATEWAY}]],
            "routes": [{"dst": "0.0.0.0/0"}],
            "dataDir": str(places.STATE / "cni"),
        },
    }
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    conflist = {"cniVersion": "0.4.0", "name": "videotask", "plugins": [bridge, portmap]}
    (folder / "10-videotask.conflist").write_text(json.dumps(conflist, indent=2))
