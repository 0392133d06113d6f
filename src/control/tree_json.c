/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON as a tree: what the API is asked to add or to change.
 * Not a JSON reader: whoever asked has parsed it.
 */
#include "control/tree.h"

#include <errno.h>
#include <string.h>

/* Digits of a real that say what was written: 2.5 is to be repeated as 2.5. */
#define REAL_DIGITS 15
#define SCALAR_TEXT_BYTES 64

/* A new reference, or NULL without memory. A string with a NUL byte is no value at all. */
static json_t *scalar_text(const json_t *value)
{
	char text[SCALAR_TEXT_BYTES + 1];
	size_t len;

	if (json_is_string(value) && strlen(json_string_value(value)) != json_string_length(value))
		return json_string_nocheck("");
	if (json_is_string(value))
		return json_string_nocheck(json_string_value(value));
	len = json_dumpb(value, text, sizeof(text) - 1,
			 JSON_ENCODE_ANY | JSON_REAL_PRECISION(REAL_DIGITS));
	text[len < sizeof(text) ? len : 0] = '\0';
	return json_string_nocheck(text);
}

static json_t *copy_object(const json_t *object, bool nested)
{
	json_t *source = (json_t *)(uintptr_t)object; /* jansson's iterators take no const */
	json_t *copy = json_object();
	void *it;

	for (it = json_object_iter(source); it && copy; it = json_object_iter_next(source, it)) {
		json_t *value = json_object_iter_value(it);
		json_t *text;

		if (json_is_object(value) && !nested)
			text = copy_object(value, true);
		else if (json_is_object(value) || json_is_array(value) || json_is_null(value))
			text = json_incref(value);
		else
			text = scalar_text(value);
		if (!text || json_object_set_new_nocheck(copy, json_object_iter_key(it), text)) {
			json_decref(copy);
			copy = NULL;
		}
	}
	return copy;
}

int tree_from_json(struct tree *tree, const json_t *value, const char *path,
		   struct config_errors *errors)
{
	*tree = (struct tree){0};
	if (!json_is_object(value)) {
		config_errors_add(errors, NULL, path, "a mapping of keys to values is needed");
		return -EINVAL;
	}
	tree->root = copy_object(value, false);
	if (!tree->root) {
		config_errors_add(errors, NULL, path, "no memory");
		return -ENOMEM;
	}
	return 0;
}
