/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line: getopt_long over the schema's daemon keys and a few options of our own.
 * Not a second place for keys: a new row of the schema is an option without a change here.
 *
 * Order: the file of --config first, then daemon options (which win over the file), then disks,
 * switches, ports and uplinks.
 * --socket-path, --fd, --blk-file, --read-only and --print-capabilities are QEMU's conventions for
 * back-end programs (docs/interop/vhost-user.rst): together they describe one disk.
 */
#include "app/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "control/schema.h"

/* The name of the disk that --socket-path, --fd and --blk-file describe. */
#define LONE_DISK_NAME "vda"

enum option_id {
	OPTION_OBJECT = 1, /* + kind; 0 and '?' are getopt's */
	OPTION_CONFIG = OPTION_OBJECT + CONFIG_KIND_CNT,
	OPTION_CHECK,
	OPTION_HELP,
	OPTION_VERSION,
	OPTION_SOCKET_PATH,
	OPTION_FD,
	OPTION_BLK_FILE,
	OPTION_READ_ONLY,
	OPTION_PRINT_CAPABILITIES,
	OPTION_COLON = ':',
	OPTION_UNKNOWN = '?',
	OPTION_DAEMON = 256, /* + row of schema_daemon */
};

struct own_option {
	const char *name;
	int id;
	const char *value; /* NULL: takes none */
	const char *help;
};

static const struct own_option own_options[] = {
	{"disk", OPTION_OBJECT + CONFIG_DISK, "NAME,KEY=VALUE,...",
	 "Serve a disk; may be repeated. The keys are below; a comma in a value is written ,,."},
	{"switch", OPTION_OBJECT + CONFIG_SWITCH, "NAME,KEY=VALUE,...",
	 "Describe a switch; may be repeated. One that a port or an uplink names is made with its "
	 "defaults if nothing describes it."},
	{"port", OPTION_OBJECT + CONFIG_PORT, "NAME,KEY=VALUE,...",
	 "Serve a port of a switch to a virtual machine; may be repeated."},
	{"uplink", OPTION_OBJECT + CONFIG_UPLINK, "NAME,KEY=VALUE,...",
	 "Connect a switch with the host; may be repeated."},
	{"config", OPTION_CONFIG, "FILE",
	 "Read a YAML file with a mapping `daemon` and lists `disks`, `switches`, `ports` and "
	 "`uplinks` of the same keys. Objects of the command line are added to it, daemon options "
	 "of the command line win over it."},
	{"check", OPTION_CHECK, NULL,
	 "Check the configuration and the paths in it, serve nothing, and exit with 0 or 2."},
	{"help", OPTION_HELP, NULL, "Print this and exit."},
	{"version", OPTION_VERSION, NULL, "Print the version and exit."},
	{"socket-path", OPTION_SOCKET_PATH, "PATH",
	 "QEMU's convention: serve one disk on this socket, as --disk with socket=PATH."},
	{"fd", OPTION_FD, "NUMBER",
	 "QEMU's convention: the same on an inherited descriptor, as --disk with fd=NUMBER."},
	{"blk-file", OPTION_BLK_FILE, "PATH", "QEMU's convention: the image of that disk."},
	{"read-only", OPTION_READ_ONLY, NULL, "QEMU's convention: serve that disk read-only."},
	{"print-capabilities", OPTION_PRINT_CAPABILITIES, NULL,
	 "QEMU's convention: print what this back end is, as JSON, and exit."},
};

#define OPTIONS_MAX (ARRAY_LEN(own_options) + CONFIG_KEYS_MAX + 1)

/* A --disk, --port and so on. */
struct given_object {
	enum config_kind kind;
	const char *spec;
};

/* Everything points into argv. */
struct options {
	bool check;
	const char *config_path;
	struct given_object *objects;
	unsigned object_cnt;
	const char *daemon_values[CONFIG_KEYS_MAX];
	const char *socket_path;
	const char *fd;
	const char *blk_file;
	bool read_only;
};

