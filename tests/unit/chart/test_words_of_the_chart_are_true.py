"""What the chart tells people to do does what they mean by it."""

from __future__ import annotations

import re
from pathlib import Path

CHART = Path(__file__).resolve().parents[3] / "charts" / "videotask-operator"


def test_every_printed_approval_carries_its_round():
    text = (CHART / "templates" / "NOTES.txt").read_text(encoding="utf-8")
    approvals = re.findall(r'"decision":"Approved"(.*)', text)
    assert approvals
    for rest in approvals:
        assert rest.startswith(',"round":1'), "without a round it approves whatever is on show by then"


def test_the_values_say_that_the_databases_size_is_fixed_and_how_it_grows():
    text = (CHART / "values.yaml").read_text(encoding="utf-8")
    words = text.split("    storage:\n", 1)[1].split("      size:", 1)[0]
    assert "Fixed at the installation" in words
    assert "--cascade=orphan" in words
