/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/scripts.h"

#include "protocol/check.h"

#include <openssl/sha.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* --- what is known ------------------------------------------------------------------------------------------------------ */

enum {
    MS = 1,
    SECONDS = 1000
};

/* Each line of text names who uses it. */
static const struct script known[] = {
    /* The lock of the Redis documentation; Redlock, Laravel, redsync, Symfony, RedisShake and many more. */
    {SCRIPT_COMPARE_DELETE, SCRIPT_NUMBER, 0, 0, 0, 1, false,
     "if redis.call('get',KEYS[1])==ARGV[1]then return redis.call('del',KEYS[1])else return 0 end"},
    {SCRIPT_COMPARE_DELETE, SCRIPT_NUMBER, 0, 0, 0, 1, false,
     "if redis.call('get',KEYS[1])==ARGV[1]then return redis.call('del',KEYS[1])end return 0"},
    {SCRIPT_COMPARE_DELETE, SCRIPT_NUMBER, 0, 0, 0, 1, false,
     "if(redis.call('get',KEYS[1])==ARGV[1])then return redis.call('del',KEYS[1])else return 0 end"},
    {SCRIPT_COMPARE_DELETE, SCRIPT_NUMBER, 0, 0, 0, 1, false,
     "if(redis.call('get',KEYS[1])==ARGV[1])then return redis.call('del',KEYS[1])end return 0"},
    {SCRIPT_COMPARE_DELETE, SCRIPT_NUMBER, 0, 0, 0, 1, false,
     "if redis.call('get',KEYS[1])==ARGV[1]then return redis.call('unlink',KEYS[1])else return 0 end"},
    /* redis-py's Lock, and with it Django, Celery, dogpile. */
    {SCRIPT_COMPARE_DELETE, SCRIPT_NUMBER, 0, 0, 0, 1, false,
     "local token=redis.call('get',KEYS[1])if not token or token~=ARGV[1]then return 0 end "
     "redis.call('del',KEYS[1])return 1"},
    /* Spring Integration's RedisLockRegistry. */
    {SCRIPT_COMPARE_DELETE, SCRIPT_TRUTH, 0, 0, 0, 1, false,
     "if redis.call('get',KEYS[1])==ARGV[1]then redis.call('del',KEYS[1])return true end return false"},
    {SCRIPT_COMPARE_DELETE, SCRIPT_TRUTH, 0, 0, 0, 1, false,
     "if redis.call('get',KEYS[1])==ARGV[1]then redis.call('unlink',KEYS[1])return true end return false"},
    {SCRIPT_COMPARE_DELETE, SCRIPT_TRUTH, 0, 0, 0, 1, false,
     "local lockClientId=redis.call('get',KEYS[1])if lockClientId==ARGV[1]then redis.call('del',KEYS[1])"
     "return true end return false"},

    /* The renewal of the same locks: redsync, Redlock, Symfony; in seconds Laravel's refresh. */
    {SCRIPT_COMPARE_EXPIRE, SCRIPT_NUMBER, MS, 2, 0, 2, false,
     "if redis.call('get',KEYS[1])==ARGV[1]then return redis.call('pexpire',KEYS[1],ARGV[2])else return 0 end"},
    {SCRIPT_COMPARE_EXPIRE, SCRIPT_NUMBER, MS, 2, 0, 2, false,
     "if redis.call('get',KEYS[1])==ARGV[1]then return redis.call('pexpire',KEYS[1],ARGV[2])end return 0"},
    {SCRIPT_COMPARE_EXPIRE, SCRIPT_NUMBER, SECONDS, 2, 0, 2, false,
     "if redis.call('get',KEYS[1])==ARGV[1]then return redis.call('expire',KEYS[1],ARGV[2])else return 0 end"},
    {SCRIPT_COMPARE_EXPIRE, SCRIPT_NUMBER, SECONDS, 2, 0, 2, false,
     "if redis.call('get',KEYS[1])==ARGV[1]then return redis.call('expire',KEYS[1],ARGV[2])end return 0"},
    {SCRIPT_COMPARE_EXPIRE, SCRIPT_NUMBER, MS, 2, 0, 2, false, /* redis-py */
     "local token=redis.call('get',KEYS[1])if not token or token~=ARGV[1]then return 0 end "
     "redis.call('pexpire',KEYS[1],ARGV[2])return 1"},
    {SCRIPT_COMPARE_EXPIRE, SCRIPT_TRUTH, MS, 2, 0, 2, false, /* Spring Integration */
     "if redis.call('get',KEYS[1])==ARGV[1]then redis.call('pexpire',KEYS[1],ARGV[2])return true end "
     "return false"},
    {SCRIPT_COMPARE_EXTEND, SCRIPT_NUMBER, MS, 2, 0, 3, false, /* redis-py */
     "local token=redis.call('get',KEYS[1])if not token or token~=ARGV[1]then return 0 end "
     "local expiration=redis.call('pttl',KEYS[1])if not expiration then expiration=0 end "
     "if expiration<0 then return 0 end local newttl=ARGV[2]if ARGV[3]=='0'then "
     "newttl=ARGV[2]+expiration end redis.call('pexpire',KEYS[1],newttl)return 1"},

    {SCRIPT_OBTAIN, SCRIPT_TRUTH, MS, 2, 0, 2, false, /* Spring Integration */
     "local lockClientId=redis.call('get',KEYS[1])if lockClientId==ARGV[1]then "
     "redis.call('pexpire',KEYS[1],ARGV[2])return true elseif not lockClientId then "
     "redis.call('set',KEYS[1],ARGV[1],'px',ARGV[2])return true end return false"},

    /* Laravel's Cache::add, and with it its locks and throttles. */
    {SCRIPT_ADD, SCRIPT_TRUTH, SECONDS, 2, 0, 2, false,
     "return redis.call('exists',KEYS[1])<1 and redis.call('setex',KEYS[1],ARGV[2],ARGV[1])"},
    {SCRIPT_ADD, SCRIPT_TRUTH, MS, 2, 0, 2, false,
     "return redis.call('exists',KEYS[1])<1 and redis.call('psetex',KEYS[1],ARGV[2],ARGV[1])"},

    /* django-redis: incr() of a key that is there, and of any. */
    {SCRIPT_ADD_NUMBER, SCRIPT_TRUTH, 0, 0, 1, 1, true,
     "local exists=redis.call('exists',KEYS[1])if(exists==1)then return redis.call('incrby',KEYS[1],ARGV[1])"
     "else return false end"},
    {SCRIPT_ADD_NUMBER, SCRIPT_NUMBER, 0, 0, 1, 1, false,
     "return redis.call('incrby',KEYS[1],ARGV[1])"},

    /* The rate limiter of the documentation of INCR, with its time as an argument. */
    {SCRIPT_COUNT, SCRIPT_NUMBER, SECONDS, 1, 0, 1, false,
     "local current current=redis.call('incr',KEYS[1])if current==1 then redis.call('expire',KEYS[1],ARGV[1])"
     "end return current"},
    {SCRIPT_COUNT, SCRIPT_NUMBER, SECONDS, 1, 0, 1, false,
     "local current=redis.call('incr',KEYS[1])if current==1 then redis.call('expire',KEYS[1],ARGV[1])end "
     "return current"},
    {SCRIPT_COUNT, SCRIPT_NUMBER, SECONDS, 1, 0, 1, false,
     "local current=redis.call('incr',KEYS[1])if tonumber(current)==1 then "
     "redis.call('expire',KEYS[1],ARGV[1])end return current"},
    {SCRIPT_COUNT, SCRIPT_NUMBER, MS, 1, 0, 1, false,
     "local current=redis.call('incr',KEYS[1])if current==1 then redis.call('pexpire',KEYS[1],ARGV[1])end "
     "return current"},
    /* limits, of Flask-Limiter and slowapi. */
    {SCRIPT_COUNT, SCRIPT_NUMBER, SECONDS, 1, 2, 2, false,
     "local current local amount=tonumber(ARGV[2])current=redis.call('incrby',KEYS[1],amount)"
     "if tonumber(current)==amount then redis.call('expire',KEYS[1],ARGV[1])end return current"},

    /* rate-limit-redis, of express-rate-limit, in two versions; nestjs-throttler-storage-redis. */
    {SCRIPT_COUNT_WINDOW, SCRIPT_PAIR, MS, 2, 0, 2, true,
     "local totalHits=redis.call('incr',KEYS[1])local timeToExpire=redis.call('pttl',KEYS[1])"
     "if timeToExpire<=0 or ARGV[1]=='1'then redis.call('pexpire',KEYS[1],tonumber(ARGV[2]))"
     "timeToExpire=tonumber(ARGV[2])end return{totalHits,timeToExpire}"},
    {SCRIPT_COUNT_WINDOW, SCRIPT_PAIR, MS, 1, 0, 1, false,
     "local totalHits=redis.call('incr',KEYS[1])local timeToExpire=redis.call('pttl',KEYS[1])"
     "if timeToExpire<=0 then redis.call('pexpire',KEYS[1],tonumber(ARGV[1]))"
     "timeToExpire=tonumber(ARGV[1])end return{totalHits,timeToExpire}"},
    {SCRIPT_COUNT_RESTART, SCRIPT_PAIR, MS, 2, 0, 2, true,
     "local windowMs=tonumber(ARGV[2])local resetOnChange=ARGV[1]=='1'"
     "local timeToExpire=redis.call('pttl',KEYS[1])if timeToExpire<=0 then "
     "redis.call('set',KEYS[1],1,'px',windowMs)return{1,windowMs}end "
     "local totalHits=redis.call('incr',KEYS[1])if resetOnChange then "
     "redis.call('pexpire',KEYS[1],windowMs)timeToExpire=windowMs end return{totalHits,timeToExpire}"},

    {SCRIPT_COUNT_FLEXIBLE, SCRIPT_PAIR, SECONDS, 2, 1, 2, false,
     "redis.call('set',KEYS[1],0,'ex',ARGV[2],'nx')local consumed=redis.call('incrby',KEYS[1],ARGV[1])"
     "local ttl=redis.call('pttl',KEYS[1])if ttl==-1 then redis.call('expire',KEYS[1],ARGV[2])"
     "ttl=1000*ARGV[2]end return{consumed,ttl}"},
};

