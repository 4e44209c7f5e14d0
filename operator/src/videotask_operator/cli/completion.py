"""Words for a shell's completion: commands, steps and the names of films; it must never hold a shell up for long."""

from __future__ import annotations

from typing import Final

SHELLS: Final = ("bash", "zsh")

_BASH: Final = """\
_videotask() {
  local word="${COMP_WORDS[COMP_CWORD]}" command="${COMP_WORDS[1]}" index
  local -a where=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "@COMMANDS@" -- "$word"))
    return
  fi
  for ((index = 2; index < COMP_CWORD; index++)); do
    case "${COMP_WORDS[index]}" in
      -n|--namespace|--context|--kubeconfig|--folder)
        where+=("${COMP_WORDS[index]}" "${COMP_WORDS[index + 1]}") ;;
    esac
  done
  case "$command:$word" in
    *:-*) COMPREPLY=($(compgen -W "-n --namespace --context --kubeconfig --folder -o --help" -- "$word")) ;;
    version:*|costs:*|completion:*) ;;
    *)
      if [ "$COMP_CWORD" -eq 2 ]; then
        COMPREPLY=($(compgen -W "$(videotask get -o name "${where[@]}" 2>/dev/null | sed 's,.*/,,')" -- "$word"))
      else
        COMPREPLY=($(compgen -W "@STEPS@" -- "$word"))
      fi ;;
  esac
}
complete -F _videotask videotask
"""
_ZSH: Final = "autoload -Uz bashcompinit && bashcompinit\n"


def completion_script(shell: str, *, commands: tuple[str, ...], steps: tuple[str, ...]) -> str:
    """Return the script for this shell."""
    script = _BASH.replace("@COMMANDS@", " ".join(commands)).replace("@STEPS@", " ".join(steps))
    return f"{_ZSH}{script}" if shell == "zsh" else script
