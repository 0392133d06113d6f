/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pario: the user's command. It looks at and changes a running daemon, checks configurations, and
 * prints what may stand in one. Not the daemon; what it asks of that goes through the HTTP API.
 *
 * Exit status: 0 done, 1 refused with the reason on standard error, 2 wrong usage.
 */
#include "pario.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/schema.h"

#define API_DEFAULT "/run/pario/api.sock"

struct command {
	const char *name;
	const char *arguments;
	const char *help;
	enum exit_status (*run)(const struct words *words);
};

static const struct command commands[] = {
	{"list", "[--json]",
	 "List the daemon's disks with state, size, queues and requests, and its switches, ports "
	 "and uplinks with the frames that went in and out.",
	 run_list},
	{"show", "NAME [--all] [--json]",
	 "Show a disk, switch, port or uplink: the keys that were given, its queues (worker, CPU, "
	 "virtual CPUs, depth, latency), what a guest has set of its port, and counters that are "
	 "not 0. With daemon for NAME: the daemon's keys. "
	 "With --all also the keys that have their defaults or the daemon's values.",
	 run_show},
	{"stats", "[NAME] [--json]",
	 "Print the counters that are not 0 of all disks, ports and uplinks, or of one, and the "
	 "latencies of disks.",
	 run_stats},
	{"macs", "SWITCH [--json]",
	 "List the MAC addresses that a switch knows: the port of each, and how long ago it sent.",
	 run_macs},
	{"workers", "[--json]",
	 "List the workers: CPU, queues, load, and how long each was busy, spinning and asleep.",
	 run_workers},
	{"set", "NAME KEY=VALUE... [--json]",
	 "Change keys of an object while it runs, or with daemon for NAME those of the daemon. It "
	 "is "
	 "done when the workers have taken all of it; else nothing has changed. KEY= gives a key "
	 "back to the daemon's value or the default.",
	 run_set},
	{"add", "disk|switch|port|uplink NAME,KEY=VALUE,... [--json]",
	 "Add an object, written as for pariod --disk, --switch, --port and --uplink.", run_add},
	{"remove", "NAME [--json]", "Finish what an object has under way, and remove it.",
	 run_remove},
	{"resize", "NAME SIZE [--json]", "Make a disk larger, and tell its guest.", run_resize},
	{"capture", "PORT -w FILE [OPTION]...",
	 "Have the daemon write the frames of a port or uplink into a pcapng file, which it makes, "
	 "until interrupted or until the file has its size; or with --stop end a capture that "
	 "somebody left. --size SIZE: bytes at most (100M). --snaplen N: bytes of each frame at "
	 "most. --direction in|out|both: in is from the port. --filter EXPRESSION: as tcpdump's. "
	 "--drops: only frames that the switch drops.",
	 run_capture},
	{"check", "FILE",
	 "Check a configuration file and the paths in it, as pariod --config FILE --check does.",
	 run_check},
	{"schema", "[--json]",
	 "Print every key of a configuration with its type, default, what is allowed, and help.",
	 run_schema},
};

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		if (strcmp(name, commands[i].name) == 0)
			return &commands[i];
	}
	return NULL;
}

void complain(const char *fmt, ...)
{
	va_list ap;

	fputs("pario: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

static void print_help(FILE *out)
{
	fputs("Usage: pario [OPTION]... COMMAND [ARGUMENT]...\n\nCommands:\n", out);
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		fprintf(out, "  %s %s\n", commands[i].name, commands[i].arguments);
		schema_print_wrapped(out, commands[i].help, 6);
	}
	fputs("\nOptions, before or behind a command:\n"
	      "  --api SOCKET\n      The daemon's UNIX socket (its key api). Default: PARIO_API, "
	      "else\n      " API_DEFAULT ".\n"
	      "  --json\n      Print what the API answers, for programs.\n"
	      "  --all\n      With show: also keys that nobody gave.\n"
	      "  --\n      What follows is no option, also if it begins with a minus.\n"
	      "  --help\n      Print this and exit.\n"
	      "  --version\n      Print the version and exit.\n\n"
	      "Exit status: 0 done, 1 refused with the reason on standard error, 2 wrong usage.\n",
	      out);
}

/* Is the command given words that begin with a minus? */
static bool has_own_options(const char *name)
{
	const struct command *command = find_command(name);

	return command && command->run == run_capture;
}

/*
 * Takes the options out of the words, wherever they stand. False after a complaint; *text is the
 * last of --help and --version.
 */
static bool take_options(int argc, char **argv, struct words *words, const char **text)
{
	bool only_words = false;

	for (int i = 1; i < argc; i++) {
		if (only_words || argv[i][0] != '-') {
			words->text[words->cnt++] = argv[i];
			continue;
		}
		if (strcmp(argv[i], "--") == 0) {
			only_words = true;
		} else if (strcmp(argv[i], "--json") == 0) {
			words->json = true;
		} else if (strcmp(argv[i], "--all") == 0) {
			words->all = true;
		} else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "--version") == 0) {
			*text = argv[i];
		} else if (strcmp(argv[i], "--api") == 0) {
			if (i + 1 == argc) {
				complain("--api needs a value: the daemon's socket");
				return false;
			}
			words->api = argv[++i];
		} else if (strncmp(argv[i], "--api=", 6) == 0) {
			words->api = argv[i] + 6;
		} else if (words->cnt > 0 && has_own_options(words->text[0])) {
			words->text[words->cnt++] = argv[i];
		} else {
			complain("\"%s\" is no option of pario (see pario --help)", argv[i]);
			return false;
		}
	}
	return true;
}

static enum exit_status dispatch(struct words *words)
{
	const char *name = words->text[0];
	const struct command *command;

	if (words->cnt == 0) {
		print_help(stderr);
		return EXIT_STATUS_USAGE;
	}
	words->text++;
	words->cnt--;
	command = find_command(name);
	if (!command) {
		complain("\"%s\" is no command of pario (see pario --help)", name);
		return EXIT_STATUS_USAGE;
	}
	if (!words->all || command->run == run_show)
		return command->run(words);
	complain("%s takes no --all: that belongs to show", name);
	return EXIT_STATUS_USAGE;
}

static enum exit_status run(int argc, char **argv)
{
	const char *from_environment = getenv("PARIO_API");
	struct words words = {.text = calloc((size_t)argc + 1, sizeof(char *))};
	char **text = words.text;
	const char *option = NULL;
	enum exit_status status = EXIT_STATUS_DONE;

	words.api = from_environment && *from_environment ? from_environment : API_DEFAULT;
	if (!text || !take_options(argc, argv, &words, &option))
		status = EXIT_STATUS_USAGE;
	else if (option && strcmp(option, "--help") == 0)
		print_help(stdout);
	else if (option)
		printf("pario %s\n", PARIO_VERSION);
	else
		status = dispatch(&words);
	free(text);
	return status;
}

int main(int argc, char **argv)
{
	enum exit_status status = run(argc, argv);

	/* A full disk or a closed pipe must not look like success to a script. */
	if (fflush(stdout) == EOF || ferror(stdout)) {
		complain("cannot write: %s", strerror(errno));
		return EXIT_STATUS_REFUSED;
	}
	return status;
}
