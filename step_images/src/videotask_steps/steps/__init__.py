"""One program a step, started as `python -m videotask_steps.steps.<step>`; importing one must start no work."""

import sys

from videotask_steps import early_stop

# While `python -m` imports this package sys.argv[0] still reads "-m": a program is starting, not a test or a tool.
# The handler must stand before the heavy imports, since PID 1 of a container never hears a signal it does not handle.
if sys.argv[:1] == ["-m"]:
    early_stop.install()
