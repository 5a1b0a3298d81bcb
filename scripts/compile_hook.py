"""Compiles the hot path with mypyc while a wheel is built, if that is asked for.

``HATCH_BUILD_HOOKS_ENABLE=1 pip install .`` does; without it the wheel is pure Python and runs everywhere.
The sources stay in the wheel beside what was made of them, for tracebacks and for readers.
"""

import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_SAID_CHARACTERS = 2000


class CompileHook(BuildHookInterface):  # type: ignore[type-arg]  # hatchling leaves its configuration open
    """Part of hatchling: ``[tool.hatch.build.targets.wheel.hooks.custom]`` lists the modules."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile into a folder of its own and have the wheel take what is in it.

        Raises:
            RuntimeError: It cannot be compiled here; the text says why.
        """
        if version == "editable":
            return  # what is compiled would hide what is edited
        self._folder = TemporaryDirectory(prefix="avatar-relay-compile-")
        work = Path(self._folder.name)
        for package in self.build_config.packages:
            shutil.copytree(Path(self.root, package), work / Path(package).name)
        _compile(work, self.config["modules"])
        built = [path for path in work.rglob("*.so") if "build" not in path.relative_to(work).parts]
        build_data["force_include"] |= {str(path): str(path.relative_to(work)) for path in built}
        build_data |= {"pure_python": False, "infer_tag": True}

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002
        """Remove the folder."""
        if hasattr(self, "_folder"):
            self._folder.cleanup()


def _compile(folder: Path, modules: list[str]) -> None:
    """Foreign packages need not be there: what comes from them is taken as it comes, as in Python."""
    done = subprocess.run(
        [sys.executable, "-m", "mypyc", "--ignore-missing-imports", "--follow-imports=silent", *modules],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(
            "the hot path cannot be compiled; it needs a C compiler and Python's headers"
            " (apt-get install gcc python3-dev), or leave HATCH_BUILD_HOOKS_ENABLE out for a wheel of pure"
            f" Python. The compiler said:\n{done.stdout[-_SAID_CHARACTERS:]}"
        )
