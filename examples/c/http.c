// The calls of http.h, over the bindings in wasi.h.
#include "http.h"

#include <stdlib.h>
#include <string.h>

static http_own_fields_t make_fields(const header_t *headers) {
    http_own_fields_t fields = http_constructor_fields();
    for (; headers && headers->name; headers++) {
        wasi_string_t name;
        http_field_value_t value = {(uint8_t *)headers->value, strlen(headers->value)};
        http_header_error_t error;
        wasi_string_set(&name, headers->name);
        http_method_fields_append(http_borrow_fields(fields), &name, &value, &error);
    }
    return fields;
}

void answer_text(caller_t caller, int status, const char *type, const char *text) {
    const header_t headers[] = {{"content-type", type}, {0}};
    answer_t answer = answer_begin(caller, status, headers);
    answer_write(&answer, text, strlen(text));
    answer_end(&answer, NULL);
}

answer_t answer_begin(caller_t caller, int status, const header_t *headers) {
    http_own_outgoing_response_t response = http_constructor_outgoing_response(make_fields(headers));
    http_borrow_outgoing_response_t borrowed = http_borrow_outgoing_response(response);
    answer_t answer;
    http_method_outgoing_response_set_status_code(borrowed, (uint16_t)status);
    http_method_outgoing_response_body(borrowed, &answer.body);
    http_method_outgoing_body_write(http_borrow_outgoing_body(answer.body), &answer.stream);
    http_result_own_outgoing_response_error_code_t result = {.is_err = false, .val.ok = response};
    http_static_response_outparam_set(caller, &result);
    return answer;
}

bool answer_write(answer_t *answer, const void *data, size_t length) {
    io_borrow_output_stream_t stream = io_borrow_output_stream(answer->stream);
    for (size_t written = 0; written < length;) {
        // 4096 is the most that blocking-write-and-flush takes.
        size_t size = length - written < 4096 ? length - written : 4096;
        wasi_list_u8_t piece = {(uint8_t *)data + written, size};
        io_stream_error_t error;
        if (!io_method_output_stream_blocking_write_and_flush(stream, &piece, &error)) {
            io_stream_error_free(&error);
            return false;
        }
        written += size;
    }
    return true;
}

void answer_end(answer_t *answer, const header_t *trailers) {
    http_own_fields_t fields;
    http_error_code_t error;
    // A stream is dropped before its body: a host traps where a parent goes before its child.
    io_output_stream_drop_own(answer->stream);
    if (trailers) fields = make_fields(trailers);
    if (!http_static_outgoing_body_finish(answer->body, trailers ? &fields : NULL, &error))
        http_error_code_free(&error);
}

void answer_break_off(answer_t *answer) {
    io_output_stream_drop_own(answer->stream);
    http_outgoing_body_drop_own(answer->body);
}

source_t source_open(http_own_incoming_body_t body) {
    source_t source = {.body = body};
    http_method_incoming_body_stream(http_borrow_incoming_body(body), &source.stream);
    return source;
}

source_state_t source_read(source_t *source, wasi_list_u8_t *piece) {
    io_borrow_input_stream_t stream = io_borrow_input_stream(source->stream);
    io_stream_error_t error;
    if (io_method_input_stream_blocking_read(stream, 16 * 1024, piece, &error)) return SOURCE_MORE;
    source_state_t state = error.tag == IO_STREAM_ERROR_CLOSED ? SOURCE_END : SOURCE_FAILED;
    io_stream_error_free(&error);
    return state;
}

void source_close(source_t *source) {
    io_input_stream_drop_own(source->stream);
    http_incoming_body_drop_own(source->body);
}

char *take_header(http_own_fields_t headers, const char *name) {
    wasi_string_t key;
    http_list_field_value_t values;
    wasi_string_set(&key, name);
    http_method_fields_get(http_borrow_fields(headers), &key, &values);
    char *value = values.len ? copy_text(values.ptr[0].ptr, values.ptr[0].len) : NULL;
    http_list_field_value_free(&values);
    http_fields_drop_own(headers);
    return value;
}

char *copy_text(const uint8_t *data, size_t length) {
    char *text = malloc(length + 1);
    if (!text) abort();
    memcpy(text, data, length);
    text[length] = 0;
    return text;
}

const char *error_name(http_error_code_t *error) {
    // In the order of the WIT.
    static const char *names[] = {
        "DNS-timeout", "DNS-error", "destination-not-found", "destination-unavailable",
        "destination-IP-prohibited", "destination-IP-unroutable", "connection-refused",
        "connection-terminated", "connection-timeout", "connection-read-timeout", "connection-write-timeout",
        "connection-limit-reached", "TLS-protocol-error", "TLS-certificate-error", "TLS-alert-received",
        "HTTP-request-denied", "HTTP-request-length-required", "HTTP-request-body-size",
        "HTTP-request-method-invalid", "HTTP-request-URI-invalid", "HTTP-request-URI-too-long",
        "HTTP-request-header-section-size", "HTTP-request-header-size", "HTTP-request-trailer-section-size",
        "HTTP-request-trailer-size", "HTTP-response-incomplete", "HTTP-response-header-section-size",
        "HTTP-response-header-size", "HTTP-response-body-size", "HTTP-response-trailer-section-size",
        "HTTP-response-trailer-size", "HTTP-response-transfer-coding", "HTTP-response-content-coding",
        "HTTP-response-timeout", "HTTP-upgrade-failed", "HTTP-protocol-error", "loop-detected",
        "configuration-error", "internal-error",
    };
    return names[error->tag];
}
