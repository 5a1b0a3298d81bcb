"""Settings of recordings: where they are stored, for how long, and how S3 is reached."""

import re
from pathlib import PurePosixPath
from typing import Self

from pydantic import Field, SecretStr, field_validator, model_validator

from relay_settings.base import Settings, named

_BUCKET = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9!_.*'()/-]+)?/?")
_FOLDER = "file://"


class RecordingSettings(Settings):
    """Whether conversations can be recorded: the same at control and at jobs."""

    recordings_url: str = Field(
        "",
        description="Where recordings are stored: an absolute folder, which every worker of the jobs service"
        " sees, or s3://bucket/prefix. Empty: nothing is recorded, and control refuses `record`.",
    )

    @field_validator("recordings_url")
    @classmethod
    def _is_a_folder(cls, value: str) -> str:
        folder = value.removeprefix(_FOLDER)
        if value and not _BUCKET.fullmatch(value) and not PurePosixPath(folder).is_absolute():
            raise ValueError("it must be an absolute folder, or s3://bucket/prefix without credentials")
        return value


class RecordingStorageSettings(RecordingSettings):
    """Recordings, at the jobs service."""

    recordings_keep_days: float = Field(
        30.0,
        ge=0,
        description="Days after which a recording is removed, counted from the end of its conversation; 0:"
        " never.",
    )
    recordings_interval_s: float = Field(
        30.0,
        gt=0,
        description="How often the frames of a turn that lasts longer are copied; those of an ended turn are"
        " copied at once.",
    )
    recordings_claim_s: float = Field(
        60.0,
        ge=1,
        description="How long a recording waits for another worker when an attempt at it failed or its worker"
        " died.",
    )
    recordings_s3_endpoint: str = Field(
        "", description="URL of a server that is compatible with S3, such as MinIO; empty: Amazon's."
    )
    recordings_s3_region: str = Field("", description="Region of the bucket; empty: as boto finds it.")
    recordings_s3_key_id: str = Field(
        "",
        description="Id of the access key; empty: as boto finds one: AWS_* variables, its files, or the role"
        " of the machine.",
    )
    recordings_s3_secret: SecretStr | None = named(
        "RELAY_RECORDINGS_S3_SECRET", "The secret of the access key.", default=None
    )

    @model_validator(mode="after")
    def _has_both_parts_of_the_key(self) -> Self:
        if bool(self.recordings_s3_key_id) != (self.recordings_s3_secret is not None):
            raise ValueError("RELAY_RECORDINGS_S3_KEY_ID and RELAY_RECORDINGS_S3_SECRET go together")
        return self
