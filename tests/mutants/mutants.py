# SPDX-License-Identifier: BSD-3-Clause
"""The rules of coherence, each broken in the code as somebody might break it. Rules: T of COHERENCE section 3, I of section
9, F of section 11, "section 4" for epochs and targets.

Edits are (file, old text, new text); an old text stands exactly once in its file, and is as short as that allows. Killers
are named as in run.py, the cheapest first. `equivalent`: no test can kill it, and why.
"""
import collections

Mutant = collections.namedtuple("Mutant", "name rule edits killers equivalent", defaults=("",))

CLAIM, FLIGHT, WINDOW_RELAY, WINDOW_H = "tiers/l1_claim.c", "tiers/flight.c", "tiers/window_relay.c", "tiers/window.h"
FLIGHT_VALUE, FLIGHT_ASK, ROW, SWEEP = "tiers/flight_value.c", "tiers/flight_ask.c", "tiers/flight_row.c", "server/sweep.c"
CONTRACT, BARRIERS, RELAY, EFFECTS = "tiers/contract.c", "tiers/barriers.c", "server/relay.c", "server/effects.c"
ANNOUNCE, NAMESPACE, LINKS = "tiers/announce.c", "tiers/namespace.c", "tiers/window_links.c"
PUBSUB, PUBSUB_LINE = "server/pubsub.c", "server/pubsub_line.c"
COHERENCE, BUS, TARGET = "tiers/coherence.c", "tiers/coherence_bus.c", "tiers/coherence_target.c"
STREAM, BEATS, WAIT = "tiers/coherence_stream.c", "tiers/own_beats.c", "tiers/coherence_wait.c"
FENCE, DOOM, GREETING = "tiers/link_fence.c", "tiers/link_doom.c", "tiers/link_greeting.c"
BANS, ROWS, TABLE, BAN_SCRIPT, L2_BANS = ("tiers/bans.c", "tiers/bans_rows.c", "tiers/bans_table.c", "tiers/scripts/ban.lua",
                                           "server/l2_bans.c")
REPLAY, PAGE = "tiers/coherence_replay.c", "tiers/replay.c"
SNAPSHOT, SNAPSHOT_L1 = "tiers/snapshot.c", "tiers/snapshot_l1.c"
MANAGED, FORK = "tiers/managed.c", "server/managed.c"
LOAD, LOAD_WAIT, LEASE_SCRIPT, EDIT = "tiers/load.c", "tiers/load_wait.c", "tiers/scripts/lease.lua", "server/managed_edit.c"
MANAGED_WRITE, MANAGED_ANSWER, MANAGED_LUA = "tiers/managed_write.c", "tiers/managed_answer.c", "tiers/scripts/managed.lua"
HEALTH, REGION, BALANCE, CLUSTER, UPDATE, STICKY = ("client/health.c", "client/region.c", "client/balance.c", "client/cluster.c",
                                                    "client/cluster_update.c", "client/sticky.c")
GET_OR_LOAD = "client/load.c"
NEAR, LANE, CLIENT_ANSWER = "client/near.c", "client/lane.c", "client/request_answer.c"
PEERS, WAITERS, SCRIPT = "tiers/peers.c", "tiers/waiters.c", "tiers/scripts/beat.lua"

