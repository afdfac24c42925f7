/* SPDX-License-Identifier: BSD-3-Clause */
/* near.pml -- when the client library may serve a copy of its own (client/near.h).
 *
 * Modelled: one key; the threads of one client, which look into L0 and ask one node; the stream of that node's events and of
 * the answers to beats, in order, as slow as it likes; answers to questions, which come in any order among all that; the node,
 * which puts the asker into its table, then looks the value up, and hears of writes some time after; strangers who write, and
 * the first thread, too. Time is counted in ticks and passes between any two steps: whatever it is, it may be slow.
 *
 * Abstracted: how the node knows its horizon (fence.pml): here it simply is the last tick at which it had heard everything.
 * What it has in its own L1 is a version between the last that it heard of and the newest; reads of the node do not go back
 * (token.pml). Client and node count the same ticks, of which only differences go over the wire.
 *
 * Proved: what is served from L0 to a thread that came at s was not replaced by a write acknowledged before s - T. No thread
 * gets what is older than what any of them had been shown, or had written, when it came.
 *
 * Switches, each a rule broken: NO_TICKET (any answer is kept), NO_LANDING_RULE (who lands late ends nothing), CLAIM_NOT_NOTED
 * (a claim is spared and need not agree), H_AT_ANSWER (the proof counts from when the beat's answer came), H_BEFORE_EVENTS (and
 * before what stands in front of it is obeyed), LOOK_BEFORE_PROOF (a reader looks up, then loads H), INBOX_FIRST (the node sends
 * what it has to tell, then reads its horizon), LOOKUP_BEFORE_TABLE, NO_FLOOR (a lost stream makes nothing suspect),
 * OLD_TICKETS (nor ends what is under way), NO_DROP_AT_ANSWER (of an own write). NO_DROP_AT_SEND is no rule: it holds without. */
#ifndef T
#define T 1
#endif
#ifndef END
#define END 4 /* the last tick */
#endif
#ifndef CALLS
#define CALLS 3 /* of both threads */
#endif
#ifndef WRITES
#define WRITES 1 /* of strangers */
#endif
#ifndef OWN
#define OWN 0 /* writes of the first thread */
#endif
#ifndef LOSSES
#define LOSSES 0 /* of the stream */
#endif
#ifndef THREADS
#define THREADS 2
#endif

#define NEVER 255

/* What the answer of a beat says, and what it is taken for. */
#ifdef H_AT_ANSWER
#define PROVES(horizon) now - horizon
#else
#define PROVES(horizon) beat_sent + horizon - now
#endif

byte now = 1;

/* --- L2 and the node --- */
byte l2 = 1;
byte over[5] = NEVER;    /* when the version was replaced */
byte has = 1;            /* in the node's L1 */
bit unheard;             /* a write is not announced to it yet */
byte horizon = 1;        /* the node's H */
bit in_table;
bit inbox;               /* an event that its worker has not sent yet */

/* --- the stream --- */
mtype = { EVENT, BEAT };
chan stream = [3] of { mtype, byte }; /* a beat's answer: t0 - a */
byte beat_sent;          /* t0 of the beat under way; 0: none */
byte beat_read;          /* the horizon that its answer will carry; 0: not read yet */
bit applying;            /* an event is received and not yet obeyed */

/* --- L0 --- */
byte entry;              /* 0: none */
bit suspect;
bit claim;
byte noted;
byte proved;             /* H; 0: none */

/* --- threads --- */
mtype = { IDLE, CAME, PROVED, LOOKED, SENT, TOLD, PICKED, WRITING, WRITTEN };
mtype is[THREADS] = IDLE;
byte came[THREADS];      /* s */
byte knew[THREADS];      /* what any thread had been shown then */
byte proof[THREADS];     /* H as loaded */
byte found[THREADS];     /* LOOK_BEFORE_PROOF: what was looked up */
byte answer[THREADS];
bit ticket[THREADS];     /* stands */
bit old_stream[THREADS]; /* the question went over one that is lost */
byte calls = CALLS;
byte writes = WRITES;
byte own = OWN;
byte losses = LOSSES;
byte seen = 1;

inline end_claim() { claim = 0; noted = 0; ticket[0] = 0; ticket[1] = 0 }
inline end_key() { entry = 0; suspect = 0; end_claim() }

inline shown_to(i, version)
{
    assert(version >= knew[i]); /* sessions */
    seen = (version > seen -> version : seen)
}

inline done(i)
{
    is[i] = IDLE; came[i] = 0; knew[i] = 0; proof[i] = 0; found[i] = 0; answer[i] = 0; old_stream[i] = 0
}

#define fence_open(i) (proof[i] != 0 && came[i] <= proof[i] + T)

/* Looks into L0: a hit, or a question with a ticket. */
inline serve(i, version)
{
    if
    :: version != 0 && fence_open(i) ->
        assert(over[version] == NEVER || over[version] + T >= came[i]); /* the contract */
        shown_to(i, version);
        done(i)
    :: else ->
        if
        :: !claim -> claim = 1; noted = 0
        :: else
        fi;
        ticket[i] = 1; is[i] = SENT; came[i] = 0; found[i] = 0; proof[i] = 0
    fi
}

