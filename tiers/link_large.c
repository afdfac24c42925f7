/* SPDX-License-Identifier: BSD-3-Clause */
/* link_large.c -- a reply too large to be gathered: passed over, or handed on as it comes (link.h, "Large replies").
 *
 * While its bytes come, its slot stays the first of `sent`, so that a loss and the end of the link find it there. */
#include "protocol/check.h"
#include "protocol/limits.h"
#include "tiers/link_inner.h"

#include <string.h>

enum {
    HEAD_MAX = 24 /* "$536870912\r\n", and some */
};

/* The reply is a bulk: bytes of its head, and of its value. false: it is none, or its head is not here yet. */
static bool head_read(struct slice input, size_t *ret_head, uint64_t *ret_size)
{
    const struct slice window = {.data = input.data,
                                 .size = input.size < HEAD_MAX ? input.size : HEAD_MAX};
    const char *end = window.data[0] == REPLY_BULK ? memchr(window.data, '\n', window.size) : NULL;
    if (end == NULL || end - window.data < 3) {
        return false;
    }
    int64_t size = 0;
    const struct slice digits = {.data = window.data + 1, .size = (size_t)(end - window.data) - 2};
    if (slice_to_i64(digits, &size) != OK || size < 0) {
        return false;
    }
    *ret_head = (size_t)(end - window.data) + 1;
    *ret_size = (uint64_t)size;
    return true;
}

/* Passed over: who asked hears at once that it is large, in the order of fenced replies. */
static void pass_over(struct link *link, struct link_slot *first,
                      const struct link_large_reply *reply, int64_t now_ms)
{
    struct link_request *request = first->request;
    first->request = NULL;
    if (request == NULL) {
        return; /* its deadline had passed */
    }
    if (reply->is_fenced) {
        link_end_request(link, request, TOO_BIG, reply->beginning);
    } else {
        link_fence_keep(link, request, reply->beginning, TOO_BIG, now_ms);
    }
}

static enum link_way way_of(struct link_slot *first, const struct link_large_reply *reply)
{
    struct link_request *request = first->request;
    if (first->kind != SLOT_REQUEST || first->parts > 0) {
        return LINK_GATHER;
    }
    if (request == NULL) {
        return LINK_PASS_OVER;
    }
    return request->on_large == NULL ? LINK_GATHER : request->on_large(request, reply);
}

bool link_large_begin(struct link *link, struct slice input, int64_t now_ms)
{
    size_t head = 0;
    uint64_t size = 0;
    if (link->large.gathers || link->state != LINK_READY || link->sent.count == 0 ||
        !head_read(input, &head, &size)) {
        return false;
    }
    struct link_slot *first = link_fifo_at(&link->sent, 0);
    struct link_request *request = first->request;
    const size_t wanted = request == NULL ? 0 : request->beginning;
    if (size >= LIMIT_STREAM && input.size - head < wanted) {
        return false; /* until they are here */
    }
    const struct link_large_reply reply = {
        .size = head + size + 2,
        .value_size = size,
        .beginning = {.data = input.data + head, .size = wanted},
        .is_fenced = request == NULL || link_fence_is_open(link, request, now_ms),
    };
    const enum link_way way = size < LIMIT_STREAM ? LINK_GATHER : way_of(first, &reply);
    link->large.gathers = way == LINK_GATHER;
    if (way == LINK_GATHER) {
        return false;
    }
    link->framer = (struct reply_framer){0};
    link->large.left = reply.size;
    if (way == LINK_STREAM) {
        request->deadline_ms = 0; /* its end is when its asker takes it */
    } else {
        pass_over(link, first, &reply, now_ms);
    }
    return true;
}

size_t link_large_take(struct link *link, struct slice input)
{
    const uint64_t connection = link->connection;
    const size_t size = input.size < link->large.left ? input.size : (size_t)link->large.left;
    struct link_request *request = link_fifo_at(&link->sent, 0)->request;
    link->large.left -= size;
    if (request != NULL) {
        link->callbacks++;
        request->on_piece(request, (struct slice){.data = input.data, .size = size});
        link->callbacks--;
    }
    if (connection != link->connection || link->large.left > 0) {
        return size;
    }
    (void)link_fifo_pop(&link->sent);
    if (request != NULL) {
        link_end_request(link, request, OK, (struct slice){0});
    }
    return size;
}

void link_hold(struct link *link, bool holds)
{
    CHECK_MAGIC(link, LINK_MAGIC);
    if (link->large.held == holds) {
        return;
    }
    link->large.held = holds;
    if (!holds && link->state == LINK_READY && link->options.io.wants_read != NULL) {
        link->options.io.wants_read(link->options.io.roof, link);
    }
}

bool link_is_held(const struct link *link)
{
    return link->large.held;
}
