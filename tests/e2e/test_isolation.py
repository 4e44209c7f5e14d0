"""From inside a step's pod: other films, other channels' keys, the API server and others' reports are out of reach."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from tests.e2e.harm import (
    PAID_KINDS,
    assert_bill,
    bill_of,
    channel_of,
    hold,
    own_channel,
    own_film,
    running_pod,
    runs_of,
)
from tests.e2e.real_cluster import program
from tests.e2e.studio import Film, Studio

from videotask_contract.phases import Phase
from videotask_contract.report import FinalReport
from videotask_contract.steps import Provider, Step

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


class Inside:
    """A film that stands in its video step, with a pod into which a test may look."""

    def __init__(self, film: Film) -> None:
        self.film = film
        self.pod = running_pod(film, Step.VIDEO_GENERATION)
        self.run = runs_of(film)[-1]

    def python(self, source: str, **given: Any) -> Any:
        """Run Python in the step's container, with `given` as its variables, and return what it left in `result`."""
        cluster = self.film.studio.cluster
        setting = f"import json, os, sys\nglobals().update(json.loads({json.dumps(json.dumps(given))}))\n"
        command = [program("kubectl"), "--kubeconfig", str(cluster.kubeconfig), "-n", self.film.namespace]
        command += ["exec", "-i", self.pod["metadata"]["name"], "--", "python", "-"]
        told = subprocess.run(
            command,
            input=f"{setting}{source}\nprint(json.dumps(result))",
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert told.returncode == 0, told.stderr
        return json.loads(told.stdout)

    def token(self) -> str:
        return self.python("result = open(os.environ['VIDEOTASK_REPORT_TOKEN_FILE']).read()")

    def keys(self) -> list[str]:
        """Return the values of all keys of its channel."""
        names = [f"{channel_of(self.film)}-{provider}" for provider in Provider]
        found = [self.film.studio.cluster.get("secret", name, namespace=self.film.namespace) for name in names]
        return [base64.b64decode(secret["data"]["api-key"]).decode() for secret in found]


@pytest.fixture(scope="module")
def pair(studio: Studio) -> Iterator[tuple[Inside, Inside]]:
    """Two films of two channels on one volume, the nearest that two can be, both in their video step."""
    channels = [own_channel(studio, name) for name in ("mine", "theirs")]
    holds = [hold(studio, channel, "create") for channel in channels]
    films = [own_film(studio, channel, channel=channel) for channel in channels]
    for one in holds:
        one.wait()
    yield Inside(films[0]), Inside(films[1])
    for one in holds:
        one.end()


WALK = """
result = []
for folder, names, files in os.walk("/"):
    if folder in ("/proc", "/sys"):
        names.clear()
    result += [os.path.join(folder, name) for name in (*names, *files) if wanted in name]
"""

OPEN = """
result = {}
for path in paths:
    try:
        result[path] = sorted(os.listdir(path))[:50] if os.path.isdir(path) else open(path, "rb").read(80).hex()
    except OSError as error:
        result[path] = type(error).__name__
"""


def test_another_films_folder_is_not_there_by_any_way_up(pair):
    mine, theirs = pair
    folder = theirs.film.folder
    assert mine.python(WALK, wanted=folder.rpartition("/")[2]) == []
    assert mine.python(WALK, wanted="composite_01.png") == ["/volume/composites/composite_01.png"]
    ways = [f"/volume/{'../' * depth}{tail}/storyboard.json" for depth in (1, 2, 3) for tail in (folder, folder[9:])]
    assert set(mine.python(OPEN, paths=ways).values()) <= {"FileNotFoundError", "NotADirectoryError"}
    assert "storyboard.json" in theirs.python(OPEN, paths=["/volume"])["/volume"]


def test_a_symlink_out_of_the_folder_leads_nowhere_for_the_step_and_for_the_next(pair, studio):
    mine, theirs = pair
    root = studio.volume_root(theirs.film.namespace, "night-stories")
    name = theirs.film.folder.rpartition("/")[2]
    targets = [
        f"../{name}",
        f"../../projects/{name}",
        f"/projects/{name}",
        f"{root or '/var/lib'}/{theirs.film.folder}",
    ]
    plant = """
for number, target in enumerate(targets):
    os.symlink(target, f"/volume/link-{number}")
paths = [f"/volume/link-{number}/storyboard.json" for number in range(len(targets))]
"""
    remove = "\nfor number in range(len(targets)):\n    os.unlink(f'/volume/link-{number}')\n"
    found = mine.python(plant + OPEN + remove, targets=targets)
    assert set(found.values()) <= {"FileNotFoundError", "PermissionError"}
    assert len(found) == len(targets)


def test_a_step_has_its_own_providers_key_and_no_other(pair):
    mine, theirs = pair
    search = """
result = {"environment": [name for name, value in os.environ.items() if any(key in value for key in keys)], "files": []}
for folder, names, files in os.walk("/"):
    if folder in ("/proc", "/sys", "/usr", "/lib", "/volume"):
        names.clear()
        continue
    for name in files:
        path = os.path.join(folder, name)
        try:
            content = open(path, "rb").read(2_000_000) if os.path.isfile(path) else b""
        except OSError:
            continue
        result["files"] += [path] if any(key.encode() in content for key in keys) else []
"""
    assert mine.python(search, keys=mine.keys()) == {"environment": ["KLING_API_KEY"], "files": []}
    assert mine.python(search, keys=theirs.keys()) == {"environment": [], "files": []}


def test_the_api_server_takes_neither_its_token_nor_none(pair):
    mine, _ = pair
    asked = """
import ssl, urllib.error, urllib.request
host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
token = open(os.environ["VIDEOTASK_REPORT_TOKEN_FILE"]).read()
blind = ssl._create_unverified_context()
result = {"account": os.path.exists("/var/run/secrets/kubernetes.io/serviceaccount/token")}
for name, headers in {"token": {"Authorization": "Bearer " + token}, "nobody": {}}.items():
    for path in paths:
        request = urllib.request.Request(f"https://{host}:{port}{path}", headers=headers)
        try:
            code = urllib.request.urlopen(request, context=blind, timeout=20).status
        except urllib.error.HTTPError as error:
            code = error.code
        result[f"{name} {path}"] = code
"""
    space = f"/api/v1/namespaces/{mine.film.namespace}"
    paths = [
        f"{space}/secrets",
        f"{space}/pods",
        f"/apis/videotask.dev/v1alpha1/namespaces/{mine.film.namespace}/videotasks",
    ]
    told = mine.python(asked, paths=paths)
    assert told.pop("account") is False
    assert len(told) == 2 * len(paths)
    assert set(told.values()) <= {401, 403}
    assert {code for name, code in told.items() if name.startswith("token")} == {401}


def test_a_report_needs_the_token_of_a_pod_of_that_very_run(pair):
    mine, theirs = pair
    ask = """
import urllib.error, urllib.request
url = json.load(open(os.environ["VIDEOTASK_TASK_FILE"]))["reportUrl"]
result = []
for run, token, body in calls:
    for what in ("permit", "progress", "final"):
        headers = {"Content-Type": "application/json"} | ({"Authorization": "Bearer " + token} if token else {})
        request = urllib.request.Request(f"{url}/v1/runs/{run}/{what}", json.dumps(body).encode(), headers)
        try:
            result.append(urllib.request.urlopen(request, timeout=20).status)
        except urllib.error.HTTPError as error:
            result.append(error.code)
"""

    def refusals(run: dict[str, Any], token: str) -> list[int]:
        report = FinalReport(run_id=run["run_id"], step=run["step"], outcome="done", done=1, total=1)
        body = report.model_dump(mode="json", by_alias=True, exclude_none=True)
        return mine.python(ask, calls=[[run["run_id"], token, body]])

    own, foreign = mine.token(), theirs.token()
    assert refusals(theirs.run, own) == [403, 403, 403], "a report for another task"
    assert refusals(mine.run, foreign) == [403, 403, 403], "another pod's token"
    assert refusals(mine.run, "") == [401, 401, 401]
    assert refusals(mine.run, own[:-4] + "AAAA") == [401, 401, 401]
    for inside in pair:
        assert runs_of(inside.film)[-1]["run_id"] == inside.run["run_id"]
        assert runs_of(inside.film)[-1]["closed_at"] is None


def test_a_revoked_key_ends_its_own_channels_film_alone(pair, studio):
    """The last of this module: it lets both films go on."""
    mine, theirs = (inside.film for inside in pair)
    studio.control.put_key(Provider.ELEVENLABS.value, name=channel_of(mine), trouble="revoked")
    for call in studio.control.held():
        studio.control.release(call["request_id"])
    status = mine.wait_phase(Phase.AUDIO_ERROR)
    assert "invalid_api_key" in status["message"] or "Invalid API key" in status["message"]
    assert theirs.wait_phase(Phase.FINAL_REVIEW)["phase"] == Phase.FINAL_REVIEW.resource
    assert sum(PAID_KINDS.values()) == len(bill_of(theirs))
    assert {run["outcome"] for run in runs_of(theirs)} == {"done"}
    assert len(runs_of(theirs)) == len(Step)

    # The key is mended: it goes on where it stopped and pays nothing again.
    studio.control.put_key(Provider.ELEVENLABS.value, name=channel_of(mine), trouble="")
    mine.patch({"attempt": 2})
    mine.wait("it goes on", lambda status: status["phase"] != Phase.AUDIO_ERROR.resource)
    mine.wait_phase(Phase.FINAL_REVIEW)
    assert_bill(mine, theirs)
