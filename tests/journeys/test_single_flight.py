# SPDX-License-Identifier: BSD-3-Clause
"""One load in the cluster for all who want a managed key: exact counts at an origin (origin.py), on three nodes."""

import asyncio
import collections
import struct
import time

import pytest

import wire
from envelopes import xxh64
from harness import SLACK_S, slow_under_sanitizers, until
from origin import Client, Clients, Origin, cache_aside, fetch

pytestmark = pytest.mark.own

CONFIG = """
[namespace pages]
prefix = m:
format = managed
soft-timeout = 50ms
hard-timeout = 15s
load-timeout = 30s
swr = 60s
sie = 0
[namespace errors]
prefix = e:
format = managed
soft-timeout = 20ms
hard-timeout = 15s
sie = 60s
[namespace brief]
prefix = b:
format = managed
hard-timeout = 100ms
load-timeout = 1s
negative-ttl = 30s
[namespace slow]
prefix = x:
format = managed
xfetch = 100
jitter = 0%
hard-timeout = 15s
[namespace eager]
prefix = g:
format = managed
ttl = 60s
jitter = 0%
eager = 1%
hard-timeout = 15s
"""


def start(stage, redis_server):
    path = stage.folder / f"{len(stage.processes)}.conf"
    path.write_text(CONFIG)
    return stage.node(str(path), "--threads", "2", l2=redis_server)


@pytest.fixture(scope="module")
def nodes(module_stage, redis_server):
    three = [start(module_stage, redis_server) for _ in range(3)]
    for node in three:
        node.wait_synced()
    return three


@pytest.fixture
def server(redis_server):
    return redis_server.client()


def play(story):
    """Runs a coroutine function as the test."""

    async def told(*args):
        await asyncio.wait_for(story(*args), 30)

    return asyncio.run(told())





# --- one load --------------------------------------------------------------------------------------------------------


def test_900_plain_clients_on_one_cold_key_are_one_load(nodes):
    async def story():
        origin = Origin()
        origin.close()
        async with Clients(nodes, 300) as clients:
            asked = clients.all(cache_aside, origin, "m:cold")
            await origin.loading("m:cold", 1)
            origin.open()
            assert set(await asked) == {b"m:cold, load 1"}
        assert origin.loads["m:cold"] == 1

    play(story)


def test_the_loader_is_killed_and_there_are_two_loads(nodes):
    async def story():
        origin = Origin()
        origin.close()
        async with Clients(nodes, 300) as clients:
            loader = clients.list.pop()
            killed = asyncio.ensure_future(cache_aside(loader, origin, "m:killed"))
            await origin.loading("m:killed", 1)
            asked = clients.all(cache_aside, origin, "m:killed")
            began = time.monotonic()
            loader.leave()
            await origin.loading("m:killed", 2)
            assert time.monotonic() - began < 2.5, "the lease would run out after three seconds"
            origin.open()
            assert set(await asked) == {b"m:killed, load 2"}
            assert isinstance((await asyncio.gather(killed, return_exceptions=True))[0], (OSError, asyncio.IncompleteReadError))
        assert origin.loads["m:killed"] == 2

    play(story)


def test_who_waits_is_loaded_for_by_the_next_when_a_node_dies_with_the_lease(module_stage, redis_server, nodes, server):
    """At most the life of a lease, which is three seconds; here it is made shorter, for it is only waited for."""
    doomed = start(module_stage, redis_server)

    async def story():
        origin = Origin()
        dying = await Client(doomed).connect()
        assert await dying.ask("GET", "m:orphan") is None
        doomed.process.kill()
        name = b"terrace:lease:0:m:orphan"
        assert 0 < lease_db.pttl(name) <= 3000
        async with Clients(nodes, 5) as clients:
            asked = clients.all(cache_aside, origin, "m:orphan")
            lease_db.pexpire(name, 100)
            assert set(await asked) == {b"m:orphan, load 1"}
        assert origin.loads["m:orphan"] == 1

    lease_db = redis_server.client(db=15)
    play(story)


