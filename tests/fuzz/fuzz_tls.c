/* SPDX-License-Identifier: BSD-3-Clause */
/* Any bytes, in pieces, where a handshake is expected: as a server (the first byte is even) or as a client. No crash, a
 * reason when it fails, and never ready: nobody says by chance what only the other key can. */
#include "server/tls.h"
#include "tests/unit/tls_help.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct tls_context *context_make(enum tls_side side, const struct tls_paper *own,
                                        const struct tls_paper *authority)
{
    char error[TLS_ERROR_MAX];
    struct tls_context *context = NULL;
    struct tls_settings settings = tls_settings_of(side, own, authority);
    settings.asks = TLS_ASKS;
    CHECK(tls_context_new(&settings, &context, error) == OK);
    return context;
}

static struct tls_context *context_of(enum tls_side side)
{
    static struct tls_context *contexts[2];
    if (contexts[side] == NULL) {
        struct tls_folder folder;
        tls_folder_open(&folder);
        struct tls_paper own =
            tls_paper_make(&folder, &(struct tls_paper_spec){.file = "own", .name = "own"});
        contexts[TLS_SERVER] = context_make(TLS_SERVER, &own, &own);
        contexts[TLS_CLIENT] = context_make(TLS_CLIENT, NULL, &own);
        tls_paper_done(&own);
        tls_folder_close(&folder);
    }
    return contexts[side];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    const enum tls_side side = (data[0] & 1) != 0 ? TLS_CLIENT : TLS_SERVER;
    const size_t most = data[1] == 0 ? SIZE_MAX : data[1];
    struct tls_stream *stream =
        tls_stream_new(context_of(side), side == TLS_CLIENT ? "host" : NULL);
    CHECK(stream != NULL);
    enum status status = tls_handshake(stream);
    for (size_t at = 2; at < size && status == AGAIN;) {
        const size_t piece = size - at < most ? size - at : most;
        char *copy = malloc(piece);
        CHECK(copy != NULL);
        memcpy(copy, data + at, piece);
        at += piece;
        tls_feed(stream, (struct slice){copy, piece});
        char room[256];
        size_t got = 0;
        status = tls_read(stream, room, sizeof(room), &got);
        CHECK(got == 0 && !tls_is_ready(stream));
        free(copy);
    }
    CHECK(status == AGAIN || status == MALFORMED);
    CHECK((status == MALFORMED) == (tls_error(stream)[0] != '\0'));
    tls_end(stream);
    tls_sent(stream, tls_waiting(stream));
    tls_stream_free(stream);
    return 0;
}
