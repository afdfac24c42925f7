# SPDX-License-Identifier: BSD-3-Clause
"""libterrace at its edges: options that no cluster takes, rooms for errors, the locale of the application."""

import ctypes
import os
import re
import shutil
import subprocess
import sys
import time

import pytest

import harness
import libterrace
from libterrace import Client, Options, Refused

HEADER = (harness.ROOT / "client/terrace.h").read_text()


@pytest.mark.parametrize("url", sorted(set(re.findall(r'"(terraces?://[^"]+)"', HEADER))))
def test_the_urls_of_the_manual_are_urls(url):
    Options(url).free()


@pytest.mark.parametrize("text, words", [
    ("endpoints=" + ",".join(f"10.0.0.{i}:1@r{i}" for i in range(17)), ["endpoints", "16 regions"]),
    ("endpoints=" + ",".join(f"10.0.{i // 200}.{i % 200}:1" for i in range(257)), ["endpoints", "256"]),
    ("endpoints=unix:/run/t@" + "r" * 64, ["endpoints", "63"]),
    ("hash-load=0.99", ["hash-load"]),
    ("hash-load=1.2.5", ["hash-load"]),
    ("hash-load=nan", ["hash-load"]),
    ("hash-load=", ["hash-load"]),
])
def test_what_no_cluster_would_take_is_refused_as_an_option(text, words):
    with pytest.raises(Refused) as refused:
        Options(text)
    for word in words:
        assert word in str(refused.value)


@pytest.mark.parametrize("text", ["hash-load=1", "hash-load=1.0", "hash-load=100", "strategy=hash&hash-load=1", "near-memory=1",
                                  "endpoints=" + ",".join(f"10.0.0.{i}:1@r{i}" for i in range(16))])
def test_every_option_that_is_taken_opens_a_client(text):
    with Client(text):
        pass


OPENS_WITH_A_COMMA = """
import locale, sys
sys.path[:0] = [sys.argv[1]]
from libterrace import Options
assert locale.setlocale(locale.LC_ALL, "xx_XX") and locale.localeconv()["decimal_point"] == ","
Options("hash-load=1.5").free()
"""


@pytest.mark.skipif(shutil.which("localedef") is None or not os.path.exists("/usr/share/i18n/locales/de_DE"),
                    reason="no sources of locales here")
def test_a_program_that_writes_1_comma_5_opens_a_client(tmp_path):
    subprocess.run(["localedef", "-i", "de_DE", "-f", "UTF-8", str(tmp_path / "xx_XX")], capture_output=True)
    subprocess.run([sys.executable, "-c", OPENS_WITH_A_COMMA, os.path.dirname(libterrace.__file__)],
                   env={**os.environ, "LOCPATH": str(tmp_path)}, check=True)


# --- rooms for errors ---

def room():
    return ctypes.create_string_buffer(b"left from before", libterrace.ERROR_SIZE)


def test_a_room_for_an_error_is_empty_when_nothing_was_wrong(stage):
    node = stage.node()
    with Client(f"endpoints=127.0.0.1:{node.port}", "timeout=10s", "near-memory=8mb") as client:
        client.set("k", "v")
        harness.until(lambda: client.get("k").from_near, what="a copy in L0")
        error, value = room(), libterrace.Value()
        options = libterrace.ReadOptions(error=ctypes.cast(error, ctypes.c_void_p), error_size=len(error))
        assert libterrace.functions.terrace_get(client.pointer, b"k", ctypes.c_size_t(1), ctypes.byref(options), ctypes.byref(value)) == 0
        assert value.from_near == 1 and error.value == b""
        libterrace.functions.terrace_value_done(ctypes.byref(value))


def test_so_it_is_of_options():
    lib, size = libterrace.functions, ctypes.c_size_t(libterrace.ERROR_SIZE)
    options = ctypes.c_void_p(lib.terrace_options_new())
    for call in (lambda error: lib.terrace_options_set(options, b"timeout", b"1s", error, size),
                 lambda error: lib.terrace_options_parse(options, b"terrace://h:1", error, size),
                 lambda error: lib.terrace_options_parse(options, b"", error, size)):
        error = room()
        assert call(error) == 0 and error.value == b""
    lib.terrace_options_free(options)


# --- time ---

def test_who_only_looks_does_not_stop_the_clock(stage):
    node = stage.node()
    with Client(f"endpoints=127.0.0.1:{node.port}", "connect-timeout=10s") as client:
        deadline = time.monotonic() + 20
        while client.endpoints()[0].health != "UP":  # without a pause: only the probe of the client itself can bring it up
            assert time.monotonic() < deadline


def test_who_asks_without_a_pause_is_served_again(stage):
    node = stage.node()
    with Client(f"endpoints=127.0.0.1:{node.port}", "failures-to-down=1&breaker-open=20ms&breaker-most=20ms&fail=closed&timeout=100ms") as client:
        harness.until(lambda: client.ping()[0] == "OK", 20, "it is there")
        node.process.kill()
        harness.until(lambda: client.get("k").status == "UNREACHABLE", 20, "the node is down")
        node.launch()
        deadline = time.monotonic() + 20
        while client.get("k").status != "MISS":  # without a pause: it fails at once, and the probe is the client's own
            assert time.monotonic() < deadline
