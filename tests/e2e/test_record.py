"""What the database says after a film: every column filled, a legal history, money to a hundredth of a cent."""

from __future__ import annotations

import itertools
from collections import defaultdict
from decimal import Decimal

import pytest
import yaml
from tests.e2e.studio import SAMPLES, storyboard

from videotask_contract.phases import HAPPY_PATH, TABLE, Phase
from videotask_contract.prices import PriceTable
from videotask_contract.resources import ChannelSpec, VideoTaskSpec
from videotask_contract.steps import STEPS, TRAITS, Step
from videotask_operator.core.estimate import estimate_by_step, total_usd

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(2700)]

CENT_OF_A_CENT = Decimal("0.0001")
STEP_OF_KIND = {
    "text": Step.ASSET_GENERATION,
    "image": Step.ASSET_GENERATION,
    "video": Step.VIDEO_GENERATION,
    "speech": Step.NARRATION_GENERATION,
    "sfx": Step.SFX_GENERATION,
}
EMPTY_WHEN_ALL_WENT_WELL = {
    "tasks": {
        *("notion_page_id", "error", "step", "next_attempt_at", "resume_phase"),
        *("review_gate", "waiting_reason", "waiting_since", "redo_request"),
    },
    "step_runs": {"stop_requested_at", "failure_class", "failure_message", "failure_item", "retry_after_seconds"},
    "notion_outbox": {"delivered_at", "next_attempt_at", "error"},
}
"""Columns that have nothing to say after a film with which nothing went wrong and which no board shows."""
DEAR = "Dear me."
OWNER = {"tasks": "id", "budget_days": "channel"}


@pytest.fixture(scope="module")
def rows(studio, house_film):
    """The house film's rows of a table."""

    def of(table: str):
        column = OWNER.get(table, "task_uid")
        owner = "house" if column == "channel" else house_film.film.uid
        return studio.sql(f"SELECT * FROM {table} WHERE {column} = %s ORDER BY 1, 2", owner)

    return of


@pytest.fixture(scope="module")
def dear_film(studio):
    """A film made while the providers charged 20 % more than our table says."""
    studio.control.set_price_factor("1.2")
    try:
        film = studio.start(studio.film("dear", storyboard=storyboard(2, mark=DEAR)))
        film.wait_phase(Phase.FINAL_REVIEW)
    finally:
        studio.control.set_price_factor("1")
    return film


# --- the columns --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "table", ["tasks", "step_runs", "items", "spend", "budget_days", "task_history", "notion_outbox"]
)
def test_every_column_has_something_to_say_somewhere(rows, table):
    found = rows(table)
    assert found
    silent = {column for column in found[0] if all(row[column] is None for row in found)}
    assert silent <= EMPTY_WHEN_ALL_WENT_WELL.get(table, set())


def test_the_task_s_row_tells_its_whole_story(rows, house_film):
    [task] = rows("tasks")
    status, film = house_film.status, house_film.film
    assert (task["namespace"], task["name"], task["channel"]) == (film.namespace, film.name, "house")
    assert (task["title"], task["status"], task["priority"]) == (
        "The Last Lamp at Reedwater",
        Phase.COMPLETED.value,
        "normal",
    )
    assert task["correlation_id"] == status["correlationID"]
    moments = ("queued_at", "claimed_at", "pipeline_start_time", "review_required_at", "pipeline_end_time")
    assert [task[name] for name in moments] == sorted(task[name] for name in moments)
    whole = (task["pipeline_end_time"] - task["pipeline_start_time"]).total_seconds()
    assert task["pipeline_duration_seconds"] == pytest.approx(whole - task["waited_seconds"], abs=1)
    assert task["step_completion_metadata"] == {
        "assets_generated": 22,
        "total_assets": 22,
        "clips_generated": 18,
        "total_clips": 18,
        "narrations_generated": 18,
        "total_narrations": 18,
        "sfx_generated": 18,
        "total_sfx": 18,
    }
    assert task["film"]["sha256"] == status["film"]["sha256"]
    assert task["approved_by"] == "alice"


def test_six_runs_each_done_with_a_pod_a_permit_and_its_ledger_read(rows, house_film):
    runs = sorted(rows("step_runs"), key=lambda run: run["number"])
    assert [run["step"] for run in runs] == [traits.step.value for traits in STEPS]
    assert [run["number"] for run in runs] == list(range(1, 7))
    pods = [pod["metadata"]["uid"] for pod in house_film.pods]
    for run, pod in zip(runs, pods, strict=True):
        assert (run["outcome"], run["exit_code"], run["ledger_read"]) == ("done", 0, True)
        assert (run["attempt"], run["kept"], run["done"]) == (1, 0, run["total"])
        assert run["opened_at"] <= run["job_created_at"].replace(microsecond=999999) <= run["closed_at"]
        if TRAITS[Step(run["step"])].provider is not None:
            assert run["permitted_pod_uid"] == pod
            assert run["opened_at"] < run["permitted_at"] < run["closed_at"]
            assert run["reserved_usd"] >= run["spent_usd"] > 0


def test_every_item_s_row_names_the_file_that_lies_on_the_volume(rows, house_film):
    items = rows("items")
    counts = defaultdict(int)
    for item in items:
        counts[item["step"]] += 1
        path = house_film.files / item["path"]
        assert path.stat().st_size == item["size_bytes"]
        assert item["take"] == 1
    assert {step: counts[step.value] for step in Step} == {
        Step.ASSET_GENERATION: 22,
        Step.COMPOSITE_CREATION: 18,
        Step.VIDEO_GENERATION: 18,
        Step.NARRATION_GENERATION: 18,
        Step.SFX_GENERATION: 18,
        Step.VIDEO_ASSEMBLY: counts[Step.VIDEO_ASSEMBLY.value],
    }
    assert counts[Step.VIDEO_ASSEMBLY.value] >= 1


