# SPDX-License-Identifier: BSD-3-Clause
"""The beat script (tiers/scripts/beat.lua) against real Redis servers: when an epoch begins and when it does not
(COHERENCE section 4), who refuses, and what is published. No node takes part."""

import pathlib
import re
import shutil
import struct

import pytest
import redis

import harness
from harness import until

SCRIPT = (harness.ROOT / "tiers" / "scripts" / "beat.lua").read_text()
DB = 15
FRAME = bytes(range(96))  # any bytes: the script splices 24 of them and looks at none
RANDOM_A, RANDOM_B, RANDOM_C = b"\x00\r\n\xff\x80abc", b"BBBBBBBB", b"CCCCCCCC"


def base(epoch):
    """The seqs of an epoch are above all of the epochs before."""
    return epoch << 32


class Answer:
    def __init__(self, reply):
        self.counter, self.random, self.seq, began, self.run, self.replid = reply
        self.began = began == 1
        self.epoch = (self.counter, self.random)
        self.reign = (self.run, self.replid)


def beat(server, known=0, random=RANDOM_A, node=7, deadline_ms=10_000, frame=FRAME):
    return Answer(server.client().eval(SCRIPT, 0, DB, known, random, node, deadline_ms, frame))


def greet(server, known=0, random=RANDOM_A, node=7):
    return beat(server, known, random, node, frame=b"")


def check(server, answer):
    """A check that expects the epoch of an earlier answer."""
    return beat(server, known=answer.counter, random=answer.random, frame=b"CHECK")


def finds_none(server, answer, match):
    """A check that does not find the epoch of an earlier answer: it says why, and who answered; its answer."""
    before = written(server)
    seen = check(server, answer)
    assert (seen.counter, seen.seq, seen.began) == (0, 0, False)
    assert re.match(match, seen.random.decode()), seen.random
    assert seen.run == server.client().info("server")["run_id"].encode()
    assert seen.replid == server.client().info("replication")["master_replid"].encode()
    assert written(server) == before
    return seen


def meta(server):
    return server.client(db=DB).hgetall("terrace:meta")


@pytest.fixture
def server(stage):
    return stage.redis()


def restart(server):
    """kill -9, and the same folder again: only what was saved is left."""
    server.process.kill()
    assert server.start()


def follow(replica, master):
    master.client().config_set("repl-diskless-sync-delay", 0)
    replica.client().replicaof("127.0.0.1", master.port)
    until(lambda: replica.client().info("replication")["master_link_status"] == "up", 15, "the replica follows")


# --- epochs ----------------------------------------------------------------------------------------------------------


def test_the_first_beat_begins_epoch_1_and_the_second_goes_on(server):
    first = beat(server)
    assert (first.epoch, first.seq, first.began) == ((1, RANDOM_A), base(1) + 1, True)
    second = beat(server, known=1, random=RANDOM_B)
    assert (second.epoch, second.seq, second.began) == ((1, RANDOM_A), base(1) + 2, False)


def test_a_greeting_decides_the_epoch_but_takes_no_seq_and_publishes_nothing(server):
    pubsub = server.client().pubsub()
    pubsub.subscribe("terrace:bus")
    assert pubsub.get_message(timeout=5)["type"] == "subscribe"
    first = greet(server)
    assert (first.epoch, first.seq, first.began) == ((1, RANDOM_A), base(1), True)
    second = greet(server, known=1, random=RANDOM_B)
    assert (second.epoch, second.seq, second.began) == ((1, RANDOM_A), base(1), False)
    assert beat(server).seq == base(1) + 1
    assert greet(server).seq == base(1) + 1
    assert len([message for message in iter(lambda: pubsub.get_message(timeout=0.2), None)]) == 1


def test_a_flushed_redis_begins_a_larger_epoch(server):
    assert beat(server).counter == 1
    server.client().flushall()
    after = beat(server, known=1, random=RANDOM_B)
    assert (after.epoch, after.began) == ((2, RANDOM_B), True)


