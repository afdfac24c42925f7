# SPDX-License-Identifier: BSD-3-Clause
"""python3-redis: what applications do with it, with the parser in Python and with hiredis'."""

import threading

import pytest
import redis
from redis.connection import HiredisParser, PythonParser

from flows import FLUSH_TAG, LIMIT, RELEASE, Background
from harness import until

PARSERS = {"python": PythonParser, "hiredis": HiredisParser}


@pytest.fixture(params=sorted(PARSERS))
def clients(request, target):
    """(writer, reader): one is the other unless they are on two nodes."""
    yield from make_clients(target, PARSERS[request.param])


@pytest.fixture
def plain(target):
    """The same, where the parser plays no part."""
    yield from make_clients(target, HiredisParser)


@pytest.fixture
def any_clients(any_target):
    yield from make_clients(any_target, HiredisParser)


def make_clients(target, parser):
    pools = [redis.ConnectionPool(port=server.port, parser_class=parser, decode_responses=True, socket_timeout=10)
             for server in (target.write, target.read)]
    yield tuple(redis.Redis(connection_pool=pool) for pool in pools)
    for pool in pools:
        pool.disconnect()


def somebody_waits(target):
    """There where the data is: only then has the command got there."""
    client = target.keeper.client()
    until(lambda: client.info("clients")["blocked_clients"] > 0, 5, "a client is blocked")
    client.close()


# --- values ---

def test_values_of_all_kinds_come_back(target, clients):
    writer, reader = clients
    values = {"v:text": "grün", "v:empty": "", "v:lines": "a\r\n+OK\r\n$-1\r\n", "v:long": "x" * 300_000, "v:number": "42"}
    assert writer.mset(values)
    target.sees(lambda: reader.mget(list(values)) == list(values.values()))
    for name, value in values.items():
        assert reader.get(name) == value and reader.get(name) == value and reader.strlen(name) == len(value.encode())
    with writer.pipeline(transaction=False) as pipe:
        for i in range(500):
            pipe.set(f"v:{i}", i).get(f"v:{i}").ttl(f"v:{i}")
        assert pipe.execute() == [part for i in range(500) for part in (True, str(i), -1)]
    assert sorted(reader.scan_iter(match="v:1?", count=50)) == sorted(f"v:1{i}" for i in range(10))


def test_a_cache_aside(any_target, any_clients):
    writer, reader = any_clients
    calls = []

    def product(number):
        name = f"product:{number}"
        value = reader.get(name)
        if value is None:
            calls.append(number)
            value = f"computed {number}"
            writer.set(name, value, ex=100)
        return value

    assert product(1) == "computed 1"
    any_target.sees(lambda: reader.exists("product:1"))
    assert product(1) == "computed 1" and calls == [1]
    assert 98 <= reader.ttl("product:1") <= 100
    writer.delete("product:1")
    any_target.sees(lambda: reader.get("product:1") is None)
    assert product(1) == "computed 1" and calls == [1, 1]


def test_errors_are_the_exceptions_they_should_be(clients):
    writer, reader = clients
    writer.set("text", "abc")
    with pytest.raises(redis.ResponseError, match="value is not an integer or out of range"):
        writer.incr("text")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE Operation against a key"):
        reader.lpush("text", "x")
    with pytest.raises(redis.exceptions.NoScriptError):
        writer.evalsha("0" * 40, 0)
    with pytest.raises(redis.ResponseError, match="unknown command 'NOSUCH', with args beginning with: 'a' "):
        writer.execute_command("NOSUCH", "a")
    with pytest.raises(redis.ResponseError, match="syntax error"):
        writer.execute_command("SET", "text", "x", "NX", "XX")
    assert writer.get("text") == "abc"


# --- locks and limits ---

