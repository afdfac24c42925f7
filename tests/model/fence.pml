/* SPDX-License-Identifier: BSD-3-Clause */
/* fence.pml -- when a hit may be served (COHERENCE section 3: beats, H, the fence at serve time).
 *
 * Modelled: one key; Redis; the bus, a FIFO as slow as it likes; the node's control loop, which sends beats, receives
 * and applies; a worker, which serves readers from L1 and reads from L2; a stranger who writes. Time is counted in
 * ticks and passes between any two steps, so every part may be slow, and the whole node may be paused anywhere: between
 * the reading of a clock and its use, between the receiving of an announcement and its applying.
 *
 * Abstracted: links are never lost and nothing on the bus is (token.pml, epoch.pml); versions count 1, 2, 3; 0 is
 * nothing. over[v] is the tick in which the write that replaced v was acknowledged, at the earliest: in the tick in which
 * it ran, for an answer may leave in front of the announcement. A beat's frame lies on the bus at once; what changed is
 * announced at the end of the cycle, some time after, the nodes' own keys with it (docs/decisions/011).
 *
 * Proved: I1. What a reader gets that came at s was not replaced by a write acknowledged before s - T; that holds for
 * hits and for those who join a read under way. I6: H never overtakes an announcement.
 *
 * Switches, each a rule broken: H_RECEIVE_TIME (H := when the echo came), CLOCK_AFTER_SEND (the beat's time is read
 * when it has gone out), FENCE_TIMER (a timer opens and closes the fence), BEAT_ON_DATA_LINK (a PING on the worker's
 * link proves the bus), H_BEFORE_LAST_SLICE, H_AT_ECHO (not behind the next announcement), CLOCK_BEFORE_RECV (the worker's), JOIN_ANY_AGE. */
#ifndef T
#define T 2
#endif
#ifndef END
#define END 7 /* the last tick */
#endif
#ifndef WRITES
#define WRITES 2
#endif
#ifndef BUS_MAX
#define BUS_MAX 4
#endif

#define NEVER 255

byte now = 1;

/* --- Redis --- */
byte l2 = 1;
byte over[4] = NEVER;
byte owed;               /* what changed and is not announced: 1 the nodes' own keys, 2 the key, too */
mtype = { CHANGED, ECHO };
chan bus = [BUS_MAX] of { mtype, byte };     /* an echo: when its beat was sent; a change: as owed */
chan data = [2] of { byte };                 /* BEAT_ON_DATA_LINK: the answers */

/* --- the control loop --- */
byte horizon = 1;        /* H */
byte unproved;           /* of the newest echo since the last announcement; 0: none */
byte beat_clock;         /* read, and not yet sent; 0: none */
byte beat_sent;          /* on its way to Redis, sent then; 0: none */
bit late;                /* CLOCK_AFTER_SEND: its time is still to be read */
byte slices;             /* announcements received and not yet applied */
bit flag = 1;            /* FENCE_TIMER's */

/* --- L1 and the worker --- */
byte entry = 1;
bit claim;               /* the read under way holds the token */
byte read_since;         /* it was issued then; 0: none */
byte read_value;         /* 0: has not run yet */
byte joined_at;          /* one who joined it came then; 0: nobody */

byte reader;             /* a reader came then; 0: nobody */
byte clock;              /* the batch's; 0: not read yet */

#ifdef FENCE_TIMER
#define fence_open flag
#else
#define fence_open (clock <= horizon + T)
#endif

/* A reader who came at s gets version v. */
inline get(s, v)
{
    assert(over[v] == NEVER || over[v] + T >= s) /* I1 */
}

inline end_key() { entry = 0; claim = 0 }

inline prove()
{
    if
    :: unproved != 0 -> horizon = unproved; unproved = 0
    :: else
    fi
}

inline serve()
{
    if
    :: fence_open && entry != 0 && !claim -> get(reader, entry)
#ifdef JOIN_ANY_AGE
    :: !(fence_open && entry != 0 && !claim) && claim -> joined_at = reader
#else
    :: !(fence_open && entry != 0 && !claim) && claim && clock <= read_since + T -> joined_at = reader
#endif
    :: !(fence_open && entry != 0 && !claim) && read_since == 0 -> claim = 1; read_since = clock
    :: else /* reads alone: it is asked after the reader came, so it needs no proof */
    fi;
    reader = 0; clock = 0
}

inline land()
{
    if
    :: joined_at != 0 -> get(joined_at, read_value); joined_at = 0
    :: else
    fi;
    if
    :: claim -> entry = read_value; claim = 0
    :: else -> end_key()
    fi;
    read_since = 0; read_value = 0
}

active proctype world()
{
    mtype message;
    byte sent;
end:
    do
    :: d_step { now < END -> now++ }

    /* Redis */
    :: d_step { l2 <= WRITES -> over[l2] = now; l2++; owed = 2 } /* and answered, from now on */
    :: d_step { owed && nfull(bus) -> bus!CHANGED,owed; owed = 0 } /* the cycle ends */
    :: d_step { beat_sent != 0 && nfull(bus) && nfull(data) ->
#ifdef BEAT_ON_DATA_LINK
        data!beat_sent;
#else
        bus!ECHO,beat_sent;
#endif
        owed = (owed == 0 -> 1 : owed); /* terrace:seq */
        beat_sent = 0 }
    :: d_step { read_since != 0 && read_value == 0 -> read_value = l2 }

    /* the control loop */
#ifdef CLOCK_AFTER_SEND
    :: d_step { beat_sent == 0 && !late -> beat_sent = NEVER; late = 1 } /* goes out without a time */
    :: d_step { late -> beat_clock = now; late = 0 }
#else
    :: d_step { beat_clock == 0 && beat_sent == 0 -> beat_clock = now }
    :: d_step { beat_clock != 0 && beat_sent == 0 -> beat_sent = beat_clock; beat_clock = 0 }
#endif
#ifdef H_BEFORE_LAST_SLICE
    :: d_step { nempty(bus) ->
#else
    :: d_step { nempty(bus) && !slices && !late -> /* what was received is applied before the next message is looked at */
#endif
        bus?message,sent;
        if
        :: message == CHANGED -> slices = sent;
#ifdef H_BEFORE_LAST_SLICE
            prove()
#endif
        :: message == ECHO && sent == NEVER -> unproved = beat_clock /* CLOCK_AFTER_SEND */
        :: message == ECHO && sent != NEVER ->
#ifdef H_RECEIVE_TIME
            unproved = now
#else
            unproved = sent
#endif
        fi;
#ifdef H_AT_ECHO
        prove();
#endif
        message = 0; sent = 0 }
    :: d_step { slices ->
        if
        :: slices == 2 -> end_key()
        :: else
        fi;
        slices = 0;
        prove() }
#ifdef BEAT_ON_DATA_LINK
    :: d_step { nempty(data) -> data?horizon }
#endif
#ifdef FENCE_TIMER
    :: d_step { flag != (now <= horizon + T) -> flag = (now <= horizon + T) }
#endif

    /* the worker: the reader's bytes are received, then the clock is read, then the fence and L1 are looked at */
#ifdef CLOCK_BEFORE_RECV
    :: d_step { reader == 0 && clock == 0 -> clock = now }
    :: d_step { reader == 0 && clock != 0 -> reader = now }
#else
    :: d_step { reader == 0 -> reader = now }
    :: d_step { reader != 0 && clock == 0 -> clock = now }
#endif
    :: atomic { reader != 0 && clock != 0 -> serve() }
    :: atomic { read_value != 0 -> land() }
    :: d_step { entry != 0 && !claim -> entry = 0 } /* evicted */
    od
}
