/* SPDX-License-Identifier: BSD-3-Clause */
/* unknown.pml -- a write whose outcome is not known (COHERENCE T7, I9).
 *
 * Modelled: servers A and B, one of them master; a link to A that carries a write whose bytes are on their way: in the
 * network, where they may be frozen as long as it likes, then in A's socket, then run, unless A has closed the
 * connection meanwhile. The node gives up, closes its end (A hears of it after the bytes, or never), and asks over
 * another link for CLIENT KILL ID. That link belongs to whichever server was master when it was made; it may be cut.
 * When the kill counts as confirmed, the client is told -UNKNOWN and writes a newer value, to the master. A may be
 * restarted, which ends its connections; the mastership may move to B and back, which ends none (F18).
 *
 * Abstracted: replication is instant (what Redis itself loses is not the subject); a replica refuses writes. If nothing
 * is confirmed in time the client is told that the write may still run, and the property does not bind.
 *
 * Proved: I9, after -UNKNOWN nothing runs late, so the newer write stands; and the client always gets an answer.
 *
 * Switches, each a rule left out: NO_KILL, ANSWER_BEFORE_KILL (said when the kill was sent), KILL_BY_CLOSE (the node's
 * own close is taken for the connection's end), LOSS_TAKEN_FOR_ANSWER (of the other link), KILL_ON_ANY_SERVER (another
 * server's answer counts), ANY_NEW_RUN_ID (another server's run_id is taken for A's restart). */
#ifndef CUTS
#define CUTS 2
#endif
#ifndef MOVES
#define MOVES 2 /* of the mastership */
#endif
#ifndef RESTARTS
#define RESTARTS 1
#endif

#define A 0
#define B 1

mtype = { NETWORK, SOCKET, RUN, GONE };
mtype bytes = NETWORK;     /* where the write is */
bit connection = 1;        /* the first link's, as A sees it */
bit closed;                /* by the node */
byte master = A;
byte value;                /* 1: the old write ran last, 2: the newer one */
bit restarted;             /* A is another process than the first link's */

mtype = { NOTHING, ASKED, ANSWERED };
mtype kill_is = NOTHING;   /* on the other link */
byte other = A;            /* its server */
mtype = { WAITS, OK, UNKNOWN, MAY_RUN, ACKNOWLEDGED };
mtype client = WAITS;
byte cuts = CUTS;
byte moves = MOVES;
byte restarts = RESTARTS;

#define late (client == WAITS && closed)

#ifdef KILL_ON_ANY_SERVER
#define kill_counts true
#else
#define kill_counts (other == A)
#endif
#ifdef ANY_NEW_RUN_ID
#define process_is_gone (other != A || restarted)
#else
#define process_is_gone (other == A && restarted)
#endif

active proctype world()
{
end:
    do
    /* the first link's bytes, and the servers */
    :: d_step { bytes == NETWORK -> bytes = (connection -> SOCKET : GONE) }
    :: d_step { bytes == SOCKET && !connection -> bytes = GONE }
    :: d_step { bytes == SOCKET && connection && master == A -> bytes = RUN; value = 1 }
    :: d_step { bytes == SOCKET && connection && master != A -> bytes = GONE } /* READONLY */
    :: d_step { bytes == RUN && closed && connection -> connection = 0 } /* the end of the stream comes after them */
    :: d_step { restarts > 0 -> restarts--; restarted = 1; connection = 0 }
    :: d_step { moves > 0 -> moves--; master = 1 - master }

    /* the node */
    :: d_step { bytes == RUN && client == WAITS && !closed && connection -> client = OK }
    :: d_step { client == WAITS && !closed -> closed = 1 } /* gave up, or lost it */
    :: d_step { late && other != master -> other = master; kill_is = NOTHING } /* follows the master */
#ifdef NO_KILL
    :: d_step { late -> client = UNKNOWN }
#endif
    :: d_step { late && kill_is == NOTHING -> kill_is = ASKED }
    :: d_step { late && kill_is == ASKED ->
        if
        :: other == A -> connection = 0
        :: else /* no such client there, or somebody else's */
        fi;
        kill_is = ANSWERED }
    :: d_step { late && kill_is == ANSWERED && kill_counts -> client = UNKNOWN }
    :: d_step { late && process_is_gone -> client = UNKNOWN }
    :: d_step { late && kill_is != NOTHING && cuts > 0 -> cuts--; kill_is = NOTHING; /* the answer is lost, too */
#ifdef LOSS_TAKEN_FOR_ANSWER
        client = UNKNOWN
#endif
        }
#ifdef ANSWER_BEFORE_KILL
    :: d_step { late && kill_is == ASKED -> client = UNKNOWN }
#endif
#ifdef KILL_BY_CLOSE
    :: d_step { late && bytes == NETWORK -> client = UNKNOWN }
#endif
    :: d_step { late -> client = MAY_RUN } /* nothing was confirmed in time */

    /* the client writes again; it is acknowledged */
    :: d_step { client == UNKNOWN -> value = 2; client = ACKNOWLEDGED }

    :: atomic { client == ACKNOWLEDGED && value != 2 -> assert(false) } /* I9 */
    :: timeout -> assert(client != WAITS); break
    od
}