def test_a_lock_has_one_owner(target, clients):
    writer, reader = clients
    mine, other = writer.lock("lock", timeout=20), reader.lock("lock", timeout=20, blocking=False)
    assert mine.acquire() and not other.acquire() and mine.owned()
    assert mine.extend(10) and mine.reacquire()
    mine.release()
    with pytest.raises(redis.exceptions.LockNotOwnedError):
        mine.local.token = "somebody else's"
        assert other.acquire()
        mine.release()
    assert other.owned()
    other.release()
    short = writer.lock("short", timeout=0.05)
    assert short.acquire()
    until(lambda: reader.lock("short", timeout=20, blocking=False).acquire(), 5, "the short lock expires")
    with pytest.raises(redis.exceptions.LockError):
        short.release()


def test_a_lock_by_set_nx_px_and_compare_and_delete(any_target, any_clients):
    writer, reader = any_clients
    assert writer.set("lock", "token a", nx=True, px=20_000)
    assert not reader.set("lock", "token b", nx=True, px=20_000)
    assert reader.eval(RELEASE, 1, "lock", "token b") == 0
    assert writer.get("lock") == "token a"
    assert writer.register_script(RELEASE)(keys=["lock"], args=["token a"]) == 1
    assert reader.set("lock", "token b", nx=True, px=20_000)
    any_target.sees(lambda: writer.get("lock") == "token b")


def test_a_mutex_between_threads_loses_no_increment(target, plain):
    writer, reader = plain

    def work(client):
        for _ in range(5):
            with client.lock("mutex", timeout=20, sleep=0.002, blocking_timeout=15):
                client.set("count", int(writer.get("count") or 0) + 1)
    workers = [Background(work, writer) for _ in range(3)]
    [worker.result(30) for worker in workers]
    assert writer.get("count") == "15"
    target.sees(lambda: reader.get("count") == "15")


def test_a_rate_limit_by_multi_incr_expire(any_target, any_clients):
    del any_target
    writer, reader = any_clients

    def allowed(client):
        with client.pipeline() as pipe:
            count, _ = pipe.incr("limit:user").expire("limit:user", 60).execute()
        return count <= 5
    assert [allowed(client) for client in (writer, reader, writer, reader, writer, reader)] == [True] * 5 + [False]
    assert 58 <= writer.ttl("limit:user") <= 60


def test_a_rate_limit_by_lua(target, clients):
    del target
    writer, reader = clients
    limits = [client.register_script(LIMIT) for client in (writer, reader)]
    assert [limits[i % 2](keys=["limit:lua"], args=[3, 60_000]) for i in range(5)] == [1, 1, 1, 0, 0]
    assert writer.get("limit:lua") == "5" and 50_000 < writer.pttl("limit:lua") <= 60_000
    writer.script_flush()
    assert limits[0](keys=["limit:lua"], args=[9, 60_000]) == 1, "the client loads the script again"


# --- sessions, tags, boards ---

def test_sessions_as_hashes(any_target, any_clients):
    writer, reader = any_clients
    with writer.pipeline() as pipe:
        pipe.hset("session:1", mapping={"user": "7", "cart": "[]", "seen": "0"}).expire("session:1", 1200).execute()
    any_target.sees(lambda: reader.hgetall("session:1") == {"user": "7", "cart": "[]", "seen": "0"})
    for i in range(1, 4):
        assert reader.hget("session:1", "user") == "7" and reader.hmget("session:1", "cart", "none") == ["[]", None]
        assert writer.hincrby("session:1", "seen", 1) == i and writer.expire("session:1", 1200)
        any_target.sees(lambda i=i: reader.hget("session:1", "seen") == str(i))
    assert writer.hdel("session:1", "cart") == 1
    any_target.sees(lambda: not reader.hexists("session:1", "cart") and reader.hlen("session:1") == 2)
    assert 1190 <= reader.ttl("session:1") <= 1200
    writer.delete("session:1")
    any_target.sees(lambda: reader.hgetall("session:1") == {})


