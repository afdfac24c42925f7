# SPDX-License-Identifier: BSD-3-Clause
"""What a Django application does with django-redis. WRITE_PORT, READ_PORT: where the two servers of the application are."""

import os
import sys
import time

import django
from django.conf import settings

OPTIONS = {"CLIENT_CLASS": "django_redis.client.DefaultClient"}


def cache_at(port, prefix, **options):
    return {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": f"redis://127.0.0.1:{os.environ[port]}/1",
            "KEY_PREFIX": prefix, "OPTIONS": {**OPTIONS, **options}}


settings.configure(
    CACHES={"default": cache_at("WRITE_PORT", "app"), "reader": cache_at("READ_PORT", "app"),
            "zipped": cache_at("WRITE_PORT", "zip", COMPRESSOR="django_redis.compressors.zlib.ZlibCompressor",
                               SERIALIZER="django_redis.serializers.json.JSONSerializer"),
            "hiredis": cache_at("WRITE_PORT", "app", PARSER_CLASS="redis.connection.HiredisParser")},
    SESSION_ENGINE="django.contrib.sessions.backends.cache", SESSION_CACHE_ALIAS="default", SECRET_KEY="secret",
    INSTALLED_APPS=["django.contrib.sessions"], USE_TZ=True)
django.setup()

from django.contrib.sessions.backends.cache import SessionStore  # noqa: E402  (needs the settings)
from django.core.cache import caches  # noqa: E402
from django_redis import get_redis_connection  # noqa: E402

writer, reader = caches["default"], caches["reader"]


def sees(condition):
    """At once, or, from another node, within its bound."""
    ends_at = time.monotonic() + (2 if os.environ["KIND"] == "pair" else 0)
    while not condition():
        assert time.monotonic() < ends_at, "the reader does not show it"
        time.sleep(0.005)


def values():
    value = {"a": [1, 2.5, None], "b": "grün"}
    assert writer.set("value", value, timeout=100)
    sees(lambda: reader.get("value") == value)
    assert reader.get("none", "default") == "default" and reader.has_key("value") and "none" not in reader
    assert 98 <= reader.ttl("value") <= 100 and reader.pttl("value") > 98_000
    assert writer.touch("value", 50)
    sees(lambda: reader.ttl("value") <= 50)
    assert writer.persist("value")
    sees(lambda: reader.ttl("value") is None)
    assert writer.expire("value", timeout=5) and writer.delete("value")
    sees(lambda: reader.get("value") is None)


def numbers():
    writer.set("n", 5)
    assert writer.incr("n") == 6 and writer.decr("n", 10) == -4
    sees(lambda: reader.get("n") == -4)
    try:
        writer.incr("no such number")
        raise AssertionError("incr of nothing")
    except ValueError:
        pass
    assert writer.add("added", 1, timeout=60) and not reader.add("added", 2, timeout=60)
    assert writer.get_or_set("computed", lambda: 42, 60) == 42 and writer.get_or_set("computed", lambda: 43, 60) == 42
    assert writer.incr_version("computed") == 2 and writer.get("computed", version=2) == 42


def many():
    data = {f"many:{i}": i for i in range(50)}
    writer.set_many(data, timeout=60)
    sees(lambda: reader.get_many(data) == data)
    assert writer.delete_many(list(data)[:10]) == 10
    sees(lambda: len(reader.get_many(data)) == 40)


def patterns():
    writer.set_many({f"foo:{i}": i for i in range(30)})
    assert sorted(reader.keys("foo:1?")) == [f"foo:1{i}" for i in range(10)]
    assert len(list(reader.iter_keys("foo:*", itersize=7))) == 30
    assert writer.delete_pattern("foo:1*", itersize=5) == 11
    sees(lambda: reader.get("foo:11") is None and reader.get("foo:2") == 2)
    assert writer.delete_pattern("foo:*") == 19


def locks():
    with writer.lock("lock", timeout=20):
        assert not reader.lock("lock", timeout=20).acquire(blocking=False)
    assert reader.lock("lock", timeout=20).acquire(blocking=False)


def sessions():
    session = SessionStore()
    session["user"] = 7
    session.save()
    again = SessionStore(session.session_key)
    assert again["user"] == 7 and SessionStore().exists(session.session_key)
    again["user"] = 8
    again.save()
    old = session.session_key
    again.cycle_key()
    assert SessionStore(again.session_key)["user"] == 8 and not SessionStore().exists(old)
    again.flush()
    assert SessionStore(session.session_key).get("user") is None


def serializers():
    value = {"text": "long " * 1000, "n": 1}
    caches["zipped"].set("zipped", value)
    assert caches["zipped"].get("zipped") == value
    writer.set("both", [1, 2])
    assert caches["hiredis"].get("both") == [1, 2]


def raw_connection():
    raw = get_redis_connection("default")
    assert raw.hset("raw", mapping={"a": 1}) == 1 and raw.hgetall("raw") == {b"a": b"1"}
    with raw.pipeline() as pipe:
        assert pipe.set("x", 1).incr("x").execute() == [True, 2]


def clear():
    writer.set("gone", 1)
    writer.clear()
    sees(lambda: reader.get("gone") is None)
    assert writer.set("after", 1) and writer.get("after") == 1


for flow in values, numbers, many, patterns, locks, sessions, serializers, raw_connection, clear:
    flow()
    print("ok", flow.__name__)
sys.exit(0)
