"""Targets: what an operator may write, and what is refused with its name."""

from pathlib import Path

import pytest

from relay_cli.top.targets import Sources, Target, TargetError, Unresolved, listed, target, targets


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("127.0.0.1:9090", "http://127.0.0.1:9090"),
        ("http://gateway:9090/metrics", "http://gateway:9090"),
        ("https://gateway:9090", "https://gateway:9090"),
        ("[::1]:9090", "http://[::1]:9090"),
    ],
)
def test_a_target(text: str, url: str) -> None:
    """A scheme and a path may be left out or written."""
    found = target(text)

    assert str(found.url) == url
    assert found.name == url.partition("://")[2]


@pytest.mark.parametrize("text", ["", "gateway", "ftp://gateway:1", "gateway:port", "http://:9090"])
def test_what_is_no_target(text: str) -> None:
    with pytest.raises(TargetError, match="target"):
        target(text)


def test_several_in_one_text() -> None:
    """Commas and white space separate them, as in a variable."""
    assert [found.name for found in targets(["a:1, b:2", "c:3\n"])] == ["a:1", "b:2", "c:3"]


def test_a_file_of_targets() -> None:
    """Labels are passed over."""
    text = '[{"targets": ["a:1", "b:2"], "labels": {"job": "relay"}}, {"targets": ["c:3"]}]'

    assert [found.name for found in listed(text, "f")] == ["a:1", "b:2", "c:3"]


@pytest.mark.parametrize("text", ["", "{", "[1]", '[{"target": []}]', '[{"targets": [1]}]', "1"])
def test_a_file_in_another_format(text: str) -> None:
    with pytest.raises(TargetError, match="targets"):
        listed(text, "targets.json")


async def test_every_source_in_one_round(tmp_path: Path) -> None:
    """Each target once; a file that cannot be read, or is damaged, is shown with the reason."""
    good, damaged, binary, missing = (tmp_path / name for name in ("good", "damaged", "binary", "missing"))
    good.write_text('[{"targets": ["127.0.0.1:1", "127.0.0.1:2"]}]')
    damaged.write_text("nothing")
    binary.write_bytes(b"\xff")
    found = await Sources((target("127.0.0.1:1"),), (good, damaged, binary, missing)).targets()

    assert [each.name for each in found if isinstance(each, Target)] == ["127.0.0.1:1", "127.0.0.1:2"]
    assert [each.why.partition(":")[0] for each in found if isinstance(each, Unresolved)] == [
        f'{damaged} is not a list like [{{"targets"', "the file cannot be read", "the file cannot be read"
    ]  # fmt: skip


async def test_the_addresses_of_a_name() -> None:
    """Each is a target that keeps the name for its certificate."""
    found = await Sources(names=(target("https://localhost:9090"),)).targets()

    assert "127.0.0.1:9090" in [each.name for each in found]
    assert all(isinstance(each, Target) and each.host == "localhost" for each in found)


async def test_a_name_without_addresses() -> None:
    [found] = await Sources(names=(target("no-such-host.invalid:9090"),)).targets()

    assert isinstance(found, Unresolved)
    assert "does not resolve" in found.why


def test_no_source_is_false() -> None:
    assert not Sources()
    assert Sources(files=(Path("f"),))
