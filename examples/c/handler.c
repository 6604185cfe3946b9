// A tour of an HTTP plugin: one function for each path.
#include <stdlib.h>
#include <string.h>

#include "http.h"
#include "json.h"

typedef struct {
    http_borrow_incoming_request_t handle;
    char *query; // what follows the ?, or ""
} request_t;

static void home(request_t *request, caller_t caller) {
    (void)request;
    answer_text(caller, 200, "text/plain", "Hello from C!\n");
}

static source_t request_body(request_t *request) {
    http_own_incoming_body_t body;
    http_method_incoming_request_consume(request->handle, &body);
    return source_open(body);
}

// Reads a body of at most `size` bytes; false when it is longer, or broke off.
static bool read_whole(request_t *request, char *buffer, size_t size, size_t *length) {
    source_t source = request_body(request);
    wasi_list_u8_t piece;
    source_state_t state;
    *length = 0;
    while ((state = source_read(&source, &piece)) == SOURCE_MORE) {
        bool fits = piece.len <= size - *length;
        if (fits) {
            memcpy(buffer + *length, piece.ptr, piece.len);
            *length += piece.len;
        }
        wasi_list_u8_free(&piece);
        if (!fits) break;
    }
    source_close(&source);
    return state == SOURCE_END;
}

static void greet(request_t *request, caller_t caller) {
    static char body[64 * 1024];
    const char *name;
    size_t length, name_length;
    if (!read_whole(request, body, sizeof body, &length) ||
        !json_find_string(body, length, "name", &name, &name_length)) {
        answer_text(caller, 400, "application/json", "{\"error\":\"send {\\\"name\\\": \\\"…\\\"}\"}");
        return;
    }
    const header_t headers[] = {{"content-type", "application/json"}, {0}};
    answer_t answer = answer_begin(caller, 200, headers);
    answer_write(&answer, "{\"greeting\":\"Hello, ", 20);
    answer_write(&answer, name, name_length);
    answer_write(&answer, "!\"}", 3);
    answer_end(&answer, NULL);
}

static void wait_milliseconds(uint64_t milliseconds) {
    clock_own_pollable_t timer = clock_subscribe_duration(milliseconds * 1000000);
    poll_method_pollable_block(poll_borrow_pollable(timer));
    poll_pollable_drop_own(timer);
}

static void stream(request_t *request, caller_t caller) {
    (void)request;
    const header_t headers[] = {{"content-type", "text/event-stream"}, {0}};
    answer_t answer = answer_begin(caller, 200, headers);
    char event[] = "data: 0\n\n";
    for (int i = 1; i <= 5; i++) {
        if (i > 1) wait_milliseconds(50);
        event[6] = (char)('0' + i);
        if (!answer_write(&answer, event, strlen(event))) break;
    }
    answer_end(&answer, NULL);
}

// Sends a body on, piece by piece as it comes.
static void forward(source_t source, answer_t answer) {
    wasi_list_u8_t piece;
    source_state_t state;
    while ((state = source_read(&source, &piece)) == SOURCE_MORE) {
        bool sent = answer_write(&answer, piece.ptr, piece.len);
        wasi_list_u8_free(&piece);
        if (!sent) break;
    }
    if (state == SOURCE_END)
        answer_end(&answer, NULL);
    else
        answer_break_off(&answer);
    source_close(&source);
}

// The head of an answer with the content type of another message.
static answer_t begin_like(http_own_fields_t headers, caller_t caller, int status) {
    char *type = take_header(headers, "content-type");
    const header_t copied[] = {{type ? "content-type" : NULL, type}, {0}};
    answer_t answer = answer_begin(caller, status, copied);
    free(type);
    return answer;
}

static void echo(request_t *request, caller_t caller) {
    source_t source = request_body(request);
    forward(source, begin_like(http_method_incoming_request_headers(request->handle), caller, 200));
}

static int hex_digit(char c) {
    const char *digits = "0123456789abcdef", *found = c ? strchr(digits, c | ' ') : NULL;
    return found ? (int)(found - digits) : -1;
}

// The value of a query's parameter, decoded in place; NULL without one.
static char *query_value(char *query, const char *name) {
    size_t length = strlen(name);
    for (char *part = strtok(query, "&"); part; part = strtok(NULL, "&")) {
        if (strncmp(part, name, length) || part[length] != '=') continue;
        char *value = part + length + 1, *to = value;
        for (const char *from = value; *from; from++) {
            if (*from == '%' && hex_digit(from[1]) >= 0 && hex_digit(from[2]) >= 0) {
                *to++ = (char)(hex_digit(from[1]) * 16 + hex_digit(from[2]));
                from += 2;
            } else {
                *to++ = *from;
            }
        }
        *to = 0;
        return value;
    }
    return NULL;
}

