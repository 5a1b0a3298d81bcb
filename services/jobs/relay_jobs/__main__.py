"""``relay-jobs dispatcher|worker|beat``, also ``python -m relay_jobs``."""

import sys

from relay_runtime import extra
from relay_runtime.process import run
from relay_settings.jobs import JobsSettings

ROLES = {"dispatcher": "dispatch", "worker": "work", "beat": "beat"}
"""The function of ``relay_jobs.app`` that does a role's work."""


def main() -> None:
    """Run the process that the first argument names."""
    role = sys.argv[1] if len(sys.argv) > 1 else ""
    if role in ROLES:
        del sys.argv[1]
        work = getattr(extra.load("relay_jobs.app", "jobs"), ROLES[role])
        run(f"jobs-{role}", JobsSettings, work, program=f"relay-jobs {role}")
    elif role in ("-h", "--help"):
        print(f"usage: relay-jobs {'|'.join(ROLES)} [flags]; each has --help")  # noqa: T201  # what was asked for
    else:
        print(f"relay-jobs: name a role first: {', '.join(ROLES)}", file=sys.stderr)  # noqa: T201  # no logs yet
        sys.exit(2)


if __name__ == "__main__":
    main()
