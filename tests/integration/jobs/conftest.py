"""Places for recordings."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.rigs import object_storage
from tests.rigs.object_storage import Place


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
