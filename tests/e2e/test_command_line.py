"""People make a film by `videotask` alone: each has the rights of their roles, and money and names come out right."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import subprocess
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import pytest
import yaml
from tests.e2e.harm import await_gate, bill_of, channel_of, own_channel, own_film
from tests.e2e.person import Person
from tests.e2e.real_cluster import role_binding
from tests.e2e.studio import Film, Studio

from videotask_contract import layout
from videotask_contract.phases import Phase
from videotask_contract.storyboard import Storyboard
from videotask_operator.cli.exits import CommandExit

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]

CENT_OF_A_CENT = Decimal("0.0001")
TOPIC = "A lighthouse keeper counts the waves"
BOUGHT = Counter({"text": 1, "image": 2, "video": 1, "speech": 1, "sfx": 1})
"""What a film of one scene from a topic buys."""
BOOKKEEPER = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "Role",
    "metadata": {"name": "videotask-bookkeeper"},
    "rules": [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]},
        # kubectl asks by WebSocket, which is a get, and by SPDY where that is refused, which is a create.
        {"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["get", "create"]},
    ],
}
"""What `videotask costs` takes in the operator's namespace, as docs/command-line.md says."""


@pytest.fixture(scope="module")
def people(studio: Studio) -> dict[str, Person]:
    """alice may approve; carol edits films and nothing else; dora has Kubernetes' own role edit, and reads the bill."""
    studio.cluster.apply(role_binding("dora", "edit"), namespace=studio.a)
    home = studio.installation.namespace
    studio.cluster.apply(BOOKKEEPER, role_binding("dora", "videotask-bookkeeper", kind="Role"), namespace=home)
    return {user: Person(studio=studio, user=user, namespace=studio.a) for user in ("alice", "carol", "dora")}


@pytest.fixture(scope="module")
def films(studio: Studio) -> Iterator[dict[str, Film]]:
    """Two at once: one from a topic, and one whose first image is blocked and that shows its images to a person."""
    refused = own_channel(studio, "refused")
    block = studio.control.add_fault("block_finish_reason", match={"key_id": refused, "operation": "image"})
    topic = own_film(studio, "words", storyboard=None, topic=TOPIC, sceneCount=1, assetCount=2)
    blocked = studio.start(studio.film("refused", channel=refused, gates=["assets"]))
    yield {"topic": topic, "blocked": blocked}
    studio.control.clear_faults(block)


@pytest.fixture(scope="module")
def shown(films, people) -> Film:
    """The film from a topic, once carol's watch says that it is on show."""
    film = films["topic"]
    screen = people["carol"].says("get", film.name, "-w", "--until", Phase.FINAL_REVIEW.resource)
    assert "Final Review" in screen
    return film


@pytest.fixture(scope="module")
def editor(tmp_path_factory) -> Path:
    """An editor that keeps what it was shown and gives the narration other words."""
    path = tmp_path_factory.mktemp("editor") / "editor"
    path.write_text(
        f'#!/bin/sh\ncp "$1" {path}.shown\nexec sed -i "s/^narration: .*/narration: Nobody counts./" "$1"\n'
    )
    path.chmod(0o755)
    return path


def amounts(film: Film) -> Decimal:
    return sum((Decimal(entry["amount_usd"]) for entry in bill_of(film)), Decimal(0))


def kinds(film: Film) -> Counter[str]:
    return Counter(entry["kind"] for entry in bill_of(film))


def costs(person: Person, film: Film) -> dict[str, str]:
    """Return the film's row of the month's costs."""
    month = str(film.status["startedAt"])[:7]
    words = ["costs", "--month", month, "--by", "film", "--channel", channel_of(film), "-o", "csv"]
    said = person.says(*words, "--operator-namespace", person.studio.installation.namespace)
    rows = [row for row in csv.DictReader(io.StringIO(said)) if row["film"] == f"{film.namespace}/{film.name}"]
    assert len(rows) == 1, said
    return rows[0]


# --- an error -----------------------------------------------------------------------------------------------------


def test_a_refused_film_says_what_to_do_goes_on_by_retry_and_ends_by_cancel(films, people):
    film, carol = films["blocked"], people["carol"]
    film.wait_phase(Phase.ASSET_ERROR)
    assert f"videotask retry {film.name}" in carol.says("describe", film.name)
    assert carol.ends("approve", film.name).returncode == CommandExit.NOT_NOW
    said = carol.says("retry", film.name)
    assert "kept and not paid again: 1 of 2 images" in said
    await_gate(film, "assets")
    assert kinds(film) == Counter({"image": 2})
    assert carol.ends("cancel", film.name).returncode == CommandExit.USAGE
    assert carol.says("cancel", film.name, "-y") == f"{film.name}: asked to end for good\n"
    film.wait_phase(Phase.CANCELLED, timeout_seconds=150)
    assert carol.ends("retry", film.name).returncode == CommandExit.NOT_NOW


# --- looking ------------------------------------------------------------------------------------------------------


def test_one_who_edits_films_sees_them_and_what_to_do_next(shown, people):
    carol = people["carol"]
    [line] = [line for line in carol.says("get").splitlines() if line.startswith(shown.name)]
    assert Phase.FINAL_REVIEW.resource in line
    page = carol.says("describe", shown.name)
    assert f"videotask approve {shown.name}" in page
    assert "--round 1" in page
    assert f"${Decimal(shown.status['costUSD']):.2f}" in page
    assert json.loads(carol.says("get", shown.name, "-o", "json"))["metadata"]["uid"] == shown.uid


