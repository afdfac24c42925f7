# SPDX-License-Identifier: BSD-3-Clause
"""TLS: from clients to a node, and from a node to its Redis, with certificates made here."""

import pathlib
import random
import re
import select
import signal
import socket
import ssl
import subprocess
import time

import pytest
import redis

from harness import SEED, SLACK_S, ask_timed, free_port, log_lines, stand_still, until
from papers import Papers

pytestmark = pytest.mark.own

LARGE = 10 * 1000 * 1000
HANDSHAKE_S = 5  # LIMIT_HANDSHAKE_MS


@pytest.fixture(scope="module")
def papers(tmp_path_factory):
    return Papers(tmp_path_factory.mktemp("papers"))


def node_with_tls(stage, papers, *flags, l2=None, cert="server"):
    """Listens plainly, too; `tls_port` is the other port."""
    node = stage.node_not_started(*papers.server_flags(cert), "--loglevel", "verbose", *flags, l2=l2)
    node.tls_port = free_port()
    node.flags += ["--listen", f"127.0.0.1:{node.port} tls://127.0.0.1:{node.tls_port}"]
    assert node.start(), node.process.log()
    return node


@pytest.fixture(scope="module")
def node(module_stage, papers):
    """Asks for no certificate."""
    return node_with_tls(module_stage, papers, "--tls-auth-clients", "no", "--memory", "128mb")


@pytest.fixture(scope="module")
def strict_node(module_stage, papers):
    """Demands one."""
    return node_with_tls(module_stage, papers)


@pytest.fixture(scope="module", autouse=True)
def silent(node, papers):
    """Connections that will never end their handshake: one says nothing, one says half of it; and when that began."""
    said_half = socket.create_connection(("127.0.0.1", node.tls_port))
    said_half.sendall(hello(papers)[:40])
    return [socket.create_connection(("127.0.0.1", node.tls_port)), said_half], time.monotonic()


