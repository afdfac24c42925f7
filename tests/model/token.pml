/* SPDX-License-Identifier: BSD-3-Clause */
/* token.pml -- who may install what into L1, and when a session may read it (COHERENCE T1-T3, T8, the barrier).
 *
 * Modelled: one key; one node with three links to Redis (two workers with a session each, and the background, which
 * revalidates suspects); a stranger who writes past the node; the bus, a FIFO that may be lost. A command runs at Redis
 * at any time after it was sent. Redis announces all writes of one event-loop cycle as ONE message at the end of the
 * cycle, and answers after that: while `dirty`, only Redis moves. A session has one call under way; it writes, reads,
 * joins the other's read, reads alone, or runs a script whose keys nobody knows. Reads may fail; entries are evicted.
 *
 * Abstracted: time (the fence closes whenever it likes while the bus is down, and opens with the first echo); values
 * are versions, 1, 2, 3 ...; 0 is nothing. An entry under a claim is what the claim keeps aside. A claim that a change
 * of generation ended gives back what it kept: more than the node does. Pipelines of one session: the node makes a read
 * wait for an earlier write (call.h, WAIT_WRITE), so they are no other than calls one by one.
 *
 * Proved: I2 (at rest L1 equals L2 or may not be served), I3 and I4 (no session gets what is older than it had seen or
 * written when it called), I5 and I10 for this key, and that nobody waits for ever.
 *
 * Switches, each a rule left out: NO_TOKEN, NO_LANDING_RULE, LANDING_KEEPS_ENTRY, WRITE_INSTALLS, OWN_ECHO_DROPPED,
 * NO_END_AT_ANSWER, NO_END_AT_SEND, NO_FLOOR, GENERATION_ONCE, STAMP_AT_LANDING, NO_BARRIER, BARRIER_ENDS_WITH_BUS,
 * ANY_PONG. */
#ifndef OPS
#define OPS 2 /* calls of each session */
#endif
#ifndef STRANGER
#define STRANGER 2 /* writes of the stranger */
#endif
#ifndef LOSSES
#define LOSSES 1 /* of the bus */
#endif
#ifndef FAILS
#define FAILS 1 /* reads that time out */
#endif
#ifndef BUS_MAX
#define BUS_MAX 10
#endif

#define SESSIONS   2
#define LINKS      3
#define BACKGROUND 2 /* its link */
#define NONE       3 /* no link */

/* --- Redis and the wires --- */
byte l2 = 1;             /* the newest version */
bit dirty, dirty_own;    /* this cycle changed the key; one of the changes was this node's */
bit tracked = 1;         /* Redis announces to our bus */
mtype = { CHANGED, CHANGED_OWN, CONFIRMED, ECHO, PONG };
chan bus = [BUS_MAX] of { mtype, byte }; /* PONG: whose */
bit greeting, beat;      /* on their way to Redis */
byte ping[SESSIONS];        /* its nonce */

mtype = { IDLE, READ, WRITE, SCRIPT_READ, SCRIPT_WRITE };
mtype sent[LINKS] = IDLE; /* what the link carries */
byte answer[LINKS];       /* 0: has not run yet */
bit before_floor[LINKS];  /* issued before the floor rose last */

/* --- the node --- */
byte entry;               /* L1's, 0: none */
bit suspect;              /* stamped before the floor */
byte claim = NONE;        /* the link whose read holds the token */
bit fence = 1;            /* open */
bit may_install = 1;
mtype = { UP, DOWN, ASKED };
mtype bus_is = UP;

/* --- sessions --- */
byte seen[SESSIONS] = 1;
byte waits[SESSIONS] = NONE; /* for this link */
byte owes[LINKS];            /* a barrier: the nonce of the PING that must come home first */
byte pinged[SESSIONS];       /* the nonce of the PING sent last on this bus */
byte calls[LINKS] = OPS;
byte stranger = STRANGER;
byte losses = LOSSES;
byte fails = FAILS;

#define servable (entry != 0 && !suspect && claim == NONE && fence)
#define quiet    (sent[0] == IDLE && sent[1] == IDLE && sent[2] == IDLE && empty(bus) && !dirty && !beat && !greeting)

inline end_key() { entry = 0; suspect = 0; claim = NONE }

/* A session gets a version. */
inline get(s, version)
{
    assert(version >= seen[s]); /* I3, I4: it waits for one call, so `seen` is what was seen at the call */
    seen[s] = version
}

