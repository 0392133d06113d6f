/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration as typed structs, and how it is put together from its sources.
 * Not the keys themselves (schema.h) and not what is built from them (app/).
 *
 * Theory of operation
 *
 * 1. Sources become trees (tree.h): a YAML file, each --disk. Trees are applied in order: first the
 *    file, then the command line. Disks add up; a daemon key on the command line wins.
 * 2. Phases: values (config_add_tree, config_set_daemon), then what keys mean together
 *    (config_finish), then what the machine says (config_check_paths). Each phase reports all that
 *    it finds; a later phase is not entered after an error, so that one mistake is one line.
 * 3. Paths of objects ("disks[1].queues") count over all sources: the file's disks come first and
 *    keep the numbers that a reader of the file counts. What is asked of a running daemon has no
 *    such place, and disks come and go: there a disk is called by its name ("disk vda.poll").
 *
 * 4. While it runs (config_change.c) disks come and go one by one, and keys that the schema calls
 *    run-time ones change: on a copy, which goes through the same phases and is then taken whole.
 *
 * Control thread only.
 */
#ifndef PARIO_CONTROL_CONFIG_H
#define PARIO_CONTROL_CONFIG_H

#include <jansson.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/log.h"
#include "device/device.h"
#include "storage/storage.h"
#include "worker/placement.h"
#include "worker/worker.h"

struct tree;

#define CONFIG_KEYS_MAX 64
#define CONFIG_PATH_BYTES 192
#define CONFIG_SERIAL_BYTES_MAX 20 /* VIRTIO 1.3, 5.2.6: GET_ID */

/* Takes every complaint, as one line without newline. */
struct config_errors {
	void (*say)(void *arg, const char *line);
	void *arg;
	unsigned cnt;
};

/* Where something was written: "pario.yaml" line 7; "--disk vda"; nothing for daemon options. */
struct config_origin {
	const char *source; /* lives as long as the configuration; NULL = none */
	unsigned line;      /* 0 = none */
};

/* What every object begins with: which of its keys were given, and where. */
struct config_object {
	struct config_origin origin;
	uint64_t given; /* bit = row of the schema */
	struct config_origin key_origin[CONFIG_KEYS_MAX];
};

struct config_daemon {
	struct config_object object;
	cpu_set_t workers;
	enum poll_mode poll;
	uint32_t poll_max_us;
	enum placement_mode placement;
	uint32_t rebalance_s; /* 0 = never */
	struct coalesce_config coalesce;
	char *api_path; /* NULL = no API */
	enum log_level log_level;
};

enum config_format {
	CONFIG_FORMAT_RAW,
};

struct config_features {
	bool packed;
	bool in_order;
	bool event_idx;
	bool indirect;
};

/* Strings are the configuration's; NULL = not given. */
struct config_disk {
	struct config_object object;
	char *name;
	enum storage_backend backend;
	char *path;
	uint64_t size_bytes; /* 0 = not given */
	uint32_t channels;   /* flash, with the next two */
	uint32_t read_us;
	uint32_t write_us;
	enum config_format format; /* config_given(.., "format") says whether to trust it */
	bool read_only;
	enum storage_cache cache;
	bool pin_memory;
	uint32_t queues;
	char *serial;              /* NULL = the name, cut */
	uint32_t block_size_bytes; /* 0 = the back end's */
	uint32_t seg_max;
	bool discard;
	char *socket_path;
	char *connect_path;
	int fd; /* -1 = not given */
	mode_t socket_mode;
	uid_t socket_owner; /* (uid_t)-1 = as is */
	gid_t socket_group; /* (gid_t)-1 = as is */
	bool any_memory;
	struct config_features features;
	cpu_set_t workers; /* after config_finish: never empty */
	enum poll_mode poll;
	uint32_t poll_max_us;
	enum placement_mode placement;
	char *vcpus; /* as worker/vcpus.h takes it */
	bool siblings;
	struct coalesce_config coalesce;
	uint32_t rq_affinity; /* config_given(.., "rq-affinity") says whether to set it */
};