def test_a_step_s_log_is_shown_to_those_who_may_read_pods(shown, people):
    lines = [json.loads(line) for line in people["dora"].says("logs", shown.name, "narrations").splitlines()]
    assert {line["step"] for line in lines if "step" in line} == {"narration_generation"}
    refused = people["carol"].ends("logs", shown.name, "narrations")
    assert refused.returncode == CommandExit.FAILED
    assert "carol" in refused.stderr


def test_a_generated_storyboard_is_fetched_and_its_words_are_shown_in_the_editor(shown, people, editor, tmp_path):
    dora, file = people["dora"], tmp_path / "storyboard.json"
    dora.says("fetch", shown.name, "--storyboard", "-o", str(file))
    assert file.read_bytes() == (shown.files() / layout.STORYBOARD).read_bytes()
    narration = Storyboard.model_validate_json(file.read_bytes()).scenes[0].narration
    code, screen = dora.in_a_terminal("edit", shown.name, "--scene", "1", "--dry-run", editor=editor)
    assert code == CommandExit.DONE, screen
    assert yaml.safe_load(editor.with_name("editor.shown").read_text())["narration"] == narration
    assert '"scenes":[{"scene":"1","narration":"Nobody counts."}]' in screen
    assert shown.resource["spec"].get("edits") is None
    code, screen = people["carol"].in_a_terminal("edit", shown.name, "--scene", "1", editor=editor)
    assert code == CommandExit.FAILED
    assert "Give new words by --narration" in screen
    assert [pod for pod in pods(shown) if pod["metadata"]["name"].startswith("fetch-") and is_there(pod)] == []


def pods(film: Film) -> list[dict[str, Any]]:
    found = film.studio.api(f"/api/v1/namespaces/{film.namespace}/pods")
    return list(found["items"]) if found else []


def is_there(pod: dict[str, Any]) -> bool:
    return "deletionTimestamp" not in pod["metadata"]


# --- changing and deciding ----------------------------------------------------------------------------------------


def test_a_redone_narration_costs_one_narration_more(shown, people):
    before = Counter(kinds(shown))
    assert before == BOUGHT
    people["carol"].says("redo", shown.name, "narration_generation:1")
    await_gate(shown, "final", review_round=2)
    assert kinds(shown) == BOUGHT + Counter({"speech": 1})
    assert (shown.files() / layout.narration("01", take=2)).is_file()
    assert (shown.files() / layout.narration("01")).is_file()


def test_who_lacks_the_verb_is_told_who_can_give_it(shown, people):
    refused = people["carol"].ends("approve", shown.name, "--round", "2")
    assert refused.returncode == CommandExit.FAILED
    assert "carol may not change approvals" in refused.stderr
    help_ = f"rolebinding approver-carol --clusterrole=videotask-approver --user=carol -n {shown.namespace}"
    assert f"kubectl create {help_}" in refused.stderr
    assert shown.resource["spec"].get("approvals", {}) == {}
    assert shown.phase is Phase.FINAL_REVIEW


def test_an_approver_s_name_stands_in_the_status_and_in_the_record(studio, shown, people):
    alice = people["alice"]
    assert alice.ends("approve", shown.name, "--round", "1").returncode == CommandExit.NOT_NOW
    assert alice.says("approve", shown.name, "--round", "2") == f"{shown.name}: approved final, round 2\n"
    status = shown.wait_phase(Phase.COMPLETED, timeout_seconds=60)
    assert status["approvedBy"] == "alice"
    assert shown.resource["spec"]["approvals"]["final"] == {"decision": "Approved", "by": "alice", "round": 2}
    assert studio.sql("SELECT approved_by FROM tasks WHERE id = %s", shown.uid) == [{"approved_by": "alice"}]


# --- film and bill ------------------------------------------------------------------------------------------------


def test_the_fetched_film_is_the_one_of_the_status_and_plays(shown, people, tmp_path):
    file = tmp_path / "film.mp4"
    people["dora"].says("fetch", shown.name, "-o", str(file))
    film = shown.status["film"]
    assert hashlib.sha256(file.read_bytes()).hexdigest() == film["sha256"]
    decode = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(file), "-f", "null", "-"]
    played = subprocess.run(decode, capture_output=True, text=True, timeout=60, check=False)
    assert (played.returncode, played.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == [file]


def test_the_month_s_costs_of_the_film_are_the_providers_bill(shown, people, films):
    row = costs(people["dora"], shown)
    assert abs(Decimal(row["total_usd"]) - amounts(shown)) <= CENT_OF_A_CENT
    assert Decimal(row["possibly_paid_usd"]) == 0
    speech = [Decimal(entry["amount_usd"]) for entry in bill_of(shown) if entry["kind"] == "speech"]
    assert abs(Decimal(row["redo_usd"]) - speech[0]) <= CENT_OF_A_CENT
    blocked = costs(people["dora"], films["blocked"])
    assert abs(Decimal(blocked["total_usd"]) - amounts(films["blocked"])) <= CENT_OF_A_CENT
