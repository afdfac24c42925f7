/* SPDX-License-Identifier: BSD-3-Clause */
/* replay.pml -- what a node missed of managed keys, out of the log (COHERENCE section 5; tiers/coherence_replay.c).
 *
 * Modelled: one key; a writer, whose script numbers, logs and publishes each write in one step with it; beats, which take a
 * seq and have no entry; the log, which may be cut off in front; the bus, a FIFO on which any frame may be lost and which
 * may be cut, so that all that is on it is gone, and subscribed again; the control link, on which the log is asked and
 * answers some time later; a node that holds an entry and reads it anew when it has none, in three steps (the token is
 * taken, L2 answers, the answer lands) between which all of this may happen. With LIVES, the node dies at any moment and
 * begins anew with what it had written down: how far it had heard, and a while later its entry (docs/decisions/023).
 *
 * Abstracted: a page is all of the log; time; a value is the seq of its write, 0 the one that stood before. Plain floors and
 * announcements (token.pml, fence.pml), epochs (epoch.pml).
 *
 * Proved: when all is heard and decided, what may be served is what L2 has. (What is served before is fenced by H and by
 * `pending`, which is looked at where the values are.) That the node's entry is kept where it can be is no safety; the
 * simulator judges it (SURVIVE).
 *
 * Switches, each a rule broken: ASK_BEFORE_SUBSCRIPTION (the log is asked when the bus is lost, not when it stands again; by
 * itself it does no harm, as long as the first frame is looked at),
 * NO_OLDEST (a log that was cut off counts as whole), STALE_PAGE_DECIDES (an answer to a question of before the last gap is
 * the last one), RUN_IS_WHOLE (what comes behind a hole closes it), FIRST_FRAME_UNSEEN (the first frame of a subscription
 * begins the numbering, whatever it is), TOKENS_STAY (what the log tells ends entries and no tokens), FLOOR_STAYS (what
 * the log cannot tell leaves the entry good), MARK_AFTER_WALK (how far it had heard is written down behind the entry),
 * FILE_IS_FRESH (an entry that was suspect when it was written down is none afterwards). */
#ifndef WRITES
#define WRITES 2
#endif
#ifndef BEATS
#define BEATS 1
#endif
#ifndef LOSSES
#define LOSSES 1
#endif
#ifndef CUTS
#define CUTS 1
#endif
#ifndef TRIMS
#define TRIMS 1
#endif
#ifndef LIVES
#define LIVES 0
#endif
#define SEQS 8
#define NONE 255
#define CONFIRMED 254

byte writes = WRITES, beats = BEATS, losses = LOSSES, cuts = CUTS, trims = TRIMS, lives = LIVES;

/* --- Redis --- */
byte seq;
bit wrote[SEQS];
byte oldest;             /* entry of the log; 0: the record with which it began */
byte l2;
bit subscribed = 1;
chan bus = [6] of { byte };

/* --- the node: the bus --- */
bit listens = 1;         /* the subscription is confirmed */
bit has_seq = 1;
byte newest;
byte first;
byte whole;
bit pending;
bit asked;
bit stale;
bit knows_until;
byte until;
byte from;
byte question;           /* 1: under way; 2: answered */
byte answer_now;
byte answer_oldest;

/* --- L1 --- */
byte entry;
bit suspect;
bit token;
byte read;               /* 1: asked; 2: L2 has answered */
byte read_value;
bit read_suspect;        /* it was asked before the floor */

/* --- what is written down --- */
byte file;               /* 1: one of both; 2: it is whole */
byte file_whole;
byte file_entry;
bit file_suspect;
bit was_suspect;         /* when the seq was written down: the entry that stands, */
bit read_was_suspect;    /* and the one that is being read */

inline gap()
{
    pending = 1; knows_until = 0; stale = asked
}

inline join_run()
{
    if
#ifdef RUN_IS_WHOLE
    :: has_seq && newest > whole -> whole = newest
#else
    :: has_seq && first <= whole + 1 && newest > whole -> whole = newest
#endif
    :: else
    fi
}

inline end_key()
{
    entry = NONE; token = 0
}

inline publish(number)
{
    if
    :: subscribed -> bus ! number
    :: subscribed && losses > 0 -> losses--
    :: !subscribed
    fi
}

active proctype writer()
{
end:
    do
    :: atomic { writes > 0 && nfull(bus) -> writes--; seq++; wrote[seq] = 1; publish(seq); l2 = seq }
    :: atomic { beats > 0 && nfull(bus) -> beats--; seq++; publish(seq) }
    :: atomic { trims > 0 && seq > 0 -> trims--; oldest = seq }
    od
}

active proctype network()
{
    byte gone;
end:
    do
    :: atomic { cuts > 0 && listens -> cuts--; subscribed = 0;
            do
            :: bus ? gone
            :: empty(bus) -> break
            od;
            listens = 0; has_seq = 0; token = 0; /* another generation */
#ifdef ASK_BEFORE_SUBSCRIPTION
            gap();
#endif
        }
    :: atomic { !subscribed -> subscribed = 1; bus ! CONFIRMED }
    od
}

