"""The quick start of docs/operations/compose.md, as it is written."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.compose.engine import PROJECT, Engine, prepared
from tests.compose.verifier import Verifier
from tests.rigs.documented import blocks
from tests.rigs.imports import ROOT

pytestmark = pytest.mark.timeout(1800)

PAGE = "docs/operations/compose.md"
OF_THIS_MACHINE = (".git", ".venv", ".*_cache", "__pycache__", "build", "dist", "node_modules", "secrets")
"""What a checkout has only after it was used."""
BUILDS = "load build definition"
"""What BuildKit prints of every build."""
VERDICT = "ok: every viewer received every frame once, in order and unchanged"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout that nobody has used: without secrets."""
    return shutil.copytree(ROOT, tmp_path / "checkout", ignore=shutil.ignore_patterns(*OF_THIS_MACHINE))


@pytest.fixture
def engine(checkout: Path, request: pytest.FixtureRequest) -> Iterator[Engine]:
    """An engine for that checkout; afterwards nothing of its relay is left."""
    engine = prepared(checkout=checkout, **getattr(request, "param", {}))
    yield engine
    engine.compose("--profile", "*", "down", "--volumes", "--timeout", "20")
    if built := [name for name, found in engine.images().items() if found and name.startswith(f"{PROJECT}/")]:
        engine.docker("image", "rm", *built)


def check_quick_start(engine: Engine, checkout: Path) -> bool:
    """Run both blocks, and a verifier from outside between them.

    Returns:
        Whether the first block has built images.
    """
    start, verify_and_remove = (block.text for block in blocks(PAGE, "## Quick start"))
    try:
        started = engine.shell(start)
        engine.compose("run", "--rm", "cli", "doctor")  # status 1 where anything fails
        report = Verifier(checkout=checkout).report()
        verified = engine.shell(verify_and_remove)
    except Exception as error:
        error.add_note(engine.state())
        raise
    assert report["audio_equal"] is True
    assert report["motion_checked"] == report["turns"] > 0
    assert report["cuts"] == 2
    assert VERDICT in verified
    assert engine.remains() == []
    return BUILDS in started


def test_quick_start(engine: Engine, checkout: Path) -> None:
    """The relay is whole, from its network and from outside, through one port of two gateways.

    Images that are there are used as they are, and nothing remains.
    """
    assert all(engine.images().values())
    assert not check_quick_start(engine, checkout)


@pytest.mark.parametrize("engine", [{"RELAY_IMAGE": PROJECT}], indirect=True, ids=["no-image"])
def test_missing_images_are_built(engine: Engine, checkout: Path) -> None:
    """The same where the relay has no image yet: the commands build what they start."""
    assert {name.partition("/")[0] for name, found in engine.images().items() if not found} == {PROJECT}
    assert check_quick_start(engine, checkout)
    assert all(engine.images().values())
