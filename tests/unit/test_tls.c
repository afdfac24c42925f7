/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/tls.h"
#include "tests/unit/tls_help.h"
#include "tiers/base/rand.h"

#include <openssl/ssl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum {
    MANY = 3 * 1000 * 1000,
    ROOM = TLS_RECORD
};

/* An authority, what it signed, and one that nobody knows. */
struct scene {
    struct tls_folder folder;
    struct tls_paper authority;
    struct tls_paper server;
    struct tls_paper person;
    struct tls_paper stranger;
};

static int setup(void **state)
{
    struct scene *s = calloc(1, sizeof(*s));
    assert_non_null(s);
    tls_folder_open(&s->folder);
    s->authority =
        tls_paper_make(&s->folder, &(struct tls_paper_spec){.file = "ca", .name = "the authority"});
    s->server = tls_paper_make(&s->folder,
                               &(struct tls_paper_spec){.file = "server",
                                                        .name = "server",
                                                        .alternative = "DNS:l2.test,IP:127.0.0.1",
                                                        .issuer = &s->authority});
    s->person = tls_paper_make(
        &s->folder,
        &(struct tls_paper_spec){.file = "person", .name = "alice", .issuer = &s->authority});
    s->stranger =
        tls_paper_make(&s->folder, &(struct tls_paper_spec){.file = "other", .name = "nobody"});
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct scene *s = *state;
    tls_paper_done(&s->authority);
    tls_paper_done(&s->server);
    tls_paper_done(&s->person);
    tls_paper_done(&s->stranger);
    tls_folder_close(&s->folder);
    free(s);
    return 0;
}

static struct tls_context *context_of(const struct tls_settings *settings)
{
    struct tls_context *context = NULL;
    char error[TLS_ERROR_MAX] = "";
    if (tls_context_new(settings, &context, error) != OK) {
        fail_msg("%s", error);
    }
    return context;
}

/* The stream keeps its context. */
static struct tls_stream *stream_of(const struct tls_settings *settings, const char *host)
{
    struct tls_context *context = context_of(settings);
    struct tls_stream *stream = tls_stream_new(context, host);
    assert_non_null(stream);
    tls_context_release(context);
    return stream;
}

static struct tls_stream *server_of(const struct scene *s, enum tls_asks asks)
{
    struct tls_settings settings = tls_settings_of(TLS_SERVER, &s->server, &s->authority);
    settings.asks = asks;
    return stream_of(&settings, NULL);
}

static struct tls_stream *client_of(const struct scene *s, const struct tls_paper *own)
{
    struct tls_settings settings = tls_settings_of(TLS_CLIENT, own, &s->authority);
    return stream_of(&settings, "l2.test");
}

/* What one side has to say, to the other, `most` bytes at a time. What can be read there is put behind `came`. */
static enum status carry(struct tls_stream *from, struct tls_stream *to, size_t most,
                         struct buf *came)
{
    enum status status = AGAIN;
    while (tls_waiting(from) > 0 && status == AGAIN) {
        struct slice bytes = tls_output(from);
        bytes.size = bytes.size < most ? bytes.size : most;
        char *copy = malloc(bytes.size);
        assert_non_null(copy);
        memcpy(copy, bytes.data, bytes.size);
        tls_sent(from, bytes.size);
        tls_feed(to, (struct slice){copy, bytes.size});
        do {
            char room[ROOM];
            size_t got = 0;
            status = tls_read(to, room, sizeof(room), &got);
            assert_true((status == OK) == (got > 0));
            if (got > 0) {
                assert_int_equal(buf_append(came, room, got), OK);
            }
        } while (status == OK);
        free(copy); /* nothing of it is needed any more */
    }
    return status;
}