inline hear(number)
{
    bit follows = has_seq && number == newest + 1;
    bit hole = has_seq && !follows;
    newest = number; has_seq = 1;
    if
    :: !follows -> first = number;
#ifndef FIRST_FRAME_UNSEEN
        if
        :: number > whole + 1 -> gap()
        :: else
        fi
#endif
    :: else
    fi;
    join_run();
    if
    :: wrote[number] -> end_key()
    :: else
    fi;
    if
    :: hole -> gap()
    :: else
    fi
}

inline decide()
{
    question = 0; asked = 0;
    if
    :: !pending
#ifndef NO_OLDEST
    :: pending && answer_oldest > from ->
        pending = 0; whole = answer_now;
#ifndef FLOOR_STAYS
        suspect = 1; read_suspect = 1
#endif
    :: pending && answer_oldest <= from ->
#else
    :: pending ->
#endif
        byte i = (from > answer_oldest -> from : answer_oldest);
        do
        :: i <= answer_now ->
            if
            :: i > 0 && wrote[i] ->
#ifdef TOKENS_STAY
                entry = NONE
#else
                end_key()
#endif
            :: else
            fi;
            i++
        :: else -> break
        od;
        if
        :: answer_now > whole -> whole = answer_now
        :: else
        fi;
        if
#ifdef STALE_PAGE_DECIDES
        :: !knows_until -> knows_until = 1; until = answer_now
#else
        :: !knows_until && !stale -> knows_until = 1; until = answer_now
#endif
        :: else
        fi;
        join_run();
        if
        :: knows_until && whole >= until -> pending = 0
        :: else
        fi
    fi
}

active proctype control()
{
    byte number;
end:
    do
    :: atomic { bus ? number ->
            if
            :: number == CONFIRMED -> listens = 1;
#ifndef ASK_BEFORE_SUBSCRIPTION
                gap()
#endif
            :: else -> hear(number)
            fi;
            number = 0 }
#ifdef ASK_BEFORE_SUBSCRIPTION
    :: atomic { pending && !asked -> asked = 1; stale = 0; from = whole + 1; question = 1 }
#else
    :: atomic { pending && !asked && listens -> asked = 1; stale = 0; from = whole + 1; question = 1 }
#endif
    :: d_step { question == 1 -> question = 2; answer_now = seq; answer_oldest = oldest }
    :: atomic { question == 2 -> decide() }
    od
}

active proctype worker()
{
end:
    do
    :: atomic { read == 0 && (entry == NONE || suspect) -> token = 1; read = 1; read_suspect = 0; read_was_suspect = 0 }
    :: atomic { read == 1 -> read = 2; read_value = l2 }
    :: atomic { read == 2 ->
            if
            :: token -> entry = read_value; suspect = read_suspect; was_suspect = read_was_suspect
            :: else -> entry = NONE /* a landing without a token */
            fi;
            token = 0; read = 0; read_value = 0; read_suspect = 0; read_was_suspect = 0 }
    od
}

inline write_whole()
{
    file_whole = whole; was_suspect = suspect; read_was_suspect = read_suspect
}

inline write_entry()
{
    file_entry = entry; file_suspect = was_suspect
}

/* A new process: nothing is left but what is written down. */
inline begin_anew()
{
    byte lost;
    do
    :: bus ? lost
    :: empty(bus) -> break
    od;
    lost = 0; subscribed = 0; listens = 0; has_seq = 0; newest = 0; first = 0;
    pending = 0; asked = 0; stale = 0; knows_until = 0; until = 0; from = 0; question = 0; answer_now = 0; answer_oldest = 0;
    token = 0; read = 0; read_value = 0; read_suspect = 0;
    entry = file_entry; whole = file_whole;
#ifdef FILE_IS_FRESH
    suspect = 0;
#else
    suspect = file_suspect;
#endif
    file = 0; file_whole = 0; file_entry = 0; file_suspect = 0; was_suspect = 0; read_was_suspect = 0
}

active proctype disk()
{
end:
    do
#ifdef MARK_AFTER_WALK
    :: atomic { lives > 0 && file == 0 -> was_suspect = suspect; write_entry(); file = 1 }
    :: atomic { file == 1 -> file_whole = whole; file = 2 }
#else
    :: atomic { lives > 0 && file == 0 -> write_whole(); file = 1 }
    :: atomic { file == 1 -> write_entry(); file = 2 }
#endif
    :: atomic { lives > 0 && file == 2 -> lives--; begin_anew() }
    od
}

/* The beat that comes home when all else is over: a hole in front of it shows. */
active proctype last()
{
    atomic { writes == 0 && beats == 0 && cuts == 0 && lives == 0 && subscribed && listens && empty(bus) -> losses = 0; seq++; bus ! seq };
    atomic { empty(bus) && newest == seq && !pending && !asked && read == 0 ->
        assert(entry == NONE || suspect || entry == l2) }
}
