"""A whole film on the laptop adaptor that runs out of money: stopped in time, told how to go on, and paid once."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
from decimal import Decimal

import pytest
from tests.integration.local.laptop import SMALL, NightShift

from videotask_contract.phases import Phase
from videotask_operator.core.costs import CostFormat, CostKey, parse_month, render
from videotask_operator.local.postgres import find_postgres
from videotask_operator.store.costs import costs_report, open_read_only

pytestmark = pytest.mark.timeout(1200)
WAIT_SECONDS = 500
DEAR = SMALL | {"videoModel": "kling-3.0-turbo", "videoResolution": "1080p", "clipSeconds": 10}
"""1.40 dollars a clip: six of them, and the rest of the film, are nine dollars."""


def patch_in(message):
    """Return the patch of the command that a message gives, as a shell reads it."""
    command = shlex.split(re.search(r"kubectl patch .*'", message)[0])
    assert command[:4] == ["kubectl", "patch", "videotask", "nine"]
    return json.loads(command[-1])["spec"]


def costs_of(night, *by):
    """Return the rows of the costs report of all months in which the record spent, as a program reads them."""
    months = [row["month"] for row in night.sql("SELECT DISTINCT to_char(day, 'YYYY-MM') AS month FROM spend")]
    rows = []
    with open_read_only(find_postgres(night.folder.root / "postgres").url("videotask")) as connection:
        for month in months:
            text = render(costs_report(connection, month=parse_month(month), by=by), CostFormat.CSV)
            rows += csv.DictReader(io.StringIO(text))
    return rows


def billed_twice(control):
    seen = [(entry["provider"], entry["kind"], entry["prompt_sha256"]) for entry in control.bill()["entries"]]
    return {entry for entry in seen if seen.count(entry) > 1}


def test_a_film_of_nine_with_a_cap_of_five_stops_before_it_says_who_may_raise_it_and_then_finishes(
    tmp_path, emulators, control
):
    night = NightShift(tmp_path, emulators.url)
    night.channel("tides")
    night.film("nine", channel="tides", scenes=6, quality=DEAR, budgetUSD="5.00")
    with night:
        # What calls under way had reserved and did not need is spent too, before it stops for good.
        night.wait("it says how", lambda: "kubectl" in night.status("nine").get("message", ""), seconds=WAIT_SECONDS)
        stopped = night.status("nine")
        assert stopped["phase"] == Phase.BUDGET_EXCEEDED.resource
        assert Decimal(stopped["estimatedCostUSD"]) > 9
        billed = control.total_usd()
        assert Decimal("5.00") - Decimal("1.75") < billed <= Decimal("5.00"), (
            "all that the cap allows, and not a call more"
        )
        assert Decimal(stopped["costUSD"]) == billed
        assert "whoever may edit the VideoTask can" in stopped["message"]
        night.film("nine", channel="tides", scenes=6, quality=DEAR, **patch_in(stopped["message"]))
        night.wait("it is on show", lambda: night.phase("nine") is Phase.FINAL_REVIEW, seconds=WAIT_SECONDS)
        assert billed_twice(control) == set()
        assert Decimal(night.status("nine")["costUSD"]) == control.total_usd()
        rows = costs_of(night, CostKey.PROVIDER, CostKey.STEP)
        [spent] = night.sql("SELECT sum(amount_usd) AS usd FROM spend")
        assert sum(Decimal(row["total_usd"]) for row in rows) == spent["usd"] == control.total_usd()
        by_provider = {
            provider: sum(Decimal(row["total_usd"]) for row in rows if row["provider"] == provider)
            for provider in ("gemini", "kling", "elevenlabs")
        }
        for provider, usd in by_provider.items():
            billed_by = [entry for entry in control.bill()["entries"] if entry["provider"] == provider]
            assert usd == sum(Decimal(str(entry["amount_usd"])) for entry in billed_by)
        clips = next(row for row in rows if row["step"] == "video_generation")
        assert Decimal(clips["kept_usd"]) == 3 * Decimal("1.40")
        assert Decimal(clips["redo_usd"]) == 0
        assert Decimal(clips["planned_usd"]) == 6 * Decimal("1.40")
