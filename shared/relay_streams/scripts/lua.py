"""Lua: the text of this folder's files."""

from collections.abc import Sequence
from importlib.resources import files

from relay_redis.replies import Check
from relay_redis.script import Script


def load(name: str, reply: Check, *, after: Sequence[str] = ()) -> Script:
    """Read a script of this folder; ``after`` names the files that its text begins with."""
    folder = files("relay_streams").joinpath("scripts")
    text = "".join(folder.joinpath(f"{part}.lua").read_text("utf-8") for part in (*after, name))
    return Script.of(name, text, reply)
