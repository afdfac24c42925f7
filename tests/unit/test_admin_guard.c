/* SPDX-License-Identifier: BSD-3-Clause */
/* Who may ask what of /v1. */
#include "server/admin_guard.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct sockaddr_storage client_of(const char *address)
{
    struct sockaddr_storage room = {0};
    struct sockaddr_in *ipv4 = (void *)&room;
    struct sockaddr_in6 *ipv6 = (void *)&room;
    if (inet_pton(AF_INET, address, &ipv4->sin_addr) == 1) {
        room.ss_family = AF_INET;
    } else {
        assert_int_equal(inet_pton(AF_INET6, address, &ipv6->sin6_addr), 1);
        room.ss_family = AF_INET6;
    }
    return room;
}

static unsigned asked(const char *client, bool changes, const char *host, const char *authorization,
                      const char *token)
{
    const struct sockaddr_storage from = client_of(client);
    const char *why = NULL;
    const struct admin_ask ask = {.changes = changes,
                                  .client = (const struct sockaddr *)(const void *)&from,
                                  .host = slice_of(host),
                                  .authorization = slice_of(authorization),
                                  .token = slice_of(token),
                                  .own_host = SLICE_LITERAL("node7")};
    const unsigned code = admin_guard(&ask, &why);
    assert_true((code == 0) == (why == NULL));
    return code;
}

static void this_machine_reads_without_a_token(void **state)
{
    (void)state;
    assert_int_equal(asked("127.0.0.1", false, "localhost:7380", "", ""), 0);
    assert_int_equal(asked("127.9.9.9", false, "127.0.0.1", "", "secret"), 0);
    assert_int_equal(asked("::1", false, "[::1]:7380", "", ""), 0);
    assert_int_equal(asked("::ffff:127.0.0.1", false, "node7:7380", "", ""), 0);
    assert_int_equal(asked("127.0.0.1", false, "", "", ""), 0); /* HTTP/1.0 */
}

static void another_machine_needs_the_token(void **state)
{
    (void)state;
    assert_int_equal(asked("10.0.0.1", false, "10.0.0.7", "", ""), 403);
    assert_int_equal(asked("10.0.0.1", false, "10.0.0.7", "", "secret"), 401);
    assert_int_equal(asked("10.0.0.1", false, "10.0.0.7", "Bearer secret", "secret"), 0);
    assert_int_equal(asked("::ffff:10.0.0.1", false, "10.0.0.7", "", ""), 403);
    assert_int_equal(asked("::2", false, "localhost", "", ""), 403);
    const char *why = NULL;
    assert_int_equal(admin_guard(&(struct admin_ask){0}, &why), 403);
}

static void nobody_changes_without_the_token(void **state)
{
    (void)state;
    assert_int_equal(asked("127.0.0.1", true, "localhost", "", ""), 403);
    assert_int_equal(asked("127.0.0.1", true, "localhost", "Bearer ", ""), 403);
    assert_int_equal(asked("127.0.0.1", true, "localhost", "Bearer x", ""), 403);
    assert_int_equal(asked("127.0.0.1", true, "localhost", "", "secret"), 401);
    assert_int_equal(asked("127.0.0.1", true, "localhost", "bearer secret", "secret"), 0);
}

static void a_wrong_token_is_wrong_for_whatever_it_is_shown(void **state)
{
    static const char *const shown[] = {"Bearer secre",  "Bearer secret2", "Bearer",
                                        "Bearer ",       "Basic secret",   "secret",
                                        "Bearer  secret"};
    (void)state;
    for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++) {
        assert_int_equal(asked("127.0.0.1", false, "localhost", shown[i], "secret"), 401);
    }
}

static void a_name_that_is_not_ours_is_no_way_in(void **state)
{
    static const char *const hosts[] = {"evil.example",
                                        "127.0.0.1.evil.example",
                                        "localhost.evil:1",
                                        "[",
                                        "[::1",
                                        "[]",
                                        ":80",
                                        "[evil]:7380",
                                        "node77",
                                        "1270.0.1"};
    (void)state;
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        assert_int_equal(asked("127.0.0.1", false, hosts[i], "", ""), 403);
        assert_int_equal(asked("127.0.0.1", false, hosts[i], "Bearer secret", "secret"), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(this_machine_reads_without_a_token),
        cmocka_unit_test(another_machine_needs_the_token),
        cmocka_unit_test(nobody_changes_without_the_token),
        cmocka_unit_test(a_wrong_token_is_wrong_for_whatever_it_is_shown),
        cmocka_unit_test(a_name_that_is_not_ours_is_no_way_in),
    };
    return cmocka_run_group_tests_name("admin_guard", tests, NULL, NULL);
}
