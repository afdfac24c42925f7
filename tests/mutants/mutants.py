# SPDX-License-Identifier: BSD-3-Clause
"""The rules of coherence, each broken in the code as somebody might break it. Rules: T of COHERENCE section 3, I of section
9, F of section 11, "section 4" for epochs and targets.

Edits are (file, old text, new text); an old text stands exactly once in its file, and is as short as that allows. Killers
are named as in run.py, the cheapest first. `equivalent`: no test can kill it, and why.
"""
import collections

Mutant = collections.namedtuple("Mutant", "name rule edits killers equivalent", defaults=("",))

CLAIM, FLIGHT, WINDOW, WINDOW_H = "tiers/l1_claim.c", "tiers/flight.c", "tiers/window.c", "tiers/window.h"
CONTRACT, BARRIERS, RELAY, EFFECTS = "tiers/contract.c", "tiers/barriers.c", "server/relay.c", "server/effects.c"
ANNOUNCE, NAMESPACE, LINKS = "tiers/announce.c", "tiers/namespace.c", "tiers/window_links.c"
PUBSUB, PUBSUB_LINE = "server/pubsub.c", "server/pubsub_line.c"
COHERENCE, BUS, TARGET = "tiers/coherence.c", "tiers/coherence_bus.c", "tiers/coherence_target.c"
STREAM, BEATS, WAIT = "tiers/coherence_stream.c", "tiers/own_beats.c", "tiers/coherence_wait.c"
FENCE, DOOM, GREETING = "tiers/link_fence.c", "tiers/link_doom.c", "tiers/link_greeting.c"
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
        (BUS, "i < message->key_count; i++", "i < message->key_count && i < 1000; i++")],
           ["unit coherence_bus", "unit coherence_frames", "unit coherence_redis", "sim storm", "journey coherence thousands_of_changes"]),
    Mutant("nil (a flush) is ignored", "T2", [
        (BUS, "M_ANNOUNCED_FLUSHES, 1);\n        namespaces_flush_all(coherence->options.namespaces);", "M_ANNOUNCED_FLUSHES, 1);")],
           ["unit coherence_bus", "unit coherence_frames", "sim storm"]),
    Mutant("a forged announcement is ignored", "T2", [
        (BUS, "        coherence_raise_floor(coherence, now_ms, M_FLOORS_MALFORMED);\n        return;\n    case BUS_FRAME",
         "        return;\n    case BUS_FRAME")],
           ["unit coherence_bus", "unit coherence_frames", "sim storm"]),
    Mutant("a token survives the sending of an own write", "T1", [
        (WINDOW, "    relay_end_keys(relay);\n    if (status == OK) {\n        status = relay_ask", "    if (status == OK) {\n        status = relay_ask")],
           ["unit window", "sim storm", "journey sessions"]),
    Mutant("a token survives the answer to an own write", "T1", [
        (WINDOW, "    relay_end_keys(relay);\n    relay->confirmed =", "    relay->confirmed =")],
           ["unit window", "sim storm"]),
    Mutant("a read overtakes an own write on its connection", "I3", [
        ("server/dispatch.c", "return conn->writes_waiting > 0 ||", "return conn->writes_waiting > 1000000 ||")],
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
        ("server/tracking_client.c", "const bool rows = wants_rows(", "const bool rows = false && wants_rows(")],
           ["journey tracking alone_all"]),

    # --- hashes
    Mutant("a reader of a hash joins the read of a string", "T3", [
        (FLIGHT, " && flight->of_hash == reader->of_hash) {", ") {")],
           ["unit window_hash"]),
    Mutant("a write may come before a read of its connection that is passed on late", "I3", [
        ("server/cmd_hash_read.c", "call_defer(call, WAIT_FOREIGN);", "call_defer(call, WAIT_READ);")],
           ["journey hashes stays_behind"]),

    # --- reads and tokens
    Mutant("a landing without a token keeps the entry", "T3", [
        (CLAIM, "    if (found) {\n        l1_bury(shard, l1_remove", 
         "    if (found && l1_is_claim(l1_place_item(&place))) {\n        l1_bury(shard, l1_remove")],
           ["unit l1_tokens", "sim storm"]),
    Mutant("a landing does not end others' tokens", "T3", [
        (CLAIM, "    if (found) {\n        l1_bury(shard, l1_remove", 
         "    if (found && !l1_is_claim(l1_place_item(&place))) {\n        l1_bury(shard, l1_remove")],
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
    Mutant("suspects are served", "T8", [(WINDOW_H, "? window->proof.floor_ms : INT64_MAX;", "? INT64_MIN : INT64_MAX;")],
           ["unit window", "unit modes", "sim storm"]),
    Mutant("the fence is not looked at when serving", "I1", [(WINDOW_H, "proof_reaches(&window->proof, bound_ms) ?", "bound_ms >= 0 ?")],
           ["unit window", "unit modes", "sim storm", "journey check hears_nothing", "journey history cut_links", "journey crashes r7"]),
    Mutant("an entry is stamped when it lands", "T3", [
        (FLIGHT, ".stamped_at_ms = flight->issued_at_ms", ".stamped_at_ms = flight->window->now_ms")],
           ["unit window", "sim storm"]),
    Mutant("a life is counted from the landing", "T3", [
        (FLIGHT, "? flight->issued_at_ms + life_ms", "? flight->window->now_ms + life_ms")],
           ["unit window", "sim storm", "journey coherence l1_never_outlives_l2"]),
    Mutant("who joins late is told of a life that was over", "T3", [
        (FLIGHT, "    if (status == OK && is_over_for(reader, value->item)) {", "    if (status == PENDING && is_over_for(reader, value->item)) {")],
           ["unit window", "sim storm"]),
    Mutant("an own answer installs its value", "T1", [
        (WINDOW, "static void relay_on_reply(",
         "static struct own {\n    const struct tiers_relay *relay;\n    size_t size;\n    char value[64];\n} owns[1024];\n"
         "static struct own *own_of(const struct tiers_relay *relay)\n{\n"
         "    return &owns[((uintptr_t)relay >> 5) * 0x9e3779b97f4a7c15u >> 54];\n}\n"
         "static void relay_on_reply("),
        (WINDOW, "    relay_end_keys(relay);\n    relay->confirmed =",
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
        (WINDOW, "    relay_end_keys(relay);\n    if (status == OK) {\n        status = relay_ask",
         "    if (bytes.size > 11 && memcmp(bytes.data, \"*3\\r\\n$3\\r\\nSET\", 11) == 0) {\n"
         "        struct own *own = own_of(relay);\n"
         "        const char *last = memrchr(bytes.data, '$', bytes.size);\n"
         "        const char *value = (const char *)memchr(last, '\\n', 8) + 1;\n"
         "        own->size = bytes.size - (size_t)(value - bytes.data) - 2;\n"
         "        if (own->size < sizeof own->value) {\n            memcpy(own->value, value, own->size);\n"
         "            own->relay = relay;\n        }\n    }\n"
         "    relay_end_keys(relay);\n    if (status == OK) {\n        status = relay_ask"),
        (WINDOW, "#include <stdlib.h>\n", "#include <stdlib.h>\n#include <string.h>\n")],
           ["unit window", "sim storm"]),
    Mutant("an install does not ask whose answer it is", "section 4", [
        (FLIGHT, "return target != 0 && target == flight->target;", "return target != 1;")],
           ["unit window", "sim storm"]),
    Mutant("reads for L1 have no fence", "T3", [(FLIGHT, "        .fence_ms = fence_ms,\n        .asked_ms", "        .fence_ms = 0,\n        .asked_ms")],
           ["unit window", "sim storm", "journey l2_fence"]),
    Mutant("reads that are passed on have no fence", "section 3", [
        (WINDOW, ".fence_ms = relay->writes ? 0 : relay_fence_ms(relay)", ".fence_ms = 0 * relay_fence_ms(relay)")],
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
        ("server/cmd_cache_invalidate.c", ".kind = order->sync_ms >= 0 ? WAITER_EVERYWHERE : WAITER_MARKER",
         ".kind = order->sync_ms >= INT64_MAX ? WAITER_EVERYWHERE : WAITER_MARKER")],
           ["journey cache_commands frozen_node"]),
    Mutant("a raised bound is served by before others know it", "section 7", [
        (NAMESPACE, "wanted < told_ms ? wanted : told_ms;", "told_ms < 0 ? told_ms : wanted;")],
           ["unit namespace"]),
    Mutant("reading anew claims what is no suspect", "T3", [
        (CLAIM, "if (!l1_is_claim(item) && item_stamped_at_ms(item) < ask->floor_ms) {", "if (!l1_is_claim(item)) {")],
           ["unit revalidate", "sim storm"]),

    # --- strict
    Mutant("a strict write is acknowledged before the marker", "section 7", [
        (WINDOW, "if (status == OK && relay_must_wait(relay, reply)) {", "if (status == OK && reply.size == 0 && relay_must_wait(relay, reply)) {")],
           ["unit modes", "sim storm", "journey registers"]),
    Mutant("a strict read is told before all nodes are rid of older", "section 7", [
        (FLIGHT, "if (is_told && namespace_kind(", "if (is_told && window == NULL && namespace_kind(")],
           ["unit modes", "sim storm"]),
    Mutant("a strict read tells at once that a key is no string", "section 7", [
        (FLIGHT, "status == OK || (status == L2_ERROR && !error_is_of_l2(value.error));", "status == OK;")],
           ["unit modes"]),
    Mutant("a strict write tells at once that a key is no string", "section 7", [
        (WINDOW, "return !tells_nothing && relay", "return !tells_nothing && reply.data[0] != REPLY_ERROR && relay")],
           ["unit modes"]),
    Mutant("a strict write waits for markers while Redis refuses them", "section 7", [
        (WINDOW, "(!relay->keys_unknown && is_refusal(reply))", "(reply.size == 0 && is_refusal(reply))")],
           ["unit modes"]),
    Mutant("strict believes a script that says that nothing ran", "section 7", [
        (WINDOW, "!relay->runs_code && is_no_call(reply)", "is_no_call(reply)")],
           ["unit modes"]),
    Mutant("strict is content if it cannot be told that all have applied", "section 7", [
        (WINDOW, "relay->on_reply(relay, status == OK ? OK : STALE, buf_slice(&kept));", "relay->on_reply(relay, status == STALE ? STALE : OK, buf_slice(&kept));")],
           ["unit modes"]),
    Mutant("strict tells UNKNOWN while another node shows what was before", "section 7", [
        (WINDOW, "status == UNKNOWN && relay->confirmed && relay_is_strict(relay)", "false")],
           ["unit modes", "sim unsaid", "journey strict unknown"]),
    Mutant("strict says that a write was done whose outcome is not known", "T7", [
        (WINDOW, "relay->on_kept != NULL && !relay->is_unknown", "relay->on_kept != NULL")],
           ["unit modes", "journey strict unknown"]),
    Mutant("strict tells UNKNOWN without a warning if it cannot be waited", "section 7", [
        (WINDOW, "            return;\n        }\n        relay->confirmed = false;\n", "            return;\n        }\n")],
           ["unit modes"]),
    Mutant("strict does not wait for what a script wrote", "section 7", [
        (WINDOW, "return any && namespaces_any_strict(", "return any && !relay->keys_unknown && namespaces_any_strict(")],
           ["unit modes"]),
    Mutant("strict waits for a marker only", "section 7", [
        ("server/worker.c", ".waiter = {.kind = WAITER_EVERYWHERE,", ".waiter = {.kind = WAITER_MARKER,")],
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
        ("server/control.c", "        round_start(control, step_drain);\n",
         "        round_start(control, step_drain);\n        if (control->l2 != NULL) {\n"
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
        (COHERENCE, "        coherence_allow_install(coherence, false);\n        bus_reader_done", "        bus_reader_done")],
           ["unit coherence", "unit coherence_bus", "unit coherence_frames", "sim storm"]),
    Mutant("the clock is read before the sockets", "I1", [
        ("server/worker.c", "    worker->timed_ns = 0;\n    worker_read_clock(worker);", "    worker->timed_ns = 0;")],
           ["journey history stop_a_node"]),

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
           ["unit link_fence", "sim storm"]),
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
           ["unit link_fence"]),
    Mutant("a link believes what others know to be superseded", "I3, I4", [
        ("tiers/link_inner.h", "link->fence.kept.count == 0 && link_fence_is_newest(link));", "link->fence.kept.count == 0);")],
           ["unit link_fence", "sim storm"]),

    # --- links
    Mutant("a reply is served though the fence is closed", "section 3", [
        ("tiers/link_inner.h", "return request->fence_ms == 0 ||", "return request->fence_ms <= now_ms ||")],
           ["unit link_fence", "sim storm"]),
    Mutant("a link is proved from when its beat came back", "section 3", [
        (FENCE, "fence->proved_ms = sent_ms;", "fence->proved_ms = now_ms > sent_ms ? now_ms : sent_ms;")],
           ["unit link_fence", "sim storm"]),
    Mutant("what was kept is released by another epoch's beat", "section 3", [
        (FENCE, "release(link, was_master ? OK : L2_DOWN);", "release(link, was_master || fence->target != 0 ? OK : L2_DOWN);")],
           ["unit link_fence", "unit link_random", "sim storm"]),
    Mutant("a reign is a process, whatever it was meanwhile", "section 3", [
        ("tiers/beat.c", "(const uint64_t[]){answer.run, history}, 2", "(const uint64_t[]){answer.run, 0 * history}, 2")],
           ["unit beat", "unit link_fence", "unit link_random"]),
    Mutant("a reign is believed when it is seen twice", "section 3", [
        (FENCE, "    link_count(link, M_L2_CHECKS_FAILED);\n", "    fence->reign = is_master ? answer.reign : 0;\n    link_count(link, M_L2_CHECKS_FAILED);\n")],
           ["unit link_fence", "unit link_random"]),
    Mutant("a flush closes the fence", "section 3", [(FENCE, "    if (was_master) {", "    if (was_master && now_ms < 0) {")],
           ["unit link_fence", "sim gentle", "journey flush_storm"]),
    Mutant("a flush ends what is kept", "section 3", [
        (FENCE, "const bool is_same = was_master || answer.target", "const bool is_same = answer.target")],
           ["unit link_fence", "unit link_random"]),
    Mutant("a link waits for its next check to meet a new epoch", "section 4", [
        (FENCE, "         is_behind(link, request->asked_ms))) {", "         (is_behind(link, request->asked_ms) && request->asked_ms < 0))) {")],
           ["unit link_fence", "journey flush_storm for_long"]),
    Mutant("a check does not say the replication id", "section 3", [
        (SCRIPT, "return { 0, why, 0, 0, run, replid }", "return { 0, why, 0, 0, run, run }")],
           ["journey beat_script"]),
    Mutant("a link whose check failed stays open", "section 3", [
        (FENCE, "        link_close(link, error, now_ms);\n", "        (void)now_ms;\n")],
           ["unit link_fence", "sim storm"]),
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
        (PEERS, "            !is_silent(peer, patience_ms, now_ms)) {", "            is_silent(peer, patience_ms, now_ms)) {")],
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
]
