# SPDX-License-Identifier: BSD-3-Clause
"""What a client takes of its worker's turn: no more is sent to it than its share; then the others.

The node stands still while everything is sent, so that all of it waits for the same turn of the one worker. The bystander
fills what is read of one client per turn and asks INFO behind it: a turn later that tells what the others were sent."""

import fcntl
import socket
import struct
import termios

import pytest

import wire
from harness import stand_still, until

pytestmark = pytest.mark.own
MB = 1 << 20
TURN_READ = 64 << 10  # LIMIT_READ
TURN_SENT = 1 * MB  # LIMIT_SEND_TURN, to all
# The kernel may let the end of what the bystander sent follow a little later.
TURNS = 4
GREEDY = 8
LARGE = b"v" * (16 * MB)


@pytest.fixture
def node(stage):
    return stage.node("--threads", "1", "--memory", "256mb")


def greedy(node):
    """A client whose kernel takes megabytes; it reads nothing."""
    conn = node.wire()
    conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * MB)
    assert conn.ask("PING") == b"PONG"
    return conn


def arrived(conn):
    """Whether the node's kernel has all that was sent."""
    return struct.unpack("i", fcntl.ioctl(conn.sock, termios.TIOCOUTQ, b"\0" * 4))[0] == 0


def bytes_sent(info):
    return next(int(line.split(":")[1]) for line in info.decode().splitlines() if line.startswith("total_net_output_bytes"))


def test_clients_that_do_not_read_are_sent_their_share_of_a_turn(node):
    with node.wire() as bystander:
        bystander.ask("SET", "large", LARGE)  # and the window of this connection is wide from now on
        clients = [greedy(node) for _ in range(GREEDY)]
        before = bytes_sent(bystander.ask("INFO", "stats"))
        stand_still(node.process)
        for conn in clients:
            conn.send(wire.encode(["GET", "large"]))
        bystander.send(wire.encode(["ECHO", b"e" * TURN_READ]) + wire.encode(["INFO", "stats"]))
        until(lambda: all(map(arrived, [*clients, bystander])), 5, "all of it waits at the node")
        stand_still(node.process, False)
        assert bystander.read() == b"e" * TURN_READ
        given = bytes_sent(bystander.read()) - before
        assert TURN_SENT // 2 < given <= TURNS * TURN_SENT, given
        assert all(conn.read() == LARGE for conn in clients), "and all of it comes in the end"
