"""Stands in for a step: says that all is done, as fast as Python starts; it needs the standard library alone."""

import hashlib
import json
import os
import sys
import time
from pathlib import Path

step = sys.argv[1]
task = json.loads(Path(os.environ["VIDEOTASK_TASK_FILE"]).read_text())
volume = Path(os.environ["VIDEOTASK_VOLUME"])
print(json.dumps({"event": "step_ran", "step": step, "run": task["runNumber"]}), flush=True)
hold = volume.parents[3] / f"hold-{task['task']['name']}"
while hold.exists() and hold.read_text() == step:
    time.sleep(0.05)
report = {"runId": task["runId"], "step": step, "outcome": "done", "done": 2, "total": 2}
if step == "video_generation":
    spend = {"callId": f"call-{task['runId']}", "runId": task["runId"], "item": "01", "model": "kling-2.5-turbo"}
    report["spend"] = [spend | {"amountUsd": "0.42", "certainty": "settled", "at": "2026-11-22T12:00:00Z"}]
    report["spentUsd"] = "0.42"
if step == "video_assembly":
    film = {"path": "film.mp4", "durationSeconds": 9, "sizeBytes": 4, "sha256": "", "loudnessLufs": -14}
    (volume / "film.mp4").write_bytes(b"film")
    film["sha256"] = hashlib.sha256(b"film").hexdigest()
    report["film"] = film
else:
    report["storyboardSha256"] = "0" * 64
Path(os.environ["VIDEOTASK_TERMINATION_LOG"]).write_text(json.dumps(report))
