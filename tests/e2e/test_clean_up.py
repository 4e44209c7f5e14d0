"""Files go from a channel's volume as spec.retention asks, by a Job of its own; ledgers and money's record stay."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.harm import PAID_KINDS, await_gate, bill_of, own_film
from tests.e2e.real_cluster import eventually
from tests.e2e.studio import CHANNEL, Film, Studio

from videotask_contract import layout
from videotask_contract.ledger_record import RecordKind
from videotask_contract.phases import Phase
from videotask_contract.resources import LABEL_TASK_UID
from videotask_contract.steps import Step
from videotask_operator.kube.build_job import LABEL_CLEAN_UP
from videotask_steps.ledger import read_ledger

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]

_SECONDS = 150
"""For two looks of the operator, half a minute apart, and a Job on a busy machine."""
IMAGES = 2
WORK_STEPS = [step for step in Step if step is not Step.VIDEO_ASSEMBLY]


def folder_of(film: Film) -> Path:
    """Return the film's folder, in place or as a copy; also when its resource is gone."""
    root = film.studio.volume_root(film.namespace, CHANNEL)
    return root / film.folder if root else film.studio.fetch(film.namespace, CHANNEL, film.folder)


def entries(film: Film) -> set[str]:
    """Return what lies in the film's folder beside the ledgers."""
    return {path.name for path in folder_of(film).iterdir()} - {layout.LEDGER_FOLDER}


def media_of(film: Film) -> set[str]:
    """Return the paths of all that the film was made from, every take of it."""
    root = folder_of(film)
    found = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    return {path for path in found if path.count("/") and not path.startswith(f"{layout.LEDGER_FOLDER}/")}


def delete(*films: Film) -> None:
    """Delete resources as a person does."""
    for film in films:
        film.studio.cluster.kubectl("delete", "videotask", film.name, namespace=film.namespace)


def clean_up_pods(film: Film, extent: str) -> list[dict[str, Any]]:
    selector = f"{LABEL_TASK_UID}={film.uid},{LABEL_CLEAN_UP}={extent}"
    return film.studio.cluster.list("pod", namespace=film.namespace, selector=selector)


def said_at_its_end(film: Film, extent: str) -> dict[str, Any]:
    """Return what the clean-up's pod said when it was done, once it is over."""

    def ended() -> dict[str, Any] | None:
        [pod] = clean_up_pods(film, extent)
        [container] = pod["status"].get("containerStatuses", [{}])
        return container.get("state", {}).get("terminated")

    end = eventually(f"the clean-up of {film.name} is over", ended, timeout_seconds=_SECONDS)
    assert end["exitCode"] == 0, end
    return json.loads(end["message"])


def assert_restricted(film: Film, extent: str) -> None:
    """Pod security restricted is enforced there, and the pod has neither key nor token nor another film's folder."""
    space = film.studio.cluster.get("namespace", film.namespace)
    assert space["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    [pod] = clean_up_pods(film, extent)
    [container] = pod["spec"]["containers"]
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert [variable for variable in container["env"] if "valueFrom" in variable] == []
    mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
    assert set(mounts) == {"channel", "tmp"}
    assert mounts["channel"]["subPath"] == film.folder


def assert_money_is_told(film: Film, kinds: Counter[str], billed: Decimal) -> None:
    """Ledgers and record say what was paid, as if nothing had been removed."""
    assert Counter(entry["kind"] for entry in film.studio.bill() if entry["key_id"] == tag(film)) == kinds
    lines = [line for step in Step for line in read_ledger(folder_of(film), step).spend()]
    assert len(lines) == kinds.total()
    [row] = film.studio.sql("SELECT sum(amount_usd) AS usd FROM spend WHERE task_uid = %s", film.uid)
    assert row["usd"] == billed


def tag(film: Film) -> str:
    [row] = film.studio.sql("SELECT channel FROM tasks WHERE id = %s", film.uid)
    return str(row["channel"])


def make_two_takes(film: Film) -> None:
    film.wait_phase(Phase.FINAL_REVIEW)
    redo = {"request": "again", "steps": [{"step": "narration_generation", "items": ["1"]}]}
    film.patch({"redo": redo})
    await_gate(film, "final", review_round=2)
    assert (folder_of(film) / layout.narration("01", take=2)).is_file()


def test_a_films_files_go_as_it_asked_and_another_s_stay(studio: Studio) -> None:
    """One loses its work when it is completed and the rest when it is deleted; one keeps all, as nothing was asked."""
    going = own_film(studio, "going", retention={"workDays": 0, "onDeletion": "Delete"})
    kept = own_film(studio, "kept", gates=["assets"])
    make_two_takes(going)
    kinds = PAID_KINDS + Counter({"speech": 1})
    billed = sum((Decimal(entry["amount_usd"]) for entry in bill_of(going)), Decimal(0))
    assert layout.FILM in entries(going)
    media = media_of(going)
    assert len(media) >= kinds.total(), "a film on show keeps everything"
    await_gate(kept, "assets")
    images = media_of(kept)
    assert len(images) == IMAGES

    status = going.approve(user="alice")
    left = {layout.FILM, layout.STORYBOARD}
    eventually("its work is gone", lambda: entries(going) == left, timeout_seconds=_SECONDS)
    ending = said_at_its_end(going, "work")
    assert_restricted(going, "work")
    film = folder_of(going) / layout.FILM
    assert film.stat().st_size == status["film"]["sizeBytes"]
    buried = [
        record
        for step in Step
        for record in read_ledger(folder_of(going), step).records
        if record.kind is RecordKind.TOMBSTONE
    ]
    assert (ending["removed"], ending["tombstones"]) == (len(media), len(buried))
    assert media <= {record.path for record in buried}, "no file goes without a word"
    assert all(read_ledger(folder_of(going), step).current_items() == {} for step in WORK_STEPS)
    assert read_ledger(folder_of(going), Step.VIDEO_ASSEMBLY).current_items() != {}
    assert_money_is_told(going, kinds, billed)
    assert going.phase is Phase.COMPLETED

    delete(kept, going)
    eventually("all of it is gone", lambda: not entries(going), timeout_seconds=_SECONDS)
    assert said_at_its_end(going, "all")["removed"] == len(left)
    assert all(read_ledger(folder_of(going), step).records for step in Step)
    assert all(read_ledger(folder_of(going), step).current_items() == {} for step in Step)
    assert_money_is_told(going, kinds, billed)
    # The look that found the one deleted found the other deleted too, which went before it.
    assert media_of(kept) == images
    assert clean_up_pods(kept, "all") == []
