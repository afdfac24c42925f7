# SPDX-License-Identifier: BSD-3-Clause
"""The scripts of locks and limiters on a node without L2: what redis-server answers, the node answers."""

import random
import re
import threading

import pytest
import redis

import wire

TTL_SLACK_MS = 2000

# As the libraries send them.
LOCK = 'if redis.call("get",KEYS[1]) == ARGV[1]\nthen\n    return redis.call("del",KEYS[1])\nelse\n    return 0\nend'
SCRIPTS = {
    "lock": LOCK,
    "lock, the other way": "-- ours?\nif (redis.call('GET', KEYS[1]) == ARGV[1]) then\n  return redis.call('DEL', KEYS[1])\n"
                           "end\nreturn 0",
    "unlink": 'if redis.call("get",KEYS[1]) == ARGV[1] then return redis.call("unlink",KEYS[1]) else return 0 end',
    "registry release": "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]); return true; end;"
                        " return false;",
    "renew": 'if redis.call("GET", KEYS[1]) == ARGV[1] then\n\treturn redis.call("PEXPIRE", KEYS[1], ARGV[2])\nelse\n\treturn 0\nend',
    "renew in seconds": 'if redis.call("get",KEYS[1]) == ARGV[1] then return redis.call("expire",KEYS[1],ARGV[2]) else return 0 end',
    "registry obtain": """local lockClientId = redis.call('GET', KEYS[1])
        if lockClientId == ARGV[1] then
          redis.call('PEXPIRE', KEYS[1], ARGV[2])
          return true
        elseif not lockClientId then
          redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
          return true
        end
        return false""",
    "release": redis.lock.Lock.LUA_RELEASE_SCRIPT,
    "extend": redis.lock.Lock.LUA_EXTEND_SCRIPT,
    "reacquire": redis.lock.Lock.LUA_REACQUIRE_SCRIPT,
    "add": "return redis.call('exists',KEYS[1])<1 and redis.call('setex',KEYS[1],ARGV[2],ARGV[1])",
    "add for milliseconds": "return redis.call('exists',KEYS[1])<1 and redis.call('psetex',KEYS[1],ARGV[2],ARGV[1])",
    "incr if there": """
        local exists = redis.call('EXISTS', KEYS[1])
        if (exists == 1) then
            return redis.call('INCRBY', KEYS[1], ARGV[1])
        else return false end
        """,
    "incr": "return redis.call('INCRBY', KEYS[1], ARGV[1])",
    "count": """local current
        current = redis.call("incr",KEYS[1])
        if current == 1 then
            redis.call("expire",KEYS[1],ARGV[1])
        end
        return current""",
    "count an amount": """local current
        local amount = tonumber(ARGV[2])
        current = redis.call("incrby", KEYS[1], amount)

        if tonumber(current) == amount then
            redis.call("expire", KEYS[1], ARGV[1])
        end

        return current""",
    "window": """local totalHits = redis.call("INCR", KEYS[1])
        local timeToExpire = redis.call("PTTL", KEYS[1])
        if timeToExpire <= 0 or ARGV[1] == "1"
        then
          redis.call("PEXPIRE", KEYS[1], tonumber(ARGV[2]))
          timeToExpire = tonumber(ARGV[2])
        end

        return { totalHits, timeToExpire }""",
    "window of one argument": """local totalHits = redis.call("INCR", KEYS[1])
        local timeToExpire = redis.call("PTTL", KEYS[1])
        if timeToExpire <= 0
        then
          redis.call("PEXPIRE", KEYS[1], tonumber(ARGV[1]))
          timeToExpire = tonumber(ARGV[1])
        end
        return { totalHits, timeToExpire }""",
    "window that begins anew": """local windowMs = tonumber(ARGV[2])
        local resetOnChange = ARGV[1] == "1"
        local timeToExpire = redis.call("PTTL", KEYS[1])
        if timeToExpire <= 0 then
          redis.call("SET", KEYS[1], 1, "PX", windowMs)
          return { 1, windowMs }
        end
        local totalHits = redis.call("INCR", KEYS[1])
        if resetOnChange then
          redis.call("PEXPIRE", KEYS[1], windowMs)
          timeToExpire = windowMs
        end
        return { totalHits, timeToExpire }""",
    "flexible": """redis.call('set', KEYS[1], 0, 'EX', ARGV[2], 'NX') \
        local consumed = redis.call('incrby', KEYS[1], ARGV[1]) \
        local ttl = redis.call('pttl', KEYS[1]) \
        if ttl == -1 then \
          redis.call('expire', KEYS[1], ARGV[2]) \
          ttl = 1000 * ARGV[2] \
        end \
        return {consumed, ttl} """,
}


