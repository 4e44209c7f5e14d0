"""Each mistake in a manifest is refused by `kubectl apply`, with the path of the field and words that help."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("crds")]

Change = Callable[[dict[str, Any]], Any]


def a_task() -> dict[str, Any]:
    return {
        "apiVersion": "videotask.dev/v1alpha1",
        "kind": "VideoTask",
        "metadata": {"name": "film"},
        "spec": {
            "channelRef": {"name": "night-stories"},
            "title": "A film",
            "storyboard": {
                "assets": [
                    {"name": "heron", "kind": "character", "prompt": "A heron"},
                    {"name": "lantern", "kind": "prop", "prompt": "A lantern"},
                    {"name": "marsh", "kind": "environment", "prompt": "A marsh"},
                ],
                "scenes": [a_scene("one"), a_scene("two")],
            },
        },
    }


def a_scene(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "environment": "marsh",
        "characters": ["heron", "lantern"],
        "motion": "The heron turns its head",
        "narration": "The heron waits for the night train.",
        "soundEffect": "Reeds in the wind",
    }


def a_channel() -> dict[str, Any]:
    account = {"secretRef": {"name": "keys"}}
    return {
        "apiVersion": "videotask.dev/v1alpha1",
        "kind": "Channel",
        "metadata": {"name": "channel"},
        "spec": {
            "voice": {"voiceID": "abc"},
            "credentials": {"gemini": account, "kling": account, "elevenlabs": account},
            "volume": {"claimName": "films"},
        },
    }


def put(path: str, value: Any) -> Change:
    """Set the field at a dotted path; list positions are numbers."""

    def change(manifest: dict[str, Any]) -> None:
        *way, last = [int(word) if word.isdigit() else word for word in path.split(".")]
        node: Any = manifest
        for word in way:
            node = node[word]
        node[last] = value

    return change


def drop(path: str) -> Change:
    def change(manifest: dict[str, Any]) -> None:
        *way, last = path.split(".")
        node = manifest
        for word in way:
            node = node[word]
        del node[last]

    return change


SCENES = "spec.storyboard.scenes"
ASSETS = "spec.storyboard.assets"
BAD_TASKS: dict[str, tuple[Change, str, str]] = {
    # what is wrong: (the change, the path it must name, words it must hold)
    "no storyboard and no topic": (drop("spec.storyboard"), "spec", "neither storyboard nor topic is given"),
    "no scenes": (put(SCENES, []), SCENES, "at least 1"),
    "61 scenes": (put(SCENES, [a_scene(f"s{n}") for n in range(61)]), SCENES, "at most 60"),
    "61 assets": (
        put(ASSETS, [{"name": f"a{n}", "kind": "environment", "prompt": "p"} for n in range(61)]),
        ASSETS,
        "at most 60",
    ),
    "a scene's environment is no asset": (put(f"{SCENES}.1.environment", "moon"), SCENES, '["two"]'),
    "a scene's environment is a character": (put(f"{SCENES}.0.environment", "heron"), SCENES, '["one"]'),
    "a scene's character is no asset": (put(f"{SCENES}.1.characters", ["heron", "fox"]), SCENES, '["two"]'),
    "a scene's character is an environment": (put(f"{SCENES}.0.characters", ["marsh"]), SCENES, '["one"]'),
    "two scenes of one name": (put(f"{SCENES}.1.name", "one"), f"{SCENES}[1]", "Duplicate value"),
    "two assets of one name": (put(f"{ASSETS}.1.name", "heron"), f"{ASSETS}[1]", "Duplicate value"),
    "nine characters in a scene": (
        put(f"{SCENES}.0.characters", ["heron"] * 9),
        f"{SCENES}[0].characters",
        "at most 8",
    ),
    "an empty narration": (put(f"{SCENES}.1.narration", ""), f"{SCENES}[1].narration", "at least 1 chars"),
    "a blank narration": (put(f"{SCENES}.1.narration", " \n\t"), f"{SCENES}[1].narration", "must not be blank"),
    "a narration of wide blanks": (
        put(f"{SCENES}.1.narration", "\u2003\u00a0\u3000"),
        f"{SCENES}[1].narration",
        "blank",
    ),
    "a narration of separators": (
        put(f"{SCENES}.1.narration", "\u001c\u001f\u0085"),
        f"{SCENES}[1].narration",
        "blank",
    ),
    "a NUL in a prompt": (put(f"{ASSETS}.0.prompt", "a\u0000b"), f"{ASSETS}[0].prompt", "U+0000"),
    "a blank title": (put("spec.title", "   "), "spec.title", "must not be blank"),
    "no title": (drop("spec.title"), "spec.title", "Required value"),
    "an over-long title": (put("spec.title", "x" * 201), "spec.title", "may not be more than 200"),
    "an over-long prompt": (put(f"{ASSETS}.0.prompt", "x" * 1001), f"{ASSETS}[0].prompt", "may not be more than 1000"),
    "an over-long narration": (
        put(f"{SCENES}.0.narration", "x" * 301),
        f"{SCENES}[0].narration",
        "may not be more than 300",
    ),
    "a negative budget": (put("spec.budgetUSD", "-5.00"), "spec.budgetUSD", "not negative"),
    "a budget in words": (put("spec.budgetUSD", "thirteen"), "spec.budgetUSD", 'for example "13.00"'),
    "a budget without quotes": (put("spec.budgetUSD", 13.0), "spec.budgetUSD", "must be of type string"),
    "a bad priority": (put("spec.priority", "urgent"), "spec.priority", '"high", "normal", "low"'),
    "an unknown gate": (put("spec.gates", ["assets", "music"]), "spec.gates[1]", 'Unsupported value: "music"'),
    "a gate twice": (put("spec.gates", ["assets", "assets"]), "spec.gates[1]", "Duplicate value"),
    "an unknown state": (put("spec.state", "Paused"), "spec.state", '"Running", "Suspended", "Cancelled"'),
    "attempt zero": (put("spec.attempt", 0), "spec.attempt", "greater than or equal to 1"),
    "seven-second clips": (put("spec.quality", {"clipSeconds": 7}), "spec.quality.clipSeconds", "Unsupported value"),
    "an odd width": (put("spec.quality", {"frame": {"width": 1921}}), "spec.quality.frame.width", "multiple of 2"),
    "a path as asset name": (put(f"{ASSETS}.0.name", "../heron"), f"{ASSETS}[0].name", "should match"),
    "dots as asset name": (put(f"{ASSETS}.0.name", ".."), f"{ASSETS}[0].name", "should match"),
    "a slash in a scene's name": (put(f"{SCENES}.0.name", "a/b"), f"{SCENES}[0].name", "should match"),
    "a newline after a name": (put(f"{SCENES}.0.name", "one\n"), f"{SCENES}[0].name", "should match"),
    "a path as channel": (put("spec.channelRef.name", "../other"), "spec.channelRef.name", "should match"),
    "a path as the task's name": (put("metadata.name", "a..b"), "metadata.name", "RFC 1123"),
    "an approval at creation": (
        put("spec.approvals", {"final": {"decision": "Approved", "by": "alice", "round": 1}}),
        "spec.approvals",
        "nothing is on show yet",
    ),
    "a field that is no field": (put("spec.storybord", {}), "spec.storybord", "unknown field"),
}
BAD_CHANNELS: dict[str, tuple[Change, str, str]] = {
    "no voice": (drop("spec.voice"), "spec.voice", "Required value"),
    "a path as claim": (put("spec.volume.claimName", "../films"), "spec.volume.claimName", "should match"),
    "a path as Secret key": (
        put("spec.credentials.gemini", {"secretRef": {"name": "keys", "key": "../key"}}),
        "spec.credentials.gemini.secretRef.key",
        "should match",
    ),
    "a path as voice": (put("spec.voice.voiceID", "a/b"), "spec.voice.voiceID", "should match"),
    "a negative day budget": (put("spec.budget", {"perDayUSD": "-1"}), "spec.budget.perDayUSD", "not negative"),
    "a speed of 200": (put("spec.voice.speedPercent", 200), "spec.voice.speedPercent", "less than or equal to 120"),
    "no Kling account": (drop("spec.credentials.kling"), "spec.credentials.kling", "Required value"),
}


@pytest.fixture(scope="module")
def place(make_module_namespace) -> str:
    return make_module_namespace("bad")


def apply_words() -> list[str]:
    return ["apply", "-f", "-"]


@pytest.mark.parametrize("mistake", BAD_TASKS)
def test_a_bad_task_is_refused_with_the_path_of_the_field(cluster, place, mistake):
    change, path, words = BAD_TASKS[mistake]
    manifest = a_task()
    change(manifest)
    complaint = cluster.refusal(*apply_words(), stdin=json.dumps(manifest), namespace=place)
    assert path in complaint
    assert words in complaint


@pytest.mark.parametrize("mistake", BAD_CHANNELS)
def test_a_bad_channel_is_refused_with_the_path_of_the_field(cluster, place, mistake):
    change, path, words = BAD_CHANNELS[mistake]
    manifest = a_channel()
    change(manifest)
    complaint = cluster.refusal(*apply_words(), stdin=json.dumps(manifest), namespace=place)
    assert path in complaint
    assert words in complaint


def test_the_manifests_without_a_mistake_are_taken(cluster, namespace):
    cluster.apply(a_task(), namespace=namespace)
    cluster.apply(a_channel(), namespace=namespace)


def test_the_channel_of_a_task_cannot_be_changed(cluster, namespace):
    task = a_task()
    cluster.apply(task, namespace=namespace)
    other = copy.deepcopy(task)
    other["spec"]["channelRef"]["name"] = "other"
    complaint = cluster.refusal(*apply_words(), stdin=yaml.safe_dump(other), namespace=namespace)
    assert "spec.channelRef" in complaint
    assert "can never be changed" in complaint


def test_an_approval_under_an_unknown_key_is_refused_and_not_pruned(cluster, namespace):
    cluster.apply(a_task(), namespace=namespace)
    typo = json.dumps({"spec": {"approvals": {"fnial": {"decision": "Approved"}}}})
    complaint = cluster.refusal("patch", "videotask", "film", "--type=merge", "-p", typo, namespace=namespace)
    assert "spec.approvals" in complaint
    assert "unknown gate" in complaint


def largest_task(text_bytes: int) -> dict[str, Any]:
    """A task at every limit at once, its texts in characters of four bytes each."""
    camera, room = "🎬", text_bytes
    environments = [f"e{n:02d}".ljust(40, "x") for n in range(30)]
    characters = [f"c{n:02d}".ljust(40, "x") for n in range(30)]
    assets = [{"name": name, "kind": "environment", "prompt": ""} for name in environments]
    assets += [{"name": name, "kind": "character", "prompt": ""} for name in characters]
    scenes = [
        {"name": f"s{n:02d}".ljust(40, "x"), "environment": environments[n % 30], "characters": characters[:8]}
        for n in range(60)
    ]
    texts = [(scene, field, limit) for scene in scenes for field, limit in (("motion", 600), ("narration", 300))]
    texts += [(scene, "soundEffect", 300) for scene in scenes]
    texts += [(asset, "prompt", 1000) for asset in assets]
    for position, (owner, field, limit) in enumerate(texts):
        spare = room - 4 * (len(texts) - position - 1)  # one character is left for each text to come
        count = min(limit, spare // 4)
        owner[field] = camera * count
        room -= 4 * count
    task = a_task()
    task["metadata"]["name"] = "largest"
    task["spec"] |= {"title": camera * 200, "topic": camera * 2000, "direction": camera * 4000}
    task["spec"]["storyboard"] = {"assets": assets, "scenes": scenes}
    return task


def test_the_largest_legal_storyboard_passes_client_side_apply(cluster, namespace):
    task = largest_task(200_000)
    storyboard = task["spec"]["storyboard"]
    assert len(storyboard["assets"]) == len(storyboard["scenes"]) == 60
    size_bytes = len(json.dumps(storyboard, ensure_ascii=False, separators=(",", ":")).encode())
    assert 230_000 < size_bytes < 250_000
    cluster.apply(task, namespace=namespace)
    kept = cluster.get("videotask", "largest", namespace=namespace)
    assert "kubectl.kubernetes.io/last-applied-configuration" in kept["metadata"]["annotations"]
    assert kept["spec"]["storyboard"] == storyboard


def test_one_character_more_is_refused_with_the_limit(cluster, namespace):
    task = largest_task(200_004)
    complaint = cluster.refusal(*apply_words(), stdin=json.dumps(task), namespace=namespace)
    assert "spec.storyboard" in complaint
    assert "more than 200000 bytes" in complaint


def test_kubectl_explain_reads_like_documentation(cluster):
    for path, words in {
        "videotask.spec.storyboard": "in the order of the film",
        "videotask.spec.storyboard.scenes.narration": "Speech is never cut",
        "videotask.status.review.command": "one-line command",
        "channel.spec.voice.speedPercent": "70 to 120 percent",
    }.items():
        text = cluster.kubectl("explain", path).stdout
        assert words in " ".join(text.split())


def test_kubectl_get_shows_the_columns_in_order(cluster, namespace):
    cluster.apply(a_task(), namespace=namespace)
    status = {"phase": "FinalReview", "message": "approve it", "costUSD": "10.6000", "progress": "1/1"}
    cluster.patch("videotask", "film", {"status": status}, "--subresource=status", namespace=namespace)
    header, row = cluster.kubectl("get", "vt", namespace=namespace).stdout.splitlines()
    assert header.split() == ["NAME", "PHASE", "STEP", "PROGRESS", "COST", "AGE", "MESSAGE"]
    assert row.endswith("approve it")
    wide = cluster.kubectl("get", "videotasks", "-o", "wide", namespace=namespace).stdout.splitlines()[0]
    assert wide.split() == [*header.split()[:5], "CHANNEL", "PRIORITY", "ATTEMPT", "FILM", "AGE", "MESSAGE"]
    assert "film" in cluster.kubectl("get", "video", namespace=namespace).stdout
