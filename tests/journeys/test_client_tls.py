# SPDX-License-Identifier: BSD-3-Clause
"""libterrace over TLS: values, names, certificates of both sides."""

import pytest
from harness import free_port
from libterrace import Client, Refused
from papers import Papers

pytestmark = pytest.mark.own


@pytest.fixture(scope="module")
def papers(tmp_path_factory):
    return Papers(tmp_path_factory.mktemp("papers"))


def node_with_tls(stage, papers, *flags, cert="server"):
    """Listens plainly, too; `tls_port` is the other port."""
    node = stage.node_not_started(*papers.server_flags(cert), *flags)
    node.tls_port = free_port()
    node.flags += ["--listen", f"127.0.0.1:{node.port} tls://127.0.0.1:{node.tls_port}"]
    assert node.start(), node.process.log()
    return node


@pytest.fixture(scope="module")
def node(module_stage, papers):
    return node_with_tls(module_stage, papers, "--tls-auth-clients", "no")


def by_tls(node, papers, host="127.0.0.1", **named):
    named.setdefault("tls_ca", papers.cert("ca"))
    return Client(f"terraces://{host}:{node.tls_port}?timeout=20s&connect-timeout=5s", **named)


def test_values_of_all_sizes_pass(node, papers):
    with by_tls(node, papers) as client:
        assert client.ping() == ("OK", "")
        for size in (0, 1, 16_000, 17_000, 70_000, 3_000_000):
            data = bytes((i * 5 + size) % 256 for i in range(size))
            assert client.set("k", data).status == "OK"
            assert client.get("k").data == data
        status, found = client.mget(["k", "none", "k"])
        assert status == "OK" and [one.status for one in found] == ["OK", "MISS", "OK"]


def test_the_name_of_the_node_is_looked_at(node, papers):
    with by_tls(node, papers, host="localhost") as client:
        assert client.ping()[0] == "OK"
    with by_tls(node, papers, tls_name="other.example") as client:
        status, error = client.ping()
        assert status == "UNREACHABLE" and "mismatch" in error


def test_who_signed_for_the_node_is_looked_at(node, papers):
    with by_tls(node, papers, tls_ca=papers.cert("other-ca")) as client:
        status, error = client.ping()
        assert status == "UNREACHABLE" and "certificate" in error
    with by_tls(node, papers, tls_ca="") as client:  # the system's do not know it
        assert client.ping()[0] == "UNREACHABLE"
    with by_tls(node, papers, tls_ca="", tls_verify="no") as client:
        assert client.ping()[0] == "OK"


def test_a_certificate_that_is_over_is_refused(module_stage, papers):
    with by_tls(node_with_tls(module_stage, papers, "--tls-auth-clients", "no", cert="over"), papers) as client:
        status, error = client.ping()
        assert status == "UNREACHABLE" and "expired" in error


def test_a_certificate_of_the_client_is_shown(module_stage, papers):
    strict = node_with_tls(module_stage, papers)
    with by_tls(strict, papers, retries=1) as client:
        assert client.ping()[0] == "UNREACHABLE"
    with by_tls(strict, papers, tls_cert=papers.cert("alice"), tls_key=papers.key("alice")) as client:
        assert client.ping() == ("OK", "")
    with by_tls(strict, papers, tls_cert=papers.cert("stranger"), tls_key=papers.key("stranger"), retries=1) as client:
        assert client.ping()[0] == "UNREACHABLE"


@pytest.mark.parametrize("name, named", [
    ("tls-ca", {"tls_ca": "/no/such"}),
    ("tls-cert", {"tls_cert": "/no/such"}),
    ("tls-key", {"tls_cert": "alice", "tls_key": "/no/such"}),
])
def test_a_file_that_is_not_there_is_named_with_its_option(papers, name, named):
    named = {word: papers.cert(value) if value == "alice" else value for word, value in named.items()}
    with pytest.raises(Refused, match=f"option {name}:"):
        Client("terraces://127.0.0.1:1", **{"tls_ca": papers.cert("ca"), **named})


def test_tls_to_a_plain_port_and_the_other_way_round_end_with_a_reason(node, papers):
    with Client(f"terraces://127.0.0.1:{node.port}?timeout=5s&connect-timeout=500ms", tls_ca=papers.cert("ca")) as client:
        assert client.ping()[0] == "UNREACHABLE"
    with Client(f"terrace://127.0.0.1:{node.tls_port}?timeout=5s&connect-timeout=500ms") as client:
        assert client.ping()[0] == "UNREACHABLE"
