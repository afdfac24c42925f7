# SPDX-License-Identifier: BSD-3-Clause
"""normalise -- what two servers may answer differently, each with its reason, brought to a common form.

A rule takes the words of a command and both values (wire.py); it gives both in the form that is compared. What has no
rule here is compared byte for byte.
"""

import wire


def shape(value):
    """The type of a reply only."""
    return type(value).__name__


def is_list(value):
    return isinstance(value, list)


def normal_ttl(args, ours, theirs):
    """Both servers read their own clocks, one after the other: equal within two seconds."""
    del args
    if isinstance(ours, int) and isinstance(theirs, int) and ours > 0 and theirs > 0:
        return (0, 0) if abs(ours - theirs) <= 2 else (ours, theirs)
    return ours, theirs


def normal_pttl(args, ours, theirs):
    """As TTL, in milliseconds."""
    del args
    if isinstance(ours, int) and isinstance(theirs, int) and ours > 0 and theirs > 0:
        return (0, 0) if abs(ours - theirs) <= 2000 else (ours, theirs)
    return ours, theirs


def normal_keys(args, ours, theirs):
    """The order of keys is that of the hash table."""
    del args
    return (sorted(ours), sorted(theirs)) if is_list(ours) and is_list(theirs) else (ours, theirs)


def normal_scan(args, ours, theirs):
    """Order, and cursors in between, are the table's own; with a COUNT above the number of keys one call gives all."""
    if not (is_list(ours) and is_list(theirs) and len(ours) == len(theirs) == 2):
        return ours, theirs
    if args[1:2] == [b"0"] and b"100000" in args:
        return [ours[0], sorted(ours[1])], [theirs[0], sorted(theirs[1])]
    return [shape(part) for part in ours], [shape(part) for part in theirs]


def normal_shape(args, ours, theirs):
    """A random or private value: only its type is compared."""
    del args
    return shape(ours), shape(theirs)


def normal_random_fields(args, ours, theirs):
    """Which fields is chance, also for which: with a count, how many there are and whether values are."""
    del args

    def counted(value):
        return [[shape(part) for part in value]] if is_list(value) else shape(value)
    if isinstance(ours, wire.Error) or isinstance(theirs, wire.Error):
        return ours, theirs
    return counted(ours), counted(theirs)


def normal_object(args, ours, theirs):
    """IDLETIME counts seconds since a moment that differs; REFCOUNT what refers to a value inside of Redis: in a block, the
    command that stored it, too. Here Redis keeps all hashes as lists (STEADY)."""
    if len(args) > 1 and args[1].upper() == b"REFCOUNT" and isinstance(ours, int) and isinstance(theirs, int):
        return 0, 0
    if [ours, theirs] == [b"hashtable", b"listpack"]:
        return theirs, theirs
    if len(args) > 1 and args[1].upper() == b"IDLETIME" and isinstance(ours, int) and isinstance(theirs, int):
        return (0, 0) if abs(ours - theirs) <= 2 else (ours, theirs)
    return ours, theirs


def normal_memory(args, ours, theirs):
    """Bytes of an allocator."""
    del args
    return (0, 0) if isinstance(ours, int) and isinstance(theirs, int) and ours > 0 else (ours, theirs)


def normal_hello(args, ours, theirs):
    """The connection's id."""
    del args

    def without_id(value):
        pairs = list(value) if isinstance(value, wire.Map) else [list(p) for p in zip(value[::2], value[1::2])]
        return shape(value), [pair for pair in pairs if pair[0] != b"id"]
    return (without_id(ours), without_id(theirs)) if is_list(ours) and is_list(theirs) else (ours, theirs)


def normal_client(args, ours, theirs):
    """ID, and the line that tells address, descriptor and buffers: its fields' names are compared."""
    kind = args[1].upper() if len(args) > 1 else b""
    if kind == b"ID" and len(args) == 2:
        return shape(ours), shape(theirs)
    if kind in (b"INFO", b"LIST") and not isinstance(theirs, wire.Error):
        return field_names(ours), field_names(theirs)
    return ours, theirs


def field_names(text):
    return shape(text), [word.split(b"=")[0] for word in bytes(text).split()]


def normal_command(args, ours, theirs):
    """How many commands there are, and in which order: that of a hash table."""
    kind = args[1].upper() if len(args) > 1 else b""
    every = kind in (b"INFO", b"DOCS") and len(args) == 2
    if (every or kind in (b"COUNT", b"LIST", b"")) and not isinstance(theirs, wire.Error):
        return shape(ours), shape(theirs)
    return ours, theirs


def normal_config(args, ours, theirs):
    """Each server has settings of its own: the type of the answer is compared."""
    if len(args) > 2 and args[1].upper() == b"GET" and not isinstance(theirs, wire.Error):
        return shape(ours), shape(theirs)
    return ours, theirs


def normal_set(args, ours, theirs):
    """The order of a set of words is that of the hash table."""
    del args
    if is_list(ours) and is_list(theirs):
        return [type(ours), sorted(ours)], [type(theirs), sorted(theirs)]
    return ours, theirs


