# SPDX-License-Identifier: BSD-3-Clause
"""wire -- a small RESP2/RESP3 client that hides nothing: replies as typed values and as the bytes that came.

redis-py turns `_` and `$-1` into the same None and a set into a list; comparing two servers needs the difference.
Values: bytes (bulk), int, None, list, and the classes below. Simple strings and errors are their own types.
"""

import socket


class Simple(bytes):
    """+text"""


class Error(bytes):
    """-text or a RESP3 blob error"""


class Verbatim(bytes):
    """=txt:..., without the three letters"""


class Double(bytes):
    """,1.5 as it was written"""


class BigNumber(bytes):
    """(123"""


class Map(list):
    """%: a list of [key, value]"""


class Set(list):
    """~"""


class Push(list):
    """>"""


class NullBulk:
    """$-1"""


class NullArray:
    """*-1"""


NULL_BULK, NULL_ARRAY = NullBulk(), NullArray()


class Closed(Exception):
    """The other side closed the connection."""


def encode(args):
    """One request as an array of bulk strings."""
    parts = [b"*%d\r\n" % len(args)]
    for arg in args:
        if isinstance(arg, str):
            arg = arg.encode()
        elif isinstance(arg, (int, float)):
            arg = repr(arg).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(arg), arg))
    return b"".join(parts)


class Wire:
    """A connection."""

    def __init__(self, address, proto=2, timeout_s=20.0, tls=None):
        """`tls`: an ssl.SSLContext; None: plain."""
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        self.sock.settimeout(timeout_s)
        self.sock.connect(address)
        if family == socket.AF_INET:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.sock = tls.wrap_socket(self.sock)
        self.buffer = bytearray()
        self.at = 0
        if proto == 3:
            self.ask("HELLO", "3")

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.close()

    def close(self):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)

    def ask(self, *args):
        """Sends one command and returns its reply as a value."""
        self.send(encode(args))
        return self.read()

    def ask_raw(self, *args):
        """Sends one command and returns its reply as the bytes that came."""
        self.send(encode(args))
        return self.read_raw()[0]

    def pipeline(self, commands):
        """Sends all in one write and returns the replies in order."""
        self.send(b"".join(encode(command) for command in commands))
        return [self.read() for _ in commands]

    def read(self):
        return self.read_raw()[1]

    def read_raw(self):
        """(the reply's bytes, its value)"""
        if self.at > 1 << 16:
            del self.buffer[:self.at]
            self.at = 0
        begin = self.at
        value, self.at = self._value(begin)
        return bytes(self.buffer[begin:self.at]), value

    def closes_within(self, deadline_s):
        """True if the other side closes; what it says before is kept for `leftover`."""
        self.sock.settimeout(deadline_s)
        try:
            while self._fill():
                pass
        except socket.timeout:
            return False
        except Closed:
            return True
        return True

    def leftover(self):
        return bytes(self.buffer[self.at:])

    def _fill(self):
        try:
            data = self.sock.recv(1 << 18)
        except ConnectionError as error:
            raise Closed(str(error)) from error
        if not data:
            raise Closed("end of stream")
        self.buffer += data
        return True

    def _line(self, at):
        while True:
            end = self.buffer.find(b"\r\n", at)
            if end >= 0:
                return bytes(self.buffer[at:end]), end + 2
            self._fill()

    def _bytes(self, at, size):
        while len(self.buffer) < at + size + 2:
            self._fill()
        if self.buffer[at + size:at + size + 2] != b"\r\n":
            raise AssertionError(f"bulk of {size} bytes does not end with CRLF")
        return bytes(self.buffer[at:at + size]), at + size + 2

    def _list(self, at, count):
        values = []
        for _ in range(count):
            value, at = self._value(at)
            values.append(value)
        return values, at

    def _value(self, at):
        line, at = self._line(at)
        kind, rest = line[:1], line[1:]
        if kind == b"$":
            return (NULL_BULK, at) if rest == b"-1" else self._bytes(at, int(rest))
        if kind == b":":
            return int(rest), at
        if kind == b"+":
            return Simple(rest), at
        if kind == b"-":
            return Error(rest), at
        if kind == b"*":
            return (NULL_ARRAY, at) if rest == b"-1" else self._list(at, int(rest))
        return self._value_of_resp3(kind, rest, at)

    def _value_of_resp3(self, kind, rest, at):
        if kind == b"_":
            return None, at
        if kind == b"#":
            return rest == b"t", at
        if kind == b",":
            return Double(rest), at
        if kind == b"(":
            return BigNumber(rest), at
        if kind in (b"=", b"!"):
            data, at = self._bytes(at, int(rest))
            return (Verbatim(data[4:]), at) if kind == b"=" else (Error(data), at)
        if kind in (b"~", b">"):
            values, at = self._list(at, int(rest))
            return (Set(values) if kind == b"~" else Push(values)), at
        if kind == b"%":
            values, at = self._list(at, 2 * int(rest))
            return Map([values[i], values[i + 1]] for i in range(0, len(values), 2)), at
        if kind == b"|":
            _, at = self._list(at, 2 * int(rest))  # what it says of the value behind it is in the bytes alone
            return self._value(at)
        raise AssertionError(f"no RESP reply begins with {kind!r} ({rest[:60]!r})")
