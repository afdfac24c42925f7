# SPDX-License-Identifier: BSD-3-Clause
"""origin -- where an application has its values from, simulated: it counts how often each key is loaded, and is as slow, as
broken or as silent as a test says. And clients that look there when the cache has nothing.

    origin = Origin()
    origin.close()                                  # loads hang until origin.open()
    origin.script.extend([0.2, "error"])            # the next load takes 200 ms, the one behind it fails
    async with Clients(nodes, 300) as clients:      # so many connections to each node
        asked = clients.all(cache_aside, origin, "k")
        await origin.loading("k", 1)
        origin.open()
        values = await asked                        # what each of them got

All in one loop of asyncio, in the test's own thread: nothing happens behind its back, and a condition is waited for, not time.
"""

import asyncio
import collections

import wire

DEADLINE_S = 20.0


class OriginDown(Exception):
    """The origin answered an error."""


class Origin:
    def __init__(self):
        self.loads = collections.Counter()  # by key: how often it was asked for
        self.fails = False  # answers errors
        self.script = collections.deque()  # what becomes of the next loads: seconds that they take, or "error"
        self._opened = asyncio.Event()
        self._opened.set()
        self._changed = asyncio.Condition()

    def close(self):
        """It hangs: whoever asks waits for open()."""
        self._opened.clear()

    def open(self):
        self._opened.set()

    async def load(self, key):
        async with self._changed:
            self.loads[key] += 1
            count = self.loads[key]
            self._changed.notify_all()
        step = self.script.popleft() if self.script else 0
        await self._opened.wait()
        if self.fails or step == "error":
            raise OriginDown(key)
        if step > 0:
            await asyncio.sleep(step)  # slowness is the subject
        return b"%s, load %d" % (key.encode(), count)

    async def loading(self, key, count):
        """Until `key` was asked for so often."""
        async with self._changed:
            await asyncio.wait_for(self._changed.wait_for(lambda: self.loads[key] >= count), DEADLINE_S)


class Client:
    """One connection, one call at a time: RESP2."""

    def __init__(self, node):
        self.node = node

    async def connect(self):
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.node.port)
        return self

    async def ask(self, *words):
        self.writer.write(wire.encode(words))
        return await asyncio.wait_for(self._reply(), DEADLINE_S)

    async def _reply(self):
        line = await self.reader.readline()
        if not line:
            raise ConnectionError("closed")
        kind, rest = line[:1], line[1:-2]
        if kind == b":":
            return int(rest)
        if kind == b"+":
            return wire.Simple(rest)
        if kind == b"-":
            return wire.Error(rest)
        if int(rest) < 0:
            return None
        if kind == b"$":
            return (await self.reader.readexactly(int(rest) + 2))[:-2]
        return [await self._reply() for _ in range(int(rest))]

    def leave(self):
        """At once, whatever it waits for."""
        self.writer.transport.abort()


class Clients:
    def __init__(self, nodes, of_each):
        self.list = [Client(node) for _ in range(of_each) for node in nodes]

    async def __aenter__(self):
        for at in range(0, len(self.list), 100):
            await asyncio.gather(*(client.connect() for client in self.list[at : at + 100]))
        return self

    async def __aexit__(self, *_):
        for client in self.list:
            client.leave()

    def all(self, what, *args):
        """`what(client, *args)` for each of them at once; a future of what they returned, or raised."""
        return asyncio.gather(*(what(client, *args) for client in self.list), return_exceptions=True)


async def cache_aside(client, origin, key):
    """What applications do that know nothing of loads."""
    value = await client.ask("GET", key)
    if value is None:
        value = await origin.load(key)
        await client.ask("SET", key, value)
    return value


async def fetch(client, origin, key, *options, fill=()):
    """(how it was answered, the value): the same with tokens. A load that fails is told, and raised if nothing else is there."""
    reply = await client.ask("CACHE.FETCH", key, *options)
    if isinstance(reply, wire.Error):
        return "ERROR", reply
    state, value, _, _, token = reply
    if state == b"LOAD":
        try:
            value = await origin.load(key)
        except OriginDown:
            await client.ask("CACHE.FAIL", key, token)
            if value is None:
                raise
            return "FAILED", value
        filled = await client.ask("CACHE.FILL", key, token, value, *fill)
        return ("LOAD" if isinstance(filled, int) else "LOST"), value
    return state.decode(), value
