"""Every film that a refused account holds up says what to do about it, however much the provider has to say."""

from __future__ import annotations

import pytest
from tests.support.quiet_studio import QuietStudio

from videotask_contract.errors import FailureClass
from videotask_contract.report import Failure

SUSPENDED = (
    "Gemini answered 403 PERMISSION_DENIED: Consumer 'api_key:AIza***' has been suspended. Please contact support."
)
OF_ALL = "; ".join(f"image old-heron-{number}: {SUSPENDED}" for number in range(6)) + "; 16 more items were not begun"


@pytest.mark.parametrize("words", ["key dead", SUSPENDED, OF_ALL], ids=["few", "one image's", "those of all images"])
async def test_what_a_person_can_do_stands_in_the_status_of_a_film_that_waits_for_the_account(words):
    studio = QuietStudio()
    studio.has_channel()
    studio.has_film("one")
    await studio.look()
    await studio.finish("one", failure=Failure(failure_class=FailureClass.ACCOUNT, message=words))
    studio.has_film("two")
    await studio.look()
    (waiting,) = [task.status for key, task in studio.cluster.tasks.items() if key.name == "two"]
    for told in (waiting["message"], studio.condition("two", "LaidAside")["message"], studio.ready()["message"]):
        assert words[:150] in told
        assert "then raise spec.attempt of one of its films to try it, or change the Channel's spec" in told
    (event,) = [event for _, event in studio.cluster.channel_events if event.reason == "AccountRefused"]
    assert len(event.message) <= 1024
    assert "change the Channel's spec" in event.message
