# SPDX-License-Identifier: BSD-3-Clause
"""envelopes -- what a managed namespace has in L2 (protocol/envelope.h), made and read in Python: an independent second
opinion of the format, and a way to put there what no node would write.

    redis.set(key, seal(b"value", version=7, fresh_ms=1000), px=1000)
    unseal(redis.get(key))  ->  Envelope(kind=0, soft=0, version=7, ...)
"""

import collections
import ctypes
import struct

RAW, LZ4, LZ4_DICTIONARY, NEGATIVE = range(4)
MAGIC = b"\xf5TE\x01"
HEAD = struct.Struct("<4sBBHQQIIIIQ")
Envelope = collections.namedtuple("Envelope", "kind soft version fresh_ms swr_ms sie_ms load_ms value_size tags dictionary body")

_libxxhash = ctypes.CDLL("libxxhash.so.0")
_libxxhash.XXH64.restype = ctypes.c_uint64
_libxxhash.XXH64.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint64]


def _varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes(out) + bytes([number])


def _metadata(tags, dictionary):
    fields = b"".join(b"\x0a" + _varint(len(tag)) + tag for tag in tags)
    return fields + (b"\x10" + _varint(dictionary) if dictionary else b"")


def xxh64(data):
    return _libxxhash.XXH64(data, len(data), 0)


def _checksum(head, rest):
    return xxh64(head[:4] + head[5:8] + head[24:40] + rest)


def seal(value, version=1, fresh_ms=0, swr_ms=0, sie_ms=0, tags=(), soft=0, load_ms=0, kind=RAW, value_size=None, dictionary=0):
    metadata = _metadata([tag.encode() if isinstance(tag, str) else tag for tag in tags], dictionary)
    size = len(value) if value_size is None else value_size
    head = HEAD.pack(MAGIC, soft, kind, len(metadata), version, fresh_ms, swr_ms, sie_ms, size, load_ms, 0)
    return head[:40] + struct.pack("<Q", _checksum(head, metadata + value)) + metadata + value


def _read_varint(data, at):
    number, shift = 0, 0
    while True:
        number |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 128:
            return number, at


def unseal(data):
    magic, soft, kind, metadata_size, version, fresh, swr, sie, size, load, checksum = HEAD.unpack_from(data)
    assert magic == MAGIC, magic
    assert checksum == _checksum(data[:48], data[48:])
    metadata, tags, dictionary, at = data[48 : 48 + metadata_size], [], 0, 0
    while at < len(metadata):
        field = metadata[at]
        if field == 0x0A:
            length, at = _read_varint(metadata, at + 1)
            tags.append(metadata[at : at + length])
            at += length
        else:
            assert field == 0x10, field
            dictionary, at = _read_varint(metadata, at + 1)
    return Envelope(kind, soft, version, fresh, swr, sie, load, size, tags, dictionary, data[48 + metadata_size :])
