/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration as typed structs, and how it is put together from its sources.
 * Not the keys themselves (schema.h) and not what is built from them (app/).
 *
 * Theory of operation
 *
 * 1. Sources become trees (tree.h): a YAML file, each --disk, --port and so on. Trees are applied
 * in order: first the file, then the command line. Objects add up; a daemon key on the command line
 *    wins.
 * 2. Phases: values (config_add_tree, config_set_daemon), then what keys mean together
 *    (config_finish), then what the machine says (config_check_paths). Each phase reports all that
 *    it finds; a later phase is not entered after an error, so that one mistake is one line.
 * 3. Paths of objects ("disks[1].queues") count over all sources: the file's come first and keep
 *    the numbers that a reader of the file counts. What is asked of a running daemon has no such
 *    place, and objects come and go: there one is called by its name ("disk vda.poll").
 *
 * 4. While it runs (config_change.c) objects come and go one by one, and keys that the schema calls
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
#include "device/net/net.h"
#include "storage/storage.h"
#include "worker/placement.h"
#include "worker/worker.h"

struct tree;
struct schema_table;

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

enum config_kind {
	CONFIG_DISK,
	CONFIG_SWITCH,
	CONFIG_PORT,
	CONFIG_UPLINK,
	CONFIG_KIND_CNT,                /* of which there are lists */
	CONFIG_DAEMON = CONFIG_KIND_CNT /* of which there is one */
};

