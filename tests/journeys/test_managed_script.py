# SPDX-License-Identifier: BSD-3-Clause
"""The script of managed writes (tiers/scripts/managed.lua) against real Redis servers: what is done, what is refused, what
is numbered, logged and published. No node takes part."""

import struct

import pytest
import redis

import harness

BEAT = (harness.ROOT / "tiers" / "scripts" / "beat.lua").read_text()
SCRIPT = (harness.ROOT / "tiers" / "scripts" / "managed.lua").read_text()
DB = 15
RANDOM = b"\x00\r\n\xff\x80abc"
FRAME = bytes(range(96))  # any bytes: the script splices 24 of them and looks at none
MAGIC = b"\xf5TE\x01"
TOKEN = b"0123456789abcdef"


def envelope(value=b"value", version=0, kind=0, soft=0, fresh=0, swr=0, sie=0):
    return MAGIC + struct.pack("<BBHQQIIIIQ", soft, kind, 0, version, fresh, swr, sie, len(value), 0, 0) + value


def what(op, db=0, version=None, token=None, head=b""):
    condition = b"" if version is None else b"V" + struct.pack("<Q", version)
    return op + bytes([db]) + head + (condition if token is None else b"L" + token)


def put(key, value=b"value", px=0, db=0, version=None, token=None, **kw):
    whole = envelope(value, **kw)
    return [what(b"P", db, version, token, head=whole[:8]), key, px, whole[16:]]


def delete(key, **kw):
    return [what(b"D", **kw), key]


def expire(key, px, **kw):
    return [what(b"E", **kw), key, px]


def soften(key, **kw):
    return [what(b"S", **kw), key]


class Rig:
    """A Redis with an epoch, and what a node would know of it."""

    def __init__(self, server):
        self.server = server
        self.own = server.client(db=DB)
        self.data = server.client()
        self.epoch = 0
        self.begin()

    def begin(self):
        self.epoch = self.server.client().eval(BEAT, 0, DB, self.epoch, RANDOM, 7, 10_000, b"")[0]

    def write(self, *commands, epoch=None, random=RANDOM, client=None, log=100):
        arguments = [argument for command in commands for argument in command]
        return (client or self.data).eval(SCRIPT, 0, DB, self.epoch if epoch is None else epoch, random, log, FRAME, *arguments)

    def done(self, *commands, **kw):
        """All are done; the seq."""
        seq, *answers = self.write(*commands, **kw)
        assert answers == [1] * len([c for c in commands if c[0] != b"A"])
        return seq

    def version(self, key, db=0):
        head = self.server.client(db=db).getrange(key, 0, 31)
        return struct.unpack("<Q", head[8:16])[0] if head else None

    def log(self):
        """Without the record with which an epoch begins."""
        return [(entry.decode(), fields[b"f"]) for entry, fields in self.own.xrange("terrace:log") if b"f" in fields]


@pytest.fixture(scope="module")
def one(module_stage):
    return module_stage.redis()


@pytest.fixture
def rig(one):
    client = one.client()
    client.config_set("maxmemory", 0)
    client.flushall()
    client.script_flush()
    return Rig(one)


def frame_of(seq, epoch):
    return FRAME[:16] + struct.pack("<Q", epoch) + RANDOM + struct.pack("<Q", seq) + FRAME[40:]


# --- what is done ------------------------------------------------------------------------------------------------------


def test_a_put_is_numbered_logged_published_and_done(rig):
    bus = rig.data.pubsub()
    bus.subscribe("terrace:bus")
    assert bus.get_message(timeout=5)["type"] == "subscribe"
    before = int(rig.own.get("terrace:seq"))
    seq = rig.done(put(b"k", b"hello", version=0, db=0))
    assert seq == before + 1 == int(rig.own.get("terrace:seq"))
    assert rig.data.get("k") == envelope(b"hello", version=seq)
    assert rig.data.pttl("k") == -1
    frame = frame_of(seq, rig.epoch)
    assert rig.log() == [(f"{seq}-0", frame)]
    assert bus.get_message(timeout=5)["data"] == frame


def test_a_group_takes_one_seq_and_each_command_its_own_database_and_end(rig):
    seq = rig.done(put(b"a", b"1"), put(b"a", b"2", db=3, px=60_000), put(b"b\x00\r\n", b"\xff" * 5000, px=1))
    assert rig.data.get("a") == envelope(b"1", version=seq)
    assert rig.server.client(db=3).get("a") == envelope(b"2", version=seq)
    assert 59_000 < rig.server.client(db=3).pttl("a") <= 60_000
    assert len(rig.log()) == 1
    assert rig.done(put(b"a", b"3")) == seq + 1


