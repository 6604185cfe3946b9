// What most handlers need of wasi:http, in a few calls. wasi.h, which wit-bindgen writes, has the rest.
#ifndef HTTP_H
#define HTTP_H

#include "wasi.h"

typedef http_own_response_outparam_t caller_t; // who waits for the answer

typedef struct {
    const char *name, *value;
} header_t;

// An answer whose head is sent, and whose body is being written.
typedef struct {
    http_own_outgoing_body_t body;
    io_own_output_stream_t stream;
} answer_t;

// A body that arrives, of a request or of a response.
typedef struct {
    http_own_incoming_body_t body;
    io_own_input_stream_t stream;
} source_t;

typedef enum { SOURCE_MORE, SOURCE_END, SOURCE_FAILED } source_state_t;

// Sends a whole answer.
void answer_text(caller_t caller, int status, const char *type, const char *text);

// Sends the head; the list of headers ends with an empty one.
answer_t answer_begin(caller_t caller, int status, const header_t *headers);

// Sends a piece of the body at once; false when nobody reads any more.
bool answer_write(answer_t *answer, const void *data, size_t length);

// Ends the body, with trailers or NULL.
void answer_end(answer_t *answer, const header_t *trailers);

// Breaks the body off, so that no caller takes it for the whole.
void answer_break_off(answer_t *answer);

source_t source_open(http_own_incoming_body_t body);

// Waits for the next piece, which is to be freed after SOURCE_MORE.
source_state_t source_read(source_t *source, wasi_list_u8_t *piece);

void source_close(source_t *source);

// The value of a header, to be freed, or NULL. Gives the handle of the headers back.
char *take_header(http_own_fields_t headers, const char *name);

// A copy that ends with a zero byte.
char *copy_text(const uint8_t *data, size_t length);

const char *error_name(http_error_code_t *error);

#endif
