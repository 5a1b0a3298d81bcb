"""Names in Redis: contracts between processes of different versions, dashboards and operators."""

import pytest

from relay_streams.key_kinds import CONSUMER_GROUP
from relay_streams.keys import KeySpace


def test_a_conversations_keys() -> None:
    """As the design lists them; all share the partition's hash tag, so one slot holds them."""
    keys = KeySpace(16).conversation("01JD0000000000000000000000")
    tag = f"{{p{keys.partition:02d}}}"

    assert keys.down == f"relay:{tag}:c:01JD0000000000000000000000:down"
    assert keys.up == f"relay:{tag}:c:01JD0000000000000000000000:up"
    assert keys.meta == f"relay:{tag}:c:01JD0000000000000000000000:meta"
    assert keys.lease == f"relay:{tag}:c:01JD0000000000000000000000:lease"
    assert keys.unowned == f"relay:{tag}:unowned"
    assert keys.leases == f"relay:{tag}:leases"
    assert keys.made("key-1") == f"relay:{tag}:made:key-1"


def test_a_partitions_keys() -> None:
    """As the design lists them, with the same hash tag; those of conversations and of the partition agree."""
    space = KeySpace(16)
    keys, shared = space.conversation("01JD0000000000000000000000"), space.shared(7)

    assert shared.unowned == "relay:{p07}:unowned"
    assert shared.leases == "relay:{p07}:leases"
    assert shared.made("key-1") == "relay:{p07}:made:key-1"
    assert shared.upkeep == "relay:{p07}:upkeep"
    assert shared.heartbeat("1f:publish") == "relay:{p07}:heartbeat:1f:publish"
    assert shared.meta_pattern == "relay:{p07}:c:*:meta"
    of_conversation = space.shared(keys.partition)
    assert (keys.unowned, keys.leases) == (of_conversation.unowned, of_conversation.leases)
    assert keys.made("") == of_conversation.made("")


def test_another_prefix() -> None:
    """Every name begins with the relay's prefix, so that an ACL can separate two relays."""
    space = KeySpace(16, "staging:relay")
    keys = space.conversation("01JD0000000000000000000000")
    shared = space.shared(keys.partition)
    names = [*keys[2:], keys.made("key"), *shared[1:], shared.made("key"), space.installation]

    assert all(name.startswith("staging:relay:") for name in names)
    assert space.installation == "staging:relay:installation"
    assert KeySpace().installation == "relay:installation"


def test_the_queues_group() -> None:
    """Autoscalers watch this group's lag."""
    assert CONSUMER_GROUP == "ingest"


@pytest.mark.parametrize("partitions", [1, 16, 64, 1000])
def test_every_partition_is_used(partitions: int) -> None:
    """Ids spread over all partitions, evenly enough that none is three times the mean."""
    keys = KeySpace(partitions)
    counts = [0] * partitions
    for number in range(partitions * 200):
        counts[keys.partition(f"01JD{number:022d}")] += 1

    assert min(counts) > 0
    assert max(counts) < 3 * 200