/* Until both are ready, or one is broken, which is returned. */
static struct tls_stream *shake(struct tls_stream *client, struct tls_stream *server, size_t most)
{
    struct buf none = {0};
    enum status status = tls_handshake(client);
    while (status == AGAIN && (tls_waiting(client) > 0 || tls_waiting(server) > 0)) {
        status = carry(client, server, most, &none);
        if (status == MALFORMED) {
            return server;
        }
        status = carry(server, client, most, &none);
        if (status == MALFORMED) {
            return client;
        }
    }
    assert_int_equal(none.size, 0);
    assert_true(tls_is_ready(client) && tls_is_ready(server));
    return NULL;
}

static void free_both(struct tls_stream *client, struct tls_stream *server)
{
    tls_stream_free(client);
    tls_stream_free(server);
}

/* As much as is taken, and all carried over, until all is there. */
static void talk(struct tls_stream *from, struct tls_stream *to, const char *bytes, size_t size,
                 size_t most)
{
    struct buf came = {0};
    for (size_t told = 0; told < size;) {
        size_t taken = 0;
        const enum status status =
            tls_write(from, (struct slice){bytes + told, size - told}, &taken);
        told += taken;
        if (status == AGAIN) {
            assert_true(tls_waiting(from) >= TLS_OUTPUT_MAX);
            assert_true(tls_waiting(from) < TLS_OUTPUT_MAX + 2 * TLS_RECORD);
            assert_int_equal(carry(from, to, most, &came), AGAIN);
        } else {
            assert_int_equal(status, OK);
        }
    }
    assert_int_equal(carry(from, to, most, &came), AGAIN);
    assert_int_equal(came.size, size);
    assert_memory_equal(came.data, bytes, size);
    buf_done(&came);
}

static void a_client_and_a_server_talk(const struct scene *s, const char *protocol)
{
    struct tls_settings settings = tls_settings_of(TLS_SERVER, &s->server, NULL);
    settings.protocols = protocol;
    struct tls_stream *server = stream_of(&settings, NULL);
    struct tls_stream *client = client_of(s, NULL);
    assert_null(shake(client, server, SIZE_MAX));
    struct tls_facts facts;
    tls_describe(server, &facts);
    assert_string_equal(facts.version, protocol);
    assert_string_equal(facts.peer, "");
    tls_describe(client, &facts);
    assert_string_equal(facts.peer, "server");
    talk(client, server, "PING\r\n", 6, SIZE_MAX);
    talk(server, client, "+PONG\r\n", 7, SIZE_MAX);
    free_both(client, server);
}

static void both_versions_are_spoken(void **state)
{
    a_client_and_a_server_talk(*state, "TLSv1.2");
    a_client_and_a_server_talk(*state, "TLSv1.3");
}

static void much_goes_both_ways_in_any_pieces(void **state)
{
    const struct scene *s = *state;
    static const size_t pieces[] = {SIZE_MAX, 48 * 1024, 16 * 1024, 1461};
    char *bytes = malloc(MANY);
    assert_non_null(bytes);
    struct rand rand;
    rand_seed(&rand, 7);
    for (size_t i = 0; i < MANY; i++) {
        bytes[i] = (char)rand_next(&rand);
    }
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        struct tls_stream *server = server_of(s, TLS_ASKS_NOT);
        struct tls_stream *client = client_of(s, NULL);
        assert_null(shake(client, server, pieces[i]));
        talk(client, server, bytes, MANY, pieces[i]);
        talk(server, client, bytes, MANY, pieces[i]);
        free_both(client, server);
    }
    free(bytes);
}

static void bytes_may_come_one_by_one(void **state)
{
    struct tls_stream *server = server_of(*state, TLS_DEMANDS);
    struct tls_stream *client = client_of(*state, &((const struct scene *)*state)->person);
    assert_null(shake(client, server, 1));
    talk(client, server, "*1\r\n$4\r\nPING\r\n", 14, 1);
    free_both(client, server);
}

