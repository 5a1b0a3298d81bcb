"""Keys: each name has the type of its kind, and names of other programs have none."""

import pytest

from relay_streams.key_kinds import KINDS, type_of
from relay_streams.keys import KeySpace

SPACE = KeySpace(16, "staging:relay")
KEYS = SPACE.conversation("01JD0000000000000000000000")
SHARED = SPACE.shared(3)
NAMES = {
    "down": KEYS.down,
    "up": KEYS.up,
    "meta": KEYS.meta,
    "lease": KEYS.lease,
    "unowned": SHARED.unowned,
    "leases": SHARED.leases,
    "loads": SHARED.loads,
    "made": SHARED.made("key-1"),
    "recordings": SHARED.recordings,
    "outbox": SHARED.outbox,
    "outbox_discarded": SHARED.outbox_discarded,
    "clip": SPACE.clip("clip-1").record,
    "clip_audio": SPACE.clip("clip-1").audio,
    "clip_chunks": SPACE.clip("clip-1").chunks,
    "clips": SPACE.clip("clip-1").of_key("key-1"),
    "clips_due": SHARED.clips_due,
    "webhook": SHARED.webhook("msg_1_crm"),
    "webhooks_due": SHARED.webhooks_due,
    "webhooks_sent": SHARED.webhooks_sent,
    "webhooks_dead": SHARED.webhooks_dead,
    "webhook_slots": SHARED.webhook_slots("crm"),
    "webhook_endpoint": SHARED.webhook_endpoint("crm"),
    "upkeep": SHARED.upkeep,
    "usage": SHARED.usage("key-1", "2026-01-31"),
    "usage_apps": SHARED.usage_apps("2026-01-31"),
    "account": KEYS.account,
    "accounts_due": SHARED.accounts_due,
    "reaper": SHARED.reaper,
    "orphans": KEYS.orphans,
    "job_role": SHARED.job_role("worker"),
    "tick": SHARED.tick("webhooks.due"),
    "task_deliveries": SHARED.task_deliveries("1f2e3d4c"),
    "heartbeat": SHARED.heartbeat("1f2e3d4c:gateway-read"),
}


def test_the_type_of_each_key() -> None:
    """As text and as bytes; of every kind with a hash tag."""
    assert NAMES.keys() == {name for name, kind in KINDS.items() if kind.tagged}
    for name, key in NAMES.items():
        assert type_of(key) == type_of(key.encode()) == KINDS[name].type.encode()


def test_a_variable_part_of_any_text() -> None:
    """Ids come from outside: one that looks like a pattern or like another key changes no other part."""
    for text in ("", "{}", "a:b", "leases", "x\ny", "ü"):
        assert SPACE.conversation(text).meta.endswith(f":c:{text}:meta")
        assert type_of(SPACE.conversation(text).meta) == b"hash"
        assert type_of(SHARED.made(text)) == b"set"


@pytest.mark.parametrize(
    "key",
    [
        SPACE.installation, "leases", "relay:leases", "relay:{p00}", "relay:{p00}:c:x",
        "relay:{p00}:c:x:down:y", "relay:{pXX}:leases", ":{p00}:leases", b"\xff", "other:c:x:down",
    ],
)  # fmt: skip
def test_a_key_without_a_type(key: str | bytes) -> None:
    """A key that is not the relay's, and the key without a hash tag, have none."""
    assert type_of(key) is None
