"""What can go wrong with the local cluster, in words for a person; it must never carry a traceback to them."""


class ClusterError(Exception):
    """Something failed; the message says what, and what to do about it. Exit code 1."""

    exit_code = 1


class CannotRunError(ClusterError):
    """No cluster can run on this machine; `reasons` says exactly why. Exit code 3."""

    exit_code = 3

    def __init__(self, reasons: list[str]) -> None:
        self.reasons = reasons
        lines = "\n".join(f"  - {reason}" for reason in reasons)
        super().__init__(
            f"no cluster can run on this machine:\n{lines}\n"
            "Docker or Podman with kind would do as well. `make demo` makes a film without any cluster, root or keys."
        )
