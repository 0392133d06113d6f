/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pario: the user's command. It checks configurations and prints what may stand in one.
 * Not the daemon, and no client of one: it opens nothing but the file it is given.
 *
 * Exit status: 0 done, 1 refused with the reason on standard error, 2 wrong usage.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cpuset.h"
#include "control/config.h"
#include "control/schema.h"

enum exit_status {
	EXIT_STATUS_DONE = 0,
	EXIT_STATUS_REFUSED = 1,
	EXIT_STATUS_USAGE = 2,
};

struct command {
	const char *name;
	const char *arguments;
	const char *help;
	enum exit_status (*run)(int argc, char **argv);
};

static enum exit_status run_check(int argc, char **argv);
static enum exit_status run_schema(int argc, char **argv);

static const struct command commands[] = {
	{"check", "FILE",
	 "Check a configuration file and the paths in it, as pariod --config FILE --check does.",
	 run_check},
	{"schema", "[--json]",
	 "Print every key of a configuration with its type, default, what is allowed, and help.",
	 run_schema},
};

static void say(void *arg, const char *line)
{
	(void)arg;
	fprintf(stderr, "pario: %s\n", line);
}

static enum exit_status run_check(int argc, char **argv)
{
	struct config_errors errors = {.say = say};
	struct config config;
	char cpus[128];

	if (argc != 1) {
		say(NULL, "check takes one argument: pario check FILE");
		return EXIT_STATUS_USAGE;
	}
	config_init(&config);
	config_add_file(&config, argv[0], &errors);
	if (errors.cnt == 0)
		config_finish(&config, &errors);
	if (errors.cnt == 0)
		config_check_paths(&config, &errors);
	if (errors.cnt == 0) {
		cpuset_format(&config.daemon.workers, cpus, sizeof(cpus));
		printf("%s is valid: %u disks, %d workers (CPUs %s)\n", argv[0], config.disk_cnt,
		       CPU_COUNT(&config.daemon.workers), cpus);
	}
	config_fini(&config);
	return errors.cnt ? EXIT_STATUS_REFUSED : EXIT_STATUS_DONE;
}

static enum exit_status run_schema(int argc, char **argv)
{
	if (argc == 1 && strcmp(argv[0], "--json") == 0)
		return schema_print_json(stdout) ? EXIT_STATUS_REFUSED : EXIT_STATUS_DONE;
	if (argc) {
		say(NULL, "schema takes no argument but --json: pario schema [--json]");
		return EXIT_STATUS_USAGE;
	}
	schema_print_text(stdout);
	return EXIT_STATUS_DONE;
}

static void print_help(FILE *out)
{
	fputs("Usage: pario COMMAND [ARGUMENT]...\n\nCommands:\n", out);
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		fprintf(out, "  %s %s\n", commands[i].name, commands[i].arguments);
		schema_print_wrapped(out, commands[i].help, 6);
	}
	fputs("\nOptions:\n  --help\n      Print this and exit.\n"
	      "  --version\n      Print the version and exit.\n\n"
	      "Exit status: 0 done, 1 refused with the reason on standard error, 2 wrong usage.\n",
	      out);
}

static enum exit_status dispatch(int argc, char **argv)
{
	if (argc < 2) {
		print_help(stderr);
		return EXIT_STATUS_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0) {
		print_help(stdout);
		return EXIT_STATUS_DONE;
	}
	if (strcmp(argv[1], "--version") == 0) {
		printf("pario %s\n", PARIO_VERSION);
		return EXIT_STATUS_DONE;
	}
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].run(argc - 2, argv + 2);
	}
	fprintf(stderr, "pario: \"%s\" is no command of pario (see pario --help)\n", argv[1]);
	return EXIT_STATUS_USAGE;
}

int main(int argc, char **argv)
{
	enum exit_status status = dispatch(argc, argv);

	/* A full disk or a closed pipe must not look like success to a script. */
	if (fflush(stdout) == EOF) {
		fprintf(stderr, "pario: cannot write: %s\n", strerror(errno));
		return EXIT_STATUS_REFUSED;
	}
	return status;
}