@pytest.fixture(scope="module")
def oracle(module_stage):
    """A redis-server whose replies are right; never the L2 of a node here."""
    return module_stage.redis()


def plain(reply):
    """An error without the script and the line that Redis names."""
    if isinstance(reply, wire.Error):
        return wire.Error(re.sub(rb" script: .*", b"", bytes(reply)))
    return reply


def alike(ours, theirs):
    """Times until an expiry are read from two clocks."""
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs) == 2:
        return ours[0] == theirs[0] and abs(ours[1] - theirs[1]) <= TTL_SLACK_MS
    return plain(ours) == plain(theirs)


@pytest.mark.parametrize("proto", [2, 3])
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_known_script_answers_and_leaves_what_it_does_in_redis(node, oracle, name, proto):
    """Random states and arguments; nothing runs out meanwhile, since times are past or far away."""
    rand = random.Random(name + str(proto))
    words = ["7", "-3", "0", "1", "100000", "500000", "-1"]
    if "tonumber" not in SCRIPTS[name]:  # which makes doubles, and errors of Lua's own
        words += ["token", "other", "9223372036854775807"]
    if "tonumber" not in SCRIPTS[name] and "+ expiration" not in SCRIPTS[name]:
        words += ["x", "1.5", ""]
    states = [["DEL", "k"], ["SET", "k", "token"], *[["SET", "k", "token", "PX", "300000"]] * 3, ["SET", "k", "7"],
              ["SET", "k", "7", "EX", "1000"], ["SET", "k", "9223372036854775807"], ["HSET", "k", "f", "v"], ["PING"], ["PING"]]
    with node.wire(proto) as ours, oracle.wire(proto) as theirs:
        seen = set()
        for _ in range(60):
            steps = [["DEL", "k"], rand.choice(states)] if rand.random() < 0.7 else []
            arguments = [rand.choice(words) for _ in range(rand.choice([3, 4]))]
            if "= ARGV[1]" in SCRIPTS[name] and rand.random() < 0.6:
                arguments[0] = "token"
            soon = 0 if name == "window of one argument" else 1
            arguments[soon:] = ["-9" if word in ("1", "7") else word for word in arguments[soon:]]
            steps.append(["EVAL", SCRIPTS[name], "1", "k", *arguments])
            steps += [["TYPE", "k"], ["STRLEN", "k"], ["GETRANGE", "k", "0", "-1"]]
            for step in steps:
                got, want = ours.ask(*step), theirs.ask(*step)
                assert alike(got, want), (steps, step, got, want)
                seen.add(str(want)) if step[0] == "EVAL" else None
            left, wanted = ours.ask("PTTL", "k"), theirs.ask("PTTL", "k")
            assert abs(left - wanted) <= (TTL_SLACK_MS if wanted > 0 else 0), (steps, left, wanted)
        assert len(seen) > 2, "one answer to everything proves nothing"


def test_a_script_is_known_by_its_sha_after_it_was_seen(node, oracle):
    with node.wire() as ours, oracle.wire() as theirs:
        sha = theirs.ask("SCRIPT", "LOAD", LOCK)
        for conn in ours, theirs:
            conn.ask("SCRIPT", "FLUSH")
        for step in [["EVALSHA", sha, "1", "k", "t"], ["SCRIPT", "EXISTS", sha, "x"], ["SCRIPT", "LOAD", LOCK],
                     ["SCRIPT", "EXISTS", sha, sha.upper(), "x"], ["SET", "k", "t"], ["EVALSHA", sha, "1", "k", "u"],
                     ["EVALSHA", sha.upper(), "1", "k", "t"], ["EXISTS", "k"], ["SCRIPT", "FLUSH", "ASYNC"],
                     ["SCRIPT", "FLUSH", "x"], ["EVALSHA", sha, "1", "k", "t"], ["EVAL", LOCK, "1", "k", "t"],
                     ["EVALSHA", sha, "1", "k", "t"], ["EVALSHA", sha, "x", "k"], ["EVALSHA", sha, "2", "k"],
                     ["EVALSHA", sha, "-1", "k"], ["EVAL", LOCK], ["SCRIPT", "KILL"], ["SCRIPT"], ["SCRIPT", "EXISTS"],
                     ["SCRIPT", "HELP"], ["SCRIPT", "NOSUCH"]]:
            assert ours.ask_raw(*step) == theirs.ask_raw(*step), step
        if node.l2_url is not None:
            return
        assert ours.ask("EVAL", "return 1", "0").startswith(b"ERR this node has no L2 to run scripts")
        assert ours.ask("SCRIPT", "LOAD", "return 1").startswith(b"ERR this node has no L2 to run scripts")
        assert ours.ask("SCRIPT", "DEBUG", "YES") == b"ERR SCRIPT DEBUG is refused by this node"