def test_deleting_says_whether_there_was_something(rig):
    rig.done(put(b"k"), put(b"none", b"", kind=3))
    rig.data.rpush("list", "x")
    assert rig.write(delete(b"k"), delete(b"k"), delete(b"none"), delete(b"list"))[1:] == [1, 2, 2, 1]
    assert rig.data.dbsize() == 0


def test_expiry_adds_what_the_envelope_allows_and_keeps_the_version(rig):
    seq = rig.done(put(b"k", b"v", px=5000, fresh=2000, swr=1000, sie=3000), put(b"forever"))
    assert rig.write(expire(b"k", 10_000), expire(b"forever", 10_000), expire(b"none", 10_000))[1:] == [1, 1, 2]
    assert 12_000 < rig.data.pttl("k") <= 13_000 and 9_000 < rig.data.pttl("forever") <= 10_000
    assert rig.data.get("k") == envelope(b"v", version=seq, fresh=10_000, swr=1000, sie=3000)
    rig.done(expire(b"k", -1))
    assert rig.data.pttl("k") == -1 and rig.data.get("k") == envelope(b"v", version=seq, swr=1000, sie=3000)
    rig.data.set("foreign", "x" * 100)
    rig.done(expire(b"foreign", 10_000))
    assert rig.data.get("foreign") == b"x" * 100 and rig.data.pttl("foreign") > 9000


def test_softening_marks_the_value_and_nothing_else(rig):
    seq = rig.done(put(b"k", b"v", px=5000, fresh=5000), put(b"none", b"", kind=3))
    rig.data.set("foreign", "x" * 100)
    assert rig.write(*map(soften, [b"k", b"k", b"none", b"foreign", b"nothing"]))[1:] == [1, 2, 2, 1, 2]
    assert rig.data.get("k") == envelope(b"v", version=seq, fresh=5000, soft=1)
    assert rig.data.pttl("k") > 4000 and not rig.data.exists("foreign", "nothing"), "what cannot be marked is gone"


# --- conditions --------------------------------------------------------------------------------------------------------


def test_a_version_is_compared_with_what_stands_just_then(rig):
    foreign = 2**64 - 1
    first = rig.done(put(b"k", b"1", version=0))
    assert rig.write(put(b"k", b"2", version=0), delete(b"k", version=first + 9), expire(b"k", 5, version=0))[1:] == [0, 0, 0]
    seq, *answers = rig.write(put(b"k", b"2", version=first), put(b"k", b"3", version=first))
    assert answers == [1, 0] and rig.data.get("k") == envelope(b"2", version=seq)
    rig.data.set("k", "a stranger's")
    assert rig.write(put(b"k", version=seq), put(b"k", version=0))[1:] == [0, 0]
    rig.done(put(b"k", b"4", version=foreign))
    rig.data.delete("k")
    assert rig.write(delete(b"k", version=foreign), delete(b"k", version=0))[1:] == [0, 2]


def not_newer(command, version, judged):
    return [command[0] + b"N" + struct.pack("<QQ", version, judged), *command[1:]]


def test_what_was_taken_before_takes_the_place_of_what_is_not_newer(rig):
    """And of what is no string at all, as any SET does."""
    first = rig.done(put(b"k", b"1"))
    everything = 2**64 - 1
    assert rig.write(not_newer(put(b"k", b"2"), first - 1, first))[1:] == [0]
    assert rig.version("k") == first
    second = rig.done(not_newer(put(b"k", b"3"), first, first), not_newer(put(b"new"), 0, first))
    assert rig.version("k") == rig.version("new") == second
    third = rig.done(not_newer(put(b"k", b"4"), everything, second))
    assert rig.version("k") == third
    rig.data.rpush("list", "x")
    rig.data.set("foreign", "a stranger's")
    fourth = rig.done(not_newer(put(b"list"), 0, third), not_newer(put(b"foreign"), 0, third))
    assert rig.version("list") == rig.version("foreign") == fourth


def test_what_was_judged_before_the_last_invalidation_is_not_put(rig):
    judged = rig.done(put(b"k", b"1"))
    rig.own.hset("terrace:meta", "banned", judged)
    rig.done(not_newer(put(b"k", b"2"), judged, judged))
    seq = rig.done(put(b"other"))
    rig.own.hset("terrace:meta", "banned", seq)
    seq, *answers = rig.write(not_newer(put(b"k", b"3"), seq, seq - 1), put(b"k3"), not_newer(put(b"k2"), seq, seq))
    assert answers == [-1, 1, 1] and rig.data.get("k").endswith(b"2")
    for bad in (b"garbage", b"9" * 16, b""):  # of a client: none
        rig.own.hset("terrace:meta", "banned", bad)
        rig.done(not_newer(put(b"k", b"4"), 2**64 - 1, seq))
    assert rig.write(not_newer(put(b"k", b"5"), 2**64 - 1, (rig.epoch << 32)))[1:] == [-1], "of a former epoch"


