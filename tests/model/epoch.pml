/* SPDX-License-Identifier: BSD-3-Clause */
/* epoch.pml -- one node and a Redis that forgets (COHERENCE section 4: the beat script, epochs, targets).
 *
 * Modelled: servers A and B, one of them master; a replica that lags and takes the master's state over silently;
 * failover to a replica that has not seen everything, back again, and a restart of the master from an old snapshot. A
 * server that lost its mastership keeps its connections and answers reads (F18), but no beat succeeds there. FLUSHALL
 * takes the record of the epoch along with the data. The beat
 * script decides about epochs; others, who know of no epoch, run it, too. The node has a control link, a bus and a
 * worker's link, each on a server of its own; an L1 with one key; the horizon, the floor, targets, and the fence of the
 * worker's link. Time is counted in ticks and passes between any two steps.
 *
 * Abstracted: a greeting is one step; a subscription is confirmed at once (token.pml); after a failover the old master
 * takes no writes (min-replicas-to-write, and a `down-after` that is long enough: the promise needs both). Every write
 * makes a new version. gone[v] is the tick in which v stopped being what the master has: replaced, or forgotten.
 The bus is lost when its server restarts, or when the target leaves it.
 *
 * Proved: what a reader gets that came at s, from L1 or from L2, was what the master had at some time since s - T (I1,
 * over failovers, and no eternal staleness); I7: neither the node's epoch nor what the script answers goes down.
 *
 * Switches, each a rule left out: NO_EPOCHS, KNOWN_IGNORED (the script's rule), COUNTER_ONLY (KNOWN_IGNORED, and epochs
 * are compared by their counters), NO_REPLID (the script's rule), LINKS_NOT_BOUND (a read installs whatever the target
 * of its link), NO_LINK_FENCE, NO_FLOOR (at a change of epoch), ANY_REIGN (a master that is one again is believed to have
 * been one all the time). */
#ifndef T
#define T 1
#endif
#ifndef END
#define END 3
#endif
#ifndef WRITES
#define WRITES 1
#endif
#ifndef MOVES
#define MOVES 2 /* failovers and restarts */
#endif
#ifndef FLUSHES
#define FLUSHES 0
#endif
#ifndef OTHERS
#define OTHERS 0 /* was too much to search whole; times that somebody else runs the script */
#endif
#ifdef COUNTER_ONLY
#define KNOWN_IGNORED
#endif

#define A     0
#define B     1
#define NONE  2
#define NEVER 255
#define BUS_MAX 3

byte now = 1;
byte ids = 2;            /* of processes, replication histories and randoms: the last that was given */

/* --- the servers; beyond `value`, what the script looks at --- */
byte master = A;
byte value[2] = 1;
byte counter[2] = 1;
byte random[2] = 1;
byte run_id[2];
byte replid[2] = 1;
byte meta_run[2] = 1;
byte meta_replid[2] = 1;
byte version = 1;        /* the newest */
byte gone[WRITES + FLUSHES + 2] = NEVER;
mtype = { CHANGED, ECHO };
chan bus = [BUS_MAX] of { mtype, byte, byte, byte }; /* an echo: sent, counter, random */

/* --- the node --- */
byte control = A;        /* servers of the links */
byte bus_at = A;
byte link = A;           /* the worker's */
byte link_target = 1;
byte link_reign = 1;     /* replication id that its last good beat saw; its process is the link's own */
byte link_beat = 1;      /* its last good beat was sent then */
byte epoch = 1;
byte known = 1;
byte target = 1;         /* random of the epoch: it says the process, too, for another process is another epoch */
byte horizon = 1;        /* 0: none */
byte beat_clock;         /* read, not yet sent */
bit may_install = 1;
byte entry = 1;
bit suspect;
bit claim;
byte read_since;         /* a read is on the link, for a reader who came then; 0: none */
byte read_value;         /* 0: has not run yet */
bit read_suspect;        /* issued before the floor */
byte writes = WRITES;
byte moves = MOVES;
byte others = OTHERS;
byte flushes = FLUSHES;
byte target_at = A;      /* the server that the target was seen on */

inline get(s, v)
{
    assert(gone[v] == NEVER || gone[v] + T >= s)
}

#ifdef NO_REPLID
#define promoted(s) false
#else
#define promoted(s) (meta_replid[s] != replid[s])
#endif
#ifdef KNOWN_IGNORED
#define minimum(knows) 0
#else
#define minimum(knows) knows
#endif
#ifdef COUNTER_ONLY
#define is_target(r) true
#else
#define is_target(r) (r == target)
#endif
#ifdef LINKS_NOT_BOUND
#define link_is_bound true
#define link_is_there true
#else
#define link_is_there (link == target_at)
#define link_is_bound (link_target == target)
#endif
#ifdef ANY_REIGN
#define reigns(s) true
#else
#define reigns(s) (replid[s] == link_reign)
#endif
#ifdef NO_LINK_FENCE
#define link_fence_open true
#else
#define link_fence_open (now <= link_beat + T)
#endif

/* The beat script at the master, by one who knows of the epoch `knows`. */
inline script(s, knows)
{
#ifndef NO_EPOCHS
    if
    :: meta_run[s] != run_id[s] || promoted(s) || counter[s] < minimum(knows) ->
        counter[s] = (counter[s] < minimum(knows) -> minimum(knows) : counter[s]);
        counter[s]++; ids++; random[s] = ids
    :: else
    fi;
    meta_run[s] = run_id[s];
    meta_replid[s] = replid[s];
#endif
    skip
}

inline raise_floor() { suspect = (entry != 0); read_suspect = (read_since != 0) }

inline lose_bus()
{
    do
    :: nempty(bus) -> bus?_,_,_,_
    :: empty(bus) -> break
    od;
    bus_at = NONE; claim = 0; may_install = 0
}