const struct script *script_at(unsigned index)
{
    return index < sizeof known / sizeof known[0] ? &known[index] : NULL;
}

/* --- the normal form ------------------------------------------------------------------------------------------------------ */

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r') || c == ';';
}

/* Behind the spaces and comments that `at` is in front of; SIZE_MAX: a comment in brackets. */
static size_t skip_blank(struct slice text, size_t at)
{
    while (at < text.size) {
        if (is_space(text.data[at])) {
            at++;
        } else if (at + 1 < text.size && text.data[at] == '-' && text.data[at + 1] == '-') {
            if (at + 2 < text.size && text.data[at + 2] == '[') {
                return SIZE_MAX;
            }
            while (at < text.size && text.data[at] != '\n' && text.data[at] != '\r') {
                at++;
            }
        } else {
            break;
        }
    }
    return at;
}

/* Copies a string from its first quote on; 0: it has no end, or an escape, or quotes of the other kind. */
static size_t copy_string(struct slice text, size_t at, char *dst, size_t room, size_t *used)
{
    const char quote = text.data[at];
    size_t i = at + 1;
    while (i < text.size && text.data[i] != quote) {
        const char c = text.data[i];
        if (c == '\\' || c == '\'' || c == '"' || c == '\n' || *used + (i - at) >= room) {
            return 0;
        }
        dst[*used + (i - at)] = (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
        i++;
    }
    if (i == text.size || *used + (i - at) >= room) {
        return 0;
    }
    dst[*used] = dst[*used + (i - at)] = '\'';
    *used += i - at + 1;
    return i + 1;
}

size_t script_normalise(struct slice text, char *dst, size_t room)
{
    size_t used = 0;
    size_t at = skip_blank(text, 0);
    while (at < text.size) {
        const char c = text.data[at];
        if (c == '\'' || c == '"') {
            at = copy_string(text, at, dst, room, &used);
            if (at == 0) {
                return 0;
            }
        } else {
            if (used == room || (c == '-' && used > 0 && dst[used - 1] == '-')) {
                return 0; /* two minuses that were apart would become a comment */
            }
            dst[used++] = c;
            at++;
        }
        const size_t next = skip_blank(text, at);
        if (next == SIZE_MAX) {
            return 0;
        }
        if (next > at && next < text.size && is_word(c) && is_word(text.data[next])) {
            if (used == room) {
                return 0;
            }
            dst[used++] = ' ';
        }
        at = next;
    }
    return used;
}

const struct script *script_recognise(struct slice text)
{
    char room[SCRIPT_NORMAL_MAX];
    const struct slice normal = {.data = room, .size = script_normalise(text, room, sizeof room)};
    for (size_t i = 0; normal.size > 0 && i < sizeof known / sizeof known[0]; i++) {
        if (slice_is(normal, known[i].text)) {
            return &known[i];
        }
    }
    return NULL;
}

/* --- what was recognised ---------------------------------------------------------------------------------------------------- */

struct remembered {
    char sha[SCRIPT_SHA_DIGITS];
    const struct script *script; /* NULL: none yet */
};

struct scripts {
    pthread_mutex_t lock;
    unsigned next; /* the oldest, once all are taken */
    struct remembered all[SCRIPTS_REMEMBERED];
};

void script_sha(struct slice text, char ret_digits[SCRIPT_SHA_DIGITS])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char sha[SHA_DIGEST_LENGTH];
    CHECK(SHA1((const unsigned char *)text.data, text.size, sha) != NULL);
    for (size_t i = 0; i < sizeof sha; i++) {
        ret_digits[2 * i] = digits[sha[i] >> 4];
        ret_digits[2 * i + 1] = digits[sha[i] & 15];
    }
}