inline send(link, what)
{
    sent[link] = what;
    answer[link] = 0;
    before_floor[link] = 0
}

inline call_read(s)
{
    if
    :: owes[s] != 0 -> send(s, READ) /* alone, past L1; or it waits: then this step is taken later */
    :: owes[s] == 0 && servable -> get(s, entry); waits[s] = NONE
    :: owes[s] == 0 && !servable && claim == NONE -> claim = s; send(s, READ)
    :: owes[s] == 0 && !servable && claim != NONE -> waits[s] = claim  /* joins */
    :: owes[s] == 0 && !servable && claim != NONE -> send(s, READ)     /* the mailbox is full: alone, without a token */
    fi;
    if
    :: sent[s] != IDLE -> waits[s] = s
    :: else
    fi
}

/* The answer of a read arrives at the node: T3. */
inline land(link)
{
    if
#ifdef NO_TOKEN
    :: true -> entry = answer[link]; suspect = 0; claim = NONE
#else
    :: claim == link && may_install ->
        entry = answer[link];
#ifdef STAMP_AT_LANDING
        suspect = 0;
#else
        suspect = before_floor[link];
#endif
        claim = NONE
    :: claim == link && !may_install -> end_key()
    :: claim != link ->
#ifdef NO_LANDING_RULE
        skip
#else
#ifdef LANDING_KEEPS_ENTRY
        claim = NONE
#else
        end_key()
#endif
#endif
#endif
    fi
}

inline tell(link)
{
    if
    :: waits[0] == link -> get(0, answer[link]); waits[0] = NONE
    :: else
    fi;
    if
    :: waits[1] == link -> get(1, answer[link]); waits[1] = NONE
    :: else
    fi
}

inline arrive(link)
{
    if
    :: sent[link] == READ -> land(link); tell(link)
    :: sent[link] == WRITE ->
#ifdef WRITE_INSTALLS
        claim = NONE; entry = (may_install -> answer[link] : 0); suspect = 0;
#else
#ifndef NO_END_AT_ANSWER
        end_key();
#endif
#endif
        tell(link)
    :: sent[link] == SCRIPT_READ || sent[link] == SCRIPT_WRITE ->
#ifndef NO_BARRIER
        owes[link] = calls[link] + 1; /* another one for each call */
#endif
        tell(link)
    fi;
    sent[link] = IDLE; answer[link] = 0; before_floor[link] = 0
}

inline fail(link)
{
    if
    :: claim == link -> claim = NONE /* what it kept aside stands again */
    :: else
    fi;
    if
    :: waits[0] == link -> waits[0] = NONE
    :: else
    fi;
    if
    :: waits[1] == link -> waits[1] = NONE
    :: else
    fi;
    sent[link] = IDLE; answer[link] = 0; before_floor[link] = 0
}

inline execute(link)
{
    if
    :: sent[link] == WRITE || sent[link] == SCRIPT_WRITE -> l2++; dirty = 1; dirty_own = 1
    :: else
    fi;
    answer[link] = l2
}

inline raise_floor()
{
    suspect = (entry != 0);
    before_floor[0] = (sent[0] != IDLE);
    before_floor[1] = (sent[1] != IDLE);
    before_floor[2] = (sent[2] != IDLE)
}

inline obey(message, whose)
{
    if
    :: message == CHANGED -> end_key()
    :: message == CHANGED_OWN ->
#ifdef OWN_ECHO_DROPPED
        skip
#else
        end_key()
#endif
    :: message == CONFIRMED ->
        bus_is = UP;
#ifndef GENERATION_ONCE
        claim = NONE;
#endif
#ifndef NO_FLOOR
        raise_floor();
#endif
        beat = 1
    :: message == ECHO -> fence = 1; may_install = 1
    :: message == PONG && owes[whose % SESSIONS] == whose / SESSIONS -> owes[whose % SESSIONS] = 0
    :: message == PONG && owes[whose % SESSIONS] != whose / SESSIONS -> /* of an earlier call */
#ifdef ANY_PONG
        owes[whose % SESSIONS] = 0
#else
        skip
#endif
    fi;
    message = 0; whose = 0
}

