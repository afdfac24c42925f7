# SPDX-License-Identifier: BSD-3-Clause
"""Where the keys of warm jobs come from: files, access logs, tags, what is hot; and names that lead elsewhere."""

import os
import pathlib
import socket

import pytest
import redis as redis_py

import warm
from harness import until

pytestmark = pytest.mark.own


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("warm")


@pytest.fixture(scope="module")
def pair(module_stage, redis_server, folder):
    """Two nodes, of which the first has a warm-dir."""
    conf = folder.parent / "namespaces.conf"
    conf.write_text("[namespace page]\nprefix = page:\nformat = managed\nttl = 10m\n")
    nodes = [module_stage.node(str(conf), "--warm-rate", "1000000", *flags, l2=redis_server)
             for flags in (("--warm-dir", folder), ())]
    warm.joined(redis_server, 2)
    return nodes


@pytest.fixture
def cold(pair, redis_server):
    redis_server.client().flushdb()
    for node in pair:
        node.catch_up()
    until(lambda: all(node.l1_items() == 0 for node in pair), 10, "both are empty")
    return pair


def test_a_file_has_a_key_per_line_and_goes_to_all_nodes(cold, redis_server, folder):
    warm.fill(redis_server, cold, "k", 1000)
    lines = "\n".join(f"k{i}" for i in range(999)) + "\r\n\n" + "y" * 300_000 + "\nk999"  # CR, nothing, too long, no end
    (folder / "keys.txt").write_bytes(lines.encode())
    done = warm.run(cold[0], {"file": "keys.txt"})
    assert (done["state"], done["loaded"], done["absent"], done["total"]) == ("done", 2000, 0, 2000)
    assert [node.l1_items() for node in cold] == [1000, 1000]
    slow = warm.submit(cold[0], {"file": "keys.txt"}, rate=1, mode="force")
    until(lambda: warm.status(cold[1], slow)["total"] == 2000, 10, "its lines are counted before they are given")
    assert warm.status(cold[1], slow)["processed"] < 2000
    warm.say(cold[0], "CANCEL", slow)


def test_sources_that_give_nothing_at_present_are_not_all_open(cold, redis_server, folder):
    """Twenty jobs, of which each waits for room in L2; and one more is not held up by them."""
    warm.fill(redis_server, cold, "k", 300)
    path = folder / "many.txt"
    path.write_text("\n".join(f"k{i}" for i in range(300)))
    jobs = [warm.submit(cold[0], {"file": "many.txt"}, rate=1, target="self", mode="force") for _ in range(20)]
    with redis_server.client(db=15) as raw:
        until(lambda: all(int(raw.hget(f"terrace:warm:job:{job}", "produced")) >= 64 for job in jobs), 20, "none has room for more")
    descriptors = pathlib.Path(f"/proc/{cold[0].process.pid}/fd")
    assert 1 <= sum(os.path.realpath(fd) == str(path) for fd in descriptors.iterdir()) <= 16
    assert warm.run(cold[0], {"file": "many.txt"}, target="self", mode="force", priority=9)["loaded"] == 300
    for job in jobs:
        warm.say(cold[0], "SETRATE", job, 0)
    assert {(done["state"], done["processed"]) for done in (warm.ended(cold[0], job) for job in jobs)} == {("done", 300)}


def test_an_empty_file_is_done_at_once(cold, folder):
    (folder / "empty").write_bytes(b"")
    done = warm.run(cold[0], {"file": "empty"})
    assert (done["state"], done["total"]) == ("done", 0)


def test_a_trace_and_a_monitor_log_give_their_hottest(cold, redis_server, folder):
    warm.fill(redis_server, cold, "k", 100)
    trace = [f"{n} k{i} 20 0" for i in range(100) for n in range(100 - i)]
    (folder / "trace.log").write_text("\n".join(trace))
    assert warm.run(cold[0], {"log": "trace.log", "n": 30}, target="self")["loaded"] == 30
    with cold[0].client() as client:
        before = int(cold[0].info()["l1_hits"])
        client.mget([f"k{i}" for i in range(30)])
        assert int(cold[0].info()["l1_hits"]) - before == 30, "the hottest, and no others"
    shown = [f'1.5 [0 127.0.0.1:1] "GET" "k{i}"' for i in range(90, 100)] + ['1.5 [0 127.0.0.1:1] "SET" "k50" "x"']
    (folder / "monitor.log").write_text("\n".join(shown) + "\n")
    done = warm.run(cold[0], {"log": "monitor.log", "n": 1000}, target="self")
    assert (done["loaded"], done["total"]) == (10, 10)


def test_only_the_values_that_have_the_tag_are_kept(cold):
    with cold[0].client() as client:
        for i in range(40):
            client.execute_command("CACHE.SET", f"page:{i}", "x", "PX", 60000, "TAGS", 1, "red" if i % 4 == 0 else "blue")
    assert [node.l1_items() for node in cold] == [0, 0], "a write installs nothing"
    done = warm.run(cold[0], {"tag": "red"})
    assert (done["state"], done["loaded"], done["skipped"]) == ("done", 20, 60)
    assert [node.l1_items() for node in cold] == [10, 10]


