# SPDX-License-Identifier: BSD-3-Clause
"""A worker's link that still sits on a master that is none any more (COHERENCE section 3, "L2 reads have their own
fence"). Real Redis servers; the connections to the old one stay open all the time.

The address of L2 is a symbolic link to a server's Unix socket: turned to another server, it leads new connections there
and leaves the old ones where they are, as a floating address or a DNS name does.
"""

import os
import time

import pytest

import wire
from harness import BOUND_S, SLACK_S, free_port, serves_hits, until

pytestmark = pytest.mark.own
SOON_S = BOUND_S + SLACK_S


class Address:
    """Where the node looks for its Redis."""

    def __init__(self, stage):
        self.folder, self.path = stage.folder, str(stage.folder / "l2")
        self.url = f"unix://{self.path}"

    def redis(self, stage):
        server = stage.redis("--unixsocket", str(self.folder / f"redis{stage.count}.sock"))
        server.unixsocket = server.flags[1]
        return server

    def lead_to(self, server):
        os.symlink(server.unixsocket, self.path + ".new")
        os.rename(self.path + ".new", self.path)


def follow(replica, master):
    master.client().config_set("repl-diskless-sync-delay", 0)
    replica.client().replicaof("127.0.0.1", master.port)
    until(lambda: replica.client().info("replication")["master_link_status"] == "up", 15, "the replica follows")


def promote(replica):
    replica.client().replicaof("NO", "ONE")


@pytest.fixture
def rig(stage):
    """(old, new, address, node, conn): a master, its replica, and a node of one worker whose links are on the master."""
    address = Address(stage)
    old, new = address.redis(stage), address.redis(stage)
    follow(new, old)
    address.lead_to(old)
    node = stage.node("--threads", "1", "--l2-timeout", "500ms", l2=address.url)
    with node.wire() as conn:
        conn.ask("SET", "k", "old")
        conn.ask("HSET", "h", "f", "old")
        conn.ask("GET", "k")
        until(lambda: new.client().get("k") == b"old" and new.client().hget("h", "f") == b"old", 5, "it is replicated")
        yield old, new, address, node, conn
    node.end()


READS = (["GET", "k"], ["HGET", "h", "f"], ["GETRANGE", "k", "0", "-1"])


def shows_nothing_old_after(conn, since, for_s):
    """Reads until `for_s` s after `since`: whatever is shown after T is not old. How often each kind of answer came."""
    seen = {"old": 0, "new": 0, "error": 0}
    while time.monotonic() - since < for_s:
        for words in READS:
            began = time.monotonic()
            reply = conn.ask(*words)
            if isinstance(reply, wire.Error):
                assert reply.startswith(b"L2DOWN "), reply
                seen["error"] += 1
            elif reply == b"old":
                assert began - since <= BOUND_S, f"{words} shows what is {began - since:.2f} s old"
                seen["old"] += 1
            else:
                assert reply == b"new", reply
                seen["new"] += 1
    return seen


def write_on(server):
    server.client().set("k", "new")
    server.client().hset("h", "f", "new")


def test_a_demoted_master_is_not_read_after_the_bound(rig):
    """Everything of the node is on it, and its connections stay open."""
    old, new, address, node, conn = rig
    promote(new)
    old.client().replicaof("127.0.0.1", free_port())  # nobody there: it keeps its data, and its clients
    since = time.monotonic()
    write_on(new)
    seen = shows_nothing_old_after(conn, since, 2.5 * BOUND_S)
    assert seen["new"] == 0 and seen["error"] > 0, seen
    address.lead_to(new)
    until(lambda: conn.ask("GET", "k") == b"new" and conn.ask("HGET", "h", "f") == b"new", 5, "the new master serves")
    node.wait_synced(5)


def kill_control_and_bus(server):
    """All of the node's connections but the worker's: it is the one that ran the client's last command."""
    server.client().execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    for client in server.client().client_list():
        if client["cmd"] == "eval":
            server.client().execute_command("CLIENT", "KILL", "ID", client["id"])


@pytest.mark.parametrize("old_is", ["demoted", "a second master", "a second master without replicas"])
def test_a_worker_left_behind_on_the_old_master_reads_nothing_old(rig, old_is):
    """The node's other links are on the new master already, so its fence for L1 is open: only the link's own can tell.
    A second master is a split brain: it writes, but not in the epoch that the node follows. With min-replicas-to-write
    it does not even write."""
    old, new, address, node, conn = rig
    conn.ask("HGET", "h", "f")
    if old_is == "demoted":
        old.client().replicaof("127.0.0.1", free_port())
    elif old_is == "a second master without replicas":
        old.client().config_set("min-replicas-to-write", 1)
    promote(new)
    address.lead_to(new)
    write_on(new)
    since = time.monotonic()
    kill_control_and_bus(old)
    if old_is == "a second master":  # it is as good as the other one until the node has met that one
        until(lambda: node.info()["coherence_epoch"] == "2", 5, "the node knows the new epoch")
        since = time.monotonic()
    seen = shows_nothing_old_after(conn, since, 2.5 * BOUND_S)
    assert seen["new"] > 0, seen
    node.wait_synced(5)
    until(lambda: serves_hits(node, conn, "k"), 5, "L1 serves")
    assert conn.ask("GET", "k") == b"new"


def test_min_replicas_closes_the_links_of_an_isolated_master(rig):
    """A master that lost its replicas knows it after min-replicas-max-lag; from then on its links prove nothing."""
    old, new, address, node, conn = rig
    old.client().config_set("min-replicas-max-lag", 1)
    old.client().config_set("min-replicas-to-write", 1)
    until(lambda: conn.ask("GET", "k") == b"old", 5, "with its replica it serves")
    promote(new)
    until(lambda: conn.ask("GET", "k").startswith(b"L2DOWN "), 1 + 2 * SOON_S, "isolated, it is not read")
    for words in READS:
        assert conn.ask(*words).startswith(b"L2DOWN "), words
    old.client().config_set("min-replicas-to-write", 0)
    until(lambda: conn.ask("GET", "k") == b"old", 5, "and is read again when it may write")


def test_a_flush_does_not_cost_the_links(rig):
    """A new epoch of the same process: the links prove themselves again and nobody is told L2DOWN."""
    old, _, _, node, conn = rig
    losses = node.info()["l2_losses"]
    for turn in range(5):
        old.client().flushall()
        began = time.monotonic()
        while time.monotonic() - began < BOUND_S / 2:
            for words in READS:
                reply = conn.ask(*words)
                assert not isinstance(reply, wire.Error), reply
        assert conn.ask("SET", "k", f"{turn}") == b"OK"
    assert node.info()["l2_losses"] == losses
