# SPDX-License-Identifier: BSD-3-Clause
"""native -- a small client of the native protocol (docs/protocol.md) that hides nothing, for journeys.

Written from the document: the header by struct, metadata by a few lines of its own, whose field numbers come from
protocol/terrace.proto. So the node's codec is tested by another one.

    with node.native() as conn:
        conn.set("k", "v")
        answer = conn.get("k", contract=2)          # a request and its answer; metadata by the names of the .proto
        answer.status, answer.body, answer.meta["age_ms"]
        one, two = conn.send("GET", "a"), conn.send("GET", "b")   # several under way, answered in any order
        conn.answer(two), conn.answer(one)

What nobody asked for is kept: `events`, `goodbye`, and `arrived`, all frames in the order in which they came.
"""

import collections
import pathlib
import re
import socket
import struct

MAGIC, VERSION, HEADER = 0xF7, 1, struct.Struct("<BBBBIIIII")
OPS = {"HELLO": 1, "GET": 2, "FETCH": 3, "MGET": 4, "SET": 5, "DELETE": 6, "FILL": 7, "FAIL": 8, "INVALIDATE": 9, "WATCH": 10,
       "UNWATCH": 11, "BEAT": 12, "STATS": 13, "TOPOLOGY": 14, "CALL": 15, "WARM": 32, "HOT": 33, "EVENT": 64, "GOODBYE": 65}
STATUSES = ["OK", "NIL", "LOAD", "STALE", "L2DOWN", "UNKNOWN", "LOST", "BUSY", "NOAUTH", "NOPERM", "WRONGTYPE", "DEADLINE", "BAD",
            "ERROR"]
ANSWER, MORE = 1, 2
NONE, HIT, STALE, NEGATIVE = range(4)  # Reply.state
TARGETS = {"KEY": 1, "TAG": 2, "PREFIX": 3, "PATTERN": 4, "ALL": 5}
SEVERAL_KEYS = {"MGET", "DELETE", "INVALIDATE", "WATCH", "CALL"}

_NAME_OF_OP = {number: name for name, number in OPS.items()}
_PROTO = pathlib.Path(__file__).resolve().parents[2] / "protocol" / "terrace.proto"
_FIELD = re.compile(r"^\s*(repeated\s+)?(\w+)\s+(\w+)\s*=\s*(\d+);", re.MULTILINE)

Field = collections.namedtuple("Field", "number kind name repeated")


class Closed(Exception):
    """The node closed the connection."""


# --- protobuf ---

def _messages():
    """{message: {number: Field}} of the .proto."""
    text = re.sub(r"//[^\n]*", "", _PROTO.read_text(encoding="utf-8"))
    return {name: {int(number): Field(int(number), kind, field, bool(repeated))
                   for repeated, kind, field, number in _FIELD.findall(body)}
            for name, body in re.findall(r"message (\w+) \{(.*?)\}", text, re.DOTALL)}


MESSAGES = _messages()
_TEXTS = ("string", "bytes")


def varint(number):
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _encode_number(kind, value):
    if kind == "sint64":
        return varint(value << 1 ^ value >> 63)
    return varint(int(value))


def _tagged(field, wire, payload):
    return varint(field.number << 3 | wire) + (varint(len(payload)) + payload if wire == 2 else payload)


def _encode_one(field, value):
    if field.kind in _TEXTS:
        return _tagged(field, 2, as_bytes(value))
    if field.kind in MESSAGES:
        return _tagged(field, 2, encode(field.kind, value))
    if field.kind == "double":
        return _tagged(field, 1, struct.pack("<d", value))
    return _tagged(field, 0, _encode_number(field.kind, value))


def encode(message, values):
    """The metadata of {field: value}; what is at its default is left out."""
    fields = {field.name: field for field in MESSAGES[message].values()}
    out = b""
    for field in sorted((fields[name] for name in values), key=lambda field: field.number):
        value = values[field.name]
        if not field.repeated:
            out += _encode_one(field, value) if value else b""
        elif field.kind in _TEXTS or field.kind in MESSAGES:
            out += b"".join(_encode_one(field, each) for each in value)
        elif value:
            out += _tagged(field, 2, b"".join(_encode_number(field.kind, each) for each in value))
    return out


def _read_varint(data, at):
    number, shift = 0, 0
    while True:
        number |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 0x80:
            return number, at


