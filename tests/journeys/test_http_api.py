# SPDX-License-Identifier: BSD-3-Clause
"""/v1 on the admin listener: figures, nodes and namespaces as JSON, who may ask, and what is refused."""
import http.client
import json
import re
import signal
import socket

import harness
import pytest
from harness import until

own = pytest.mark.own

TOKEN = "a token, 32 characters long ....."


class Answer:
    def __init__(self, response):
        self.status, self.headers, self.body = response.status, response.headers, response.read()

    @property
    def json(self):
        assert self.headers["Content-Type"] == "application/json", self.headers
        return json.loads(self.body)


def ask(node, path, method="GET", body=None, headers=None, token=None):
    """An Answer of the admin listener. A body that is no bytes goes as JSON."""
    headers = dict(headers or {})
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    if body is not None and not isinstance(body, bytes):
        body, headers = json.dumps(body).encode(), {"Content-Type": "application/json", **headers}
    conn = http.client.HTTPConnection("127.0.0.1", node.admin_port, timeout=20)
    try:
        conn.request(method, path, body=body, headers=headers)
        return Answer(conn.getresponse())
    finally:
        conn.close()


def refused(answer, status, word):
    assert answer.status == status, (answer.status, answer.body)
    assert word in answer.json["error"], answer.json
    return True


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A node with an L2, a token, and two namespaces, one of which has a prefix that is no UTF-8 text."""
    with harness.Stage(tmp_path_factory.mktemp("http")) as stage:
        conf = stage.folder / "http.conf"
        conf.write_bytes(b"[namespace page]\nprefix = page:\nformat = managed\nttl = 5m\n\n[namespace raw]\nprefix = r\xff:\n")
        l2 = stage.redis()
        node = stage.node(str(conf), "--admin-token", TOKEN, l2=l2)
        node.l2 = l2
        yield node


# --- the live page ---

def fields_of(text):
    return re.findall(r'<(?:dd|span|th)\s+data-(?:field|rate)="([^"]+)"', text)


@own
def test_the_live_page_shows_what_there_is(house):
    """Every field that it names is one of what /v1 answers; and it loads nothing else."""
    client = house.client()
    assert ask(house, "/v1/warm", "POST", {"source": {"keys": ["shown"]}}, token=TOKEN).status == 202
    until(lambda: [client.get("shown"), ask(house, "/v1/hot").json][1], 10, "a key is counted")
    until(lambda: ask(house, "/readyz").status == 200, 10, "the node is ready")
    answer = ask(house, "/")
    page = answer.body.decode()
    assert answer.status == 200 and answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; connect-src 'self';")
    assert not re.search(r'\bsrc=|https?://|@import|innerHTML|url\(', page)
    for path in set(re.findall(r'href="([^"]+)"', page)):
        assert ask(house, path).status == 200, path

    tables = re.findall(r'<table data-list="([^"]+)">(.*?)</table>', page, re.S)
    assert [path for path, _ in tables] == ["/v1/nodes", "/v1/namespaces", "/v1/hot", "/v1/warm"]
    for path, head in tables:
        row = ask(house, path).json[0]
        assert fields_of(head) and set(fields_of(head)) <= set(row), (path, set(fields_of(head)) - set(row))
    stats = ask(house, "/v1/stats").json
    paths = fields_of(re.sub(r"<table.*?</table>", "", page, flags=re.S))
    assert len(paths) > 10
    for section, name in (path.split(".") for path in paths):
        assert name in stats[section], (section, name)


@own
def test_the_live_page_says_nothing_and_so_is_for_everybody(house):
    assert ask(house, "/", headers={"X-Forwarded-For": "192.0.2.1"}).body == ask(house, "/").body
    assert ask(house, "/", "POST", {}, token=TOKEN).status == 405


# --- figures ---

@own
def test_stats_are_those_of_info(house):
    client = house.client()
    client.set("counted", "v")
    client.get("counted")
    named = {"server": ["run_id", "terrace_version", "tcp_port"], "l1": ["l1_bytes_max", "l1_policy"],
             "coherence": ["coherence_state", "coherence_nodes"], "l2": ["l2_configured", "l2_state"]}

    def differences():
        stats, info = ask(house, "/v1/stats").json, house.info()
        return [name for section, names in named.items() for name in names if str(stats[section][name]) != info[name]]
    until(lambda: not differences(), 10, "both say the same, asked one after the other")
    stats = ask(house, "/v1/stats").json
    assert isinstance(stats["l1"]["l1_bytes_max"], int) and isinstance(stats["l1"]["l1_hit_ratio"], float)
    assert isinstance(stats["server"]["run_id"], str)
    assert "namespaces" not in stats and "commandstats" not in stats


@own
def test_stats_have_what_l2_says_of_its_data(house):
    house.client().set("counted", "v")
    house.l2.client().config_set("maxmemory", "123456789")
    stats = ask(house, "/v1/stats?section=memory").json
    assert list(stats) == ["memory"] and stats["memory"]["maxmemory"] == 123456789
    assert ask(house, "/v1/stats?section=keyspace").json["keyspace"]["db0"]["keys"] >= 1
    assert ask(house, "/v1/stats?section=commandstats").json["commandstats"]["cmdstat_set"]["calls"] >= 1


@own
def test_a_section_that_is_none_is_refused(house):
    assert refused(ask(house, "/v1/stats?section=nonsense"), 400, "section")


@own
def test_nodes_are_those_of_cache_nodes(house):
    nodes = ask(house, "/v1/nodes").json
    said = house.client().execute_command("CACHE.NODES")
    assert len(nodes) == len(said) == 1
    assert nodes[0]["state"] == "SYNCED" and nodes[0]["self"] is True
    assert nodes[0]["address"] == f"127.0.0.1:{house.port}"
    assert isinstance(nodes[0]["hit_ratio"], float)


@own
def test_namespaces_are_told_and_bytes_that_are_no_text_as_base64(house):
    told = {ns["name"]: ns for ns in ask(house, "/v1/namespaces").json}
    assert set(told) == {"default", "page", "raw"}
    assert told["page"]["prefix"] == "page:" and told["page"]["format"] == "managed" and told["page"]["ttl_ms"] == 300_000
    assert told["raw"]["prefix"] == {"base64": "cv86"}


@own
def test_a_node_alone_tells_the_same(stage):
    node = stage.node()
    assert ask(node, "/v1/nodes").json[0]["state"] == "ALONE"
    node.client().set("k", "v")
    assert ask(node, "/v1/stats").json["keyspace"]["db0"]["keys"] == 1


@own
def test_stats_are_told_while_l2_is_silent(stage):
    l2 = stage.redis()
    node = stage.node("--l2-timeout", "200", l2=l2)
    l2.process.signal(signal.SIGSTOP)
    try:
        stats = ask(node, "/v1/stats")
        assert stats.status == 200 and stats.json["server"]["tcp_port"] == node.port
    finally:
        l2.process.signal(signal.SIGCONT)


@own
def test_who_waits_is_answered_when_the_node_ends_or_its_l2_does(stage):
    l2 = stage.redis()
    node = stage.node("--l2-timeout", "60s", l2=l2)
    l2.process.signal(signal.SIGSTOP)
    try:
        waiting = []
        for _ in range(3):
            sock = socket.create_connection(("127.0.0.1", node.admin_port), timeout=20)
            sock.sendall(b"GET /v1/stats HTTP/1.1\r\nHost: localhost\r\n\r\n")
            waiting.append(sock)
        left = waiting.pop()
        left.close()  # one leaves while it waits
        assert ask(node, "/livez").status == 200
        node.process.signal(signal.SIGTERM)
        for sock in waiting:
            assert sock.recv(64).startswith(b"HTTP/1.1 "), "an answer, not a reset"
            sock.close()
    finally:
        l2.process.signal(signal.SIGCONT)
    assert node.process.wait(20) == 0


def is_closed(sock):
    """Whether the other side has ended it, in whatever way."""
    sock.setblocking(False)
    try:
        return sock.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


@own
def test_who_holds_connections_and_asks_nothing_keeps_no_probe_out(house):
    def connect():
        return socket.create_connection(("127.0.0.1", house.admin_port), timeout=20)
    asked = connect()
    asked.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert asked.recv(4096).startswith(b"HTTP/1.1 200 "), "and stays"
    silent = [connect() for _ in range(200)]
    try:
        for _ in range(5):
            silent.append(connect())
            assert ask(house, "/livez").status == 200
        until(lambda: sum(is_closed(sock) for sock in silent[:-64]) == len(silent) - 64, 10, "those who came first had to go")
        assert is_closed(asked)
        silent[-1].setblocking(True)
        silent[-1].sendall(b"GET /livez HTTP/1.0\r\n\r\n")
        assert silent[-1].recv(4096).startswith(b"HTTP/1.1 200 "), "who is silent and then asks is answered"
    finally:
        for sock in silent:
            sock.close()


@own
def test_a_head_that_comes_a_byte_at_a_time_has_an_end(house):
    head = b"GET /livez HTTP/1.1\r\nX-Slow: " + b"x" * 4000
    with socket.create_connection(("127.0.0.1", house.admin_port), timeout=20) as slow, \
            socket.create_connection(("127.0.0.1", house.admin_port), timeout=20) as silent:
        sent = 0

        def gone():
            nonlocal sent
            if is_closed(slow):
                return True
            try:
                slow.sendall(head[sent:sent + 1])
            except OSError:
                return True
            sent += 1
            return False
        until(gone, 30, "it was closed, though a byte came now and then", every_s=0.1)
        assert sent > 3, "it had some time"
        until(lambda: is_closed(silent), 10, "and so was one from which none came")
    assert ask(house, "/livez").status == 200


@own
def test_requests_behind_one_that_waits_are_answered_in_their_order(house):
    pages = [b"GET /v1/warm", b"HEAD /v1/stats", b"GET /livez", b"GET /v1/warm/999999", b"OPTIONS /v1/warm", b"GET /v1/nodes"]
    with socket.create_connection(("127.0.0.1", house.admin_port), timeout=20) as sock:
        sock.sendall(b"".join(page + b" HTTP/1.1\r\nHost: localhost\r\n\r\n" for page in pages) + b"GET /livez HTTP/1.0\r\n\r\n")
        told = b"".join(iter(lambda: sock.recv(65536), b""))
    assert [int(code) for code in re.findall(rb"HTTP/1\.[01] (\d+)", told)] == [200, 200, 200, 404, 401, 200, 200], told


@own
def test_a_node_ends_in_order_while_requests_wait_behind_each_other_and_clients_leave(stage):
    node = stage.node("--admin-token", TOKEN, l2=stage.redis())
    asked = (b"GET /v1/warm HTTP/1.1\r\nHost: localhost\r\n\r\n" + b"GET /v1/stats HTTP/1.1\r\nHost: localhost\r\n\r\n") * 10
    stay = []
    for i in range(24):
        sock = socket.create_connection(("127.0.0.1", node.admin_port), timeout=20)
        sock.sendall(asked)
        if i % 3 == 0:
            sock.close()  # with answers on their way
        else:
            stay.append(sock)
    assert stay[0].recv(64).startswith(b"HTTP/1.1 ")
    node.process.signal(signal.SIGTERM)
    assert node.process.wait(20) == 0
    for sock in stay:
        sock.close()


@own
def test_probes_find_a_connection_while_many_wait(stage):
    l2 = stage.redis()
    node = stage.node("--l2-timeout", "60s", l2=l2)
    l2.process.signal(signal.SIGSTOP)
    waiting = []
    try:
        for _ in range(33):
            sock = socket.create_connection(("127.0.0.1", node.admin_port), timeout=20)
            sock.sendall(b"GET /v1/stats HTTP/1.1\r\nHost: localhost\r\n\r\n")
            waiting.append(sock)
        assert waiting[-1].recv(64).startswith(b"HTTP/1.1 503 "), "one too many"
        assert ask(node, "/livez").status == 200
    finally:
        l2.process.signal(signal.SIGCONT)
    for sock in waiting[:-1]:
        assert sock.recv(64).startswith(b"HTTP/1.1 200 ")
        sock.close()


@own
def test_hot_keys_are_told_with_their_bytes(house):
    with house.wire() as conn:
        conn.ask("SET", b"hot\xff", "v")
        for _ in range(600):
            conn.ask("GET", b"hot\xff")
    named = {"base64": "aG90/w=="}
    [row] = until(lambda: [row for row in ask(house, "/v1/hot").json if row["key"] == named], 20, "it was counted")
    assert row["ns"] == "default" and row["count"] > 0 and isinstance(row["per_s"], float)
    assert refused(ask(house, "/v1/hot?n=0"), 400, "number")


# --- who may ---

@own
def test_a_wrong_token_is_refused_and_the_right_one_is_not(house):
    answer = ask(house, "/v1/nodes", token="wrong")
    assert refused(answer, 401, "not the token") and answer.headers["WWW-Authenticate"] == "Bearer"
    assert ask(house, "/v1/nodes", token=TOKEN[:-1]).status == 401
    assert ask(house, "/v1/nodes", token=TOKEN).status == 200


@own
def test_the_token_can_be_changed_while_it_runs_and_is_shown_nowhere(house, stage):
    node = stage.node("--admin-token", "first")
    assert ask(node, "/v1/nodes", token="first").status == 200
    node.client().config_set("admin-token", "second")
    assert ask(node, "/v1/nodes", token="first").status == 401
    assert ask(node, "/v1/nodes", token="second").status == 200
    assert "first" not in node.process.log() and "second" not in node.process.log()


@own
def test_a_page_whose_name_leads_here_reads_nothing(house):
    assert refused(ask(house, "/v1/nodes", headers={"Host": "evil.example:7380"}), 403, "Host")
    assert ask(house, "/v1/nodes", headers={"Host": "evil.example:7380"}, token=TOKEN).status == 200
    for host in ("localhost", f"LOCALHOST:{house.admin_port}", "127.0.0.1", "[::1]:7380", "10.0.0.7:80"):
        assert ask(house, "/v1/nodes", headers={"Host": host}).status == 200, host
    for path in ("/livez", "/metrics"):
        assert ask(house, path, headers={"Host": "node-7.cluster.local"}).status == 200, "as Prometheus asks"


@own
def test_what_a_proxy_hands_on_is_from_elsewhere(house):
    for name, value in (("X-Forwarded-For", "10.1.2.3"), ("x-real-ip", "10.1.2.3"), ("Forwarded", "for=10.1.2.3"), ("Via", "1.1 proxy")):
        assert refused(ask(house, "/v1/nodes", headers={name: value}), 401, "token"), name
        assert ask(house, "/v1/nodes", headers={name: value}, token=TOKEN).status == 200, name
        assert ask(house, "/livez", headers={name: value}).status == 200, name


@own
def test_a_body_that_no_page_reads_is_not_kept(house):
    with socket.create_connection(("127.0.0.1", house.admin_port), timeout=20) as sock:
        sock.sendall(b"POST /livez HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        sock.sendall((b"10000\r\n" + b" " * 65536 + b"\r\n") * 17 + b"0\r\n\r\n")
        assert sock.recv(64).startswith(b"HTTP/1.1 405 "), "as with a short one"


@own
def test_paths_and_methods_that_are_not_there_are_refused(house):
    assert refused(ask(house, "/v1"), 404, "page")
    assert refused(ask(house, "/v1/nothing"), 404, "page")
    answer = ask(house, "/v1/nodes", "DELETE", token=TOKEN)
    assert refused(answer, 405, "method") and answer.headers["Allow"] == "GET, HEAD"
    assert ask(house, "/v1/nodes", "PUT", token=TOKEN, body=b"x").status == 405
    head = ask(house, "/v1/nodes", "HEAD")
    assert head.status == 200 and head.body == b"" and int(head.headers["Content-Length"]) > 10


@own
def test_what_refuses_a_body_leaves_the_connection_usable(house):
    conn = http.client.HTTPConnection("127.0.0.1", house.admin_port, timeout=20)
    conn.request("POST", "/v1/nodes", body=b"x" * 70_000, headers={"Content-Type": "application/json"})
    assert conn.getresponse().read() and conn.sock is not None
    conn.request("GET", "/v1/nodes")
    assert conn.getresponse().status == 200
    conn.close()


@own
def test_nonsense_does_not_hurt(house):
    for sent in (b"GET /v1/stats?section=%00%ff HTTP/1.1\r\nHost: localhost\r\n\r\n", b"GET /v1/%2e%2e/stats HTTP/1.1\r\n\r\n",
                 b"POST /v1/nodes HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffff\r\n",
                 b"POST /v1/nodes HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nab", b"DELETE /v1/ HTTP/1.0\r\n\r\n",
                 b"GET /v1/nodes HTTP/1.1\r\nHost: [\r\nAuthorization: Bearer\r\n\r\n",
                 b"GET /v1/nodes HTTP/1.1\r\nHost: \r\nAuthorization: Bearer \xff\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", house.admin_port), timeout=20) as sock:
            sock.sendall(sent)
    assert ask(house, "/v1/nodes").status == 200


# --- warm jobs ---

def submit(node, **job):
    answer = ask(node, "/v1/warm", "POST", job, token=TOKEN)
    assert answer.status == 202, answer.body
    return answer.json["id"]


def job_of(node, number):
    return ask(node, f"/v1/warm/{number}").json


def fill(node, prefix, count):
    with node.l2.client() as client:
        pipe = client.pipeline(transaction=False)
        for i in range(count):
            pipe.set(f"{prefix}{i}", f"value {i}")
        pipe.execute()


@own
def test_a_job_is_submitted_and_told_until_it_is_done(house):
    fill(house, "w:", 300)
    number = submit(house, source={"pattern": "w:*"}, priority=7)
    until(lambda: job_of(house, number)["state"] == "done", 20, "it is done")
    job = job_of(house, number)
    assert (job["id"], job["source"], job["priority"], job["total"], job["processed"]) == (number, "pattern w:*", 7, 300, 300)
    assert isinstance(job["rate"], float) and job["dryrun"] is False and job["failures"] == []
    assert [node["done"] for node in job["nodes"]] == [300]
    listed = {one["id"]: one for one in ask(house, "/v1/warm").json}
    assert listed[number]["state"] == "done" and listed[number]["loaded"] == job["loaded"]
    said = house.client().execute_command("CACHE.WARM", "STATUS", number)
    assert set(map(bytes.decode, said[::2])) == set(job), "the fields of CACHE.WARM STATUS, and no others"


@own
def test_a_job_is_paused_goes_on_faster_and_is_cancelled(house):
    fill(house, "slow:", 500)
    number = submit(house, source={"pattern": "slow:*"}, rate=1)

    def change(**what):
        return ask(house, f"/v1/warm/{number}", "POST", what, token=TOKEN)
    assert change(state="paused").json == {"id": number}
    until(lambda: job_of(house, number)["state"] == "paused", 10, "it is paused")
    assert change(rate=100000).status == 200 and job_of(house, number)["rate_limit"] == 100000
    assert change(state="running").status == 200
    until(lambda: job_of(house, number)["state"] == "done", 20, "it is done")
    assert refused(change(state="paused"), 409, "ended")

    number = submit(house, source={"pattern": "slow:*"}, mode="force", rate=1, deadline=600)
    assert change(state="paused").status == 200
    assert ask(house, f"/v1/warm/{number}", "DELETE", token=TOKEN).json == {"id": number}
    assert job_of(house, number)["state"] == "cancelled"


@own
def test_a_job_with_times_is_registered(house):
    for wish in ({"schedule": "every 5m"}, {"before_expiry": "20%"}):
        number = submit(house, source={"hot": 10}, **wish)
        job = job_of(house, number)
        assert job["state"] == "standing" and job["schedule"], job
        assert ask(house, f"/v1/warm/{number}", "DELETE", token=TOKEN).status == 200
    answer = ask(house, "/v1/warm", "POST", {"source": {"hot": 10}, "schedule": "sometimes"}, token=TOKEN)
    assert refused(answer, 400, "") and answer.json["path"] == "$.schedule"


@own
def test_what_is_no_job_is_told_by_its_place(house):
    for body, path in [({"source": {"hot": "many"}}, "$.source.hot"), ({"source": {"pattern": "a"}, "rat": 5}, "$.rat"),
                       ({"source": {"keys": [1]}}, "$.source.keys[0]"), ([], "$"), ({"source": {"keys": ["a"]}, "priority": 10}, "$.priority")]:
        answer = ask(house, "/v1/warm", "POST", body, token=TOKEN)
        assert refused(answer, 400, "") and answer.json["path"] == path, answer.json
    for body in (b"", b"{", b"\xff", b"[" * 5000):
        answer = ask(house, "/v1/warm", "POST", body, {"Content-Type": "application/json"}, token=TOKEN)
        assert answer.status == 400 and answer.json["path"] == "$", answer.json
    for body, path in [({}, "$"), ({"state": "done"}, "$.state"), ({"rate": -1}, "$.rate"), ({"rate": 1, "state": "paused"}, "$"), ([], "$")]:
        answer = ask(house, "/v1/warm/1", "POST", body, token=TOKEN)
        assert answer.status == 400 and answer.json["path"] == path, answer.json


@own
def test_jobs_that_are_not_there_are_404(house):
    for number in ("999999", "0", "x", "-1", "99999999999999999999", ""):
        assert refused(ask(house, f"/v1/warm/{number}"), 404, "no such warm job"), number
    assert ask(house, "/v1/warm/999999", "DELETE", token=TOKEN).status == 404
    assert ask(house, "/v1/warm/999999", "POST", {"state": "paused"}, token=TOKEN).status == 404


@own
def test_nobody_changes_without_the_token(house):
    before = [job["id"] for job in ask(house, "/v1/warm").json]
    assert refused(ask(house, "/v1/warm", "POST", {"source": {"keys": ["a"]}}), 401, "token")
    assert refused(ask(house, "/v1/warm/1", "DELETE"), 401, "token")
    assert refused(ask(house, "/v1/warm/1", "POST", {"rate": 1}, token="no"), 401, "token")
    assert [job["id"] for job in ask(house, "/v1/warm").json] == before
    with harness.Stage(house.stage.folder / "no token") as stage:
        node = stage.node()
        assert refused(ask(node, "/v1/warm", "POST", {"source": {"keys": ["a"]}}), 403, "set admin-token")
        assert refused(ask(node, "/v1/warm", "POST", {}, token=""), 403, "set admin-token")
        assert refused(ask(node, "/v1/warm"), 409, "L2")


@own
def test_a_body_must_be_json_and_not_too_long(house):
    job = json.dumps({"source": {"keys": ["a"]}}).encode()
    assert refused(ask(house, "/v1/warm", "POST", job, {"Content-Type": "text/plain"}, token=TOKEN), 415, "application/json")
    assert refused(ask(house, "/v1/warm", "POST", job, token=TOKEN), 415, "application/json")
    assert ask(house, "/v1/warm", "POST", job, {"Content-Type": "Application/JSON; charset=utf-8"}, token=TOKEN).status == 202
    largest = json.dumps({"source": {"keys": ["a"]}}).encode().ljust(1 << 20)
    assert ask(house, "/v1/warm", "POST", largest, {"Content-Type": "application/json"}, token=TOKEN).status == 202
    change = json.dumps({"rate": 1}).encode()
    for size, status in ((4096, 404), (4097, 413)):
        assert refused(ask(house, "/v1/warm/999999", "POST", change.ljust(size), {"Content-Type": "application/json"}, token=TOKEN), status, "")
    with socket.create_connection(("127.0.0.1", house.admin_port), timeout=20) as sock:  # refused by its head
        sock.sendall(f"POST /v1/warm HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n"
                     f"Content-Length: {(1 << 20) + 1}\r\n\r\n".encode())
        assert sock.recv(64).startswith(b"HTTP/1.1 413 ")
    with socket.create_connection(("127.0.0.1", house.admin_port), timeout=20) as sock:  # one that does not say how long it is
        sock.sendall(f"POST /v1/warm HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n"
                     f"Transfer-Encoding: chunked\r\n\r\n".encode())
        piece = b"10000\r\n" + b" " * 65536 + b"\r\n"
        sock.sendall(piece * 17 + b"0\r\n\r\n")
        assert sock.recv(64).startswith(b"HTTP/1.1 413 ")


@own
def test_jobs_are_refused_while_l2_is_away(stage):
    l2 = stage.redis()
    node = stage.node("--admin-token", TOKEN, "--l2-timeout", "300", l2=l2)
    l2.process.signal(signal.SIGSTOP)
    try:
        until(lambda: ask(node, "/v1/warm").status == 503, 20, "L2 is missed")
        assert ask(node, "/v1/warm", "POST", {"source": {"keys": ["a"]}}, token=TOKEN).status == 503
    finally:
        l2.process.signal(signal.SIGCONT)
    until(lambda: ask(node, "/v1/warm").status == 200, 20, "it is back")