// Makes the GET of a URL; false where it is none.
static bool request_for(const char *url, http_own_outgoing_request_t *made) {
    http_scheme_t scheme = {.tag = HTTP_SCHEME_HTTP};
    if (!strncmp(url, "http://", 7)) {
        url += 7;
    } else if (!strncmp(url, "https://", 8)) {
        url += 8;
        scheme.tag = HTTP_SCHEME_HTTPS;
    } else {
        return false;
    }
    wasi_string_t authority = {(uint8_t *)url, strcspn(url, "/?#")};
    wasi_string_t target = {(uint8_t *)url + authority.len, strcspn(url + authority.len, "#")};
    if (authority.len == 0) return false;
    if (target.len == 0) wasi_string_set(&target, "/");
    *made = http_constructor_outgoing_request(http_constructor_fields());
    http_borrow_outgoing_request_t request = http_borrow_outgoing_request(*made);
    bool valid = http_method_outgoing_request_set_scheme(request, &scheme) &&
                 http_method_outgoing_request_set_authority(request, &authority) &&
                 http_method_outgoing_request_set_path_with_query(request, &target);
    if (!valid) http_outgoing_request_drop_own(*made);
    return valid;
}

// Sends a request and waits for the response's head.
static bool ask(http_own_outgoing_request_t request, http_own_incoming_response_t *response, http_error_code_t *error) {
    outgoing_own_future_incoming_response_t future;
    if (!outgoing_handle(request, NULL, &future, error)) return false;
    http_borrow_future_incoming_response_t borrowed = http_borrow_future_incoming_response(future);
    poll_own_pollable_t ready = http_method_future_incoming_response_subscribe(borrowed);
    poll_method_pollable_block(poll_borrow_pollable(ready));
    poll_pollable_drop_own(ready);
    http_result_result_own_incoming_response_error_code_void_t outcome;
    http_method_future_incoming_response_get(borrowed, &outcome);
    http_future_incoming_response_drop_own(future);
    *response = outcome.val.ok.val.ok;
    *error = outcome.val.ok.val.err;
    return !outcome.val.ok.is_err;
}

static void fetch(request_t *request, caller_t caller) {
    http_own_outgoing_request_t question;
    http_own_incoming_response_t response;
    http_error_code_t error;
    const char *url = query_value(request->query, "url");
    if (!url || !request_for(url, &question)) {
        answer_text(caller, 400, "text/plain", "ask for /fetch?url=http://…\n");
        return;
    }
    if (!ask(question, &response, &error)) {
        answer_text(caller, 502, "text/plain", error_name(&error));
        http_error_code_free(&error);
        return;
    }
    http_borrow_incoming_response_t borrowed = http_borrow_incoming_response(response);
    http_own_incoming_body_t body;
    http_method_incoming_response_consume(borrowed, &body);
    int status = http_method_incoming_response_status(borrowed);
    forward(source_open(body), begin_like(http_method_incoming_response_headers(borrowed), caller, status));
    http_incoming_response_drop_own(response);
}

static void trailers(request_t *request, caller_t caller) {
    (void)request;
    const header_t headers[] = {{"content-type", "text/plain"}, {"trailer", "x-sum"}, {0}};
    const header_t sum[] = {{"x-sum", "42"}, {0}};
    answer_t answer = answer_begin(caller, 200, headers);
    answer_write(&answer, "trailing\n", 9);
    answer_end(&answer, sum);
}

static const struct {
    const char *path, *allow;
    int method;
    void (*run)(request_t *, caller_t);
} routes[] = {
    {"/", "GET", HTTP_METHOD_GET, home},
    {"/json", "POST", HTTP_METHOD_POST, greet},
    {"/stream", "GET", HTTP_METHOD_GET, stream},
    {"/echo", "POST", HTTP_METHOD_POST, echo},
    {"/fetch", "GET", HTTP_METHOD_GET, fetch},
    {"/trailers", "GET", HTTP_METHOD_GET, trailers},
};

static void answer_route(request_t *request, int method, const char *path, caller_t caller) {
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        if (strcmp(path, routes[i].path)) continue;
        if (method == routes[i].method) {
            routes[i].run(request, caller);
        } else {
            const header_t headers[] = {{"allow", routes[i].allow}, {0}};
            answer_t answer = answer_begin(caller, 405, headers);
            answer_end(&answer, NULL);
        }
        return;
    }
    answer_text(caller, 404, "text/plain", "not found\n");
}

// The export: the host calls it once for each request.
void exports_wasi_http_incoming_handler_handle(http_own_incoming_request_t incoming, caller_t caller) {
    request_t request = {.handle = http_borrow_incoming_request(incoming), .query = ""};
    http_method_t method;
    wasi_string_t target;
    http_method_incoming_request_method(request.handle, &method);
    char *path = strdup("/");
    if (http_method_incoming_request_path_with_query(request.handle, &target)) {
        free(path);
        path = copy_text(target.ptr, target.len);
        wasi_string_free(&target);
    }
    char *mark = strchr(path, '?');
    if (mark) {
        *mark = 0;
        request.query = mark + 1;
    }
    answer_route(&request, method.tag, path, caller);
    free(path);
    http_method_free(&method);
    http_incoming_request_drop_own(incoming);
}
