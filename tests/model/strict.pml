/* SPDX-License-Identifier: BSD-3-Clause */
/* strict.pml -- when a strict write, or an invalidation with SYNC, may be acknowledged (COHERENCE section 7).
 *
 * Modelled: a writer node and a holder node, whose L1 has the old value; Redis; a bus for each, a FIFO as slow as it
 * likes; the writer's bus may be lost and made again, and it begins as a node that has just subscribed. The writer
 * sends the write, has L2's answer, sends a marker, and acknowledges
 *      when its marker came home, the holder is not live or has applied the marker, and the writer has listened to the
 *      bus for longer than T_max, or
 *      T_max after L2's answer.
 * The holder beats, applies, and serves readers behind its fence; a step of it may come late or never, so it may be
 * paused or cut. Live: a beat of it was received at most T_max ago.
 *
 * READ=1: in place of the write's acknowledgement, the answer of a strict read. Somebody else writes, and the writer node
 * here reads: once L2 has shown it the new value it waits as above before it tells.
 * FLIGHT=1: the holder may lose its entry and ask L2. Who comes while that question is under way, or its answer waits for
 * all nodes, joins it if its token stands (CHANGED ends it) and the fence is open. How long the answer waits is left open.
 *
 * Abstracted: clocks run alike (the node waits T_max(1 + rho)); one key, one write; T_HOLDER is the holder's T, T_MAX
 * the largest T any node has, which the writer knows.
 *
 * Proved: no reader who comes after the acknowledgement, or after somebody was shown the new value, gets the old one.
 *
 * Switches, each a rule left out: AT_ANSWER (acknowledged at L2's answer), NO_OWN_MARKER (liveness judged by receive
 * time without waiting for the own marker), MARKER_EARLY (sent before L2 answered), NO_LISTENING_TIME (one who has just
 * subscribed counts those he has not heard of as dead), OWN_T (the writer's T, which is smaller, in place of T_max),
 * LIVE_ONLY_APPLIED_BUS (a beat from before the marker counts as an acknowledgement), JOIN_FENCED (a question under way is
 * joined though the fence is closed), JOIN_ENDED (though its token has ended). */
#ifndef T_HOLDER
#define T_HOLDER 2
#endif
#ifndef END
#define END 7
#endif
#ifndef READ
#define READ 0
#endif
#ifndef FLIGHT
#define FLIGHT 0
#endif
#ifndef LOSSES
#define LOSSES 1
#endif
#ifdef OWN_T
#define T_MAX (T_HOLDER - 1)
#else
#define T_MAX T_HOLDER
#endif
#define BUS_MAX 4

byte now = 1;

mtype = { CHANGED, MARKER, BEAT };
chan to_writer = [BUS_MAX] of { mtype, byte }; /* a beat: 1: the holder had applied the marker */
chan to_holder = [BUS_MAX] of { mtype, byte }; /* a beat: when it was sent */

/* --- the writer --- */
mtype = { IDLE, SENT, DONE, ANSWERED };
mtype write = IDLE;      /* or the read */
bit stands;              /* Redis has the new value */
mtype marker = IDLE;
bit marker_home;
byte answered_at;
byte listens_since = 1;  /* 0: the bus is down */
byte heard_at;           /* the holder's newest beat; 0: none */
bit applied_by_holder;
bit acknowledged;
byte losses = LOSSES;

/* --- the holder --- */
bit holds = 1;           /* the old value */
bit applied;             /* the marker */
byte horizon;            /* H; 0: none */
byte beat_clock;         /* read, not yet sent */
byte beat_sent;          /* on its way, sent then */
bit beat_says;           /* its applied seq covers the marker */
bit reader;              /* came after the acknowledgement */
byte clock;
mtype = { NO_FLIGHT, ASKED, SHOWN_OLD };
mtype flight = NO_FLIGHT;
bit token;
bit joined;              /* by such a reader */

#define fence_open (horizon != 0 && clock <= horizon + T_HOLDER)
#ifdef JOIN_FENCED
#define fence_lets_join true
#else
#define fence_lets_join fence_open
#endif
#ifdef JOIN_ENDED
#define token_lets_join true
#else
#define token_lets_join token
#endif

#define listened (listens_since != 0 && now > listens_since + T_MAX)
#define live     (heard_at != 0 && heard_at + T_MAX >= now)