def _read_wire(data, at, wire):
    if wire == 0:
        return _read_varint(data, at)
    if wire == 2:
        size, at = _read_varint(data, at)
    else:
        size = {1: 8, 5: 4}[wire]
    assert at + size <= len(data), "a field goes beyond its metadata"
    return data[at:at + size], at + size


def _decode_number(kind, number):
    return {"sint64": number >> 1 ^ -(number & 1), "bool": bool(number)}.get(kind, number)


def _decode_packed(kind, data):
    numbers, at = [], 0
    while at < len(data):
        number, at = _read_varint(data, at)
        numbers.append(_decode_number(kind, number))
    return numbers


def _decode_one(field, value):
    if field.kind == "string":
        return value.decode("utf-8")
    if field.kind == "bytes":
        return bytes(value)
    if field.kind == "double":
        return struct.unpack("<d", value)[0]
    if field.kind in MESSAGES:
        return decode(field.kind, value)
    return _decode_number(field.kind, value)


def default_of(field):
    if field.repeated:
        return []
    return {"string": "", "bytes": b"", "bool": False, "double": 0.0}.get(field.kind, 0)


def decode(message, data):
    """{field: value} with every field of the message; unknown ones are skipped."""
    fields = MESSAGES[message]
    values = {field.name: default_of(field) for field in fields.values()}
    at = 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        value, at = _read_wire(data, at, tag & 7)
        field = fields.get(tag >> 3)
        if not field:
            continue
        if not field.repeated:
            values[field.name] = _decode_one(field, value)
        elif tag & 7 == 2 and field.kind not in _TEXTS and field.kind not in MESSAGES:
            values[field.name] += _decode_packed(field.kind, value)
        else:
            values[field.name].append(_decode_one(field, value))
    return values


# --- frames ---

def as_bytes(word):
    return word if isinstance(word, bytes) else str(word).encode()


def frame(op, request=0, meta=b"", keys=b"", body=b"", word=0, flags=0, version=VERSION):
    """The bytes of a frame."""
    op = OPS.get(op, op)
    return HEADER.pack(MAGIC, version, op, flags, request, len(meta), len(keys), len(body), word) + meta + keys + body


def request_frame(op, request, keys=(), body=b"", wait_ms=0, **meta):
    """The bytes of a request: keys as one key or a list; metadata by the names of the .proto."""
    keys = [as_bytes(key) for key in (keys if isinstance(keys, (list, tuple)) else [keys])]
    if op in SEVERAL_KEYS and keys:
        meta.setdefault("key_sizes", [len(key) for key in keys])
    message = "Hello" if op == "HELLO" else "Request"
    return frame(op, request, encode(message, meta), b"".join(keys), as_bytes(body), wait_ms)


def cut_keys(sizes, keys):
    out, at = [], 0
    for size in sizes:
        out.append(keys[at:at + size])
        at += size
    assert at == len(keys), f"sizes {sizes} for {len(keys)} bytes of keys"
    return out


class Frame:
    """What the node sent: `op` by name, `status` of an answer, `meta` as a dict, `keys`, `body`."""

    def __init__(self, header, meta, keys, body):
        magic, self.version, op, self.flags, self.id, _, _, _, self.word = header
        assert magic == MAGIC, f"a frame begins with {magic:#x}"
        self.op = _NAME_OF_OP.get(op, op)
        self.is_answer, self.more = bool(self.flags & ANSWER), bool(self.flags & MORE)
        self.status = STATUSES[self.word] if self.is_answer else None
        message = {"EVENT": "Event", "HELLO": "Welcome"}.get(self.op, "Reply")
        self.meta = decode(message, meta)
        self.keys = cut_keys(self.meta["key_sizes"], keys) if self.op == "EVENT" else keys
        self.body = body

    @property
    def value(self):
        """The body, or None where there is no value."""
        return self.body if self.status in ("OK", "LOAD") and self.meta.get("state") in (HIT, STALE) else None

    def __repr__(self):
        said = {name: value for name, value in self.meta.items() if value}
        return f"<{self.op} id={self.id} {self.status or ''} {said} keys={self.keys!r:.80} body={self.body!r:.80}>"


def read_frame(data, at=0):
    """(the frame at `at`, where the next begins), or (None, at) if it is not there yet."""
    if len(data) - at < HEADER.size:
        return None, at
    header = HEADER.unpack_from(data, at)
    ends, parts = at + HEADER.size, []
    for size in header[5:8]:
        parts.append(bytes(data[ends:ends + size]))
        ends += size
    return (Frame(header, *parts), ends) if ends <= len(data) else (None, at)


