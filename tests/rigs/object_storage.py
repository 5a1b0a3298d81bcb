"""Object storage: a local folder, and a real S3-compatible server."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import boto3
from moto.moto_server.threaded_moto_server import ThreadedMotoServer

from relay_jobs.storage import Storage

KEY_ID, SECRET = "test-key", "test-secret"
BUCKET = "recordings-of-tests"


@dataclass(frozen=True)
class Place:
    """Where recordings are stored, as settings name it."""

    url: str
    endpoint: str = ""

    @property
    def storage(self) -> Storage:
        """The storage there."""
        if not self.endpoint:
            return Storage.at(self.url)
        return Storage.at(self.url, endpoint=self.endpoint, region="us-east-1", key_id=KEY_ID, secret=SECRET)

    @property
    def settings(self) -> dict[str, str]:
        """The settings of a process, by field."""
        if not self.endpoint:
            return {"recordings_url": self.url}
        return {
            "recordings_url": self.url,
            "recordings_s3_endpoint": self.endpoint,
            "recordings_s3_region": "us-east-1",
            "recordings_s3_key_id": KEY_ID,
            "recordings_s3_secret": SECRET,
        }


def folder(path: Path) -> Place:
    """A local folder."""
    return Place(str(path / "recordings"))


@contextmanager
def bucket() -> Iterator[Place]:
    """A bucket of a server of its own."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        client = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id=KEY_ID,
            aws_secret_access_key=SECRET,
        )
        client.create_bucket(Bucket=BUCKET)
        client.close()
        yield Place(f"s3://{BUCKET}/relay", endpoint)
    finally:
        server.stop()
