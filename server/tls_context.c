/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/check.h"
#include "server/tls_inner.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    CONTEXT_MAGIC = 0x715c0e01,
    SESSIONS_MAX = 20480, /* as Redis */
    SESSION_S = 300,
};

/* --- words ---------------------------------------------------------------------------------------------------------- */

void tls_reason(char *words, size_t size)
{
    const unsigned long error = ERR_get_error();
    const char *text = ERR_reason_error_string(error);
    if (error == 0) {
        (void)snprintf(words, size, "no reason is known");
    } else if (ERR_SYSTEM_ERROR(error)) {
        errno = ERR_GET_REASON(error);
        (void)snprintf(words, size, "%m");
    } else if (text == NULL) {
        (void)snprintf(words, size, "error %lx of OpenSSL", error);
    } else {
        (void)snprintf(words, size, "%s", text);
    }
    ERR_clear_error();
}

static enum status context_fail(const char *prefix, const char *option, const char *value,
                                char error[TLS_ERROR_MAX])
{
    char words[TLS_WHY_MAX];
    tls_reason(words, sizeof(words));
    (void)snprintf(error, TLS_ERROR_MAX, "%s%s %.160s: %s", prefix, option, value, words);
    return INVALID;
}

/* --- rules ---------------------------------------------------------------------------------------------------------- */

/* false: a word that is no protocol of ours. */
static bool protocols_read(struct slice text, bool *ret_12, bool *ret_13)
{
    *ret_12 = false;
    *ret_13 = false;
    for (struct slice word; (word = slice_next_word(&text, " \t,")).size > 0;) {
        if (slice_is_nocase(word, "TLSv1.2")) {
            *ret_12 = true;
        } else if (slice_is_nocase(word, "TLSv1.3")) {
            *ret_13 = true;
        } else {
            return false;
        }
    }
    if (!*ret_12 && !*ret_13) { /* nothing said */
        *ret_12 = true;
        *ret_13 = true;
    }
    return true;
}

bool tls_protocols_are_known(struct slice text)
{
    bool has_12 = false;
    bool has_13 = false;
    return protocols_read(text, &has_12, &has_13);
}

static enum status set_protocols(SSL_CTX *ssl, const struct tls_settings *settings,
                                 char error[TLS_ERROR_MAX])
{
    bool has_12 = false;
    bool has_13 = false;
    if (!protocols_read(slice_of(settings->protocols), &has_12, &has_13) ||
        SSL_CTX_set_min_proto_version(ssl, has_12 ? TLS1_2_VERSION : TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_max_proto_version(ssl, has_13 ? TLS1_3_VERSION : TLS1_2_VERSION) != 1) {
        return context_fail("", "tls-protocols", settings->protocols, error);
    }
    return OK;
}

static enum status set_rules(SSL_CTX *ssl, const struct tls_settings *settings,
                             char error[TLS_ERROR_MAX])
{
    (void)SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    (void)SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    if (settings->prefer_server_ciphers) {
        (void)SSL_CTX_set_options(ssl, SSL_OP_CIPHER_SERVER_PREFERENCE);
    }
    if (settings->ciphers[0] != '\0' && SSL_CTX_set_cipher_list(ssl, settings->ciphers) != 1) {
        return context_fail("", "tls-ciphers", settings->ciphers, error);
    }
    if (settings->ciphersuites[0] != '\0' &&
        SSL_CTX_set_ciphersuites(ssl, settings->ciphersuites) != 1) {
        return context_fail("", "tls-ciphersuites", settings->ciphersuites, error);
    }
    return set_protocols(ssl, settings, error);
}

/* Sessions that were interrupted go on without a whole handshake: by tickets, or out of a table of bounded size. */
static void set_sessions(SSL_CTX *ssl, const struct tls_settings *settings)
{
    static const unsigned char name[] = "terrace";
    if (settings->side == TLS_SERVER && settings->session_caching) {
        (void)SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_SERVER);
        (void)SSL_CTX_sess_set_cache_size(ssl, SESSIONS_MAX);
        (void)SSL_CTX_set_timeout(ssl, SESSION_S);
        (void)SSL_CTX_set_session_id_context(ssl, name, sizeof(name) - 1);
    } else {
        (void)SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
        (void)SSL_CTX_set_options(ssl, SSL_OP_NO_TICKET);
        (void)SSL_CTX_set_num_tickets(ssl, 0);
    }
}

