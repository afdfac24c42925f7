/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/admin_visitors.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

enum {
    NETWORK_BYTES = 8
};

static struct visitor *visitor_of(struct list *link)
{
    return LIST_ENTRY(link, struct visitor, link);
}

void visitors_init(struct visitors *visitors)
{
    list_init(&visitors->all);
    visitors->count = 0;
}

/* IPv4 as IPv6 has it, ::ffff:a.b.c.d, whichever way it came. */
static void note_address(const struct sockaddr *from, unsigned char address[16])
{
    static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    memset(address, 0, 16);
    if (from != NULL && from->sa_family == AF_INET) {
        memcpy(address, mapped, sizeof(mapped));
        memcpy(address + sizeof(mapped),
               &((const struct sockaddr_in *)(const void *)from)->sin_addr, 4);
    } else if (from != NULL && from->sa_family == AF_INET6) {
        const struct in6_addr *ipv6 = &((const struct sockaddr_in6 *)(const void *)from)->sin6_addr;
        memcpy(address, ipv6->s6_addr, IN6_IS_ADDR_V4MAPPED(ipv6) ? 16 : NETWORK_BYTES);
    }
}

void visitor_comes(struct visitors *visitors, struct visitor *visitor,
                   const struct sockaddr *address, int64_t now_ms)
{
    *visitor = (struct visitor){.since_ms = now_ms};
    note_address(address, visitor->address);
    list_push_back(&visitors->all, &visitor->link);
    visitors->count++;
}

void visitor_goes(struct visitors *visitors, struct visitor *visitor)
{
    list_remove(&visitor->link);
    visitors->count--;
}

void visitor_enters(struct visitors *visitors, struct visitor *visitor, enum visitor_state state,
                    int64_t now_ms)
{
    visitor->state = state;
    visitor->since_ms = now_ms;
    list_remove(&visitor->link);
    list_push_back(&visitors->all, &visitor->link);
}

static int64_t limit_of(enum visitor_state state)
{
    switch (state) {
    case VISITOR_HEAD: return VISITOR_HEAD_MS;
    case VISITOR_BODY: return VISITOR_BODY_MS;
    case VISITOR_ANSWER: return VISITOR_ANSWER_MS;
    case VISITOR_IDLE: return VISITOR_IDLE_MS;
    case VISITOR_OURS: break;
    }
    return INT64_MAX;
}

struct visitor *visitors_overdue(const struct visitors *visitors, int64_t now_ms)
{
    for (struct list *at = visitors->all.next; at != &visitors->all; at = at->next) {
        struct visitor *visitor = visitor_of(at);
        if (now_ms - visitor->since_ms >= limit_of(visitor->state)) {
            return visitor;
        }
    }
    return NULL;
}

static unsigned count_of(const struct visitors *visitors, const unsigned char address[16])
{
    unsigned count = 0;
    for (struct list *at = visitors->all.next; at != &visitors->all; at = at->next) {
        count += memcmp(visitor_of(at)->address, address, 16) == 0 ? 1 : 0;
    }
    return count;
}

struct visitor *visitors_surplus(const struct visitors *visitors)
{
    struct visitor *chosen = NULL;
    unsigned most = 0;
    if (visitors->count <= VISITORS_MAX) {
        return NULL;
    }
    for (struct list *at = visitors->all.next; at != &visitors->all; at = at->next) {
        struct visitor *visitor = visitor_of(at);
        const unsigned count =
            visitor->state == VISITOR_OURS ? 0 : count_of(visitors, visitor->address);
        if (count > most) { /* of those with as many, the first has been there for longest */
            most = count;
            chosen = visitor;
        }
    }
    return chosen;
}
