/* SPDX-License-Identifier: BSD-3-Clause */
/* tls_inner.h -- what the two halves of tls.h share. Inside tls*.c. */
#ifndef TERRACE_SERVER_TLS_INNER_H
#define TERRACE_SERVER_TLS_INNER_H

#include "server/tls.h"

#include <openssl/ssl.h>
#include <stdatomic.h>

struct tls_context {
    uint32_t magic;
    atomic_uint references;
    enum tls_side side;
    SSL_CTX *ssl;
    BIO_METHOD *bio;   /* of its streams; must outlive them */
    char *server_name; /* NULL: as the host */
    int64_t expires_s;
};

/* The BIO of streams: tls_stream.c. NULL: no memory. */
BIO_METHOD *tls_stream_bio(void);

/* OpenSSL's first complaint of this thread in words, and none is left. */
void tls_reason(char *words, size_t size);

#endif
