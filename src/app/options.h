/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pariod's command line. Not the keys of objects, which are the schema's (control/schema.h).
 */
#ifndef PARIO_APP_OPTIONS_H
#define PARIO_APP_OPTIONS_H

#include <stdbool.h>

#include "control/config.h"

enum options_result {
	OPTIONS_RUN,
	OPTIONS_CHECK, /* --check */
	OPTIONS_DONE,  /* --help, --version, --print-capabilities: printed */
	OPTIONS_WRONG, /* complained */
};

/*
 * Reads the command line into config (config_init() was called), adds what --config names, and
 * lets the whole be checked.
 */
enum options_result options_apply(int argc, char **argv, struct config *config,
				  struct config_errors *errors);

#endif
