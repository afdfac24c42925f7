#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""lying_server -- a cache server that can lie, to show that who measures it notices.

Takes the flags of a node (RESP) or of memcached (meta commands), as far as it must know them. LIE says what every tenth GET
is answered with: `foreign` (another key's value), `miss`, `error`; anything else: the truth.
"""

import os
import socketserver
import sys

LIE = os.environ.get("LIE", "")
VALUES = {}
ASKED = [0]


def lied(key):
    """(the value, or None; whether it is to be an error)"""
    ASKED[0] += 1
    value = VALUES.get(key)
    if value is None or ASKED[0] % 10:
        return value, False
    if LIE == "foreign":
        value = next(other for name, other in VALUES.items() if name != key)
    return None if LIE == "miss" else value, LIE == "error"


class Resp(socketserver.StreamRequestHandler):
    def handle(self):
        while head := self.rfile.readline():
            words = []
            for _ in range(int(head[1:])):
                size = int(self.rfile.readline()[1:])
                words.append(self.rfile.read(size + 2)[:-2])
            self.wfile.write(self.answer(*words))

    @staticmethod
    def answer(command, key=b"", value=b"", *_):
        if command == b"SET":
            VALUES[key] = value
            return b"+OK\r\n"
        if command != b"GET":
            return b"+PONG\r\n" if command == b"PING" else b"$0\r\n\r\n"
        value, is_error = lied(key)
        if is_error:
            return b"-ERR it lies\r\n"
        return b"$-1\r\n" if value is None else b"$%d\r\n%b\r\n" % (len(value), value)


class Memcached(socketserver.StreamRequestHandler):
    def handle(self):
        while words := self.rfile.readline().split():
            if words[0] == b"ms":
                VALUES[words[1]] = self.rfile.read(int(words[2]) + 2)[:-2]
                self.wfile.write(b"HD\r\n")
            elif words[0] == b"mn":
                self.wfile.write(b"MN\r\n")
            else:
                value, is_error = lied(words[1])
                self.wfile.write(b"SERVER_ERROR it lies\r\n" if is_error else b"EN\r\n" if value is None else
                                 b"VA %d\r\n%b\r\n" % (len(value), value))


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True
    request_queue_size = 100


def main():
    flags = dict(zip(sys.argv[1::2], sys.argv[2::2]))
    handler, port = (Memcached, flags["-p"]) if "-p" in flags else (Resp, flags["--listen"].rpartition(":")[2])
    with Server(("127.0.0.1", int(port)), handler) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
