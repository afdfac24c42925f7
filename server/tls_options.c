/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/tls_options.h"

#include "tiers/l2_url.h"

enum status tls_options_clients(const struct options *options, struct tls_context **ret_context,
                                char error[TLS_ERROR_MAX])
{
    struct option_address address;
    *ret_context = NULL;
    if (options_first_address(options, true, &address) != OK) {
        return OK;
    }
    const struct tls_settings settings = {
        .side = TLS_SERVER,
        .prefix = "",
        .cert_file = options->tls_cert_file,
        .key_file = options->tls_key_file,
        .key_pass = options->tls_key_file_pass,
        .ca_file = options->tls_ca_cert_file,
        .ca_dir = options->tls_ca_cert_dir,
        .server_name = "",
        .asks = options_tls_asks(options),
        .protocols = options->tls_protocols,
        .ciphers = options->tls_ciphers,
        .ciphersuites = options->tls_ciphersuites,
        .prefer_server_ciphers = options->tls_prefer_server_ciphers,
        .session_caching = options->tls_session_caching,
    };
    return tls_context_new(&settings, ret_context, error);
}

/* The rules of versions and ciphers are the same in both directions. */
enum status tls_options_l2(const struct options *options, struct tls_context **ret_context,
                           char error[TLS_ERROR_MAX])
{
    *ret_context = NULL;
    if (!l2_urls_use_tls(slice_of(options->l2))) {
        return OK;
    }
    const struct tls_settings settings = {
        .side = TLS_CLIENT,
        .prefix = "l2-",
        .cert_file = options->l2_tls_cert_file,
        .key_file = options->l2_tls_key_file,
        .key_pass = options->l2_tls_key_file_pass,
        .ca_file = options->l2_tls_ca_cert_file,
        .ca_dir = options->l2_tls_ca_cert_dir,
        .server_name = options->l2_tls_server_name,
        .protocols = options->tls_protocols,
        .ciphers = options->tls_ciphers,
        .ciphersuites = options->tls_ciphersuites,
    };
    return tls_context_new(&settings, ret_context, error);
}
