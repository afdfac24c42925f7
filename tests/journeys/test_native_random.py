# SPDX-License-Identifier: BSD-3-Clause
"""Random frames against a real node: whatever comes, it answers or says goodbye, and goes on serving others."""

import random
import socket
import threading

import pytest

import native
from harness import SEED, until

pytestmark = pytest.mark.own

KEYS = [b"", b"a", b"m:1", b"k\x00\xff", b"x" * 300]
OPS = [op for op in native.OPS if op not in ("EVENT", "GOODBYE")]


@pytest.fixture(scope="module")
def node(module_stage, redis_server):
    path = module_stage.folder / "random.conf"
    path.write_text("[namespace pages]\nprefix = m:\nformat = managed\nhard-timeout = 50ms\nload-timeout = 1s\n")
    return module_stage.node(str(path), l2=redis_server)


def some_meta(chance):
    """Fields of Request with values that make sense now and then."""
    fields = [field for field in native.MESSAGES["Request"].values() if field.name != "key_sizes"]
    meta = {}
    for field in chance.sample(fields, chance.choice([0, 0, 1, 2, 5])):
        if field.kind in ("string", "bytes"):
            one = chance.choice([b"", b"t", b"0123456789abcdef", b"pages", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"])
            meta[field.name] = [one] * chance.randrange(4) if field.repeated else one
        else:
            meta[field.name] = chance.choice([0, 1, 2, 3, 5, 1000, (1 << 63) - 1, (1 << 64) - 1 if field.kind == "uint64" else 7])
    meta.pop("sync_ms", None)
    return meta


def some_request(chance, number):
    op = chance.choice(OPS)
    if op == "CALL":
        words = chance.choice([["GET", "a"], ["SET", "a", "b"], ["INCR", "n"], ["MGET", "a", "m:1"], ["PING"], ["HGETALL", "h"], [],
                               ["CLIENT", "LIST"], ["CLIENT", "REPLY", "OFF"], ["EVAL", "return 1", "0"], ["\x00", "\xff"], ["CONFIG", "GET", "*"]])
        return native.request_frame(op, number, words, wait_ms=chance.choice([0, 0, 5, 1000]))
    if op == "HELLO":
        return native.request_frame(op, number, db=chance.choice([0, 0, 3, 99]), client_name=chance.choice(["", "me", "no name"]))
    keys = [chance.choice(KEYS) for _ in range(chance.choice([1, 1, 1, 2, 20]))]
    if op not in native.SEVERAL_KEYS:
        keys = keys[0]
    body = chance.choice([b"", b"v", b"x" * 5000, b"x" * 100_000])
    return native.request_frame(op, number, keys, body, chance.choice([0, 0, 0, 1, 50, 5000]), **some_meta(chance))


def spoil(chance, data):
    """A bit, a byte, a size, or the end of it."""
    data = bytearray(data)
    how = chance.randrange(4)
    if how == 0:
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    elif how == 1:
        data[chance.choice([1, 2, 3, 8, 12, 16, 20])] = chance.randrange(256)
    elif how == 2:
        del data[chance.randrange(len(data)):]
    else:
        at = chance.randrange(len(data))
        data[at:at] = bytes(chance.randrange(256) for _ in range(chance.randrange(1, 30)))
    return bytes(data)


def test_requests_of_all_kinds_are_answered_once_each(node):
    """Nothing is spoiled: each id is answered, whatever was said in its metadata."""
    chance = random.Random(SEED)
    with node.native(timeout_s=30) as conn:
        for _ in range(20):
            numbers = range(conn.last_id + 1, conn.last_id + 101)
            conn.send_raw(b"".join(some_request(chance, number) for number in numbers))
            conn.last_id = numbers[-1]
            for number in numbers:
                assert conn.answers(number)
            assert not conn.goodbye


@pytest.mark.parametrize("number", range(4))
def test_spoiled_frames_hurt_nobody_else(node, number):
    chance = random.Random(SEED * 10 + number)
    with node.native() as witness:
        for round_of in range(60):
            with node.native(timeout_s=30) as conn:
                frames = [some_request(chance, i) for i in range(1, 8)]
                at = chance.randrange(len(frames))
                frames[at] = spoil(chance, frames[at])
                data = b"".join(frames)
                cut = chance.randrange(len(data))
                try:
                    conn.send_raw(data[:cut])
                    conn.send_raw(data[cut:])
                    conn.sock.shutdown(socket.SHUT_WR)
                    if chance.random() < 0.5:
                        conn.answers(1)
                except (OSError, native.Closed):
                    pass
            assert witness.set("witness", str(round_of)).status == "OK"
    until(lambda: int(node.info()["native_clients"]) == 0, 10, "all of them are gone")


def test_several_clients_at_once(node):
    def play(seed):
        chance = random.Random(seed)
        with node.native(timeout_s=30) as conn:
            for _ in range(5):
                numbers = range(conn.last_id + 1, conn.last_id + 51)
                conn.send_raw(b"".join(some_request(chance, number) for number in numbers))
                conn.last_id = numbers[-1]
                done.extend(number for number in numbers if conn.answers(number))

    done = []
    threads = [threading.Thread(target=play, args=(SEED * 100 + i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 4 * 250
