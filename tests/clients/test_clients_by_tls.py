# SPDX-License-Identifier: BSD-3-Clause
"""Clients that come by TLS, check the node's certificate and show one of their own: what they do without TLS, they do."""

import subprocess

import pytest
import redis

from harness import free_port
from papers import Papers

RUBY = """
require "redis"
redis = Redis.new(host: "127.0.0.1", port: ARGV[0].to_i, ssl: true, ssl_params:
  {ca_file: "ca.crt",
   cert: OpenSSL::X509::Certificate.new(File.read("alice.crt")), key: OpenSSL::PKey.read(File.read("alice.key"))})
redis.set("session", "x" * 100_000, ex: 100)
raise "what was set is not there" unless redis.get("session") == "x" * 100_000 && redis.ttl("session") > 90
first, second = redis.multi { |block| block.incr("n"); block.incr("n") }
raise "not one after the other" unless second == first + 1
puts redis.pipelined { |all| 1000.times { |at| all.echo(at.to_s) } }.last
"""

PHP = """
$redis = new Redis();
$redis->connect("tls://127.0.0.1", (int) $argv[1], 5, null, 0, 0,
                ["stream" => ["cafile" => "ca.crt", "local_cert" => "alice.crt", "local_pk" => "alice.key", "verify_peer" => true]]);
$redis->setex("session", 100, str_repeat("x", 100000));
if ($redis->get("session") !== str_repeat("x", 100000) || $redis->ttl("session") <= 90) { throw new Exception("what was set is not there"); }
[$first, $second] = $redis->multi()->incr("n")->incr("n")->exec();
if ($second !== $first + 1) { throw new Exception("not one after the other"); }
$all = $redis->pipeline();
for ($at = 0; $at < 1000; $at++) { $all->echo((string) $at); }
$told = $all->exec();
echo end($told), "\\n";
"""


@pytest.fixture(scope="module")
def papers(tmp_path_factory):
    return Papers(tmp_path_factory.mktemp("papers"))


@pytest.fixture(scope="module", params=["with L2", "alone"])
def tls_port(request, servers, session_stage, papers):
    node = session_stage.node_not_started(*papers.server_flags(), l2=servers["l2"] if request.param == "with L2" else None)
    port = free_port()
    node.flags += ["--listen", f"127.0.0.1:{node.port} tls://127.0.0.1:{port}"]
    assert node.start(), node.process.log()
    return port


@pytest.mark.parametrize("argv", [["ruby", "-e", RUBY], ["php", "-r", PHP]], ids=lambda argv: argv[0])
def test_a_program(tls_port, papers, argv):
    done = subprocess.run([*argv, "--", str(tls_port)] if argv[0] == "php" else [*argv, str(tls_port)], cwd=papers.folder,
                          capture_output=True, text=True, timeout=30, check=False)
    assert done.stdout == "999\n", done.stdout + done.stderr


def test_redis_py(tls_port, papers):
    client = redis.Redis(host="localhost", port=tls_port, ssl=True, ssl_check_hostname=True, ssl_ca_certs=papers.cert("ca"),
                         ssl_certfile=papers.cert("alice"), ssl_keyfile=papers.key("alice"), socket_timeout=20)
    with client.lock("lock", timeout=10) as lock:
        assert not client.lock("lock", timeout=10).acquire(blocking=False)
        lock.extend(5)
    assert not client.exists("lock")
    with client.pubsub(ignore_subscribe_messages=True) as ear:
        ear.subscribe("news")
        assert ear.get_message(timeout=20) is None  # the confirmation
        assert client.publish("news", "x") == 1
        assert ear.get_message(timeout=20)["data"] == b"x"
    with client.pipeline() as pipe:
        pipe.hset("h", mapping={"a": "1", "b": "2"}).expire("h", 100).hgetall("h")
        assert pipe.execute()[2] == {b"a": b"1", b"b": b"2"}
    with pytest.raises(redis.ConnectionError):
        redis.Redis(host="localhost", port=tls_port, ssl=True, ssl_ca_certs=papers.cert("ca")).ping()
