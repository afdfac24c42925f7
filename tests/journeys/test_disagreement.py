# SPDX-License-Identifier: BSD-3-Clause
"""Nodes of one Redis whose namespaces differ: all of them say so, and go on."""

import pathlib
import re
import signal

import pytest

from harness import until
from test_cache_commands import as_map

pytestmark = pytest.mark.own

MANAGED = "[namespace sessions]\nprefix = s:\nformat = managed\n"


def configured(stage, name, text, redis_server):
    path = stage.folder / f"{name}.conf"
    path.write_text(text)
    node = stage.node(str(path), l2=redis_server)
    node.config = path
    return node


def log_of(node):
    return pathlib.Path(node.process.log_path).read_text(encoding="utf-8")


def said_of_others(node):
    """What the node says of the others' namespaces."""
    with node.wire() as conn:
        maps = [as_map(one) for one in conn.ask("CACHE.NODES")]
    assert [one[b"disagreement"] for one in maps if one[b"self"]] == [b""]
    return [one[b"disagreement"] for one in maps if not one[b"self"]]


def test_nodes_that_disagree_say_so_and_agree_again_after_a_change_node_by_node(stage):
    redis_server = stage.redis()
    knows = configured(stage, "knows", MANAGED, redis_server)
    plain = configured(stage, "plain", "", redis_server)
    until(lambda: said_of_others(knows) == [b"namespace sessions: missing there"], 5, "it is seen where it is managed")
    until(lambda: said_of_others(plain) == [b"a namespace of it is missing here"], 5, "and where it is not")
    for node in (knows, plain):
        until(lambda node=node: node.info("coherence")["coherence_nodes_disagreeing"] == "1", 5, "INFO counts it")
        assert re.search(r"^terrace_nodes_disagreeing 1$", node.admin("/metrics")[1], re.M)
        code, text = until(lambda node=node: (lambda found: found[0] == 200 and found)(node.admin("/readyz?verbose")), 5, "it is ready")
        assert "namespaces differ: node " in text
    assert f"at 127.0.0.1:{plain.port}: namespace sessions: missing there" in \
        knows.info("coherence")["coherence_disagreement"]
    until(lambda: re.search(r'event=namespaces_disagree msg="node=[0-9a-f]{16} address=127.0.0.1:%d namespace sessions: '
                            r"missing there" % plain.port, log_of(knows)), 5, "the log names node and namespace")

    with knows.wire() as managed, plain.wire() as conn, redis_server.wire() as direct:
        assert managed.ask("SET", "s:1", "value") == b"OK"
        assert conn.ask("GET", "s:1") == direct.ask("GET", "s:1")  # plain is what lies in Redis
        conn.ask("SET", "k", b"F5 is no envelope")
        assert conn.ask("GET", "k") == b"F5 is no envelope"
    until(lambda: re.search(r'event=envelope_in_plain msg="namespace=default key=s:1 times=1 ', log_of(plain)), 5,
          "the log names the key")
    assert re.search(r"^terrace_envelopes_in_plain_total 1$", plain.admin("/metrics")[1], re.M)

    plain.config.write_text(MANAGED)
    plain.process.signal(signal.SIGHUP)
    for node in (knows, plain):
        until(lambda node=node: said_of_others(node) == [b""], 5, "both agree")
        until(lambda node=node: node.info("coherence")["coherence_nodes_disagreeing"] == "0", 5, "and INFO says so")
        until(lambda node=node: "event=namespaces_agree " in log_of(node), 5, "and the log")
        assert node.info("coherence")["coherence_disagreement"] == ""
        assert "namespaces differ" not in node.admin("/readyz?verbose")[1]
    with plain.wire() as conn:
        until(lambda: conn.ask("GET", "s:1") == b"value", 5, "what was shown as an envelope is a value")
