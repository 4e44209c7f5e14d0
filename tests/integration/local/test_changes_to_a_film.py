"""A person changes a film that is made: what each change costs by the provider's own bill, and in which round it is."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Any

import pytest
from tests.integration.local.laptop import NightShift

from videotask_contract.phases import Phase
from videotask_emulators.testing import EmulatorProcess

pytestmark = pytest.mark.timeout(900)
WAIT_SECONDS = 400


class Film:
    """One film of two scenes whose storyboard is generated, shown at the storyboard gate and at the end."""

    def __init__(self, night: NightShift, emulators: EmulatorProcess) -> None:
        self.night = night
        self._emulators = emulators
        self._spec: dict[str, Any] = {
            "storyboard": None,
            "topic": "a lighthouse and its keeper",
            "sceneCount": 2,
            "assetCount": 2,
            "gates": ["storyboard"],
            "budgetUSD": "20",
        }

    def change(self, **spec: Any) -> None:
        """Apply the film with other words, as `kubectl patch` would."""
        self._spec |= spec
        self.night.film("tide", channel="tides", scenes=2, **self._spec)

    def approve(self, gate: str, round_number: int) -> None:
        self.change(approvals={gate: {"decision": "Approved", "by": "alice", "round": round_number}})

    def until_shown(self, gate: str, round_number: int) -> dict[str, Any]:
        """Wait until this gate is on show in this round; return the status."""

        def is_shown() -> bool:
            status = self.night.status("tide")
            assert not status.get("phase", "").endswith(("Error", "Exceeded", "Failed")), status["message"]
            review = status.get("review", {})
            return (review.get("gate"), review.get("round")) == (gate, round_number)

        self.night.wait(f"{gate} is on show in round {round_number}", is_shown, seconds=WAIT_SECONDS)
        return self.night.status("tide")

    def bill(self) -> Counter[str]:
        """Return how often each kind of thing was charged for."""
        return Counter(entry["kind"] for entry in self._emulators.control.bill()["entries"])

    def billed_usd(self) -> Decimal:
        return sum(
            (Decimal(entry["amount_usd"]) for entry in self._emulators.control.bill()["entries"]), start=Decimal(0)
        )


def test_a_corrected_line_two_new_takes_and_an_old_one_cost_what_they_are_and_each_has_its_round(tmp_path):
    with EmulatorProcess(state_dir=tmp_path / "emulators") as emulators:
        night = NightShift(tmp_path / "night", emulators.url)
        night.channel("tides")
        with night:
            film = Film(night, emulators)
            film.change()
            film.until_shown("storyboard", 1)
            assert sum(film.bill().values()) == 1  # the text; no image before a person has looked
            film.change(edits={"scenes": [{"scene": "1", "motion": "the lamp turns slowly"}]})
            film.until_shown("storyboard", 2)
            assert sum(film.bill().values()) == 1
            film.approve("storyboard", 1)
            film.approve("storyboard", 2)
            made = film.until_shown("final", 3)
            at_first = film.bill()
            film.change(
                edits={
                    "scenes": [
                        {"scene": "1", "motion": "the lamp turns slowly"},
                        {"scene": "2", "narration": "Nobody sleeps when the tide comes in."},
                    ]
                }
            )
            # An edit asks for the storyboard's approval too; that of an earlier round is none.
            film.until_shown("storyboard", 4)
            film.approve("storyboard", 4)
            corrected = film.until_shown("final", 5)
            one_line = film.bill() - at_first
            for request, round_number in (("once", 6), ("twice", 7)):
                film.change(redo={"request": request, "steps": [{"step": "video_generation", "items": ["2"]}]})
                film.until_shown("final", round_number)
            two_clips = film.bill() - at_first - one_line
            film.change(takes=[{"step": "video_generation", "item": "2", "take": 1}])
            restored = film.until_shown("final", 8)
            nothing = film.bill() - at_first - one_line - two_clips
            film.approve("final", 7)
            film.change(priority="high")
            night.wait("it is seen", lambda: night.status("tide").get("review", {}).get("round") == 8, seconds=30)
            assert night.phase("tide") is Phase.FINAL_REVIEW
            film.approve("final", 8)
            night.wait("it is approved", lambda: night.phase("tide") is Phase.COMPLETED, seconds=60)
            recorded = night.sql("SELECT pipeline_cost_usd, redo_counts, waited_seconds FROM tasks")[0]
            billed_usd = film.billed_usd()
    assert sum(one_line.values()) == 1
    assert sum(two_clips.values()) == 2
    assert len(two_clips) == len(one_line) == 1
    assert two_clips.keys() != one_line.keys()
    assert not nothing
    assert recorded["pipeline_cost_usd"] == billed_usd
    assert recorded["redo_counts"] == {"video_generation": {"2": 2}}
    assert restored["redoRequest"] == "twice"
    assert Decimal(restored["keptUSD"]) > Decimal(corrected["keptUSD"]) > Decimal(made.get("keptUSD", "0"))
