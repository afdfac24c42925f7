/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/auth.h"

#include "server/node.h"

/* `given` decides how many steps are taken; `secret` is not empty. */
static bool equal_in_constant_time(struct slice given, struct slice secret)
{
    size_t difference = given.size ^ secret.size;
    for (size_t i = 0; i < given.size; i++) {
        difference |= (size_t)(unsigned char)(given.data[i] ^ secret.data[i % secret.size]);
    }
    return difference == 0;
}

static struct slice password_of(const struct node *node)
{
    const char *text = node->options.requirepass;
    return text == NULL ? (struct slice){"", 0} : slice_of(text);
}

bool auth_needed(struct node *node)
{
    (void)pthread_mutex_lock(&node->options_lock);
    bool needed = password_of(node).size > 0;
    (void)pthread_mutex_unlock(&node->options_lock);
    return needed;
}

bool auth_check(struct node *node, struct slice user, struct slice pass)
{
    if (!slice_is(user, "default")) {
        return false;
    }
    (void)pthread_mutex_lock(&node->options_lock);
    struct slice secret = password_of(node);
    bool right = secret.size == 0 || equal_in_constant_time(pass, secret);
    (void)pthread_mutex_unlock(&node->options_lock);
    return right;
}
