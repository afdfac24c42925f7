/* SPDX-License-Identifier: BSD-3-Clause */
/* tls_options.h -- the contexts of TLS that the settings ask for. */
#ifndef TERRACE_SERVER_TLS_OPTIONS_H
#define TERRACE_SERVER_TLS_OPTIONS_H

#include "server/options.h"
#include "server/tls.h"

/* For the tls:// addresses of `listen`; NULL if there is none. As tls_context_new. */
enum status tls_options_clients(const struct options *options, struct tls_context **ret_context,
                                char error[TLS_ERROR_MAX]) MUST_USE;
/* For the servers of `l2` that are reached by TLS; NULL if there is none. */
enum status tls_options_l2(const struct options *options, struct tls_context **ret_context,
                           char error[TLS_ERROR_MAX]) MUST_USE;

#endif
