"""Scripts: the Lua files in ``lua/``, one verb each, known to Redis by their SHA-1."""

import hashlib
from importlib.resources import files
from typing import Final, NamedTuple


class Script(NamedTuple):
    """One Lua script: its name, its text and the digest EVALSHA calls it by."""

    name: str
    text: str
    sha: str


def _load(name: str, *, after: str = "") -> Script:
    lua = files("relay_streams").joinpath("lua")
    text = "".join(lua.joinpath(f"{part}.lua").read_text("utf-8") for part in (after, name) if part)
    return Script(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


CLAIM: Final = _load("claim")
CREATE: Final = _load("create")
DEFER: Final = _load("defer")
EXPIRE: Final = _load("expire")
FINISH: Final = _load("finish")
PUBLISH: Final = _load("publish")
RELEASE: Final = _load("release")
RENEW: Final = _load("renew")
RESTORE: Final = _load("restore")
SPEAK: Final = _load("speak", after="room")
TAKE: Final = _load("take")
TELL: Final = _load("tell", after="room")

ALL: Final = (CLAIM, CREATE, DEFER, EXPIRE, FINISH, PUBLISH, RELEASE, RENEW, RESTORE, SPEAK, TAKE, TELL)
