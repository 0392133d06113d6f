/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands that change a running daemon. What they change is checked there, by the schema.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "control/schema.h"
#include "control/tree.h"

/* The answer as it is, or a line that says what was done. */
static enum exit_status report(const struct words *words, enum exit_status status, json_t *answer,
			       const char *done, const char *name)
{
	if (status == EXIT_STATUS_DONE && words->json) {
		json_dumpf(answer, stdout, JSON_INDENT(2));
		putchar('\n');
	} else if (status == EXIT_STATUS_DONE) {
		printf("%s %s\n", name, done);
	}
	json_decref(answer);
	return status;
}

/* {"key": "value", ...}; KEY= alone gives a key back. NULL after a complaint. */
static json_t *parse_changes(const struct words *words)
{
	json_t *changes = json_object();

	for (int i = 1; i < words->cnt; i++) {
		const char *equals = strchr(words->text[i], '=');
		char *key;
		json_t *value;

		if (!equals || equals == words->text[i]) {
			complain("\"%s\" is not KEY=VALUE", words->text[i]);
			json_decref(changes);
			return NULL;
		}
		key = strndup(words->text[i], (size_t)(equals - words->text[i]));
		value = equals[1] ? json_string(equals + 1) : json_null();
		if (!key || json_object_get(changes, key) ||
		    json_object_set_new(changes, key, value) < 0) {
			complain("%s is given twice, or is not UTF-8", words->text[i]);
			json_decref(changes);
			changes = NULL;
		}
		free(key);
		if (!changes)
			return NULL;
	}
	return changes;
}

enum exit_status run_set(const struct words *words)
{
	enum exit_status status;
	json_t *changes;
	json_t *answer;

	if (words->cnt < 2) {
		complain("set takes a name and at least one change: pario set NAME KEY=VALUE...");
		return EXIT_STATUS_USAGE;
	}
	changes = parse_changes(words);
	if (!changes)
		return EXIT_STATUS_USAGE;
	if (strcmp(words->text[0], "daemon") == 0)
		status = client_ask(words->api, "PATCH", "/v1/daemon", NULL, changes, &answer);
	else
		status = client_ask(words->api, "PATCH", "/v1/objects/%s", words->text[0], changes,
				    &answer);
	return report(words, status, answer, "is changed", words->text[0]);
}

static void say(void *arg, const char *line)
{
	(void)arg;
	complain("%s", line);
}

/* As --disk, --port and so on take it. NULL after a complaint. */
static json_t *parse_spec(const char *spec, const char *noun)
{
	struct config_errors errors = {.say = say};
	size_t name_len = strcspn(spec, ",=");
	json_t *object = NULL;
	struct tree tree;

	if (name_len == 0 || spec[name_len] == '=') {
		complain("\"%.64s\" does not begin with a name (write NAME,KEY=VALUE,...)", spec);
		return NULL;
	}
	if (tree_parse_spec(&tree, spec, noun, NULL, &errors) == 0)
		object = json_incref(tree.root);
	tree_fini(&tree);
	return object;
}

/* CONFIG_KIND_CNT: none. */
static enum config_kind parse_kind(const char *noun)
{
	unsigned kind = 0;

	while (kind < CONFIG_KIND_CNT && strcmp(config_noun(kind), noun) != 0)
		kind++;
	return kind;
}

enum exit_status run_add(const struct words *words)
{
	enum config_kind kind = words->cnt == 2 ? parse_kind(words->text[0]) : CONFIG_KIND_CNT;
	enum exit_status status;
	json_t *spec;
	json_t *answer;
	char path[32];
	char *name;

	if (kind == CONFIG_KIND_CNT) {
		complain("add takes what to add: pario add disk|switch|port|uplink "
			 "NAME,KEY=VALUE,...");
		return EXIT_STATUS_USAGE;
	}
	spec = parse_spec(words->text[1], words->text[0]);
	if (!spec)
		return EXIT_STATUS_USAGE;
	name = strndup(words->text[1], strcspn(words->text[1], ","));
	snprintf(path, sizeof(path), "/v1/%s", config_table(kind)->name);
	status = client_ask(words->api, "POST", path, NULL, spec, &answer);
	status = report(words, status, answer, "is added", name ? name : words->text[0]);
	free(name);
	return status;
}

enum exit_status run_remove(const struct words *words)
{
	enum exit_status status;
	json_t *answer;

	if (words->cnt != 1) {
		complain("remove takes one argument: pario remove NAME");
		return EXIT_STATUS_USAGE;
	}
	status = client_ask(words->api, "DELETE", "/v1/objects/%s", words->text[0], NULL, &answer);
	return report(words, status, answer, "is removed", words->text[0]);
}

enum exit_status run_resize(const struct words *words)
{
	enum exit_status status;
	json_t *answer;

	if (words->cnt != 2) {
		complain("resize takes two arguments: pario resize NAME SIZE");
		return EXIT_STATUS_USAGE;
	}
	status = client_ask(words->api, "POST", "/v1/disks/%s/resize", words->text[0],
			    json_pack("{s:s}", "size", words->text[1]), &answer);
	return report(words, status, answer, "is resized", words->text[0]);
}
