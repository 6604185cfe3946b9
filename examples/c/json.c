// A reader that checks a JSON text from left to right, without memory of its own.
#include "json.h"

#include <string.h>

#define DEPTH 32

typedef struct {
    const char *at, *end;
} reader_t;

static bool read_value(reader_t *reader, int depth);

static char peek(const reader_t *reader) { return reader->at < reader->end ? *reader->at : 0; }

static bool accept(reader_t *reader, char wanted) {
    if (reader->at == reader->end || *reader->at != wanted) return false;
    reader->at++;
    return true;
}

static void skip_space(reader_t *reader) {
    while (reader->at < reader->end && strchr(" \t\r\n", *reader->at) && *reader->at) reader->at++;
}

static bool read_hex(reader_t *reader) {
    char digit = peek(reader);
    if (!digit || !strchr("0123456789abcdefABCDEF", digit)) return false;
    reader->at++;
    return true;
}

static bool read_string(reader_t *reader) {
    if (!accept(reader, '"')) return false;
    while (!accept(reader, '"')) {
        if ((unsigned char)peek(reader) < ' ') return false; // the end of the text too
        if (*reader->at++ != '\\') continue;
        char escape = peek(reader);
        if (!escape || !strchr("\"\\/bfnrtu", escape)) return false;
        reader->at++;
        if (escape != 'u') continue;
        for (int i = 0; i < 4; i++)
            if (!read_hex(reader)) return false;
    }
    return true;
}

static bool read_digits(reader_t *reader) {
    const char *start = reader->at;
    while (peek(reader) >= '0' && peek(reader) <= '9') reader->at++;
    return reader->at > start;
}

static bool read_number(reader_t *reader) {
    accept(reader, '-');
    if (!accept(reader, '0') && !read_digits(reader)) return false;
    if (accept(reader, '.') && !read_digits(reader)) return false;
    if (accept(reader, 'e') || accept(reader, 'E')) {
        if (!accept(reader, '+')) accept(reader, '-');
        return read_digits(reader);
    }
    return true;
}

static bool read_word(reader_t *reader, const char *word) {
    size_t length = strlen(word);
    if ((size_t)(reader->end - reader->at) < length || memcmp(reader->at, word, length)) return false;
    reader->at += length;
    return true;
}

static bool read_array(reader_t *reader, int depth) {
    accept(reader, '[');
    skip_space(reader);
    if (accept(reader, ']')) return true;
    do {
        if (!read_value(reader, depth)) return false;
    } while (accept(reader, ','));
    return accept(reader, ']');
}

// Reads an object; name may be NULL, and of several members with that name the last counts.
static bool read_object(reader_t *reader, int depth, const char *name, const char **found, size_t *found_length) {
    if (!accept(reader, '{')) return false;
    skip_space(reader);
    if (accept(reader, '}')) return true;
    do {
        skip_space(reader);
        const char *key = reader->at + 1;
        if (!read_string(reader)) return false;
        size_t key_length = (size_t)(reader->at - key - 1);
        skip_space(reader);
        if (!accept(reader, ':')) return false;
        skip_space(reader);
        const char *value = peek(reader) == '"' ? reader->at + 1 : NULL;
        if (value ? !read_string(reader) : !read_value(reader, depth)) return false;
        if (name && key_length == strlen(name) && !memcmp(key, name, key_length)) {
            *found = value;
            *found_length = value ? (size_t)(reader->at - value - 1) : 0;
        }
        skip_space(reader);
    } while (accept(reader, ','));
    return accept(reader, '}');
}

static bool read_value(reader_t *reader, int depth) {
    if (depth == 0) return false;
    skip_space(reader);
    bool valid;
    switch (peek(reader)) {
    case '"': valid = read_string(reader); break;
    case '{': valid = read_object(reader, depth - 1, NULL, NULL, NULL); break;
    case '[': valid = read_array(reader, depth - 1); break;
    case 't': valid = read_word(reader, "true"); break;
    case 'f': valid = read_word(reader, "false"); break;
    case 'n': valid = read_word(reader, "null"); break;
    default: valid = read_number(reader);
    }
    skip_space(reader);
    return valid;
}

bool json_find_string(const char *text, size_t length, const char *name, const char **found, size_t *found_length) {
    reader_t reader = {text, text + length};
    *found = NULL;
    skip_space(&reader);
    if (!read_object(&reader, DEPTH, name, found, found_length)) return false;
    skip_space(&reader);
    return reader.at == reader.end && *found;
}