def test_mget_loads_each_key_once(nodes):
    """(Two that win some keys each do not wait for each other: below.)"""

    async def app(client, origin, keys):
        values = await client.ask("MGET", *keys)
        for i, key in enumerate(keys):
            if values[i] is None:
                values[i] = await origin.load(key)
                await client.ask("SET", key, values[i])
        return tuple(values)

    async def story():
        origin = Origin()
        origin.close()
        keys = [f"m:of-many:{i}" for i in range(20)]
        async with Clients(nodes, 20) as clients:
            first = asyncio.ensure_future(app(clients.list.pop(), origin, keys))
            await origin.loading(keys[0], 1)  # it has been told to load all of them
            answers = clients.all(app, origin, keys)
            origin.open()
            assert {await first} | set(await answers) == {tuple(b"%s, load 1" % key.encode() for key in keys)}
        assert set(origin.loads.values()) == {1}

    play(story)


def test_who_waits_for_each_other_does_not_wait_for_long(nodes):
    async def story():
        one, other = await Client(nodes[0]).connect(), await Client(nodes[1]).connect()
        assert await one.ask("GET", "m:a") is None and await other.ask("GET", "m:b") is None
        began = time.monotonic()
        assert await asyncio.gather(one.ask("GET", "m:b"), other.ask("GET", "m:a")) == [None, None]
        third = await Client(nodes[2]).connect()
        assert await third.ask("MGET", "m:0", "m:a") == [None, None], "the first by its bytes goes ahead, and is won"
        fourth = await Client(nodes[2]).connect()
        fourth.writer.write(wire.encode(["GET", "m:d"]) + wire.encode(["GET", "m:b"]))
        assert [await fourth._reply(), await fourth._reply()] == [None, None]
        assert time.monotonic() - began < 5, "hard-timeout is 15 s"
        for client in (one, other, third, fourth):
            client.leave()

    play(story)


# --- late fills --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["CACHE.INVALIDATE KEY {}", "DEL {}", "SET {} new", "CACHE.INVALIDATE TAG {}",
                                 "CACHE.INVALIDATE PREFIX {}"])
def test_a_fill_that_comes_after_an_invalidation_is_not_shown(nodes, how):
    """KEY, DEL and SET end the lease; a tag ends what carries it and is older, also what is not there yet."""
    key = "m:late:" + how.split()[-2]

    async def story():
        loader, other = await Client(nodes[0]).connect(), await Client(nodes[1]).connect()
        state, _, _, _, token = await loader.ask("CACHE.FETCH", key)
        assert state == b"LOAD"
        await other.ask(*how.format(key).split())
        filled = await loader.ask("CACHE.FILL", key, token, "old", "TAGS", "1", key)
        assert isinstance(filled, int) == (" TAG " in how or " PREFIX " in how), filled
        for client in (loader, other):
            state, value, _, _, _ = await client.ask("CACHE.FETCH", key, "NOLOAD")
            assert (state, value) == ((b"HIT", b"new") if "new" in how else (b"MISS", None))
        assert (await loader.ask("CACHE.FAIL", key, token)).startswith(b"LOST")
        again = await loader.ask("CACHE.FILL", key, token, "older")
        assert again.startswith(b"LOST") and isinstance(again, wire.Error)
        loader.leave()
        other.leave()

    play(story)


