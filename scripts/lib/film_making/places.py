"""Where the two film makers put their things; results go to films/, all else to .build/."""

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
FILMS = REPOSITORY / "films"
SAMPLES = REPOSITORY / "samples"
CHART = REPOSITORY / "charts" / "videotask-operator"
BUILD = REPOSITORY / ".build"
DEMO = BUILD / "demo"
"""Everything of the last demo: emulators, operator, database, volume, logs; swept by the next one."""


def shown(path: Path) -> str:
    """Return a path as a person standing in the repository would type it."""
    return str(path.relative_to(REPOSITORY)) if path.is_relative_to(REPOSITORY) else str(path)
