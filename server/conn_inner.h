/* SPDX-License-Identifier: BSD-3-Clause */
/* conn_inner.h -- what the files of a connection share: conn.c (life, holds, answering), conn_read.c (reading). */
#ifndef TERRACE_SERVER_CONN_INNER_H
#define TERRACE_SERVER_CONN_INNER_H

#include "server/conn.h"

enum {
    CONN_MAGIC = 0xc0441e01
};

/* Asks the poll handle for what the connection needs now, if that changed. May close it. */
void conn_watch(struct conn *conn);
/* Its next request begins anew: what the parser knew of it is forgotten. */
void conn_free_reader(struct conn *conn);

#endif
