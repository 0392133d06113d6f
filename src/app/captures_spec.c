/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keys of a capture. Checked by the code that checks those of the configuration.
 */
#include "app/captures_spec.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "control/tree.h"
#include "network/capture.h"
#include "network/capture_filter.h"

#define NAME_BYTES_MAX 64
#define SIZE_BYTES_MAX (1ull << 50)
/* Four numbers and what is between them, of each step. */
#define FILTER_BYTES_MAX (CAPTURE_FILTER_STEPS_MAX * 26)
#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)
#define SNAPLEN_DEFAULT 65557
static_assert(SNAPLEN_DEFAULT == CAPTURE_SNAPLEN_MAX, "all of any frame");

static const char *direction_name(unsigned idx)
{
	static const char *const names[] = {"both", "in", "out"};
	static_assert(ARRAY_LEN(names) == CAPTURES_DIRECTION_MAX_, "a name for each");

	return idx < CAPTURES_DIRECTION_MAX_ ? names[idx] : NULL;
}

#define MEMBER(name) offsetof(struct captures_spec, name)

static const struct schema_row rows[] = {
	{.key = "port",
	 .type = SCHEMA_NAME,
	 .value_in_words = "none: it must be given",
	 .max = NAME_BYTES_MAX,
	 .offset = MEMBER(port),
	 .help = "The port or uplink."},
	{.key = "file",
	 .type = SCHEMA_PATH,
	 .value_in_words = "none: it must be given",
	 .max = PATH_MAX - 1,
	 .offset = MEMBER(file),
	 .help = "The file that is made, with its whole path as the daemon sees it."},
	{.key = "size",
	 .type = SCHEMA_SIZE,
	 .value = "100M", /* CAPTURE_SIZE_DEFAULT */
	 .min = CAPTURE_SIZE_MIN,
	 .max = SIZE_BYTES_MAX,
	 .offset = MEMBER(size_bytes),
	 .help = "Bytes of the file at most; then the capture ends."},
	{.key = "snaplen",
	 .type = SCHEMA_INT,
	 .value = TEXT(SNAPLEN_DEFAULT),
	 .min = CAPTURE_SNAPLEN_MIN,
	 .max = CAPTURE_SNAPLEN_MAX,
	 .offset = MEMBER(snaplen),
	 .help = "Bytes of each frame at most."},
	{.key = "direction",
	 .type = SCHEMA_CHOICE,
	 .choice = direction_name,
	 .value = "both",
	 .offset = MEMBER(direction),
	 .help = "in: from the port into the switch; out: to the port."},
	{.key = "drops",
	 .type = SCHEMA_BOOL,
	 .value = "false",
	 .offset = MEMBER(drops),
	 .help = "Only frames that the switch drops."},
	{.key = "filter",
	 .type = SCHEMA_TEXT,
	 .value_in_words = "none: all frames",
	 .max = FILTER_BYTES_MAX,
	 .offset = MEMBER(filter),
	 .help = "Only frames that this program takes: as tcpdump -ddd prints it, with commas or "
		 "blanks between the numbers."},
};

static const struct schema_table table = {
	.name = "captures",
	.noun = "capture",
	.prefix = "capture.",
	.object_bytes = sizeof(struct captures_spec),
	.rows = rows,
	.row_cnt = ARRAY_LEN(rows),
};

static void complain_of(struct config_errors *errors, const char *key, const char *text)
{
	char path[CONFIG_PATH_BYTES];

	snprintf(path, sizeof(path), "capture.%.100s", key);
	config_errors_add(errors, NULL, path, "%s", text);
}

static int set_key(struct captures_spec *spec, const char *key, const json_t *value,
		   struct config_errors *errors)
{
	const int idx = schema_find(&table, key);
	const char *nearest = schema_nearest(&table, key);
	struct err err = ERR_INIT;
	char text[160];
	int rc;

	if (idx < 0) {
		snprintf(text, sizeof(text), "there is no such key%s%s%s",
			 nearest ? " (is it " : "", nearest ? nearest : "", nearest ? "?)" : "");
		complain_of(errors, key, text);
		return -EINVAL;
	}
	if (json_is_null(value))
		return 0;
	if (!json_is_string(value)) {
		complain_of(errors, key, "one value is needed, and no list or object");
		return -EINVAL;
	}
	rc = schema_set(&rows[idx], spec, json_string_value(value), &err);
	if (rc)
		complain_of(errors, key, err.text);
	return rc;
}

/* What keys mean together. */
static int check(const struct captures_spec *spec, struct config_errors *errors)
{
	if (!spec->port)
		complain_of(errors, "port", "the name of a port or uplink is needed");
	if (!spec->file)
		complain_of(errors, "file", "a file is needed");
	else if (spec->file[0] != '/')
		complain_of(errors, "file", "it must be a whole path, from / on");
	return spec->port && spec->file && spec->file[0] == '/' ? 0 : -EINVAL;
}

int captures_spec_parse(struct captures_spec *spec, const json_t *json,
			struct config_errors *errors)
{
	struct tree tree;
	const char *key;
	json_t *value;
	int rc;

	*spec = (struct captures_spec){0};
	schema_set_defaults(&table, spec);
	rc = tree_from_json(&tree, json, "capture", errors);
	if (rc == 0) {
		json_object_foreach(tree.root, key, value)
		{
			const int of_key = set_key(spec, key, value, errors);

			rc = rc ? rc : of_key;
		}
	}
	tree_fini(&tree);
	return rc ? rc : check(spec, errors);
}

void captures_spec_fini(struct captures_spec *spec)
{
	schema_clear(&table, spec);
}

json_t *captures_spec_json(const struct captures_spec *spec)
{
	return schema_get(&table, spec);
}

void captures_spec_complain(const struct err *err, struct config_errors *errors)
{
	const char *colon = strstr(err->text, ": ");
	char key[32] = "";

	if (colon && (size_t)(colon - err->text) < sizeof(key))
		memcpy(key, err->text, (size_t)(colon - err->text));
	if (key[0] && schema_find(&table, key) >= 0)
		complain_of(errors, key, colon + 2);
	else
		config_errors_add(errors, NULL, "capture", "%s", err->text);
}
