/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One configuration under test, with all that was complained of, compared line for line.
 * Not a matcher: texts for people are compared whole.
 */
#ifndef PARIO_TESTS_UNIT_CONTROL_STAGE_H
#define PARIO_TESTS_UNIT_CONTROL_STAGE_H

#include "control/config.h"

#define STAGE_LINES_MAX 16
#define STAGE_PATH_BYTES 64

struct stage {
	struct config config;
	struct config_errors errors;
	char line[STAGE_LINES_MAX][ERR_TEXT_BYTES];
};

/* There is one stage: a fresh configuration, nothing said. */
struct stage *stage_begin(void);
void stage_end(struct stage *stage);

/* What was said is exactly these lines; the list ends with NULL. Fails the test otherwise. */
void stage_said(const struct stage *stage, ...) __attribute__((sentinel));

void stage_add(struct stage *stage, enum config_kind kind, const char *spec);
void stage_add_disk(struct stage *stage, const char *spec);
/* Through a temporary file, whose path is left in path. */
void stage_add_yaml(struct stage *stage, const char *text, char path[STAGE_PATH_BYTES]);

#endif