struct config {
	struct config_daemon daemon;
	/* A disk stays where it is in memory, whatever is added and removed beside it. */
	struct config_disk **disks;
	unsigned disk_cnt;
	char **sources;
	unsigned source_cnt;
};

/* Defaults, no disks. */
void config_init(struct config *config);
void config_fini(struct config *config);

/* Reads a file, or one --disk value, and applies it. Complaints go to errors. */
void config_add_file(struct config *config, const char *path, struct config_errors *errors);
void config_add_disk(struct config *config, const char *spec, struct config_errors *errors);
/* Adds a disk with a name and no other key: what --socket-path and --blk-file then fill. */
struct config_disk *config_new_disk(struct config *config, const char *name, const char *source,
				    struct config_errors *errors);
/* A key of an object by its name, as text; replaces what an earlier source said. */
void config_set_daemon(struct config *config, const char *key, const char *text,
		       struct config_errors *errors);
void config_set_disk(struct config *config, struct config_disk *disk, const char *key,
		     const char *text, struct config_errors *errors);

/* Defaults that depend on other keys, then the cross checks. */
void config_finish(struct config *config, struct config_errors *errors);
/* The same for one disk, against all before it. */
void config_finish_disk(struct config *config, unsigned idx, struct config_errors *errors);

/*
 * What the machine says without opening anything: images exist, are files or block devices and may
 * be read and written; directories of sockets exist and may be written to. Images that somebody
 * has locked and sockets that live are no errors here: the daemon that serves them may be running.
 */
void config_check_paths(const struct config *config, struct config_errors *errors);
void config_check_disk_paths(const struct config *config, unsigned idx,
			     struct config_errors *errors);

/*
 * config_change.c: what happens to a configuration that is being served.
 */

/*
 * Appends a disk from JSON, finished and with its paths checked: true; or false after complaints,
 * and nothing is appended.
 */
bool config_append_disk(struct config *config, const json_t *spec, struct config_errors *errors);
void config_remove_disk(struct config *config, unsigned idx);
/* Index of the disk; disk_cnt if there is none of the name. */
unsigned config_find_disk(const struct config *config, const char *name);

/*
 * Copies with changes, which is an object of keys: checked as in the phases above, against the
 * disks that are there. NULL after complaints; some may be about disks that follow the daemon.
 */
struct config_disk *config_change_disk(struct config *config, unsigned idx, const json_t *changes,
				       struct config_errors *errors);
struct config_daemon *config_change_daemon(const struct config *config, const json_t *changes,
					   struct config_errors *errors);
/* A copy of a disk under a daemon that is changed. NULL after a complaint. */
struct config_disk *config_follow_disk(const struct config *config, unsigned idx,
				       const struct config_daemon *daemon,
				       struct config_errors *errors);
/* The copy's run-time keys become the object's. It is freed. */
void config_take_disk(struct config_disk *disk, struct config_disk *copy);
void config_take_daemon(struct config_daemon *daemon, struct config_daemon *copy);
/* NULL is allowed. */
void config_discard_disk(struct config_disk *copy);
void config_discard_daemon(struct config_daemon *copy);

/* Was the key in any source? key is one of the schema's, else a bug. */
bool config_disk_given(const struct config_disk *disk, const char *key);
bool config_daemon_given(const struct config_daemon *daemon, const char *key);

/*
 * A complaint of another layer about a disk. Its text may begin with the key that is meant ("path:
 * ..."), which then becomes part of the object's path like in all other complaints.
 */
void config_disk_complain(const struct config *config, unsigned disk_idx, const struct err *err,
			  struct config_errors *errors);

/* The same of what is asked of a disk while it runs: not about where the disk was written. */
void config_disk_refuse(const struct config_disk *disk, const struct err *err,
			struct config_errors *errors);

/* "[source[:line]: ]path: text" */
void config_errors_add(struct config_errors *errors, const struct config_origin *origin,
		       const char *path, const char *fmt, ...) PRINTF_LIKE(4, 5);

#endif
