"""API keys: found by what is presented, with the scopes of their entries."""

import pytest

from relay_auth.api_keys import ApiKey, ApiKeys, KeyEntryError, Scope, new_key


def test_api_keys() -> None:
    """Any of the valid keys, nothing else, whatever is presented."""
    (first, known), (second, other) = new_key([Scope.CREATE, Scope.PUSH]), new_key([Scope.ADMIN])
    keys = ApiKeys([str(known), str(other)])

    assert keys.find(first) == known
    assert keys.find(second) == other
    for wrong in ("", "ark", "ark__", first[:-1], first + "x", first.replace("ark", "arc"), "ark_é_\udce9"):
        assert keys.find(wrong) is None
    swapped = f"ark_{known.id}_{second.split('_', 2)[2]}"
    assert keys.find(swapped) is None


def test_scopes() -> None:
    """A key has the scopes of its entry; admin includes all."""
    (_, some), (_, admin) = new_key([Scope.CREATE, Scope.PUSH]), new_key([Scope.ADMIN])

    assert [some.allows(scope) for scope in Scope] == [True, True, False, False]
    assert all(admin.allows(scope) for scope in Scope)
    assert ApiKey.parse(str(some)) == some


@pytest.mark.parametrize(
    "entry",
    ["", "planted-secret-key-by-mistake", "abcd:00:push", f"abcd:{'0' * 64}:fly", f"a:{'0' * 64}:push"],
)
def test_entries_that_are_none(entry: str) -> None:
    """The error names the command that makes one, and not what was given."""
    with pytest.raises(KeyEntryError, match="keys new") as error:
        ApiKeys([entry])
    assert "planted" not in str(error.value)


def test_two_keys_of_one_id() -> None:
    """The id would be ambiguous."""
    with pytest.raises(KeyEntryError, match="two keys have the id abcd"):
        ApiKeys([f"abcd:{'0' * 64}:push", f"abcd:{'1' * 64}:push"])
