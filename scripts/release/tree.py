"""The source tree that a release is made from: the files of a commit, in a folder of its own."""

import subprocess
from pathlib import Path


class Tree:
    """A git checkout.

    Args:
        root: Its folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def changed(self) -> list[str]:
        """The files that differ from the commit, and those that git does not know."""
        return [line[3:] for line in self._git("status", "--porcelain").splitlines()]

    def tags(self) -> list[str]:
        """The tags of the commit."""
        return self._git("tag", "--points-at", "HEAD").split()

    def committed_at(self) -> int:
        """The time of the commit, in seconds since 1970: what is built has this time."""
        return int(self._git("log", "-1", "--format=%ct"))

    def export(self, folder: Path) -> None:
        """Write the files of the commit; nothing that lies beside them can get into an artefact."""
        archive = subprocess.run(
            ["git", "archive", "--format=tar", "HEAD"], cwd=self.root, check=True, stdout=subprocess.PIPE
        )
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["tar", "-x"], cwd=folder, check=True, input=archive.stdout)

    def _git(self, *arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=self.root, check=True, stdout=subprocess.PIPE, text=True
        ).stdout


def refusals(tree: Tree, version: str) -> list[str]:
    """Why no release can be made from this tree, apart from versions that differ."""
    found = []
    changed = tree.changed()
    if changed:
        found.append(f"the tree has changes that are not committed: {', '.join(changed[:5])}")
    if f"v{version}" not in tree.tags():
        found.append(f"the commit has no tag v{version}; its tags: {', '.join(tree.tags()) or 'none'}")
    return found
