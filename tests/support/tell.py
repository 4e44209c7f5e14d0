"""What a test calls to have its figures printed after the last test: `tell(title, words)`."""

from collections.abc import Callable
from typing import TypeAlias

Tell: TypeAlias = Callable[[str, object], None]
