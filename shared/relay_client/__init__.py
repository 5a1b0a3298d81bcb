"""Client: the viewer's side of ``avatar-relay.v1``. Connects, resumes by itself, checks the order.

async with Viewer("ws://127.0.0.1:8080", conversation, token) as viewer:
    async for frame in viewer:
        ...
"""

from relay_client.errors import Closed, Refused, ViewerError
from relay_client.viewer import Report, Token, Viewer

__all__ = ["Closed", "Refused", "Report", "Token", "Viewer", "ViewerError"]
