"""Settings of recordings: what is a place for them, and what is not."""

import pytest
from pydantic import ValidationError

from relay_settings.recordings import RecordingSettings, RecordingStorageSettings


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/srv/recordings",
        "file:///srv/recordings",
        "s3://bucket",
        "s3://my.bucket-1/a/b",
        "s3://bucket/a/",
    ],
)
def test_places(url: str) -> None:
    """Folders and buckets."""
    assert RecordingSettings(recordings_url=url).recordings_url == url


@pytest.mark.parametrize(
    "url",
    [
        "recordings",
        "./recordings",
        "s3://",
        "s3://B",
        "s3://user:secret@bucket/a",
        "gs://bucket",
        "s3://bucket/?a=b",
    ],
)
def test_other_places_are_refused(url: str) -> None:
    """Also credentials in a URL, and the error does not repeat them."""
    with pytest.raises(ValidationError, match="absolute folder, or s3://bucket/prefix") as refused:
        RecordingSettings(recordings_url=url)
    assert "secret" not in str(refused.value)


def test_a_key_has_two_parts() -> None:
    """One of them alone is a mistake; the secret is masked."""
    with pytest.raises(ValidationError, match="go together"):
        RecordingStorageSettings.model_validate({"recordings_s3_key_id": "id"})
    both = RecordingStorageSettings.model_validate(
        {"recordings_s3_key_id": "id", "RELAY_RECORDINGS_S3_SECRET": "planted"}
    )
    assert "planted" not in repr(both)
