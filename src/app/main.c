/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pariod's entry: options, then the daemon, then an exit status.
 * Not the place for anything that can be called from elsewhere.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "app/daemon.h"
#include "app/options.h"
#include "app/signals.h"

static void say(void *arg, const char *line)
{
	(void)arg;
	fprintf(stderr, "pariod: %s\n", line);
}

/* Else the first socket would become standard error, and the log would go to a front end. */
static void open_standard_streams(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0)
			exit(EXIT_STATUS_FAILED);
	}
}

static enum exit_status check(const struct config *config)
{
	char description[CONFIG_DESCRIPTION_BYTES];

	config_describe(config, description, sizeof(description));
	printf("the configuration is valid: %s\n", description);
	return EXIT_STATUS_OK;
}

int main(int argc, char **argv)
{
	struct config_errors errors = {.say = say};
	enum exit_status status = EXIT_STATUS_OK;
	enum options_result options;
	struct config config;
	bool abandoned = false;

	open_standard_streams();
	signals_block();
	config_init(&config);
	options = options_apply(argc, argv, &config, &errors);
	if (options == OPTIONS_WRONG) {
		status = EXIT_STATUS_WRONG;
	} else if (options == OPTIONS_CHECK) {
		status = check(&config);
	} else if (options == OPTIONS_RUN) {
		log_set_level(config.daemon.log_level);
		status = daemon_run(&config, &errors, &abandoned);
	}
	if (abandoned)
		_exit(status);
	config_fini(&config);
	return status;
}
