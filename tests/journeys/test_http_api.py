# SPDX-License-Identifier: BSD-3-Clause
"""/v1 on the admin listener: figures, nodes and namespaces as JSON, who may ask, and what is refused."""
import http.client
import json
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
