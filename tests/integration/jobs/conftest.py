"""The jobs service at a clean store, and places for recordings."""

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

import pytest
from blockbuster import BlockBuster
from tests.rigs import object_storage
from tests.rigs.jobs_service import JobsRig, open_jobs
from tests.rigs.object_storage import Place
from tests.rigs.store import at_clean_store


@pytest.fixture(scope="session")
def s3() -> Iterator[Place]:
    """A bucket."""
    with object_storage.bucket() as place:
        yield place


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A place that has nothing yet: a local folder, or a prefix of a bucket."""
    if request.param == "folder":
        return object_storage.folder(tmp_path)
    shared: Place = request.getfixturevalue("s3")
    return Place(f"{shared.url}/{tmp_path.name}", shared.endpoint)


Opened = Callable[..., AbstractAsyncContextManager[JobsRig]]


@pytest.fixture
def jobs(open_store: Callable[..., object], tmp_path: Path, no_blocking: BlockBuster) -> Opened:
    """``async with jobs() as rig``: the service at a clean store."""
    no_blocking.deactivate()  # the start of processes blocks
    return at_clean_store(open_store, partial(open_jobs, directory=tmp_path))
