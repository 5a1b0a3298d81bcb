"""``relay-jobs dispatcher|worker|beat``, also ``python -m relay_jobs``."""

import sys

from relay_jobs.app import beat, dispatch, work
from relay_runtime.process import run
from relay_settings.jobs import JobsSettings

ROLES = {"dispatcher": dispatch, "worker": work, "beat": beat}


def main() -> None:
    """Run the process that the first argument names."""
    role = sys.argv[1] if len(sys.argv) > 1 else ""
    if role in ROLES:
        del sys.argv[1]
        run(f"jobs-{role}", JobsSettings, ROLES[role], program=f"relay-jobs {role}")
    elif role in ("-h", "--help"):
        print(f"usage: relay-jobs {'|'.join(ROLES)} [flags]; each has --help")  # noqa: T201  # what was asked for
    else:
        print(f"relay-jobs: name a role first: {', '.join(ROLES)}", file=sys.stderr)  # noqa: T201  # no logs yet
        sys.exit(2)


if __name__ == "__main__":
    main()