/* What every object begins with: its kind and name, which of its keys were given, and where. */
struct config_object {
	enum config_kind kind;
	char *name; /* NULL: none, or not yet */
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

/* How a front end reaches a device, what its rings offer, and who serves them. */
struct config_front {
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
};

/* Strings of all objects are the configuration's; NULL = not given. */
struct config_disk {
	struct config_object object;
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
	struct config_front front;
	uint32_t rq_affinity; /* config_given(.., "rq-affinity") says whether to set it */
};

struct config_switch {
	struct config_object object;
	uint32_t mac_table_size;
	uint32_t mac_aging_s;
	uint32_t macs_per_port;   /* 0 = no limit */
	uint32_t flood_limit_pps; /* 0 = no limit */
};

/* At most one of them was given. */
struct config_vlans {
	uint32_t access; /* 0 = not given */
	char *trunk;     /* as netaddr_parse_vlans() takes it */
};

enum config_queue_num {
	CONFIG_QUEUE_NUM_PAIRS,
	CONFIG_QUEUE_NUM_RINGS,
};

enum config_link {
	CONFIG_LINK_UP,
	CONFIG_LINK_DOWN,
};

struct config_port {
	struct config_object object;
	char *switch_name;
	struct config_front front;
	uint8_t mac[ETHER_MAC_BYTES]; /* after config_finish: there always is one */
	bool mac_lock;
	struct config_vlans vlans;
	enum config_link link;
	uint32_t queue_pairs;
	enum config_queue_num queue_num;
	uint32_t mtu;        /* 0 = not given */
	uint32_t speed_mbit; /* 0 = not given */
	struct net_offloads offloads;
	struct net_steering steering;
};

enum config_uplink_type {
	CONFIG_UPLINK_TAP,
	CONFIG_UPLINK_LOOP,
	CONFIG_UPLINK_TYPE_MAX_,
};

/* "tap" */
const char *config_uplink_type_name(enum config_uplink_type type);

struct config_uplink {
	struct config_object object;
	char *switch_name;
	enum config_uplink_type type;
	char *ifname; /* NULL = the name */
	uint32_t queues;
	uint32_t mtu; /* 0 = not given */
	bool offloads;
	struct config_vlans vlans;
	cpu_set_t workers; /* after config_finish: never empty */
	enum poll_mode poll;
	uint32_t poll_max_us;
};

/* An object stays where it is in memory, whatever is added and removed beside it. */
struct config_list {
	struct config_object **objects;
	unsigned cnt;
};

struct config {
	struct config_daemon daemon;
	struct config_list lists[CONFIG_KIND_CNT];
	char **sources;
	unsigned source_cnt;
};

static inline struct config_object *config_at(const struct config *config, enum config_kind kind,
					      unsigned idx)
{
	return config->lists[kind].objects[idx];
}

static inline struct config_disk *config_disk_at(const struct config *config, unsigned idx)
{
	return (struct config_disk *)config_at(config, CONFIG_DISK, idx);
}

static inline struct config_port *config_port_at(const struct config *config, unsigned idx)
{
	return (struct config_port *)config_at(config, CONFIG_PORT, idx);
}

static inline struct config_uplink *config_uplink_at(const struct config *config, unsigned idx)
{
	return (struct config_uplink *)config_at(config, CONFIG_UPLINK, idx);
}

static inline struct config_switch *config_switch_at(const struct config *config, unsigned idx)
{
	return (struct config_switch *)config_at(config, CONFIG_SWITCH, idx);
}

/* Its keys. */
const struct schema_table *config_table(enum config_kind kind);
/* "disk" */
const char *config_noun(enum config_kind kind);
/* Of a disk or a port; NULL: the object has no front end. */
struct config_front *config_front(struct config_object *object);
/* The name of the switch that it is a port of; NULL: none was given, or the kind has none. */
const char *config_switch_of(const struct config_object *object);

/* Defaults, no objects. */
void config_init(struct config *config);
void config_fini(struct config *config);

/* Reads a file, or one --disk (--port ...) value, and applies it. Complaints go to errors. */
void config_add_file(struct config *config, const char *path, struct config_errors *errors);
void config_add_spec(struct config *config, enum config_kind kind, const char *spec,
		     struct config_errors *errors);
/* Adds an object with a name and no other key: what --socket-path and --blk-file then fill. */
struct config_object *config_new(struct config *config, enum config_kind kind, const char *name,
				 const char *source, struct config_errors *errors);
/* A key of an object by its name, as text; replaces what an earlier source said. */
void config_set_daemon(struct config *config, const char *key, const char *text,
		       struct config_errors *errors);
void config_set_key(struct config *config, struct config_object *object, const char *key,
		    const char *text, struct config_errors *errors);

/*
 * Switches that are named and not described; defaults that depend on other keys; then the cross
 * checks.
 */
void config_finish(struct config *config, struct config_errors *errors);
/* The same for one object, against all before it or, while it runs, all others. */
void config_finish_object(struct config *config, struct config_object *object,
			  struct config_errors *errors);

/*
 * What the machine says without opening anything: images exist, are files or block devices and may
 * be read and written; directories of sockets exist and may be written to. Images that somebody
 * has locked and sockets that live are no errors here: the daemon that serves them may be running.
 */
void config_check_paths(const struct config *config, struct config_errors *errors);
void config_check_object_paths(const struct config *config, const struct config_object *object,
			       struct config_errors *errors);

/*
 * config_change.c: what happens to a configuration that is being served.
 */

/*
 * Appends an object from JSON, finished and with its paths checked, and before it the switch that
 * it names if there is none: true; or false after complaints, and nothing is appended.
 */
bool config_append(struct config *config, enum config_kind kind, const json_t *spec,
		   struct config_errors *errors);
void config_remove(struct config *config, struct config_object *object);
/* NULL if there is none of the name. */
struct config_object *config_find(const struct config *config, enum config_kind kind,
				  const char *name);
/* Of any kind but the daemon's. */
struct config_object *config_find_any(const struct config *config, const char *name);
unsigned config_idx(const struct config *config, const struct config_object *object);

/*
 * Copies with changes, which is an object of keys: checked as in the phases above, against the
 * objects that are there. NULL after complaints; some may be about objects that follow the daemon.
 */
struct config_object *config_change(struct config *config, const struct config_object *object,
				    const json_t *changes, struct config_errors *errors);
struct config_daemon *config_change_daemon(const struct config *config, const json_t *changes,
					   struct config_errors *errors);
/* A copy of an object under a daemon that is changed. NULL after a complaint. */
struct config_object *config_follow(const struct config *config, const struct config_object *object,
				    const struct config_daemon *daemon,
				    struct config_errors *errors);
/* The copy's run-time keys become the object's. It is freed. */
void config_take(struct config_object *object, struct config_object *copy);
/* NULL is allowed. */
void config_discard(struct config_object *copy);

#define CONFIG_DESCRIPTION_BYTES 256
/* "2 disks, 1 workers (CPUs 3)"; with ports, uplinks and switches if there are any. */
void config_describe(const struct config *config, char *buf, size_t size);

/* Was the key in any source? key is one of the schema's, else a bug. */
bool config_given(const struct config_object *object, const char *key);

/*
 * A complaint of another layer about an object. Its text may begin with the key that is meant
 * ("path: ..."), which then becomes part of the object's path like in all other complaints.
 */
void config_complain(const struct config *config, const struct config_object *object,
		     const struct err *err, struct config_errors *errors);

/* The same of what is asked of an object while it runs: not about where it was written. */
void config_refuse(const struct config_object *object, const struct err *err,
		   struct config_errors *errors);

/* "[source[:line]: ]path: text" */
void config_errors_add(struct config_errors *errors, const struct config_origin *origin,
		       const char *path, const char *fmt, ...) PRINTF_LIKE(4, 5);

#endif