def hello(papers):
    """What a client says first."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        papers.context().wrap_bio(incoming, outgoing, server_hostname="localhost").do_handshake()
    return outgoing.read()


def client(node, papers, own=None, **options):
    if own:
        options.update(ssl_certfile=papers.cert(own), ssl_keyfile=papers.key(own))
    options.setdefault("ssl_ca_certs", papers.cert("ca"))
    return redis.Redis(host="127.0.0.1", port=node.tls_port, ssl=True, ssl_check_hostname=True, socket_timeout=20, **options)


def wrapped(node, context):
    sock = socket.create_connection(("127.0.0.1", node.tls_port), timeout=20)
    return context.wrap_socket(sock, server_hostname="127.0.0.1")


def read_exactly(sock, size):
    parts, missing = [], size
    while missing:
        part = sock.recv(min(missing, 1 << 20))
        assert part, f"closed with {missing} of {size} bytes missing"
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def counted(node, what):
    page = node.admin("/metrics")[1]
    return int(float(re.search(rf"^{re.escape(what)} (\S+)$", page, re.M).group(1)))


def failures(node):
    return counted(node, 'terrace_tls_handshakes_total{result="failed"}')


# --- clients ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_who_comes_again_goes_on_with_his_session(node, papers, version):
    """Unless the node was told that nobody does."""
    context = papers.context()
    context.minimum_version = context.maximum_version = version

    def comes(session=None):
        with context.wrap_socket(socket.create_connection(("127.0.0.1", node.tls_port), timeout=20), session=session,
                                 server_hostname="127.0.0.1") as sock:
            sock.sendall(b"PING\r\n")
            assert read_exactly(sock, 7) == b"+PONG\r\n"
            return sock.session, sock.session_reused
    session, reused = comes()
    assert not reused and comes(session)[1]
    node.client().config_set("tls-session-caching", "no")
    try:
        assert not comes(comes()[0])[1]
    finally:
        node.client().config_set("tls-session-caching", "yes")


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl_s_client_talks(node, papers, version):
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{node.tls_port}", "-CAfile", papers.cert("ca"),
                           "-verify_return_error", "-verify_ip", "127.0.0.1", "-quiet", version],
                          input=b"SET s client\r\nGET s\r\nQUIT\r\n", capture_output=True, timeout=20, check=False)
    assert done.stdout == b"+OK\r\n$6\r\nclient\r\n+OK\r\n", done.stderr


def test_older_versions_are_refused(node):
    before = failures(node)
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{node.tls_port}", "-tls1_1",
                           "-cipher", "ALL:@SECLEVEL=0"], input=b"", capture_output=True, timeout=20, check=False)
    assert b"protocol version" in done.stderr
    until(lambda: failures(node) > before, 5, "it is counted")


def test_redis_cli_talks(strict_node, papers):
    words = ["redis-cli", "-p", str(strict_node.tls_port), "--tls", "--cacert", papers.cert("ca")]
    shown = subprocess.run([*words, "--cert", papers.cert("alice"), "--key", papers.key("alice"), "ping"],
                           capture_output=True, text=True, timeout=20, check=False)
    assert shown.stdout == "PONG\n"
    assert subprocess.run([*words, "ping"], capture_output=True, text=True, timeout=20, check=False).stdout != "PONG\n"


def test_certificates_of_clients(stage, strict_node, node, papers):
    assert client(strict_node, papers, own="alice").ping()
    until(lambda: any("certificate=alice" in line for line in log_lines(strict_node, "tls_client")), 5, "the log names alice")
    before = failures(strict_node)
    for own in (None, "stranger"):
        with pytest.raises(redis.ConnectionError):
            client(strict_node, papers, own=own).ping()
    until(lambda: failures(strict_node) >= before + 2, 5, "both are counted")
    assert "peer did not return a certificate" in strict_node.process.log(100_000)
    assert client(node, papers).ping() and client(node, papers, own="stranger").ping()  # that one does not ask
    # optional: none is fine, a bad one is not
    assert client(strict_node, papers, own="alice").config_set("tls-auth-clients", "optional")
    assert client(strict_node, papers).ping()
    with pytest.raises(redis.ConnectionError):
        client(strict_node, papers, own="stranger").ping()
    assert strict_node.client().config_set("tls-auth-clients", "yes")


def test_a_client_refuses_a_node_that_it_does_not_believe(node, papers):
    before = failures(node)
    with pytest.raises(redis.ConnectionError, match="certificate verify failed"):
        client(node, papers, ssl_ca_certs=papers.cert("other-ca")).ping()
    until(lambda: failures(node) > before, 5, "it is counted")


def test_large_values_go_both_ways(node, papers):
    conn = client(node, papers)
    value = random.Random(SEED).randbytes(LARGE)
    assert conn.set("large", value)  # in pieces, into its item
    assert conn.get("large") == value  # from where it lies
    assert node.client().get("large") == value
    assert conn.strlen("large") == LARGE
    few = [random.Random(SEED).randbytes(50_000 + i) for i in range(50)]
    assert conn.mset({f"m{i}": one for i, one in enumerate(few)})
    assert conn.mget([f"m{i}" for i in range(50)]) == few


def test_pipelines_of_ten_thousand(node, papers):
    pipe = client(node, papers).pipeline(transaction=False)
    for i in range(10_000):
        pipe.set(f"p{i}", i) if i % 2 == 0 else pipe.get(f"p{i - 1}")
    assert pipe.execute() == [True if i % 2 == 0 else str(i - 1).encode() for i in range(10_000)]


def test_records_cut_anywhere(node, papers):
    """Bytes of TLS that come one by one, and requests that span records."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = papers.context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    sock = socket.create_connection(("127.0.0.1", node.tls_port), timeout=20)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def push(piece):
        data = outgoing.read()
        for at in range(0, len(data), piece):
            sock.sendall(data[at:at + piece])

    def run(step):
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                push(7)
                incoming.write(sock.recv(65536))
    run(tls.do_handshake)
    push(1)
    for part in (b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r", b"\nhel", b"lo\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"):
        tls.write(part)
    push(3)
    got = b""
    while len(got) < len(b"+OK\r\n$5\r\nhello\r\n"):
        got += run(lambda: tls.read(100))
    assert got == b"+OK\r\n$5\r\nhello\r\n"
    sock.close()


def test_a_client_may_say_that_it_sends_no_more(node, papers):
    """close_notify behind the last request: the socket stays open, what was asked for is answered, then it is closed."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = papers.context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with socket.create_connection(("127.0.0.1", node.tls_port), timeout=20) as sock:
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                sock.sendall(outgoing.read())
                incoming.write(sock.recv(65536))
        tls.write(b"PING\r\nECHO last\r\n")
        with pytest.raises(ssl.SSLWantReadError):
            tls.unwrap()  # says it, and waits for the other side's
        sock.sendall(outgoing.read())
        while part := sock.recv(65536):  # until it is closed
            incoming.write(part)
        incoming.write_eof()
        assert tls.read(100) == b"+PONG\r\n$4\r\nlast\r\n"


def test_who_reads_slowly_gets_all_and_holds_up_nobody(node, papers):
    value = random.Random(SEED).randbytes(1_000_000)
    client(node, papers).set("slow", value)
    context = papers.context()
    with wrapped(node, context) as sock:
        sock.sendall(b"GET slow\r\n" * 40)
        began = time.monotonic()
        other = client(node, papers)
        for _ in range(50):
            assert other.ping()
        assert time.monotonic() - began < 2 + SLACK_S
        until(lambda: max(int(one["omem"]) for one in node.client().client_list()) > 1_000_000, 5, "answers wait")
        one = b"$1000000\r\n" + value + b"\r\n"
        for _ in range(40):
            assert read_exactly(sock, len(one)) == one


def test_nonsense_is_closed_and_counted(node, papers):
    before = failures(node)
    flight = bytearray(hello(papers))
    flight[9] ^= 0xff  # the length of the message
    for nonsense in (b"PING\r\n", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"x" * 100, bytes(flight), random.Random(SEED).randbytes(300)):
        with socket.create_connection(("127.0.0.1", node.tls_port), timeout=20) as sock:
            sock.sendall(nonsense)
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(4096):  # an alert, perhaps
                pass
    until(lambda: failures(node) >= before + 5, 5, "each is counted")
    with node.socket() as sock:  # and TLS where none is spoken
        sock.sendall(hello(papers))
        assert sock.recv(100) == b""
    assert client(node, papers).ping()


def test_changed_bytes_close_the_connection(node, papers):
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = papers.context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with socket.create_connection(("127.0.0.1", node.tls_port), timeout=20) as sock:
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                sock.sendall(outgoing.read())
                incoming.write(sock.recv(65536))
        tls.write(b"SET changed 1\r\n")
        record = bytearray(outgoing.read())
        record[-3] ^= 1
        sock.sendall(record)
        while sock.recv(4096):
            pass
    assert client(node, papers).exists("changed") == 0


def test_what_is_pushed_comes_by_tls(node, papers):
    hears = client(node, papers).pubsub(ignore_subscribe_messages=True)
    hears.subscribe("news")
    until(lambda: hears.get_message() is None and node.client().publish("news", "x") == 1, 5, "it is subscribed")
    for i in range(3):
        node.client().publish("news", b"y" * (20_000 * i + 1))
    heard = []
    until(lambda: heard.append(hears.get_message(timeout=1)) or len([one for one in heard if one]) == 4, 5, "all is heard")
    assert [len(one["data"]) for one in heard if one] == [1, 1, 20_001, 40_001]
    hears.close()


def test_many_handshakes_at_once_hold_up_nobody_else(strict_node, papers):
    """Six hundred clients say hello at the same moment: another one's PING waits for a few of them, not for all."""
    said = hello(papers)
    crowd = [socket.create_connection(("127.0.0.1", strict_node.tls_port)) for _ in range(600)]
    until(lambda: counted(strict_node, "terrace_tls_connections") == 600, 5, "all are there")
    with strict_node.wire() as other:
        other.ask("PING")
        stand_still(strict_node.process)
        poll = select.poll()
        for sock in crowd:
            sock.sendall(said)
            poll.register(sock, select.POLLIN)
        stand_still(strict_node.process, False)
        began, worst = time.monotonic(), 0
        while len(poll.poll(0)) < 600:
            worst = max(worst, ask_timed(other, "PING")[1])
            assert time.monotonic() - began < 20
        assert worst < (time.monotonic() - began) / 3
    for sock in crowd:
        sock.close()
    until(lambda: counted(strict_node, "terrace_tls_connections") == 0, 5, "all are gone")


def test_handshakes_under_way_are_limited(strict_node, papers):
    """1,024 on each of two workers: who comes then is closed, until some are over."""
    crowd = [socket.create_connection(("127.0.0.1", strict_node.tls_port)) for _ in range(2 * 1024)]
    what = 'terrace_tls_handshakes_total{result="refused"}'
    until(lambda: counted(strict_node, "terrace_tls_connections") == 2 * 1024, 5, "all are there")
    assert counted(strict_node, what) == 0
    with pytest.raises(redis.ConnectionError):
        client(strict_node, papers, own="alice").ping()
    assert counted(strict_node, what) > 0 and strict_node.client().ping()
    for sock in crowd:
        sock.close()
    until(lambda: counted(strict_node, "terrace_tls_connections") == 0, 5, "all are gone")
    assert client(strict_node, papers, own="alice").ping()


# --- settings --------------------------------------------------------------------------------------------------------

def serial(node, context):
    with wrapped(node, context) as sock:
        return sock.getpeercert()["serialNumber"]


def test_certificates_are_replaced_while_clients_stay(stage, papers, tmp_path):
    cert, key = tmp_path / "cert", tmp_path / "key"
    cert.write_bytes(pathlib.Path(papers.cert("server")).read_bytes())
    key.write_bytes(pathlib.Path(papers.key("server")).read_bytes())
    node = node_with_tls(stage, papers, "--tls-auth-clients", "no", "--tls-cert-file", cert, "--tls-key-file", key)
    stays = client(node, papers, single_connection_client=True)
    own_id = stays.client_id()
    first = serial(node, papers.context())

    cert.write_bytes(pathlib.Path(papers.cert("next")).read_bytes())  # in place, and SIGHUP
    key.write_bytes(pathlib.Path(papers.key("next")).read_bytes())
    node.process.signal(signal.SIGHUP)
    until(lambda: serial(node, papers.context()) != first, 5, "the new certificate is shown")
    second = serial(node, papers.context())

    cert.write_bytes(b"no certificate")
    node.process.signal(signal.SIGHUP)
    until(lambda: log_lines(node, "reload_refused"), 5, "the log says why")
    assert f"tls-cert-file {cert}: " in log_lines(node, "reload_refused")[0]
    assert serial(node, papers.context()) == second

    plain = node.client()
    with pytest.raises(redis.ResponseError, match="Unable to update TLS configuration. tls-cert-file /nowhere: No such file"):
        plain.config_set("tls-cert-file", "/nowhere")
    assert plain.config_get("tls-cert-file") == {"tls-cert-file": str(cert)}
    assert serial(node, papers.context()) == second
    reply = plain.execute_command("CONFIG", "SET", "tls-cert-file", papers.cert("server"), "tls-key-file", papers.key("server"))
    assert reply in (b"OK", True)
    assert serial(node, papers.context()) == first
    assert stays.client_id() == own_id  # through all of it
    assert plain.config_get("tls-port") == {"tls-port": str(node.tls_port)}
    assert plain.config_get("port") == {"port": str(node.port)}


def test_a_certificate_that_is_over_is_told(stage, papers):
    node = node_with_tls(stage, papers, cert="over")
    assert papers.cert("over") in log_lines(node, "tls_certificate_over")[0]
    reply = node.client().execute_command("CONFIG", "SET", "tls-cert-file", papers.cert("next"), "tls-key-file", papers.key("next"))
    assert reply in (b"OK", True) and len(log_lines(node, "tls_certificate_over")) == 1


@pytest.mark.parametrize("flags, because", [
    ([], "tls:// needs a certificate: set tls-cert-file and tls-key-file"),
    (["--tls-cert-file", "SERVER.crt"], "a certificate and its key go together"),
    (["--tls-cert-file", "SERVER.crt", "--tls-key-file", "SERVER.key"], "clients must show certificates, and nobody may sign them"),
    (["--tls-cert-file", "SERVER.crt", "--tls-key-file", "/nowhere", "--tls-auth-clients", "no"],
     "option tls-key-file /nowhere: No such file or directory"),
    (["--tls-protocols", "TLSv1.1"], "older ones are not spoken"),
    (["--tls-auth-clients", "perhaps"], "must be one of the following"),
])
def test_settings_that_are_wrong_are_told(stage, papers, flags, because):
    node = stage.node_not_started(*[flag.replace("SERVER", papers.cert("server")[:-4]) for flag in flags],
                                  "--listen", "tls://127.0.0.1:0")
    node.launch()
    assert node.process.wait() == 78
    assert because in node.process.log()


def test_a_node_that_listens_by_tls_alone(stage, papers):
    node = stage.node_not_started(*papers.server_flags(), "--tls-auth-clients", "no", "--unixsocket", "")
    node.tls_port = node.port
    node.flags += ["--listen", f"tls://127.0.0.1:{node.port}"]
    node.launch()
    until(lambda: node.admin("/readyz")[0] == 200, 15, "it is ready")
    conn = client(node, papers)
    assert conn.info("server")["tcp_port"] == node.port
    assert conn.config_get("port") == {"port": "0"} and conn.config_get("tls-port") == {"tls-port": str(node.port)}
    assert time.time() < counted(node, "terrace_tls_certificate_expires_seconds") < time.time() + 4 * 86400
    assert counted(node, "terrace_tls_connections") == conn.info("clients")["tls_clients"] == 1


# --- towards Redis ---------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def tls_redis(module_stage, papers):
    """Demands a certificate of its clients; also listens plainly, for the harness."""
    port = free_port()
    server = module_stage.redis("--tls-port", str(port), *papers.server_flags(), "--tls-auth-clients", "yes")
    server.tls_url = f"rediss://127.0.0.1:{port}"
    return server


def l2_flags(papers, own="alice", authority="ca"):
    flags = ["--l2-tls-ca-cert-file", papers.cert(authority)]
    return flags + (["--l2-tls-cert-file", papers.cert(own), "--l2-tls-key-file", papers.key(own)] if own else [])


def test_a_node_reaches_redis_by_tls(stage, tls_redis, papers):
    node = node_with_tls(stage, papers, "--tls-auth-clients", "no", *l2_flags(papers), l2=tls_redis.tls_url)
    conn = client(node, papers)
    value = random.Random(SEED).randbytes(LARGE)
    assert conn.set("large", value)
    assert tls_redis.client().get("large") == value
    assert conn.get("large") == value
    pipe = conn.pipeline(transaction=False)
    for i in range(2000):
        pipe.set(f"k{i}", i)
        pipe.get(f"k{i}")
    assert pipe.execute()[1::2] == [str(i).encode() for i in range(2000)]
    tls_redis.client().set("k1", "by a stranger")  # heard on the bus, by TLS
    until(lambda: conn.get("k1") == b"by a stranger", 2 + SLACK_S, "the stranger's value is served")
    tls_redis.client().rpush("queue", "one")  # and lines of their own for those who wait
    assert conn.blpop("queue", 5) == (b"queue", b"one")
    leaves = wrapped(node, papers.context())
    leaves.sendall(b"BLPOP queue 0\r\n")
    until(lambda: tls_redis.client().info("clients")["blocked_clients"] == 1, 5, "it waits")
    leaves.close()
    until(lambda: tls_redis.client().info("clients")["blocked_clients"] == 0, 5, "nobody waits any more")
    tls_redis.client().execute_command("CLIENT", "KILL", "TYPE", "normal")
    until(lambda: node.coherence_state() == "SYNCED", 5 + SLACK_S, "it is back")
    assert conn.get("k2") == b"2"


def test_redis_may_restart(stage, papers):
    port = free_port()
    server = stage.redis("--tls-port", str(port), *papers.server_flags(), "--tls-auth-clients", "no")
    node = stage.node(*l2_flags(papers, own=None), l2=f"rediss://localhost:{port}")
    node.client().set("a", 1)
    server.process.kill()
    until(lambda: node.coherence_state() != "SYNCED", 5, "it noticed")
    assert server.start()
    until(lambda: node.coherence_state() == "SYNCED", 10 + SLACK_S, "it is back")
    assert node.client().set("a", 2) and node.client().get("a") == b"2"


@pytest.mark.parametrize("flags, cert, because", [
    (["other-ca"], "server", "TLS: the certificate is not believed: self-signed certificate in certificate chain"),
    (["ca"], "over", "TLS: the certificate is not believed: certificate has expired"),
    (["ca"], "elsewhere", "TLS: the certificate is not believed: IP address mismatch"),
])
def test_a_redis_that_is_not_believed(stage, papers, flags, cert, because):
    port = free_port()
    stage.redis("--tls-port", str(port), *papers.server_flags(cert), "--tls-auth-clients", "no")
    node = stage.node_not_started(*l2_flags(papers, own=None, authority=flags[0]), l2=f"rediss://127.0.0.1:{port}")
    node.launch()
    until(lambda: log_lines(node, "l2_down"), 10, "the log says that L2 is down")
    assert because in log_lines(node, "l2_down")[0]
    if cert == "elsewhere":  # it is the right one, by its name
        node.end()
        assert stage.node(*l2_flags(papers, own=None), "--l2-tls-server-name", "elsewhere.test", l2=f"rediss://127.0.0.1:{port}")


def test_redis_refuses_a_node_without_certificate(stage, tls_redis, papers):
    node = stage.node_not_started(*l2_flags(papers, own=None), l2=tls_redis.tls_url)
    node.launch()
    until(lambda: log_lines(node, "l2_down"), 10, "the log says that L2 is down")
    assert "TLS: the other side refused: " in log_lines(node, "l2_down")[0]


def test_an_l2_that_speaks_no_tls_is_told_as_that(stage, papers):
    node = stage.node_not_started(*l2_flags(papers, own=None), l2=f"rediss://127.0.0.1:{stage.redis().port}")
    node.launch()
    until(lambda: log_lines(node, "l2_down"), 10, "the log says that L2 is down")
    assert "does it speak TLS there?" in log_lines(node, "l2_down")[0]


def test_sentinels_by_tls(stage, papers):
    """All by TLS: the sentinel, and the master that it names, by an address."""
    port, sentinel_port = free_port(), free_port()
    stage.redis("--tls-port", str(port), *papers.server_flags(), "--tls-auth-clients", "no", "--tls-replication", "yes")
    config = stage.folder / "sentinel.conf"
    config.write_text(f"port 0\ntls-port {sentinel_port}\ntls-replication yes\ntls-auth-clients no\nbind 127.0.0.1\n"
                      f"dir {stage.folder}\ntls-cert-file {papers.cert('server')}\ntls-key-file {papers.key('server')}\n"
                      f"tls-ca-cert-file {papers.cert('ca')}\nsentinel monitor m 127.0.0.1 {port} 1\n")
    stage.run("sentinel", ["redis-server", config, "--sentinel"])
    node = stage.node(*l2_flags(papers, own=None), l2=f"rediss+sentinel://127.0.0.1:{sentinel_port}/m")
    assert node.client().set("a", 1)


# --- last, since it waits for the clock ------------------------------------------------------------------------------

def test_who_does_not_end_the_handshake_is_closed(node, silent):
    sockets, began = silent
    for sock in sockets:
        sock.settimeout(max(0.1, began + HANDSHAKE_S + 3 + SLACK_S - time.monotonic()))
        assert sock.recv(100) == b""
        sock.close()
