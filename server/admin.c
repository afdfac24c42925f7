/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/admin.h"

#include "server/admin_json.h"
#include "server/admin_page.h"
#include "server/admin_visitors.h"
#include "server/answer_json.h"
#include "server/metrics_text.h"
#include "server/node.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    ADMIN_CONNECTIONS = VISITORS_MAX + 16, /* some are told to go, and have not gone yet */
    ADMIN_HEAD_BYTES = 16 * 1024,
    ADMIN_BACKLOG = 64,
    ADMIN_HANDLES = 3,
    ADMIN_LOOK_MS = 500
};

struct admin {
    struct node *node;
    struct MHD_Daemon *daemon;
    uv_poll_t poll;
    uv_timer_t timer; /* when MHD wants to look at its clients again */
    uv_timer_t look;  /* while there are visitors: whether one is overdue */
    struct list requests;
    struct visitors visitors;
    unsigned waits;   /* requests that wait for another loop */
    int handles_open; /* poll and timers: the last one to close frees */
};

/* A connection, from when it is made until it is closed. */
struct guest {
    struct visitor visitor; /* first */
    int fd;                 /* -1: it was told to go */
};

static void admin_on_timer(uv_timer_t *timer);

/* --- visitors ---------------------------------------------------------------------------------------------------- */

static struct guest *guest_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info == NULL ? NULL : info->socket_context;
}

static int64_t now_ms(const struct admin *admin)
{
    return (int64_t)uv_now(admin->poll.loop);
}

static void enters(struct admin *admin, struct MHD_Connection *connection, enum visitor_state state)
{
    struct guest *guest = guest_of(connection);
    if (guest != NULL && guest->fd >= 0) {
        visitor_enters(&admin->visitors, &guest->visitor, state, now_ms(admin));
    }
}

/* MHD hears of the end of the connection with its next turn, and closes it. */
static void send_away(struct admin *admin, struct visitor *visitor)
{
    struct guest *guest = (struct guest *)(void *)visitor;
    (void)shutdown(guest->fd, SHUT_RDWR);
    visitor_goes(&admin->visitors, visitor);
    guest->fd = -1;
}

static void admin_on_look(uv_timer_t *look)
{
    struct admin *admin = look->data;
    struct visitor *visitor = NULL;
    while ((visitor = visitors_overdue(&admin->visitors, now_ms(admin))) != NULL) {
        send_away(admin, visitor);
    }
    if (admin->visitors.count == 0) {
        (void)uv_timer_stop(look);
    }
}

static void come(struct admin *admin, struct MHD_Connection *connection, void **context)
{
    const union MHD_ConnectionInfo *fd =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    const union MHD_ConnectionInfo *client =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    struct guest *guest = calloc(1, sizeof(*guest));
    struct visitor *surplus = NULL;
    *context = guest;
    if (guest == NULL || fd == NULL) {
        free(guest); /* nobody looks after it; MHD counts it */
        *context = NULL;
        return;
    }
    guest->fd = fd->connect_fd;
    visitor_comes(&admin->visitors, &guest->visitor, client == NULL ? NULL : client->client_addr,
                  now_ms(admin));
    while ((surplus = visitors_surplus(&admin->visitors)) != NULL) {
        send_away(admin, surplus);
    }
    if (!uv_is_active((uv_handle_t *)&admin->look)) {
        (void)uv_timer_start(&admin->look, admin_on_look, ADMIN_LOOK_MS, ADMIN_LOOK_MS);
    }
}

static void admin_on_connection(void *arg, struct MHD_Connection *connection, void **context,
                                enum MHD_ConnectionNotificationCode what)
{
    struct admin *admin = arg;
    struct guest *guest = *context;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        come(admin, connection, context);
        return;
    }
    if (guest != NULL && guest->fd >= 0) {
        visitor_goes(&admin->visitors, &guest->visitor);
    }
    free(guest);
    *context = NULL;
}

/* --- requests ---------------------------------------------------------------------------------------------------- */

struct slice admin_header(const struct admin_request *request, const char *name)
{
    const char *value = MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
    return value == NULL ? (struct slice){0} : slice_of(value);
}

struct slice admin_argument(const struct admin_request *request, const char *name)
{
    const char *value =
        MHD_lookup_connection_value(request->connection, MHD_GET_ARGUMENT_KIND, name);
    return value == NULL ? (struct slice){0} : slice_of(value);
}

static void answered(struct admin_request *request, unsigned code)
{
    request->code = code;
    if (request->wait != NULL) {
        request->wait = NULL;
        request->admin->waits--;
    }
    if (request->suspended) {
        request->suspended = false;
        MHD_resume_connection(request->connection);
        /* Its epoll descriptor says nothing of that (0.9.75): the next turn runs it. */
        (void)uv_timer_start(&request->admin->timer, admin_on_timer, 0, 0);
    }
}

