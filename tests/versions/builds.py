"""Builds: another version of the project, taken by git and installed into an environment of its own."""

import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_KEPT = ROOT / "build" / "versions"
_INSTALL_TIMEOUT_S = 900
GIT, TAR = (shutil.which(name) or name for name in ("git", "tar"))


@dataclass(frozen=True)
class Build:
    """A version that can be run.

    Attributes:
        name: For a person.
        python: The interpreter that has it.
        foreign: Whether it is another version than the one under test.
    """

    name: str
    python: Path
    foreign: bool = True

    def has(self, module: str) -> bool:
        """Whether this version has a module. Blocks."""
        code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)"
        done = subprocess.run([self.python, "-I", "-c", code], check=False, capture_output=True)
        return done.returncode == 0


PRESENT = Build("present", Path(sys.executable), foreign=False)
"""The version under test: this checkout."""


def default_ref() -> str:
    """The newest release before this commit; without one, the commit before."""
    done = _git("describe", "--tags", "--abbrev=0", "HEAD^", check=False)
    return done or "HEAD^"


def build_of(ref: str) -> Build:
    """The build of a commit, made once and kept under ``build/versions``. Blocks, at first for minutes.

    Raises:
        subprocess.CalledProcessError: Git does not know the commit, or it cannot be installed.
    """
    commit = _git("rev-parse", "--verify", f"{ref}^{{commit}}")
    folder = _KEPT / commit[:12]
    build = Build(_git("describe", "--tags", "--always", commit), folder / "venv" / "bin" / "python")
    ready = folder / ".ready"
    if not ready.exists():
        shutil.rmtree(folder, ignore_errors=True)
        sources = folder / "sources"
        sources.mkdir(parents=True)
        archive = subprocess.run(
            [GIT, "archive", "--format=tar", commit], cwd=ROOT, capture_output=True, check=True
        )
        subprocess.run([TAR, "-x", "-C", sources], input=archive.stdout, check=True)
        venv.create(folder / "venv", with_pip=True)
        subprocess.run(
            [
                build.python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
                "--constraint", sources / "constraints.txt", f"{sources}[all]",
                "packaging",  # of kombu's transport, which older versions do not name
            ],
            check=True, timeout=_INSTALL_TIMEOUT_S,
        )  # fmt: skip
        ready.touch()
    return build


def _git(*arguments: str, check: bool = True) -> str:
    done = subprocess.run([GIT, *arguments], cwd=ROOT, capture_output=True, text=True, check=check)
    return done.stdout.strip()