struct scripts *scripts_new(void)
{
    struct scripts *scripts = calloc(1, sizeof *scripts);
    if (scripts != NULL) {
        CHECK(pthread_mutex_init(&scripts->lock, NULL) == 0);
    }
    return scripts;
}

void scripts_free(struct scripts *scripts)
{
    if (scripts != NULL) {
        CHECK(pthread_mutex_destroy(&scripts->lock) == 0);
        free(scripts);
    }
}

static struct remembered *find(struct scripts *scripts, struct slice sha)
{
    for (size_t i = 0; i < SCRIPTS_REMEMBERED && scripts->all[i].script != NULL; i++) {
        const struct slice other = {.data = scripts->all[i].sha, .size = SCRIPT_SHA_DIGITS};
        if (slice_equal_nocase(other, sha)) {
            return &scripts->all[i];
        }
    }
    return NULL;
}

void scripts_remember(struct scripts *scripts, const char sha[SCRIPT_SHA_DIGITS],
                      const struct script *script)
{
    CHECK(pthread_mutex_lock(&scripts->lock) == 0);
    if (find(scripts, (struct slice){.data = sha, .size = SCRIPT_SHA_DIGITS}) == NULL) {
        struct remembered *place = &scripts->all[scripts->next];
        scripts->next = (scripts->next + 1) % SCRIPTS_REMEMBERED;
        memcpy(place->sha, sha, sizeof place->sha);
        place->script = script;
    }
    CHECK(pthread_mutex_unlock(&scripts->lock) == 0);
}

const struct script *scripts_find(struct scripts *scripts, struct slice sha)
{
    CHECK(pthread_mutex_lock(&scripts->lock) == 0);
    const struct remembered *found = find(scripts, sha);
    const struct script *script = found == NULL ? NULL : found->script;
    CHECK(pthread_mutex_unlock(&scripts->lock) == 0);
    return script;
}

void scripts_forget(struct scripts *scripts)
{
    CHECK(pthread_mutex_lock(&scripts->lock) == 0);
    memset(scripts->all, 0, sizeof scripts->all);
    scripts->next = 0;
    CHECK(pthread_mutex_unlock(&scripts->lock) == 0);
}
