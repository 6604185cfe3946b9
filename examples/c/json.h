// As much of JSON as a handler needs that reads one field.
#ifndef JSON_H
#define JSON_H

#include <stdbool.h>
#include <stddef.h>

// Finds the string that an object has under a name. The string is given as it stands between its quotes,
// escapes and all, so that it may stand in other JSON as it is. False where the text is not one valid
// object, or has no such string.
bool json_find_string(const char *text, size_t length, const char *name, const char **found, size_t *found_length);

#endif