def test_locks_of_redis_py_exclude_each_other(node):
    """Clients on both workers; a counter that is read, then written, under the lock."""
    node.client().set("guarded", 0)

    def work():
        client = node.client()
        for _ in range(25):
            with client.lock("the lock", timeout=20, sleep=0.001) as lock:
                client.set("guarded", int(client.get("guarded")) + 1)
                assert lock.extend(10) and lock.reacquire() and lock.owned()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert int(node.client().get("guarded")) == 150
    lock = node.client().lock("the lock", timeout=20)
    assert lock.acquire(blocking=False)
    node.client().delete("the lock")
    with pytest.raises(redis.exceptions.LockNotOwnedError):
        lock.release()


def test_a_limiter_counts_each_request_once(node):
    def work():
        script = node.client().register_script(SCRIPTS["count"])
        for _ in range(200):
            script(keys=["limit"], args=[1000])

    node.client().delete("limit")
    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert int(node.client().get("limit")) == 1200
    assert 0 < node.client().ttl("limit") <= 1000


@pytest.mark.parametrize("proto", [2, 3])
def test_functions_are_answered_as_by_a_redis_that_has_none(node, oracle, proto):
    nothing = b"\x0a\x00\x5d\x9b\x5c\x40\x0f\x7f\xa2\xda"
    lines = ["FUNCTION FLUSH", "FUNCTION flush sync", "FUNCTION FLUSH ASYNC", "FUNCTION FLUSH NOW", "FUNCTION FLUSH SYNC SYNC",
             "FUNCTION LIST", "FUNCTION LIST WITHCODE LIBRARYNAME lib*", "FUNCTION LIST LIBRARYNAME", "FUNCTION LIST WITHCODE WITHCODE",
             "FUNCTION LIST LIBRARYNAME a LIBRARYNAME b", "FUNCTION DELETE lib", "FUNCTION STATS", "FUNCTION KILL", "FUNCTION DUMP",
             "FUNCTION RESTORE abc", "FUNCTION RESTORE abc REPLACE x", "FUNCTION RESTORE abc NEVER", "FUNCTION LOAD NOW code",
             "FUNCTION LOAD", "FUNCTION", "FUNCTION NOSUCH", "FCALL nosuch 0", "FCALL_RO nosuch 1 k", "FCALL nosuch x", "FCALL nosuch",
             "COMMAND INFO eval evalsha fcall fcall_ro function|flush function|list function|stats function|restore"]
    with node.wire(proto) as ours, oracle.wire(proto) as theirs:
        for words in [line.split() for line in lines] + [["FUNCTION", "RESTORE", nothing, policy] for policy in ("APPEND", "FLUSH")]:
            assert ours.ask(*words) == theirs.ask(*words), words


def test_a_library_is_refused_by_a_node_without_an_l2(node_alone, oracle):
    code = "#!lua name=lib\nredis.register_function('f', function() return 1 end)"
    with node_alone.wire() as ours, oracle.wire() as theirs:
        assert theirs.ask("FUNCTION", "LOAD", code) == b"lib"
        dump = theirs.ask("FUNCTION", "DUMP")
        assert theirs.ask("FUNCTION", "FLUSH") == b"OK"
        for words in ["LOAD", code], ["LOAD", "REPLACE", code], ["RESTORE", dump]:
            assert ours.ask("FUNCTION", *words) == b"ERR this node has no L2 to run functions"
