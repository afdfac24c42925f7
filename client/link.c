/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    KEEPALIVE_IDLE_S = 30, /* as the node's own: 30/10/5 */
    KEEPALIVE_EVERY_S = 10,
    KEEPALIVE_TRIES = 5
};

struct link_context {
    SSL_CTX *tls; /* NULL: plain */
    BIO_METHOD *method;
    bool verifies;
};

/* --- OpenSSL over a socket that raises no signal ----------------------------------------------------------------------- */

static int fd_of(BIO *bio)
{
    return ((struct link *)BIO_get_data(bio))->fd;
}

static bool is_for_later(int error)
{
    return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

static int bio_write(BIO *bio, const char *data, int size)
{
    BIO_clear_retry_flags(bio);
    const ssize_t sent = send(fd_of(bio), data, (size_t)size, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && is_for_later(errno)) {
        BIO_set_retry_write(bio);
    }
    return (int)sent;
}

static int bio_read(BIO *bio, char *data, int size)
{
    BIO_clear_retry_flags(bio);
    const ssize_t got = recv(fd_of(bio), data, (size_t)size, MSG_DONTWAIT);
    if (got < 0 && is_for_later(errno)) {
        BIO_set_retry_read(bio);
    }
    return (int)got;
}

static long bio_ctrl(BIO *bio, int what, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return what == BIO_CTRL_FLUSH ? 1 : 0;
}

static BIO_METHOD *new_method(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK | BIO_TYPE_DESCRIPTOR, "terrace");
    if (method != NULL) {
        (void)BIO_meth_set_write(method, bio_write);
        (void)BIO_meth_set_read(method, bio_read);
        (void)BIO_meth_set_ctrl(method, bio_ctrl);
    }
    return method;
}

/* --- what links share ------------------------------------------------------------------------------------------------- */

static bool is_folder(const char *path)
{
    struct stat facts;
    return stat(path, &facts) == 0 && S_ISDIR(facts.st_mode);
}

static const char *load_trust(SSL_CTX *tls, const struct terrace_options *options)
{
    const char *path = options->tls_ca;
    if (path[0] == '\0') {
        return SSL_CTX_set_default_verify_paths(tls) == 1 ? NULL : "tls-ca";
    }
    const bool folder = is_folder(path);
    return SSL_CTX_load_verify_locations(tls, folder ? NULL : path, folder ? path : NULL) == 1
               ? NULL
               : "tls-ca";
}

static const char *load_own(SSL_CTX *tls, const struct terrace_options *options)
{
    if (options->tls_cert[0] == '\0') {
        return NULL;
    }
    if (SSL_CTX_use_certificate_chain_file(tls, options->tls_cert) != 1) {
        return "tls-cert";
    }
    return SSL_CTX_use_PrivateKey_file(tls, options->tls_key, SSL_FILETYPE_PEM) == 1 &&
                   SSL_CTX_check_private_key(tls) == 1
               ? NULL
               : "tls-key";
}