void admin_answer(struct admin_request *request, unsigned code, const json_t *json)
{
    static const char no_memory[] = "{\"error\":\"no memory for the answer\"}\n";
    request->type = "application/json";
    if (answer_json_write(json, &request->text) != OK) {
        request->text.size = 0;
        (void)!buf_append(&request->text, no_memory, sizeof(no_memory) - 1);
        code = MHD_HTTP_INTERNAL_SERVER_ERROR;
    }
    answered(request, code);
}

void admin_refuse(struct admin_request *request, unsigned code, struct slice text, const char *path)
{
    json_t *json = json_pack("{s:o, s:s*}", "error", answer_json_text(text), "path", path);
    admin_answer(request, code, json);
    json_decref(json);
}

bool admin_wait(struct admin_request *request, struct admin_wait *wait)
{
    if (request->admin->waits == ADMIN_WAITS_MAX) {
        admin_refuse(request, MHD_HTTP_SERVICE_UNAVAILABLE,
                     SLICE_LITERAL("too many requests wait here"), NULL);
        return false;
    }
    request->admin->waits++;
    request->wait = wait;
    wait->request = request;
    return true;
}

void admin_wait_not(struct admin_request *request)
{
    request->wait = NULL;
    request->admin->waits--;
}

/* --- pages of text ----------------------------------------------------------------------------------------------- */

static enum status page_ready(struct node *node, bool verbose, struct buf *text, unsigned *ret_code)
{
    struct buf reasons = {0};
    bool ready = node_ready(node, &reasons);
    *ret_code = ready ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE;
    enum status status = buf_printf(text, ready ? "ready\n" : "not ready\n");
    if (status == OK && reasons.size > 0) {
        status = buf_append_slice(text, buf_slice(&reasons));
        if (status == OK && text->data[text->size - 1] != '\n') {
            status = buf_append(text, "\n", 1);
        }
    }
    if (status == OK && verbose) {
        status = buf_printf(text, "l1: ok\nl2: %s\nworkers: %u\n",
                            node->tiers == NULL ? "none" : "configured", node->worker_count);
    }
    buf_done(&reasons);
    return status;
}

static bool asked_for(struct MHD_Connection *connection, const char *argument)
{
    const char *value = NULL;
    size_t value_size = 0;
    return MHD_lookup_connection_value_n(connection, MHD_GET_ARGUMENT_KIND, argument,
                                         strlen(argument), &value, &value_size) == MHD_YES;
}

static enum status page_write(struct admin_request *request, unsigned *ret_code)
{
    struct buf *text = &request->text;
    *ret_code = MHD_HTTP_OK;
    if (strcmp(request->path, "/") == 0) {
        request->type = ADMIN_PAGE_TYPE;
        request->policy = ADMIN_PAGE_POLICY;
        return buf_append_slice(text, admin_page());
    }
    if (strcmp(request->path, "/livez") == 0) {
        return buf_printf(text, "ok\n");
    }
    if (strcmp(request->path, "/readyz") == 0) {
        const bool verbose = asked_for(request->connection, "verbose");
        return page_ready(request->node, verbose, text, ret_code);
    }
    if (strcmp(request->path, "/metrics") == 0) {
        request->type = "text/plain; version=0.0.4; charset=utf-8";
        return metrics_text(request->node, text);
    }
    *ret_code = MHD_HTTP_NOT_FOUND;
    return buf_printf(text, "not found; there are /, /livez, /readyz, /metrics and /v1\n");
}

/* false: no memory. */
static bool page_run(struct admin_request *request)
{
    request->type = "text/plain; charset=utf-8";
    request->code = MHD_HTTP_METHOD_NOT_ALLOWED;
    if (request->method != ADMIN_GET) {
        request->allow = "GET, HEAD";
        return buf_printf(&request->text, "only GET and HEAD\n") == OK;
    }
    return page_write(request, &request->code) == OK;
}

/* --- a request's life -------------------------------------------------------------------------------------------- */

static enum MHD_Result send_answer(struct admin_request *request)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(
        request->text.size, request->text.data, MHD_RESPMEM_MUST_COPY);
    if (response == NULL) {
        return MHD_NO; /* closes */
    }
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, request->type);
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    (void)MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    if (request->policy != NULL) {
        (void)MHD_add_response_header(response, "Content-Security-Policy", request->policy);
        (void)MHD_add_response_header(response, "Referrer-Policy", "no-referrer");
    }
    if (request->code == MHD_HTTP_METHOD_NOT_ALLOWED) {
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, request->allow);
    }
    if (request->code == MHD_HTTP_UNAUTHORIZED) {
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer");
    }
    enters(request->admin, request->connection, VISITOR_ANSWER);
    enum MHD_Result result = MHD_queue_response(request->connection, request->code, response);
    MHD_destroy_response(response);
    return result;
}

