"""The file of endpoints: read again when it or a secret changes; a broken one changes nothing."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from tests.rigs.metrics import metric
from tests.rigs.receiver import SECRET, SECRET_KEY

from relay_jobs.webhooks import endpoint_file
from relay_jobs.webhooks.endpoint_file import ENDPOINTS, FAILURES, EndpointFile
from relay_settings.base import SettingsError
from relay_settings.webhooks import WebhookSettings


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with one endpoint; it is read at each use."""
    monkeypatch.setattr(endpoint_file, "REFRESH_S", 0.0)
    path = tmp_path / "webhooks.json"
    write(path)
    return path


def write(path: Path, *names: str, secret: str = SECRET) -> None:
    """A file with these endpoints."""
    entries = [
        {"url": "https://hooks.example.com/", "secrets": [secret], "name": name} for name in names or ("crm",)
    ]
    path.write_text(json.dumps({"*": entries}))


def of(path: Path | None) -> EndpointFile:
    """The file's reader."""
    return EndpointFile(WebhookSettings.load(webhooks_file=path, webhook_hosts="hooks.example.com"))


async def names(file: EndpointFile) -> list[str]:
    """The endpoints in use."""
    return sorted((await file.current()).by_name)


async def test_read_again(file: Path) -> None:
    """What it has now is in use at the next read; what it had then is not."""
    reader = of(file)
    await reader.open()
    assert await names(reader) == ["crm"]
    await _in_thread(write, file, "a", "b")
    assert await names(reader) == ["a", "b"]
    assert metric(ENDPOINTS) == 2


async def test_a_broken_file_changes_nothing(file: Path) -> None:
    """The last endpoints stay, and each read that fails is counted, until the file is mended."""
    reader = of(file)
    await reader.open()
    failures = metric(FAILURES)
    await _in_thread(file.write_text, "{")
    assert await names(reader) == ["crm"]
    await _in_thread(file.unlink)
    assert await names(reader) == ["crm"]
    assert metric(FAILURES) == failures + 2
    await _in_thread(write, file, "new")
    assert await names(reader) == ["new"]


async def test_a_secret_is_renewed_in_its_file(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A secret by name is read again with the endpoints: the file of endpoints need not change."""
    folder = tmp_path / "secrets"
    await _in_thread(folder.mkdir)
    monkeypatch.setenv("RELAY_SECRETS_DIR", str(folder))
    secret = folder / "RELAY_WEBHOOK_SECRET_CRM"
    await _in_thread(secret.write_text, f"{SECRET}\n")
    await _in_thread(lambda: write(file, secret="RELAY_WEBHOOK_SECRET_CRM"))
    reader = await asyncio.to_thread(of, file)
    await reader.open()
    assert (await reader.current()).by_name["crm"].keys == (SECRET_KEY,)

    await _in_thread(secret.write_text, "whsec_" + "QUJD" * 8)

    assert (await reader.current()).by_name["crm"].keys == (b"ABC" * 8,)


async def test_a_start_with_a_file_that_cannot_be_used(file: Path) -> None:
    """It fails with the setting's name and the reason; without the secret."""
    await _in_thread(lambda: write(file, secret="hunter2hunter2"))
    with pytest.raises(
        SettingsError, match=r"RELAY_WEBHOOKS_FILE: \*\[0\]\.secrets\[0\]: must be"
    ) as refused:
        await of(file).open()
    assert "hunter2" not in str(refused.value)
    await _in_thread(file.write_text, " " * (4 * 1024 * 1024 + 1))
    with pytest.raises(SettingsError, match="more than 4194304 bytes"):
        await of(file).open()
    with pytest.raises(SettingsError, match="cannot be read: No such file"):
        await of(file.with_name("none")).open()


async def test_no_file() -> None:
    """There are no endpoints, and nothing is read."""
    reader = of(None)
    await reader.open()
    assert await names(reader) == []


async def _in_thread(function: Any, *arguments: Any) -> None:
    await asyncio.to_thread(function, *arguments)