def test_the_late_set_of_a_plain_client_is_answered_and_not_stored(nodes):
    async def story():
        loader, other = await Client(nodes[0]).connect(), await Client(nodes[1]).connect()
        before = int((await namespace_of(other, "pages"))[b"loads_lost"])
        assert await loader.ask("GET", "m:late-set") is None
        await other.ask("SET", "m:late-set", "new")
        lost = int((await namespace_of(loader, "pages"))[b"loads_lost"])
        assert await loader.ask("SET", "m:late-set", "old") == b"OK"
        assert await loader.ask("GET", "m:late-set") == b"new"
        assert int((await namespace_of(loader, "pages"))[b"loads_lost"]) == lost + 1
        assert await loader.ask("SET", "m:late-set", "newer") == b"OK", "that was no load's any more"
        assert await other.ask("GET", "m:late-set") in (b"new", b"newer")
        assert int((await namespace_of(other, "pages"))[b"loads_lost"]) == before
        assert await loader.ask("GET", "m:late-set") == b"newer"

    play(story)


@pytest.mark.parametrize("how", ["FLUSHDB", "SWAPDB 7 8"])
def test_what_was_loaded_before_a_database_was_emptied_is_not_stored_in_it(nodes, how):
    key, late, own = f"m:{how} token", f"m:{how} late", f"m:{how} own"

    async def story():
        plain, loader, other = [await Client(node).connect() for node in (nodes[1], nodes[0], nodes[1])]
        for client in (plain, loader, other):
            assert await client.ask("SELECT", "7") == b"OK"
        state, _, _, _, token = await loader.ask("CACHE.FETCH", key)
        assert state == b"LOAD"
        assert await plain.ask("GET", late) is None
        assert await plain.ask("GET", own) is None
        assert await other.ask(*how.split()) == b"OK"
        for client, words in ((loader, ("CACHE.FILL", key, token, "old")), (plain, ("SET", late, "old"))):
            answer = await client.ask(*words)
            assert answer == b"OK" if client is plain else answer.startswith(b"LOST"), answer
        for each in (key, late):
            assert (await other.ask("CACHE.FETCH", each, "NOLOAD"))[0] == b"MISS"
        assert await plain.ask(*how.split()) == b"OK"
        assert await plain.ask("SET", own, "new") == b"OK"
        assert await plain.ask("GET", own) == b"new", "he has emptied it himself, so this is no late load"

    play(story)


@pytest.mark.parametrize("how", ["KEY m:own", "TAG own", "PREFIX m:ow NS pages"])
def test_what_a_plain_client_sets_behind_its_own_invalidation_is_stored(nodes, how):
    async def story():
        client = await Client(nodes[0]).connect()
        await client.ask("DEL", "m:own")
        assert await client.ask("GET", "m:own") is None
        assert isinstance(await client.ask("CACHE.INVALIDATE", *how.split()), list)
        assert await client.ask("SET", "m:own", "new") == b"OK"
        assert await client.ask("GET", "m:own") == b"new"

    play(story)


async def namespace_of(client, name):
    for fields in await client.ask("CACHE.NAMESPACES"):
        pairs = dict(zip(fields[::2], fields[1::2]))
        if pairs[b"name"] == name.encode():
            return pairs
    raise AssertionError(name)


# --- what is stale -----------------------------------------------------------------------------------------------------


async def stale(node, origin, key, *windows):
    """`key` has a value that is not fresh any more."""
    client = await Client(node).connect()
    assert (await fetch(client, origin, key, fill=("PX", "1", *windows)))[0] == "LOAD"
    client.leave()
    await stale_again(node, key)


async def stale_again(node, key):
    client = await Client(node).connect()
    for _ in range(2000):
        state, _, _, ttl, _ = await client.ask("CACHE.FETCH", key, "NOLOAD", "ANY")
        if state == b"STALE" and ttl == 0:
            break
    else:
        raise AssertionError("it stays fresh")
    client.leave()


