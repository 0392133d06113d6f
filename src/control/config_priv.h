/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between config.c, config_change.c and config_check*.c: one object being filled from one tree.
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
 * Appends an object filled from mapping, with the defaults of what mapping does not say, and
 * whatever it is: complaints go to errors. NULL when there was no memory.
 */
struct config_object *config_fill_object(struct config *config, enum config_kind kind,
					 struct tree *tree, json_t *mapping,
					 struct config_errors *errors);
/* Appends one with nothing but defaults. */
struct config_object *config_append_new(struct config *config, enum config_kind kind,
					struct config_origin origin, struct config_errors *errors);
/* The switch that an object names, made with its defaults if nothing else has the name. */
void config_imply_switch(struct config *config, const struct config_object *object,
			 struct config_errors *errors);

/* What complaints call what no file and no command line described: "disk vda"; NULL: "disk". */
void config_object_path(enum config_kind kind, const char *name, char *buf, size_t size);

/* The name that mapping gives an object, borrowed; NULL if there is none, or a wrong one. */
const char *config_name_in(const json_t *mapping);

/* Of a key of the object, or (NULL) of the whole. */
void config_complain_of(const struct config *config, const struct config_object *object,
			const char *key, const char *what, struct config_errors *errors);

/* config_check_net.c: what keys of switches, ports and uplinks mean together. */
void config_check_net(struct config *config, struct config_object *object,
		      struct config_errors *errors);

void config_no_memory(struct config_errors *errors);

#endif
