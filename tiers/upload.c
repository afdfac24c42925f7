/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/upload.h"

#include "protocol/check.h"
#include "protocol/limits.h"
#include "tiers/stream.h"
#include "tiers/window.h"

#include <stdlib.h>

struct tiers_upload {
    struct stream_seat seat; /* first: it is cast back */
    struct tiers_window *window;
    struct tiers_upload_user *user;
    struct list in_hall;
    struct link_request hello; /* brings the line to L2, and into its database */
    bool handed;               /* the end of the request is tiers_relay's, or will be at once */
    enum status status;        /* PENDING: ROW or ASKED; OK: OPEN; else it is lost */
    struct buf early;          /* what came before it was open */
    uint8_t db;
    int64_t moved_ms; /* when L2 took something, or had all of it */
    uint64_t written;
};

/* Once: nothing more goes out. Not from inside tiers_upload and tiers_upload_take. */
static void upload_lose(struct tiers_upload *upload, enum status status)
{
    if (upload->handed || (upload->status != OK && upload->status != PENDING)) {
        return;
    }
    upload->status = status;
    buf_done(&upload->early);
    stream_rise(upload->window, &upload->seat);
    upload->user->on_room(upload->user);
}

static void upload_on_hello(struct link_request *request, enum status status, struct slice reply)
{
    struct tiers_upload *upload = LIST_ENTRY(request, struct tiers_upload, hello);
    if (upload->handed || upload->status != PENDING) {
        return; /* its line ended with it */
    }
    if (status == OK && (reply.size == 0 || reply.data[0] != REPLY_STATUS)) {
        status = L2_DOWN; /* no such database */
    }
    if (status == OK && upload->early.size > 0) {
        status = line_pour(upload->seat.line, buf_slice(&upload->early));
    }
    if (status != OK) {
        upload_lose(upload, status);
        return;
    }
    buf_done(&upload->early);
    upload->status = OK;
    upload->moved_ms = upload->window->now_ms;
    if (!tiers_upload_is_full(upload)) {
        upload->user->on_room(upload->user);
    }
}

static enum status upload_greet(struct tiers_upload *upload)
{
    const struct tiers_window *window = upload->window;
    upload->hello = (struct link_request){.on_reply = upload_on_hello,
                                          .deadline_ms = window->now_ms + window->read_timeout_ms};
    return line_ask(upload->seat.line, &upload->hello, upload->db,
                    SLICE_LITERAL("*1\r\n$4\r\nPING\r\n"));
}

static void upload_on_seated(struct stream_seat *seat, enum status status)
{
    struct tiers_upload *upload = (struct tiers_upload *)(void *)seat;
    if (status == OK) {
        status = upload_greet(upload);
    }
    if (status != OK) {
        upload_lose(upload, status);
    }
}

/* Before the end of the request was sent, or with it: then tiers_relay hears more. */
static void upload_on_lost(struct line_user *user, const char *why)
{
    struct tiers_upload *upload =
        (struct tiers_upload *)(void *)LIST_ENTRY(user, struct stream_seat, user);
    (void)why;
    upload_lose(upload, L2_DOWN);
}

static void upload_on_room(struct line_user *user)
{
    struct tiers_upload *upload =
        (struct tiers_upload *)(void *)LIST_ENTRY(user, struct stream_seat, user);
    if (upload->status == OK && !upload->handed) {
        upload->user->on_room(upload->user);
    }
}

struct tiers_upload *tiers_upload(struct tiers_window *window, uint8_t db, int proto,
                                  struct tiers_upload_user *user)
{
    struct tiers_upload *upload = calloc(1, sizeof(*upload));
    if (upload == NULL) {
        return NULL;
    }
    upload->seat = (struct stream_seat){
        .user = {.on_lost = upload_on_lost, .on_room = upload_on_room},
        .on_seated = upload_on_seated,
        .proto = proto,
        .deadline_ms = window->now_ms + window->read_timeout_ms,
        .writes = true,
    };
    upload->window = window;
    upload->user = user;
    upload->db = db;
    upload->moved_ms = window->now_ms;
    upload->status = PENDING;
    list_push_back(&window->streams.uploads, &upload->in_hall);
    enum status status = stream_sit(window, &upload->seat);
    if (status == OK) {
        status = upload_greet(upload);
    }
    if (status != OK && status != PENDING) {
        upload->status = status;
        stream_rise(window, &upload->seat);
    }
    return upload;
}

void tiers_upload_take(struct tiers_upload *upload, struct slice bytes)
{
    enum status status = upload->status;
    if (status == PENDING) {
        status = buf_append_slice(&upload->early, bytes) == OK ? PENDING : NO_MEMORY;
    } else if (status == OK) {
        status = line_pour(upload->seat.line, bytes);
    }
    if (status != upload->status) {
        upload->status = status;
        buf_done(&upload->early);
        stream_rise(upload->window, &upload->seat);
    }
}

bool tiers_upload_is_full(const struct tiers_upload *upload)
{
    return upload->status == PENDING ||
           (upload->status == OK &&
            link_output(line_link(upload->seat.line)).size >= LIMIT_STREAM_AHEAD);
}

enum status tiers_upload_line(struct tiers_upload *upload, struct line **ret_line)
{
    CHECK(upload->status != PENDING);
    upload->handed = true;
    *ret_line = upload->seat.line;
    return upload->status;
}

void tiers_upload_end(struct tiers_upload *upload)
{
    if (upload == NULL) {
        return;
    }
    upload->handed = true;
    list_remove(&upload->in_hall);
    stream_rise(upload->window, &upload->seat); /* with what it asked, if that is not answered */
    buf_done(&upload->early);
    free(upload);
}

/* L2 takes nothing of what is there for it. */
static bool upload_is_late(struct tiers_upload *upload)
{
    const struct tiers_window *window = upload->window;
    if (upload->status != OK || upload->handed) {
        return false;
    }
    const struct link *link = line_link(upload->seat.line);
    const uint64_t written = link_written(link);
    if (written != upload->written || link_output(link).size == 0) {
        upload->written = written;
        upload->moved_ms = window->now_ms;
    }
    return window->now_ms - upload->moved_ms > window->relay_timeout_ms;
}

void uploads_tick(struct tiers_window *window)
{
    struct list due;
    list_init(&due);
    list_splice_back(&due, &window->streams.uploads);
    while (!list_empty(&due)) {
        struct tiers_upload *upload = LIST_ENTRY(due.next, struct tiers_upload, in_hall);
        list_remove(&upload->in_hall);
        list_push_back(&window->streams.uploads, &upload->in_hall);
        if (upload_is_late(upload)) {
            upload_lose(upload, L2_DOWN);
        }
    }
}

void uploads_end(struct tiers_window *window)
{
    struct list due;
    list_init(&due);
    list_splice_back(&due, &window->streams.uploads);
    while (!list_empty(&due)) {
        struct tiers_upload *upload = LIST_ENTRY(due.next, struct tiers_upload, in_hall);
        list_remove(&upload->in_hall);
        if (upload->handed) {
            stream_forget(window, &upload->seat); /* its request ends with the line */
        } else {
            upload_lose(upload, L2_DOWN);
        }
    }
}