static void print_help(void)
{
	printf("Usage: pariod --disk NAME,KEY=VALUE,... [OPTION]...\n"
	       "       pariod --port NAME,KEY=VALUE,... [OPTION]...\n"
	       "       pariod --config FILE [OPTION]...\n"
	       "       pariod --api SOCKET [OPTION]...\n\n"
	       "Serves disks and network ports to virtual machines over vhost-user, in the "
	       "foreground.\n\n"
	       "Options:\n");
	for (unsigned i = 0; i < ARRAY_LEN(own_options); i++) {
		const struct own_option *option = &own_options[i];

		printf("  --%s%s%s\n", option->name, option->value ? " " : "",
		       option->value ? option->value : "");
		schema_print_wrapped(stdout, option->help, 6);
	}
	printf("\nOptions that are also keys under `daemon` in a file:\n");
	schema_print_options(stdout, &schema_daemon);
	for (unsigned kind = 0; kind < CONFIG_KIND_CNT; kind++) {
		const struct schema_table *keys = config_table(kind);

		printf("\nKeys of %s %s, the same with --%s and in a file:\n",
		       kind == CONFIG_UPLINK ? "an" : "a", keys->noun, keys->noun);
		schema_print_keys(stdout, keys);
	}
	printf("\nExample:\n"
	       "  pariod --disk vda,path=vda.raw,socket=/run/pario/vda.sock --workers 1\n"
	       "  pariod --port vm1,switch=lan,socket=/run/pario/vm1.sock --uplink "
	       "tap0,switch=lan\n\n"
	       "Exit status: 0 after SIGTERM or SIGINT, 1 when something failed at run time,\n"
	       "2 when an option, a key, a path or a permission is wrong.\n");
}

static void build_table(struct option *table)
{
	unsigned n = 0;

	for (unsigned i = 0; i < ARRAY_LEN(own_options); i++)
		table[n++] = (struct option){own_options[i].name,
					     own_options[i].value ? required_argument : no_argument,
					     NULL, own_options[i].id};
	for (unsigned i = 0; i < schema_daemon.row_cnt; i++)
		table[n++] = (struct option){schema_daemon.rows[i].key, required_argument, NULL,
					     OPTION_DAEMON + (int)i};
	table[n] = (struct option){NULL, 0, NULL, 0};
}

static const char *nearest_option(const struct option *table, const char *name)
{
	unsigned best = 3;
	const char *nearest = NULL;

	for (; table->name; table++) {
		unsigned distance = schema_distance(name, table->name, best);

		if (distance < best) {
			best = distance;
			nearest = table->name;
		}
	}
	return nearest;
}

static void complain_unknown(const struct option *table, const char *given,
			     struct config_errors *errors)
{
	char name[48];
	const char *nearest;

	if (optopt > ' ' && optopt < 0x7f) {
		config_errors_add(errors, NULL, NULL, "unknown option -%c (see pariod --help)",
				  optopt);
		return;
	}
	snprintf(name, sizeof(name), "%s", given + strspn(given, "-"));
	name[strcspn(name, "=")] = '\0';
	for (const struct option *option = table; option->name; option++) {
		if (strcmp(option->name, name) == 0) {
			config_errors_add(errors, NULL, NULL, "--%s takes no value", name);
			return;
		}
	}
	nearest = nearest_option(table, name);
	if (nearest)
		config_errors_add(errors, NULL, NULL, "unknown option %.64s (did you mean --%s?)",
				  given, nearest);
	else
		config_errors_add(errors, NULL, NULL, "unknown option %.64s (see pariod --help)",
				  given);
}

/* Options but objects' are given once: of two, nobody can say which was meant. */
static void store_once(const char **slot, const char *name, struct config_errors *errors)
{
	if (*slot)
		config_errors_add(errors, NULL, NULL,
				  "--%s is given twice (\"%.64s\" and "
				  "\"%.64s\")",
				  name, *slot, optarg);
	*slot = optarg;
}

static void store(struct options *options, int id, const char *name, struct config_errors *errors)
{
	if (id >= OPTION_OBJECT && id < OPTION_OBJECT + (int)CONFIG_KIND_CNT) {
		options->objects[options->object_cnt++] =
			(struct given_object){(enum config_kind)(id - OPTION_OBJECT), optarg};
		return;
	}
	switch (id) {
	case OPTION_CONFIG:
		store_once(&options->config_path, name, errors);
		break;
	case OPTION_CHECK:
		options->check = true;
		break;
	case OPTION_SOCKET_PATH:
		store_once(&options->socket_path, name, errors);
		break;
	case OPTION_FD:
		store_once(&options->fd, name, errors);
		break;
	case OPTION_BLK_FILE:
		store_once(&options->blk_file, name, errors);
		break;
	case OPTION_READ_ONLY:
		options->read_only = true;
		break;
	default:
		store_once(&options->daemon_values[id - OPTION_DAEMON], name, errors);
	}
}

