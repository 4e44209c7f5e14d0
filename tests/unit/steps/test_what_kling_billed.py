"""What a failed job of Kling's cost: nothing only if Kling says so, and no sum that a ledger cannot hold."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from pydantic import SecretStr
from tests.support.step_program import a_task_file

from videotask_contract.errors import FailureClass, VideoTaskError
from videotask_contract.ledger_record import LedgerRecord, RecordKind
from videotask_contract.steps import Provider, Step
from videotask_contract.task_file import ProviderSettings
from videotask_steps.clients.kling import KlingClient
from videotask_steps.items import Call
from videotask_steps.ledger import Ledger, PaidCall
from videotask_steps.steps.video_generation import _ClipMaker
from videotask_steps.stop_sign import StopSign

BOUND = Decimal("0.525")
SETTINGS = ProviderSettings(provider=Provider.KLING, base_url="http://provider.invalid", poll_interval_seconds=0.001)


def kling(billing: object) -> KlingClient:
    job = {"id": "7", "status": "failed", "message": "the model broke down", "billing": billing}
    if billing == "left out":
        del job["billing"]
    body = {"code": 0, "data": [job]}
    return KlingClient(
        SETTINGS, SecretStr("k3y"), transport=httpx.MockTransport(lambda _: httpx.Response(200, json=body))
    )


@pytest.mark.parametrize(
    ("billing", "cost_usd"),
    [
        ([], Decimal(0)),
        ([{"amount": "0"}], Decimal(0)),
        ([{"amount": "0.21"}, {"amount": 0.05}], Decimal("0.26")),
        ([{"amount": "0.42 USD"}], BOUND),
        ([{"amount": "NaN"}], BOUND),
        ([{"amount": "Infinity"}], BOUND),
        ([{"amount": "-1"}], BOUND),
        ([{"amount": "1.00"}, {"amount": "-0.5"}], BOUND),
        ([{"price": "0.42"}], BOUND),
        (["0.42"], BOUND),
        ({"amount": "0.42"}, BOUND),
        (None, BOUND),
        ("left out", BOUND),
    ],
    ids=str,
)
async def test_a_failed_job_costs_nothing_only_if_the_bill_says_so(
    tmp_path: Path, billing: Any, cost_usd: Decimal
) -> None:
    ledger = await Ledger.open(tmp_path, Step.VIDEO_GENERATION, run_id="run-1")
    paid = ledger.record_intent(item="01", key="key", take=1, model="m", upper_bound_usd=BOUND, external_id="ours")
    ledger.record_accepted(paid, provider_id="7")
    [paid] = ledger.calls()
    Image.new("RGB", (64, 36)).save(tmp_path / "composite.png")
    async with kling(billing) as client:
        task = a_task_file(Step.VIDEO_GENERATION, provider=SETTINGS)
        maker = _ClipMaker(task, client, composite=tmp_path / "composite.png", motion="pan", probe=lambda _path: None)
        call = Call(ledger, paid, part=tmp_path / "part", stopping=StopSign())
        with pytest.raises(VideoTaskError) as caught:
            await maker.resume(call)
    assert caught.value.failure_class is FailureClass.TRANSIENT
    assert call.cost_usd == cost_usd
    ledger.record_settled(paid, amount_usd=cost_usd)


@pytest.mark.parametrize("amount", ["NaN", "Infinity", "-0.01", "1e300", "1000000"])
def test_a_sum_that_no_ledger_can_hold_is_no_word_on_the_price(tmp_path: Path, amount: str) -> None:
    intent = LedgerRecord(
        kind=RecordKind.INTENT, at=datetime.now(UTC), run_id="run-1", item="01", key="key", amount_usd=BOUND
    )
    ledger: Any = None
    call = Call(ledger, PaidCall(intent=intent), part=tmp_path / "part", stopping=StopSign())
    call.charged(Decimal(amount))
    assert call.cost_usd is None
