"""What a release refuses, and how its archives are packed."""

import subprocess
import tarfile
from pathlib import Path

import pytest
from scripts.release.artefacts import checksums, digest, repack
from scripts.release.tree import Tree, refusals
from scripts.release.versions import COMPOSE, declared, differences, version_of

ROOT = Path(__file__).parents[3]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project at version 1.2.3 everywhere."""
    files = {
        "pyproject.toml": '[project]\nversion = "1.2.3"\n',
        "CHANGELOG.md": "# Changelog\n\n## 1.2.3, 2026-01-01\n\n## 1.2.2\n",
        "helm/avatar-relay/Chart.yaml": 'version: 1.2.3\nappVersion: "1.2.3"\n',
        "helm/avatar-relay/values.yaml": 'image:\n  tag: ""\n',
        "docker-compose.yml": "image: avatar-relay/gateway:${RELAY_TAG:-1.2.3}\n# avatar-relay/jobs:1.2.3\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)  # noqa: S607


@pytest.fixture
def tagged(project: Path) -> Tree:
    """The project as a commit with its tag."""
    git(project, "init", "--quiet")
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message", "a version")
    git(project, "tag", "v1.2.3")
    return Tree(project)


def test_versions_that_agree(project: Path) -> None:
    """Every place is read, and nothing is refused."""
    assert {version for _, version in declared(project)} == {"1.2.3"}
    assert len(declared(project)) == 5
    assert differences(project) == []


@pytest.mark.parametrize(
    ("place", "old", "new", "named"),
    [
        ("CHANGELOG.md", "## 1.2.3, 2026-01-01", "## Unreleased", "CHANGELOG.md has the version Unreleased"),
        ("CHANGELOG.md", "## ", "", "CHANGELOG.md has the version no heading"),
        ("helm/avatar-relay/Chart.yaml", "version: 1.2.3\n", "version: 1.2.4\n", "Chart.yaml, version has"),
        ("helm/avatar-relay/Chart.yaml", '"1.2.3"', '"1.2"', "Chart.yaml, appVersion has the version 1.2,"),
        ("helm/avatar-relay/values.yaml", '""', "1.2.2", "image.tag has the version 1.2.2"),
        ("docker-compose.yml", ":-1.2.3}", ":-1.2.0}", "the tag of an image has the version 1.2.0"),
        ("docker-compose.yml", "jobs:1.2.3", "jobs:latest", "the tag of an image has the version latest"),
    ],
)
def test_a_version_that_differs(place: str, old: str, new: str, named: str, project: Path) -> None:
    """The place is named, with both versions."""
    path = project / place
    path.write_text(path.read_text().replace(old, new))
    found = differences(project)
    assert all("pyproject.toml has 1.2.3" in sentence for sentence in found)
    assert named in "".join(found)


def test_without_a_compose_file(project: Path) -> None:
    """A tree may have none."""
    (project / COMPOSE).unlink()
    assert differences(project) == []


def test_a_tag_without_changes(tagged: Tree) -> None:
    """Such a tree is released."""
    assert refusals(tagged, "1.2.3") == []


def test_another_tag(tagged: Tree) -> None:
    """The tag must be that of the version."""
    assert refusals(tagged, "1.2.4") == ["the commit has no tag v1.2.4; its tags: v1.2.3"]


@pytest.mark.parametrize("name", ["CHANGELOG.md", "new.py"])
def test_a_change_that_is_not_committed(name: str, tagged: Tree) -> None:
    """A changed file and a new one are refused by name, and neither is exported."""
    (tagged.root / name).write_text("changed")
    assert [name in sentence for sentence in refusals(tagged, "1.2.3")] == [True]

    out = tagged.root.parent / "exported"
    tagged.export(out)
    exported = out / name
    assert not exported.exists() or exported.read_text() != "changed"
    assert version_of(out) == "1.2.3"


def test_archives_of_the_same_files_are_the_same(tmp_path: Path) -> None:
    """Neither times, modes nor the order of creation are in an archive."""
    archives = []
    for turn, names in enumerate([("a", "b/c"), ("b/c", "a")]):
        folder = tmp_path / f"folder{turn}"
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(name)
            (folder / name).chmod(0o644 if turn else 0o600)
        repack(folder, tmp_path / f"{turn}.tgz", 1_000_000_000)
        archives.append((tmp_path / f"{turn}.tgz").read_bytes())
    assert archives[0] == archives[1]
    with tarfile.open(tmp_path / "0.tgz") as archive:
        assert [(entry.name, entry.mtime) for entry in archive] == [("a", 10**9), ("b/c", 10**9)]


def test_checksums(tmp_path: Path) -> None:
    """Every file but the list itself is in it, as sha256sum reads it."""
    (tmp_path / "one").write_text("1")
    (tmp_path / "two").write_text("2")
    sums = checksums(tmp_path)
    assert sums.read_text().count("\n") == 2
    assert digest(tmp_path / "one") in sums.read_text()
    subprocess.run(["sha256sum", "--check", sums.name], cwd=tmp_path, check=True, capture_output=True)  # noqa: S607
    assert checksums(tmp_path).read_text().count("\n") == 2


def test_the_versions_of_this_tree() -> None:
    """All agree, but that the changelog may have a part without a version."""
    assert [sentence for sentence in differences(ROOT) if "Unreleased" not in sentence] == []
