"""Links between the project's pages lead somewhere."""

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = [
    folder for folder in sorted((ROOT / "docs").iterdir()) if folder.is_dir() and folder.name != "images"
]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]

_FENCED = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)|^\[[^\]]+\]:\s*(\S+)", re.MULTILINE)
_HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)


def broken(page: Path) -> list[str]:
    """The relative links of a page that lead to no file, or to no heading of one."""
    text = _CODE.sub("", _FENCED.sub("", page.read_text("utf-8")))
    targets = [inline or reference for inline, reference in _LINK.findall(text)]
    return [target for target in targets if not _SCHEME.match(target) and not _exists(page, target)]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    found: dict[str, int] = {}
    names = set()
    for heading in _HEADING.findall(_FENCED.sub("", page.read_text("utf-8"))):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        name = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        names.add(f"{name}-{found[name]}" if name in found else name)
        found[name] = found.get(name, 0) + 1
    return names


def _exists(page: Path, target: str) -> bool:
    path, _, anchor = unquote(target).partition("#")
    file = page.parent / path if path else page
    return file.exists() and (not anchor or (file.suffix == ".md" and anchor in anchors(file)))


def test_every_relative_link_leads_to_a_file_and_a_heading() -> None:
    assert ROOT / "README.md" in PAGES
    links = {str(page.relative_to(ROOT)): broken(page) for page in PAGES}

    assert {page: targets for page, targets in links.items() if targets} == {}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_page_is_in_the_index_of_its_folder(folder: Path) -> None:
    index = (folder / "README.md").read_text("utf-8")
    pages = [page.relative_to(folder) for page in sorted(folder.rglob("*.md")) if page.name != "README.md"]

    assert pages
    assert [page for page in pages if f"({page.as_posix()})" not in index] == []


def test_every_folder_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text("utf-8")

    assert [folder.name for folder in FOLDERS if f"({folder.name}/README.md)" not in index] == []


def test_a_link_that_leads_nowhere_is_found(tmp_path) -> None:
    (tmp_path / "other.md").write_text("# The `one` heading\n\n## Twice\n\n## Twice\n\n```\n# None\n```\n")
    page = tmp_path / "page.md"
    page.write_text(
        "# Here\n[a](other.md) [b](other.md#the-one-heading) [c](#here) [d](other.md#twice-1) [e](https://x.y)\n"
        '[f](gone.md) [g](other.md#none) [h](#there) ![i](gone.svg "title")\n'
        "`[j](code.md)` [k](other.md#twice-2)\n```\n[l](fenced.md)\n```\n[m]: gone-too.md\n"
    )

    assert broken(page) == [
        "gone.md", "other.md#none", "#there", "gone.svg", "other.md#twice-2", "gone-too.md",
    ]  # fmt: skip