inline drop_link() { link = NONE; link_target = 0; link_reign = 0; link_beat = 0; read_since = 0; read_value = 0; claim = 0; read_suspect = 0 }

inline doubt()
{
    horizon = 0; may_install = 0;
#ifndef NO_FLOOR
    raise_floor()
#endif
}

/* The node sees (c, r) on server s. */
inline judge(s, c, r)
{
    if
    :: c > epoch ->
        epoch = c; known = (c > known -> c : known); target = r; target_at = s;
        doubt();
        if
        :: bus_at != NONE && bus_at != s -> lose_bus()
        :: else
        fi
    :: c == epoch && !is_target(r) -> known = (epoch + 1 > known -> epoch + 1 : known); doubt()
    :: else
    fi
}

inline answered(s)
{
#ifndef COUNTER_ONLY
    assert(counter[s] >= known); /* I7 */
#endif
    judge(s, counter[s], random[s])
}

/* What the master has changes to `v`. */
inline becomes(v)
{
    if
    :: was != v -> gone[was] = now; gone[v] = NEVER
    :: else
    fi
}

active proctype world()
{
    mtype message;
    byte sent, c, r, was;
    d_step { run_id[A] = 1; run_id[B] = 2 }
end:
    do

    /* the servers */
    :: d_step { writes > 0 && nfull(bus) -> writes--; was = value[master]; version++; value[master] = version;
        becomes(version); was = 0;
        if
        :: bus_at == master -> bus!CHANGED,0,0,0
        :: else
        fi }
    :: d_step { value[A] != value[B] || random[A] != random[B] || replid[A] != replid[B] ||
                meta_replid[A] != meta_replid[B] || meta_run[A] != meta_run[B] -> /* the replica catches up */
        value[1 - master] = value[master]; counter[1 - master] = counter[master]; random[1 - master] = random[master];
        replid[1 - master] = replid[master]; meta_run[1 - master] = meta_run[master];
        meta_replid[1 - master] = meta_replid[master] }
    :: d_step { moves > 0 -> moves--; was = value[master]; master = 1 - master; ids++; replid[master] = ids;
        becomes(value[master]); was = 0 }
    :: d_step { moves > 0 -> moves--; was = value[master]; value[master] = 1; counter[master] = 1; random[master] = 1;
        meta_run[master] = 1; meta_replid[master] = 1; ids++; run_id[master] = ids; ids++; replid[master] = ids;
        becomes(1); was = 0;
        if
        :: control == master -> control = NONE
        :: else
        fi;
        if
        :: bus_at == master -> lose_bus()
        :: else
        fi;
        if
        :: link == master -> drop_link()
        :: else
        fi }
    :: d_step { flushes > 0 && nfull(bus) -> flushes--; was = value[master]; version++; value[master] = version;
        counter[master] = 0; random[master] = 0; meta_run[master] = 0; meta_replid[master] = 0;
        becomes(version); was = 0;
        if
        :: bus_at == master -> bus!CHANGED,0,0,0 /* nil */
        :: else
        fi }
    :: d_step { others > 0 -> others--; script(master, 0) }

    /* the control link and the bus */
    :: d_step { beat_clock == 0 && control != NONE -> beat_clock = now }
    :: d_step { beat_clock != 0 && control == master && nfull(bus) ->
        script(master, known);
        if
        :: bus_at == master -> bus!ECHO,beat_clock,counter[master],random[master]
        :: else
        fi;
        beat_clock = 0; answered(master) }
    :: d_step { beat_clock != 0 && control != master -> beat_clock = 0; control = NONE } /* refused, or lost */
    :: d_step { control == NONE -> control = master; script(master, known); answered(master) }
    :: d_step { bus_at == NONE -> script(master, known); bus_at = master; answered(master); raise_floor(); claim = 0 }
    :: d_step { nempty(bus) ->
        bus?message,sent,c,r;
        if
        :: message == CHANGED -> entry = 0; suspect = 0; claim = 0
        :: message == ECHO ->
            judge(bus_at, c, r);
            if
            :: c == epoch && is_target(r) && (link == NONE || link_is_there) /* all workers have confirmed */ -> horizon = (sent > horizon -> sent : horizon); may_install = 1
            :: else
            fi
        fi;
        message = 0; sent = 0; c = 0; r = 0 }

    /* the worker */
#ifndef LINKS_NOT_BOUND
    :: d_step { link != NONE && !link_is_there -> drop_link() }
#endif
    :: d_step { link == NONE -> link = master; script(master, known); answered(master); link_beat = now;
        link_target = random[master]; link_reign = replid[master] }
    :: d_step { link != NONE && link_beat != now -> /* a beat that begins no epoch */
        if
        :: link == master && reigns(link) -> link_beat = now; /* whatever became of the epoch */
            link_target = (random[link] != 0 -> random[link] : link_target)
        :: else -> drop_link()
        fi }
    :: d_step { link != NONE && read_since == 0 && !claim -> read_since = now; claim = 1; read_suspect = 0 }
    :: d_step { read_since != 0 && read_value == 0 -> read_value = value[link] }
    :: atomic { read_value != 0 && link_fence_open -> get(read_since, read_value);
        if
        :: claim && may_install && link_is_bound -> entry = read_value; suspect = read_suspect
        :: else -> entry = 0; suspect = 0
        fi;
        claim = 0; read_since = 0; read_value = 0; read_suspect = 0 }

    /* a reader comes and hits: the clock is read when he is here (fence.pml) */
    :: atomic { entry != 0 && !claim && !suspect && horizon != 0 && now <= horizon + T -> get(now, entry) }

    :: d_step { now < END -> now++ }
    od
}
