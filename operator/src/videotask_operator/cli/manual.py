"""What the command line teaches of each command: summary, note, examples; never an option that is not there."""

from __future__ import annotations

from typing import Final

from videotask_contract.changes import PAID_STEPS

SUMMARIES: Final = {
    "get": "show films, once or live",
    "describe": "tell all of one film, and what to do next",
    "approve": "say yes to what is on show",
    "reject": "say no to what is on show, and why",
    "redo": "have items made anew, paid again",
    "take": "let another take count, at no cost",
    "edit": "give a scene or an asset new words",
    "retry": "go on after an error, with all that is finished kept",
    "suspend": "stop a film for a while, with all that is finished kept",
    "resume": "let a suspended film go on",
    "cancel": "end a film for good",
    "set": "change budget, priority or a time limit while it runs",
    "fetch": "copy a finished film to this machine",
    "logs": "print what the newest run said",
    "costs": "tell what was spent, kept and spent again",
    "version": "print the version",
    "completion": "print a script that completes words in a shell",
}
"""One line each, in the order in which help lists them."""

_DECISION: Final = (
    "A decision counts for one gate and one round. In a cluster it takes the verb approve on videotasks "
    "(ClusterRole videotask-approver)."
)
NOTES: Final = {
    "approve": _DECISION,
    "reject": _DECISION,
    "redo": f"Steps: {', '.join(PAID_STEPS)}; or what they make: images, clips, narrations, effects. What follows "
    "from the items is made anew too. Earlier takes stay: `videotask take` brings them back.",
    "edit": "Only what is edited and what depends on it is made and paid again. Without new words an editor shows the "
    "present ones; a generated storyboard is read from the channel's volume for it, in a cluster by a short-lived "
    "pod, or from --storyboard FILE.",
    "costs": "Planned, paid, possibly paid, kept by resume and spent on redo. The operator's own program answers, "
    "from its record: in a cluster by `kubectl exec` into its pod, which takes that right in its namespace; on a "
    "laptop from the folder's database. Without -n it tells of all films.",
    "completion": "It completes commands, steps and the names of films.",
}

EXAMPLES: Final = {
    "get": """\
  # all films of the namespace
  videotask get
  # of all namespaces, with channel, priority, attempt and file
  videotask get -A -o wide
  # live; on a pipe, a line for each change
  videotask get -w
  # one film live, step by step
  videotask get reedwater -w
  # wait; exit code 4 if it ends otherwise
  videotask get reedwater -w --until FinalReview""",
    "describe": """\
  # steps, money, changes, history, events
  videotask describe reedwater""",
    "approve": """\
  # what is on show now
  videotask approve reedwater
  # only if round 2 is still on show
  videotask approve reedwater --round 2""",
    "reject": """\
  # what is on show now
  videotask reject reedwater --reason 'The heron blinks'
  # only if round 2 is still on show
  videotask reject reedwater --round 2 --reason 'The heron blinks'""",
    "redo": """\
  # new takes of clips 7 and 12
  videotask redo reedwater video_generation:7,12
  # an image by its name, and a clip
  videotask redo reedwater images:old-heron clips:7
  # all narrations
  videotask redo reedwater narrations""",
    "take": """\
  # the first take of clip 7 counts again
  videotask take reedwater video_generation:7=1
  # no choice: the latest counts
  videotask take reedwater clips:7=latest""",
    "edit": """\
  # new words for one field
  videotask edit reedwater --scene 7 --narration "The lamp was lit again."
  # its present words in $EDITOR
  videotask edit reedwater --scene 7
  # an image's prompt
  videotask edit reedwater --asset old-heron --prompt "An old grey heron …"
  # take the edits of scene 7 back; without --scene: all
  videotask edit reedwater --clear --scene 7""",
    "retry": """\
  # raises spec.attempt
  videotask retry reedwater""",
    "suspend": """\
  # calls in flight finish first
  videotask suspend reedwater""",
    "resume": """\
  # where it stopped
  videotask resume reedwater""",
    "cancel": """\
  # asks first
  videotask cancel reedwater
  # for scripts
  videotask cancel reedwater -y""",
    "set": """\
  # its cap in dollars
  videotask set reedwater budget=12.50
  # which queued film goes first
  videotask set reedwater priority=high
  # seconds for one clip; =default: the usual
  videotask set reedwater timeout.video_generation=900""",
    "fetch": """\
  # to reedwater.mp4, proved to be the film of the status
  videotask fetch reedwater
  # to a file of your choice
  videotask fetch reedwater -o ~/films/heron.mp4
  # its storyboard, also before there is a film
  videotask fetch reedwater --storyboard""",
    "logs": """\
  # of the step under way, as it comes
  videotask logs reedwater -f
  # of the newest run of one step
  videotask logs reedwater video_generation""",
    "costs": """\
  # this month, by channel
  videotask costs
  # a month's bill for a spreadsheet
  videotask costs --month 2026-11 --by channel,provider,film -o csv""",
    "version": """\
  # for programs
  videotask version -o json""",
    "completion": """\
  # in ~/.bashrc, or with zsh in ~/.zshrc
  source <(videotask completion bash)""",
}