def test_of_all_who_find_a_stale_value_one_loads_and_the_others_do_not_wait(nodes):
    async def story():
        origin = Origin()
        await stale(nodes[0], origin, "m:stale")
        origin.close()
        async with Clients(nodes, 30) as clients:
            asked = [asyncio.ensure_future(fetch(client, origin, "m:stale")) for client in clients.list]
            done = await wait_for_all_but(asked, 1)
            assert collections.Counter(done) == {("STALE", b"m:stale, load 1"): 89}
            assert origin.loads["m:stale"] == 2
            origin.open()
            assert sorted(await asyncio.gather(*asked))[0] == ("LOAD", b"m:stale, load 2")
            await all_have_heard(clients)
            assert set(await clients.all(fetch, origin, "m:stale")) == {("HIT", b"m:stale, load 2")}
        assert origin.loads["m:stale"] == 2

    play(story)


async def all_have_heard(clients):
    """Each node has applied what was done until now."""
    seq = await clients.list[0].ask("CACHE.LASTSEQ")
    for client in clients.list[:3]:
        assert await client.ask("CACHE.WAITSEQ", str(seq), "5000") == b"OK"


async def wait_for_all_but(tasks, count):
    while sum(task.done() for task in tasks) < len(tasks) - count:
        await asyncio.wait([task for task in tasks if not task.done()], return_when=asyncio.FIRST_COMPLETED)
    return [task.result() for task in tasks if task.done()]


def test_what_is_stale_is_served_on_errors_and_the_next_attempt_comes_after_a_throttle(nodes, redis_server):
    async def story():
        origin = Origin()
        await stale(nodes[0], origin, "e:broken")
        origin.fails = True
        async with Clients(nodes, 10) as clients:
            for attempt in (1, 2, 3):
                answers = collections.Counter(await clients.all(fetch, origin, "e:broken"))
                assert origin.loads["e:broken"] == 1 + attempt
                assert answers == {("FAILED", b"e:broken, load 1"): 1, ("STALE", b"e:broken, load 1"): 29}
                answers = collections.Counter(await clients.all(fetch, origin, "e:broken"))
                assert answers == {("STALE", b"e:broken, load 1"): 30}, "nobody asks the origin while it is throttled"
                left_ms = lease_db.pttl("terrace:lease:0:e:broken") - 60_000
                assert 750 * 2 ** (attempt - 1) - 500 < left_ms <= 1250 * 2 ** (attempt - 1)
                lease_db.pexpire("terrace:lease:0:e:broken", 60_000)  # the throttle is over
                wake(lease_db, "e:broken")
                await all_have_heard(clients)
            origin.fails = False
            answers = collections.Counter(await clients.all(fetch, origin, "e:broken"))
            assert origin.loads["e:broken"] == 5
            assert answers[("LOAD", b"e:broken, load 5")] == 1
            assert lease_db.pttl("terrace:lease:0:e:broken") == -2, "and the failures are forgotten"

    lease_db = redis_server.client(db=15)
    play(story)


def wake(server, key):
    """Every node that waits for the key looks anew, as when somebody gives a lease back: a frame without a number."""
    head = struct.pack("<cBcBHHQ24xIIQQ", b"T", 1, b"W", 0, 64, 0, 0, 1, 0, 7, 7)
    body = struct.pack("<BBH", 0, 0, len(key)) + key.encode()
    server.publish("terrace:bus", head + body + struct.pack("<Q", xxh64(head + body)))


def test_a_load_that_takes_longer_than_the_soft_budget_lets_the_others_have_what_is_spare(nodes):
    async def story():
        origin = Origin()
        await stale(nodes[0], origin, "e:soft")
        for options, least_s in (((), 0.02), (("SOFT", "300"), 0.3)):
            before = origin.loads["e:soft"]
            origin.close()
            async with Clients(nodes, 10) as clients:
                began = time.monotonic()
                asked = [asyncio.ensure_future(fetch(client, origin, "e:soft", *options, fill=("PX", "1"))) for client in clients.list]
                done = await wait_for_all_but(asked, 1)
                assert least_s <= time.monotonic() - began < 5, "hard-timeout is 15 s"
                assert collections.Counter(done) == {("STALE", b"e:soft, load %d" % before): 29}
                origin.open()
                await asyncio.gather(*asked)
            assert origin.loads["e:soft"] == before + 1
            await stale_again(nodes[0], "e:soft")

    play(story)


