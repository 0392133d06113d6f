/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The schema for people (--help, `pario schema`) and for programs (`pario schema --json`).
 * Not a source of facts: everything printed comes from the rows.
 */
#include "control/schema.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "base/compiler.h"
#include "device/net/net.h"
#include "storage/storage.h"

#define LINE_COLUMNS 80
#define HELP_INDENT 6
#define ALLOWED_BYTES 96

void schema_print_wrapped(FILE *out, const char *text, unsigned indent)
{
	unsigned column = 0;

	while (*text) {
		size_t len = strcspn(text, " ");

		if (column && column + 1 + len > LINE_COLUMNS - 1) {
			fputc('\n', out);
			column = 0;
		}
		if (column == 0)
			column = (unsigned)fprintf(out, "%*s", (int)indent, "");
		else
			column += (unsigned)fprintf(out, " ");
		column += (unsigned)fprintf(out, "%.*s", (int)len, text);
		text += len;
		text += strspn(text, " ");
	}
	fputc('\n', out);
}

/* What stands behind the key in --help: the choices, or what kind of thing it is. */
static const char *value_word(const struct schema_row *row)
{
	static const char *const words[] = {
		[SCHEMA_BOOL] = "BOOL",   [SCHEMA_INT] = "NUMBER", [SCHEMA_POW2] = "NUMBER",
		[SCHEMA_FD] = "NUMBER",   [SCHEMA_SIZE] = "SIZE",  [SCHEMA_MODE] = "MODE",
		[SCHEMA_CHOICE] = "WORD", [SCHEMA_NAME] = "NAME",  [SCHEMA_TEXT] = "TEXT",
		[SCHEMA_PATH] = "PATH",   [SCHEMA_CPUS] = "CPUS",  [SCHEMA_USER] = "USER",
		[SCHEMA_GROUP] = "GROUP", [SCHEMA_ORDER] = "CPUS", [SCHEMA_MAC] = "MAC",
		[SCHEMA_VLANS] = "VLANS", [SCHEMA_KEY] = "KEY",    [SCHEMA_TABLE] = "TABLE",
		[SCHEMA_WORDS] = "WORDS",
	};
	_Static_assert(ARRAY_LEN(words) == SCHEMA_TYPE_MAX_, "a word for each type");

	return words[row->type];
}

static void print_row(FILE *out, const struct schema_row *row, const char *lead, const char *link)
{
	char allowed[ALLOWED_BYTES];

	schema_allowed_text(row, allowed, sizeof(allowed));
	fprintf(out, "  %s%s%s%s\n", lead, row->key, link, value_word(row));
	schema_print_wrapped(out, row->help, HELP_INDENT);
	fprintf(out, "%*sAllowed: %s.\n", HELP_INDENT, "", allowed);
	fprintf(out, "%*sDefault: %s.%s\n", HELP_INDENT, "", schema_default_text(row),
		schema_runtime_text(row));
}

void schema_print_options(FILE *out, const struct schema_table *table)
{
	for (unsigned i = 0; i < table->row_cnt; i++)
		print_row(out, &table->rows[i], "--", " ");
}

void schema_print_keys(FILE *out, const struct schema_table *table)
{
	for (unsigned i = 0; i < table->row_cnt; i++)
		print_row(out, &table->rows[i], "", "=");
}

void schema_print_text(FILE *out)
{
	const struct schema_table *table;
	char allowed[ALLOWED_BYTES];

	for (unsigned t = 0; (table = schema_table(t)); t++) {
		for (unsigned i = 0; i < table->row_cnt; i++) {
			const struct schema_row *row = &table->rows[i];

			schema_allowed_text(row, allowed, sizeof(allowed));
			fprintf(out, "%s%s (%s)\n", table->prefix, row->key,
				schema_type_name(row->type));
			schema_print_wrapped(out, row->help, HELP_INDENT);
			fprintf(out, "%*sAllowed: %s.\n", HELP_INDENT, "", allowed);
			fprintf(out, "%*sDefault: %s.%s\n", HELP_INDENT, "",
				schema_default_text(row), schema_runtime_text(row));
		}
	}
}

static json_t *choices_json(const struct schema_row *row)
{
	json_t *choices = json_array();

	for (unsigned i = 0; row->choice(i); i++)
		json_array_append_new(choices, json_string(row->choice(i)));
	return choices;
}

static json_t *backends_json(const struct schema_row *row)
{
	json_t *names = json_array();

	for (unsigned i = 0; i < STORAGE_BACKEND_MAX_; i++) {
		if (row->backends & 1u << i)
			json_array_append_new(
				names, json_string(storage_backend_name((enum storage_backend)i)));
	}
	return names;
}

static json_t *steering_json(const struct schema_row *row)
{
	json_t *names = json_array();

	for (unsigned i = 0; i < NET_STEERING_MODE_MAX_; i++) {
		if (row->steering & 1u << i)
			json_array_append_new(names, json_string(net_steering_mode_name(
							     (enum net_steering_mode)i)));
	}
	return names;
}

static json_t *row_json(const struct schema_row *row)
{
	char allowed[ALLOWED_BYTES];
	json_t *object = json_object();

	schema_allowed_text(row, allowed, sizeof(allowed));
	json_object_set_new(object, "key", json_string(row->key));
	json_object_set_new(object, "type", json_string(schema_type_name(row->type)));
	/* A default in words is no value that one could write. */
	if (row->value)
		json_object_set_new(object, "default", json_string(row->value));
	else
		json_object_set_new(object, "default-in-words", json_string(row->value_in_words));
	json_object_set_new(object, "allowed", json_string(allowed));
	if (row->max) {
		json_object_set_new(object, "minimum", json_integer((json_int_t)row->min));
		json_object_set_new(object, "maximum", json_integer((json_int_t)row->max));
	}
	if (row->choice)
		json_object_set_new(object, "choices", choices_json(row));
	if (row->backends)
		json_object_set_new(object, "backends", backends_json(row));
	if (row->steering)
		json_object_set_new(object, "steering-modes", steering_json(row));
	if (row->only_with)
		json_object_set_new(object, "only-with", json_string(row->only_with));
	json_object_set_new(object, "runtime", json_boolean(row->runtime));
	json_object_set_new(object, "help", json_string(row->help));
	return object;
}

json_t *schema_json(void)
{
	const struct schema_table *table;
	json_t *root = json_object();

	for (unsigned t = 0; (table = schema_table(t)); t++) {
		json_t *rows = json_array();

		for (unsigned i = 0; i < table->row_cnt; i++)
			json_array_append_new(rows, row_json(&table->rows[i]));
		json_object_set_new(root, table->name, rows);
	}
	return root;
}

int schema_print_json(FILE *out)
{
	json_t *root = schema_json();
	int rc = 0;

	if (json_dumpf(root, out, JSON_INDENT(2)) < 0 || fputc('\n', out) == EOF)
		rc = -EIO;
	json_decref(root);
	return rc;
}
