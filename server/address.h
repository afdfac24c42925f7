/* SPDX-License-Identifier: BSD-3-Clause */
/* address.h -- "HOST:PORT" as written in the settings: 127.0.0.1:7379, [::1]:7379, localhost:7379, *:7379, and with
 * tls:// ahead of it, where the option takes that.
 *
 * Only literal addresses, `localhost` and `*` (all IPv4): a node does not wait for DNS to know where it listens. */
#ifndef TERRACE_SERVER_ADDRESS_H
#define TERRACE_SERVER_ADDRESS_H

#include "protocol/bytes.h"

#include <sys/socket.h>

struct address {
    struct sockaddr_storage storage;
    socklen_t size;
    bool tls;
};

/* INVALID: `why` says what was expected. */
enum status address_parse(struct slice text, struct address *ret_address, char *why,
                          size_t why_size) MUST_USE;
bool address_is_loopback(const struct address *address);

#endif
