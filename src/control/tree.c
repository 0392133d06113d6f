/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What both kinds of tree share, and the command line's kind: NAME,key=value,...
 * Not YAML (tree_yaml.c).
 */
#include "control/tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/tree_priv.h"

int tree_note_line(struct tree *tree, const json_t *node, unsigned line)
{
	if (tree->line_cnt == tree->line_max) {
		unsigned max = tree->line_max ? 2 * tree->line_max : 64;
		struct tree_line *lines = realloc(tree->lines, max * sizeof(*lines));

		if (!lines)
			return -ENOMEM;
		tree->lines = lines;
		tree->line_max = max;
	}
	tree->lines[tree->line_cnt++] = (struct tree_line){node, line};
	return 0;
}

/* A tree is walked in the order in which it was read, so the next one asked for is near. */
unsigned tree_line(struct tree *tree, const json_t *node)
{
	for (unsigned i = 0; i < tree->line_cnt; i++) {
		unsigned idx = (tree->cursor + i) % tree->line_cnt;

		if (tree->lines[idx].node == node) {
			tree->cursor = idx;
			return tree->lines[idx].line;
		}
	}
	return 0;
}

void tree_fini(struct tree *tree)
{
	json_decref(tree->root);
	free(tree->lines);
	tree->root = NULL;
	tree->lines = NULL;
}

/* The next item of a spec into item, ",," made ","; returns where the rest begins, or NULL. */
static const char *spec_item(const char *rest, char *item)
{
	while (*rest) {
		if (*rest == ',') {
			if (rest[1] != ',') {
				*item = '\0';
				return rest + 1;
			}
			rest++;
		}
		*item++ = *rest++;
	}
	*item = '\0';
	return NULL;
}

static int spec_store(struct tree *tree, char *item, bool first, const struct config_origin *origin,
		      const char *path, struct config_errors *errors)
{
	char *equals = strchr(item, '=');
	const char *key = item;
	const char *value;

	if (first) {
		key = "name";
		value = item;
	} else if (equals && equals > item) {
		*equals = '\0';
		value = equals + 1;
	} else {
		config_errors_add(errors, origin, path,
				  "\"%.64s\" is not KEY=VALUE (a comma in a value is written ,,)",
				  item);
		return -EINVAL;
	}
	if (json_object_get(tree->root, key)) {
		config_errors_add(errors, origin, path, "%.64s is given twice", key);
		return -EINVAL;
	}
	if (json_object_set_new_nocheck(tree->root, key, json_string_nocheck(value)) < 0) {
		config_errors_add(errors, origin, path, "no memory");
		return -ENOMEM;
	}
	return 0;
}

int tree_parse_spec(struct tree *tree, const char *spec, const char *path, const char *source,
		    struct config_errors *errors)
{
	const struct config_origin origin = {source, 0};
	const char *rest = spec;
	bool first = true;
	char *item;
	int rc = 0;

	*tree = (struct tree){.root = json_object(), .source = source};
	item = malloc(strlen(spec) + 1);
	if (!item || !tree->root) {
		config_errors_add(errors, &origin, path, "no memory");
		free(item);
		return -ENOMEM;
	}
	while (rest && rc == 0) {
		rest = spec_item(rest, item);
		rc = spec_store(tree, item, first, &origin, path, errors);
		first = false;
	}
	free(item);
	return rc;
}