def test_a_fresh_node_that_comes_first_after_a_flush_is_outvoted_by_one_that_knows_more(server):
    for known in range(5):
        beat(server, known=known)
        server.client().flushall()
    fresh = beat(server, known=0, random=RANDOM_B, node=8)
    assert (fresh.epoch, fresh.began) == ((1, RANDOM_B), True)
    old = beat(server, known=5, random=RANDOM_C)
    assert (old.epoch, old.began) == ((6, RANDOM_C), True)
    again = beat(server, known=1, random=RANDOM_B, node=8)
    assert (again.epoch, again.began) == ((6, RANDOM_C), False)


def test_a_fresh_node_joins_the_epoch_that_stands(server):
    beat(server, known=41)
    fresh = greet(server, known=0, random=RANDOM_B)
    assert (fresh.epoch, fresh.began) == ((42, RANDOM_A), False)


def test_the_same_known_counter_is_no_reason_for_a_new_epoch(server):
    assert beat(server, known=0).counter == 1
    assert not beat(server, known=1).began
    assert beat(server, known=2).epoch == (3, RANDOM_A)


def test_a_restart_is_a_new_epoch_even_if_nothing_was_lost(stage):
    server = stage.redis("--appendonly", "no")
    beat(server)
    server.client().save()
    restart(server)
    assert meta(server)[b"epoch"] == b"1"
    after = greet(server, known=1, random=RANDOM_B)
    assert (after.epoch, after.began) == ((2, RANDOM_B), True)
    assert not greet(server, known=2, random=RANDOM_C).began


def test_after_a_rollback_the_old_epoch_is_not_accepted(server):
    beat(server)
    server.client().save()  # epoch 1 is what the disk knows
    server.client().flushall()
    for known in range(1, 4):
        beat(server, known=known)
        server.client(db=DB).delete("terrace:meta")
    left_behind = beat(server, known=4, random=RANDOM_B)
    assert left_behind.counter == 5
    restart(server)
    assert meta(server)[b"epoch"] == b"1"
    known_to_nobody = greet(server, known=0, random=RANDOM_C, node=8)  # a fresh node first
    assert known_to_nobody.epoch == (2, RANDOM_C)
    after = beat(server, known=5, random=RANDOM_A)
    assert (after.epoch, after.began) == ((6, RANDOM_A), True)
    assert after.epoch not in (left_behind.epoch, known_to_nobody.epoch)


def test_the_first_replica_is_no_new_epoch(stage, server):
    before = beat(server)
    replid = meta(server)[b"replid"]
    follow(stage.redis(), server)
    after = beat(server, known=before.counter, random=RANDOM_B)
    assert (after.epoch, after.began) == (before.epoch, False)
    assert meta(server)[b"replid"] != replid  # noted, so that a later promotion shows
    assert not beat(server, known=before.counter).began


def test_a_promotion_is_a_new_epoch(stage, server):
    replica = stage.redis()
    follow(replica, server)
    before = beat(server)
    until(lambda: meta(replica).get(b"epoch") == b"1", 10, "the replica has the epoch")
    replica.client().replicaof("NO", "ONE")
    after = beat(replica, known=before.counter, random=RANDOM_B)
    assert (after.epoch, after.began) == ((2, RANDOM_B), True)
    assert not beat(replica, known=2).began


def test_a_demotion_undone_in_the_same_process_is_a_new_epoch_too(server):
    before = beat(server)
    server.client().replicaof("127.0.0.1", harness.free_port())  # nobody there: its data stays
    server.client().replicaof("NO", "ONE")
    assert server.client().info("server")["run_id"].encode() == meta(server)[b"run"]
    after = beat(server, known=before.counter, random=RANDOM_B)
    assert (after.epoch, after.began) == ((2, RANDOM_B), True)
    assert not beat(server, known=2).began