# --- history ------------------------------------------------------------------------------------------------------


def test_the_history_is_legal_and_exactly_the_table_s_happy_path(rows, house_film):
    history = sorted(rows("task_history"), key=lambda line: line["seq"])
    assert [line["status_after"] for line in history] == [phase.value for phase in HAPPY_PATH]
    assert [line["seq"] for line in history] == list(range(1, len(HAPPY_PATH) + 1))
    assert history[0]["status_before"] is None
    for before, after in itertools.pairwise(history):
        assert after["status_before"] == before["status_after"]
        assert Phase(after["status_after"]) in TABLE[Phase(before["status_after"])].next_phases
        assert after["at"] >= before["at"]
    assert [entry["phase"] for entry in house_film.status["history"]] == [phase.resource for phase in HAPPY_PATH]


def test_every_transition_waits_in_the_outbox_for_a_board(rows):
    assert {line["seq"] for line in rows("notion_outbox")} == {line["seq"] for line in rows("task_history")}


# --- money --------------------------------------------------------------------------------------------------------


def billed_by_step(bill) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for entry in bill:
        sums[STEP_OF_KIND[entry["kind"]].value] += Decimal(entry["amount_usd"])
    return dict(sums)


def spent_by_step(studio, film) -> dict[str, Decimal]:
    query = "SELECT step, sum(amount_usd) AS usd FROM spend WHERE task_uid = %s GROUP BY step"
    return {row["step"]: row["usd"] for row in studio.sql(query, film.uid)}


def assert_equal_to_a_cent_of_a_cent(one: dict[str, Decimal], other: dict[str, Decimal]) -> None:
    assert set(one) == set(other)
    assert {step: abs(one[step] - other[step]) < CENT_OF_A_CENT for step in one} == dict.fromkeys(one, True)


def test_what_was_spent_is_what_the_providers_bill_by_step_and_in_all(studio, house_film, rows):
    billed, spent = billed_by_step(house_film.bill), spent_by_step(studio, house_film.film)
    print(f"\nby step: { {step: str(usd) for step, usd in spent.items()} }; in all {sum(spent.values())}")
    assert_equal_to_a_cent_of_a_cent(spent, billed)
    assert len(house_film.bill) == len(rows("spend")) == 22 + 3 * 18
    [task] = rows("tasks")
    total = sum(billed.values())
    assert abs(task["pipeline_cost_usd"] - total) < CENT_OF_A_CENT
    assert abs(sum(day["spent_usd"] for day in rows("budget_days")) - total) < CENT_OF_A_CENT
    assert abs(sum(item["cost_usd"] for item in rows("items")) - total) < CENT_OF_A_CENT
    assert abs(Decimal(house_film.status["costUSD"]) - total) <= CENT_OF_A_CENT
    shown = {step["name"]: Decimal(step["costUSD"]) for step in house_film.status["steps"]}
    assert all(abs(shown[step] - usd) <= CENT_OF_A_CENT for step, usd in billed.items())
    assert {row["certainty"] for row in rows("spend")} == {"settled"}


def test_what_was_spent_is_the_bill_also_where_the_bill_is_not_our_table(studio, dear_film):
    bill = studio.bill(mark=DEAR)
    assert_equal_to_a_cent_of_a_cent(spent_by_step(studio, dear_film), billed_by_step(bill))
    [estimate] = studio.sql("SELECT estimated_cost_usd AS usd FROM tasks WHERE id = %s", dear_film.uid)
    assert sum(billed_by_step(bill).values()) > estimate["usd"] * Decimal("1.1")


def test_the_sample_is_estimated_between_6_and_13_dollars_and_the_film_costs_about_that(house_film):
    def sample(file: str, kind: str):
        documents = yaml.safe_load_all((SAMPLES / file).read_text(encoding="utf-8"))
        return next(document["spec"] for document in documents if document and document["kind"] == kind)

    channel = ChannelSpec.model_validate(sample("channel.yaml", "Channel"))
    task = VideoTaskSpec.model_validate(sample("videotask.yaml", "VideoTask"))
    estimates = estimate_by_step(task, channel, PriceTable())
    total = total_usd(estimates)
    print(f"\nestimate: { {step.value: str(found.cost_usd) for step, found in estimates.items()} }; {total}")
    assert 6 <= total <= 13
    assert {step for step, found in estimates.items() if found.cost_usd > 0} == set(STEP_OF_KIND.values())
    assert Decimal(house_film.status["estimatedCostUSD"]) == pytest.approx(total, abs=CENT_OF_A_CENT)
    assert Decimal(house_film.status["costUSD"]) == pytest.approx(total, rel=Decimal("0.05"))


# --- sessions -----------------------------------------------------------------------------------------------------


def test_no_session_idles_in_a_transaction_during_any_step(house_film):
    seen = defaultdict(list)
    for sample in house_film.samples:
        seen[sample.phase].append(sample)
    oldest = max(sample.oldest_seconds for sample in house_film.samples)
    latest = max(sample.late_seconds for sample in house_film.samples)
    looks = f"{len(house_film.samples)} looks, at worst {latest * 1000:.0f} ms late"
    print(f"\n{looks}; longest idle in a transaction: {oldest * 1000:.0f} ms")
    for traits in STEPS:
        assert len(seen[traits.working.value]) >= 3, f"hardly looked during {traits.working}"
    # A machine that gave the guard no turn may have given the operator none either.
    assert oldest < 1 + latest