def test_a_lease_lets_one_put_in_with_its_own_seq(rig):
    rig.own.set("terrace:lease:3:k", TOKEN + b":4242:more")
    other = b"f" * 16
    assert rig.write(put(b"k", db=3, token=other), put(b"k", db=0, token=TOKEN), put(b"x", db=3, token=TOKEN))[1:] == [-1, -1, -1]
    seq, *answers = rig.write(put(b"k", b"1", db=3, token=TOKEN), put(b"k", b"2", db=3, token=TOKEN))
    assert answers == [1, -1], "it ends with the first"
    assert rig.server.client(db=3).get("k") == envelope(b"1", version=4242)
    assert not rig.own.exists("terrace:lease:3:k")


@pytest.mark.parametrize("write", [put, delete, soften])
def test_every_change_of_a_key_ends_its_lease(rig, write):
    rig.done(put(b"k"))
    rig.own.set("terrace:lease:0:k", TOKEN + b":1")
    rig.own.set("terrace:lease:0:other", TOKEN + b":1")
    assert rig.write(write(b"k"), put(b"k", token=TOKEN))[-1] == -1
    assert rig.own.keys("terrace:lease:*") == [b"terrace:lease:0:other"]


@pytest.mark.parametrize("write", [lambda key: expire(key, 5000), lambda key: put(key, version=99)])
def test_what_changes_no_value_leaves_the_lease(rig, write):
    rig.done(put(b"k"))
    rig.own.set("terrace:lease:0:k", TOKEN + b":1")
    rig.write(write(b"k"))
    assert rig.own.exists("terrace:lease:0:k")


def test_a_lease_of_another_type_is_none(rig):
    rig.own.rpush("terrace:lease:0:k", "x")
    assert rig.write(put(b"k", token=TOKEN))[1:] == [-1]


def test_all_or_none(rig):
    rig.done(put(b"b"))
    several = [b"A", 3], put(b"a", version=0), put(b"b", version=0), put(b"c", version=0)
    assert rig.write(put(b"d"), *several, put(b"e"))[1:] == [1, 0, 0, 0, 1]
    assert sorted(rig.data.keys()) == [b"b", b"d", b"e"]
    rig.data.delete("b")
    seq = rig.done(*several)
    assert [rig.version(key) for key in "abc"] == [seq] * 3


# --- errors ------------------------------------------------------------------------------------------------------------


def test_an_error_stops_no_other(rig):
    rig.data.rpush("list", "x")
    seq, *answers = rig.write(put(b"a"), put(b"list", version=7), put(b"b", px=b"nonsense"), delete(b"c"), put(b"d"))
    assert [a if isinstance(a, int) else type(a) for a in answers] == [1, 0, redis.ResponseError, 2, 1]
    assert rig.version("a") == rig.version("d") == seq
    assert rig.data.lrange("list", 0, -1) == [b"x"]
    rig.done(put(b"list"))
    assert rig.version("list") == seq + 1, "an unconditional put is over whatever stood"


def test_a_full_redis_still_frees(rig):
    rig.done(put(b"a", b"x" * 100_000), put(b"b"))
    rig.own.set("terrace:lease:0:a", TOKEN + b":1")
    rig.data.config_set("maxmemory", 100_000)
    before = rig.own.get("terrace:seq")
    with pytest.raises(redis.ResponseError, match="OOM|used memory"):
        rig.write(put(b"c"), put(b"d"))
    assert rig.own.get("terrace:seq") == before and len(rig.log()) == 1
    seq, *answers = rig.write(put(b"c"), delete(b"a"), expire(b"b", 60_000), soften(b"b"), [b"A", 2], put(b"e"), delete(b"b"))
    assert answers[1:4] == [1, 1, 1]
    for refused in answers[0], *answers[4:]:
        assert "OOM" in str(refused) or "used memory" in str(refused)
    assert sorted(rig.data.keys()) == [b"b"] and len(rig.log()) == 2 and seq == int(before) + 1