class Native:
    """A connection."""

    def __init__(self, address, timeout_s=20.0, tls=None):
        """`tls`: an ssl.SSLContext; None: plain. Says nothing yet."""
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        self.sock.settimeout(timeout_s)
        self.sock.connect(address)
        if family == socket.AF_INET:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.sock = tls.wrap_socket(self.sock)
        self.buffer, self.at = bytearray(), 0
        self.last_id = 0
        self.arrived, self.events, self.goodbye = [], [], None
        self._answers = collections.defaultdict(list)

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.close()

    def close(self):
        self.sock.close()

    # --- frames ---

    def send_raw(self, data):
        self.sock.sendall(data)

    def send(self, op, keys=(), body=b"", wait_ms=0, **meta):
        """Sends a request and returns its id."""
        self.last_id += 1
        self.send_raw(request_frame(op, self.last_id, keys, body, wait_ms, **meta))
        return self.last_id

    def read(self):
        """The next frame that comes, which is noted, too."""
        while True:
            got, self.at = read_frame(self.buffer, self.at)
            if got:
                break
            self._fill()
        if self.at > 1 << 16:
            del self.buffer[:self.at]
            self.at = 0
        self.arrived.append(got)
        if got.is_answer:
            self._answers[got.id].append(got)
        elif got.op == "EVENT":
            self.events.append(got)
        elif got.op == "GOODBYE":
            self.goodbye = got
        else:
            raise AssertionError(f"what is {got}?")
        return got

    def answers(self, request):
        """All answers to a request (MGET has several), in the order in which they came."""
        while not self._answers[request] or self._answers[request][-1].more:
            self.read()
        return self._answers.pop(request)

    def answer(self, request):
        """The answer to a request."""
        [answer] = self.answers(request)
        return answer

    def ask(self, op, keys=(), body=b"", wait_ms=0, **meta):
        return self.answer(self.send(op, keys, body, wait_ms, **meta))

    def until_event(self, seq):
        """Reads until the event with this number is there; all events so far."""
        while not self.events or self.events[-1].meta["stream_seq"] < seq:
            self.read()
        return self.events

    def answered(self, request):
        """Whether an answer is there, of what has been read."""
        return bool(self._answers[request])

    def closes_within(self, deadline_s):
        """True if the node closes; what it says before is read."""
        self.sock.settimeout(deadline_s)
        try:
            while True:
                self.read()
        except socket.timeout:
            return False
        except Closed:
            return True

    def _fill(self):
        try:
            data = self.sock.recv(1 << 18)
        except ConnectionError as error:
            raise Closed(str(error)) from error
        if not data:
            raise Closed("end of stream")
        self.buffer += data

    # --- the ops ---

    def hello(self, user=None, password=None, **meta):
        if password is not None:
            meta.update(has_auth=True, user=user or "", password=password)
        return self.ask("HELLO", **meta)

    def get(self, key, **options):
        return self.ask("GET", key, **options)

    def fetch(self, key, **options):
        return self.ask("FETCH", key, **options)

    def mget(self, *keys, **options):
        """The answers in the order of the keys."""
        answers = self.answers(self.send("MGET", list(keys), **options))
        return sorted(answers, key=lambda answer: answer.meta["index"])

    def set(self, key, value, **options):
        return self.ask("SET", key, value, **options)

    def delete(self, *keys, **options):
        return self.ask("DELETE", list(keys), **options)

    def fill(self, key, token, value, **options):
        return self.ask("FILL", key, value, token=token, **options)

    def fail(self, key, token, **options):
        return self.ask("FAIL", key, token=token, **options)

    def invalidate(self, target, *words, **options):
        return self.ask("INVALIDATE", list(words), target=TARGETS[target], **options)

    def watch(self, *prefixes, **options):
        """Without prefixes: the keys that this connection reads."""
        return self.ask("WATCH", list(prefixes), watch=1 if prefixes else 0, **options)

    def unwatch(self, **options):
        return self.ask("UNWATCH", **options)

    def beat(self, **options):
        return self.ask("BEAT", **options)

    def stats(self, section="", **options):
        return self.ask("STATS", section, **options)

    def topology(self, **options):
        return self.ask("TOPOLOGY", **options)

    def call(self, *words, **options):
        """The body is the reply as RESP3; of an error the status says so."""
        return self.ask("CALL", list(words), **options)
