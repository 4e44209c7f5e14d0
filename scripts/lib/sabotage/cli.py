"""The command line of scripts/sabotage; it must never change a file of the work tree outside .build."""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import queue
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from typing import Final

from local_cluster.console import paint, progress, say
from sabotage.patches import REPOSITORY, Need, Patch, PatchError, load_patches
from sabotage.throwaway import Copy, CopyError
from sabotage.trial import Outcome, Runner, Verdict, try_patch

_PLACE: Final = REPOSITORY / ".build" / "sabotage"
_CLUSTER_SECONDS: Final = 60
_NAME_WIDTH: Final = 36
_WORDS_WIDTH: Final = 160
_SHOWN: Final = 3
"""Tests named while it runs; all of them stand in results.json."""
_DESCRIPTION = """\
Breaks one promise of the product after another, each by a small patch in a throwaway copy of the work tree, and names
the tests that notice. A promise that can be broken with every test content is a promise nobody keeps: the run fails.
"""
_EPILOG = """\
examples:
  scripts/sabotage                          all patches, one after another
  scripts/sabotage -j 2                     two at a time, each in a copy of its own
  scripts/sabotage --only ledger            the patches whose names hold "ledger"
  scripts/sabotage --list                   names and promises, nothing is run

A patch is a file tests/sabotage/NAME.toml:
  promise = "what the product promises, as a sentence"
  file = "the file that keeps it"
  old = "a text that stands there exactly once: code may move, but must not change unnoticed"
  new = "the text that breaks the promise"
  tests = ["tests/unit/....py::test_that_should_notice"]
  needs = "cluster"             only where no test without a cluster can notice
  deadline_seconds = 300        for each of its tests

How it is judged: the same tests must pass in the copy without any patch; with the patch the file must still compile,
its tests must be collected, and one of them must fail by itself. A time-out, a skip or a failing fixture is no verdict.
Patches that need a cluster are tried where `scripts/cluster` runs one, or $E2E_KUBECONFIG names one, and scripts/images
has built; else they are named as skipped.

Written: .build/sabotage/table.md, results.json and logs/NAME.txt (what pytest said).
Exit code: 0 every promise is kept by a test; 1 one is not, or a patch does not apply; 2 wrong words; 130 interrupted.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Try the patches and return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        chosen = _chosen(load_patches(), options.only + options.names)
        if options.list:
            _list(chosen)
            return 0
        subprocess.run([REPOSITORY / "scripts" / "venv", "dev"], check=True)
        signal.signal(signal.SIGTERM, _interrupt)
        with _alone():
            outcomes = _try_all(chosen, jobs=options.jobs, commit=options.commit)
    except (PatchError, CopyError) as error:
        say(f"{paint('scripts/sabotage:', 'red')} {error}")
        return 1
    except subprocess.CalledProcessError as error:
        say(f"{paint('scripts/sabotage:', 'red')} {error}")
        return 1
    except KeyboardInterrupt:
        say("scripts/sabotage: interrupted; nothing of it is left but .build/sabotage")
        return 130
    _tell(outcomes)
    return 0 if all(outcome.verdict.is_good for outcome in outcomes) else 1


def _parser() -> argparse.ArgumentParser:
    style = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        "scripts/sabotage", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=style
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="only patches whose names hold one of these words")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="the same, said as an option")
    parser.add_argument("--list", action="store_true", help="name the patches and their promises")
    parser.add_argument("-j", "--jobs", type=int, default=1, metavar="N", help="patches at a time (default: 1)")
    parser.add_argument("--commit", metavar="REV", help="break this commit (default: the work tree as it is)")
    return parser


def _chosen(patches: Sequence[Patch], words: Sequence[str]) -> list[Patch]:
    for word in words:
        if not any(word in patch.name for patch in patches):
            raise PatchError(f"no patch has {word!r} in its name; scripts/sabotage --list names them all")
    return [patch for patch in patches if not words or any(word in patch.name for word in words)]


def _list(patches: Sequence[Patch]) -> None:
    for patch in patches:
        mark = f" (needs a {patch.needs.value})" if patch.needs else ""
        print(f"{patch.name:<{_NAME_WIDTH}} {patch.promise}{mark}")
    print(f"{len(patches)} patches")


@contextmanager
def _alone() -> Iterator[None]:
    """Two runs would break each other's copies."""
    (_PLACE / "logs").mkdir(parents=True, exist_ok=True)
    with (_PLACE / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CopyError("another scripts/sabotage is at work here") from None
        yield


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


# --- the run --------------------------------------------------------------------------------------------------------


def _try_all(patches: Sequence[Patch], *, jobs: int, commit: str | None) -> list[Outcome]:
    cluster, why_not = _find_cluster(patches)
    able = [patch for patch in patches if patch.needs is None or cluster]
    skipped = [Outcome(patch=patch, verdict=Verdict.SKIPPED, words=why_not) for patch in patches if patch not in able]
    if not able:
        return skipped
    copies = [Copy(_PLACE / f"copy-{number}") for number in range(1, max(1, min(jobs, len(able))) + 1)]
    runner = Runner(_PLACE / "logs", cluster)
    try:
        with progress(f"Copying the work tree {len(copies)} times" if len(copies) > 1 else "Copying the work tree"):
            for copy in copies:
                copy.make(commit=commit)
        sound = _sound_tests(able, copies[0], runner)
        return sorted([*_in_turn(able, copies, runner, sound), *skipped], key=lambda outcome: outcome.patch.name)
    finally:
        runner.end_all()
        for copy in copies:
            copy.remove()


def _find_cluster(patches: Sequence[Patch]) -> tuple[dict[str, str], str]:
    """Return what leads the tests to a cluster, empty with a reason where none answers."""
    if not any(patch.needs is Need.CLUSTER for patch in patches):
        return {}, ""
    named = os.environ.get("E2E_KUBECONFIG", "")
    if not named:
        words = [str(REPOSITORY / "scripts" / "cluster"), "kubeconfig"]
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=_CLUSTER_SECONDS)
        named = done.stdout.strip() if done.returncode == 0 else ""
    if not named:
        return {}, "no cluster is up; `scripts/cluster up` brings one"
    if not (REPOSITORY / ".build" / "values-images.yaml").exists():
        return {}, "no images are built; `scripts/images` builds them"
    return {"KUBECONFIG": named}, ""


