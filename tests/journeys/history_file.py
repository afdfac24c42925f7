# SPDX-License-Identifier: BSD-3-Clause
"""history_file -- histories (docs/history.md) read and written in Python: for what a supervisor knows and the driver does
not, such as when Redis lost everything, and for tests that plant a violation.

    header, records = read(path)
    write(path, header, records)          # sorted by their moments here

A record is a dict of FIELDS; a header holds seed, bound_ns, slack_ns, grace_ns, began_ns, keys, nodes [(bound_ns, name)],
prefix and description.
"""

import ctypes
import struct
import time

READ, SET, DELETE, LOSS, END = 1, 2, 3, 4, 5
OK, REFUSED, UNKNOWN, LOST = 1, 2, 3, 4
MARKED_STALE, FINAL = 1, 2
NOTHING, FOREIGN, ALL_KEYS = 0, (1 << 64) - 1, (1 << 32) - 1
FIELDS = ("invoked_ns", "completed_ns", "value", "key", "session", "node", "kind", "what", "life_ms")

RECORD = struct.Struct("<QQQIIHBBI")
HEAD = struct.Struct("<8sIIQQQQQII")
BLOCK = struct.Struct("<IIQ")
HEADER_SIZE, NODE_SIZE, NODES_MAX = 4096, 64, 32
MAGIC, BLOCK_MAGIC, BLOCK_RECORDS = b"TRHIST\r\n", 0x31425254, 1024


_libxxhash = ctypes.CDLL("libxxhash.so.0")
_libxxhash.XXH64.restype = ctypes.c_uint64
_libxxhash.XXH64.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint64]


def _checksum(data):
    return _libxxhash.XXH64(data, len(data), 0)


def now_ns():
    return time.monotonic_ns()


def death(value, low_ns, high_ns):
    """Redis lost everything between the two moments: the records of a flush of all keys."""
    common = {"value": value, "key": ALL_KEYS, "invoked_ns": low_ns}
    return [{"kind": DELETE, **common}, {"kind": END, "what": OK, "completed_ns": high_ns, **common}]


def moment(record):
    return record["invoked_ns"] if record["kind"] in (SET, DELETE, LOSS) else record["completed_ns"]


def _text(data):
    return data.split(b"\0", 1)[0].decode("utf-8", "replace")


def _header(data):
    magic, _, _, seed, bound, slack, grace, began, keys, count = HEAD.unpack_from(data)
    assert magic == MAGIC, magic
    nodes = []
    for at in range(64, 64 + count * NODE_SIZE, NODE_SIZE):
        nodes.append((struct.unpack_from("<Q", data, at)[0], _text(data[at + 8:at + NODE_SIZE])))
    return {"seed": seed, "bound_ns": bound, "slack_ns": slack, "grace_ns": grace, "began_ns": began, "keys": keys,
            "nodes": nodes, "prefix": _text(data[2112:2368]), "description": _text(data[2368:4088])}


def read_header(path):
    with open(path, "rb") as file:
        return _header(file.read(HEADER_SIZE))


def each(path):
    """The records one by one: there may be millions."""
    data, at = path.read_bytes(), HEADER_SIZE
    while True:
        magic, count, _ = BLOCK.unpack_from(data, at)
        assert magic == BLOCK_MAGIC, f"no block at {at}"
        at += BLOCK.size
        if count == 0:
            return
        end = at + count * RECORD.size
        yield from (dict(zip(FIELDS, words)) for words in RECORD.iter_unpack(data[at:end]))
        at = end


def read(path):
    return read_header(path), list(each(path))


def write(path, header, records):
    head = bytearray(HEADER_SIZE - 8)
    HEAD.pack_into(head, 0, MAGIC, 1, HEADER_SIZE, header.get("seed", 0), header["bound_ns"], header["slack_ns"],
                   header.get("grace_ns", 0), header.get("began_ns", 0), header["keys"], len(header["nodes"]))
    for i, (bound, name) in enumerate(header["nodes"]):
        struct.pack_into("<Q55s", head, 64 + i * NODE_SIZE, bound, name.encode())
    struct.pack_into("<255s", head, 2112, header["prefix"].encode())
    struct.pack_into("<1719s", head, 2368, header.get("description", "").encode())
    records = sorted(records, key=moment)
    with open(path, "wb") as file:
        file.write(head + struct.pack("<Q", _checksum(bytes(head))))
        for at in range(0, len(records), BLOCK_RECORDS):
            block = b"".join(RECORD.pack(*(record.get(field, 0) for field in FIELDS))
                             for record in records[at:at + BLOCK_RECORDS])
            file.write(BLOCK.pack(BLOCK_MAGIC, len(block) // RECORD.size, _checksum(block)) + block)
        file.write(BLOCK.pack(BLOCK_MAGIC, 0, len(records)))
