/* SPDX-License-Identifier: BSD-3-Clause */
/* tls.h -- TLS 1.2 and 1.3 over bytes: contexts made of files, and streams that know no socket.
 *
 * A CONTEXT is what certificates and rules were when it was made; it never changes. A reload makes another and puts it in
 * the PLACE from which new connections take theirs. Streams hold the one that they began with.
 *
 * A STREAM turns ciphertext into plaintext and back. The owner of the socket moves the bytes:
 *
 *      socket --tls_feed--> | handshake, records | --tls_read--> requests
 *      socket <--tls_output-|                    | <--tls_write- answers
 *
 * What is fed is borrowed until tls_read says AGAIN: by then all of it was taken, and nothing that could be read stays
 * inside, so that the readiness of the socket tells all. (OpenSSL keeps at most one record that is cut in two.) The BIO
 * is one of our own: those of OpenSSL keep the largest size that they ever had, and an idle connection should not.
 *
 * There is no renegotiation, no compression, no early data. Either side may say its close_notify; what the other one
 * still sends is read then, and answered.
 *
 * Owns:    a context its files' contents; a stream one reference to its context and the ciphertext that waits.
 * Threads: contexts and places any; a stream one at a time.
 * Limits:  tls_write takes no more while TLS_OUTPUT_MAX waits; a peer that makes twice that wait without reading breaks
 *          its stream. OpenSSL bounds the messages of the handshake (100 KiB of certificates).
 * Errors:  words for people: of a context with the option and the file, of a stream in tls_error. */
#ifndef TERRACE_SERVER_TLS_H
#define TERRACE_SERVER_TLS_H

#include "protocol/bytes.h"

#include <pthread.h>

struct tls_context;
struct tls_stream;

enum {
    TLS_ERROR_MAX = 320,
    TLS_WHY_MAX = 128,
    TLS_NAME_MAX = 128,
    TLS_RECORD = 16 * 1024, /* plaintext of one record at most */
    TLS_OUTPUT_MAX = 64 * 1024
};

/* --- contexts ------------------------------------------------------------------------------------------------------- */

enum tls_side {
    TLS_SERVER,
    TLS_CLIENT
};

/* Whether a server asks for the certificate of its client. */
enum tls_asks {
    TLS_ASKS_NOT,
    TLS_ASKS,
    TLS_DEMANDS
};

/* Empty texts: nothing of the kind. */
struct tls_settings {
    enum tls_side side;
    const char *prefix; /* of the names of its files' options, in errors: "" or "l2-" */
    const char *cert_file;
    const char *key_file;
    const char *key_pass;
    /* Who is believed; with neither file nor folder a client believes whom the system does. */
    const char *ca_file;
    const char *ca_dir;
    /* A client's: what the certificate must say, in place of the host it goes to. */
    const char *server_name;
    enum tls_asks asks;
    const char *protocols; /* "TLSv1.2", "TLSv1.3" or both */
    const char *ciphers;
    const char *ciphersuites;
    bool prefer_server_ciphers;
    bool session_caching;
};

/* Reads the files. INVALID: `error` says which and why. NO_MEMORY. */
enum status tls_context_new(const struct tls_settings *settings, struct tls_context **ret_context,
                            char error[TLS_ERROR_MAX]) MUST_USE;
void tls_context_release(struct tls_context *context); /* NULL is fine */
int64_t tls_context_expires_s(
    const struct tls_context *context); /* of its certificate: Unix time; 0: it has none */
/* What `protocols` may say; false: something else. */
bool tls_protocols_are_known(struct slice text);

/* --- places --------------------------------------------------------------------------------------------------------- */

struct tls_place {
    pthread_mutex_t lock;
    struct tls_context *now; /* NULL: TLS is not spoken here */
};

void tls_place_open(struct tls_place *place);
void tls_place_done(struct tls_place *place);
void tls_place_put(struct tls_place *place,
                   struct tls_context *context); /* takes it over; NULL is fine */
int64_t tls_place_expires_s(struct tls_place *place);
/* A stream of the context that is here now. `host`: where a client goes to; NULL: a server. NULL: no memory, or nothing
 * is here. */
struct tls_stream *tls_place_stream(struct tls_place *place, const char *host);

/* --- streams -------------------------------------------------------------------------------------------------------- */

struct tls_stream *tls_stream_new(struct tls_context *context, const char *host); /* as above */
void tls_stream_free(struct tls_stream *stream);                                  /* NULL is fine */

/* More ciphertext, borrowed until all of it was taken; there may be none left of before. */
void tls_feed(struct tls_stream *stream, struct slice ciphertext);
/* Goes on with the handshake. OK: it is done; AGAIN: the peer must say more; MALFORMED: it failed, see tls_error. */
enum status tls_handshake(struct tls_stream *stream) MUST_USE;
/* The next plaintext, after the handshake if that is not done. OK: *ret_got bytes; AGAIN: all that was fed is taken; CLOSE:
 * the peer said that it will send no more; MALFORMED: the stream is broken. */
enum status tls_read(struct tls_stream *stream, char *dst, size_t room, size_t *ret_got) MUST_USE;
/* Encrypts the first *ret_taken bytes, TLS_RECORD at most. AGAIN: none, the handshake is not done or enough waits;
 * MALFORMED: broken. */
enum status tls_write(struct tls_stream *stream, struct slice bytes, size_t *ret_taken) MUST_USE;
/* Says close_notify, once. Nothing can be written after it. */
void tls_end(struct tls_stream *stream);

struct slice tls_output(
    const struct tls_stream *stream); /* ciphertext that waits; until the next call */
void tls_sent(struct tls_stream *stream, size_t size); /* the socket took so much of it */
size_t tls_waiting(const struct tls_stream *stream);

bool tls_is_ready(const struct tls_stream *stream); /* the handshake is done */
bool tls_is_ended(const struct tls_stream *stream); /* the peer said close_notify */
const char *tls_error(const struct tls_stream *stream);

struct tls_facts {
    const char *version; /* "TLSv1.3" */
    const char *cipher;
    char peer[TLS_NAME_MAX]; /* common name of its certificate; "": it has shown none */
};
void tls_describe(const struct tls_stream *stream, struct tls_facts *ret_facts);

#endif
