"""What earlier versions stored is read by this one, and no vector of any kind is edited."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.contract.stored import READERS

VECTORS = Path(__file__).parent / "vectors"
STORED = json.loads((VECTORS / "stored.json").read_text())
DIGESTS: dict[str, str] = json.loads((VECTORS / "digests" / "digests.json").read_text())


def _cases() -> list[Any]:
    return [
        pytest.param(kind, vector, id=f"{kind}: {vector['name']}")
        for kind in READERS
        for vector in STORED[kind]
    ]


@pytest.mark.parametrize(("kind", "vector"), _cases())
def test_what_a_version_has_stored(kind: str, vector: Mapping[str, Any]) -> None:
    """It is read to the same values, whatever attributes later versions add."""
    read, expected = READERS[kind](vector), vector["expected"]
    if isinstance(expected, dict):
        read = {name: read[name] for name in expected}
    assert read == expected


def test_no_vector_is_edited() -> None:
    """Each is as it was when it was added; one that is new is to be listed with its digest."""
    found = dict(_digests())
    edited = {name for name, digest in DIGESTS.items() if found.get(name) != digest}
    assert not edited, "edited or removed: versions before rely on it; add another vector instead"
    new = {name: digest for name, digest in found.items() if name not in DIGESTS}
    assert not new, f"add to vectors/digests/digests.json:\n{json.dumps(new, indent=1)}"


def _digests() -> Iterator[tuple[str, str]]:
    for path in sorted(VECTORS.glob("*.json")):
        for kind, vectors in json.loads(path.read_text()).items():
            if kind == "about":
                continue
            names = [str(vector.get("name", number)) for number, vector in enumerate(vectors)]
            assert len(names) == len(set(names)), f"{path.name}, {kind}: two vectors of one name"
            for name, vector in zip(names, vectors, strict=True):
                text = json.dumps(vector, sort_keys=True, separators=(",", ":"))
                digest = hashlib.blake2b(text.encode(), digest_size=12).hexdigest()
                yield f"{path.stem} / {kind} / {name}", digest