def test_without_anything_stale_all_who_wait_are_told_of_the_failure(nodes, redis_server):
    async def story():
        origin = Origin()
        origin.fails = True
        origin.close()
        async with Clients(nodes, 10) as clients:
            asked = clients.all(fetch, origin, "m:broken")
            await origin.loading("m:broken", 1)
            origin.open()
            answers = await asked
            errors = [answer for answer in answers if isinstance(answer, tuple)]
            assert len(errors) == 29 and {kind for kind, _ in errors} == {"ERROR"}
            assert {bytes(text) for _, text in errors} == {
                b"ERR the load of the key has failed: key 'm:broken' of namespace 'pages'; in a moment the next who asks may load it"}
            assert origin.loads["m:broken"] == 1
            assert lease_db.pttl("terrace:lease:0:m:broken") <= 60_100, "a minute of remembering, behind a tenth of a second"
            origin.fails = False
            while (answer := await fetch(clients.list[0], origin, "m:broken"))[0] == "ERROR":
                pass
            assert answer == ("LOAD", b"m:broken, load 2")

    lease_db = redis_server.client(db=15)
    play(story)


def test_a_value_is_loaded_before_its_time_by_one_and_served_by_all(nodes):
    async def story():
        origin = Origin()
        first = await Client(nodes[0]).connect()
        assert (await fetch(first, origin, "g:eager", fill=("PX", "10000")))[0] == "LOAD"
        while (await first.ask("CACHE.FETCH", "g:eager", "NOLOAD"))[2] <= 100:  # one hundredth of its life
            pass
        origin.close()
        async with Clients(nodes, 10) as clients:
            asked = [asyncio.ensure_future(fetch(client, origin, "g:eager")) for client in clients.list]
            assert collections.Counter(await wait_for_all_but(asked, 1)) == {("HIT", b"g:eager, load 1"): 29}
            origin.open()
            await asyncio.gather(*asked)
        assert origin.loads["g:eager"] == 2
        first.leave()

    play(story)


async def load_ms_of(client, origin, key):
    """Loads it, and says what the node measured."""
    assert (await fetch(client, origin, key, fill=("PX", "30000")))[0] == "LOAD"
    while True:
        assert (await client.ask("CACHE.FETCH", key, "NOLOAD"))[0] == b"HIT"
        told = await client.ask("CACHE.EXPLAIN", key)
        load_ms = dict(zip(told[::2], told[1::2]))[b"load_ms"]
        if load_ms != -1:  # it is in L1
            return load_ms


def test_what_took_long_to_load_is_loaded_early_and_what_did_not_is_not(nodes):
    """XFetch, by the time that the node measured: with a beta of 100 a load of 300 ms begins about 30 s before its time."""

    async def story():
        origin = Origin()
        first = await Client(nodes[0]).connect()
        origin.script.append(0.3)
        assert 300 <= await load_ms_of(first, origin, "x:slow") < 3000
        for i in range(50):
            fast = f"x:fast:{i}"
            if await load_ms_of(first, origin, fast) <= 10:  # so long does it take on a machine that is busy
                break
        origin.close()
        async with Clients(nodes, 20) as clients:
            asked = [asyncio.ensure_future(fetch(client, origin, "x:slow")) for client in clients.list]
            assert collections.Counter(await wait_for_all_but(asked, 1)) == {("HIT", b"x:slow, load 1"): 59}
            origin.open()
            await asyncio.gather(*asked)
            for _ in range(3):
                assert set(await clients.all(fetch, origin, fast)) == {("HIT", b"%s, load 1" % fast.encode())}
        assert (origin.loads["x:slow"], origin.loads[fast]) == (2, 1)
        first.leave()

    play(story)