/* --- files ---------------------------------------------------------------------------------------------------------- */

/* Without it OpenSSL would ask at the terminal. */
static int on_key_pass(char *dst, int room, int writing, void *arg)
{
    const char *pass = arg;
    const size_t size = strlen(pass);
    (void)writing;
    if (size == 0 || size > (size_t)room) {
        return -1;
    }
    memcpy(dst, pass, size);
    return (int)size;
}

static int64_t unix_time(const ASN1_TIME *time)
{
    struct tm parts = {0};
    return ASN1_TIME_to_tm(time, &parts) == 1 ? (int64_t)timegm(&parts) : 0;
}

static enum status load_own(struct tls_context *context, const struct tls_settings *settings,
                            char error[TLS_ERROR_MAX])
{
    SSL_CTX *ssl = context->ssl;
    if (settings->cert_file[0] == '\0' && settings->key_file[0] == '\0') {
        return OK;
    }
    void *pass = NULL; /* it is only read, and not kept; the callback's argument has no const */
    memcpy(&pass, &settings->key_pass, sizeof(pass));
    SSL_CTX_set_default_passwd_cb(ssl, on_key_pass);
    SSL_CTX_set_default_passwd_cb_userdata(ssl, pass);
    enum status status = OK;
    if (SSL_CTX_use_certificate_chain_file(ssl, settings->cert_file) != 1) {
        status = context_fail(settings->prefix, "tls-cert-file", settings->cert_file, error);
    } else if (SSL_CTX_use_PrivateKey_file(ssl, settings->key_file, SSL_FILETYPE_PEM) != 1 ||
               SSL_CTX_check_private_key(ssl) != 1) {
        status = context_fail(settings->prefix, "tls-key-file", settings->key_file, error);
    } else {
        context->expires_s = unix_time(X509_get0_notAfter(SSL_CTX_get0_certificate(ssl)));
    }
    SSL_CTX_set_default_passwd_cb_userdata(ssl, NULL);
    return status;
}

static enum status load_believed(SSL_CTX *ssl, const struct tls_settings *settings,
                                 char error[TLS_ERROR_MAX])
{
    const bool has_file = settings->ca_file[0] != '\0';
    const bool has_dir = settings->ca_dir[0] != '\0';
    if (has_file && SSL_CTX_load_verify_file(ssl, settings->ca_file) != 1) {
        return context_fail(settings->prefix, "tls-ca-cert-file", settings->ca_file, error);
    }
    if (has_dir && SSL_CTX_load_verify_dir(ssl, settings->ca_dir) != 1) {
        return context_fail(settings->prefix, "tls-ca-cert-dir", settings->ca_dir, error);
    }
    if (!has_file && !has_dir && settings->side == TLS_CLIENT &&
        SSL_CTX_set_default_verify_paths(ssl) != 1) {
        return context_fail(settings->prefix, "tls-ca-cert-file", "of the system", error);
    }
    if (has_file && settings->side == TLS_SERVER && settings->asks != TLS_ASKS_NOT) {
        /* told to clients, so that one with several certificates shows the right one */
        SSL_CTX_set_client_CA_list(ssl, SSL_load_client_CA_file(settings->ca_file));
    }
    return OK;
}

static int verify_mode(const struct tls_settings *settings)
{
    if (settings->side == TLS_CLIENT) {
        return SSL_VERIFY_PEER;
    }
    switch (settings->asks) {
    case TLS_ASKS_NOT: return SSL_VERIFY_NONE;
    case TLS_ASKS: return SSL_VERIFY_PEER;
    case TLS_DEMANDS: return SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    }
    return SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
}

