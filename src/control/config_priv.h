/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between config.c, config_change.c and config_check.c: one object being filled from one tree.
 * Not for readers of configurations (config.h).
 */
#ifndef PARIO_CONTROL_CONFIG_PRIV_H
#define PARIO_CONTROL_CONFIG_PRIV_H

#include "control/config.h"
#include "control/schema.h"
#include "control/tree.h"

struct filling {
	const struct schema_table *table;
	struct config_object *object; /* the struct begins with it */
	const char *path;             /* "disks[1]", "disk vda" */
	struct tree *tree;
	struct config_errors *errors;
	bool changing; /* only run-time keys, and null unsets one */
	uint64_t seen; /* rows that this tree gave */
};

/* Sets every key of mapping, an object. Complaints go to errors. */
void config_fill(struct filling *f, json_t *mapping);

/*
 * Appends a disk filled from mapping, with the defaults of what mapping does not say, and whatever
 * it is: complaints go to errors. NULL when there was no memory.
 */
struct config_disk *config_fill_disk(struct config *config, struct tree *tree, json_t *mapping,
				     struct config_errors *errors);

/* What complaints call a disk that no file and no --disk described: "disk vda"; NULL: "disk". */
void config_disk_path(const char *name, char *buf, size_t size);

/* The name that mapping gives a disk, borrowed; NULL if there is none, or a wrong one. */
const char *config_name_in(const json_t *mapping);

void config_no_memory(struct config_errors *errors);

#endif