def test_tags_by_sets(target, clients):
    writer, reader = clients
    for i in range(20):
        with writer.pipeline() as pipe:
            pipe.set(f"page:{i}", "x" * i).sadd("tag:even" if i % 2 == 0 else "tag:odd", f"page:{i}").execute()
    target.sees(lambda: reader.mget([f"page:{i}" for i in range(20)]) == ["x" * i for i in range(20)])
    assert reader.smembers("tag:even") == {f"page:{i}" for i in range(0, 20, 2)}
    assert writer.eval(FLUSH_TAG, 1, "tag:even") == 10
    assert [writer.exists(f"page:{i}") for i in range(4)] == [0, 1, 0, 1], "the node that ran the script knows"
    target.sees(lambda: reader.mget("page:0", "page:1", "page:18") == [None, "x", None])
    writer.delete(*writer.smembers("tag:odd"), "tag:odd")
    target.sees(lambda: reader.exists(*(f"page:{i}" for i in range(20))) == 0)


def test_boards_bits_places_and_counts(target, clients):
    writer, reader = clients
    writer.zadd("board", {"ann": 10, "bob": 20.5, "cid": 15})
    assert writer.zincrby("board", 7, "ann") == 17
    assert reader.zrevrange("board", 0, 1, withscores=True) == [("bob", 20.5), ("ann", 17.0)]
    assert reader.zrank("board", "cid") == 0 and reader.zrangebyscore("board", 16, "+inf") == ["ann", "bob"]
    writer.setbit("seen", 7, 1)
    target.sees(lambda: reader.get("seen") == "\x01")
    assert reader.bitcount("seen") == 1 and reader.bitfield("seen").get("u8", 0).execute() == [1]
    writer.geoadd("places", (13.361389, 38.115556, "Palermo", 15.087269, 37.502669, "Catania"))
    assert reader.geosearch("places", longitude=15, latitude=37, radius=100, unit="km") == ["Catania"]
    assert writer.pfadd("visitors", "a", "b", "c") == 1 and reader.pfcount("visitors") == 3
    writer.rpush("unsorted", 3, 1, 2)
    assert reader.sort("unsorted", desc=True) == ["3", "2", "1"]


# --- transactions ---

def test_counters_under_watch_lose_nothing(any_target, any_clients):
    writer, reader = any_clients

    def bump(pipe):
        value = int(pipe.get("watched") or 0)
        pipe.multi()
        pipe.set("watched", value + 1)

    def work(client):
        for _ in range(10):
            client.transaction(bump, "watched")
    workers = [Background(work, client) for client in (writer, reader, writer)]
    [worker.result(30) for worker in workers]
    assert writer.get("watched") == "30" or any_target.kind == "pair"
    any_target.sees(lambda: reader.get("watched") == "30")


def test_a_watched_key_that_changes_stops_the_block(any_target, any_clients):
    del any_target
    writer, reader = any_clients
    writer.set("stock", 5)
    with writer.pipeline() as pipe:
        pipe.watch("stock")
        assert pipe.get("stock") == "5"
        reader.set("stock", 4)
        assert pipe.get("stock") == "4", "under WATCH the authority is read"
        pipe.multi()
        pipe.decr("stock")
        with pytest.raises(redis.WatchError):
            pipe.execute()
    assert reader.get("stock") == "4"


def test_a_block_with_an_error_inside_runs_the_rest(any_clients):
    writer, _ = any_clients
    pipe = writer.pipeline()
    pipe.set("block", "text").incr("block").append("block", "!").get("block")
    answers = pipe.execute(raise_on_error=False)
    assert answers[0] is True and answers[2:] == [5, "text!"]
    assert isinstance(answers[1], redis.ResponseError)
    with pytest.raises(redis.ResponseError, match="unknown command"):
        writer.pipeline().set("block", "never").execute_command("NOSUCH").execute()
    assert writer.get("block") == "text!"


# --- queues and messages ---