@slow_under_sanitizers
def test_plain_clients_are_shown_what_is_fresh_and_nobody_loads_it_early_for_them(nodes):
    """Of those who find it stale afterwards one gets nil, and all others the old value."""

    async def story():
        origin = Origin()
        first = await Client(nodes[0]).connect()
        assert (await fetch(first, origin, "g:plain", fill=("PX", "1500", "SWR", "60000")))[0] == "LOAD"
        while (await first.ask("CACHE.FETCH", "g:plain", "NOLOAD"))[2] <= 15:  # one hundredth of its life
            pass
        assert (await first.ask("CACHE.EXPLAIN", "g:plain"))[11] == b"eager"
        async with Clients(nodes, 10) as clients:
            for words in (("GET",), ("MGET",), ("GET",)):
                got = await clients.all(lambda client: client.ask(*words, "g:plain"))
                assert all(value in (b"g:plain, load 1", [b"g:plain, load 1"]) for value in got), got
            assert await first.ask("PTTL", "g:plain") > 0, "it was fresh all the time"
            while await first.ask("PTTL", "g:plain") > 0:
                pass
            origin.close()
            asked = [asyncio.ensure_future(cache_aside(client, origin, "g:plain")) for client in clients.list]
            assert collections.Counter(await wait_for_all_but(asked, 1)) == {b"g:plain, load 1": 29}
            origin.open()
            assert sorted(await asyncio.gather(*asked))[-1] == b"g:plain, load 2"
        assert origin.loads["g:plain"] == 2, "one for the first value, one for the stale one"
        first.leave()

    play(story)


# --- negative, budgets, those who never fill in --------------------------------------------------------------------------


def test_that_there_is_nothing_is_known_everywhere_for_its_time(nodes):
    async def story():
        clients = [await Client(node).connect() for node in nodes]
        state, _, _, _, token = await clients[0].ask("CACHE.FETCH", "m:none")
        assert state == b"LOAD"
        assert await clients[0].ask("CACHE.FAIL", "m:none", token, "NEG", "40000") == b"OK"
        for client in clients:
            for _ in range(2):
                state, value, _, ttl, token = await client.ask("CACHE.FETCH", "m:none")
                assert (state, value, token) == (b"NEG", None, None) and 30_000 < ttl <= 40_000
            assert await client.ask("GET", "m:none") is None
            assert await client.ask("EXISTS", "m:none") == 0
        assert await clients[1].ask("SET", "m:none", "something") == b"OK"
        assert await clients[1].ask("GET", "m:none") == b"something"
        for client in clients:
            client.leave()

    play(story)


@slow_under_sanitizers
def test_what_is_remembered_of_keys_that_do_not_exist_has_an_end(nodes, redis_server):
    """So who asks for ever new ones fills Redis with what he asked for in the last two minutes, and no more."""

    async def story():
        client = await Client(nodes[0]).connect()
        for i in range(60):
            state, _, _, _, token = await client.ask("CACHE.FETCH", f"m:no:{i}")
            assert state == b"LOAD"
            if i < 20:
                assert await client.ask("CACHE.FAIL", f"m:no:{i}", token, "NEG", "60000") == b"OK"
            elif i < 40:
                assert await client.ask("CACHE.FAIL", f"m:no:{i}", token) == b"OK"
        assert (await client.ask("CACHE.FAIL", "m:no:59", token, "NEG", "60001")).startswith(b"ERR NEG must be")
        for words in (("PERSIST",), ("EXPIRE", "9999"), ("PEXPIRE", "9999999"), ("GETEX", "PERSIST"), ("SET", "v", "XX", "KEEPTTL")):
            assert await client.ask(words[0], "m:no:0", *words[1:]) in (0, None), "there is no such key"
        client.leave()

    play(story)
    server, leases = redis_server.client(), redis_server.client(db=15)
    lives = [server.pttl(key) for key in server.keys("m:no:*")]
    assert len(lives) == 20 and all(0 < life <= 60_000 for life in lives)
    marks = [leases.pttl(key) for key in leases.keys("terrace:lease:0:m:no:*")]
    assert len(marks) >= 20 and all(0 < life <= 60_100 for life in marks)