def normal_scan_of_key(args, ours, theirs):
    """As SCAN; those that are kept as a list keep its order, and have one cursor."""
    if args[0].upper() == b"SSCAN" and is_list(ours) and is_list(theirs) and len(ours) == len(theirs) == 2:
        return [ours[0], sorted(ours[1])], [theirs[0], sorted(theirs[1])]
    return ours, theirs


def normal_scan_of_zset(args, ours, theirs):
    """SORT makes a hash table of a sorted set, for good: its order is random."""
    del args
    if is_list(ours) and is_list(theirs) and len(ours) == len(theirs) == 2 and is_list(ours[1]) and is_list(theirs[1]):
        return [[pages[0], sorted(zip(pages[1][::2], pages[1][1::2]))] for pages in (ours, theirs)]
    return ours, theirs


def normal_sort(args, ours, theirs):
    """Those that weigh the same, as all do whose weight is missing, stay as they were found: of a sorted set, in the order of a
    hash table. By numbers they would come in the order of their bytes. With a LIMIT, chance says which are left."""
    upper = [word.upper() for word in args[1:]]
    by_key = any(word == b"BY" and b"*" in pattern for word, pattern in zip(upper, upper[1:]))
    if not (by_key and b"ALPHA" in upper and is_list(ours) and is_list(theirs)):
        return ours, theirs
    if b"LIMIT" in upper:
        return [type(ours), len(ours)], [type(theirs), len(theirs)]
    return [type(ours), *sorted(ours, key=repr)], [type(theirs), *sorted(theirs, key=repr)]


def structure(value):
    """What a value is made of; numbers and IDs of moments left out."""
    if isinstance(value, list):
        return [type(value).__name__, *map(structure, value)]
    return "number" if isinstance(value, int) else value


def normal_pending(args, ours, theirs):
    """How long an entry has been idle."""
    del args
    return structure(ours), structure(theirs)


def normal_stream_info(args, ours, theirs):
    """CONSUMERS and FULL tell when a consumer was seen and an entry delivered."""
    if len(args) > 2 and (args[1].upper() == b"CONSUMERS" or len(args) > 3):
        return structure(ours), structure(theirs)
    return ours, theirs


def normal_dump(args, ours, theirs):
    """That of a stream with groups has moments in it."""
    del args
    streams = (b"\x0f", b"\x13", b"\x15")
    if isinstance(ours, bytes) and isinstance(theirs, bytes) and ours[:1] in streams and ours[:1] == theirs[:1]:
        return ours[:1], theirs[:1]
    return ours, theirs


def deep_sorted(value):
    return [type(value).__name__, *sorted(map(deep_sorted, value), key=repr)] if isinstance(value, list) else value


def normal_function(args, ours, theirs):
    """The functions of a library are those of a hash table."""
    if len(args) > 1 and args[1].upper() in (b"LIST", b"DUMP"):
        return (deep_sorted(ours), deep_sorted(theirs)) if is_list(ours) else (shape(ours), shape(theirs))
    return ours, theirs


def normal_random(args, ours, theirs):
    """Random members: how many."""
    del args
    return ([type(ours), len(ours)], [type(theirs), len(theirs)]) if is_list(ours) and is_list(theirs) else (shape(ours), shape(theirs))


NORMALISERS = {
    b"TTL": normal_ttl, b"EXPIRETIME": normal_ttl, b"PTTL": normal_pttl, b"PEXPIRETIME": normal_pttl,
    b"KEYS": normal_keys, b"SCAN": normal_scan, b"RANDOMKEY": normal_shape, b"TIME": normal_shape,
    b"OBJECT": normal_object, b"HRANDFIELD": normal_random_fields, b"MEMORY": normal_memory, b"HELLO": normal_hello,
    b"CLIENT": normal_client,
    b"COMMAND": normal_command, b"CONFIG": normal_config, b"DUMP": normal_dump, b"FUNCTION": normal_function,
    b"SMEMBERS": normal_set, b"SINTER": normal_set, b"SUNION": normal_set, b"SDIFF": normal_set, b"SPOP": normal_set,
    b"SSCAN": normal_scan_of_key, b"ZSCAN": normal_scan_of_zset, b"SORT": normal_sort, b"SORT_RO": normal_sort,
    b"SRANDMEMBER": normal_random,
    b"ZRANDMEMBER": normal_random, b"XPENDING": normal_pending, b"XINFO": normal_stream_info, b"LASTSAVE": normal_shape,
}


def same_value(args, ours, theirs):
    """The two values are what `args` may answer on two servers."""
    normalise = NORMALISERS.get(args[0].upper())
    if normalise:
        ours, theirs = normalise(args, ours, theirs)
    return type(ours) is type(theirs) and repr(ours) == repr(theirs)


def same_block(queue, ours, theirs):
    """The answers of EXEC, each as its own command's."""
    if not (isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs) == len(queue)):
        return type(ours) is type(theirs) and repr(ours) == repr(theirs)
    return all(same_value(words, mine, other) for words, mine, other in zip(queue, ours, theirs))