static void refused(struct tls_stream *client, struct tls_stream *server, bool by_client,
                    const char *because)
{
    struct tls_stream *broken = shake(client, server, SIZE_MAX);
    assert_ptr_equal(broken, by_client ? client : server);
    if (strstr(tls_error(broken), because) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", tls_error(broken), because);
    }
    size_t got = 0;
    char room[16];
    assert_int_equal(tls_read(broken, room, sizeof(room), &got), MALFORMED); /* and stays so */
    assert_int_equal(tls_write(broken, SLICE_LITERAL("x"), &got), MALFORMED);
    free_both(client, server);
}

static void a_server_must_be_signed_by_whom_the_client_believes(void **state)
{
    const struct scene *s = *state;
    struct tls_settings settings = tls_settings_of(TLS_SERVER, &s->stranger, NULL);
    refused(client_of(s, NULL), stream_of(&settings, NULL), true, "self-signed certificate");
}

static void a_server_must_have_the_name(void **state)
{
    const struct scene *s = *state;
    struct tls_settings settings = tls_settings_of(TLS_CLIENT, NULL, &s->authority);
    refused(stream_of(&settings, "other.test"), server_of(s, TLS_ASKS_NOT), true,
            "hostname mismatch");
    refused(stream_of(&settings, "127.0.0.2"), server_of(s, TLS_ASKS_NOT), true,
            "IP address mismatch");
    struct tls_stream *client = stream_of(&settings, "127.0.0.1");
    struct tls_stream *server = server_of(s, TLS_ASKS_NOT);
    assert_null(shake(client, server, SIZE_MAX));
    free_both(client, server);
    settings.server_name = "l2.test"; /* said in place of the host */
    client = stream_of(&settings, "127.0.0.2");
    server = server_of(s, TLS_ASKS_NOT);
    assert_null(shake(client, server, SIZE_MAX));
    free_both(client, server);
}

static void a_certificate_that_is_over_is_refused_by_name(void **state)
{
    struct scene *s = *state;
    struct tls_paper old =
        tls_paper_make(&s->folder, &(struct tls_paper_spec){.file = "old",
                                                            .name = "server",
                                                            .alternative = "DNS:l2.test",
                                                            .issuer = &s->authority,
                                                            .from_day = -20,
                                                            .to_day = -10});
    struct tls_settings settings = tls_settings_of(TLS_SERVER, &old, NULL);
    refused(client_of(s, NULL), stream_of(&settings, NULL), true, "certificate has expired");
    tls_paper_done(&old);
}

static void a_client_shows_a_certificate_where_it_must(void **state)
{
    const struct scene *s = *state;
    refused(client_of(s, NULL), server_of(s, TLS_DEMANDS), false, "did not return a certificate");
    struct tls_settings settings = tls_settings_of(TLS_CLIENT, &s->stranger, &s->authority);
    refused(stream_of(&settings, "l2.test"), server_of(s, TLS_ASKS), false,
            "the certificate is not believed");

    static const enum tls_asks asks[] = {TLS_ASKS_NOT, TLS_ASKS, TLS_DEMANDS};
    for (size_t i = 0; i < 3; i++) {
        struct tls_stream *server = server_of(s, asks[i]);
        struct tls_stream *client = client_of(s, &s->person);
        assert_null(shake(client, server, SIZE_MAX));
        struct tls_facts facts;
        tls_describe(server, &facts);
        assert_string_equal(facts.peer, asks[i] == TLS_ASKS_NOT ? "" : "alice");
        free_both(client, server);
    }
    struct tls_stream *server = server_of(s, TLS_ASKS);
    struct tls_stream *client = client_of(s, NULL);
    assert_null(shake(client, server, SIZE_MAX));
    free_both(client, server);
}

