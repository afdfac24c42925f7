/* SPDX-License-Identifier: BSD-3-Clause */
/* tls_help.h -- certificates made for one test, in a folder of their own. */
#ifndef TERRACE_TESTS_UNIT_TLS_HELP_H
#define TERRACE_TESTS_UNIT_TLS_HELP_H

#include "protocol/check.h"
#include "server/tls.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    TLS_PATH_MAX = 96,
    TLS_FILES_MAX = 32,
    DAY_S = 24 * 60 * 60
};

struct tls_folder {
    char path[32];
    char files[TLS_FILES_MAX][TLS_PATH_MAX];
    unsigned count;
};

/* A certificate and its key, and where they lie. */
struct tls_paper {
    X509 *certificate;
    EVP_PKEY *key;
    char cert_file[TLS_PATH_MAX];
    char key_file[TLS_PATH_MAX];
};

struct tls_paper_spec {
    const char *file;               /* without folder and ending */
    const char *name;               /* common name */
    const char *alternative;        /* "DNS:x,IP:y"; NULL: none */
    const struct tls_paper *issuer; /* NULL: an authority that signs itself */
    int from_day;                   /* from today */
    int to_day;                     /* 0: ten */
    const char *key_pass;           /* NULL: the key lies open */
};

static inline void tls_folder_open(struct tls_folder *folder)
{
    *folder = (struct tls_folder){.path = "/tmp/terrace-tls-XXXXXX"};
    CHECK(mkdtemp(folder->path) != NULL);
}

static inline void tls_folder_close(struct tls_folder *folder)
{
    for (unsigned i = 0; i < folder->count; i++) {
        (void)unlink(folder->files[i]);
    }
    (void)rmdir(folder->path);
}

/* Room for a file's name, which is removed in the end. */
static inline FILE *tls_folder_create(struct tls_folder *folder, const char *name, const char *end,
                                      char path[TLS_PATH_MAX])
{
    CHECK(folder->count < TLS_FILES_MAX);
    (void)snprintf(path, TLS_PATH_MAX, "%s/%s%s", folder->path, name, end);
    memcpy(folder->files[folder->count++], path, TLS_PATH_MAX);
    FILE *file = fopen(path, "we");
    CHECK(file != NULL);
    return file;
}

static inline void tls_paper_say(X509 *certificate, X509 *issuer, int what, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, what, value);
    CHECK(extension != NULL && X509_add_ext(certificate, extension, -1) == 1);
    X509_EXTENSION_free(extension);
}

static inline struct tls_paper tls_paper_make(struct tls_folder *folder,
                                              const struct tls_paper_spec *spec)
{
    struct tls_paper paper = {.certificate = X509_new(), .key = EVP_EC_gen("P-256")};
    CHECK(paper.certificate != NULL && paper.key != NULL);
    X509 *certificate = paper.certificate;
    X509 *issuer = spec->issuer == NULL ? certificate : spec->issuer->certificate;
    X509_NAME *name = X509_get_subject_name(certificate);
    CHECK(X509_set_version(certificate, 2) == 1);
    CHECK(ASN1_INTEGER_set(X509_get_serialNumber(certificate), (long)folder->count + 1) == 1);
    CHECK(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)spec->name,
                                     -1, -1, 0) == 1);
    CHECK(X509_set_issuer_name(certificate, X509_get_subject_name(issuer)) == 1);
    const long to_day = spec->to_day == 0 ? 10 : spec->to_day;
    CHECK(X509_gmtime_adj(X509_getm_notBefore(certificate), (long)spec->from_day * DAY_S) != NULL);
    CHECK(X509_gmtime_adj(X509_getm_notAfter(certificate), to_day * DAY_S) != NULL);
    CHECK(X509_set_pubkey(certificate, paper.key) == 1);
    if (spec->issuer == NULL) {
        tls_paper_say(certificate, issuer, NID_basic_constraints, "critical,CA:TRUE");
        tls_paper_say(certificate, issuer, NID_key_usage, "critical,keyCertSign,cRLSign");
    }
    if (spec->alternative != NULL) {
        tls_paper_say(certificate, issuer, NID_subject_alt_name, spec->alternative);
    }
    CHECK(X509_sign(certificate, spec->issuer == NULL ? paper.key : spec->issuer->key,
                    EVP_sha256()) > 0);
    FILE *file = tls_folder_create(folder, spec->file, ".crt", paper.cert_file);
    CHECK(PEM_write_X509(file, certificate) == 1 && fclose(file) == 0);
    file = tls_folder_create(folder, spec->file, ".key", paper.key_file);
    const int pass_size = spec->key_pass == NULL ? 0 : (int)strlen(spec->key_pass);
    CHECK(PEM_write_PrivateKey(file, paper.key, pass_size > 0 ? EVP_aes_128_cbc() : NULL,
                               (const unsigned char *)spec->key_pass, pass_size, NULL, NULL) == 1);
    CHECK(fclose(file) == 0);
    return paper;
}

static inline void tls_paper_done(struct tls_paper *paper)
{
    X509_free(paper->certificate);
    EVP_PKEY_free(paper->key);
    *paper = (struct tls_paper){.certificate = NULL};
}

/* Settings of nothing but this. */
static inline struct tls_settings tls_settings_of(enum tls_side side, const struct tls_paper *own,
                                                  const struct tls_paper *authority)
{
    return (struct tls_settings){
        .side = side,
        .prefix = side == TLS_SERVER ? "" : "l2-",
        .cert_file = own == NULL ? "" : own->cert_file,
        .key_file = own == NULL ? "" : own->key_file,
        .key_pass = "",
        .ca_file = authority == NULL ? "" : authority->cert_file,
        .ca_dir = "",
        .server_name = "",
        .protocols = "",
        .ciphers = "",
        .ciphersuites = "",
        .session_caching = true,
    };
}

#endif
