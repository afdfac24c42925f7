/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/check.h"
#include "server/tls_inner.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    STREAM_MAGIC = 0x715573e1
};

struct tls_stream {
    uint32_t magic;
    bool ready;
    bool ended; /* by the peer */
    /* Nothing can be read or written any more; what waits may still be sent: it says why. */
    bool broken;
    bool said_end;
    SSL *ssl;
    struct tls_context *context;
    struct slice fed; /* borrowed */
    struct buf out;
    size_t sent; /* of `out` */
    char error[TLS_WHY_MAX];
};

/* --- the BIO --------------------------------------------------------------------------------------------------------- */

static int bio_on_create(BIO *bio)
{
    BIO_set_init(bio, 1);
    return 1;
}

static int bio_on_read(BIO *bio, char *dst, int room)
{
    struct tls_stream *stream = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (stream->fed.size == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    const size_t size = stream->fed.size < (size_t)room ? stream->fed.size : (size_t)room;
    memcpy(dst, stream->fed.data, size);
    stream->fed.data += size;
    stream->fed.size -= size;
    return (int)size;
}

static int bio_on_write(BIO *bio, const char *bytes, int size)
{
    struct tls_stream *stream = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    return buf_append(&stream->out, bytes, (size_t)size) == OK ? size : -1;
}

static long bio_on_control(BIO *bio, int command, long number, void *arg)
{
    (void)bio;
    (void)number;
    (void)arg;
    return command == BIO_CTRL_FLUSH; /* all is flushed always; nothing else is known here */
}

BIO_METHOD *tls_stream_bio(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "bytes of a stream");
    if (method == NULL || BIO_meth_set_create(method, bio_on_create) != 1 ||
        BIO_meth_set_read(method, bio_on_read) != 1 ||
        BIO_meth_set_write(method, bio_on_write) != 1 ||
        BIO_meth_set_ctrl(method, bio_on_control) != 1) {
        BIO_meth_free(method);
        return NULL;
    }
    return method;
}

/* --- life ----------------------------------------------------------------------------------------------------------- */

static bool is_ip(const char *host)
{
    unsigned char address[16];
    return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

/* Whom a client wants to meet: its certificate must say so. */
static bool stream_set_name(SSL *ssl, const char *host)
{
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (is_ip(host)) {
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
    }
    return SSL_set_tlsext_host_name(ssl, host) == 1 && SSL_set1_host(ssl, host) == 1;
}

static bool stream_build(struct tls_stream *stream, const char *host)
{
    stream->ssl = SSL_new(stream->context->ssl);
    BIO *bio = BIO_new(stream->context->bio);
    if (stream->ssl == NULL || bio == NULL) {
        BIO_free(bio);
        return false;
    }
    BIO_set_data(bio, stream);
    SSL_set_bio(stream->ssl, bio, bio);
    if (host == NULL) {
        SSL_set_accept_state(stream->ssl);
        return true;
    }
    SSL_set_connect_state(stream->ssl);
    const char *name = stream->context->server_name;
    return stream_set_name(stream->ssl, name != NULL ? name : host);
}

struct tls_stream *tls_stream_new(struct tls_context *context, const char *host)
{
    struct tls_stream *stream = calloc(1, sizeof(*stream));
    if (stream == NULL) {
        return NULL;
    }
    CHECK((host == NULL) == (context->side == TLS_SERVER));
    stream->magic = STREAM_MAGIC;
    stream->context = context;
    atomic_fetch_add(&context->references, 1);
    if (!stream_build(stream, host)) {
        tls_stream_free(stream);
        return NULL;
    }
    return stream;
}

void tls_stream_free(struct tls_stream *stream)
{
    if (stream == NULL) {
        return;
    }
    CHECK_MAGIC(stream, STREAM_MAGIC);
    stream->fed = (struct slice){0};
    SSL_free(stream->ssl); /* and its BIO */
    ERR_clear_error();
    tls_context_release(stream->context);
    buf_done(&stream->out);
    stream->magic = 0;
    free(stream);
}

/* --- errors --------------------------------------------------------------------------------------------------------- */

static enum status stream_break(struct tls_stream *stream, const char *why)
{
    stream->broken = true;
    stream->fed = (struct slice){0};
    (void)snprintf(stream->error, sizeof(stream->error), "%s", why);
    return MALFORMED;
}

/* After OpenSSL said that it cannot go on. What it means is in the first complaint. */
static enum status stream_fail(struct tls_stream *stream)
{
    const unsigned long error = ERR_peek_error();
    const int reason = ERR_GET_LIB(error) == ERR_LIB_SSL ? ERR_GET_REASON(error) : 0;
    char words[TLS_WHY_MAX / 2];
    char why[TLS_WHY_MAX];
    tls_reason(words, sizeof(words));
    if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED) {
        (void)snprintf(why, sizeof(why), "the certificate is not believed: %s",
                       X509_verify_cert_error_string(SSL_get_verify_result(stream->ssl)));
    } else if (reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_HTTP_REQUEST) {
        (void)snprintf(why, sizeof(why), "the other side does not speak TLS (%s)", words);
    } else if (reason >= SSL_AD_REASON_OFFSET) {
        (void)snprintf(why, sizeof(why), "the other side refused: %s", words);
    } else {
        (void)snprintf(why, sizeof(why), "%s", words);
    }
    return stream_break(stream, why);
}

