# SPDX-License-Identifier: BSD-3-Clause
"""libterrace -- the C client for journeys, by ctypes over build/release/libterrace.so.

    with Client(f"endpoints=127.0.0.1:{node.port}", "timeout=2s") as client:
        client.set("k", "v")
        found = client.get("k")
        found.status, found.data, found.age_ms, found.reason     # "OK", b"v", 3, "NONE"

Every call returns what the library says; nothing is raised but for options that are refused (Refused). Python's lock is not held
inside a call, so threads of Python are threads of the library's.
"""

import collections
import ctypes
import os
import pathlib
from ctypes import POINTER, byref, c_char, c_char_p, c_double, c_int, c_int64, c_size_t, c_uint, c_uint64, c_void_p

ROOT = pathlib.Path(__file__).resolve().parents[2]
PATH = os.environ.get("LIBTERRACE", str(ROOT / "build" / "release" / "libterrace.so"))
ERROR_SIZE = 256

CONTRACTS = {None: 0, "MAXSTALE": 1, "FRESH": 2, "ANY": 3}
TARGETS = {"KEY": 1, "TAG": 2, "PREFIX": 3, "PATTERN": 4, "ALL": 5}

Found = collections.namedtuple("Found", "status data age_ms ttl_ms reason from_near token error")
Done = collections.namedtuple("Done", "status seq error")
Endpoint = collections.namedtuple("Endpoint", "address region health breaker_open is_current_region weight latency_us inflight "
                                              "connections requests failures since_ms")
HealthEvent = collections.namedtuple("HealthEvent", "at_ms address region what")
HEALTH = ["UNKNOWN", "UP", "DOWN", "DRAINING"]


class Refused(Exception):
    """The text says which option, and what was expected."""


class ReadOptions(ctypes.Structure):
    _fields_ = [("timeout_ms", c_int64), ("contract", c_int), ("max_stale_ms", c_int64), ("atleast_seq", c_uint64), ("soft_ms", c_int64),
                ("spare_ms", c_int64), ("no_near", c_int), ("hedge_ms", c_int64), ("affinity", c_char_p), ("traceparent", c_char_p),
                ("error", c_void_p), ("error_size", c_size_t), ("reserved", c_uint64 * 4)]


class WriteOptions(ctypes.Structure):
    _fields_ = [("timeout_ms", c_int64), ("ttl_ms", c_int64), ("swr_ms", c_int64), ("sie_ms", c_int64), ("tags", POINTER(c_char_p)),
                ("tag_count", c_size_t), ("condition", c_int), ("want_seq", c_int), ("retry_unknown", c_int), ("affinity", c_char_p),
                ("traceparent", c_char_p), ("error", c_void_p), ("error_size", c_size_t), ("reserved", c_uint64 * 4)]


class Token(ctypes.Structure):
    _fields_ = [("bytes", c_char * 16), ("size", c_size_t), ("private", c_uint64)]


class Value(ctypes.Structure):
    _fields_ = [("data", c_void_p), ("size", c_size_t), ("age_ms", c_int64), ("ttl_ms", c_int64), ("reason", c_int), ("from_near", c_int),
                ("token", Token), ("private", c_void_p * 2)]


class Pair(ctypes.Structure):
    _fields_ = [("key", c_char_p), ("key_size", c_size_t), ("status", c_int), ("value", Value)]


class Invalidation(ctypes.Structure):
    _fields_ = [("target", c_int), ("words", POINTER(c_char_p)), ("word_sizes", POINTER(c_size_t)), ("count", c_size_t), ("match_all", c_int),
                ("soft", c_int), ("dry_run", c_int), ("sync_ms", c_int64), ("ns", c_char_p), ("timeout_ms", c_int64), ("reserved", c_uint64 * 4)]


class Invalidated(ctypes.Structure):
    _fields_ = [("seq", c_uint64), ("dropped", c_uint64)]


