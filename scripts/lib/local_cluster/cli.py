"""The command line of scripts/cluster; it must never act on a cluster that scripts/cluster did not make."""

import argparse
import contextlib
import fcntl
import json
import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from local_cluster import places
from local_cluster.choice import choose_engine, current_engine
from local_cluster.console import paint, say
from local_cluster.engine import ClusterStatus, Engine
from local_cluster.errors import ClusterError
from local_cluster.kubectl import apply
from local_cluster.users import make_user
from local_cluster.volumes import make_volume, refill_pool, storage_class

_DESCRIPTION = """\
A one-node Kubernetes cluster on this machine, for trying and testing. kind runs it where Docker or Podman answers;
elsewhere (Linux, root) containerd, etcd and Kubernetes itself are built once with Go and run as plain processes.
There is one cluster a machine, shared by all checkouts; its kubeconfig is its own and yours is never touched.
"""
_EPILOG = """\
examples:
  scripts/cluster up                       first time: about 15 minutes of builds; later: under 30 s
  eval "$(scripts/cluster env)"            then kubectl and helm speak to this cluster
  scripts/cluster status -o json
  scripts/cluster volume films --namespace studio --claim films
  KUBECONFIG=$(scripts/cluster user alice --group editors) kubectl get videotasks
  scripts/cluster stop apiserver && scripts/cluster start apiserver
  scripts/cluster down

what lies where: everything is under ${VIDEOTASK_CACHE:-~/.cache/videotask-operator}: built programs in tools/ and bin/,
the cluster's state, logs and pid files in cluster/, images kept for the next `up` in containerd/.
volumes: `up` keeps eight ready for any claim of the default class videotask-local. One whose claim is gone is emptied
at the next `up`, and `down` removes all of them: fetch a film before.
exit codes: 0 done; 1 failed, or (status, kubeconfig, env) not up; 2 wrong usage; 3 no cluster can run on this machine.
The native cluster does not enforce NetworkPolicy. VIDEOTASK_CLUSTER=native or =kind asks for one of the two.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out one command and return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except ClusterError as failure:
        say(f"{paint('scripts/cluster:', 'red')} {failure}")
        return failure.exit_code
    except OSError as failure:  # a folder that cannot be made or written
        say(f"{paint('scripts/cluster:', 'red')} {failure} (VIDEOTASK_CACHE names another folder to work in)")
        return 1
    except KeyboardInterrupt:
        say("scripts/cluster: interrupted; say it again to go on where it stopped")
        return 130


def _parser() -> argparse.ArgumentParser:
    style = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("scripts/cluster", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=style)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    up = commands.add_parser("up", help="bring the cluster up, or repair it; does nothing when it is healthy")
    up.set_defaults(run=_up)
    down = commands.add_parser("down", help="end the cluster and remove all it left, its volumes too")
    down.add_argument("--purge", action="store_true", help="remove the images kept for the next `up` as well")
    down.set_defaults(run=_down)
    status = commands.add_parser("status", help="show the parts and the node")
    status.add_argument("-o", "--output", choices=["text", "json"], default="text")
    status.set_defaults(run=_status)
    commands.add_parser("kubeconfig", help="print the path of its kubeconfig").set_defaults(run=_kubeconfig)
    commands.add_parser("env", help="print shell lines that set KUBECONFIG and PATH").set_defaults(run=_env)

    user = commands.add_parser("user", help="print the path of a kubeconfig for a user with a client certificate")
    user.add_argument("name")
    user.add_argument("--group", action="append", default=[], help="a group of the user; may be repeated")
    user.set_defaults(run=_user)
    volume = commands.add_parser(
        "volume", help="make a PersistentVolume over a folder of the node, and print the folder"
    )
    volume.add_argument("name")
    volume.add_argument("--size", default="20Gi")
    volume.add_argument("--namespace", help="the claim's namespace (default: default)")
    volume.add_argument("--claim", help="bind it beforehand to this claim and no other")
    volume.set_defaults(run=_volume)

    stop = commands.add_parser("stop", help="end one part, for a fault test (native only)")
    stop.add_argument(
        "part", help="etcd, containerd, apiserver, controller-manager, scheduler, kubelet, proxy, coredns"
    )
    stop.add_argument("--kill", action="store_true", help="by SIGKILL at once")
    stop.set_defaults(run=_stop)
    start = commands.add_parser("start", help="start one part again and wait until it is ready (native only)")
    start.add_argument("part")
    start.set_defaults(run=_start)
    return parser


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    """Let one command at a time change the cluster of this machine."""
    places.CACHE.mkdir(parents=True, exist_ok=True)
    with places.LOCK.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Another scripts/cluster is at work; waiting for it ...")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _up(_: argparse.Namespace) -> int:
    with _locked():
        engine = choose_engine()
        engine.up()
        apply(storage_class())
        refill_pool(engine)
    say(f"{paint('The cluster is up', 'green')} ({engine.name}, node {engine.node_name}).")
    say('  eval "$(scripts/cluster env)"   makes kubectl and helm speak to it')
    print(places.KUBECONFIG)
    return 0


def _down(options: argparse.Namespace) -> int:
    with _locked():
        engine = current_engine()
        if engine is None:
            say("There is no cluster to end.")
            if options.purge:
                shutil.rmtree(places.IMAGE_STORE, ignore_errors=True)
            return 0
        engine.down(purge=options.purge)
    say("The cluster is down; nothing of it runs or is mounted.")
    return 0


def _status(options: argparse.Namespace) -> int:
    engine = current_engine()
    status = engine.status() if engine else ClusterStatus(engine="none", state="down")
    if options.output == "json":
        print(json.dumps(status.as_json(), indent=2))
    else:
        print("\n".join(_status_lines(status)))
    return 0 if status.state == "up" else 1


def _status_lines(status: ClusterStatus) -> Iterator[str]:
    yield f"cluster     {status.state} ({status.engine})"
    if status.state == "down":
        yield "            `scripts/cluster up` brings it up"
        return
    readiness = "Ready" if status.node_is_ready else "not ready"
    yield f"kubernetes  {status.kubernetes_version}, node {status.node} {readiness}"
    yield f"kubeconfig  {status.kubeconfig}"
    if status.parts:
        yield ""
        yield f"{'PART':<26}{'STATE':<10}{'PID':>8}{'AGE':>9}{'MEMORY':>9}  LOG"
    for part in status.parts:
        state = "ready" if part.is_ready else "unready" if part.pid else "ended"
        age, memory = f"{part.age_seconds:.0f}s", f"{part.memory_bytes / 2**20:.0f}Mi"
        yield f"{part.name:<26}{state:<10}{part.pid or '-':>8}{age:>9}{memory:>9}  {part.log}"


def _kubeconfig(_: argparse.Namespace) -> int:
    _running_engine()
    print(places.KUBECONFIG)
    return 0


def _env(_: argparse.Namespace) -> int:
    _running_engine()
    print(f"export KUBECONFIG={shlex.quote(str(places.KUBECONFIG))}")
    if str(places.BIN) not in os.environ.get("PATH", "").split(os.pathsep):
        print(f'export PATH={shlex.quote(str(places.BIN))}:"$PATH"')
    return 0


def _user(options: argparse.Namespace) -> int:
    _running_engine()
    with _locked():
        kubeconfig: Path = make_user(options.name, groups=options.group)
    print(kubeconfig)
    return 0


def _volume(options: argparse.Namespace) -> int:
    engine = _running_engine()
    print(make_volume(engine, options.name, size=options.size, namespace=options.namespace, claim=options.claim))
    return 0


def _stop(options: argparse.Namespace) -> int:
    _running_engine().stop_part(options.part, at_once=options.kill)
    return 0


def _start(options: argparse.Namespace) -> int:
    _running_engine().start_part(options.part)
    return 0


def _running_engine() -> Engine:
    engine = current_engine()
    if engine is None or not places.KUBECONFIG.exists():
        raise ClusterError("there is no cluster; `scripts/cluster up` brings one up")
    return engine


if __name__ == "__main__":
    sys.exit(main())