/* A peer may make us speak: alerts, new keys. It must read that, too. */
static enum status stream_wait(struct tls_stream *stream)
{
    return tls_waiting(stream) > 2 * (size_t)TLS_OUTPUT_MAX
               ? stream_break(stream, "the other side asks for more than it reads")
               : AGAIN;
}

/* --- bytes ---------------------------------------------------------------------------------------------------------- */

void tls_feed(struct tls_stream *stream, struct slice ciphertext)
{
    CHECK_MAGIC(stream, STREAM_MAGIC);
    CHECK(stream->fed.size == 0);
    if (!stream->ended && !stream->broken) {
        stream->fed = ciphertext;
    }
}

enum status tls_handshake(struct tls_stream *stream)
{
    CHECK_MAGIC(stream, STREAM_MAGIC);
    if (stream->ready || stream->broken) {
        return stream->broken ? MALFORMED : OK;
    }
    ERR_clear_error();
    const int done = SSL_do_handshake(stream->ssl);
    if (done == 1) {
        stream->ready = true;
        return OK;
    }
    return SSL_get_error(stream->ssl, done) == SSL_ERROR_WANT_READ ? stream_wait(stream)
                                                                   : stream_fail(stream);
}

enum status tls_read(struct tls_stream *stream, char *dst, size_t room, size_t *ret_got)
{
    *ret_got = 0;
    const enum status status = tls_handshake(stream);
    if (status != OK) {
        return status;
    }
    if (stream->ended) {
        return CLOSE;
    }
    ERR_clear_error();
    const int done = SSL_read_ex(stream->ssl, dst, room, ret_got);
    if (done == 1) {
        return OK;
    }
    switch (SSL_get_error(stream->ssl, done)) {
    case SSL_ERROR_WANT_READ: return stream_wait(stream);
    case SSL_ERROR_ZERO_RETURN:
        stream->ended = true;
        stream->fed = (struct slice){0}; /* behind its last word nothing counts */
        return CLOSE;
    default: return stream_fail(stream);
    }
}

enum status tls_write(struct tls_stream *stream, struct slice bytes, size_t *ret_taken)
{
    CHECK_MAGIC(stream, STREAM_MAGIC);
    *ret_taken = 0;
    if (stream->broken) {
        return MALFORMED;
    }
    if (!stream->ready || stream->said_end || bytes.size == 0 ||
        stream->out.size >= TLS_OUTPUT_MAX) {
        return AGAIN;
    }
    const size_t size = bytes.size < TLS_RECORD ? bytes.size : TLS_RECORD;
    ERR_clear_error();
    const int done = SSL_write_ex(stream->ssl, bytes.data, size, ret_taken);
    return done == 1 ? OK : stream_fail(stream);
}

void tls_end(struct tls_stream *stream)
{
    CHECK_MAGIC(stream, STREAM_MAGIC);
    if (stream->ready && !stream->broken && !stream->said_end) {
        stream->said_end = true;
        ERR_clear_error();
        (void)SSL_shutdown(stream->ssl);
        ERR_clear_error();
    }
}

struct slice tls_output(const struct tls_stream *stream)
{
    CHECK_MAGIC(stream, STREAM_MAGIC);
    const size_t size = tls_waiting(stream);
    return (struct slice){size > 0 ? stream->out.data + stream->sent : NULL, size};
}

size_t tls_waiting(const struct tls_stream *stream)
{
    return stream->out.size - stream->sent;
}

void tls_sent(struct tls_stream *stream, size_t size)
{
    CHECK(size <= tls_waiting(stream));
    stream->sent += size;
    if (stream->sent == stream->out.size) {
        buf_done(&stream->out); /* idle connections hold no memory */
        stream->sent = 0;
    }
}

/* --- questions ------------------------------------------------------------------------------------------------------ */

bool tls_is_ready(const struct tls_stream *stream)
{
    CHECK_MAGIC(stream, STREAM_MAGIC);
    return stream->ready;
}

bool tls_is_ended(const struct tls_stream *stream)
{
    CHECK_MAGIC(stream, STREAM_MAGIC);
    return stream->ended;
}

const char *tls_error(const struct tls_stream *stream)
{
    CHECK_MAGIC(stream, STREAM_MAGIC);
    return stream->error;
}

void tls_describe(const struct tls_stream *stream, struct tls_facts *ret_facts)
{
    CHECK_MAGIC(stream, STREAM_MAGIC);
    *ret_facts = (struct tls_facts){.version = SSL_get_version(stream->ssl),
                                    .cipher = SSL_get_cipher_name(stream->ssl)};
    const X509 *certificate = SSL_get0_peer_certificate(stream->ssl);
    if (certificate != NULL) {
        (void)X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName,
                                        ret_facts->peer, sizeof(ret_facts->peer));
    }
}
