"""Generated files: which are outdated, and what is written."""

from pathlib import Path

from scripts.generated import outdated, write

TEXTS = {"same.md": "text", "other.md": "new", "missing.md": ""}


def folder(at: Path) -> Path:
    for name, text in {"same.md": "text", "other.md": "old", "further.md": "text", "notes.txt": ""}.items():
        (at / name).write_text(text, "utf-8")
    return at


def test_a_file_that_differs_or_is_missing_is_outdated(tmp_path: Path) -> None:
    """Also one without a text; others of the folder are not looked at, unless all of a name are generated."""
    assert outdated(folder(tmp_path), TEXTS) == ["missing.md", "other.md"]
    assert outdated(tmp_path, TEXTS, "*.md") == ["further.md", "missing.md", "other.md"]


def test_what_was_written_is_not_outdated(tmp_path: Path) -> None:
    """Files that are too many are removed; a folder that is not there is made."""
    write(folder(tmp_path), TEXTS, "*.md")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "missing.md",
        "notes.txt",
        "other.md",
        "same.md",
    ]
    assert outdated(tmp_path, TEXTS, "*.md") == []
    write(tmp_path / "new", TEXTS)
    assert outdated(tmp_path / "new", TEXTS) == []