#ifdef NO_OWN_MARKER
#define complete (write == ANSWERED)
#else
#define complete marker_home
#endif
#ifdef NO_LISTENING_TIME
#define listened_enough true
#else
#define listened_enough listened
#endif

active proctype world()
{
    mtype message;
    byte number;
end:
    {
    do
    :: d_step { now < END -> now++ }

    /* the writer */
    :: d_step { write == IDLE -> write = SENT }
    :: d_step { write == DONE -> write = ANSWERED; answered_at = now }
#ifdef MARKER_EARLY
    :: d_step { marker == IDLE && listens_since != 0 && write != IDLE -> marker = SENT }
#else
    :: d_step { marker == IDLE && listens_since != 0 && write == ANSWERED -> marker = SENT }
#endif
    :: d_step { nempty(to_writer) -> to_writer?message,number;
        if
        :: message == MARKER -> marker_home = 1
        :: message == BEAT -> heard_at = now;
#ifdef LIVE_ONLY_APPLIED_BUS
            applied_by_holder = 1
#else
            applied_by_holder = applied_by_holder || number == 1
#endif
        fi;
        message = 0; number = 0 }
    :: d_step { losses > 0 && listens_since != 0 -> losses--; listens_since = 0;
        do
        :: nempty(to_writer) -> to_writer?_,_
        :: empty(to_writer) -> break
        od;
        marker = IDLE; marker_home = 0 } /* it will be sent again */
    :: d_step { listens_since == 0 -> listens_since = now }
    :: d_step { !acknowledged && write == ANSWERED && complete && listened_enough && (!live || applied_by_holder) ->
        acknowledged = 1 }
    :: d_step { !acknowledged && write == ANSWERED && now > answered_at + T_MAX -> acknowledged = 1 }
#ifdef AT_ANSWER
    :: d_step { !acknowledged && write == ANSWERED -> acknowledged = 1 }
#endif

    /* Redis */
#if READ
    :: d_step { !stands && nfull(to_holder) -> to_holder!CHANGED,0; stands = 1 }
    :: d_step { write == SENT && stands -> write = DONE }
#else
    :: d_step { write == SENT && nfull(to_holder) -> to_holder!CHANGED,0; write = DONE; stands = 1 }
#endif
    :: d_step { marker == SENT && nfull(to_holder) && nfull(to_writer) -> to_holder!MARKER,0; marker = DONE;
        if
        :: listens_since != 0 -> to_writer!MARKER,0
        :: else
        fi }
    :: d_step { beat_sent != 0 && nfull(to_holder) && nfull(to_writer) -> to_holder!BEAT,beat_sent;
        if
        :: listens_since != 0 -> to_writer!BEAT,beat_says
        :: else
        fi;
        beat_sent = 0; beat_says = 0 }

    /* the holder */
    :: d_step { beat_clock == 0 && beat_sent == 0 -> beat_clock = now }
    :: d_step { beat_clock != 0 && beat_sent == 0 -> beat_sent = beat_clock; beat_says = applied; beat_clock = 0 }
    :: d_step { nempty(to_holder) -> to_holder?message,number;
        if
        :: message == CHANGED -> holds = 0; token = 0
        :: message == MARKER -> applied = 1
        :: message == BEAT -> horizon = number
        fi;
        message = 0; number = 0 }
    :: d_step { !reader && acknowledged -> reader = 1 }
    :: d_step { reader && clock == 0 -> clock = now }
    :: atomic { reader && clock != 0 ->
        assert(!(holds && fence_open));
        if
        :: flight != NO_FLIGHT && token_lets_join && fence_lets_join -> joined = 1
        :: else
        fi;
        reader = 0; clock = 0 }
#if FLIGHT
    :: d_step { holds -> holds = 0 } /* evicted */
    :: d_step { !holds && flight == NO_FLIGHT -> flight = ASKED; token = 1 }
    :: d_step { flight == ASKED && !stands -> flight = SHOWN_OLD }
    :: d_step { flight == ASKED && stands -> flight = NO_FLIGHT; token = 0; joined = 0 } /* it shows the new value */
    :: atomic { flight == SHOWN_OLD ->
        assert(!joined);
        if
        :: token -> holds = 1; token = 0
        :: else
        fi;
        flight = NO_FLIGHT }
#endif
    od
    } unless { !holds && flight == NO_FLIGHT && stands } /* nothing can go wrong any more */
}
