/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/admin_reply.h"

#include "server/answer_json.h"

#include <microhttpd.h>
#include <string.h>

void admin_reply_begin(struct admin_reply *place)
{
    *place = (struct admin_reply){.reply = {.proto = 3}};
    out_init(&place->reply.out, &place->pool);
}

static enum status take_bytes(struct out *from, struct buf *to)
{
    if (from->broken || buf_reserve(to, from->size) != OK) {
        return NO_MEMORY;
    }
    while (from->size > 0) {
        char *room = to->data + to->size;
        const struct slice part = out_peek(from, to->capacity - to->size, room);
        if (part.data != room) {
            memcpy(room, part.data, part.size);
        }
        to->size += part.size;
        out_take(from, part.size);
    }
    return OK;
}

void admin_reply_end(struct admin_reply *place, struct admin_request *request, enum status status)
{
    struct buf bytes = {0};
    json_t *json = NULL;
    status = status == OK ? take_bytes(&place->reply.out, &bytes) : status;
    if (status == OK) {
        status = answer_json(buf_slice(&bytes), &json);
    }
    admin_answer(request, MHD_HTTP_OK, status == OK ? json : NULL);
    json_decref(json);
    buf_done(&bytes);
    out_done(&place->reply.out);
    out_pool_done(&place->pool);
}
