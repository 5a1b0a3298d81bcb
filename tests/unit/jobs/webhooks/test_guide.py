"""The code of docs/guide/webhooks.md, as it stands there, accepts what the relay signs and nothing else."""

import json
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from tests.rigs.imports import ROOT
from tests.rigs.need import need
from tests.rigs.receiver import SECRET, SECRET_KEY

from relay_jobs.webhooks.signature import headers

GUIDE = (ROOT / "docs/guide/webhooks.md").read_text()
BODY = '{"type":"turn.ended","data":{"text":"grüße"}}'.encode()
OTHER = "whsec_" + "QUJD" * 8


def code(language: str) -> str:
    """The guide's code in a language."""
    found = re.search(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)
    assert found
    return found[1]


def cases() -> list[tuple[str, dict[str, str], bytes, bool]]:
    """Secret, headers and body, and whether they are right."""
    now = int(time.time())
    signed = dict(headers([b"n" * 32, SECRET_KEY], "msg_1_crm", now, BODY))
    old = dict(headers([SECRET_KEY], "msg_1_crm", now - 900, BODY))
    return [
        (SECRET, signed, BODY, True),
        (OTHER, signed, BODY, False),
        (SECRET, signed, BODY + b" ", False),
        (SECRET, {**signed, "webhook-id": "msg_2_crm"}, BODY, False),
        (SECRET, {**signed, "webhook-signature": "v1,"}, BODY, False),
        (SECRET, old, BODY, False),
    ]


def test_python() -> None:
    """The function accepts a signature of any current key, for this body, id and time alone."""
    names: dict[str, Any] = {}
    exec(code("python"), names)  # noqa: S102  # the guide's code is what is tested
    for secret, given, body, right in cases():
        assert names["verify"](secret, given, body) is right


@pytest.mark.timeout(60)
def test_node(tmp_path: Path) -> None:
    """The function of the guide for Node does, too."""
    node = need(shutil.which("node"), "node")
    rows = [[secret, given, body.hex()] for secret, given, body, _ in cases()]
    script = tmp_path / "verify.mjs"
    script.write_text(
        f"{code('js')}\nconst rows = {json.dumps(rows)};\n"
        "console.log(JSON.stringify(rows.map(([s, h, b]) => verify(s, h, Buffer.from(b, 'hex')))));\n"
    )
    ran = subprocess.run([node, str(script)], capture_output=True, text=True, timeout=30, check=True)
    assert json.loads(ran.stdout) == [right for *_, right in cases()]