/* OPTIONS_RUN, OPTIONS_CHECK, or OPTIONS_DONE after printing. */
static enum options_result parse(int argc, char **argv, struct options *options,
				 struct config_errors *errors)
{
	struct option table[OPTIONS_MAX];
	int idx = 0;
	int id;

	build_table(table);
	opterr = 0;
	while ((id = getopt_long(argc, argv, "+:", table, &idx)) != -1) {
		switch (id) {
		case OPTION_HELP:
			print_help();
			return OPTIONS_DONE;
		case OPTION_VERSION:
			printf("pariod %s\n", PARIO_VERSION);
			return OPTIONS_DONE;
		case OPTION_COLON:
			config_errors_add(errors, NULL, NULL, "%s needs a value", argv[optind - 1]);
			break;
		case OPTION_UNKNOWN:
			complain_unknown(table, argv[optind - 1], errors);
			break;
		default:
			store(options, id, table[idx].name, errors);
		}
	}
	if (optind < argc)
		config_errors_add(errors, NULL, NULL,
				  "\"%.64s\" is not an option (a disk is given as --disk "
				  "NAME,KEY=VALUE,..., a port as --port NAME,KEY=VALUE,...)",
				  argv[optind]);
	return options->check ? OPTIONS_CHECK : OPTIONS_RUN;
}

/* The one disk of QEMU's conventions. */
static void add_lone_disk(const struct options *options, struct config *config,
			  struct config_errors *errors)
{
	const char *source = options->blk_file ? "--blk-file"
			     : options->fd     ? "--fd"
					       : "--socket-path";
	struct config_object *disk;

	if (!options->blk_file && !options->fd && !options->socket_path) {
		if (options->read_only)
			config_errors_add(errors, NULL, "--read-only",
					  "needs --blk-file (of a --disk: read-only=true)");
		return;
	}
	disk = config_new(config, CONFIG_DISK, LONE_DISK_NAME, source, errors);
	if (!disk)
		return;
	if (options->blk_file)
		config_set_key(config, disk, "path", options->blk_file, errors);
	if (options->socket_path)
		config_set_key(config, disk, "socket", options->socket_path, errors);
	if (options->fd)
		config_set_key(config, disk, "fd", options->fd, errors);
	if (options->read_only)
		config_set_key(config, disk, "read-only", "true", errors);
}

static void apply(const struct options *options, struct config *config,
		  struct config_errors *errors)
{
	if (options->config_path)
		config_add_file(config, options->config_path, errors);
	for (unsigned i = 0; i < schema_daemon.row_cnt; i++) {
		if (options->daemon_values[i])
			config_set_daemon(config, schema_daemon.rows[i].key,
					  options->daemon_values[i], errors);
	}
	for (unsigned i = 0; i < options->object_cnt; i++)
		config_add_spec(config, options->objects[i].kind, options->objects[i].spec, errors);
	add_lone_disk(options, config, errors);
	if (errors->cnt == 0)
		config_finish(config, errors);
	if (errors->cnt == 0)
		config_check_paths(config, errors);
}

/* "Ignore everything else" is what the convention says, so it is looked for before all. */
static bool wants_capabilities(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--print-capabilities") == 0)
			return true;
	}
	return false;
}

enum options_result options_apply(int argc, char **argv, struct config *config,
				  struct config_errors *errors)
{
	struct options options = {0};
	enum options_result result;

	if (wants_capabilities(argc, argv)) {
		puts("{\"type\": \"block\", \"features\": [\"read-only\", \"blk-file\"]}");
		return OPTIONS_DONE;
	}
	options.objects = calloc((size_t)argc, sizeof(*options.objects));
	if (!options.objects) {
		config_errors_add(errors, NULL, NULL, "no memory");
		return OPTIONS_WRONG;
	}
	result = parse(argc, argv, &options, errors);
	if (result != OPTIONS_DONE && errors->cnt == 0)
		apply(&options, config, errors);
	free(options.objects);
	return errors->cnt ? OPTIONS_WRONG : result;
}
