/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands that need no daemon: checking a configuration, and what may stand in one.
 * They open nothing but the file that they are given.
 */
#include <stdio.h>

#include "control/config.h"
#include "control/schema.h"
#include "pario.h"

static void say(void *arg, const char *line)
{
	(void)arg;
	complain("%s", line);
}

enum exit_status run_check(const struct words *words)
{
	struct config_errors errors = {.say = say};
	struct config config;
	char description[CONFIG_DESCRIPTION_BYTES];

	if (words->cnt != 1 || words->json) {
		complain("check takes one argument: pario check FILE");
		return EXIT_STATUS_USAGE;
	}
	config_init(&config);
	config_add_file(&config, words->text[0], &errors);
	if (errors.cnt == 0)
		config_finish(&config, &errors);
	if (errors.cnt == 0)
		config_check_paths(&config, &errors);
	if (errors.cnt == 0) {
		config_describe(&config, description, sizeof(description));
		printf("%s is valid: %s\n", words->text[0], description);
	}
	config_fini(&config);
	return errors.cnt ? EXIT_STATUS_REFUSED : EXIT_STATUS_DONE;
}

enum exit_status run_schema(const struct words *words)
{
	if (words->cnt) {
		complain("schema takes no argument but --json: pario schema [--json]");
		return EXIT_STATUS_USAGE;
	}
	if (words->json)
		return schema_print_json(stdout) ? EXIT_STATUS_REFUSED : EXIT_STATUS_DONE;
	schema_print_text(stdout);
	return EXIT_STATUS_DONE;
}