def test_a_queue_of_jobs(target, clients):
    writer, reader = clients
    waiting = Background(reader.blpop, ["jobs", "urgent"], 8)
    somebody_waits(target)
    writer.rpush("jobs", "a", "b", "c")
    assert waiting.result() == ("jobs", "a")
    assert reader.blpop(["urgent", "jobs"], 1) == ("jobs", "b")
    assert reader.blmove("jobs", "working", 1, "LEFT", "RIGHT") == "c" and writer.lrange("working", 0, -1) == ["c"]
    assert reader.brpop("jobs", timeout=0.05) is None
    waiting = Background(reader.bzpopmin, "later", 8)
    somebody_waits(target)
    writer.zadd("later", {"job": 3})
    assert waiting.result() == ("later", "job", 3.0)


def test_a_worker_that_leaves_takes_no_job_with_it(target, plain):
    writer, reader = plain
    for _ in range(3):
        leaver = target.read.wire()
        leaver.send(b"*3\r\n$5\r\nBLPOP\r\n$4\r\njobs\r\n$1\r\n0\r\n")
        somebody_waits(target)
        leaver.close()
        keeper = target.keeper.client()
        until(lambda: keeper.info("clients")["blocked_clients"] == 0, 5, "it is gone")
        writer.rpush("jobs", "kept")
        assert reader.lpop("jobs") == "kept"


def test_a_stream_with_a_group(target, clients):
    writer, reader = clients
    reader.xgroup_create("events", "group", id="0", mkstream=True)
    ids = [writer.xadd("events", {"n": i}) for i in range(3)]
    first = reader.xreadgroup("group", "one", {"events": ">"}, count=2)
    assert [entry for entry, _ in first[0][1]] == ids[:2]
    assert reader.xack("events", "group", ids[0]) == 1
    assert reader.xpending("events", "group")["pending"] == 1
    assert [entry for entry, _ in writer.xclaim("events", "group", "two", 0, [ids[1]])] == [ids[1]]
    assert reader.xreadgroup("group", "two", {"events": ">"}) == [["events", [(ids[2], {"n": "2"})]]]
    waiting = Background(lambda: reader.xread({"events": "$"}, block=8000))
    somebody_waits(target)
    last = writer.xadd("events", {"n": "last"})
    assert waiting.result() == [["events", [(last, {"n": "last"})]]]


def next_message(pubsub):
    return until(lambda: pubsub.get_message(timeout=0.2), 5, "a message")


def test_messages_reach_who_listens(any_target, any_clients):
    del any_target
    writer, reader = any_clients
    with reader.pubsub() as pubsub:
        pubsub.subscribe("news", "other")
        pubsub.psubscribe("n*s")
        kinds = [next_message(pubsub)["type"] for _ in range(3)]
        assert kinds == ["subscribe", "subscribe", "psubscribe"]
        assert writer.pubsub_numsub("news", "none") == [("news", 1), ("none", 0)] and writer.pubsub_numpat() >= 1
        assert "news" in writer.pubsub_channels()
        assert writer.publish("news", "hello") == 2 and writer.publish("nobody", "x") == 0
        got = sorted((next_message(pubsub) for _ in range(2)), key=lambda message: message["type"])
        assert [(m["type"], m["channel"], m["data"], m["pattern"]) for m in got] == [
            ("message", "news", "hello", None), ("pmessage", "news", "hello", "n*s")]
        pubsub.ping("still there")
        assert next_message(pubsub)["type"] == "pong"
        pubsub.unsubscribe("news")
        assert next_message(pubsub)["type"] == "unsubscribe"
        assert writer.publish("news", "once") == 1 and next_message(pubsub)["type"] == "pmessage"


def test_a_thread_of_handlers_gets_every_message(any_target, any_clients):
    del any_target
    writer, reader = any_clients
    seen, done = [], threading.Event()

    def handle(message):
        seen.append(message["data"])
        if message["data"] == "last":
            done.set()
    with reader.pubsub(ignore_subscribe_messages=True) as pubsub:
        pubsub.subscribe(**{"work": handle})
        thread = pubsub.run_in_thread(sleep_time=0.01)
        until(lambda: dict(writer.pubsub_numsub("work"))["work"] == 1, 5, "it listens")
        with writer.pipeline(transaction=False) as pipe:
            for i in range(200):
                pipe.publish("work", i)
            pipe.publish("work", "last").execute()
        assert done.wait(10)
        thread.stop()
        thread.join()
    assert seen == [str(i) for i in range(200)] + ["last"]


