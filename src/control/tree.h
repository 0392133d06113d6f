/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sources of configuration as one kind of tree: jansson objects, arrays and strings.
 * Not checked against the schema: config.c does that.
 *
 * Every scalar is a string, as it was written: the schema knows what it is to be. So `backend:
 * null` and `name: no` are what they look like, and an error can repeat what was given.
 */
#ifndef PARIO_CONTROL_TREE_H
#define PARIO_CONTROL_TREE_H

#include <jansson.h>

#include "control/config.h"

struct tree_line {
	const json_t *node;
	unsigned line;
};

struct tree {
	json_t *root;
	const char *source; /* for texts; the creator's */
	struct tree_line *lines;
	unsigned line_cnt;
	unsigned line_max;
	unsigned cursor; /* where tree_line() found the last one */
};

/*
 * Reads a YAML file: one document; no aliases, anchors, tags or repeated keys. The first error
 * ends it. 0, or -EINVAL / -errno after a complaint; tree is to be given to tree_fini either way.
 */
int tree_load_yaml(struct tree *tree, const char *path, const char *source,
		   struct config_errors *errors);
/*
 * NAME,key=value,... with ",," for a comma in a value: an object whose name is NAME. path is the
 * object's, for texts. As above.
 */
int tree_parse_spec(struct tree *tree, const char *spec, const char *path, const char *source,
		    struct config_errors *errors);
/*
 * A copy of an object from JSON, with its scalars as text (1 and true like "1" and "true") but for
 * nulls, which stay. What is nested deeper than keys are is kept as it is. root is NULL, and a
 * complaint made, when value is no object.
 */
int tree_from_json(struct tree *tree, const json_t *value, const char *path,
		   struct config_errors *errors);
void tree_fini(struct tree *tree);

/* The line on which a node (for values in a mapping: its key) stands; 0 if lines mean nothing. */
unsigned tree_line(struct tree *tree, const json_t *node);

#endif
