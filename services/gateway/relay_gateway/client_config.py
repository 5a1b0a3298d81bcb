"""``/api/config``: the configuration of the vendor's clients, with the fields of all their generations."""

from typing import Any

from relay_settings.avatarkit import AvatarKitSettings

OLDER_CLIENTS_HZ = 16000
"""The rate at which older generations of the clients play, whatever they read here (facts, corrections)."""
_CHINA = "cn-"
"""The prefix of the vendor's regions in China."""
_CLIPS_HINT = "RELAY_AVATARKIT_CLIPS lists the clips of this relay"


def client_config(settings: AvatarKitSettings, *, avatar_id: str, sample_rate: int) -> dict[str, Any]:
    """The configuration of a client; nothing secret.

    Args:
        settings: The gateway's settings.
        avatar_id: The avatar that the client loads.
        sample_rate: The rate of the audio that it will receive, in Hz.
    """
    return {
        "appId": settings.app_id,
        "avatarId": avatar_id,
        "region": settings.region,
        # Of the host-server demo, whose SDK takes any other value for China.
        "environment": "cn" if settings.region.startswith(_CHINA) else "intl",
        # Clients play at the input rate whatever the output rate is: both are the rate of the relay's audio.
        "inputSampleRate": sample_rate,
        "outputSampleRate": sample_rate,
        # Variables that a server of these modes lacks: none, since this gateway has started.
        "missing": {"sample": [], "realtime": []},
        "clips": [{"name": name, "clip": name} for name in settings.avatarkit_clips],
        "clipsHint": "" if settings.avatarkit_clips else _CLIPS_HINT,
    }
