"""What a team would pick instead, with real packages, behind the same traffic and the same viewers."""

from tests.benchmarks.peers.centrifugo import Centrifugo
from tests.benchmarks.peers.demo import Demo
from tests.benchmarks.peers.socketio import SocketIo
from tests.benchmarks.target import Target

PEERS: dict[str, type[Target]] = {peer.name: peer for peer in (SocketIo, Centrifugo, Demo)}
