"""Answers as kubectl does for the few words that `videotask` gives it; its API server is one JSON file."""

import io
import json
import os
import sys
import tarfile
from pathlib import Path

STORE = Path(os.environ["FAKE_CLUSTER"])
FLAGS_WITH_VALUE = {"--context", "--kubeconfig", "-n", "-o", "-p", "-l", "-c"}


def main():  # noqa: C901, PLR0912, PLR0915  one case for each thing that is asked
    words = sys.argv[1:]
    values, rest = {}, []
    while words:
        word = words.pop(0)
        if word == "--":
            rest += words
            break
        if word in FLAGS_WITH_VALUE:
            values[word] = words.pop(0)
        else:
            rest.append(word)
    with (STORE.parent / "calls.jsonl").open("a") as calls:
        calls.write(json.dumps(sys.argv[1:]) + "\n")
    store = json.loads(STORE.read_text())
    happens(store, rest)
    match rest:
        case ["config", "view", *_]:
            print("films", end="")
        case ["auth", "whoami"]:
            print(json.dumps({"status": {"userInfo": {"username": "ada"}}}))
        case ["get", "videotasks.videotask.dev", *others] if "--watch" in others:
            watch(store)
        case ["get", "videotasks.videotask.dev", name] if not name.startswith("-"):
            print(json.dumps(find(store, name)))
        case ["get", "videotasks.videotask.dev", *_]:
            print(json.dumps({"items": list(store["tasks"].values())}))
        case ["get", "events", *_] if "events" in store:
            print(json.dumps({"items": store["events"]}))
        case ["get", "events", *_]:
            fail('Error from server (Forbidden): events is forbidden: User "ada" cannot list resource "events"')
        case ["get", "jobs", *_]:
            selected = [
                job
                for job in store["jobs"]
                if all(
                    job["metadata"]["labels"].get(key) == value
                    for key, value in (term.split("=") for term in values["-l"].split(","))
                )
            ]
            print(json.dumps({"items": selected}))
        case ["get", "pods", *_]:
            wanted = values.get("-n")
            print(
                json.dumps({"items": [pod for pod in store["pods"] if wanted in {None, pod["metadata"]["namespace"]}]})
            )
        case ["patch", "videotasks.videotask.dev", name, *_]:
            patch(store, name, json.loads(values["-p"]))
        case ["create", "-f", "-"]:
            store["created"] = [*store.get("created", []), json.loads(sys.stdin.read())["metadata"]["name"]]
            STORE.write_text(json.dumps(store))
        case ["wait", *_] if store["refuses"]:
            fail(store["refuses"])
        case ["wait", *_]:
            pass
        case ["delete", "pod", name, *_]:
            store["created"].remove(name)
            STORE.write_text(json.dumps(store))
        case ["exec", _, "tar", *others]:
            archive(store["volume"], others[-1], is_cut=store.get("cut", False))
        case ["logs" | "exec", *others]:
            print("ran:", *others)
        case _:
            fail(f"error: the fake knows no {rest}")


def happens(store, rest):
    """Let happen what was planned for this look at the films: the server is away, or a film is deleted."""
    if rest[:2] != ["get", "videotasks.videotask.dev"] or not store.get("looks"):
        return
    what = store["looks"].pop(0)
    if what == "deleted":
        store["tasks"].pop("heron")
    STORE.write_text(json.dumps(store))
    if what == "away":
        fail("The connection to the server 10.0.0.1:6443 was refused - did you specify the right host or port?")


def archive(volume, name, *, is_cut):
    """One file as tar writes it to a pipe; cut in its middle where a connection breaks and nobody says so."""
    if name not in volume:
        fail(f"tar: {name}: Cannot stat: No such file or directory")
    data = volume[name].encode()
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as stream:
        entry = tarfile.TarInfo(name)
        entry.size = len(data)
        stream.addfile(entry, io.BytesIO(data))
    sys.stdout.buffer.write(whole.getvalue()[: 512 + len(data) // 2] if is_cut else whole.getvalue())


def patch(store, name, wanted):
    task = find(store, name)
    version = wanted.pop("metadata", {}).get("resourceVersion")
    if store["conflicts"]:
        store["conflicts"] -= 1
        task["metadata"]["resourceVersion"] += "0"
        task["spec"]["takes"] = [{"step": "video_generation", "item": "3", "take": 1}]
        STORE.write_text(json.dumps(store))
    if version is not None and version != task["metadata"]["resourceVersion"]:
        fail(
            f'Error from server (Conflict): Operation cannot be fulfilled on videotasks.videotask.dev "{name}": the '
            "object has been modified; please apply your changes to the latest version and try again"
        )
    if store["refuses"]:
        fail(store["refuses"])
    task["spec"] = merge(task["spec"], wanted["spec"])
    loses = store.pop("loses", "")
    STORE.write_text(json.dumps(store))
    if loses:
        fail(loses)
    print(json.dumps(task))


def watch(store):
    """Two events for each task, the second cut in the middle of a character by a flush, then the end of the watch."""
    for task in store["tasks"].values():
        for kind in ("ADDED", "MODIFIED"):
            data = json.dumps({"type": kind, "object": task}, ensure_ascii=False, indent=1).encode()
            middle = data.index("…".encode()) + 1
            for part in (data[:middle], data[middle:]):
                sys.stdout.buffer.write(part)
                sys.stdout.flush()
            task["status"]["phase"] = "Completed"


def find(store, name):
    if name not in store["tasks"]:
        fail(f'Error from server (NotFound): videotasks.videotask.dev "{name}" not found')
    return store["tasks"][name]


def merge(document, patch_of):
    if not isinstance(patch_of, dict):
        return patch_of
    merged = dict(document) if isinstance(document, dict) else {}
    for key, value in patch_of.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


def fail(words):
    print(words, file=sys.stderr)
    print("Warning: something else that kubectl says", file=sys.stderr)
    print("E1122 01:08:04.528652   24191 memcache.go:265] and its log", file=sys.stderr)
    sys.exit(1)


main()