MUTANTS = [
    # --- writes and announcements
    Mutant("the echo of an own write is dropped", "T2", [
        (CLAIM, "unsigned l1_invalidate(struct l1 *l1, const struct l1_key *key)\n{\n",
         "static _Atomic uint64_t own;\nunsigned l1_invalidate(struct l1 *l1, const struct l1_key *key)\n{\n    own = key->hash;\n"),
        (CLAIM, "    unsigned went = 0;\n    struct l1_place place;\n    struct l1_shard *shard = l1_lock(l1, hash);\n",
         "    unsigned went = 0;\n    if (own == hash) {\n        own = 0;\n        return 0;\n    }\n"
         "    struct l1_place place;\n    struct l1_shard *shard = l1_lock(l1, hash);\n")],
           ["unit coherence_bus", "unit coherence_frames", "sim storm", "unit coherence_redis"]),
    Mutant("an announcement ends only database 0", "T2", [(CLAIM, "hash, L1_DB_ANY, bytes", "hash, l1_db_stored(l1, 0), bytes")],
           ["unit l1_tokens", "unit coherence_bus", "unit coherence_frames", "unit l1", "sim storm"]),
    Mutant("an announcement spares tokens", "T2", [
        (CLAIM, "        struct item *entry = l1_remove(shard, &place);\n        went += values_in(entry);",
         "        if (l1_is_claim(l1_place_item(&place))) {\n            break;\n        }\n"
         "        struct item *entry = l1_remove(shard, &place);\n        went += values_in(entry);")],
           ["unit l1_tokens", "unit coherence_bus", "unit coherence_frames", "sim storm"]),
    Mutant("only the first keys of a long list are obeyed", "T2", [
        (BUS, "while (bus_message_next_key(message, &key)) {", "while (message->key_count + 1000 > count && bus_message_next_key(message, &key)) {")],
           ["unit coherence_bus", "unit coherence_frames", "unit coherence_redis", "sim storm", "journey coherence thousands_of_changes"]),
    Mutant("nil (a flush) is ignored", "T2", [
        (BUS, "M_ANNOUNCED_FLUSHES, 1);\n        namespaces_flush_all(coherence->options.namespaces);", "M_ANNOUNCED_FLUSHES, 1);")],
           ["unit coherence_bus", "unit coherence_frames", "sim storm"]),
    Mutant("a forged announcement is ignored", "T2", [
        (BUS, "        coherence_raise_floor(coherence, now_ms, M_FLOORS_MALFORMED);\n        return;\n    case BUS_FRAME",
         "        return;\n    case BUS_FRAME")],
           ["unit coherence_bus", "unit coherence_frames", "sim storm"]),
    Mutant("a token survives the sending of an own write", "T1", [
        (WINDOW_RELAY, "    relay_end_keys(relay);\n    if (status == OK) {\n        status = relay_ask", "    if (status == OK) {\n        status = relay_ask")],
           ["unit window", "sim storm", "journey sessions"]),
    Mutant("a token survives the answer to an own write", "T1", [
        (WINDOW_RELAY, "    relay_end_keys(relay);\n    relay->confirmed =", "    relay->confirmed =")],
           ["unit window", "sim storm"]),
    Mutant("a read overtakes an own write on its connection", "I3", [
        ("server/dispatch_admit.c", "return conn->writes_waiting > 0 ||", "return conn->writes_waiting > 1000000 ||")],
           ["journey sessions slow_write"]),

    # --- what clients keep
    Mutant("clients hear of no doubt", "T2, T8", [
        ("server/node.c", "    tracking_doubt(arg);", "    (void)arg;")],
           ["journey tracking forged"]),
    Mutant("clients hear nothing while the fence is closed", "section 3", [
        ("server/control_l2.c", "        tracking_doubt(l2->node->tracking);\n", "")],
           ["journey tracking cannot_be_told"]),
    Mutant("clients hear of no announced key", "T2", [
        (WAIT, "    if (is_heard(coherence)) {\n        coherence->options.listener.on_key",
         "    if (is_heard(coherence) && node == 1) {\n        coherence->options.listener.on_key")],
           ["journey tracking other_nodes"]),
    Mutant("what a client reads enters no table", "T2", [
        ("server/tracking_call.c", "const bool rows = wants_rows(", "const bool rows = false && wants_rows(")],
           ["journey tracking alone_all"]),

    # --- L0: what applications keep (client/near.h)
    Mutant("L0 does not look at its fence", "L0", [(NEAR, ".is_open = horizon_ms != 0 && now_ms - horizon_ms <= (int64_t)head->bound_ms,", ".is_open = horizon_ms != 0 && now_ms > 0,")],
           ["unit near_proof", "unit near_threads", "journey near frozen_bus"]),
    Mutant("L0: a proof counts from the answer of its beat", "L0", [(NEAR, "beat->sent_ms - (int64_t)beat->horizon_age_ms - 1", "now_ms - (int64_t)beat->horizon_age_ms - 1")],
           ["unit near_proof", "journey near slow_stream"]),
    Mutant("L0: a beat proves more than its node knew", "L0", [(NEAR, "beat->sent_ms - (int64_t)beat->horizon_age_ms - 1", "beat->sent_ms - 1")],
           ["unit near_proof", "unit near_threads", "journey near frozen_bus"]),
    Mutant("L0: an entry lives by the proof of another stream", "L0", [(NEAR, "proofs.horizons_ms[head.slot] : 0", "proofs.horizons_ms[0] : 0")],
           ["unit near_proof"]),
    Mutant("L0: a lost stream leaves its entries", "L0", [(NEAR, "        doubt(near, stream->slot, now_ms);\n        atomic_store", "        (void)now_ms;\n        atomic_store")],
           ["unit near_proof", "journey near cut_stream"]),
    Mutant("L0: a skipped number is not noticed", "L0", [(NEAR, "seq != stream->seq + 1", "seq <= stream->seq")],
           ["unit near_proof"]),
    Mutant("L0: `all` means nothing", "L0", [(NEAR, "    if (all && stream->generation != 0) {", "    if (all && stream->generation == 0) {")],
           ["unit near_proof", "journey near flushed"]),
    Mutant("L0: the floor is the clock of the loop", "L0", [(NEAR, "later(later(now_ms, newest_ms) + 1, floor_ms)", "later(later(now_ms, 0 * newest_ms) + 1, floor_ms)")],
           ["unit near_proof"]),
    Mutant("L0: events end no entries", "L0", [(LANE, "event->stream_seq, list,\n                                                 found, event->all", "event->stream_seq, list,\n                                                 0, event->all")],
           ["journey near calm"]),
    Mutant("L0: an own write ends nothing when it is answered", "L0", [("client/request.c", "    request_near_write(request);\n    unlink_request(request);", "    unlink_request(request);")],
           ["unit client_near"]),
    Mutant("L0: who lands with another value lets stand what stands", "L0", [(NEAR, "    item_release(item);\n    return is_same;", "    item_release(item);\n    return is_same || bytes.size > 0;")],
           ["unit near"]),
    Mutant("L0: a claim that was spared brings what it likes", "L0", [(CLAIM, "return noted == 0 || noted == note_of(l1, landing, item);", "return noted == 0 || noted != note_of(l1, landing, item) || item != NULL;")],
           ["unit l1_tokens", "unit near"]),
    Mutant("L0: a suspect is as young as the next proof", "L0", [(NEAR, "stamp_ms >= prior_ms ? later(proven_ms, read_ms) : read_ms", "stamp_ms >= 0 * prior_ms ? later(proven_ms, read_ms) : read_ms")],
           ["unit near_proof"]),
    Mutant("L0: how old an answer was is forgotten", "L0", [(NEAR, "head->age_ms < 0 ? 0 : stamp_ms - head->age_ms - 1", "head->age_ms < 0 ? 0 : stamp_ms - 1")],
           ["unit near_proof"]),
    Mutant("L0 does not hear what was read past it", "L0", [(CLIENT_ANSWER, "    if (near == NULL || !is_read(request)) {", "    if (near == NULL || !is_read(request) || !has_ticket) {")],
           ["unit client_near", "journey near_reads past"]),

    # --- hashes
    Mutant("a reader of a hash joins the read of a string", "T3", [
        (FLIGHT, " && flight->of_hash == reader->of_hash) {", ") {")],
           ["unit window_hash"]),
    Mutant("a write may come before a read of its connection that is passed on late", "I3", [
        ("server/cmd_hash_read.c", "call_defer(call, WAIT_FOREIGN);", "call_defer(call, WAIT_READ);")],
           ["journey hashes stays_behind"]),

    # --- reads and tokens
    Mutant("a landing without a token keeps the entry", "T3", [
        (CLAIM, "    if (found && !spare_claim(", "    if (found && l1_is_claim(l1_place_item(&place)) && !spare_claim(")],
           ["unit l1_tokens", "sim storm"]),
    Mutant("a landing does not end others' tokens", "T3", [
        (CLAIM, "    if (found && !spare_claim(", "    if (found && !l1_is_claim(l1_place_item(&place)) && !spare_claim(")],
           ["unit l1_tokens", "sim storm"]),
    Mutant("an install needs no token", "I5", [(CLAIM, "return body.token == landing->token &&", "return")],
           ["unit l1_tokens", "sim storm"]),
    Mutant("a token outlives its generation", "T8", [
        (CLAIM, "body.token == landing->token && body.generation == landing->generation", "body.token == landing->token")],
           ["unit l1_tokens", "sim storm"]),
    Mutant("a read joins a flight of an older generation", "T3", [
        (CLAIM, "return body.generation == ask->generation && age_ms <", "return age_ms <")],
           ["unit l1_tokens", "sim storm"]),
    Mutant("a read joins a flight however old", "T3", [
        (CLAIM, " && age_ms < ask->join_ms", "")],
           ["unit l1_tokens", "sim storm"]),
    Mutant("suspects are served", "T8", [(WINDOW_H, "? proof->floor_ms : INT64_MAX;", "? INT64_MIN : INT64_MAX;")],
           ["unit window", "unit modes", "sim storm"]),
    Mutant("the fence is not looked at when serving", "I1", [(WINDOW_H, "proof_reaches(proof, bound_ms) ?", "bound_ms >= 0 ?")],
           ["unit window", "unit modes", "sim storm", "journey check hears_nothing", "journey history cut_links", "journey crashes r7"]),
    Mutant("an entry is stamped when it lands", "T3", [
        (FLIGHT_VALUE, ".stamped_at_ms = flight->issued_at_ms", ".stamped_at_ms = flight->window->now_ms")],
           ["unit window", "sim storm"]),
    Mutant("a life is counted from the landing", "T3", [
        (FLIGHT_VALUE, "? flight->issued_at_ms + life_ms", "? flight->window->now_ms + life_ms")],
           ["unit window", "sim storm", "journey coherence l1_never_outlives_l2"]),
    Mutant("who joins late is told of a life that was over", "T3", [
        (FLIGHT, "    if (status == OK && may_look && is_over_for(reader, value->item)) {", "    if (status == PENDING && is_over_for(reader, value->item)) {")],
           ["unit window", "sim storm"]),
    Mutant("an own answer installs its value", "T1", [
        (WINDOW_RELAY, "static void relay_on_reply(",
         "static struct own {\n    const struct tiers_relay *relay;\n    size_t size;\n    char value[64];\n} owns[1024];\n"
         "static struct own *own_of(const struct tiers_relay *relay)\n{\n"
         "    return &owns[((uintptr_t)relay >> 5) * 0x9e3779b97f4a7c15u >> 54];\n}\n"
         "static void relay_on_reply("),
        (WINDOW_RELAY, "    relay_end_keys(relay);\n    relay->confirmed =",
         "    relay_end_keys(relay);\n    struct own *own = own_of(relay);\n"
         "    if (relay == own->relay && status == OK && reply.data[0] == '+') {\n"
         "        struct tiers_window *window = relay->window;\n"
         "        struct l1 *l1 = window_key(window, relay->keys).ns->l1;\n"
         "        struct l1_value seen = {0};\n        struct l1_claim claim;\n"
         "        const struct l1_ask ask = {.now_ms = window->now_ms, .floor_ms = INT64_MAX,\n"
         "            .generation = window->generation};\n"
         "        const struct item_spec spec = {.db = relay->keys->db, .key = relay->keys->bytes,\n"
         "            .value_size = own->size, .stamped_at_ms = window->now_ms};\n"
         "        struct item *item = item_write(item_new(&spec),\n"
         "            (struct slice){.data = own->value, .size = own->size});\n"
         "        if (l1_ask(l1, relay->keys, &ask, &seen, &claim) == CLAIMED) {\n"
         "            (void)!l1_fill(l1, relay->keys, &(struct l1_landing){.token = claim.token,\n"
         "                .generation = claim.generation, .install = true, .now_ms = window->now_ms}, item);\n"
         "        }\n        item_release(item);\n        own->relay = NULL;\n    }\n    relay->confirmed ="),
        (WINDOW_RELAY, "    relay_end_keys(relay);\n    if (status == OK) {\n        status = relay_ask",
         "    if (bytes.size > 11 && memcmp(bytes.data, \"*3\\r\\n$3\\r\\nSET\", 11) == 0) {\n"
         "        struct own *own = own_of(relay);\n"
         "        const char *last = memrchr(bytes.data, '$', bytes.size);\n"
         "        const char *value = (const char *)memchr(last, '\\n', 8) + 1;\n"
         "        own->size = bytes.size - (size_t)(value - bytes.data) - 2;\n"
         "        if (own->size < sizeof own->value) {\n            memcpy(own->value, value, own->size);\n"
         "            own->relay = relay;\n        }\n    }\n"
         "    relay_end_keys(relay);\n    if (status == OK) {\n        status = relay_ask"),
        (WINDOW_RELAY, "#include <string.h>\n", "#include <stdlib.h>\n#include <string.h>\n")],
           ["unit window", "sim storm"]),
    Mutant("an install does not ask whose answer it is", "section 4", [
        (FLIGHT, "return target != 0 && target == flight->target;", "return target != 1;")],
           ["unit window", "sim storm"]),
    Mutant("reads for L1 have no fence", "T3", [(FLIGHT_ASK, "        .fence_ms = flight->fence_ms,\n    };", "        .fence_ms = 0,\n    };")],
           ["unit window", "sim storm", "journey l2_fence"]),
    Mutant("reads that are passed on have no fence", "section 3", [
        (WINDOW_RELAY, ".fence_ms = relay->writes ? 0 : relay_fence_ms(relay)", ".fence_ms = 0 * relay_fence_ms(relay)")],
           ["unit window", "sim storm", "journey l2_fence"]),
    Mutant("installs need no echo", "section 4", [
        (FLIGHT, "           atomic_load_explicit(&view->may_install, memory_order_acquire);", "           view != NULL;")],
           ["unit window", "sim storm"]),
    Mutant("the default bound is every namespace's", "section 7", [
        (WINDOW_H, "const int64_t bound_ms = namespace_bound_ms(ns);",
         "const int64_t bound_ms = namespace_bound_ms(namespaces_default(window->namespaces));")],
           ["unit window", "sim storm", "journey namespaces its_own_bound"]),
    Mutant("beats go by the default namespace's bound", "section 7", [
        (NAMESPACE, "least_ms = bound_ms < least_ms ? bound_ms : least_ms;",
         "least_ms = ns == namespaces_default(spaces) ? bound_ms : least_ms;")],
           ["unit namespace", "sim storm"]),

    # --- modes and what a read asks for
    Mutant("strict and available serve with the fence closed", "section 7", [
        (CONTRACT, "return proof_reaches(proof, mode->bound_ms) ? proof->floor_ms : INT64_MAX;", "return proof->floor_ms;")],
           ["unit contract", "unit modes"]),
    Mutant("available ignores its grace", "section 7", [
        (CONTRACT, "proof_floor_of(proof, mode->grace_ms)", "proof_floor_of(proof, mode->grace_ms > 0 ? INT64_MAX : 0)")],
           ["unit contract", "unit modes"]),
    Mutant("suspects are as young as what is not", "section 7", [
        (CONTRACT, "        from_ms = least(from_ms, proof->floor_ms);", "        from_ms = least(from_ms, proof->prior_floor_ms);")],
           ["unit contract", "unit modes"]),
    Mutant("strict joins a read when nothing tells how old it is", "section 7", [
        (CONTRACT, "mode->kind == NAMESPACE_STRICT && good_from_ms == INT64_MAX", "mode->kind == NAMESPACE_STRICT && mode->bound_ms == 0")],
           ["unit contract", "unit modes"]),
    Mutant("MAXSTALE joins a read however old", "section 7", [
        (CONTRACT, "    contract->join_ms = least(contract->join_ms, limit_ms);\n", "")],
           ["unit contract", "unit modes"]),
    Mutant("a read joins one whose link is proved less", "section 7", [
        (FLIGHT, "if (flight != NULL && flight->fence_ms <= fence_ms && flight->of_hash == reader->of_hash) {", "if (flight != NULL && flight->of_hash == reader->of_hash) {")],
           ["unit modes"]),
    Mutant("ATLEAST is content with the seq before", "section 7", [
        (CONTRACT, "if (wish->atleast_seq > proof->applied_seq) {", "if (wish->atleast_seq > proof->applied_seq + 1) {")],
           ["unit contract", "unit modes"]),
    Mutant("ATLEAST ignores the epoch", "section 7", [
        (COHERENCE, "    coherence_show_applied(coherence, 0);\n    stream_reset", "    stream_reset")],
           ["unit coherence", "unit coherence_frames", "unit modes", "unit coherence_wait"]),
    Mutant("ATLEAST is served suspects", "section 7", [
        (CONTRACT, "contract.serve_from_ms = most(contract.serve_from_ms, proof->floor_ms);",
         "contract.serve_from_ms = most(contract.serve_from_ms, proof->prior_floor_ms);")],
           ["unit contract", "unit modes"]),

    Mutant("SYNC waits for a marker only", "section 7", [
        ("server/cmd_cache_invalidate.c", ".kind = syncs ? WAITER_EVERYWHERE : WAITER_MARKER",
         ".kind = order->sync_ms >= INT64_MAX ? WAITER_EVERYWHERE : WAITER_MARKER")],
           ["journey cache_commands frozen_node"]),
    Mutant("a raised bound is served by before others know it", "section 7", [
        (NAMESPACE, "wanted < told_ms ? wanted : told_ms;", "told_ms < 0 ? told_ms : wanted;")],
           ["unit namespace"]),
    Mutant("reading anew claims what is no suspect", "T3", [
        (CLAIM, "    if (item_stamped_at_ms(item) >= ask->floor_ms) {\n        return OK;\n    }\n    const enum status", "    const enum status")],
           ["unit revalidate_reads", "sim storm"]),

    # --- warming
    Mutant("a prefetch lands without its token", "I5", [
        (CLAIM, "    return body.token == landing->token && body.generation",
         "    return (landing->on_probation || body.token == landing->token) && body.generation")],
           ["unit prefetch", "sim storm"]),
    Mutant("a prefetch keeps what the bus does not confirm", "T4", [
        (FLIGHT, "!flight->judged && flight_may_install(flight, ns) &&",
         "!flight->judged && (flight_prefetches(flight) || flight_may_install(flight, ns)) &&")],
           ["unit prefetch"]),
    Mutant("a part of a value is taken for the whole", "I5", [
        (FLIGHT_ASK, "    if (bytes.size > flight->most) {\n", "    if (bytes.size > flight->most && flight->in_steps) {\n")],
           ["unit prefetch_large", "sim storm"]),
    Mutant("no bytes are taken for an empty value", "I5", [
        (FLIGHT_ASK, "    if (bytes.size > 0) {\n        return false;", "    if (flight != NULL) {\n        return false;")],
           ["unit prefetch", "sim storm"]),
    Mutant("an empty value is taken for none", "I5", [
        (FLIGHT_ASK, "if (flight->pttl_ms == FLIGHT_TTL_NO_KEY) {", "if (flight->pttl_ms != FLIGHT_TTL_NONE) {")],
           ["unit prefetch_large"]),
    Mutant("a client who joined what warming asks for is told that it is large", "I5", [
        (FLIGHT_ASK, "    if (!flight_is_in_background(flight)) {\n        ask_anew(flight, FLIGHT_GET);\n    } else if (size",
         "    if (flight == NULL) {\n        ask_anew(flight, FLIGHT_GET);\n    } else if (size")],
           ["unit prefetch_large"]),
    Mutant("a value of the second question lives as long as the first said", "I5", [
        (FLIGHT_ASK, "flight->pttl_ms = element.number < most_ms", "flight->pttl_ms = flight->in_steps ? -1 : element.number < most_ms")],
           ["unit prefetch_large"]),
    Mutant("a value that has grown meanwhile is asked for however large", "I5", [
        (FLIGHT_ASK, "    } else if (flight->most >= kept_max(flight)) {\n        flight_landed(flight, TOO_BIG, &(struct tiers_value){0}); /* it has grown */\n",
         "    } else if (flight->most >= kept_max(flight)) {\n        ask_anew(flight, FLIGHT_GET);\n")],
           ["unit prefetch_large"]),

    # --- strict
    Mutant("a strict write is acknowledged before the marker", "section 7", [
        (WINDOW_RELAY, "if (status == OK && relay_must_wait(relay, reply)) {", "if (status == OK && reply.size == 0 && relay_must_wait(relay, reply)) {")],
           ["unit modes", "sim storm", "journey registers"]),
    Mutant("a strict read is told before all nodes are rid of older", "section 7", [
        (FLIGHT, "if (is_told && namespace_kind(", "if (is_told && window == NULL && namespace_kind(")],
           ["unit modes", "sim storm"]),
    Mutant("a strict read tells at once that a key is no string", "section 7", [
        (FLIGHT, "status == OK || (status == L2_ERROR && !flight_error_is_of_l2(value->error));", "status == OK;")],
           ["unit modes"]),
    Mutant("a strict write tells at once that a key is no string", "section 7", [
        (WINDOW_RELAY, "return !tells_nothing && relay", "return !tells_nothing && reply.data[0] != REPLY_ERROR && relay")],
           ["unit modes"]),
    Mutant("a strict write waits for markers while Redis refuses them", "section 7", [
        (WINDOW_RELAY, "(!relay->keys_unknown && is_refusal(reply))", "(reply.size == 0 && is_refusal(reply))")],
           ["unit modes"]),
    Mutant("strict believes a script that says that nothing ran", "section 7", [
        (WINDOW_RELAY, "!relay->runs_code && is_no_call(reply)", "is_no_call(reply)")],
           ["unit modes"]),
    Mutant("strict is content if it cannot be told that all have applied", "section 7", [
        (WINDOW_RELAY, "relay->on_reply(relay, status == OK ? OK : STALE, buf_slice(&kept));", "relay->on_reply(relay, status == STALE ? STALE : OK, buf_slice(&kept));")],
           ["unit modes"]),
    Mutant("strict tells UNKNOWN while another node shows what was before", "section 7", [
        (WINDOW_RELAY, "status == UNKNOWN && relay->confirmed && relay_is_strict(relay)", "false")],
           ["unit modes", "sim unsaid", "journey strict unknown"]),
    Mutant("strict says that a write was done whose outcome is not known", "T7", [
        (WINDOW_RELAY, "relay->on_kept != NULL && !relay->is_unknown", "relay->on_kept != NULL")],
           ["unit modes", "journey strict unknown"]),
    Mutant("strict tells UNKNOWN without a warning if it cannot be waited", "section 7", [
        (WINDOW_RELAY, "            return;\n        }\n        relay->confirmed = false;\n", "            return;\n        }\n")],
           ["unit modes"]),
    Mutant("strict does not wait for what a script wrote", "section 7", [
        (WINDOW_RELAY, "return any && namespaces_any_strict(", "return any && !relay->keys_unknown && namespaces_any_strict(")],
           ["unit modes"]),
    Mutant("strict waits for a marker only", "section 7", [
        ("server/worker_confirm.c", ".waiter = {.kind = WAITER_EVERYWHERE,", ".waiter = {.kind = WAITER_MARKER,")],
           ["journey modes until_it_is_fenced"]),

    # --- goodbye
    Mutant("every beat says goodbye", "section 7", [
        (COHERENCE, "(coherence->leaving ? (uint32_t)FRAME_BEAT_LEAVING : 0u)", "(uint32_t)FRAME_BEAT_LEAVING")],
           ["unit coherence_wait", "sim storm"]),
    Mutant("a node beats on after its goodbye", "section 7", [
        (COHERENCE, " ||\n        coherence->has_left) {", ") {")],
           ["unit coherence_wait"]),
    Mutant("who said goodbye is waited for", "section 7", [
        (PEERS, "return peer->has_left || now_ms", "return now_ms")],
           ["unit peers", "unit coherence_wait"]),
    Mutant("goodbye is said while clients are served", "section 7", [
        ("server/control.c", "        round_begin(control->rounds, step_drain);\n",
         "        round_begin(control->rounds, step_drain);\n        if (control->l2 != NULL) {\n"
         "            coherence_end_waits(tiers_coherence(control->node->tiers));\n"
         "            control_l2_leave(control->l2);\n        }\n")],
           ["journey strict drains"]),
    Mutant("the simulated node says goodbye while it serves", "section 7", [
        ("tests/sim/nemesis.c", "    client_node_dies(world, node);\n    node_leave(node);\n", "    node_leave(node);\n"),
        ("tests/sim/nemesis.c", "        node_kill(node);\n        (void)node_new(world, node->slot);",
         "        client_node_dies(world, node);\n        node_kill(node);\n        (void)node_new(world, node->slot);"),
        ("tests/sim/node.c", "    end_links(node);\n    coherence_end_waits(", "    coherence_end_waits(")],
           ["sim leave"]),

    # --- writers = nodes
    Mutant("writers = nodes: the write stands before its announcement", "section 8, F3", [
        (ANNOUNCE, "    size_t at = 0;\n    while", "    size_t at = 0;\n    if (status == OK) {\n        status = buf_append_slice(out, announce->commands);\n    }\n    while"),
        (ANNOUNCE, "        status = buf_append_slice(out, announce->commands);\n    }\n    return status == OK", "        ++at;\n    }\n    return status == OK")],
           ["unit announce", "journey writers_nodes"]),
    Mutant("writers = nodes: MULTI and EXEC are left out of the order", "section 8", [
        (ANNOUNCE, "    enum status status = resp_append_request(out, 1, multi);", "    enum status status = resp_append_request(out, 1, exec);\n    (void)multi;")],
           ["unit announce"]),
    Mutant("writers = nodes: unknown keys are announced to nobody", "section 8", [
        (ANNOUNCE, "announce->key_count == 0 && status == OK) {", "announce->key_count == 0 && status != OK) {")],
           ["unit announce"]),
    Mutant("writers = nodes: only the first frame of many keys is sent", "section 8", [
        (ANNOUNCE, "        status = OK; /* the rest goes into the next */", "        status = OK;\n        *at = key_count;")],
           ["unit announce"]),
    Mutant("writers = nodes: a write's frame is not obeyed", "section 8", [
        (BUS, "        stream_announced(&coherence->stream, text);\n        obey_frame(coherence, &frame, now_ms);", "        stream_announced(&coherence->stream, text);")],
           ["unit coherence_bus"]),
    Mutant("writers = nodes: a write's frame is not in the stream hash", "section 8, T6", [
        (BUS, "        stream_announced(&coherence->stream, text);\n", "")],
           ["unit coherence_bus", "journey writers_nodes stream_hash"]),
    Mutant("writers = nodes: a bound is promised of what strangers may write", "section 8", [
        (NAMESPACE, "const bool falls = untracked && !atomic_load(&ns->told);", "const bool falls = untracked && ns == NULL;")],
           ["unit namespace"]),
    Mutant("writers = nodes: what was held stays when the bus loses its tracking", "section 8", [
        (NAMESPACE, "    if (atomic_exchange(&ns->fallen, falls) != falls) {", "    if (atomic_exchange(&ns->fallen, falls) != falls && ns == NULL) {")],
           ["unit namespace", "unit coherence_bus", "journey writers_nodes comes_and_goes"]),
    Mutant("writers = nodes: nodes that hear different things compare", "section 8, T6", [
        (BUS, "    if (!hears_alike ||\n", "    if ((!hears_alike && now_ms == 0) ||\n")],
           ["unit coherence_bus", "unit coherence_stream"]),

    # --- the barrier
    Mutant("a script owes no barrier", "I4", [(RELAY, "relay->owes || effects_owe(call);", "relay->owes || (effects_owe(call) && call->argc == 0);")],
           ["journey barrier late"]),
    Mutant("a read of keys that nobody named owes no barrier", "I4", [
        (EFFECTS, "        return command->first_key == 0;", "        return command->first_key == 0 && effects_write(command);")],
           ["journey barrier bus_is_late"]),
    Mutant("clients may speak on the nodes' channels", "section 3", [
        (PUBSUB, "(call->command->run == cmd_publish && pubsub_hides(call->argv[1]))", "(call->argc == 0 && pubsub_hides(call->argv[1]))")],
           ["journey pubsub hidden"]),
    Mutant("a subscriber of a lost L2 is left without a word", "section 6", [
        (PUBSUB_LINE, "        conn_close_after_reply(conn);\n", "")],
           ["journey pubsub dies"]),
    Mutant("a beat of the native protocol does not empty the inbox first", "native.h", [
        ("server/native_events.c", "        tracking_end_turn(worker);\n        if (!tracking_has_news(worker->node->tracking, worker->index)) {",
         "        if (i == 0) {")],
           ["journey native_watch stands_behind"]),
    Mutant("a copy of a suspect may be kept", "native.h", [("server/fetched.c", " || !fetched->is_sound) {", ") {")],
           ["journey native_watch suspect"]),
    Mutant("a load that was won too late stays with nobody", "native.h", [
        ("server/native_deadline.c", "    answer_abandon(answer);\n", "    answer_abandon(answer);\n    answer->conn = conn;\n")],
           ["journey native won_too_late"]),
    Mutant("a read behind one that owes may hit", "I4", [
        (RELAY, "holds_back = writes || relay->owes ||", "holds_back = writes ||")],
           ["journey barrier"]),
    Mutant("keys of a block behind its SELECT do not end", "T1", [(EFFECTS, "        dbs |= effects_db_bit(db);", "        dbs |= 0;")],
           ["journey transactions read_by_all"]),
    Mutant("under WATCH a read comes from L1", "COMPATIBILITY", [
        ("server/dispatch.c", "(call->line != NULL && (command->flags & COMMAND_OWN) == 0)", "false")],
           ["journey transactions under_watch"]),
    Mutant("a write that announces itself does so on the line that watches", "section 8", [
        ("server/transaction.c", "writes && namespaces_any_told(call->node->namespaces);", "writes && call->argc == 0;")],
           ["journey transactions other_kinds"]),
    Mutant("a barrier is over with an earlier pong", "I4", [
        (BARRIERS, "ENTRY(barriers->list.next)->ping <= ping) {", "ENTRY(barriers->list.next)->ping <= barriers->pings) {")],
           ["unit barriers"]),
    Mutant("a barrier joins a PING that is out already", "I4", [(BARRIERS, "    barrier->ping = barriers->pings + 1;", "    barrier->ping = barriers->pings;")],
           ["unit barriers"]),
    Mutant("a barrier is over with its first pong", "I4", [(BARRIERS, "    barrier->has_first = false;", "    barrier->has_first = true;")],
           ["unit barriers"]),
    Mutant("a barrier without a bus raises no floor", "I4", [
        (WAIT, "        coherence_raise_floor(coherence, now_ms, M_FLOORS_BARRIER);", "        coherence_count(coherence, M_FLOORS_BARRIER, now_ms != 0);")],
           ["unit barriers"]),
    Mutant("the bus of another process answers for a barrier", "I4", [
        (WAIT, "    if (coherence->phase != BUS_CONFIRMED || elsewhere) {", "    if (coherence->phase != BUS_CONFIRMED || (elsewhere && now_ms == 0)) {")],
           ["unit barriers"]),
    Mutant("an answer joins a barrier that was asked for before", "I4", [
        ("server/barrier.c", "list_push_back(&desk->next, &place->link);", "list_push_back(desk->under_way ? &desk->asked : &desk->next, &place->link);")],
           ["journey barrier ping_of_its_own"]),

    # --- beats, horizon, floor, generation
    Mutant("H is the time of the receipt", "T4, I1", [(WAIT, "coherence->home_ms = proved.home_ms;", "coherence->home_ms = now_ms;")],
           ["unit coherence", "unit coherence_bus", "unit coherence_frames", "sim storm"]),
    Mutant("H is stored at the echo, in front of what Redis still owes", "I1, I6", [
        (BUS, "    coherence->unproved.home_ms = beat->sent_at_ms;\n",
         "    coherence->home_ms = beat->sent_at_ms;\n    coherence_open(coherence);\n")],
           ["unit coherence_proof", "sim early", "journey early_answers marker"]),
    Mutant("a frame is applied and acknowledged in front of what Redis still owes", "T5", [
        (BUS, "    coherence->unproved.seq = coherence->seq;\n",
         "    coherence->unproved.seq = coherence->seq;\n    coherence_show_applied(coherence, coherence->seq);\n"),
        (BUS, "        coherence->unproved.ack = true;\n", "        coherence->ack = true;\n")],
           ["unit coherence_proof", "unit coherence_wait"]),
    Mutant("a marker is home in front of what Redis still owes", "T5", [
        (BUS, "        coherence->unproved.marker = beat->marker;\n",
         "        waiters_home(&coherence->waiters, beat->marker, frame->seq_first, &coherence->peers, coherence->heard_at_ms);\n")],
           ["unit coherence_wait"]),
    Mutant("a larger T is made use of in front of what Redis still owes", "section 7", [
        (BUS, "    coherence->unproved.told_ms = bound_ms;\n", "    coherence->unproved.told_ms = bound_ms;\n    coherence->told_ms = bound_ms;\n")],
           ["unit coherence_proof"]),
    Mutant("nil is taken for what Redis owes", "I6", [
        (BUS, "        coherence_tell_flush(coherence);\n        coherence->hurry = true;\n",
         "        coherence_tell_flush(coherence);\n        coherence_prove(coherence, now_ms);\n")],
           ["unit coherence_proof", "sim storm"]),
    Mutant("an echo in front of a doubt is proved behind it", "section 6", [
        (WAIT, "    coherence->unproved.home_ms = 0;\n", "")],
           ["unit coherence_proof", "sim storm"]),
    Mutant("any node's beat counts as an echo", "T4", [
        (BUS, "if (frame->node == coherence->options.node) {\n        echo_came",
         "if (frame->node != 0) {\n        echo_came")],
           ["unit coherence_stream", "unit coherence_frames"]),
    Mutant("a nonce is not looked at", "T4", [(BEATS, "found->nonce == nonce && !found->is_home", "nonce != 0 && !found->is_home")],
           ["unit coherence", "unit coherence_bus", "unit coherence_frames", "sim storm"]),
    Mutant("the floor does not rise when something is doubted", "section 6", [
        (COHERENCE, "    coherence_raise_floor(coherence, now_ms, cause);\n", "    coherence_count(coherence, cause, 1);\n")],
           ["unit coherence", "unit coherence_bus", "unit coherence_frames", "sim storm"]),
    Mutant("a hole in the numbering is ignored", "T4, I6", [(BUS, "    if (is_hole) {", "    if (is_hole && false) {")],
           ["unit coherence_bus", "unit coherence_frames", "sim storm"]),
    Mutant("H stays when something is doubted", "section 6", [
        (COHERENCE, "    coherence->doubts++;\n    close_fence(coherence);", "    coherence->doubts++;\n    if (coherence->doubts == 0) {\n        close_fence(coherence);\n    }")],
           ["unit coherence", "unit coherence_bus", "unit coherence_frames", "sim storm"]),
    Mutant("a malformed frame is skipped", "section 5", [
        (BUS, "malformed(coherence, now_ms, \"a frame on the bus is malformed\");", "")],
           ["unit coherence_bus", "unit coherence_frames", "sim storm"]),
    Mutant("the generation stays when the bus is lost", "T8", [
        (COHERENCE, "        coherence_next_generation(coherence);\n        coherence->hurry = true;",
         "        coherence->hurry = true;")],
           ["unit coherence", "unit coherence_bus", "unit coherence_frames", "sim storm"]),
    Mutant("the generation stays when the bus is back", "T8", [
        (BUS, "    coherence_next_generation(coherence);\n    coherence_raise_floor(coherence, now_ms, M_FLOORS_BUS);",
         "    coherence_raise_floor(coherence, now_ms, M_FLOORS_BUS);")],
           ["unit coherence", "unit coherence_bus", "unit coherence_frames", "sim storm"]),
    Mutant("the floor does not rise when the bus is back", "T8", [
        (BUS, "    coherence_raise_floor(coherence, now_ms, M_FLOORS_BUS);\n", "")],
           ["unit coherence", "unit coherence_bus", "unit coherence_frames", "sim storm"]),
    Mutant("what was sent before the subscription opens", "T8", [
        (BUS, "    own_beats_void(&coherence->beats);\n    coherence_interrupt(coherence, now_ms);\n    coherence_next_generation",
         "    coherence_interrupt(coherence, now_ms);\n    coherence_next_generation")],
           ["unit coherence", "unit coherence_bus", "unit coherence_frames", "sim storm"]),
    Mutant("installs go on without a bus", "T8", [
        (COHERENCE, "        coherence_allow_install(coherence, false);\n        forget_seq", "        forget_seq")],
           ["unit coherence", "unit coherence_bus", "unit coherence_frames", "sim storm"]),
    Mutant("the clock is read before the sockets", "I1", [
        ("server/worker_batch.c", "    worker->timed_ns = 0;\n    worker_read_clock(worker);", "    worker->timed_ns = 0;")],
           ["journey history stop_a_node"]),
    Mutant("a run of plain calls goes on behind any other", "dispatch", [
        ("server/dispatch.c", "    worker->plain = NULL;\n    struct call call", "    struct call call")],
           ["journey plain_calls"]),
    Mutant("a pause does not hold plain calls", "dispatch", [
        ("server/dispatch.c", "!request_is_plain(worker, request) || is_paused(worker)", "!request_is_plain(worker, request) || (is_paused(worker) && request->argc == 0)")],
           ["journey plain_calls pause"]),

    Mutant("a bus that echoes nothing is kept", "section 4", [
        (COHERENCE, "if (answered_at_ms != 0 && now_ms", "if (answered_at_ms < 0 && now_ms")],
           ["unit coherence"]),
    Mutant("the control link stays at a demoted master", "section 4", [
        ("server/control_l2.c", "if (status == L2_ERROR && is_no_master(error)) {", "if (status == L2_ERROR && is_no_master(error) && error[0] == 0) {")],
           ["journey coherence demoted"]),
    Mutant("an exchange of databases ends only the first", "T2", [
        (BUS, "flush.dbs != 0 ? flush.dbs : DATABASES_ALL", "flush.dbs != 0 ? flush.dbs & (uint16_t)-flush.dbs : DATABASES_ALL")],
           ["unit coherence_wait", "unit coherence_frames", "journey bypass exchanged"]),

    # --- the stream hash
    Mutant("a different stream hash is ignored", "T6", [
        (BUS, "    } else if (ours == beat->stream_hash) {", "    } else if (ours != 0) {")],
           ["unit coherence_stream", "unit coherence_bus", "unit coherence_frames", "sim deaf"]),
    Mutant("announcements are not hashed", "T6", [
        (BUS, "        stream_announced(&coherence->stream, reply);", "        (void)reply;")],
           ["unit coherence_stream", "unit coherence_bus", "unit coherence_frames", "sim deaf"]),
    Mutant("nothing of the stream is reported", "T6", [
        (COHERENCE, "beat.since_seq, beat.applied_seq, &beat.stream_hash)) {", "beat.since_seq, beat.applied_seq, &beat.stream_hash) || true) {")],
           ["unit coherence_stream", "unit coherence_bus", "unit coherence_frames", "sim deaf"]),
    Mutant("reports begin where the last one was sent to", "T6", [
        (BUS, "    coherence->reported_seq = beat->applied_seq;\n", ""),
        (COHERENCE, "    own_beats_sent(&coherence->beats, &own);", 
         "    own_beats_sent(&coherence->beats, &own);\n    coherence->reported_seq = own.applied_seq;")],
           ["unit coherence_stream", "sim deaf"]),

    # --- epochs and targets
    Mutant("a smaller epoch is adopted", "I7", [
        (COHERENCE, "    if (epoch.counter > coherence->epoch.counter) {", "    if (epoch.counter != coherence->epoch.counter) {"),
        (COHERENCE, "    if (epoch.counter < coherence->epoch.counter) {", "    if (epoch.counter == 0) {")],
           ["unit coherence", "unit coherence_bus", "unit coherence_frames", "sim storm"]),
    Mutant("another epoch of the same number is ours", "section 4", [
        (COHERENCE, "    if (epoch.random != coherence->epoch.random) {", "    if (epoch.counter == 0) {")],
           ["unit coherence", "unit coherence_bus", "unit coherence_frames", "sim storm"]),
    Mutant("a new epoch keeps the floor", "section 4", [
        (COHERENCE, "    coherence_doubt(coherence, now_ms, M_FLOORS_EPOCH, \"%s\", why);",
         "    const int64_t floor_ms = coherence->view.floor_ms;\n"
         "    coherence_doubt(coherence, now_ms, M_FLOORS_EPOCH, \"%s\", why);\n    coherence->view.floor_ms = floor_ms;")],
           ["unit coherence", "unit coherence_bus", "unit coherence_frames", "unit coherence_target", "sim storm"]),
    Mutant("beats of the old epoch open the new one", "section 4", [
        (COHERENCE, "    own_beats_void(&coherence->beats);\n    coherence_allow_install(coherence, false);",
         "    coherence_allow_install(coherence, false);")],
           ["unit coherence", "unit coherence_bus", "unit coherence_frames", "unit coherence_target", "sim storm"]),
    Mutant("H is stored before the workers left the former L2", "section 4", [
        (TARGET, "return coherence->confirmed ? NULL :", "return coherence->confirmed || coherence->run != 0 ? NULL :")],
           ["unit coherence_target", "sim storm"]),
    Mutant("bus and control link may be at two processes", "section 4", [
        (TARGET, "    if (coherence->bus.run != coherence->run) {", "    if (coherence->run == 0) {")],
           ["unit coherence_target", "sim storm"]),
    Mutant("another process keeps the generation", "section 4", [
        (TARGET, "            coherence_next_generation(coherence);\n", "")],
           ["unit coherence_target", "sim storm"]),
    Mutant("the target survives its epoch", "section 4", [
        (COHERENCE, "    coherence_lose_target(coherence);\n    coherence->epoch = epoch;", "    coherence->epoch = epoch;")],
           ["unit coherence_target", "unit coherence", "sim storm"]),
    Mutant("workers confirm without leaving", "section 4", [
        (LINKS, "link_state(link) == LINK_READY && link_run(link) != run)", "link_state(link) == LINK_READY && run == 0)")],
           ["unit window", "sim storm", "journey coherence former_one"]),
    Mutant("a link accepts a smaller epoch than the node's", "section 4", [
        (FENCE, "    if (greeting->epoch.counter > node.counter ||", "    if (greeting->epoch.counter > 0 || greeting->epoch.counter > node.counter ||")],
           ["unit link_check", "sim storm"]),
    Mutant("the epoch that was seen is not told to the script", "section 4", [
        (COHERENCE, "        .known_epoch = coherence->known_epoch,\n        .fresh", "        .known_epoch = 0,\n        .fresh")],
           ["unit coherence", "unit coherence_bus", "unit coherence_frames", "sim storm"]),
    Mutant("a rolled back epoch is accepted", "section 4", [(SCRIPT, "elseif counter < known then", "elseif counter < 0 then")],
           ["journey beat_script"]),
    Mutant("a restart is no new epoch", "section 4", [(SCRIPT, "elseif meta[3] ~= run then", "elseif meta[3] == nil then")],
           ["journey beat_script"]),
    Mutant("a promotion is no new epoch", "section 4", [
        (SCRIPT, "elseif meta[4] ~= replid and string.find(replid2, '[^0]') then", "elseif meta[4] == nil then")],
           ["journey beat_script"]),
    Mutant("a lost seq is no new epoch", "section 4", [
        (SCRIPT, "elseif not counts or tonumber(last) < base_of(counter) then", "elseif false then")],
           ["journey beat_script"]),
    Mutant("a seq below its epoch is counted on from", "section 4", [
        (SCRIPT, "elseif not counts or tonumber(last) < base_of(counter) then", "elseif not counts then")],
           ["journey beat_script"]),
    Mutant("a check may begin an epoch", "section 4", [(SCRIPT, "    if why then\n        return { 0, why", "    if why and counter > 0 and counter == known then\n        return { 0, why")],
           ["journey beat_script"]),
    Mutant("a check takes any random for its epoch's", "section 4", [(SCRIPT, "elseif not why and random ~= ARGV[3] then", "elseif not why and random == nil then")],
           ["journey beat_script"]),
    Mutant("the role is not checked", "section 4", [(SCRIPT, "'role:(%a+)') ~= 'master' then", "'role:(%a+)') == nil then")],
           ["journey beat_script"]),
    Mutant("a check does not try to write", "section 4", [
        (SCRIPT, "    if type(wrote) == 'table' and", "    if type(wrote) == 'nil' and")],
           ["journey beat_script"]),
    Mutant("the command runs before its announcement", "F3", [
        (SCRIPT, "redis.call('PUBLISH', 'terrace:bus',", "local done = ARGV[7] and redis.pcall(unpack(ARGV, 7))\nredis.call('PUBLISH', 'terrace:bus',"),
        (SCRIPT, "    return redis.pcall(unpack(ARGV, 7))", "    return done")],
           ["journey beat_script"]),

    Mutant("a superseded master is believed", "I3, I4", [
        ("tiers/coherence.h", "counter > newest >> COHERENCE_RUN_BITS || newest == 0;", "counter > newest >> COHERENCE_RUN_BITS || newest != run;")],
           ["unit coherence_target"]),
    Mutant("links tell each other nothing", "I3, I4", [
        (FENCE, "        tell(link, &answer);\n", "")],
           ["unit link_check"]),
    Mutant("a link believes what others know to be superseded", "I3, I4", [
        ("tiers/link_inner.h", "link->fence.kept.count == 0 && link_fence_is_newest(link));", "link->fence.kept.count == 0);")],
           ["unit link_check", "sim storm"]),

    # --- links
    Mutant("a reply is served though the fence is closed", "section 3", [
        ("tiers/link_inner.h", "return request->fence_ms == 0 ||", "return request->fence_ms <= now_ms ||")],
           ["unit link_fence", "sim storm"]),
    Mutant("a link is proved from when its beat came back", "section 3", [
        (FENCE, "fence->proved_ms = sent_ms;", "fence->proved_ms = now_ms > sent_ms ? now_ms : sent_ms;")],
           ["unit link_fence", "sim storm"]),
    Mutant("what was kept is released by another epoch's beat", "section 3", [
        (FENCE, "release(link, was_master ? OK : L2_DOWN);", "release(link, was_master || fence->target != 0 ? OK : L2_DOWN);")],
           ["unit link_check", "unit link_random", "sim storm"]),
    Mutant("a reign is a process, whatever it was meanwhile", "section 3", [
        ("tiers/beat.c", "(const uint64_t[]){answer.run, history}, 2", "(const uint64_t[]){answer.run, 0 * history}, 2")],
           ["unit beat", "unit link_check", "unit link_random"]),
    Mutant("a reign is believed when it is seen twice", "section 3", [
        (FENCE, "    link_count(link, M_L2_CHECKS_FAILED);\n", "    fence->reign = is_master ? answer.reign : 0;\n    link_count(link, M_L2_CHECKS_FAILED);\n")],
           ["unit link_check", "unit link_random"]),
    Mutant("a flush closes the fence", "section 3", [(FENCE, "    if (was_master) {", "    if (was_master && now_ms < 0) {")],
           ["unit link_check", "sim gentle", "journey flush_storm"]),
    Mutant("a flush ends what is kept", "section 3", [
        (FENCE, "const bool is_same = was_master || answer.target", "const bool is_same = answer.target")],
           ["unit link_check", "unit link_random"]),
    Mutant("a link waits for its next check to meet a new epoch", "section 4", [
        (FENCE, "         is_behind(link, request->asked_ms))) {", "         (is_behind(link, request->asked_ms) && request->asked_ms < 0))) {")],
           ["unit link_check", "journey flush_storm for_long"]),
    Mutant("a check does not say the replication id", "section 3", [
        (SCRIPT, "return { 0, why, 0, 0, run, replid }", "return { 0, why, 0, 0, run, run }")],
           ["journey beat_script"]),
    Mutant("a link whose check failed stays open", "section 3", [
        (FENCE, "        link_close(link, error, now_ms);\n", "        (void)now_ms;\n")],
           ["unit link_check", "sim storm"]),
    Mutant("a write of unknown outcome is not killed", "T7, I9", [
        (DOOM, "    const int64_t wait_ms = kill_wait_ms(link);", "    const int64_t wait_ms = 0 * kill_wait_ms(link);")],
           ["unit link_doom", "sim storm"]),
    Mutant("UNKNOWN is said before the kill is answered", "T7, I9", [
        (DOOM, "            group->asked = true;", "            group->asked = true;\n            group_end_writes(link, group, true);")],
           ["unit link_doom", "sim storm"]),
    Mutant("a refused kill counts as confirmed", "T7, I9", [
        (DOOM, "    group_end(link, group, is_number);", "    group_end(link, group, is_number || group->asked);")],
           ["unit link_doom"]),
    Mutant("a kill at another server counts as confirmed", "T7, I9", [
        (DOOM, "group_end(link, group, is_newer && !is_elsewhere);", "group_end(link, group, is_newer);")],
           ["unit link_doom", "sim storm"]),
    Mutant("a lost write is told as not sent", "T7", [
        ("tiers/link.c", "may_have_run ? UNKNOWN : L2_DOWN", "may_have_run && link->freed ? UNKNOWN : L2_DOWN")],
           ["unit link", "unit link_doom", "sim storm"]),

    # --- who waits for the bus
    Mutant("SYNC counts silent nodes and all others as applied", "section 7", [
        (PEERS, "peer->applied_seq < seq &&", "peer->applied_seq > seq &&")],
           ["unit peers", "unit waiters", "unit coherence_wait", "sim storm"]),
    Mutant("SYNC waits for nobody that is alive", "section 7", [
        (PEERS, "peer->applied_seq < seq &&\n            !is_silent(peer, patience_ms, now_ms)) {",
         "peer->applied_seq < seq &&\n            is_silent(peer, patience_ms, now_ms)) {")],
           ["unit peers", "unit waiters", "unit coherence_wait", "sim storm"]),
    Mutant("SYNC believes to know all nodes at once", "section 7", [
        (PEERS, "return now_ms - peers->whole_since_ms > patience_ms;", "return now_ms >= peers->whole_since_ms || patience_ms == 0;")],
           ["unit peers", "unit waiters", "unit coherence_wait", "sim storm"]),
    Mutant("SYNC ends before silent nodes are fenced", "section 7", [
        (WAITERS, "waiter->asked_at_ms + patience_ms + 1", "waiter->asked_at_ms + 1")],
           ["unit waiters", "unit coherence_wait", "sim storm"]),
    Mutant("a marker serves who asked after it was sent", "T5", [
        (WAITERS, "if (waiter->marker == 0 || waiter->marker > marker) {", "if (waiter->marker > marker) {")],
           ["unit waiters", "unit coherence_wait"]),
    Mutant("a marker stays good when the bus is lost", "T5", [
        (WAIT, "    waiters_void(&coherence->waiters, now_ms + AGAIN_MS);\n", "")],
           ["unit coherence_wait", "unit waiters"]),
    Mutant("WAITSEQ ends one seq early", "T5", [
        (WAITERS, "waiter->seq <= seq) {", "waiter->seq <= seq + 1) {")],
           ["unit waiters", "unit coherence_wait"]),
    Mutant("ACK is not answered at once", "T5", [
        (WAIT, "coherence->ack = coherence->ack || proved.ack;", "coherence->ack = coherence->ack;")],
           ["unit coherence_wait"]),
    Mutant("peers keep what they applied in the former epoch", "section 7", [
        (COHERENCE, "    peers_new_epoch(&coherence->peers, now_ms);\n", "    (void)peers_new_epoch;\n")],
           ["unit coherence_wait", "unit coherence_bus", "unit coherence_frames", "unit peers", "sim storm"],
           "the doubt that follows forgets who is all (peers_missed); whoever is live again when all are known has beaten since, "
           "and what a beat says of a former epoch is 0"),

    # --- managed keys: what was missed comes out of the log
    Mutant("the log is asked before the subscription stands", "section 5", [
        (REPLAY, "        coherence->phase != BUS_CONFIRMED || coherence->control.run == 0 ||\n"
                 "        coherence->control.run != coherence->bus.run) {", "        coherence->control.run == 0) {"),
        (COHERENCE, "        coherence_next_generation(coherence);\n        coherence->hurry = true;\n",
         "        coherence_next_generation(coherence);\n        coherence_gap(coherence, now_ms);\n        coherence->hurry = true;\n"),
        (COHERENCE, "    } else {\n        coherence_gap(coherence, now_ms);\n", "    } else if (cause != M_FLOORS_BUS) {\n        coherence_gap(coherence, now_ms);\n")],
           ["unit coherence_replay", "sim managed"]),
    Mutant("hits go on while the log is asked", "section 5", [
        (REPLAY, "    coherence_raise(floor, INT64_MAX, coherence->newest_horizon_ms);\n", "    (void)floor;\n")],
           ["unit coherence_replay", "sim managed"]),
    Mutant("a log that is cut off counts as whole", "section 5", [
        (PAGE, "    page->is_whole = oldest <= from;\n", "    page->is_whole = true;\n")],
           ["unit coherence_replay", "sim managed"]),
    Mutant("a log that lacks its first entry counts as whole", "section 5", [
        (PAGE, "    page->is_whole = oldest <= from;\n", "    page->is_whole = oldest <= from + 1;\n")],
           ["unit coherence_replay", "sim managed"]),
    Mutant("what the log tells is counted and not obeyed", "section 5", [
        (REPLAY, "frame.seq_first > page->through ||\n            coherence_obey_frame(coherence, &frame, now_ms) != NULL) {",
         "frame.seq_first > page->through || now_ms < 0) {")],
           ["unit coherence_replay", "sim managed"]),
    Mutant("the first page is taken for all", "section 5", [
        (REPLAY, "heard->whole >= heard->until) {", "heard->whole >= 1) {")],
           ["unit coherence_replay", "sim managed"]),
    Mutant("a page is taken for all that the log has", "section 5", [
        (REPLAY, "        heard->whole = page->through;\n", "        heard->whole = page->now;\n")],
           ["unit coherence_replay", "sim managed"]),
    Mutant("a page that was asked for before the last hole decides", "section 5", [
        (REPLAY, "if (!heard->stale && heard->until == 0) {", "if (heard->until == 0) {")],
           ["unit coherence_replay", "sim managed"]),
    Mutant("a hole is passed over by what comes behind it", "section 5", [
        (REPLAY, "heard->whole == 0 || heard->run <= heard->whole + 1;", "true;")],
           ["unit coherence_replay", "sim managed"]),
    Mutant("a first frame that is missing goes unseen", "section 5", [
        (REPLAY, "if (heard->whole != 0 && seq > heard->whole + 1) {", "if (heard->whole != 0 && seq == 0) {")],
           ["unit coherence_replay"]),
    Mutant("the log of the former epoch is believed", "section 5", [
        (REPLAY, "        heard->whole = 0;\n        heard->until = 0;\n        give_up(coherence, now_ms);\n", "        heard->until = 0;\n")],
           ["unit coherence_replay", "sim managed"]),
    Mutant("an answer of before the epoch decides after it", "section 5", [
        (REPLAY, "if (!heard->pending || heard->void_) {", "if (!heard->pending) {")],
           ["unit coherence_replay", "sim managed"]),
    Mutant("a short cut makes everything suspect all the same", "section 5", [
        (REPLAY, "atomic_store_explicit(&floor->floor_ms, heard->resume_ms, memory_order_release);",
         "atomic_store_explicit(&floor->floor_ms, coherence->ticked_at_ms + heard->resume_ms, memory_order_release);")],
           ["unit coherence_replay", "sim managed"]),
    Mutant("a log that cannot tell leaves the floor", "section 5", [
        (REPLAY, "atomic_store_explicit(&coherence->view.managed.floor_ms, now_ms + 1, memory_order_release);",
         "atomic_store_explicit(&coherence->view.managed.floor_ms, heard->resume_ms + 0 * now_ms, memory_order_release);")],
           ["unit coherence_replay", "sim managed"]),
    Mutant("a new epoch begins without a record in the log", "section 5", [
        (SCRIPT, "    redis.pcall('XADD', 'terrace:log', last .. '-1', 'epoch', counter)\n", "    local _ = last\n")],
           ["journey beat_script log"]),
    Mutant("a flush is not logged", "section 5", [(SCRIPT, "if kind == 'F' then", "if string.sub(frame, 3, 3) == 'f' then")],
           ["journey beat_script log"]),

    # --- what outlives the process (the mark in front of the walk: tests/model/replay.pml, MARK_AFTER_WALK)
    Mutant("snapshot: its epoch is not compared", "section 4", [
        (REPLAY, "former.seq == 0 || !epoch_equal(former.epoch, coherence->epoch)", "former.seq == 0")],
           ["unit coherence_resume"]),
    Mutant("snapshot: a frame behind it is not asked for", "section 5", [
        (REPLAY, "coherence->heard.whole = former.seq;", "coherence->heard.whole = former.seq + 1;")],
           ["unit coherence_resume", "sim saved"]),
    Mutant("snapshot: what was suspect in it is proved", "section 5", [
        (REPLAY, "mark->seq != 0 ? mark->managed_floor_ms : now_ms + 1", "mark->seq != 0 ? 1 : now_ms + 1")],
           ["unit coherence_resume", "sim saved"]),
    Mutant("snapshot: the mark of a gap is of behind it", "section 5", [
        (REPLAY, "        .seq = heard->whole,", "        .seq = coherence->has_seq ? coherence->seq : heard->whole + 9,")],
           ["unit coherence_resume", "sim saved"]),
    Mutant("snapshot: plain values of before are no suspects", "T8", [
        (REPLAY, "    coherence_raise(&view->plain, now_ms + 1, mark->horizon_ms);\n", "")],
           ["unit coherence_resume"]),
    Mutant("snapshot: lives begin anew", "I1", [
        (SNAPSHOT_L1, ": moved(record->expire_at_ms, restoring->shift_ms);", ": record->expire_at_ms + restoring->shift_ms + restoring->restored->down_ms;")],
           ["unit snapshot_l1", "sim saved"]),
    Mutant("snapshot: the freshness of managed values begins anew", "section 5", [
        (SNAPSHOT_L1, "managed_move_times(scratch->data, scratch->size, restoring->shift_ms)",
         "managed_move_times(scratch->data, scratch->size, restoring->shift_ms + restoring->restored->down_ms)")],
           ["unit snapshot_l1"]),
    Mutant("snapshot: the wall clock proves", "I11", [
        (SNAPSHOT_L1, "restoring->is_timed = same_boot && !wrong", "restoring->is_timed = !wrong")],
           ["unit snapshot_l1"]),
    Mutant("snapshot: mode ttl believes a node that did not end in order", "section 7", [
        (SNAPSHOT_L1, "restoring->is_timed && restoring->reader->head.has_ended", "restoring->is_timed")],
           ["unit snapshot_l1", "journey snapshot mode_ttl"]),
    Mutant("snapshot: its word that the node ended in order holds for ever", "section 7", [
        ("server/snapshots.c", "snapshot_file_set_ended(snapshots->ended_fd, 0) == OK", "snapshots->ended_fd >= 0")],
           ["journey snapshot mode_ttl"]),
    Mutant("snapshot: a start that fails uses up the word that the node ended in order", "section 7", [
        ("server/snapshots.c", "        snapshots->ended_fd = file->fd;\n", "        snapshots->ended_fd = file->fd;\n        (void)!snapshot_file_set_ended(file->fd, 0);\n")],
           ["journey snapshot start_that_fails"]),
    Mutant("snapshot: mode ttl keeps what another epoch had", "section 7", [
        ("server/snapshots.c", "former == COHERENCE_FORMER_OTHER", "former == COHERENCE_FORMER_NONE")],
           ["journey snapshot emptied"]),
    Mutant("snapshot: a key is managed in whatever namespace it has now", "I12", [
        (SNAPSHOT_L1, "slice_is(from->name, ns->name)", "from->name.size > 0")],
           ["unit snapshot_l1"]),
    Mutant("snapshot: of a broken file the beginning stays", "snapshot", [
        (SNAPSHOT_L1, "        namespaces_flush_all(spaces);\n", "")],
           ["unit snapshot_l1"]),
    Mutant("snapshot: the sum of a block is not compared", "snapshot", [
        (SNAPSHOT, "if (sum != get_u64le(head + SUMMED_OF_BLOCK)) {", "if (sum == 0) {")],
           ["unit snapshot"]),
    Mutant("snapshot: a block may become whatever it says", "snapshot", [
        (SNAPSHOT, "(block->packed < block->raw && !codec_fits(block->packed, block->raw))", "false")],
           ["unit snapshot"]),
    Mutant("snapshot: a block takes more memory than the reader may", "snapshot", [
        (SNAPSHOT, "block->band == reader->band && block->raw > reader->raw_max", "block->band > reader->band")],
           ["unit snapshot"]),
    Mutant("snapshot: the file of another L2 is taken", "snapshot", [
        ("server/snapshots.c", "file->reader.head.l2 != snapshot_l2(node) &&", "file->reader.head.l2 == 0 &&")],
           ["journey snapshot put_aside"]),

    # --- managed keys: writes
    Mutant("a group follows a call that may be refused", "order of a connection", [
        (MANAGED_WRITE, "return before == NULL || (!before->alone && group_is_full(next));", "return before == NULL || before->count > 0 || next != NULL;"),
        (MANAGED_WRITE, "if ((before != NULL && before->alone) || !node_epoch(window, &epoch)) {", "if ((before != NULL && before->count == 0) || !node_epoch(window, &epoch)) {")],
           ["unit managed_write", "journey managed_writes forgotten"]),
    Mutant("what was refused is overtaken", "order of a connection", [
        (MANAGED_WRITE, "return refused != NULL ? refused : first_of(&writes->queue);",
         "return first_of(&writes->queue) != NULL ? first_of(&writes->queue) : refused;")],
           ["unit managed_write"]),
    Mutant("a group follows those of another epoch", "order of a connection", [
        (MANAGED_WRITE, "} else if (!epoch_equal(epoch, writes->epoch)) {\n            return;", "} else if (!epoch_equal(epoch, writes->epoch)) {\n            writes->epoch = epoch;")],
           ["unit managed_write"]),
    Mutant("a token survives the answer to a managed write", "T1", [
        (MANAGED_ANSWER, "    list_remove(&group->link);\n    group_end_keys(group);\n    if (status == OK) {", "    list_remove(&group->link);\n    if (status == OK) {")],
           ["unit managed_write"]),
    Mutant("a token survives the sending of a managed write", "T1", [
        (MANAGED_WRITE, "    list_remove(&group->link);\n    group_end_keys(group);\n", "    list_remove(&group->link);\n")],
           ["unit managed_write"]),
    Mutant("a strict managed write is answered before all nodes have it", "strict", [
        (MANAGED_ANSWER, "        if (write_is_strict(group->owner->window, write)) {\n            list_remove", "        if (false) {\n            list_remove")],
           ["unit managed_write"]),
    Mutant("a managed write looks at no epoch", "section 5", [
        (MANAGED_LUA, "if meta[1] ~= ARGV[2] or meta[2] ~= ARGV[3] then", "if false then")],
           ["journey managed_script"]),
    Mutant("a managed value is changed before it is announced", "section 5, F3", [
        (MANAGED_LUA, "call('PUBLISH', 'terrace:bus', frame)\n\n", "\n"),
        (MANAGED_LUA, "use(ARGV[1])\nfor at", "call('PUBLISH', 'terrace:bus', frame)\nuse(ARGV[1])\nfor at")],
           ["journey managed_script publish"]),
    Mutant("a write over another version goes through", "section 5", [
        (MANAGED_LUA, "elseif version ~= wanted then", "elseif version ~= wanted and false then")],
           ["journey managed_script", "journey managed_writes exchanged"]),
    Mutant("a lost lease still fills", "leases", [
        (MANAGED_LUA, "            if token ~= wanted or tonumber(won) < flushed_at() then\n                return -1\n            end\n", "")],
           ["journey managed_script"]),
    Mutant("a write leaves the lease of its key", "leases", [
        (MANAGED_LUA, "        lease_count = lease_count + 1\n        leases[lease_count] = lease .. key\n", "")],
           ["journey managed_script"]),
    Mutant("one bad command ends the others", "section 5", [
        (MANAGED_LUA, "            reply = pcall('SET', key, head .. ARGV[i + 3], 'PX', px)", "            reply = call('SET', key, head .. ARGV[i + 3], 'PX', px)")],
           ["journey managed_script error"]),
    Mutant("a later write goes before what is decided", "order of a connection", [
        ("server/call.c", "        conn->foreign_waiting += (unsigned)by;\n", "")],
           ["journey managed_writes own_writes", "journey managed_writes replies"]),

    # --- managed keys: bans
    Mutant("a value that is one older than the newest ban is spared", "section 5", [
        (BANS, "if (version >= atomic_load_explicit(&bans->highest,", "if (version + 1 >= atomic_load_explicit(&bans->highest,")],
           ["unit bans"]),
    Mutant("a verdict is remembered whatever comes late", "section 5", [
        (BANS, "if (line->at[i].id == id && line->at[i].stamp >> VERDICT_BITS == changes) {", "if (line->at[i].id == id && changes > 0) {")],
           ["unit bans"]),
    Mutant("a verdict is remembered for other tags, too", "section 5", [
        (BANS, "        id = (id ^ tag) * ", "        id = (id ^ 0 * tag) * ")],
           ["unit bans"]),
    Mutant("what cannot be kept is forgotten", "I10", [
        (ROWS, "    rise(&bans->below, larger(ban->hard, ban->soft));\n", "    (void)bans;\n    (void)ban;\n")],
           ["unit bans"]),
    Mutant("a row goes while values may be left", "I12", [
        (ROWS, "now_ms - row->at_ms > life_ms + BANS_SLACK_MS)", "now_ms - row->at_ms > life_ms / 2 + BANS_SLACK_MS)")],
           ["unit bans"]),
    Mutant("a row goes though another ban of its name came", "I12", [
        (ROWS, "row->hard <= ban.hard && row->soft <= ban.soft", "row->at_ms >= 0")],
           ["unit bans"]),
    Mutant("a node ends bans of values that live longer on others", "I12", [
        (L2_BANS, "    if (life_ms == bans->said_ms) {\n", "    if (life_ms >= 0) {\n")],
           ["journey tags lives_longer_on_another_node"]),
    Mutant("L2 takes out rows for whoever asks", "I12", [
        (BAN_SCRIPT, "    if longest > life then\n        return longest\n", "    if longest > life then\n")],
           ["journey tags lives_longer_on_another_node"]),
    Mutant("a load takes no time", "I12", [
        (NAMESPACE, "rules.load_timeout_ms + LEASE_LIFE_MS + rules.max_ttl_ms", "rules.max_ttl_ms")],
           ["journey tags nothing_is_left"]),
    Mutant("a row that cannot be read is left out", "I11", [
        (BAN_SCRIPT, "local why = #names > 0 and lose() or nil", "local why = nil")],
           ["journey tags none_of_ours"]),
    Mutant("a row that no node can read is handed to nodes", "I11", [
        (BAN_SCRIPT, "if #row == 24 and is_name(name) then", "if #row == 24 then")],
           ["journey tags none_of_ours"]),
    Mutant("an error is a wrong dictionary", "compression", [
        ("tiers/dictionary_desk.c", "        status = L2_ERROR; /* which says nothing of the dictionary */\n", "        status = INVALID;\n")],
           ["journey compression refusal"]),
    Mutant("a load goes through FLUSHDB", "016", [
        (MANAGED_LUA, "token ~= wanted or tonumber(won) < flushed_at()", "token ~= wanted")],
           ["journey single_flight emptied"]),
    Mutant("who empties his database still loads what he asked for before", "016", [
        (RELAY, "        leases_end_plain(call->conn); /* what it writes behind this ends no load */\n", "")],
           ["journey single_flight emptied"]),
    Mutant("a value whose tags nobody knows has none", "I11", [
        (TABLE, "if (of->version == 0 && judge_tag(", "if (of->version == UINT64_MAX && judge_tag(")],
           ["unit bans"]),
    Mutant("a missing table says that nothing was invalidated", "I12", [
        (BAN_SCRIPT, "if (row_of(LOST) or 0) == 0 then", "if false then")],
           ["journey tags table_that_is_gone"]),
    Mutant("a new epoch is not told what the nodes know", "I12", [
        (L2_BANS, "bans->tell_place = bans->knew ? SIZE_MAX : 0;", "bans->tell_place = 0;")],
           ["journey tags flushall_by_a_stranger"]),
    Mutant("a node serves before it has read the table", "I10", [
        (L2_BANS, "    }\n    bans_set_whole(table(bans), false);\n}", "    }\n    bans_set_whole(table(bans), true);\n}")],
           ["journey tags before_a_node_has_read"]),

    # --- managed keys: what they are worth, their shape, their order
    Mutant("a life is what PTTL says, though it was asked before the value was written", "016", [
        (MANAGED, "return written_ms > 0 && is_longer ? written_ms : read->pttl_ms;", "return is_longer && written_ms < 0 ? written_ms : read->pttl_ms;")],
           ["unit managed"]),
    Mutant("what was invalidated hard is spare", "I11", [
        (MANAGED, "if (bans == BAN_HARD || now_ms >= value->dies_at_ms ||", "if (now_ms >= value->dies_at_ms ||")],
           ["unit managed"]),
    Mutant("what may have been invalidated is served", "I11", [
        (MANAGED, "    if (bans == BAN_UNKNOWN) {\n        return MANAGED_UNSURE;\n    }\n", "")],
           ["unit managed"]),
    Mutant("soft invalidation in L2 is not seen", "016", [
        (MANAGED, "(value->flags & MANAGED_SOFT) == 0 && now_ms < value->fresh_until_ms;", "now_ms < value->fresh_until_ms;")],
           ["unit managed"]),
    Mutant("a stranger's value is newer than every ban", "016", [
        (MANAGED, "const struct envelope none = {", "const struct envelope none = {.version = INT64_MAX, ")],
           ["unit managed"]),
    Mutant("a read lands in the shape that its namespace has by then", "016", [
        (FLIGHT_VALUE, "    if (flight->managed) {\n", "    if (window_key(flight->window, &flight->key).ns->managed) {\n")],
           ["journey managed change_of_the_format"]),
    Mutant("what goes to Redis overtakes managed writes", "rule 1", [
        (FORK, "return goes_to_l2 && call->conn->managed_waiting > 0;", "return goes_to_l2 && call->conn->managed_waiting > 1000000;")],
           ["journey managed effect_in_their_order"]),
    Mutant("a managed key may be queued", "016", [
        (FORK, "if (managed == NULL || transaction_would_take(call)) {", "if (managed == NULL) {")],
           ["journey managed other_commands"]),
    Mutant("the keys of scripts are not looked at", "016", [
        (FORK, "if (is_movable || command->first_key != command->last_key || command->run == NULL) {",
         "if (command->first_key != command->last_key || command->run == NULL) {\n        (void)is_movable;")],
           ["journey managed other_commands"]),
    Mutant("who has a connection to Redis that tracks for him is not told of managed keys", "I4", [
        ("server/tracking_call.c", "return (call->command->flags & COMMAND_OWN) != 0 || call->managed != NULL;", "return (call->command->flags & COMMAND_OWN) != 0;")],
           ["journey managed keep_managed"]),

    # --- loads
    Mutant("a frame that wakes is missed while the lease is asked for", "016", [
        (LOAD, "    if (load->woken) {\n        load_dissolve(load);\n    }\n", "")],
           ["unit load"]),
    Mutant("a refresh does not look at what stands in L2", "016", [
        (LEASE_SCRIPT, "tonumber(ARGV[9]) ~= version", "tonumber(ARGV[9]) ~= tonumber(ARGV[9])")],
           ["journey lease_script another_version"]),
    Mutant("a lease has the seq of another one", "016", [
        (LEASE_SCRIPT, "local seq = tell() -- the version", "local seq = tonumber(redis.call('GET', 'terrace:seq')) -- the version")],
           ["journey lease_script one_wins"]),
    Mutant("a connection that closes keeps its loads", "016", [
        ("server/conn.c", "    leases_end(conn);\n", "")],
           ["journey single_flight loader_is_killed"]),
    Mutant("a fill goes through without its lease", "016", [
        (EDIT, "edit->leased  ? MANAGED_IF_LEASE", "edit->leased  ? MANAGED_ALWAYS")],
           ["journey single_flight comes_after_an_invalidation", "journey single_flight late_set"]),
    Mutant("what a connection writes later carries the token of an earlier GET", "016", [
        (EDIT, "if (edit->write.op != MANAGED_EXPIRE && leases_take(", "if (conn == NULL && leases_take(")],
           ["journey single_flight late_set"]),
    Mutant("who finds a stale value waits", "016", [
        (LOAD_WAIT, "    if (worth == WORTH_REFRESHING) {\n        return OK;\n    }\n", "")],
           ["unit load"]),
    Mutant("failures are not told to who waits on other nodes", "016", [
        (LOAD, "return LOAD_ECHO_MS;", "return 1;")],
           ["journey single_flight told_of_the_failure"]),
    Mutant("a failure is told for longer than Redis says", "016", [
        (LOAD, "load->mark == mark &&\n           load->loads->window->now_ms < load->until_ms;", "load->mark == mark;")],
           ["unit load_lease"]),
    Mutant("a plain client is told nothing for a value that is fresh", "016", [
        (LOAD_WAIT, "return ask->plain ? WORTH_ENOUGH : WORTH_REFRESHING;", "return WORTH_REFRESHING;")],
           ["journey single_flight shown_what_is_fresh"]),
    Mutant("what is no string is an error to all", "016", [
        ("tiers/flight_value.c", "if (flight->managed && !flight_error_is_of_l2(element.text)) {", "if (false) {")],
           ["journey managed_writes another_type"]),

    # --- envelopes and dictionaries
    Mutant("what cannot be read is served", "016", [
        (MANAGED, "(value->flags & MANAGED_UNREADABLE) != 0)", "(value->flags & MANAGED_UNREADABLE) > 255)")],
           ["unit managed"]),
    Mutant("who cannot read a value does not know its version", "016", [
        (MANAGED, "const bool has_version = envelope_peek_version(read->bytes, &version);", "const bool has_version = read->bytes.size == 1;")],
           ["unit managed", "journey managed broken_never"]),
    Mutant("any bytes are the dictionary that was asked for", "016", [
        ("tiers/dictionary.c", "if (bytes.size == 0 || number != dictionary_number(bytes)) {", "if (bytes.size == 0) {")],
           ["unit dictionary", "unit wrap", "journey compression without_the_right"]),
    Mutant("a read does not wait for its dictionary", "016", [
        (FLIGHT, "        if (flight_wait_for_dictionary(flight, reply)) {\n            return;\n        }\n        status = BUSY;",
         "        status = OK;\n        (void)flight_wait_for_dictionary;")],
           ["unit wrap", "journey compression starts_later"]),
    Mutant("what cannot wait for its dictionary is a miss", "016", [
        (FLIGHT, "status = BUSY; /* not OK: there is a value */", "status = OK;")],
           ["unit wrap"]),
    Mutant("whoever finds no memory for a lease is told an empty error", "016", [
        (LOAD, "load_refuse(load, status, error);", "load_refuse(load, status, (struct slice){0});\n        (void)error;")],
           ["unit load_lease"]),
    Mutant("clients that keep values do not hear of bans", "016", [
        ("server/node.c", "    tracking_banned(node->tracking, frame->body);\n", "")],
           ["journey managed drop_them_all"]),
    Mutant("memory is taken for what an envelope claims", "016", [
        ("protocol/codec.c", "value_size / CODEC_EXPANSION_MAX <= block_size;", "block_size + 1 > 0;")],
           ["unit codec", "unit wrap"]),
    Mutant("a node uses a dictionary before L2 has it", "016", [
        ("tiers/dictionary_desk.c", "    if (find_to_bring(desk) == OK) {\n",
         "    if (find_to_bring(desk) == OK) {\n        const uint64_t early = dictionary_number(buf_slice(&desk->brings));\n"
         "        if (dictionary_learn(desk->looked, early, buf_slice(&desk->brings)) == OK) {\n            dictionary_use(desk->looked, early);\n        }\n")],
           ["unit wrap"]),

    # --- write-behind and quotas
    Mutant("a write behind is told before the disk has it", "017", [
        ("tiers/behind_desk.c", "return write->number <= behind_safe(desk->behind) ||", "return write->number > 0 ||")],
           ["unit behind_desk"]),
    Mutant("a write through overtakes what waits for its key", "017", [
        ("tiers/behind_desk.c", "        must = behind_has(desk->behind, &writes[i]->key);",
         "        must = behind_has(desk->behind, &writes[i]->key) && i > 100;")],
           ["unit behind_desk", "journey behind other_writes"]),
    Mutant("what was invalidated while it waited is sent", "017", [
        ("tiers/behind_way.c", "if (bans == BAN_HARD) {", "if (bans == BAN_HARD && now_ms < 0) {")],
           ["unit behind_desk"]),
    Mutant("a disk that hangs is waited for", "017", [
        ("tiers/behind_book.c", "const bool stalled = since_ms != 0 &&", "const bool stalled = since_ms < 0 &&")],
           ["unit behind", "unit behind_desk"]),
    Mutant("who waits for a disk that hangs is told nothing though L2 has it", "017", [
        ("tiers/behind_desk.c", "(!behind_is_well(desk->behind) && !behind_has(", "(behind_is_well(desk->behind) && !behind_has(")],
           ["unit behind_desk"]),
    Mutant("a key that L2 refuses stops the row", "017", [
        ("tiers/behind_way.c", "const bool all = is_of_all(error);", "const bool all = is_of_all(error) || error.size > 0;")],
           ["unit behind_desk"]),
    Mutant("a log that was deleted acknowledges writes", "017", [
        ("server/behind_file.c", "if (!is_in_place(file)) {", "if (!is_in_place(file) && file->size == 0) {")],
           ["unit behind_file"]),
    Mutant("what comes while the log is written anew is in the former file only", "017", [
        ("server/behind_file.c", "if (file->fresh_fd >= 0 && disk_write(file->fresh_fd, buf_slice(&file->bytes)) != OK) {",
         "if (file->fresh_fd >= 0 && disk_write(file->fresh_fd, (struct slice){0}) != OK) {")],
           ["unit behind_file"]),
    Mutant("a new log lacks what was born before it was begun", "017", [
        ("tiers/behind_book.c", "        status = append_written(bytes, entry, &entry->now);\n", "        status = bytes->size > 200 ? OK : append_written(bytes, entry, &entry->now);\n")],
           ["unit behind", "unit behind_file"]),
    Mutant("the log of write-behind needs a dictionary", "017", [
        ("tiers/wrap.c", "if (status != OK || envelope.kind != ENVELOPE_LZ4_DICTIONARY) {", "if (status == OK || envelope.kind != ENVELOPE_LZ4_DICTIONARY) {")],
           ["journey behind dictionary"]),
    Mutant("what a node wrote is shown for ever", "017", [
        ("tiers/behind_desk.c", "now_ms - found->taken_at_ms <= window_silence_ms(key->ns);", "now_ms - found->taken_at_ms < INT64_MAX;")],
           ["journey behind_trouble what_a_node_wrote"]),
    Mutant("a log of keys that are not managed is sent", "017", [
        ("server/behind_node.c", "return !home->managed;", "return home == NULL;")],
           ["journey behind_trouble refused", "journey behind_trouble reload"]),
    Mutant("FLUSHDB in a transaction does not wait for what waits", "017", [
        ("server/dispatch_admit.c", "executed != NULL ? executed->ends_databases\n", "executed != NULL ? false\n")],
           ["journey behind before_a_flush"]),
    Mutant("what is taken while the bus is lost knows of nothing", "017", [
        ("tiers/coherence.h", "return applied != 0 ? applied : atomic_load_explicit(&view->highest_seq, memory_order_acquire);",
         "return applied;")],
           ["unit behind_desk", "unit coherence_frames"]),
    Mutant("what waits is ended by the loss of L2's table", "017", [
        ("tiers/managed.c", "(read->is_held ? MANAGED_HELD : 0)", "(read->is_held ? 0 : 0)")],
           ["unit behind_desk"]),
    Mutant("what is sent is ended by the loss of L2's table", "017", [
        ("tiers/bans.c", "check_known(bans, ns, &of, true)", "check_known(bans, ns, &of, false)")],
           ["unit bans", "unit behind_desk"]),
    Mutant("a refused write of several keys keeps the lease of its client", "016", [
        ("server/managed_many.c", "if (key->ends_lease && many->trouble.status != OK)", "if (key->ends_lease && many->trouble.status == AGAIN)")],
           ["journey single_flight refused_write"]),
    Mutant("a refused write of one key keeps the lease of its client", "016", [
        ("server/managed_edit.c", "    if (edit->ends_lease) {", "    if (edit->ends_lease && edit->tries == EDIT_TRIES_MAX) {")],
           ["journey single_flight refused_write"]),
    Mutant("what comes while L2 returns is taken for usual", "turnstile", [
        ("tiers/turnstile.c", "if (calm && reads > 0 &&", "if ((calm || now_ms > 0) && reads > 0 &&")],
           ["unit turnstile"]),
    Mutant("a tick without reads lowers what is usual to nothing", "turnstile", [
        ("tiers/turnstile.c", "(usual > least ? usual : least)", "(usual > least || usual < least ? usual : least)")],
           ["unit turnstile"]),
    Mutant("what was not used of a tick is saved up", "turnstile", [
        ("tiers/turnstile.c", "passed_ms < TURNSTILE_TICK_MS ? passed_ms : TURNSTILE_TICK_MS", "passed_ms")],
           ["unit turnstile"]),
    Mutant("a sweep deletes keys of other namespaces, too", "sweep", [
        ("server/sweep.c", "return ns == NULL ? !home->managed : home == ns;", "return ns == NULL ? !home->managed : true;")],
           ["journey invalidate_sweep namespace_that_is_meant"]),
    Mutant("a sweep of plain keys deletes managed ones", "sweep", [
        ("server/sweep.c", "return ns == NULL ? !home->managed : home == ns;", "return ns == NULL || home == ns;")],
           ["journey invalidate_sweep managed_and_plain"]),
    Mutant("a sweep deletes the nodes' own keys", "sweep", [
        ("server/sweep.c", 'slice_begins(key, "terrace:")) {', "key.size == 0) {")],
           ["journey invalidate_sweep own_keys"]),
    Mutant("what Redis keeps from a sweep's queue is left out", "sweep", [
        ("server/sweep_l2.c", "    sweep->cursor = cursor;\n    sweep->budget = 0;", "    (void)cursor;\n    sweep->budget = 0;")],
           ["journey invalidate_sweep all_that_stood"],
           "the queue of a window is full only behind thousands of requests that wait; no test fills it while a sweep asks"),
    Mutant("a sweep goes on at another process", "sweep", [
        ("server/sweep_l2.c", "if (sweep->run != 0 && sweep->relay.run != sweep->run) {", "if (false) {")],
           ["journey invalidate_sweep restarts_in_the_middle"]),
    Mutant("a sweep counts what it deletes for nothing", "sweep", [
        ("server/sweep.c", "sweep->budget -= (int64_t)cost * MILLI;", "sweep->budget -= (int64_t)cost;")],
           ["journey invalidate_sweep rate_is_kept"]),
    Mutant("where values live for ever so do bans", "016", [
        ("tiers/bans_rows.c", "now_ms - row->at_ms > most_ms", "now_ms < row->at_ms - most_ms")],
           ["unit bans", "journey tags takes_the_place"]),
    Mutant("bans of prefixes may take all of the loop that hears beats", "016", [
        ("server/tracking_bans.c", "tracking->looks += keys * bans;", "")],
           ["journey managed come_too_often"]),
    Mutant("one row takes the place of newer ones, too", "016", [
        ("tiers/bans_rows.c", "is_older(row, now_ms, BANS_KEEP_MS)", "is_older(row, now_ms, 0)")],
           ["unit bans", "journey tags takes_the_place"]),
    Mutant("L2 is not asked for what was invalidated since", "016", [
        ("tiers/scripts/verdict.lua", "local is_news = banned > known and banned > version", "local is_news = false")],
           ["journey replay l2_says"]),
    Mutant("L2 is asked for tags, and for no prefixes", "016", [
        ("tiers/scripts/verdict.lua", "for size = 0, math.min(#key, 1024) do", "for size = 1, 0 do")],
           ["journey replay l2_says"]),
    Mutant("L2 is not asked for the tags of a value", "016", [
        ("tiers/scripts/verdict.lua", "for i = 9, #ARGV do", "for i = 1, 0 do")],
           ["journey replay l2_says"]),
    Mutant("a pattern that was not heard of leaves nothing open", "016", [
        ("tiers/scripts/verdict.lua", "(listed > known and listed > version)", "false")],
           ["journey replay l2_says"]),
    Mutant("a table of L2 that is not whole is believed", "016", [
        ("tiers/scripts/verdict.lua", "if type(lost) ~= 'string' or #lost ~= 24 then", "if lost and #lost ~= 24 then")],
           ["journey replay l2_says"]),
    Mutant("what was invalidated behind its judgement is put all the same", "017", [
        ("tiers/scripts/managed.lua", "return judged > base and judged >= banned", "return judged > base")],
           ["journey managed_script judged", "journey behind not_there_behind_it"]),
    Mutant("a judgement of a former epoch holds", "017", [
        ("tiers/scripts/managed.lua", "return judged > base and judged >= banned", "return judged >= banned")],
           ["journey managed_script judged"]),
    Mutant("a write behind passes what was asked before it", "017", [
        ("tiers/behind_desk.c", "desk->passing[slot_of(&writes[0]->key)] == 0 &&", "true &&")],
           ["unit behind_desk"]),
    Mutant("a write passes what is parked for its key", "017", [
        ("tiers/behind_desk.c", "must = desk->waiting[slot_of(&writes[i]->key)] > 0;", "must = desk->parked_bytes > 1000000;")],
           ["unit behind_desk"]),
    Mutant("a key leaves the table before the log says so", "017", [
        ("tiers/behind.c", "    } else if (behind_is_well(behind)) {", "    } else if (behind_is_well(behind) && seq == UINT64_MAX) {")],
           ["unit behind", "journey behind not_sent_again"]),
    Mutant("a flush does not wait for what is older", "017", [
        ("server/dispatch_admit.c", "return ends && call->node->behind != NULL && behind_fence(", "return ends && call->node->behind == NULL && behind_fence(")],
           ["journey behind before_a_flush"]),
    Mutant("the log is not told what L2 has", "017", [
        ("tiers/behind_way.c", "        tiers_behind_wake(desk->window->options.tiers); /* the log is told, too */\n", "")],
           ["unit behind_desk", "journey behind not_sent_again"]),
    Mutant("a log that failed is found by the next start", "017", [
        ("server/behind_file.c", "if (empty && !file->dropped) {", "if (empty && file->dropped) {")],
           ["unit behind_file"]),
    Mutant("what has died deletes what is newer", "017", [
        ("tiers/behind_way.c", "if (status == AGAIN && !way->is_over) {", "if (status == AGAIN) {"),
        ("tiers/behind_way.c", "if (way->is_over && way->met_newer) {", "if (way->is_over && now_ms < 0) {")],
           ["unit behind_desk"]),
    Mutant("what comes while its key is on its way takes its place", "017", [
        ("tiers/behind.c", "struct written *place = entry->under_way ? &entry->next : &entry->now;",
         "struct written *place = &entry->now;")],
           ["unit behind"]),
    Mutant("a record in the middle of the log that is not good is taken for its end", "017", [
        ("tiers/behind_log.c", "return BEHIND_RECORD_HEAD + size == rest.size ? AGAIN : MALFORMED;", "return AGAIN;")],
           ["unit behind_log", "unit behind_file", "journey behind not_good"]),
    Mutant("what took more than was left is not earned", "017", [
        ("tiers/quota.c", "(void)take(quota, -share->left, true, now_ms, &free_ns);", "(void)take(quota, -share->left, now_ms < 0, now_ms, &free_ns);")],
           ["unit quota", "journey quotas keys_are_counted"]),
    Mutant("what comes behind a large write overtakes it", "018", [
        (RELAY, "    } else {\n        conn_hold(call->conn, HOLD_UPLOAD);\n    }\n", "    }\n")],
           ["journey large_written overtake"]),
    Mutant("a large write that Redis lost before its end waits for room", "018", [
        ("tiers/upload.c", "    (void)why;\n    upload_lose(upload, L2_DOWN);\n", "    (void)why;\n    (void)upload;\n")],
           ["journey large_written lost_in_the_middle_has"]),
    Mutant("what was poured into a link is taken for nothing", "018", [
        ("tiers/link_doom.c", "group == NULL && !link->poured && link", "group == NULL && link")],
           ["unit link_pour", "journey large_written lost_in_the_middle_wrote"]),

    # --- L2 is back: the row in front of it
    Mutant("when L2 is back all go to it at once", "section 6", [
        (ROW, "return window->turnstile.percent > 0 &&", "return window->turnstile.percent > 1000 &&")],
           ["unit flight_row"]),
    Mutant("reads in the background wait in the row", "section 6", [(ROW, "if (in_background) {", "if (in_background && link == NULL) {")],
           ["unit flight_row"]),
    Mutant("who has waited for too long in the row is asked for", "section 6", [
        (ROW, "const bool is_late = flight->ttl_request.deadline_ms <= window->now_ms;", "const bool is_late = window == NULL;")],
           ["unit flight_row"]),
    Mutant("who may have what is older waits in the row", "section 7", [
        ("tiers/window_read.c", "if (!reader->in_background && flights_wait(window) &&", "if (window == NULL && flights_wait(window) &&")],
           ["unit flight_row"]),

    # --- sweeps
    Mutant("a sweep is as fast as it can be", "sweep.h", [
        (SWEEP, "sweep->budget = sweep->budget < most ? sweep->budget : most;", "sweep->budget = INT64_MAX / 2 + most * 0;")],
           ["journey invalidate_sweep progress"]),

    # --- what is measured, and remembered
    Mutant("no load takes any time", "016", [(EDIT, "(uint32_t)(edit->worker->now_ms - lease->won_at_ms);", "0;")],
           ["journey single_flight took_long"]),
    Mutant("what does not get smaller is tried again and again", "016", [
        ("tiers/wrap.c", "    if (!dictionary_tries(space)) {", "    if (!dictionary_tries(space) && value.size == 0) {")],
           ["unit wrap"]),
    Mutant("the sum of a large managed value begins behind its head", "018", [
        ("server/upload.c", "        envelope_sum_begin(&value->sum, value->head);\n", "        hash_sum_begin(&value->sum);\n")],
           ["journey large_managed envelope_of_any"]),
    Mutant("the line of a large write that was declined is kept", "018", [
        ("server/managed_edit.c", "    upload_value_free(edit->upload);\n    spares_give(", "    spares_give(")],
           ["journey large_managed whole_family"]),

    # --- endpoints and regions of the client
    Mutant("one good moment is proof enough of a region", "cluster.h", [(REGION, "region->proved_at_ms = -1;", "region->proved_at_ms = region->proved_at_ms + 0;")],
           ["unit cluster", "unit cluster_random"]),
    Mutant("back to a region that is not the best", "cluster.h", [
        (REGION, "regions->all[best].priority &&\n            has_proved", "regions->all[regions->current].priority &&\n            has_proved")],
           ["unit cluster_random"]),
    Mutant("a region in its hold-down is not gone to, though all else is down", "cluster.h", [
        (REGION, "if (!region_is_down(region) &&", "if (!region_is_down(region) && has_proved_itself(regions, region, INT64_MAX / 2) &&")],
           ["unit cluster", "unit cluster_random"]),
    Mutant("what is left of a hand's choice is force", "cluster.h", [
        (REGION, "(regions->is_forced || !is_down)", "(regions->is_forced || is_down || !is_down)")], ["unit cluster", "unit cluster_random"]),
    Mutant("a probe of before brings an endpoint back", "cluster.h", [
        (HEALTH, "bool says_nothing = health->state == CLUSTER_DOWN && !health->is_half_open;", "bool says_nothing = false;")],
           ["unit cluster", "unit cluster_random"]),
    Mutant("an answer of before brings an endpoint back", "cluster.h", [
        (HEALTH, "    if (health->state == CLUSTER_DOWN) {\n        return HEALTH_SAME;\n    }\n    health->failures = 0;", "    health->failures = 0;")],
           ["unit cluster", "unit cluster_random"]),
    Mutant("failures need not be in a row", "cluster.h", [
        (HEALTH, "    health->failures = 0;\n    health->probe_at_ms", "    health->probe_at_ms")], ["unit cluster", "unit cluster_random"]),
    Mutant("who was excepted may be chosen", "cluster.h", [(CLUSTER, "return IF_NO_OTHER;", "return GOOD;")], ["unit cluster", "unit cluster_random"]),
    Mutant("the bound of a load has room for one more", "cluster.h", [
        (BALANCE, "return one->inflight + 1.0 <= ceil(bound);", "return one->inflight <= ceil(bound);")], ["unit cluster_balance", "unit cluster_random"]),
    Mutant("a retry moves an affinity", "cluster.h", [(BALANCE, "last == NULL || last != except", "last == NULL || last != except || except != NULL")],
           ["unit cluster_balance", "unit cluster_random"]),
    Mutant("the table of affinities forgets the one asked for last", "sticky.h", [
        (STICKY, "uint32_t oldest = sticky->entries[NOBODY].newer;", "uint32_t oldest = sticky->entries[NOBODY].older;")],
           ["unit cluster_balance"]),
    Mutant("a new list makes all endpoints new", "cluster.h", [
        (UPDATE, "endpoint = endpoint != NULL ? endpoint : endpoint_new", "endpoint = endpoint_new")], ["unit cluster", "unit cluster_random"]),
    Mutant("what was loaded before an invalidation is for all", "load.c", [
        (GET_OR_LOAD, "bool is_for_all = keeping == KEEP_NOT ||", "bool is_for_all = keeping != KEEP_NOT || keeping == KEEP_NOT ||")],
           ["journey get_or_load before_an_invalidation"]),
    Mutant("a load that ends late overwrites what is newer", "load.c", [(GET_OR_LOAD, "write.condition = 1;", "write.condition = 0;")],
           ["journey get_or_load meanwhile_is_not_overwritten"]),
    Mutant("who waits for a load waits for its end, though something stale is there", "load.c", [
        (GET_OR_LOAD, "    if (stale->data != NULL) {\n        flight_offer", "    if (stale->data == NULL) {\n        flight_offer")],
           ["journey get_or_load stale_is_served"]),
    Mutant("a load that failed is nobody's to end", "load.c", [
        (GET_OR_LOAD, "    if (keeping == KEEP_BY_TOKEN) {\n        (void)terrace_fail", "    if (keeping == KEEP_BY_TOKEN && why == TERRACE_OK) {\n        (void)terrace_fail")],
           ["journey get_or_load throws_its_value"]),
]
