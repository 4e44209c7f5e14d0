"""A step of two seconds: asks for its permit, sleeps, reports all items done. With CHAIN set it only sleeps."""

import json
import os
import sys
import time
import urllib.request
from pathlib import Path

SECONDS = 2.0


def main() -> int:
    if os.environ.get("CHAIN"):
        time.sleep(SECONDS)
        return 0
    task = json.loads(Path(os.environ["VIDEOTASK_TASK_FILE"]).read_text(encoding="utf-8"))
    post(task, "permit", {"runId": task["runId"]})
    time.sleep(SECONDS)
    post(task, "final", final_report(task))
    return 0


def final_report(task: dict) -> dict:
    items = {"asset_generation": len(task.get("storyboard", {}).get("assets", ()))}
    total = items.get(task["step"], 1) or 1
    report = {"runId": task["runId"], "step": task["step"], "outcome": "done", "done": total, "total": total}
    if task["step"] == "asset_generation":
        report["storyboardSha256"] = "0" * 64
    if task["step"] == "video_assembly":
        film = {"path": "film.mp4", "durationSeconds": 2.0, "sizeBytes": 1, "sha256": "0" * 64, "loudnessLufs": -14.0}
        report["film"] = film
    return report


def post(task: dict, call: str, body: dict) -> None:
    token = Path(os.environ["VIDEOTASK_REPORT_TOKEN_FILE"]).read_text(encoding="utf-8").strip()
    request = urllib.request.Request(
        f"{task['reportUrl']}/v1/runs/{task['runId']}/{call}",
        data=json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        answer.read()


if __name__ == "__main__":
    sys.exit(main())
