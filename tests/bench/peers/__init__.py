"""What a team would pick instead, with real packages, behind the same traffic and the same viewers."""

from tests.bench.peers.demo import Demo
from tests.bench.peers.socketio import SocketIo
from tests.bench.target import Target

ABSENT = {
    "centrifugo": (
        "Centrifugo is not measured: the Go module proxy refused its module where this was written, so a peer"
        " could not be tried. Its own published figures are in docs/performance.md."
    )
}
"""Peers that were asked for and cannot be had, and why."""
PEERS: dict[str, type[Target]] = {peer.name: peer for peer in (SocketIo, Demo)}