def test_seqs_of_a_later_epoch_are_above_all_of_earlier_ones(server):
    for _ in range(50):
        last = beat(server).seq
    server.client().flushall()  # the counter is gone; the nodes know the epoch
    after = beat(server, known=1, random=RANDOM_B)
    assert after.counter == 2 and after.seq == base(2) + 1 > last
    server.client(db=DB).delete("terrace:meta")  # the counter stayed: it goes on, above
    assert beat(server, known=2).seq == base(3) + 1
    server.client(db=DB).set("terrace:seq", base(9))
    assert beat(server, known=9).seq == base(10) + 1


def test_two_nodes_racing_after_a_flush_agree(server):
    beat(server, known=0)
    server.client().flushall()
    first = beat(server, known=1, random=RANDOM_B, node=7)
    second = beat(server, known=1, random=RANDOM_C, node=8)
    assert first.began and not second.began
    assert first.epoch == second.epoch == (2, RANDOM_B)
    assert second.seq == first.seq + 1


def test_a_lost_seq_is_a_new_epoch(server):
    beat(server)
    server.client(db=DB).delete("terrace:seq")
    after = beat(server, known=1, random=RANDOM_B)
    assert (after.epoch, after.seq, after.began) == ((2, RANDOM_B), base(2) + 1, True)


def test_a_new_epoch_deletes_the_log(server):
    beat(server)
    server.client(db=DB).xadd("terrace:log", {"k": "v"})
    assert not beat(server, known=1).began
    assert server.client(db=DB).exists("terrace:log")
    after = beat(server, known=9)
    assert after.began
    assert server.client(db=DB).xrange("terrace:log") == [
        (f"{after.seq - 1}-1".encode(), {b"epoch": b"10"})]  # older than all frames of the epoch, the first of them next


def test_a_flush_is_logged_as_it_is_published_and_a_beat_is_not(server):
    first = beat(server)
    pubsub = server.client().pubsub()
    pubsub.subscribe("terrace:bus")
    assert pubsub.get_message(timeout=5)["type"] == "subscribe"
    flush = beat(server, known=1, frame=b"T\x01F" + FRAME[3:])
    beat(server, known=1)
    said = pubsub.get_message(timeout=5)["data"]
    log = server.client(db=DB).xrange("terrace:log")
    assert log[1:] == [(f"{flush.seq}-0".encode(), {b"f": said})]
    assert flush.seq == first.seq + 1


def test_a_log_that_is_not_ours_begins_anew_where_it_is_known_to_lack_the_rest(server):
    beat(server)
    server.client(db=DB).delete("terrace:log")
    server.client(db=DB).set("terrace:log", "not a stream")
    flush = beat(server, known=1, frame=b"T\x01F" + FRAME[3:])
    assert [entry[0] for entry in server.client(db=DB).xrange("terrace:log")] == [f"{flush.seq}-0".encode()]


@pytest.mark.parametrize("field, value", [
    ("epoch", b"garbage"), ("epoch", b""), ("epoch", b"-1"), ("epoch", b"0"), ("epoch", b"1e3"), ("epoch", b"0x10"),
    ("epoch", b"9" * 16), ("rand", b"short"), ("rand", b""), ("run", b"other"),
])
def test_a_meta_that_is_not_ours_is_a_new_epoch_and_never_a_smaller_one(server, field, value):
    beat(server)
    server.client(db=DB).hset("terrace:meta", field, value)
    after = beat(server, known=1, random=RANDOM_B)
    assert (after.epoch, after.began) == ((2, RANDOM_B), True)


@pytest.mark.parametrize("counter", [99999999999999, 2097151])
def test_a_leap_to_where_no_counting_leads_is_not_ours(server, counter):
    """It is 14 digits at most (EPOCH_COUNTER_MAX): who writes so large a one would be the last to begin an epoch. From 2^21
    on seqs begin anew in each epoch."""
    first = beat(server)
    server.client(db=DB).hset("terrace:meta", "epoch", counter)
    again = beat(server, known=first.counter, random=RANDOM_B)
    assert again.began and again.epoch == (2, RANDOM_B)
    large = beat(server, known=2097151)
    assert large.counter == 2097152
    assert beat(server, known=2000000).epoch == large.epoch, "one that has not heard of it yet"
    assert beat(server).epoch == large.epoch, "one that knows none"