def test_what_the_nodes_are_asked_for_most_is_loaded_by_those_that_lack_it(cold, redis_server):
    warm.fill(redis_server, cold, "h", 200)
    with cold[1].client() as client:
        for _ in range(30):
            client.mget([f"h{i}" for i in range(20)])
    with cold[1].client() as client:
        until(lambda: len(client.execute_command("CACHE.HOT", 100)) >= 20, 15, "its list is made")

    def loads():
        return warm.run(cold[0], {"hot": 20}, target="self")["loaded"]
    until(lambda: loads() + cold[0].l1_items() >= 20, 20, "the list of the other is in L2")


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "..", ".", "", ".hidden", "sub/inside", "a\x00b"])
def test_a_name_that_is_a_path_is_no_name(pair, folder, name):
    for source in ({"file": name}, {"log": name, "n": 5}):
        with pytest.raises(redis_py.ResponseError, match=r"\$\.source\.(file|log): the name of a file in warm-dir"):
            warm.submit(pair[0], source)


def test_links_pipes_devices_and_folders_are_no_files(pair, folder):
    outside = folder.parent / "outside"
    outside.write_text("k1\n")
    (folder / "link").symlink_to(outside)
    (folder / "sub").mkdir()
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "socket"))
        for name, why in (("link", "it is a link"), ("pipe", "no plain file"), ("sub", "no plain file"),
                          ("socket", "no plain file"), ("nosuch", "no such file in warm-dir")):
            with pytest.raises(redis_py.ResponseError, match=why):
                warm.submit(pair[0], {"file": name})
    assert pair[0].client().ping()


def test_a_node_without_a_warm_dir_says_so(pair):
    with pytest.raises(redis_py.ResponseError, match="this node has no warm-dir"):
        warm.submit(pair[1], {"file": "keys.txt"})


def test_a_file_that_goes_while_its_job_waits_fails_the_job(cold, redis_server, folder):
    """It waits since the node that has the file warms nothing at present; others cannot take its part."""
    path = folder / "short.txt"
    path.write_text("k1\n")
    with cold[0].client() as client:
        client.config_set("warm-rate", 0)
        warm.joined(redis_server, 1)
        job = warm.submit(cold[0], {"file": "short.txt"})
        path.unlink()
        client.config_set("warm-rate", 1000000)
    done = warm.ended(cold[1], job)
    assert done["state"] == "failed" and done["error"] == "$.source.file: short.txt: no such file in warm-dir"
    warm.joined(redis_server, 2)


def test_info_and_metrics_tell_what_was_warmed(cold, redis_server):
    warm.fill(redis_server, cold, "k", 10)
    before = int(cold[0].info()["warm_keys_loaded"])
    warm.run(cold[0], {"keys": [f"k{i}" for i in range(10)] + ["nosuch"]}, target="self")
    info = cold[0].info("warming")
    assert int(info["warm_keys_loaded"]) - before == 10 and float(info["warm_yield"]) <= 1
    until(lambda: cold[0].info("warming")["warm_jobs_open"] == "0", 10, "the beat tells that none is open")
    page = cold[0].admin("/metrics")[1]
    assert 'terrace_warm_jobs{state="running"} 0' in page and "terrace_warm_jobs_open 0" in page
    assert 'terrace_warm_keys_total{result="loaded"}' in page and "terrace_warm_yield_ratio" in page


def test_the_keys_of_a_snapshot_are_read_anew_from_l2(stage):
    redis_server = stage.redis()
    nodes = [stage.node("--warm-rate", "1000000", *flags, l2=redis_server)
             for flags in (("--snapshot-dir", stage.folder / "snapshots"), ())]
    warm.joined(redis_server, 2)
    warm.fill(redis_server, nodes, "k", 300)
    assert warm.run(nodes[0], {"pattern": "k*"}, target="self")["loaded"] == 300
    with nodes[0].client() as client:
        client.execute_command("CACHE.SNAPSHOT")
    done = warm.run(nodes[0], {"snapshot": ""})
    assert (done["state"], done["loaded"], done["skipped"]) == ("done", 300, 300)
    assert nodes[1].l1_items() == 300, "what the one had, the other has now"
    assert "there is no such file" in warm.run(nodes[0], {"snapshot": "nosuch"})["error"]
    with pytest.raises(redis_py.ResponseError, match="this node has no snapshot-dir"):
        warm.submit(nodes[1], {"snapshot": ""})


def test_all_walks_of_a_node_together_keep_to_sweep_rate(stage):
    """Three jobs look at 12,000 keys each, all of which fit; 12,000 a second may be looked at."""
    redis_server = stage.redis()
    node = stage.node("--warm-rate", "1000000", "--sweep-rate", "12000", l2=redis_server)
    warm.joined(redis_server, 1)
    redis_server.client().execute_command("DEBUG", "POPULATE", 12_000, "k", 5)
    jobs = [warm.submit(node, {"pattern": "k*"}, dryrun=True) for _ in range(3)]
    done = [warm.ended(node, job) for job in jobs]
    assert all(one["state"] == "done" and one["total"] >= 12_000 for one in done)
    took_s = (max(one["ended_at_ms"] for one in done) - min(one["submitted_at_ms"] for one in done)) / 1000
    assert took_s > 2, "36,000 keys, but for the last pages"