class EndpointInfo(ctypes.Structure):
    _fields_ = [("address", c_char * 128), ("region", c_char * 64), ("health", c_int), ("breaker_open", c_int), ("is_current_region", c_int),
                ("weight", c_double), ("latency_us", c_int64), ("inflight", c_uint), ("connections", c_uint), ("requests", c_uint64),
                ("failures", c_uint64), ("since_ms", c_int64), ("reserved", c_uint64 * 4)]


class EventInfo(ctypes.Structure):
    _fields_ = [("at_ms", c_int64), ("address", c_char * 128), ("region", c_char * 64), ("what", c_char * 96), ("reserved", c_uint64 * 4)]


COUNTERS = ("near_hits near_misses near_stale near_fills near_refused near_dropped near_doubts near_items near_bytes "
            "requests answers errors retries hedges hedges_won failovers unknown deadline unreachable connects disconnects bytes_in bytes_out "
            "loads loads_shared loads_stale").split()


class Counters(ctypes.Structure):
    _fields_ = [(name, c_uint64) for name in COUNTERS] + [("reserved", c_uint64 * 16)]


class OptionInfo(ctypes.Structure):
    _fields_ = [("name", c_char_p), ("preset", c_char_p), ("summary", c_char_p)]


WATCH_FN = ctypes.CFUNCTYPE(None, c_void_p, c_void_p, c_size_t)


class WarmJob(ctypes.Structure):
    _fields_ = [("source", c_int), ("text", c_char_p), ("n", c_uint64), ("keys", POINTER(c_char_p)), ("key_sizes", POINTER(c_size_t)),
                ("key_count", c_size_t), ("db", c_int), ("priority", c_int), ("rate", c_uint64), ("byte_rate", c_uint64), ("mode", c_int),
                ("target", c_int), ("deadline_ms", c_int64), ("dry_run", c_int), ("schedule", c_char_p), ("before_expiry_percent", c_int),
                ("json", c_char_p), ("timeout_ms", c_int64), ("reserved", c_uint64 * 8)]


class WarmNode(ctypes.Structure):
    _fields_ = [("node", c_char * 17), ("address", c_char * 64)] + [(name, c_uint64) for name in "done loaded skipped absent failed bytes".split()] + [
        ("rate", c_double), ("yield", c_double), ("reserved", c_uint64 * 4)]


class WarmFailure(ctypes.Structure):
    _fields_ = [("key", c_void_p), ("key_size", c_size_t), ("why", c_char_p), ("attempts", c_uint), ("reserved", c_uint64 * 2)]


class WarmStatus(ctypes.Structure):
    _fields_ = ([("id", c_uint64), ("state", c_int)] + [(name, c_char_p) for name in "source mode target error schedule".split()] +
                [(name, c_int) for name in "db priority effective_priority dry_run".split()] + [("rate_limit", c_uint64), ("total", c_int64)] +
                [(name, c_uint64) for name in "processed loaded skipped absent failed bytes".split()] + [("rate", c_double), ("eta_ms", c_int64)] +
                [(f"{name}_at_ms", c_int64) for name in "submitted started ended deadline next".split()] +
                [("prevented", c_uint64), ("nodes", POINTER(WarmNode)), ("node_count", c_size_t), ("failures", POINTER(WarmFailure)),
                 ("failure_count", c_size_t), ("reserved", c_uint64 * 8)])


class WarmList(ctypes.Structure):
    _fields_ = [("jobs", POINTER(WarmStatus)), ("count", c_size_t), ("memory", c_void_p), ("reserved", c_uint64 * 4)]


class HotKey(ctypes.Structure):
    _fields_ = [("key", c_void_p), ("key_size", c_size_t), ("db", c_int), ("ns", c_char_p), ("per_s", c_double), ("error_per_s", c_double),
                ("count", c_uint64), ("error", c_uint64), ("heat", c_uint), ("reserved", c_uint64 * 4)]


class HotList(ctypes.Structure):
    _fields_ = [("keys", POINTER(HotKey)), ("count", c_size_t), ("memory", c_void_p), ("reserved", c_uint64 * 4)]


WARM_SOURCES = {name: i for i, name in enumerate("keys pattern tag hot set zset file log snapshot".split(), 1)}
WARM_STATES = "other queued running paused done failed cancelled standing".split()


