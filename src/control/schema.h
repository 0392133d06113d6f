/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keys of every object: one row for each, with type, default, range and help.
 * Not the objects' structs (config.h) and not their sources (tree.h).
 *
 * Parsing, checking, --help, `pario schema` and the test of the man page all read these rows, so
 * that a key that exists anywhere exists everywhere, and an error reads the same everywhere.
 */
#ifndef PARIO_CONTROL_SCHEMA_H
#define PARIO_CONTROL_SCHEMA_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"

enum schema_type {
	SCHEMA_BOOL,   /* bool */
	SCHEMA_INT,    /* uint32_t; min, max */
	SCHEMA_POW2,   /* uint32_t; min, max */
	SCHEMA_FD,     /* int; min, max */
	SCHEMA_SIZE,   /* uint64_t bytes; min, max; a multiple of 512 */
	SCHEMA_MODE,   /* mode_t, octal; min, max */
	SCHEMA_CHOICE, /* an enum; choice() */
	SCHEMA_NAME,   /* char *; max bytes; letters that need no quoting anywhere */
	SCHEMA_TEXT,   /* char *; max bytes; printable */
	SCHEMA_PATH,   /* char *; max bytes */
	SCHEMA_CPUS,   /* cpu_set_t */
	SCHEMA_ORDER,  /* char *; max bytes; a CPU list in an order that means something */
	SCHEMA_USER,   /* uid_t */
	SCHEMA_GROUP,  /* gid_t */
	SCHEMA_MAC,    /* uint8_t[6], a unicast address; zeroes: none */
	SCHEMA_VLANS,  /* char *; max bytes; as netaddr_parse_vlans() takes it */
	SCHEMA_KEY,    /* struct rss_key (rss_text.h); min, max bytes */
	SCHEMA_TABLE,  /* struct rss_table; min, max entries */
	SCHEMA_WORDS,  /* uint32_t, a bit for each idx of choice() */
	SCHEMA_TYPE_MAX_,
};

/* "boolean", "integer", ... */
const char *schema_type_name(enum schema_type type);

struct schema_row {
	const char *key;            /* nested keys with a dot: "features.packed" */
	const char *help;           /* one sentence or more */
	const char *value;          /* default, as text that is parsed like any other; or NULL */
	const char *value_in_words; /* what the default is when it is no constant; or NULL */
	/* CHOICE, WORDS: the idx-th name, NULL beyond the last. Index = value of the enum. */
	const char *(*choice)(unsigned idx);
	const char *only_with; /* another key without which this one means nothing; or NULL */
	uint64_t min;
	uint64_t max;
	enum schema_type type;
	bool runtime;      /* may be changed while the object runs */
	uint32_t backends; /* bit = enum storage_backend that the key belongs to; 0 = all */
	uint32_t steering; /* bit = enum net_steering_mode that the key belongs to; 0 = all */
	uint32_t offset;   /* of the member in the object's struct */
};

struct schema_table {
	const char *name;   /* "daemon", "disks" */
	const char *noun;   /* of one: "daemon", "disk" */
	const char *prefix; /* of keys in texts for people: "daemon.", "disks[]." */
	size_t object_bytes;
	const struct schema_row *rows;
	unsigned row_cnt;
};

extern const struct schema_table schema_daemon;
extern const struct schema_table schema_disk;
extern const struct schema_table schema_switch;
extern const struct schema_table schema_port;
extern const struct schema_table schema_uplink;

/* All of them, in the order in which they are described; NULL beyond the last. */
const struct schema_table *schema_table(unsigned idx);

/* Index of the row, or -1. */
int schema_find(const struct schema_table *table, const char *key);
/* Is there a key that begins with "group."? */
bool schema_is_group(const struct schema_table *table, const char *group);
/* The key that key was most probably meant to be, or NULL. */
const char *schema_nearest(const struct schema_table *table, const char *key);
/* How many letters must be changed, added or removed to make one word the other; at most limit. */
unsigned schema_distance(const char *a, const char *b, unsigned limit);

/* Stores every default of the table in object. */
void schema_set_defaults(const struct schema_table *table, void *object);
/*
 * Parses and checks text and stores it in object; strings are copied, older ones freed. On error
 * object is unchanged and err says what was given and what is allowed. 0, -EINVAL or -ENOMEM.
 */
int schema_set(const struct schema_row *row, void *object, const char *text, struct err *err);
/* Stores the row's default again. */
void schema_unset(const struct schema_row *row, void *object);
/*
 * Copies a value from one object to another, where it may stand under another row of the same type;
 * older strings are freed. 0, or -ENOMEM and nothing changed.
 */
int schema_copy(const struct schema_row *row, void *object, const struct schema_row *from_row,
		const void *from);
/* The same from an object of the same kind, which no longer has the value: it cannot fail. */
void schema_move(const struct schema_row *row, void *object, void *from);
/* Frees the strings of object. */
void schema_clear(const struct schema_table *table, void *object);

/* "1 to 256"; "file, null, ram". */
void schema_allowed_text(const struct schema_row *row, char *buf, size_t size);
/* "1536M": the largest suffix that divides the number. */
void schema_size_text(uint64_t bytes, char *buf, size_t size);
/* "64"; "the daemon's"; "none". */
const char *schema_default_text(const struct schema_row *row);
/* What --help and the man page say behind the default; "" for a key that is read at the start. */
const char *schema_runtime_text(const struct schema_row *row);

/* schema_get.c */

/*
 * Every key with its value, nested ones in objects; null for what has none, and for keys that mean
 * nothing here: those of other back ends or modes of steering, and `socket-mode` without `socket`.
 * Each value is taken by schema_set() as its text.
 */
json_t *schema_get(const struct schema_table *table, const void *object);
/* Names of the keys that were given: the others have their defaults, or the daemon's values. */
json_t *schema_get_given(const struct schema_table *table, const void *object);

/* schema_print.c */

/* Indented lines for --help: "  --workers LIST" or "  queues=NUMBER", then the help. */
void schema_print_options(FILE *out, const struct schema_table *table);
void schema_print_keys(FILE *out, const struct schema_table *table);
/* Every row of every table: a line of facts and a line of help; or one JSON document. */
void schema_print_text(FILE *out);
int schema_print_json(FILE *out);
/* The same document. */
json_t *schema_json(void);
/* Words of text from column indent to column 79; for texts beside the above. */
void schema_print_wrapped(FILE *out, const char *text, unsigned indent);

#endif
