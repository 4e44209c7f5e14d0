from __future__ import annotations

import re
from pathlib import Path

from videotask_contract.phases import Phase

ARCHITECTURE = Path(__file__).parents[3] / "docs" / "architecture.md"


def test_the_documentation_lists_exactly_the_tables_phases():
    text = ARCHITECTURE.read_text(encoding="utf-8")
    listed = re.search(r"<!-- phases -->(.*?)<!-- /phases -->", text, re.DOTALL)
    assert listed is not None
    assert set(re.findall(r"[a-z_]+", listed[1])) == {phase.value for phase in Phase}