inline land(i)
{
    shown_to(i, answer[i]);
    if
    :: entry != 0 && !claim && entry == answer[i] /* who has seen the one has seen the other */
#ifdef NO_TICKET
    :: !(entry != 0 && !claim && entry == answer[i]) -> end_key(); entry = answer[i]
#else
    :: !(entry != 0 && !claim && entry == answer[i]) ->
        if
        :: ticket[i] && claim && (noted == 0 || noted == answer[i]) && !old_stream[i] ->
            entry = answer[i]; suspect = 0; end_claim()
#ifdef CLAIM_NOT_NOTED
        :: !ticket[i] && claim && entry == 0
#else
        :: !ticket[i] && claim && entry == 0 && (noted == 0 || noted == answer[i]) -> noted = answer[i]
#endif
#ifdef NO_LANDING_RULE
        :: !ticket[i]
#endif
        :: else -> end_key()
        fi
#endif
    fi;
    ticket[i] = 0;
    done(i)
}

inline lose_stream()
{
    losses--;
    do
    :: nempty(stream) -> stream?_,_
    :: empty(stream) -> break
    od;
    beat_sent = 0; beat_read = 0; applying = 0; inbox = 0; in_table = 0; proved = 0;
#ifndef NO_FLOOR
    suspect = (entry != 0);
#endif
#ifndef OLD_TICKETS
    old_stream[0] = (is[0] == SENT || is[0] == TOLD || is[0] == PICKED);
    old_stream[1] = (is[1] == SENT || is[1] == TOLD || is[1] == PICKED);
#endif
}

#define thread(i) \
    :: d_step { is[i] == IDLE && calls > 0 -> calls--; is[i] = CAME; came[i] = now; knew[i] = seen } \
    LOOKS(i) \
    ASKED(i) \
    :: atomic { is[i] == PICKED -> land(i) }

#ifdef LOOK_BEFORE_PROOF
#define LOOKS(i) \
    :: d_step { is[i] == CAME -> found[i] = (suspect -> 0 : entry); is[i] = LOOKED } \
    :: atomic { is[i] == LOOKED -> proof[i] = proved; serve(i, found[i]) }
#else
#define LOOKS(i) \
    :: d_step { is[i] == CAME -> proof[i] = proved; is[i] = PROVED } \
    :: atomic { is[i] == PROVED -> serve(i, (suspect -> 0 : entry)) }
#endif

/* At the node: into the table, then the lookup, of what L1 has or of L2. */
#ifdef LOOKUP_BEFORE_TABLE
#define ASKED(i) \
    :: d_step { is[i] == SENT -> answer[i] = has; is[i] = TOLD } \
    :: d_step { is[i] == SENT && has < l2 -> has = l2; answer[i] = has; is[i] = TOLD } \
    :: d_step { is[i] == TOLD -> in_table = (old_stream[i] -> in_table : 1); is[i] = PICKED }
#else
#define ASKED(i) \
    :: d_step { is[i] == SENT -> in_table = (old_stream[i] -> in_table : 1); is[i] = TOLD } \
    :: d_step { is[i] == TOLD -> answer[i] = has; is[i] = PICKED } \
    :: d_step { is[i] == TOLD && has < l2 -> has = l2; answer[i] = has; is[i] = PICKED }
#endif

active proctype world()
{
    mtype message;
    byte proves;
end:
    do
    :: d_step { now < END -> now++ }

    /* writes, acknowledged at once */
    :: d_step { writes > 0 -> writes--; over[l2] = now; l2++; unheard = 1 }
    :: d_step { own > 0 && is[0] == IDLE -> own--; is[0] = WRITING;
#ifndef NO_DROP_AT_SEND
        end_key()
#endif
        }
    :: d_step { is[0] == WRITING -> over[l2] = now; l2++; unheard = 1; has = l2; answer[0] = l2; is[0] = WRITTEN }
    :: d_step { is[0] == WRITTEN ->
#ifndef NO_DROP_AT_ANSWER
        end_key();
#endif
        seen = (answer[0] > seen -> answer[0] : seen);
        done(0) }

    /* the node */
    :: d_step { unheard -> unheard = 0; has = l2; inbox = (in_table -> 1 : inbox); in_table = 0 }
    :: d_step { !unheard && horizon < now -> horizon = now }
    :: d_step { inbox && nfull(stream) -> inbox = 0; stream!EVENT,0 }
#ifdef INBOX_FIRST
    :: d_step { beat_sent != 0 && beat_read == 0 && !inbox -> beat_read = NEVER }
    :: d_step { beat_read == NEVER && nfull(stream) ->
        if
        :: beat_sent + horizon > now -> stream!BEAT,PROVES(horizon)
        :: else
        fi;
        beat_sent = 0; beat_read = 0 }
#else
    :: d_step { beat_sent != 0 && beat_read == 0 -> beat_read = horizon }
    :: d_step { beat_read != 0 && !inbox && nfull(stream) ->
        if
        :: beat_sent + beat_read > now -> stream!BEAT,PROVES(beat_read)
        :: else
        fi;
        beat_sent = 0; beat_read = 0 }
#endif

    /* the loop's thread */
    :: d_step { beat_sent == 0 && beat_read == 0 -> beat_sent = now }
#ifdef H_BEFORE_EVENTS
    :: d_step { nempty(stream) ->
#else
    :: d_step { nempty(stream) && !applying ->
#endif
        stream?message,proves;
        if
        :: message == EVENT -> applying = 1
        :: message == BEAT ->
#ifdef H_AT_ANSWER
            proves = now - proves;
#endif
            proved = (proves > proved -> proves : proved)
        fi;
        message = 0; proves = 0 }
    :: d_step { applying -> applying = 0; end_key() }
    :: d_step { losses > 0 -> lose_stream() }
    :: d_step { entry != 0 && !claim -> entry = 0; suspect = 0 } /* evicted */

    thread(0)
    thread(1)
    od
}