def _sound_tests(patches: Sequence[Patch], copy: Copy, runner: Runner) -> frozenset[str]:
    """Return the tests that pass without any patch; the others can bear no witness."""
    tests = {test for patch in patches for test in patch.tests}
    with progress(f"Running the {len(tests)} tests without any patch"):
        longest = max(patch.deadline_seconds for patch in patches)
        told = runner.run(copy, tests, name="unpatched", deadline_seconds=longest)
    for test, words in told.failed.items():
        say(f"  {paint('fails without a patch:', 'red')} {test}: {words}")
    for problem in told.problems:
        say(f"  {paint('without a patch:', 'red')} {problem}")
    return told.passed


def _in_turn(patches: Sequence[Patch], copies: Sequence[Copy], runner: Runner, sound: frozenset[str]) -> list[Outcome]:
    free: queue.Queue[Copy] = queue.Queue()
    for copy in copies:
        free.put(copy)

    def attempt(patch: Patch) -> Outcome:
        copy = free.get()
        try:
            _show_begun(patch)
            return try_patch(patch, copy, runner, sound=sound)
        finally:
            free.put(copy)

    outcomes: list[Outcome] = []
    with ThreadPoolExecutor(max_workers=len(copies)) as pool:
        futures = [pool.submit(attempt, patch) for patch in patches]
        try:
            for future in as_completed(futures):
                outcomes.append(future.result())
                _show(outcomes[-1], number=len(outcomes), of=len(patches))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            runner.end_all()
            raise
    return outcomes


# --- what people see ------------------------------------------------------------------------------------------------


def _show_begun(patch: Patch) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K  breaking {patch.name} ...")
        sys.stderr.flush()


def _show(outcome: Outcome, *, number: int, of: int) -> None:
    if sys.stderr.isatty():
        sys.stderr.write("\r\033[K")
    is_noticed = outcome.verdict is Verdict.NOTICED
    mark = paint("✓", "green") if is_noticed else paint("✗", "red")
    verdict = "" if is_noticed else f" {paint(outcome.verdict.value, 'red')}: {outcome.words}"
    say(f"{mark} [{number:>2}/{of}] {outcome.patch.name} ({outcome.seconds:.1f} s){verdict}")
    say(f"       promise: {outcome.patch.promise}")
    for test, words in outcome.noticed_by[:_SHOWN]:
        say(f"       noticed by {test}: {paint(words[:_WORDS_WIDTH], 'dim')}")
    if len(outcome.noticed_by) > _SHOWN:
        say(f"       and by {len(outcome.noticed_by) - _SHOWN} more")
    if not is_noticed:
        say(f"       expected to notice: {', '.join(outcome.patch.tests)}")


def _tell(outcomes: Sequence[Outcome]) -> None:
    print(f"\n{'PATCH':<{_NAME_WIDTH}} {'RESULT':<15} {'SECONDS':>7}  NOTICED BY")
    for outcome in outcomes:
        facts = f"{outcome.patch.name:<{_NAME_WIDTH}} {outcome.verdict.value:<15} {outcome.seconds:>7.1f}"
        print(f"{facts}  {_witnesses(outcome)}")
    counts = {verdict: sum(outcome.verdict is verdict for outcome in outcomes) for verdict in Verdict}
    print(", ".join(f"{count} {verdict.value}" for verdict, count in counts.items() if count))
    _write(outcomes)


def _witnesses(outcome: Outcome) -> str:
    if not outcome.noticed_by:
        return outcome.words
    first, *others = (test.rpartition("::")[2] for test, _ in outcome.noticed_by)
    return f"{first} and {len(others)} more" if others else first


def _write(outcomes: Sequence[Outcome]) -> None:
    lines = ["| promise | broken by | noticed by |", "|---|---|---|"]
    for outcome in outcomes:
        tests = "<br>".join(f"`{test.rpartition('::')[2].partition('[')[0]}`" for test in _distinct(outcome))
        lines.append(f"| {outcome.patch.promise} | `{outcome.patch.name}` | {tests or outcome.verdict.value} |")
    (_PLACE / "table.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    facts = [
        {
            "patch": outcome.patch.name,
            "promise": outcome.patch.promise,
            "verdict": outcome.verdict.value,
            "seconds": round(outcome.seconds, 1),
            "noticed_by": [{"test": test, "words": words} for test, words in outcome.noticed_by],
            "words": outcome.words,
        }
        for outcome in outcomes
    ]
    (_PLACE / "results.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def _distinct(outcome: Outcome) -> tuple[str, ...]:
    return tuple(dict.fromkeys(test.partition("[")[0] for test, _ in outcome.noticed_by))