@pytest.mark.parametrize("field", ["epoch", "rand", "run", "replid"])
def test_a_missing_field_never_goes_unnoticed(server, field):
    beat(server)
    server.client(db=DB).hdel("terrace:meta", field)
    after = beat(server, known=1, random=RANDOM_B)
    assert after.began == (field != "replid")  # a missing replid while replid2 is zeros is only noted again
    assert meta(server)[field.encode()]


@pytest.mark.parametrize("value", [b"garbage", b"", b"-1", b"1e3", b"9" * 16, b"9223372036854775807", b"0", b"4294967295"])
@pytest.mark.parametrize("ask, seq", [(beat, 1), (greet, 0)])
def test_a_seq_that_is_not_ours_is_a_new_epoch(server, value, ask, seq):
    first = beat(server)
    server.client(db=DB).set("terrace:seq", value)
    finds_none(server, first, "terrace:seq is missing or not ours")
    after = ask(server, known=1, random=RANDOM_B)
    assert (after.epoch, after.seq, after.began) == ((2, RANDOM_B), base(2) + seq, True)


@pytest.mark.parametrize("key", ["terrace:meta", "terrace:seq"])
@pytest.mark.parametrize("ask", [beat, greet])
def test_a_record_of_another_type_is_a_new_epoch(server, key, ask):
    first = beat(server)
    client = server.client(db=DB)
    client.delete(key)
    client.rpush(key, "garbage")
    seen = check(server, first)
    assert seen.counter == 0 and seen.random.decode() == f"{key} is missing or not ours"
    assert client.lrange(key, 0, -1) == [b"garbage"]
    after = ask(server, known=1, random=RANDOM_B)
    assert (after.epoch, after.began) == ((2, RANDOM_B), True)
    assert not beat(server, known=2, random=RANDOM_C).began


def test_nodes_of_another_type_are_replaced(server):
    beat(server)
    client = server.client(db=DB)
    client.delete("terrace:nodes")
    client.rpush("terrace:nodes", "garbage")
    assert not beat(server, known=1).began
    assert client.hkeys("terrace:nodes") == [b"7"]


# --- refusals --------------------------------------------------------------------------------------------------------


def test_a_replica_refuses(stage, server):
    replica = stage.redis()
    follow(replica, server)
    for ask in (beat, greet):
        with pytest.raises(redis.ReadOnlyError):
            ask(replica)


def test_a_writable_replica_refuses_too(stage, server):
    replica = stage.redis("--replica-read-only", "no")
    follow(replica, server)
    with pytest.raises(redis.ReadOnlyError):
        beat(replica)
    assert not replica.client(db=DB).exists("terrace:nodes")


def test_a_master_without_its_replicas_refuses_and_changes_nothing(server):
    server.client().config_set("min-replicas-to-write", 1)
    with pytest.raises(redis.ResponseError, match="NOREPLICAS|Not enough good replicas"):
        beat(server)
    assert server.client(db=DB).dbsize() == 0


def test_a_full_redis_refuses_and_changes_nothing(server):
    server.client().set("large", b"x" * 100_000)
    server.client().config_set("maxmemory", 100_000)
    with pytest.raises(redis.ResponseError, match="used memory|OOM"):
        beat(server)
    assert server.client(db=DB).dbsize() == 0


def test_a_database_that_is_not_there_is_an_error(stage):
    with pytest.raises(redis.ResponseError, match="DB index is out of range"):
        beat(stage.redis("--databases", "4"))


def test_a_refused_publish_is_an_error_and_its_command_does_not_run(server):
    server.client().execute_command("ACL", "SETUSER", "mute", "on", ">pw", "~*", "+@all", "resetchannels")
    client = server.client(username="mute", password="pw")
    with pytest.raises(redis.exceptions.RedisError, match="can.t publish to the channel"):
        client.eval(SCRIPT, 0, DB, 0, RANDOM_A, 7, 10_000, FRAME, "SET", "changed", "v")
    for db in (0, DB):
        assert server.client(db=db).get("changed") is None