/* NULL: all is well; otherwise the option that is to blame, or "tls". */
static const char *set_up_tls(struct link_context *context, const struct terrace_options *options)
{
    context->method = new_method();
    context->tls = SSL_CTX_new(TLS_client_method());
    if (context->method == NULL || context->tls == NULL ||
        SSL_CTX_set_min_proto_version(context->tls, TLS1_2_VERSION) != 1) {
        return "tls";
    }
    SSL_CTX_set_mode(context->tls, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                       SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                       SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_verify(context->tls, context->verifies ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
    const char *wrong = context->verifies ? load_trust(context->tls, options) : NULL;
    return wrong != NULL ? wrong : load_own(context->tls, options);
}

static void describe_error(char *room, size_t size)
{
    const unsigned long code = ERR_get_error();
    const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;
    error_say(room, size, "%s", reason != NULL ? reason : "TLS failed");
    ERR_clear_error();
}

enum terrace_status link_context_new(const struct terrace_options *options,
                                     struct link_context **ret, char *error, size_t error_size)
{
    struct link_context *context = calloc(1, sizeof *context);
    if (context == NULL) {
        error_say(error, error_size, "no memory");
        return TERRACE_NO_MEMORY;
    }
    context->verifies = options->tls_verify;
    ERR_clear_error();
    const char *wrong = options->tls ? set_up_tls(context, options) : NULL;
    if (wrong != NULL) {
        char why[128];
        describe_error(why, sizeof why);
        error_say(error, error_size, "option %s: %s", wrong, why);
        link_context_free(context);
        return TERRACE_BAD_ARGUMENT;
    }
    *ret = context;
    return TERRACE_OK;
}

void link_context_free(struct link_context *context)
{
    if (context != NULL) {
        SSL_CTX_free(context->tls);
        BIO_meth_free(context->method);
        free(context);
    }
}

/* --- opening ---------------------------------------------------------------------------------------------------------- */

static enum status broken(struct link *link, const char *what, int error)
{
    char room[64];
    error_say(link->why, sizeof link->why, "%s: %s", what, strerror_r(error, room, sizeof room));
    return L2_DOWN;
}

static bool is_address(const char *name)
{
    unsigned char room[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, name, room) == 1 || inet_pton(AF_INET6, name, room) == 1;
}

static bool expect_name(SSL *tls, const char *name)
{
    if (is_address(name)) { /* no SNI for addresses */
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(tls), name) == 1;
    }
    return SSL_set_tlsext_host_name(tls, name) == 1 && SSL_set1_host(tls, name) == 1;
}

static enum status begin_tls(struct link *link, struct link_context *context, const char *name)
{
    ERR_clear_error();
    link->tls = SSL_new(context->tls);
    BIO *bio = BIO_new(context->method);
    if (link->tls == NULL || bio == NULL || (context->verifies && !expect_name(link->tls, name))) {
        BIO_free(bio);
        error_say(link->why, sizeof link->why, "no memory for TLS");
        return NO_MEMORY;
    }
    BIO_set_data(bio, link);
    BIO_set_init(bio, 1);
    SSL_set_bio(link->tls, bio, bio);
    SSL_set_connect_state(link->tls);
    return OK;
}

static void set_up_tcp(int fd)
{
    const int on = 1, idle = KEEPALIVE_IDLE_S, every = KEEPALIVE_EVERY_S, tries = KEEPALIVE_TRIES;
    /* A connection without these works, too. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every, sizeof every);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &tries, sizeof tries);
}

enum status link_open(struct link *link, struct link_context *context,
                      const struct sockaddr_storage *address, socklen_t address_size,
                      const char *tls_name)
{
    *link = (struct link){
        .fd = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    if (link->fd < 0) {
        return broken(link, "socket", errno);
    }
    if (address->ss_family != AF_UNIX) {
        set_up_tcp(link->fd);
    }
    enum status status = OK;
    if (connect(link->fd, (const struct sockaddr *)address, address_size) != 0 &&
        errno != EINPROGRESS) {
        status = broken(link, "connect", errno);
    } else if (tls_name != NULL) {
        status = begin_tls(link, context, tls_name);
    }
    if (status != OK) {
        link_done(link);
        link_close(link);
    }
    return status;
}

enum status link_connected(struct link *link)
{
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) {
        error = errno;
    }
    return error == 0 ? OK : broken(link, "connect", error);
}

void link_done(struct link *link)
{
    SSL_free(link->tls);
    link->tls = NULL;
}

void link_close(struct link *link)
{
    if (link->fd >= 0) {
        (void)close(link->fd);
        link->fd = -1;
    }
}

/* --- TLS ---------------------------------------------------------------------------------------------------------------- */

/* What OpenSSL's answer means. */
static enum status tls_status(struct link *link, int answer)
{
    const int saved = errno;
    link->wants_write = false;
    switch (SSL_get_error(link->tls, answer)) {
    case SSL_ERROR_NONE: return OK;
    case SSL_ERROR_WANT_READ: return AGAIN;
    case SSL_ERROR_WANT_WRITE: link->wants_write = true; return AGAIN;
    case SSL_ERROR_ZERO_RETURN: return CLOSE;
    case SSL_ERROR_SYSCALL:
        if (ERR_peek_error() == 0) {
            return saved == 0 ? CLOSE : broken(link, "tls", saved);
        }
        break;
    default: break;
    }
    char why[128];
    const long verdict = SSL_get_verify_result(link->tls);
    describe_error(why, sizeof why);
    error_say(link->why, sizeof link->why, "tls: %s",
              verdict != X509_V_OK ? X509_verify_cert_error_string(verdict) : why);
    return L2_DOWN;
}

enum status link_handshake(struct link *link)
{
    if (link->tls == NULL) {
        return OK;
    }
    ERR_clear_error();
    errno = 0;
    return tls_status(link, SSL_do_handshake(link->tls));
}

static enum status tls_recv(struct link *link, const struct iovec *parts, size_t count,
                            size_t *ret_got)
{
    size_t got = 0;
    enum status status = OK;
    for (size_t i = 0; i < count && status == OK; i++) {
        for (size_t used = 0; used < parts[i].iov_len && status == OK;) {
            size_t some = 0;
            ERR_clear_error();
            errno = 0;
            status = tls_status(link, SSL_read_ex(link->tls, (char *)parts[i].iov_base + used,
                                                  parts[i].iov_len - used, &some));
            used += some;
            got += some;
        }
    }
    *ret_got = got;
    return got > 0 ? OK : status; /* an error is met again with the next call */
}

static enum status tls_send(struct link *link, const struct iovec *parts, size_t count,
                            size_t *ret_sent)
{
    size_t sent = 0;
    enum status status = OK;
    for (size_t i = 0; i < count && status == OK; i++) {
        for (size_t used = 0; used < parts[i].iov_len && status == OK;) {
            size_t some = 0;
            ERR_clear_error();
            errno = 0;
            status =
                tls_status(link, SSL_write_ex(link->tls, (const char *)parts[i].iov_base + used,
                                              parts[i].iov_len - used, &some));
            used += some;
            sent += some;
        }
    }
    *ret_sent = sent;
    return sent > 0 ? OK : status;
}

bool link_holds_bytes(const struct link *link)
{
    return link->tls != NULL && SSL_pending(link->tls) > 0;
}

/* --- bytes -------------------------------------------------------------------------------------------------------------- */

enum status link_recv(struct link *link, const struct iovec *parts, size_t count, size_t *ret_got)
{
    if (link->tls != NULL) {
        return tls_recv(link, parts, count, ret_got);
    }
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)parts, .msg_iovlen = count};
    const ssize_t got = recvmsg(link->fd, &message, MSG_DONTWAIT);
    if (got < 0) {
        return is_for_later(errno) ? AGAIN : broken(link, "recv", errno);
    }
    *ret_got = (size_t)got;
    return got == 0 ? CLOSE : OK;
}

enum status link_send(struct link *link, const struct iovec *parts, size_t count, size_t *ret_sent)
{
    if (link->tls != NULL) {
        return tls_send(link, parts, count, ret_sent);
    }
    const struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)parts,
                                   .msg_iovlen = count};
    const ssize_t sent = sendmsg(link->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) {
        return is_for_later(errno) ? AGAIN : broken(link, "send", errno);
    }
    *ret_sent = (size_t)sent;
    return OK;
}