/* --- life ----------------------------------------------------------------------------------------------------------- */

static enum status context_build(struct tls_context *context, const struct tls_settings *settings,
                                 char error[TLS_ERROR_MAX])
{
    context->side = settings->side;
    context->ssl =
        SSL_CTX_new(settings->side == TLS_SERVER ? TLS_server_method() : TLS_client_method());
    context->bio = tls_stream_bio();
    if (settings->server_name[0] != '\0') {
        context->server_name = strdup(settings->server_name);
    }
    if (context->ssl == NULL || context->bio == NULL ||
        (context->server_name == NULL) != (settings->server_name[0] == '\0')) {
        (void)snprintf(error, TLS_ERROR_MAX, "no memory for TLS");
        return NO_MEMORY;
    }
    set_sessions(context->ssl, settings);
    (void)SSL_CTX_set_dh_auto(context->ssl, 1);
    SSL_CTX_set_verify(context->ssl, verify_mode(settings), NULL);
    enum status status = set_rules(context->ssl, settings, error);
    if (status == OK) {
        status = load_own(context, settings, error);
    }
    return status == OK ? load_believed(context->ssl, settings, error) : status;
}

static void context_free(struct tls_context *context)
{
    SSL_CTX_free(context->ssl);
    BIO_meth_free(context->bio);
    free(context->server_name);
    context->magic = 0;
    free(context);
}

enum status tls_context_new(const struct tls_settings *settings, struct tls_context **ret_context,
                            char error[TLS_ERROR_MAX])
{
    struct tls_context *context = calloc(1, sizeof(*context));
    if (context == NULL) {
        (void)snprintf(error, TLS_ERROR_MAX, "no memory for TLS");
        return NO_MEMORY;
    }
    context->magic = CONTEXT_MAGIC;
    atomic_init(&context->references, 1);
    ERR_clear_error();
    const enum status status = context_build(context, settings, error);
    if (status != OK) {
        context_free(context);
        return status;
    }
    *ret_context = context;
    return OK;
}

void tls_context_release(struct tls_context *context)
{
    if (context == NULL) {
        return;
    }
    CHECK_MAGIC(context, CONTEXT_MAGIC);
    if (atomic_fetch_sub(&context->references, 1) == 1) {
        context_free(context);
    }
}

int64_t tls_context_expires_s(const struct tls_context *context)
{
    CHECK_MAGIC(context, CONTEXT_MAGIC);
    return context->expires_s;
}

/* --- places --------------------------------------------------------------------------------------------------------- */

void tls_place_open(struct tls_place *place)
{
    *place = (struct tls_place){.now = NULL};
    CHECK(pthread_mutex_init(&place->lock, NULL) == 0);
}

void tls_place_done(struct tls_place *place)
{
    tls_context_release(place->now);
    place->now = NULL;
    (void)pthread_mutex_destroy(&place->lock);
}

void tls_place_put(struct tls_place *place, struct tls_context *context)
{
    (void)pthread_mutex_lock(&place->lock);
    struct tls_context *before = place->now;
    place->now = context;
    (void)pthread_mutex_unlock(&place->lock);
    tls_context_release(before);
}

int64_t tls_place_expires_s(struct tls_place *place)
{
    (void)pthread_mutex_lock(&place->lock);
    const int64_t expires_s = place->now == NULL ? 0 : place->now->expires_s;
    (void)pthread_mutex_unlock(&place->lock);
    return expires_s;
}

struct tls_stream *tls_place_stream(struct tls_place *place, const char *host)
{
    (void)pthread_mutex_lock(&place->lock);
    struct tls_stream *stream = place->now == NULL ? NULL : tls_stream_new(place->now, host);
    (void)pthread_mutex_unlock(&place->lock);
    return stream;
}