def _fields(struct):
    """{name: value} of a struct's numbers and texts."""
    values = {name: getattr(struct, name) for name, *_ in struct._fields_}
    return {name: value.decode(errors="replace") if isinstance(value, bytes) else value for name, value in values.items()
            if isinstance(value, (int, float, bytes))}


def _load():
    if not pathlib.Path(PATH).exists():
        raise AssertionError(f"no libterrace at {PATH}: run make")
    functions = ctypes.CDLL(PATH)
    functions.terrace_options_new.restype = c_void_p
    functions.terrace_open.restype = c_void_p
    functions.terrace_status_name.restype = c_char_p
    functions.terrace_reason_name.restype = c_char_p
    functions.terrace_version.restype = c_char_p
    functions.terrace_warm_state_name.restype = c_char_p
    functions.terrace_endpoints.restype = c_size_t
    functions.terrace_health_history.restype = c_size_t
    return functions


functions = _load()


def _bytes(word):
    return word.encode() if isinstance(word, str) else bytes(word)


def _word(word):
    return None if word is None else _bytes(word)


def status_name(number):
    return functions.terrace_status_name(number).decode()


def reason_name(number):
    return functions.terrace_reason_name(number).decode()


def options_list():
    """[(name, preset, summary)]"""
    found, info = [], OptionInfo()
    while functions.terrace_options_list(c_size_t(len(found)), byref(info)):
        found.append((info.name.decode(), info.preset.decode(), info.summary.decode()))
    return found


class Options:
    """From texts as terrace_options_parse takes them; names that Python allows may also be keywords (near_memory="1mb")."""

    def __init__(self, *texts, **named):
        self.pointer = c_void_p(functions.terrace_options_new())
        try:
            for text in texts:
                self._check(functions.terrace_options_parse, _bytes(text))
            for name, value in named.items():
                self._check(functions.terrace_options_set, name.replace("_", "-").encode(), _bytes(str(value)))
        except Refused:
            self.free()
            raise

    def _check(self, function, *words):
        error = ctypes.create_string_buffer(ERROR_SIZE)
        if function(self.pointer, *words, error, c_size_t(ERROR_SIZE)) != 0:
            raise Refused(error.value.decode())

    def free(self):
        functions.terrace_options_free(self.pointer)
        self.pointer = None