def test_a_budget_that_is_used_up(nodes):
    async def story():
        loader, fetches, asks = [await Client(node).connect() for node in nodes]
        assert (await loader.ask("CACHE.FETCH", "b:slow"))[0] == b"LOAD"
        began = time.monotonic()
        refused = await fetches.ask("CACHE.FETCH", "b:slow")
        assert refused.startswith(b"BUSY")
        assert 0.09 < time.monotonic() - began < 1 + SLACK_S
        assert (await fetches.ask("CACHE.FETCH", "b:slow", "HARD", "1")).startswith(b"BUSY")
        assert await asks.ask("GET", "b:slow") is None
        for client in (loader, fetches, asks):
            client.leave()

    play(story)


def test_an_application_that_only_asks_makes_nobody_wait_for_long(nodes):
    async def story():
        asks = await Client(nodes[0]).connect()
        assert await asks.ask("GET", "b:only-asked") is None  # and never writes
        took = []  # the least of several: a wait would be in each of them
        for _ in range(5):
            began = time.monotonic()
            assert await asks.ask("GET", "b:only-asked") is None
            took.append(time.monotonic() - began)
        assert min(took) < 0.09, "it does not wait for itself"
        async with Clients(nodes[1:2], 8) as others:
            assert set(await others.all(lambda client: client.ask("GET", "b:only-asked"))) == {None}
            took = []
            for _ in range(5):
                began = time.monotonic()
                assert set(await others.all(lambda client: client.ask("GET", "b:only-asked"))) == {None}
                took.append(time.monotonic() - began)
            assert min(took) < 0.09, "each worker waits once"
            # load-timeout is one second: then it is known in the cluster, and nobody waits at all
            fresh = await Client(nodes[2]).connect()
            while (await fresh.ask("CACHE.FETCH", "b:only-asked", "HARD", "10"))[:4] == b"BUSY":
                pass
            fresh.leave()
        asks.leave()

    play(story)


@pytest.mark.parametrize("words", ["MSET m:full v m:other v", "MSETNX m:full v", "CACHE.SET m:full v", "SET m:full v"])
def test_a_refused_write_hands_on_what_its_client_was_to_load(nodes, server, words):
    """Redis is full. Whoever asks next has the load at once, and not when the lease has run out (3 s)."""
    with nodes[0].wire() as loader, nodes[1].wire() as other:
        assert loader.ask("GET", "m:full") == wire.NULL_BULK
        server.config_set("maxmemory", 1)
        try:
            assert loader.ask(*words.split()).startswith(b"OOM ")
        finally:
            server.config_set("maxmemory", 0)
        began = time.monotonic()
        assert other.ask("CACHE.FETCH", "m:full", "HARD", "10000")[0] == b"LOAD" and time.monotonic() - began < 2.5
        assert other.ask("DEL", "m:full") == 0


def test_clients_that_ask_once_and_leave_hand_on_at_once(nodes):
    """Scripts that say GET and end: none of them fills in, and each that is to load leaves at once."""

    async def once(client):
        value = await client.ask("GET", "m:once")
        client.leave()
        return value

    async def story():
        async with Clients(nodes, 50) as clients:
            began = time.monotonic()
            assert await clients.all(once) == [None] * 150
            took_s = time.monotonic() - began
        print(f"150 clients that ask once: {took_s * 1e3:.0f} ms, {took_s * 1e3 / 150:.1f} ms for each in turn")
        assert took_s < 10, "no lease (3 s) and no budget (15 s) is waited for: that would be 450 s"
        origin = Origin()
        last = await Client(nodes[0]).connect()
        assert await cache_aside(last, origin, "m:once") == b"m:once, load 1"
        last.leave()

    play(story)