def test_a_replica_and_a_master_without_replicas_refuse_all(rig):
    before = rig.data.info("persistence")["rdb_changes_since_last_save"]
    rig.data.config_set("min-replicas-to-write", 1)
    try:
        with pytest.raises(redis.ResponseError, match="NOREPLICAS|Not enough good replicas"):
            rig.write(put(b"k"), delete(b"k"))
    finally:
        rig.data.config_set("min-replicas-to-write", 0)
    rig.data.replicaof("127.0.0.1", harness.free_port())  # nobody there: its data stays
    try:
        with pytest.raises(redis.ReadOnlyError):
            rig.write(put(b"k"))
    finally:
        rig.data.replicaof("NO", "ONE")
    assert rig.data.info("persistence")["rdb_changes_since_last_save"] == before


def test_who_may_not_publish_changes_nothing(rig):
    rig.data.execute_command("ACL", "SETUSER", "mute", "on", ">pw", "~*", "+@all", "resetchannels")
    with pytest.raises(redis.exceptions.RedisError, match="can.t publish to the channel"):
        rig.write(put(b"k"), client=rig.server.client(username="mute", password="pw"))
    assert not rig.data.exists("k")


# --- epochs and strangers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kw", [{"epoch": 2}, {"epoch": 0}, {"random": b"BBBBBBBB"}])
def test_another_epoch_does_nothing(rig, kw):
    seq = rig.own.get("terrace:seq")
    assert rig.write(put(b"k"), delete(b"k"), **kw) == [0]
    assert rig.own.get("terrace:seq") == seq and not rig.log() and rig.data.dbsize() == 0


def test_first_writes_without_an_epoch_do_nothing(one):
    rig = Rig(one)
    one.client().flushall()
    assert rig.write(put(b"k")) == [0]
    assert one.client().dbsize() == rig.own.dbsize() == 0
    rig.begin()
    assert rig.done(put(b"k")) == (rig.epoch << 32) + 1


@pytest.mark.parametrize("value", [b"garbage", b"", b"-1", b"1e3", b"9223372036854775807", b"9007199254740993", b"0", b"4294967295", None])
def test_a_seq_that_is_not_ours_does_nothing_and_is_a_new_epoch(rig, value):
    if value is None:
        rig.own.delete("terrace:seq")
    else:
        rig.own.set("terrace:seq", value)
    assert rig.write(put(b"k")) == [0]
    assert not rig.data.exists("k") and not rig.log()
    before = rig.epoch
    rig.begin()
    assert rig.epoch == before + 1 and rig.done(put(b"k")) == (rig.epoch << 32) + 1


@pytest.mark.parametrize("key", ["terrace:meta", "terrace:seq"])
def test_a_record_of_another_type_does_nothing(rig, key):
    rig.own.delete(key)
    rig.own.rpush(key, "x")
    assert rig.write(put(b"k")) == [0]
    assert not rig.data.exists("k")


@pytest.mark.parametrize("spoil", [lambda own: own.set("terrace:log", "x"),
                                   lambda own: own.xadd("terrace:log", {"f": "x"}, id="99999999999999-1")])
def test_a_log_that_is_not_ours_begins_anew(rig, spoil):
    rig.own.delete("terrace:log")
    spoil(rig.own)
    seq = rig.done(put(b"k"))
    assert [entry for entry, _ in rig.log()] == [f"{seq}-0"]


def test_the_log_keeps_about_so_many(rig):
    for _ in range(400):
        seq = rig.done(put(b"k"), log=100)
    kept = [entry for entry, _ in rig.log()]
    assert 100 <= len(kept) < 300 and kept[-1] == f"{seq}-0"


def test_ids_are_exact_beyond_what_lua_prints_of_a_number(rig):
    rig.own.hset("terrace:meta", "epoch", 2_000_000)
    rig.epoch = 2_000_000
    rig.own.set("terrace:seq", (2_000_000 << 32) + 123_456_789)
    seq = rig.done(put(b"k"))
    assert seq == (2_000_000 << 32) + 123_456_790
    assert rig.version("k") == seq and rig.log()[0] == (f"{seq}-0", frame_of(seq, 2_000_000))


def test_a_script_that_redis_forgot_did_nothing(rig):
    name = rig.data.script_load(SCRIPT)
    arguments = [0, DB, rig.epoch, RANDOM, 100, FRAME, *put(b"k")]
    assert rig.data.evalsha(name, *arguments)[1:] == [1]
    rig.data.script_flush()
    seq = rig.own.get("terrace:seq")
    with pytest.raises(redis.exceptions.NoScriptError):
        rig.data.evalsha(name, *arguments)
    assert rig.own.get("terrace:seq") == seq