static void what_is_no_tls_is_told(void **state)
{
    static const struct {
        const char *bytes;
        const char *because;
    } cases[] = {{"*1\r\n$4\r\nPING\r\n", "does not speak TLS"},
                 {"GET / HTTP/1.1\r\n", "does not speak TLS (http request)"},
                 {"\x16\x03\x01\xff\xff\x01\x00\x00\x00\x00\x00\x00", "packet length too long"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct tls_stream *server = server_of(*state, TLS_ASKS_NOT);
        char room[16];
        size_t got = 0;
        tls_feed(server, (struct slice){cases[i].bytes, i == 2 ? 12 : strlen(cases[i].bytes)});
        assert_int_equal(tls_read(server, room, sizeof(room), &got), MALFORMED);
        if (strstr(tls_error(server), cases[i].because) == NULL) {
            fail_msg("\"%s\" does not say \"%s\"", tls_error(server), cases[i].because);
        }
        tls_stream_free(server);
    }
}

/* A client of OpenSSL itself, which does what ours never would. */
struct raw {
    SSL_CTX *context;
    SSL *ssl;
    BIO *in;
    BIO *out;
};

static struct raw raw_new(int version)
{
    struct raw raw = {.context = SSL_CTX_new(TLS_client_method())};
    assert_int_equal(SSL_CTX_set_cipher_list(raw.context, "ALL:@SECLEVEL=0"), 1);
    assert_int_equal(SSL_CTX_set_min_proto_version(raw.context, version), 1);
    assert_int_equal(SSL_CTX_set_max_proto_version(raw.context, version), 1);
    raw.ssl = SSL_new(raw.context);
    raw.in = BIO_new(BIO_s_mem());
    raw.out = BIO_new(BIO_s_mem());
    SSL_set_bio(raw.ssl, raw.in, raw.out);
    SSL_set_connect_state(raw.ssl);
    return raw;
}

static void raw_done(struct raw *raw)
{
    SSL_free(raw->ssl);
    SSL_CTX_free(raw->context);
}

/* What the client has to say; and back, if `back`. */
static enum status raw_carry(struct raw *raw, struct tls_stream *server, bool back)
{
    char room[ROOM];
    size_t got = 0;
    char *bytes = NULL;
    const long size = BIO_get_mem_data(raw->out, &bytes);
    tls_feed(server, (struct slice){bytes, (size_t)size});
    const enum status status = tls_read(server, room, sizeof(room), &got);
    (void)BIO_reset(raw->out);
    const struct slice answer = tls_output(server);
    if (back && answer.size > 0) {
        assert_int_equal(BIO_write(raw->in, answer.data, (int)answer.size), (int)answer.size);
        tls_sent(server, answer.size);
    }
    return status;
}

static void older_versions_are_refused(void **state)
{
    static const int versions[] = {TLS1_VERSION, TLS1_1_VERSION};
    for (size_t i = 0; i < 2; i++) {
        struct tls_stream *server = server_of(*state, TLS_ASKS_NOT);
        struct raw raw = raw_new(versions[i]);
        (void)SSL_do_handshake(raw.ssl);
        assert_int_equal(raw_carry(&raw, server, false), MALFORMED);
        assert_non_null(strstr(tls_error(server), "unsupported protocol"));
        assert_true(tls_waiting(server) > 0); /* an alert that says why */
        raw_done(&raw);
        tls_stream_free(server);
    }
}

static struct raw raw_ready(int version, struct tls_stream *server)
{
    struct raw raw = raw_new(version);
    for (int i = 0; i < 4; i++) {
        (void)SSL_do_handshake(raw.ssl);
        assert_int_equal(raw_carry(&raw, server, true), AGAIN);
    }
    assert_true(tls_is_ready(server));
    return raw;
}

static void a_second_handshake_is_refused(void **state)
{
    struct tls_stream *server = server_of(*state, TLS_ASKS_NOT);
    struct raw raw = raw_ready(TLS1_2_VERSION, server);
    assert_int_equal(SSL_renegotiate(raw.ssl), 1);
    assert_int_equal(SSL_do_handshake(raw.ssl), -1);
    assert_int_equal(SSL_get_error(raw.ssl, -1), SSL_ERROR_WANT_READ);
    assert_int_equal(raw_carry(&raw, server, true), AGAIN);
    assert_int_equal(SSL_do_handshake(raw.ssl), -1);
    assert_int_equal(SSL_get_error(raw.ssl, -1), SSL_ERROR_SSL); /* "no renegotiation" */
    raw_done(&raw);
    tls_stream_free(server);
}

/* Each time the client asks for new keys, the server says its own. */
static void who_makes_us_speak_must_read_it(void **state)
{
    struct tls_stream *server = server_of(*state, TLS_ASKS_NOT);
    struct raw raw = raw_ready(TLS1_3_VERSION, server);
    enum status status = AGAIN;
    size_t most = 0;
    for (int i = 0; i < 20000 && status == AGAIN; i++) {
        assert_int_equal(SSL_key_update(raw.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
        assert_int_equal(SSL_do_handshake(raw.ssl), 1);
        status = raw_carry(&raw, server, i < 100);
        most = tls_waiting(server) > most ? tls_waiting(server) : most;
    }
    assert_int_equal(status, MALFORMED);
    assert_non_null(strstr(tls_error(server), "asks for more than it reads"));
    assert_true(most < 2 * TLS_OUTPUT_MAX + TLS_RECORD);
    raw_done(&raw);
    tls_stream_free(server);
}

static void a_goodbye_ends_one_direction(void **state)
{
    struct tls_stream *server = server_of(*state, TLS_ASKS_NOT);
    struct tls_stream *client = client_of(*state, NULL);
    assert_null(shake(client, server, SIZE_MAX));
    struct buf came = {0};
    size_t taken = 0;
    assert_int_equal(tls_write(client, SLICE_LITERAL("PING\r\n"), &taken), OK);
    tls_end(client);
    tls_end(client); /* once */
    assert_int_equal(tls_write(client, SLICE_LITERAL("x"), &taken), AGAIN);
    assert_int_equal(carry(client, server, SIZE_MAX, &came), CLOSE);
    assert_int_equal(came.size, 6);
    assert_true(tls_is_ended(server));
    came.size = 0;
    talk(server, client, "+PONG\r\n", 7, SIZE_MAX);
    tls_end(server);
    assert_int_equal(carry(server, client, SIZE_MAX, &came), CLOSE);
    buf_done(&came);
    free_both(client, server);
}

static void changed_bytes_are_noticed(void **state)
{
    struct tls_stream *server = server_of(*state, TLS_ASKS_NOT);
    struct tls_stream *client = client_of(*state, NULL);
    assert_null(shake(client, server, SIZE_MAX));
    size_t taken = 0;
    assert_int_equal(tls_write(client, SLICE_LITERAL("SET a 1\r\n"), &taken), OK);
    char bytes[256];
    const struct slice output = tls_output(client);
    assert_true(output.size < sizeof(bytes));
    memcpy(bytes, output.data, output.size);
    bytes[output.size - 3] ^= 1;
    tls_feed(server, (struct slice){bytes, output.size});
    char room[64];
    assert_int_equal(tls_read(server, room, sizeof(room), &taken), MALFORMED);
    assert_int_equal(taken, 0);
    free_both(client, server);
}

static void no_context(const struct tls_settings *settings, const char *what, const char *why)
{
    struct tls_context *context = NULL;
    char error[TLS_ERROR_MAX] = "";
    assert_int_equal(tls_context_new(settings, &context, error), INVALID);
    assert_null(context);
    if (strncmp(error, what, strlen(what)) != 0 || strstr(error, why) == NULL) {
        fail_msg("\"%s\" does not say \"%s\" and \"%s\"", error, what, why);
    }
}

static void files_that_are_wrong_are_named(void **state)
{
    struct scene *s = *state;
    struct tls_settings settings = tls_settings_of(TLS_SERVER, &s->server, NULL);
    settings.cert_file = "/nowhere/x.crt";
    no_context(&settings, "tls-cert-file /nowhere/x.crt: ", "No such file or directory");
    settings.cert_file = s->server.key_file;
    no_context(&settings, "tls-cert-file ", "no start line");
    settings.cert_file = s->stranger.cert_file;
    no_context(&settings, "tls-key-file ", "key values mismatch");
    settings = tls_settings_of(TLS_CLIENT, NULL, &s->authority);
    settings.ca_file = "/nowhere/ca.crt";
    no_context(&settings, "l2-tls-ca-cert-file /nowhere/ca.crt: ", "No such file");
    settings = tls_settings_of(TLS_SERVER, &s->server, NULL);
    settings.ciphers = "no such cipher";
    no_context(&settings, "tls-ciphers no such cipher: ", "no cipher match");
    settings.ciphers = "";
    settings.ciphersuites = "TLS_NONE";
    no_context(&settings, "tls-ciphersuites TLS_NONE: ", "no");

    struct tls_paper locked =
        tls_paper_make(&s->folder, &(struct tls_paper_spec){.file = "locked",
                                                            .name = "server",
                                                            .issuer = &s->authority,
                                                            .key_pass = "open sesame"});
    settings = tls_settings_of(TLS_SERVER, &locked, NULL);
    no_context(&settings, "tls-key-file ", "");
    settings.key_pass = "close sesame";
    no_context(&settings, "tls-key-file ", "");
    settings.key_pass = "open sesame";
    struct tls_context *context = context_of(&settings);
    assert_true(tls_context_expires_s(context) > 0);
    tls_context_release(context);
    tls_paper_done(&locked);
}

static void protocols_are_known_by_name(void **state)
{
    (void)state;
    assert_true(tls_protocols_are_known(SLICE_LITERAL("")));
    assert_true(tls_protocols_are_known(SLICE_LITERAL("TLSv1.2")));
    assert_true(tls_protocols_are_known(SLICE_LITERAL(" tlsv1.3  TLSv1.2 ")));
    assert_false(tls_protocols_are_known(SLICE_LITERAL("TLSv1.1 TLSv1.2")));
    assert_false(tls_protocols_are_known(SLICE_LITERAL("TLSv1.2x")));
}

static void a_reload_is_for_those_who_come_after(void **state)
{
    const struct scene *s = *state;
    struct tls_settings settings = tls_settings_of(TLS_SERVER, &s->server, NULL);
    struct tls_place place;
    tls_place_open(&place);
    assert_null(tls_place_stream(&place, NULL));
    assert_int_equal(tls_place_expires_s(&place), 0);
    tls_place_put(&place, context_of(&settings));
    struct tls_stream *before = tls_place_stream(&place, NULL);
    struct tls_stream *client = client_of(s, NULL);
    settings = tls_settings_of(TLS_SERVER, &s->stranger, NULL);
    tls_place_put(&place, context_of(&settings));
    assert_null(shake(client, before, SIZE_MAX));
    talk(client, before, "PING\r\n", 6, SIZE_MAX);
    free_both(client, before);
    refused(client_of(s, NULL), tls_place_stream(&place, NULL), true, "self-signed");
    assert_true(tls_place_expires_s(&place) > 0);
    tls_place_done(&place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_versions_are_spoken),
        cmocka_unit_test(much_goes_both_ways_in_any_pieces),
        cmocka_unit_test(bytes_may_come_one_by_one),
        cmocka_unit_test(a_server_must_be_signed_by_whom_the_client_believes),
        cmocka_unit_test(a_server_must_have_the_name),
        cmocka_unit_test(a_certificate_that_is_over_is_refused_by_name),
        cmocka_unit_test(a_client_shows_a_certificate_where_it_must),
        cmocka_unit_test(what_is_no_tls_is_told),
        cmocka_unit_test(older_versions_are_refused),
        cmocka_unit_test(a_second_handshake_is_refused),
        cmocka_unit_test(who_makes_us_speak_must_read_it),
        cmocka_unit_test(a_goodbye_ends_one_direction),
        cmocka_unit_test(changed_bytes_are_noticed),
        cmocka_unit_test(files_that_are_wrong_are_named),
        cmocka_unit_test(protocols_are_known_by_name),
        cmocka_unit_test(a_reload_is_for_those_who_come_after),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