inline lose_bus()
{
    losses--;
    do
    :: nempty(bus) -> bus?_,_
    :: empty(bus) -> break
    od;
    bus_is = DOWN; tracked = 0; greeting = 0; beat = 0;
    ping[0] = 0; ping[1] = 0; pinged[0] = 0; pinged[1] = 0;
#ifdef BARRIER_ENDS_WITH_BUS
    owes[0] = 0; owes[1] = 0;
#endif
    claim = NONE; may_install = 0
}

active proctype world()
{
    mtype message;
    byte whose;
end:
    do
    /* Redis: a cycle is a run of these without a step of anybody else between them. */
    :: d_step { nfull(bus) && sent[0] != IDLE && answer[0] == 0 -> execute(0) }
    :: d_step { nfull(bus) && sent[1] != IDLE && answer[1] == 0 -> execute(1) }
    :: d_step { sent[2] != IDLE && answer[2] == 0 -> execute(2) }
    :: d_step { nfull(bus) && stranger > 0 -> stranger--; l2++; dirty = 1 }
    :: d_step { dirty && nfull(bus) ->
        if
        :: tracked && dirty_own -> bus!CHANGED_OWN,0
        :: tracked && !dirty_own -> bus!CHANGED,0
        :: !tracked
        fi;
        dirty = 0; dirty_own = 0 }
    :: d_step { greeting && nfull(bus) && !dirty -> greeting = 0; tracked = 1; bus!CONFIRMED,0 }
    :: d_step { beat && nfull(bus) && !dirty -> beat = 0; bus!ECHO,0 }
    :: d_step { ping[0] != 0 && nfull(bus) && !dirty && tracked -> bus!PONG,ping[0] * SESSIONS + 0; ping[0] = 0 }
    :: d_step { ping[1] != 0 && nfull(bus) && !dirty && tracked -> bus!PONG,ping[1] * SESSIONS + 1; ping[1] = 0 }

    /* answers and the bus */
    :: atomic { !dirty && answer[0] != 0 -> arrive(0) }
    :: atomic { !dirty && answer[1] != 0 -> arrive(1) }
    :: atomic { !dirty && answer[2] != 0 -> arrive(2) }
    :: atomic { !dirty && fails > 0 && sent[0] == READ -> fails--; fail(0) }
    :: atomic { !dirty && fails > 0 && sent[1] == READ -> fails--; fail(1) }
    :: atomic { !dirty && nempty(bus) -> bus?message,whose; obey(message, whose) }

    /* the node by itself */
    :: d_step { !dirty && losses > 0 && bus_is != DOWN -> lose_bus() }
    :: d_step { !dirty && bus_is == DOWN -> bus_is = ASKED; greeting = 1 }
    :: d_step { !dirty && fence && bus_is != UP -> fence = 0 } /* no beat came home for T */
    :: d_step { !dirty && entry != 0 && claim == NONE -> end_key() } /* evicted */
    :: d_step { !dirty && claim == NONE && suspect && bus_is == UP && may_install && sent[BACKGROUND] == IDLE ->
        claim = BACKGROUND; send(BACKGROUND, READ) }

    /* sessions: the next call, any kind */
    :: atomic { !dirty && calls[0] > 0 && waits[0] == NONE -> calls[0]--; call_read(0) }
    :: atomic { !dirty && calls[1] > 0 && waits[1] == NONE -> calls[1]--; call_read(1) }
    :: d_step { !dirty && calls[0] > 0 && waits[0] == NONE -> calls[0]--; waits[0] = 0; send(0, WRITE);
#ifndef NO_END_AT_SEND
        end_key()
#endif
        }
    :: d_step { !dirty && calls[0] > 0 && waits[0] == NONE -> calls[0]--; waits[0] = 0; send(0, SCRIPT_WRITE) }
    :: d_step { !dirty && calls[1] > 0 && waits[1] == NONE -> calls[1]--; waits[1] = 1; send(1, SCRIPT_READ) }
    :: d_step { !dirty && owes[0] != 0 && pinged[0] != owes[0] && bus_is != DOWN -> ping[0] = owes[0]; pinged[0] = owes[0] }
    :: d_step { !dirty && owes[1] != 0 && pinged[1] != owes[1] && bus_is != DOWN -> ping[1] = owes[1]; pinged[1] = owes[1] }

    :: atomic { quiet && bus_is == UP && servable && entry != l2 -> assert(false) } /* I2 */
    :: timeout -> assert(quiet && waits[0] == NONE && waits[1] == NONE); break /* nobody waits for ever */
    od
}