# --- checks ----------------------------------------------------------------------------------------------------------


def written(server):
    """Everything that the script keeps, and how much was ever written."""
    client = server.client(db=DB)
    return (client.hgetall("terrace:meta"), client.get("terrace:seq"), client.hgetall("terrace:nodes"),
            client.info("persistence")["rdb_changes_since_last_save"], client.info("replication")["master_repl_offset"])


def refuses(server, answer, match):
    before = written(server)
    with pytest.raises(redis.ResponseError, match=match):
        check(server, answer)
    assert written(server) == before


def test_a_check_answers_as_a_greeting_and_leaves_no_trace(server):
    first = beat(server)
    with server.wire() as bus:
        bus.ask("CLIENT", "TRACKING", "ON", "REDIRECT", bus.ask("CLIENT", "ID"), "BCAST")
        bus.ask("SUBSCRIBE", "__redis__:invalidate")
        bus.ask("SUBSCRIBE", "terrace:bus")
        before = written(server)
        seen = check(server, first)
        assert written(server) == before
        assert beat(server).seq == base(1) + 2
        published = bus.read()  # nothing came before it
        assert published[1] == b"terrace:bus" and struct.unpack("<Q", published[2][32:40]) == (base(1) + 2,)
    assert (seen.epoch, seen.seq, seen.began, seen.reign) == (first.epoch, base(1) + 1, False, first.reign)
    assert seen.run == server.client().info("server")["run_id"].encode()


def test_a_check_begins_no_epoch(server):
    first = beat(server)
    server.client().flushall()
    assert finds_none(server, first, "terrace:meta is missing").reign == first.reign
    assert server.client(db=DB).dbsize() == 0
    second = beat(server, known=1, random=RANDOM_B)
    assert second.began and second.reign == first.reign, "whoever was the master goes on"
    assert finds_none(server, first, "the epoch is 2, not 1").reign == first.reign


def test_a_check_names_what_differs(server):
    first = beat(server)
    first.counter = 2
    finds_none(server, first, "the epoch is 1, and 2 was seen")
    first.counter, first.random = 1, RANDOM_B
    finds_none(server, first, "another epoch has the number 1")
    first.random = RANDOM_A
    assert not check(server, first).began
    client = server.client(db=DB)
    client.delete("terrace:seq")
    finds_none(server, first, "terrace:seq is missing")
    client.set("terrace:seq", 1)
    client.hset("terrace:meta", "run", "other")
    finds_none(server, first, "another process has the data: its run_id is [0-9a-f]{40}$")


def test_a_check_is_refused_after_a_restart_from_disk(server):
    first = beat(server)
    server.client().save()
    restart(server)
    finds_none(server, first, "another process")


def test_a_check_is_refused_by_a_demoted_master_and_by_its_promoted_replica(stage, server):
    replica = stage.redis()
    follow(replica, server)
    before = beat(server)
    assert not check(server, before).began
    until(lambda: meta(replica).get(b"epoch") == b"1", 10, "the replica has the epoch")
    with pytest.raises(redis.ReadOnlyError, match="not a master"):
        check(replica, before)
    replica.client().replicaof("NO", "ONE")
    assert finds_none(replica, before, "another process").reign != before.reign
    server.client().replicaof("127.0.0.1", replica.port)
    with pytest.raises(redis.ReadOnlyError, match="not a master"):
        check(server, before)


def test_a_check_is_refused_where_a_demotion_was_undone(server):
    before = beat(server)
    server.client().replicaof("127.0.0.1", harness.free_port())  # nobody there: its data stays
    server.client().replicaof("NO", "ONE")
    assert finds_none(server, before, "it was promoted").reign != before.reign


