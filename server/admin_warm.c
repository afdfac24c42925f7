/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/admin_warm.h"

#include "server/admin_json.h"
#include "server/admin_reply.h"
#include "server/control.h"
#include "server/node.h"
#include "server/warm.h"
#include "server/warm_reply.h"

#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>

enum {
    PATH_MAX_SHOWN = 96, /* of a path in a job's JSON */
    CHANGE_MAX = 4096    /* bytes: it is read on the loop that answers probes, and beats */
};

/* A request while the desk is asked. It may outlive the request. */
struct warm_wait {
    struct admin_wait wait;
    struct warm_call call; /* it is cast back */
    struct buf json;       /* of SUBMIT and REGISTER */
};

/* --- answers ----------------------------------------------------------------------------------------------------- */

static unsigned code_of(struct slice error)
{
    return slice_begins(error, WARM_ERROR_NO_JOB)   ? MHD_HTTP_NOT_FOUND
           : slice_begins(error, WARM_ERROR_ENDED)  ? MHD_HTTP_CONFLICT
           : slice_begins(error, WARM_ERROR_ALONE)  ? MHD_HTTP_CONFLICT
           : slice_begins(error, WARM_ERROR_SPOILT) ? MHD_HTTP_SERVICE_UNAVAILABLE
           : slice_begins(error, "ERR L2 ")         ? MHD_HTTP_SERVICE_UNAVAILABLE
           : slice_begins(error, "ERR ")            ? MHD_HTTP_BAD_REQUEST
           : slice_begins(error, "BUSY ")           ? MHD_HTTP_TOO_MANY_REQUESTS
           : slice_begins(error, "OOM ")            ? MHD_HTTP_INTERNAL_SERVER_ERROR
                                                    : MHD_HTTP_SERVICE_UNAVAILABLE;
}

/* "ERR $.source.hot: a number": the path apart from the text, and no "ERR". What else a word says (UNKNOWN) is of use. */
static void refuse(struct admin_request *request, const char *error)
{
    struct slice text = slice_of(error);
    char path[PATH_MAX_SHOWN] = "";
    const unsigned code = code_of(text);
    if (slice_begins(text, "ERR ")) {
        text.data += strlen("ERR ");
        text.size -= strlen("ERR ");
    }
    const char *colon = text.data[0] == '$' ? strstr(text.data, ": ") : NULL;
    if (colon != NULL && (size_t)(colon - text.data) < sizeof(path)) {
        const size_t size = (size_t)(colon - text.data);
        memcpy(path, text.data, size);
        text.data += size + 2;
        text.size -= size + 2;
    }
    admin_refuse(request, code, text, path[0] == '\0' ? NULL : path);
}

static void answer(struct admin_request *request, const struct warm_call *call,
                   const struct warm_status *statuses, size_t count)
{
    if (call->verb != WARM_LIST && call->verb != WARM_STATUS) {
        json_t *json = json_pack("{s:I}", "id", (json_int_t)statuses[0].id);
        const bool is_new = call->verb == WARM_SUBMIT || call->verb == WARM_REGISTER;
        admin_answer(request, is_new ? MHD_HTTP_ACCEPTED : MHD_HTTP_OK, json);
        json_decref(json);
        return;
    }
    struct admin_reply place;
    admin_reply_begin(&place);
    if (call->verb == WARM_LIST) {
        reply_array(&place.reply, count);
    }
    for (size_t i = 0; i < count; i++) {
        warm_reply(&place.reply, &statuses[i]);
    }
    admin_reply_end(&place, request, OK);
}

static void warm_on_answer(struct warm_call *call, const char *error,
                           const struct warm_status *statuses, size_t count)
{
    struct warm_wait *wait = LIST_ENTRY(call, struct warm_wait, call);
    struct admin_request *request = wait->wait.request;
    if (request == NULL) {
        /* Nobody waits any more. */
    } else if (error != NULL) {
        refuse(request, error);
    } else if (count == 0 && call->verb != WARM_LIST) {
        refuse(request, WARM_ERROR_NO_JOB);
    } else {
        answer(request, call, statuses, count);
    }
    buf_done(&wait->json);
    free(wait);
}