def test_expired_keys_are_told_to_who_listens(target, plain):
    writer, reader = plain
    before = writer.config_get("notify-keyspace-events")["notify-keyspace-events"]
    writer.config_set("notify-keyspace-events", "Ex")
    try:
        assert writer.config_get("notify-keyspace-events") == {"notify-keyspace-events": "xE"}
        with reader.pubsub(ignore_subscribe_messages=True) as pubsub:
            pubsub.subscribe("__keyevent@0__:expired")
            until(lambda: dict(writer.pubsub_numsub("__keyevent@0__:expired"))["__keyevent@0__:expired"] == 1)
            writer.set("ends", "x", px=20)
            assert next_message(pubsub)["data"] == "ends"
    finally:
        writer.config_set("notify-keyspace-events", before)
    target.sees(lambda: reader.get("ends") is None)


# --- the client's own cache, and looking at the server ---

def test_a_near_cache_hears_of_every_change(any_target, any_clients):
    """As libraries do it with RESP2: one connection listens, another is tracked and redirects to it."""
    writer, reader = any_clients
    near = {}
    with reader.pubsub() as pubsub:
        pubsub.subscribe("__redis__:invalidate")
        next_message(pubsub)
        listener = [client for client in reader.client_list() if client["sub"] == "1"][-1]["id"]
        tracked = reader.client()
        assert tracked.execute_command("CLIENT", "TRACKING", "ON", "REDIRECT", listener) in (True, "OK")
        assert tracked.execute_command("CLIENT", "GETREDIR") == int(listener)

        def read(name):
            if name not in near:
                near[name] = tracked.get(name)
            return near[name]
        writer.set("near", "old")
        any_target.sees(lambda: tracked.get("near") == "old")
        assert read("near") == "old" and read("near") == "old"
        writer.set("near", "new")

        def invalidated():
            message = pubsub.get_message(timeout=0.2)
            for name in (message or {}).get("data") or []:
                near.pop(name, None)
            return "near" not in near
        until(invalidated, 5, "the change reaches the near cache")
        any_target.sees(lambda: tracked.get("near") == "new")
        tracked.execute_command("CLIENT", "TRACKING", "OFF")
        tracked.close()


def test_databases_do_not_meet(any_target, any_clients):
    writer, reader = any_clients
    five = redis.Redis(port=any_target.read.port, db=5, decode_responses=True, client_name="five")
    writer.set("same", "of zero")
    five.set("same", "of five")
    any_target.sees(lambda: reader.get("same") == "of zero" and five.get("same") == "of five")
    assert five.client_getname() == "five" and five.move("same", 6)
    any_target.sees(lambda: five.get("same") is None and reader.get("same") == "of zero")
    five.close()


def test_what_tools_look_at_is_there(any_clients):
    writer, _ = any_clients
    info = writer.info()
    assert info["redis_version"] == "7.0.15" and info["role"] == "master" and info["loading"] == 0
    for field in ("used_memory", "maxmemory", "connected_clients", "keyspace_hits", "keyspace_misses", "evicted_keys",
                  "expired_keys", "uptime_in_seconds", "tcp_port", "run_id", "cluster_enabled"):
        assert field in info, field
    assert writer.ping() and writer.time()[0] > 1_700_000_000 and writer.echo("x") == "x"
    assert int(writer.config_get("maxmemory")["maxmemory"]) >= 0 and writer.config_resetstat()
    assert writer.command_count() > 100 and writer.slowlog_get(5) is not None and writer.lastsave() is not None
    with writer.monitor() as monitor:
        writer.set("monitored", "1")
        seen = until(lambda: next(line for line in monitor.listen() if "monitored" in line["command"]), 5)
        assert seen["command"] == "SET monitored 1"
