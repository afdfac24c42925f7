# SPDX-License-Identifier: BSD-3-Clause
"""proxy -- a TCP proxy that misbehaves on demand, between a node and its Redis (or a client and a node).

    with FaultProxy(("127.0.0.1", redis_port)) as proxy:
        ... the node connects to proxy.url ...
        proxy.black_hole("up")     # what the node sends vanishes; the other way still works
        proxy.heal()               # forwards again; connections that lost bytes are reset

Modes, per direction ("up": to the server, "down": to the client, "both"):
    pass          forwards
    freeze        keeps the bytes; heal() delivers them late, in order: a network that stalled
    black hole    throws the bytes away; nobody is told: a host that died, a route that is gone
hold(direction, marker) freezes only the first connection that carries certain bytes from then on, until release().
Besides: slice(n) forwards in pieces of n bytes; delay(ms) forwards late; reset() ends all connections with RST;
refuse() also ends what connects from now on.

Threads: one, which runs an asyncio loop; the methods may be called from any and return when the change is in force.
"""

import asyncio
import socket
import struct
import threading

PASS, FREEZE, BLACK_HOLE = "pass", "freeze", "black hole"
UP, DOWN = "up", "down"


class Pump:
    """One direction of one connection."""

    def __init__(self, proxy, direction, reader, writer):
        self.proxy, self.direction, self.reader, self.writer = proxy, direction, reader, writer
        self.lost_bytes = 0

    async def run(self):
        while data := await self.reader.read(1 << 16):
            faults = self.proxy.faults[self.direction]
            if faults.delay_s:
                await asyncio.sleep(faults.delay_s)
            if faults.marker is not None and faults.marker in data:
                faults.held, faults.marker = self, None
                faults.wake()
            while faults.mode == FREEZE or faults.held is self:
                await faults.changed()
            if faults.mode == BLACK_HOLE:
                self.lost_bytes += len(data)
                continue
            await self.forward(data, faults.slice_bytes or len(data))
        while self.proxy.faults[self.direction].mode != PASS:  # a half close would tell what is happening
            await self.proxy.faults[self.direction].changed()

    async def forward(self, data, piece_bytes):
        for at in range(0, len(data), piece_bytes):
            self.writer.write(data[at:at + piece_bytes])
            await self.writer.drain()
            if piece_bytes < len(data):
                await asyncio.sleep(0)  # lets the other direction run, so that the pieces leave as they are
        self.proxy.forwarded_bytes[self.direction] += len(data)


class Faults:
    """What one direction suffers from."""

    def __init__(self):
        self.mode, self.slice_bytes, self.delay_s = PASS, 0, 0.0
        self.marker, self.held = None, None  # the bytes that a connection will be held for; the one that is
        self._waiters = []

    async def changed(self):
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        await waiter

    def wake(self):
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()


class FaultProxy:
    def __init__(self, target):
        self.target = target
        self.faults = {UP: Faults(), DOWN: Faults()}
        self.forwarded_bytes = {UP: 0, DOWN: 0}
        self.accepted = 0
        self.port = 0
        self._refusing = False
        self._connections = {}  # task -> (sockets, pumps)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault proxy", daemon=True)
        self._thread.start()
        self._server = self._run(self._start())

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}"

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.stop()

    # --- faults ---

    def freeze(self, direction="both"):
        self._set(direction, mode=FREEZE)

    def black_hole(self, direction="both"):
        self._set(direction, mode=BLACK_HOLE)

    def slice(self, piece_bytes, direction="both"):
        self._set(direction, slice_bytes=piece_bytes)

    def delay(self, delay_ms, direction="both"):
        self._set(direction, delay_s=delay_ms / 1000)

    def hold(self, direction, marker):
        """The first connection that carries the marker stops there, and everything behind it; the others go on."""
        self._set(direction, marker=marker)

    def holds(self, direction):
        return self.faults[direction].held is not None

    def release(self, direction):
        self._set(direction, marker=None, held=None)

    def heal(self):
        """Everything passes again; what was frozen is delivered, what lost bytes is reset."""
        self._refusing = False
        self._run(self._reset(only_holed=True))
        self._set("both", mode=PASS, slice_bytes=0, delay_s=0.0)

    def reset(self):
        self._run(self._reset(only_holed=False))

    def refuse(self):
        self._refusing = True
        self.reset()

    def stop(self):
        self.reset()
        self._run(self._finish())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    # --- inside ---

    def _run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    def _set(self, direction, **changes):
        async def change():
            for name in (UP, DOWN) if direction == "both" else (direction,):
                for field, value in changes.items():
                    setattr(self.faults[name], field, value)
                self.faults[name].wake()
        self._run(change())

    async def _start(self):
        server = await asyncio.start_server(self._on_connection, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _finish(self):
        self._server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _on_connection(self, client_reader, client_writer):
        self.accepted += 1
        if self._refusing:
            _abort(client_writer)
            return
        try:
            server_reader, server_writer = await asyncio.open_connection(*self.target)
        except OSError:
            _abort(client_writer)
            return
        for writer in (client_writer, server_writer):
            writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pumps = [Pump(self, UP, client_reader, server_writer), Pump(self, DOWN, server_reader, client_writer)]
        task = asyncio.current_task()
        self._connections[task] = ((client_writer, server_writer), pumps)
        runs = [asyncio.ensure_future(pump.run()) for pump in pumps]
        try:
            await asyncio.wait(runs, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for run in runs:
                run.cancel()
            await asyncio.gather(*runs, return_exceptions=True)
            self._connections.pop(task, None)
            for writer in (client_writer, server_writer):
                writer.close()

    async def _reset(self, only_holed):
        for writers, pumps in list(self._connections.values()):
            if not only_holed or any(pump.lost_bytes for pump in pumps):
                for writer in writers:
                    _abort(writer)


def _abort(writer):
    """RST, not FIN."""
    sock = writer.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
