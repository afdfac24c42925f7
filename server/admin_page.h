/* SPDX-License-Identifier: BSD-3-Clause */
/* admin_page.h -- the live page, `/` on the admin listener: server/admin_page.html, one file that loads no other.
 *
 * It says nothing of the node by itself, so everybody may have it; what it shows it asks /v1 for, once a second, with the
 * rights of who looks at it (admin_guard.h).
 *
 * Threads: any; nothing is kept. */
#ifndef TERRACE_SERVER_ADMIN_PAGE_H
#define TERRACE_SERVER_ADMIN_PAGE_H

#include "protocol/bytes.h"

#define ADMIN_PAGE_TYPE "text/html; charset=utf-8"
/* Its Content-Security-Policy: what stands in the page itself, and questions to this listener. */
#define ADMIN_PAGE_POLICY                                                            \
    "default-src 'none'; connect-src 'self'; script-src 'unsafe-inline'; style-src " \
    "'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

/* Its bytes, which lie in the program. */
struct slice admin_page(void);

#endif