@pytest.mark.parametrize("had", ["nothing of another", "the data of another", "its own replica's data"])
def test_no_reign_comes_back_though_a_flush_hides_the_promotion(stage, server, had):
    """What a link's fence relies on when the epoch is gone: equal reigns, so it was the master all the time between."""
    other = stage.redis()
    if had == "its own replica's data":
        follow(other, server)
    before = beat(server)
    if had == "nothing of another":
        server.client().replicaof("127.0.0.1", harness.free_port())
    else:
        other.client().replicaof("NO", "ONE")
        follow(server, other)
    with pytest.raises(redis.ReadOnlyError, match="not a master"):
        check(server, before)
    server.client().replicaof("NO", "ONE")
    server.client().flushall()
    seen = finds_none(server, before, "terrace:meta is missing")
    assert seen.run == before.run and seen.replid != before.replid


def test_a_check_is_refused_without_the_replicas_that_a_write_needs(server):
    before = beat(server)
    server.client().config_set("min-replicas-to-write", 1)
    refuses(server, before, "NOREPLICAS|Not enough good replicas")


def test_the_first_replica_does_not_disturb_a_check(stage, server):
    before = beat(server)
    follow(stage.redis(), server)
    assert not check(server, before).began


def test_a_check_goes_on_where_redis_still_serves_reads(server):
    """Full memory, a failed save: nothing that says who is master."""
    before = beat(server)
    client = server.client()
    client.set("large", b"x" * 100_000)
    client.config_set("maxmemory", 100_000)
    with pytest.raises(redis.ResponseError, match="used memory|OOM"):
        beat(server, known=1)
    assert not check(server, before).began
    client.config_set("maxmemory", 0)
    client.config_set("save", "3600 1")
    shutil.rmtree(server.folder)
    client.bgsave()
    until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err", 10, "the save failed")
    with pytest.raises(redis.ResponseError, match="MISCONF"):
        beat(server, known=1)
    assert not check(server, before).began
    client.config_set("save", "")  # else it would not end


# --- what is published and kept --------------------------------------------------------------------------------------


def test_the_frame_gets_epoch_and_seq_and_is_otherwise_untouched(server):
    pubsub = server.client().pubsub()
    pubsub.subscribe("terrace:bus")
    assert pubsub.get_message(timeout=5)["type"] == "subscribe"
    server.client(db=DB).set("terrace:seq", (1 << 40) - 1)
    answers = [beat(server, known=(1 << 33) - 1, node=node) for node in (7, 8, 9)]
    assert answers[0].counter == 1 << 33
    for answer in answers:
        published = pubsub.get_message(timeout=5)["data"]
        assert published == FRAME[:16] + struct.pack("<Q8sQ", answer.counter, RANDOM_A, answer.seq) + FRAME[40:]
    assert [answer.seq for answer in answers] == [(1 << 40) + i for i in range(3)]


def test_the_connection_keeps_its_database(server):
    client = redis.Redis(port=server.port, db=3, single_connection_client=True)
    client.eval(SCRIPT, 0, DB, 0, RANDOM_A, 7, 10_000, FRAME)
    client.set("k", "v")
    assert server.client(db=3).get("k") == b"v"
    assert sorted(server.client(db=DB).keys()) == [b"terrace:log", b"terrace:meta", b"terrace:nodes", b"terrace:seq"]
    client.close()


def test_records_of_nodes_that_left_go_in_time(server):
    hour_ms = 3_600_000
    beat(server, node=1, deadline_ms=10 * hour_ms)
    beat(server, node=2, deadline_ms=11 * hour_ms + 1)
    client = server.client(db=DB)
    client.hset("terrace:nodes", "garbage", "garbage")
    client.set("terrace:seq", base(1) + 1022)
    beat(server, node=3, deadline_ms=12 * hour_ms)
    assert sorted(client.hkeys("terrace:nodes")) == [b"1", b"2", b"3", b"garbage"]
    beat(server, node=3, deadline_ms=12 * hour_ms)  # the 1024th
    assert sorted(client.hkeys("terrace:nodes")) == [b"2", b"3"]


def test_the_script_is_the_one_that_the_node_carries():
    """Embedded at build time: a stale object would carry another text."""
    if harness.REHEARSAL or not pathlib.Path(harness.TERRACED).exists():
        pytest.skip("no node was built")
    assert SCRIPT.encode() in pathlib.Path(harness.TERRACED).read_bytes()