class Client:
    """A struct terrace."""

    def __init__(self, *texts, **named):
        options = Options(*texts, **named)
        error = ctypes.create_string_buffer(ERROR_SIZE)
        self.pointer = c_void_p(functions.terrace_open(options.pointer, error, c_size_t(ERROR_SIZE)))
        options.free()
        if not self.pointer:
            raise Refused(error.value.decode())

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.close()

    def close(self):
        if self.pointer:
            pointer, self.pointer = self.pointer, None
            functions.terrace_close(pointer)

    # --- reads ---

    @staticmethod
    def _found(status, value, error=None):
        data = None if value.data is None else ctypes.string_at(value.data, value.size)
        found = Found(status_name(status), data, value.age_ms, value.ttl_ms, reason_name(value.reason), bool(value.from_near),
                      Token.from_buffer_copy(value.token), error.value.decode(errors="replace") if error else "")
        functions.terrace_value_done(byref(value))
        return found

    @staticmethod
    def _read_options(contract=None, error=None, **named):
        named = {name: _word(value) if name in ("affinity", "traceparent") else value for name, value in named.items()}
        return ReadOptions(contract=CONTRACTS[contract], error=ctypes.cast(error, c_void_p), error_size=ERROR_SIZE, **named)

    def _read(self, function, key, named):
        key, value, error = _bytes(key), Value(), ctypes.create_string_buffer(ERROR_SIZE)
        status = function(self.pointer, key, c_size_t(len(key)), byref(self._read_options(error=error, **named)), byref(value))
        return self._found(status, value, error)

    def get(self, key, **named):
        return self._read(functions.terrace_get, key, named)

    def fetch(self, key, **named):
        return self._read(functions.terrace_fetch, key, named)

    def mget(self, keys, **named):
        """(status, [Found])"""
        pairs = (Pair * len(keys))()
        for pair, key in zip(pairs, map(_bytes, keys)):
            pair.key, pair.key_size = key, len(key)
        error = ctypes.create_string_buffer(ERROR_SIZE)
        status = functions.terrace_mget(self.pointer, pairs, c_size_t(len(keys)), byref(self._read_options(error=error, **named)))
        return status_name(status), [self._found(pair.status, pair.value) for pair in pairs]

    # --- writes ---

    @staticmethod
    def _write_options(error, tags=(), **named):
        words = (c_char_p * max(1, len(tags)))(*map(_bytes, tags))
        named = {name: _word(value) if name in ("affinity", "traceparent") else value for name, value in named.items()}
        return WriteOptions(tags=words, tag_count=len(tags), error=ctypes.cast(error, c_void_p), error_size=ERROR_SIZE, **named)

    def _write(self, function, words, named, has_seq=True):
        error, seq = ctypes.create_string_buffer(ERROR_SIZE), c_uint64(0)
        options = self._write_options(error, **named)
        status = function(self.pointer, *words, byref(options), *([byref(seq)] if has_seq else []))
        return Done(status_name(status), seq.value, error.value.decode(errors="replace"))

    def set(self, key, data, **named):
        key, data = _bytes(key), _bytes(data)
        return self._write(functions.terrace_set, (key, c_size_t(len(key)), data, c_size_t(len(data))), named)

    def delete(self, key, **named):
        key = _bytes(key)
        return self._write(functions.terrace_delete, (key, c_size_t(len(key))), named, has_seq=False)

    def fill(self, key, token, data, **named):
        key, data = _bytes(key), _bytes(data)
        return self._write(functions.terrace_fill, (key, c_size_t(len(key)), byref(token), data, c_size_t(len(data))), named)

    def fail(self, key, token, negative_ms=0):
        key = _bytes(key)
        return status_name(functions.terrace_fail(self.pointer, key, c_size_t(len(key)), byref(token), c_int64(negative_ms)))

    def invalidate(self, target, *words, match_all=False, soft=False, dry_run=False, sync_ms=0, ns=None, timeout_ms=0):
        """(status, seq, dropped, error)"""
        words = [_bytes(word) for word in words]
        what = Invalidation(target=TARGETS[target], words=(c_char_p * max(1, len(words)))(*words),
                            word_sizes=(c_size_t * max(1, len(words)))(*map(len, words)), count=len(words), match_all=match_all, soft=soft,
                            dry_run=dry_run, sync_ms=sync_ms, ns=_word(ns), timeout_ms=timeout_ms)
        result, error = Invalidated(), ctypes.create_string_buffer(ERROR_SIZE)
        status = functions.terrace_invalidate(self.pointer, byref(what), byref(result), error, c_size_t(ERROR_SIZE))
        return status_name(status), result.seq, result.dropped, error.value.decode(errors="replace")

    # --- the rest ---

    def ping(self, timeout_ms=0):
        """(status, error)"""
        error = ctypes.create_string_buffer(ERROR_SIZE)
        status = functions.terrace_ping(self.pointer, c_int64(timeout_ms), error, c_size_t(ERROR_SIZE))
        return status_name(status), error.value.decode(errors="replace")

    def command(self, *words, timeout_ms=0):
        """(status, RESP3 of the reply or None, error)"""
        words = [_bytes(word) for word in words]
        texts, sizes = (c_char_p * max(1, len(words)))(*words), (c_size_t * max(1, len(words)))(*map(len, words))
        value, error = Value(), ctypes.create_string_buffer(ERROR_SIZE)
        status = functions.terrace_command(self.pointer, texts, sizes, c_size_t(len(words)), c_int64(timeout_ms), byref(value), error,
                                         c_size_t(ERROR_SIZE))
        found = self._found(status, value, error)
        return found.status, found.data, found.error

    def _warm(self, function, *words):
        """(status, error)"""
        error = ctypes.create_string_buffer(ERROR_SIZE)
        status = function(self.pointer, *words, error, c_size_t(ERROR_SIZE))
        return status_name(status), error.value.decode(errors="replace")

    def warm_submit(self, source=None, text=None, keys=(), register=False, **named):
        """(status, id, error)"""
        keys = [_bytes(key) for key in keys]
        job = WarmJob(source=WARM_SOURCES.get(source, 0), text=_word(text), keys=(c_char_p * max(1, len(keys)))(*keys),
                      key_sizes=(c_size_t * max(1, len(keys)))(*map(len, keys)), key_count=len(keys),
                      **{name: _bytes(value) if isinstance(value, str) else value for name, value in named.items()})
        number = c_uint64(77)
        function = functions.terrace_warm_register if register else functions.terrace_warm_submit
        status, error = self._warm(function, byref(job), byref(number))
        return status, number.value, error

    def _jobs(self, function, *words):
        """(status, jobs as dicts, error)"""
        found = WarmList()
        status, error = self._warm(function, *words, c_int64(0), byref(found))
        jobs = []
        for job in found.jobs[:found.count]:
            nodes = [_fields(node) for node in job.nodes[:job.node_count]]
            failures = [{**_fields(row), "key": ctypes.string_at(row.key, row.key_size)} for row in job.failures[:job.failure_count]]
            jobs.append({**_fields(job), "state": WARM_STATES[job.state], "nodes": nodes, "failures": failures})
        functions.terrace_warm_list_done(byref(found))
        assert not found.memory and found.count == 0
        return status, jobs, error

    def warm_list(self):
        return self._jobs(functions.terrace_warm_list)

    def warm_status(self, number):
        return self._jobs(functions.terrace_warm_status, c_uint64(number))

    def warm_change(self, what, number, *words):
        """pause, resume, cancel, setrate: (status, error)"""
        return self._warm(getattr(functions, f"terrace_warm_{what}"), c_uint64(number), *map(c_uint64, words), c_int64(0))

    def hot(self, count=0):
        """(status, keys as dicts, error)"""
        found = HotList()
        status, error = self._warm(functions.terrace_hot, c_uint(count), c_int64(0), byref(found))
        keys = [{**_fields(key), "key": ctypes.string_at(key.key, key.key_size)} for key in found.keys[:found.count]]
        functions.terrace_hot_done(byref(found))
        return status, keys, error

    def counters(self):
        found = Counters()
        functions.terrace_counters(self.pointer, byref(found))
        return {name: getattr(found, name) for name in COUNTERS}

    def endpoints(self, room=256):
        infos = (EndpointInfo * room)()
        count = functions.terrace_endpoints(self.pointer, infos, c_size_t(room))
        return [Endpoint(info.address.decode(), info.region.decode(), HEALTH[info.health], bool(info.breaker_open),
                         bool(info.is_current_region), info.weight, info.latency_us, info.inflight, info.connections, info.requests,
                         info.failures, info.since_ms) for info in infos[:count]]

    def history(self, room=256):
        infos = (EventInfo * room)()
        count = functions.terrace_health_history(self.pointer, infos, c_size_t(room))
        return [HealthEvent(info.at_ms, info.address.decode(), info.region.decode(), info.what.decode()) for info in infos[:count]]

    def use_region(self, region, force=False):
        return status_name(functions.terrace_use_region(self.pointer, _word(region), int(force)))

    def watch(self, prefix, on_change):
        """`on_change` is called with a key, or None: any may have changed."""
        return Watch(self, _bytes(prefix), on_change)


class Watch:
    def __init__(self, client, prefix, on_change):
        self.function = WATCH_FN(lambda _, key, size: on_change(None if key is None else ctypes.string_at(key, size)))
        self.pointer = c_void_p()
        self.status = status_name(functions.terrace_watch_begin(client.pointer, prefix, c_size_t(len(prefix)), self.function, None,
                                                              byref(self.pointer)))

    def end(self):
        if self.pointer:
            functions.terrace_watch_end(self.pointer)
            self.pointer = c_void_p()
