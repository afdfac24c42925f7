# SPDX-License-Identifier: BSD-3-Clause
"""A node with far too little memory, while everything happens to it at once: namespaces come and go, databases are swapped,
keys are renamed from one namespace to the other, budgets and policies change. Every value says whose it is and is whole."""

import os
import random
import threading

import pytest

from harness import SEED, until
from test_namespaces import reload

pytestmark = pytest.mark.own

TWO = """
[namespace a]
prefix = a:
memory = 1mb
[namespace ab]
prefix = a:b:
memory = 1mb
policy = lfu
"""
ONE = """
[namespace ab]
prefix = a:b:
memory = 1mb
policy = ttl
"""
MEMORY = 4 << 20
PREFIXES = ("k:", "a:", "a:b:")
ROUNDS = 4 if os.environ.get("JOURNEY_SANITIZED") else 10
BATCHES_A_ROUND = 60 if os.environ.get("JOURNEY_SANITIZED") else 300


def value_of(writer, number, size):
    head = b"%d:%d:%d:" % (writer, number, size)
    return head + b"%d" % (number % 10) * size


def is_whole(value):
    writer, number, size, _ = value.split(b":", 3)
    return value == value_of(int(writer), int(number), int(size))


class Client(threading.Thread):
    """Batches of commands on the keys of all, through one connection."""

    def __init__(self, node, number, reads, seed):
        super().__init__()
        self.node, self.number, self.reads, self.random = node, number, reads, random.Random(seed * 100 + number)
        self.ended, self.wrong, self.batches, self.values = threading.Event(), [], 0, 0

    def size(self):
        return self.random.choice((10, 40, 300, 300, 900, 5000, 60000 if self.random.random() < 0.3 else 20,
                                   400000 if self.random.random() < 0.1 else 20))

    def key(self):
        return f"{self.random.choice(PREFIXES)}{self.random.randrange(600)}"

    def batch(self, pipe):
        for _ in range(24):
            what = 0 if self.random.random() < self.reads else self.random.random()
            if what < 0.5:
                pipe.get(self.key())
            elif what < 0.75:
                life = self.random.choice((None, None, 50, 5000))
                pipe.set(self.key(), value_of(self.number, self.random.randrange(1000), self.size()), px=life)
            elif what < 0.80:
                pipe.mset({self.key(): value_of(self.number, i, 30) for i in range(10)})
            elif what < 0.88:
                pipe.mget([self.key() for _ in range(10)])
            elif what < 0.92:
                pipe.delete(self.key())
            elif what < 0.98:
                pipe.rename(self.key(), self.key())
            else:
                pipe.scan(self.random.randrange(1 << 20), count=20)
        return pipe.execute(raise_on_error=False)

    def look(self, answer):
        if isinstance(answer, list):
            for one in answer:
                self.look(one)
        elif isinstance(answer, bytes) and b":" in answer and not answer.startswith((b"k:", b"a:")):
            self.values += 1
            if not is_whole(answer):
                self.wrong.append(answer[:60])
        elif isinstance(answer, Exception) and "no such key" not in str(answer):
            self.wrong.append(answer)

    def run(self):
        client = self.node.client()
        try:
            while not self.ended.is_set() and not self.wrong:
                self.look(self.batch(client.pipeline(transaction=False)))
                self.batches += 1
        except Exception as error:  # pylint: disable=broad-except
            self.wrong.append(error)


@pytest.mark.parametrize("with_l2", [False, True], ids=["alone", "with_l2"])
def test_everything_at_once_with_little_memory(stage, with_l2):
    config = stage.folder / "node.conf"
    config.write_text(TWO)
    node = stage.node(str(config), "--memory", str(MEMORY), "--threads", "2", l2=stage.redis() if with_l2 else None)
    node.config = config
    print(f"seed {SEED}")
    clients = [Client(node, number, 0.9 if with_l2 else 0, SEED) for number in range(4)]
    control = node.client()
    if with_l2:
        control.mset({f"{prefix}{i}": value_of(9, i, i * 20) for prefix in PREFIXES for i in range(600)})
    for client in clients:
        client.start()
    evicted = 0  # since a reload: those of a namespace go with it
    try:
        for turn in range(ROUNDS):
            before = [client.batches for client in clients]
            until(lambda: any(client.wrong for client in clients) or
                  sum(client.batches for client in clients) > sum(before) + BATCHES_A_ROUND, 60.0, "all clients go on")
            evicted = max(evicted, int(control.info("stats")["evicted_keys"]))
            assert "event=reloaded" in reload(node, ONE if turn % 2 == 0 else TWO)
            control.config_set("memory", MEMORY - (1 << 20) * (turn % 2))
            control.execute_command("SWAPDB", 0, 1)
            control.config_set("policy", ("lru", "density", "s3fifo", "ttl")[turn % 4])
    finally:
        for client in clients:
            client.ended.set()
        for client in clients:
            client.join()
    assert [client.wrong for client in clients] == [[], [], [], []]
    assert sum(client.values for client in clients) > 1000
    assert evicted > 100
    assert int(node.info()["l1_bytes_used"]) <= MEMORY * 1.05
    for db in range(2):  # what is counted can be walked, and nothing else
        client = node.client(db=db)
        walked = sum(1 for _ in client.scan_iter(count=1000))
        assert with_l2 or walked <= client.dbsize() + 10  # what has expired is counted until it is swept
    control.flushall()
    until(lambda: int(node.info()["l1_items"]) == 0, 10.0, "all is gone")
