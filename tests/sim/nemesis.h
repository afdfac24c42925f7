/* SPDX-License-Identifier: BSD-3-Clause */
/* nemesis.h -- what goes wrong, when, and for how long: drawn from the seed. */
#ifndef TERRACE_TESTS_SIM_NEMESIS_H
#define TERRACE_TESTS_SIM_NEMESIS_H

#include "tests/sim/world.h"

#define NEMESIS_FAULTS(FAULT)                                                                     \
    FAULT(pause, "a node stops and goes on later")                                                \
    FAULT(stall, "one thread of a node stops")                                                    \
    FAULT(slow, "a connection becomes slow")                                                      \
    FAULT(hole, "one direction of a connection carries nothing for a while")                      \
    FAULT(cut, "a node reaches nobody for a while")                                               \
    FAULT(reset, "a connection is reset")                                                         \
    FAULT(half, "Redis closes a connection in order")                                             \
    FAULT(doze, "Redis does nothing for a while")                                                 \
    FAULT(early, "Redis answers in the middle of its cycles, and announces at the end")           \
    FAULT(restart, "Redis comes back with all, some or none of its data")                         \
    FAULT(unsaid, "Redis dies between a write and what it would have told of it, and comes back") \
    FAULT(promote, "a replica becomes the master, the old one answers READONLY and stays")        \
    FAULT(crash, "Redis dies and a replica becomes the master")                                   \
    FAULT(split, "Redis loses its replica, stops writing, and the replica becomes the master")    \
    FAULT(refuse, "Redis refuses to write: OOM, NOREPLICAS")                                      \
    FAULT(flush, "a stranger's FLUSHALL or FLUSHDB")                                              \
    FAULT(meddle, "somebody deletes terrace:seq or terrace:meta")                                 \
    FAULT(attach, "the first replica comes, the replication id changes, nothing is lost")         \
    FAULT(frames, "frames on the bus are lost, alone or with what is around them, or repeated")   \
    FAULT(forge, "strangers publish nonsense on the channels")                                    \
    FAULT(kill, "a node is killed and another takes its place")                                   \
    FAULT(leave, "a node ends in order and another takes its place")                              \
    FAULT(save, "a node writes down what is in L1; one that takes its place begins with it")      \
    FAULT(deaf, "announcements are lost inside a living connection")                              \
    FAULT(flip, "a byte on the bus is changed")                                                   \
    FAULT(trim, "the log of managed writes loses its oldest entries, or all")

enum fault {
#define FAULT(name, text) FAULT_##name,
    NEMESIS_FAULTS(FAULT)
#undef FAULT
    FAULT_COUNT
};

/* What is drawn from unless somebody asks for others. What is lost inside a living connection is found by comparing
 * with peers, so those two want a run of their own, with nodes that live. */
#define NEMESIS_DEFAULT                                               \
    ((UINT64_C(1) << FAULT_COUNT) - 1 - (UINT64_C(1) << FAULT_deaf) - \
     (UINT64_C(1) << FAULT_flip) - (UINT64_C(1) << FAULT_trim))
/* With --managed: what the log can tell of, and what it cannot. Nobody forges frames: numbers prove nothing about who
 * wrote them. */
#define NEMESIS_MANAGED \
    ((NEMESIS_DEFAULT | UINT64_C(1) << FAULT_trim) - (UINT64_C(1) << FAULT_forge))

/* Redis stays where it is, writes, and answers as soon as ever: nobody's request fails for these. */
#define NEMESIS_GENTLE \
    (UINT64_C(1) << FAULT_flush | UINT64_C(1) << FAULT_meddle | UINT64_C(1) << FAULT_forge)

extern const char *const nemesis_names[FAULT_COUNT];

void nemesis_start(struct world *world);
void nemesis_heal(struct world *world); /* everything, for good */
void nemesis_free(struct nemesis *nemesis);

#endif