/* --- asking ------------------------------------------------------------------------------------------------------ */

/* `with_body`: it is the job. */
static void ask(struct admin_request *request, struct warm_call call, bool with_body)
{
    struct node *node = request->node;
    struct warm_wait *wait = calloc(1, sizeof(*wait));
    if (wait == NULL) {
        admin_answer(request, MHD_HTTP_OK, NULL);
        return;
    }
    if (!admin_wait(request, &wait->wait)) {
        free(wait);
        return;
    }
    wait->call = call;
    wait->call.home = control_mailbox(node->control);
    wait->call.on_answer = warm_on_answer;
    if (with_body) {
        wait->json = request->body;
        request->body = (struct buf){0};
        wait->call.json = buf_slice(&wait->json);
    }
    if (warm_ask(node, &wait->call) != OK) {
        admin_wait_not(request);
        buf_done(&wait->json);
        free(wait);
        refuse(request, "BUSY too many calls wait for the first worker");
    }
}

static bool read_id(struct admin_request *request, uint64_t *ret_id)
{
    const struct slice text = slice_of(request->path + strlen(ADMIN_WARM_JOB));
    if (slice_to_u64(text, ret_id) == OK && *ret_id <= INT64_MAX) {
        return true;
    }
    refuse(request, WARM_ERROR_NO_JOB);
    return false;
}

void admin_warm_list(struct admin_request *request)
{
    ask(request, (struct warm_call){.verb = WARM_LIST}, false);
}

void admin_warm_status(struct admin_request *request)
{
    uint64_t id = 0;
    if (read_id(request, &id)) {
        ask(request, (struct warm_call){.verb = WARM_STATUS, .id = id}, false);
    }
}

void admin_warm_cancel(struct admin_request *request)
{
    uint64_t id = 0;
    if (read_id(request, &id)) {
        ask(request, (struct warm_call){.verb = WARM_CANCEL, .id = id}, false);
    }
}

/* NULL: it is no JSON, or none that jansson takes; the desk says which. */
static json_t *body_of(const struct admin_request *request)
{
    const struct slice body = buf_slice(&request->body);
    return json_loadb(body.size == 0 ? "" : body.data, body.size, JSON_REJECT_DUPLICATES, NULL);
}

void admin_warm_submit(struct admin_request *request)
{
    ask(request, (struct warm_call){.verb = WARM_PUT}, true);
}

/* false: refused. */
static bool read_change(struct admin_request *request, const json_t *change, struct warm_call *call)
{
    const char *state = json_string_value(json_object_get(change, "state"));
    const json_t *rate = json_object_get(change, "rate");
    if (json_object_size(change) != 1) {
        refuse(request, "ERR $: {\"state\": ...} or {\"rate\": keys per second}");
    } else if (state != NULL && strcmp(state, "paused") == 0) {
        call->verb = WARM_PAUSE;
    } else if (state != NULL && strcmp(state, "running") == 0) {
        call->verb = WARM_RESUME;
    } else if (rate == NULL) {
        refuse(request, json_object_get(change, "state") == NULL
                            ? "ERR $: {\"state\": ...} or {\"rate\": keys per second}"
                            : "ERR $.state: \"paused\" or \"running\"");
    } else if (!json_is_integer(rate) || json_integer_value(rate) < 0 ||
               (uint64_t)json_integer_value(rate) > WARM_RATE_MAX) {
        refuse(request, "ERR $.rate: a number of keys per second from 0 to 1000000000");
    } else {
        call->verb = WARM_SETRATE;
        call->rate = (uint64_t)json_integer_value(rate);
    }
    return request->code == 0;
}

void admin_warm_change(struct admin_request *request)
{
    struct warm_call call = {0};
    if (!read_id(request, &call.id)) {
        return;
    }
    if (request->body.size > CHANGE_MAX) {
        admin_refuse(request, MHD_HTTP_CONTENT_TOO_LARGE,
                     SLICE_LITERAL("a change has 4 KiB at most"), NULL);
        return;
    }
    json_t *change = body_of(request);
    const bool is_good = read_change(request, change, &call);
    json_decref(change);
    if (is_good) {
        ask(request, call, false);
    }
}
