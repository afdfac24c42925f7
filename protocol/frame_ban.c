/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/frame_ban.h"

#include "protocol/frame.h"
#include "protocol/limits.h"

#include <string.h>

enum {
    NAME_HEAD_SIZE = 2,
    ENTRY_HEAD_SIZE = 24,
    OWN_HARD = 1,
    OWN_SOFT = 2,
    BODY_MAX = LIMIT_FRAME - FRAME_HEADER_SIZE - FRAME_CHECKSUM_SIZE
};

/* Versions and seqs are exact in the scripts of L2 up to here. */
#define SEQ_MAX ((UINT64_C(1) << 53) - 1)

int frame_ban_compare_tags(struct slice a, struct slice b)
{
    const size_t size = a.size < b.size ? a.size : b.size;
    const int order = size > 0 ? memcmp(a.data, b.data, size) : 0;
    if (order != 0 || a.size == b.size) {
        return order;
    }
    return a.size < b.size ? -1 : 1;
}

enum status frame_ban_next_tag(struct slice text, size_t *position, struct slice *ret)
{
    if (*position >= text.size) {
        return *position == text.size ? AGAIN : MALFORMED;
    }
    const size_t size = (uint8_t)text.data[*position];
    if (size == 0 || size > FRAME_BAN_TAG_MAX || text.size - *position - 1 < size) {
        return MALFORMED;
    }
    *ret = (struct slice){.data = text.data + *position + 1, .size = size};
    *position += 1 + size;
    return OK;
}

enum status frame_ban_append_tag(struct buf *text, struct slice tag)
{
    if (tag.size == 0 || tag.size > FRAME_BAN_TAG_MAX) {
        return MALFORMED;
    }
    enum status status = buf_reserve(text, 1 + tag.size);
    if (status == OK) {
        const char size = (char)(uint8_t)tag.size;
        status = buf_append(text, &size, 1);
    }
    return status == OK ? buf_append_slice(text, tag) : status;
}

static bool is_conjunction(struct slice text)
{
    struct slice before = {0};
    struct slice tag;
    size_t position = 0;
    unsigned count = 0;
    enum status status = OK;
    while ((status = frame_ban_next_tag(text, &position, &tag)) == OK) {
        if (count > 0 && frame_ban_compare_tags(before, tag) >= 0) {
            return false;
        }
        before = tag;
        count++;
    }
    return status == AGAIN && count >= 2 && count <= FRAME_BAN_TAGS_MAX;
}

enum status frame_ban_read_name(struct slice name, struct frame_ban *ret)
{
    if (name.size < NAME_HEAD_SIZE) {
        return MALFORMED;
    }
    const size_t ns_size = (uint8_t)name.data[1];
    if (ns_size > FRAME_BAN_NS_MAX || name.size - NAME_HEAD_SIZE < ns_size) {
        return MALFORMED;
    }
    const char *ns = name.data + NAME_HEAD_SIZE;
    const struct slice text = {.data = ns + ns_size, .size = name.size - NAME_HEAD_SIZE - ns_size};
    bool holds = false;
    switch ((uint8_t)name.data[0]) {
    case FRAME_BAN_TAG: holds = text.size > 0 && text.size <= FRAME_BAN_TAG_MAX; break;
    case FRAME_BAN_PREFIX:
    case FRAME_BAN_GLOB: holds = text.size <= FRAME_BAN_TEXT_MAX; break;
    case FRAME_BAN_ALL_TAGS: holds = is_conjunction(text); break;
    case FRAME_BAN_LOST: holds = text.size == 0 && ns_size == 0; break;
    default: break;
    }
    if (!holds) {
        return MALFORMED;
    }
    *ret = (struct frame_ban){
        .kind = (enum frame_ban_kind)(uint8_t)name.data[0],
        .name = name,
        .ns = {.data = ns, .size = ns_size},
        .text = text,
    };
    return OK;
}

enum status frame_ban_name(struct buf *out, enum frame_ban_kind kind, struct slice ns,
                           struct slice text)
{
    if (ns.size > FRAME_BAN_NS_MAX) {
        return MALFORMED;
    }
    const size_t before = out->size;
    const char head[NAME_HEAD_SIZE] = {(char)kind, (char)(uint8_t)ns.size};
    enum status status = buf_append(out, head, sizeof head);
    if (status == OK) {
        status = buf_append_slice(out, ns);
    }
    if (status == OK) {
        status = buf_append_slice(out, text);
    }
    struct frame_ban ban;
    if (status == OK) {
        const struct slice name = {.data = out->data + before, .size = out->size - before};
        status = frame_ban_read_name(name, &ban);
    }
    if (status != OK) {
        out->size = before;
    }
    return status;
}

static enum status append(struct buf *body, struct slice name, uint8_t own, uint32_t age_s,
                          uint64_t hard, uint64_t soft)
{
    if (name.size > UINT16_MAX || body->size > BODY_MAX ||
        BODY_MAX - body->size < ENTRY_HEAD_SIZE + name.size) {
        return TOO_BIG;
    }
    const enum status status = buf_reserve(body, ENTRY_HEAD_SIZE + name.size);
    if (status != OK) {
        return status;
    }
    char *head = body->data + body->size;
    put_u16le(head, (uint16_t)name.size);
    head[2] = (char)own;
    head[3] = 0;
    put_u32le(head + 4, age_s);
    put_u64le(head + 8, hard);
    put_u64le(head + 16, soft);
    body->size += ENTRY_HEAD_SIZE;
    return buf_append_slice(body, name);
}

enum status frame_ban_append(struct buf *body, struct slice name, uint32_t age_s, uint64_t hard,
                             uint64_t soft)
{
    return append(body, name, 0, age_s, hard, soft);
}

enum status frame_ban_append_own(struct buf *body, struct slice name, bool soft)
{
    return append(body, name, soft ? OWN_SOFT : OWN_HARD, 0, 0, 0);
}

enum status frame_ban_next(struct slice body, uint64_t seq, size_t *position, struct frame_ban *ret)
{
    if (*position == body.size) {
        return AGAIN;
    }
    if (*position > body.size || body.size - *position < ENTRY_HEAD_SIZE) {
        return MALFORMED;
    }
    const char *head = body.data + *position;
    const size_t size = get_u16le(head);
    const uint8_t own = (uint8_t)head[2];
    if ((own & ~(OWN_HARD | OWN_SOFT)) != 0 || head[3] != 0 ||
        body.size - *position - ENTRY_HEAD_SIZE < size) {
        return MALFORMED;
    }
    const uint64_t hard = (own & OWN_HARD) != 0 ? seq : get_u64le(head + 8);
    const uint64_t soft = (own & OWN_SOFT) != 0 ? seq : get_u64le(head + 16);
    const uint64_t most = seq != 0 ? seq : SEQ_MAX;
    if (hard > most || soft > most) {
        return MALFORMED;
    }
    struct frame_ban ban;
    if (frame_ban_read_name((struct slice){.data = head + ENTRY_HEAD_SIZE, .size = size}, &ban) !=
        OK) {
        return MALFORMED;
    }
    ban.age_s = get_u32le(head + 4);
    ban.hard = hard;
    ban.soft = soft;
    *ret = ban;
    *position += ENTRY_HEAD_SIZE + size;
    return OK;
}