static enum admin_method method_of(const char *method)
{
    if (strcmp(method, MHD_HTTP_METHOD_GET) == 0 || strcmp(method, MHD_HTTP_METHOD_HEAD) == 0) {
        return ADMIN_GET;
    }
    return strcmp(method, MHD_HTTP_METHOD_POST) == 0     ? ADMIN_POST
           : strcmp(method, MHD_HTTP_METHOD_DELETE) == 0 ? ADMIN_DELETE
                                                         : ADMIN_OTHER;
}

static struct admin_request *request_new(struct admin *admin, struct MHD_Connection *connection,
                                         const char *method)
{
    struct admin_request *request = calloc(1, sizeof(*request));
    if (request != NULL) {
        request->admin = admin;
        request->node = admin->node;
        request->connection = connection;
        request->method = method_of(method);
        list_push_back(&admin->requests, &request->link);
    }
    return request;
}

static void admin_on_completed(void *arg, struct MHD_Connection *connection, void **state,
                               enum MHD_RequestTerminationCode why)
{
    struct admin_request *request = *state;
    (void)why;
    enters(arg, connection, VISITOR_IDLE);
    if (request == NULL) {
        return;
    }
    if (request->wait != NULL) {
        request->wait->request = NULL;
        admin_wait_not(request);
    }
    list_remove(&request->link);
    buf_done(&request->body);
    buf_done(&request->text);
    free(request);
    *state = NULL;
}

/* What would send too long a body is told so at once. */
static enum MHD_Result take_head(struct admin_request *request, const char *path)
{
    request->path = path;
    if (admin_json_claims(path)) {
        admin_json_begin(request);
    }
    return request->code == MHD_HTTP_CONTENT_TOO_LARGE ? send_answer(request) : MHD_YES;
}

/* A body that is too long for what the head said is refused here. What is refused already, and what nobody will read, is
 * dropped. */
static void take_body(struct admin_request *request, const char *body, size_t size)
{
    if (request->code != 0 || request->method != ADMIN_POST || !admin_json_claims(request->path)) {
        return;
    }
    if (request->body.size + size > ADMIN_BODY_MAX) {
        buf_done(&request->body);
        admin_refuse(request, MHD_HTTP_CONTENT_TOO_LARGE, SLICE_LITERAL("a body has 1 MiB at most"),
                     NULL);
    } else if (buf_append(&request->body, body, size) != OK) {
        admin_answer(request, MHD_HTTP_INTERNAL_SERVER_ERROR, NULL);
    }
}

/* MHD calls once for the head, with *state NULL, again for each piece of a body, at its end, and when it is resumed. */
static enum MHD_Result admin_on_request(void *arg, struct MHD_Connection *connection,
                                        const char *path, const char *method, const char *version,
                                        const char *body, size_t *body_size, void **state)
{
    struct admin_request *request = *state;
    const bool is_json = admin_json_claims(path);
    (void)version;
    if (request == NULL) {
        enters(arg, connection, VISITOR_BODY);
        request = request_new(arg, connection, method);
        *state = request;
        return request == NULL ? MHD_NO : take_head(request, path);
    }
    request->path = path;
    if (*body_size > 0) {
        take_body(request, body, *body_size);
        *body_size = 0;
        return MHD_YES;
    }
    if (request->code == 0 && is_json) {
        admin_json_run(request);
    } else if (request->code == 0 && !page_run(request)) {
        return MHD_NO;
    }
    if (request->code == 0) {
        request->suspended = true;
        enters(arg, connection, VISITOR_OURS);
        MHD_suspend_connection(connection);
        return MHD_YES;
    }
    return send_answer(request);
}

/* --- the loop ---------------------------------------------------------------------------------------------------- */

static void admin_run(struct admin *admin)
{
    MHD_UNSIGNED_LONG_LONG wait_ms = 0;
    (void)MHD_run(admin->daemon);
    if (MHD_get_timeout(admin->daemon, &wait_ms) == MHD_YES) {
        (void)uv_timer_start(&admin->timer, admin_on_timer, wait_ms, 0);
    } else {
        (void)uv_timer_stop(&admin->timer);
    }
}

static void admin_on_timer(uv_timer_t *timer)
{
    admin_run(timer->data);
}

static void admin_on_poll(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    admin_run(poll->data);
}

/* --- opening ----------------------------------------------------------------------------------------------------- */

