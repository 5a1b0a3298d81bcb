"""What a team would pick instead, with real packages, behind the same traffic and the same viewers."""

from tests.bench.peers.centrifugo import Centrifugo
from tests.bench.peers.demo import Demo
from tests.bench.peers.socketio import SocketIo
from tests.bench.target import Target

PEERS: dict[str, type[Target]] = {peer.name: peer for peer in (SocketIo, Centrifugo, Demo)}