/* Splits HOST:PORT or [HOST]:PORT. */
static bool address_split(const char *address, char host[256], const char **ret_port)
{
    const char *colon = strrchr(address, ':');
    if (colon == NULL || colon[1] == '\0' || colon - address > 255) {
        return false;
    }
    size_t size = (size_t)(colon - address);
    if (size >= 2 && address[0] == '[' && address[size - 1] == ']') {
        address++;
        size -= 2;
    }
    memcpy(host, address, size);
    host[size] = '\0';
    *ret_port = colon + 1;
    return true;
}

/* -1: `error` says why. */
static int admin_listen(const char *address, char error[ADMIN_ERROR_MAX])
{
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *found = NULL;
    const char *port = NULL;
    char host[256];
    int one = 1;
    if (!address_split(address, host, &port)) {
        (void)snprintf(error, ADMIN_ERROR_MAX, "admin '%.100s': expected HOST:PORT", address);
        return -1;
    }
    int failed = getaddrinfo(host[0] == '\0' ? NULL : host, port, &hints, &found);
    if (failed != 0) {
        (void)snprintf(error, ADMIN_ERROR_MAX, "admin '%.100s': %s", address, gai_strerror(failed));
        return -1;
    }
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool good = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0 &&
                bind(fd, found->ai_addr, found->ai_addrlen) == 0 && listen(fd, ADMIN_BACKLOG) == 0;
    if (!good) {
        (void)snprintf(error, ADMIN_ERROR_MAX, "admin '%.100s': cannot listen: %s", address,
                       strerror(errno));
        if (fd >= 0) {
            (void)close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(found);
    return fd;
}

static void admin_on_closed(uv_handle_t *handle)
{
    struct admin *admin = handle->data;
    if (--admin->handles_open == 0) {
        free(admin);
    }
}

/* false: the admin is gone. */
static bool admin_watch(struct admin *admin, uv_loop_t *loop)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(admin->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    if (info == NULL || uv_poll_init(loop, &admin->poll, info->epoll_fd) != 0) {
        MHD_stop_daemon(admin->daemon);
        free(admin);
        return false;
    }
    (void)uv_timer_init(loop, &admin->timer);
    (void)uv_timer_init(loop, &admin->look);
    admin->handles_open = ADMIN_HANDLES;
    admin->poll.data = admin;
    admin->timer.data = admin;
    admin->look.data = admin;
    if (uv_poll_start(&admin->poll, UV_READABLE, admin_on_poll) != 0) {
        admin_close(admin);
        return false;
    }
    return true;
}

enum status admin_open(struct node *node, uv_loop_t *loop, const char *address,
                       struct admin **ret_admin, char error[ADMIN_ERROR_MAX])
{
    int fd = admin_listen(address, error);
    if (fd < 0) {
        return INVALID;
    }
    struct admin *admin = calloc(1, sizeof(*admin));
    if (admin == NULL) {
        (void)close(fd);
        (void)snprintf(error, ADMIN_ERROR_MAX, "admin: no memory");
        return NO_MEMORY;
    }
    admin->node = node;
    list_init(&admin->requests);
    visitors_init(&admin->visitors);
    admin->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, admin_on_request, admin,
        MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, (unsigned)ADMIN_CONNECTIONS,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)ADMIN_HEAD_BYTES, MHD_OPTION_NOTIFY_COMPLETED,
        admin_on_completed, admin, MHD_OPTION_NOTIFY_CONNECTION, admin_on_connection, admin,
        MHD_OPTION_END);
    if (admin->daemon == NULL) {
        (void)close(fd);
        free(admin);
        (void)snprintf(error, ADMIN_ERROR_MAX, "admin '%.100s': the HTTP server cannot start",
                       address);
        return INVALID;
    }
    if (!admin_watch(admin, loop)) {
        (void)snprintf(error, ADMIN_ERROR_MAX, "admin '%.100s': cannot be watched by the loop",
                       address);
        return INVALID;
    }
    *ret_admin = admin;
    return OK;
}

void admin_close(struct admin *admin)
{
    if (admin == NULL) {
        return;
    }
    /* MHD does not stop while it has suspended requests. */
    for (struct list *at = admin->requests.next; at != &admin->requests; at = at->next) {
        struct admin_request *request = LIST_ENTRY(at, struct admin_request, link);
        if (request->suspended) {
            request->wait->request = NULL;
            admin_refuse(request, MHD_HTTP_SERVICE_UNAVAILABLE, SLICE_LITERAL("this node ends"),
                         NULL);
        }
    }
    (void)MHD_run(admin->daemon);
    /* The descriptor is MHD's: the loop must let go of it first. */
    uv_close((uv_handle_t *)&admin->poll, admin_on_closed);
    uv_close((uv_handle_t *)&admin->timer, admin_on_closed);
    uv_close((uv_handle_t *)&admin->look, admin_on_closed);
    MHD_stop_daemon(admin->daemon);
}
