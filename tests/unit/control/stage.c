/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stage of the control tests. Not a test.
 */
#include "stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct stage the_stage;

static void take_line(void *arg, const char *line)
{
	struct stage *stage = arg;

	assert_true(stage->errors.cnt <= STAGE_LINES_MAX);
	assert_null(strchr(line, '\n'));
	snprintf(stage->line[stage->errors.cnt - 1], sizeof(stage->line[0]), "%s", line);
}

struct stage *stage_begin(void)
{
	memset(&the_stage, 0, sizeof(the_stage));
	config_init(&the_stage.config);
	the_stage.errors.say = take_line;
	the_stage.errors.arg = &the_stage;
	return &the_stage;
}

void stage_end(struct stage *stage)
{
	config_fini(&stage->config);
}

void stage_said(const struct stage *stage, ...)
{
	const char *line;
	unsigned cnt = 0;
	va_list ap;

	va_start(ap, stage);
	while ((line = va_arg(ap, const char *))) {
		if (cnt < stage->errors.cnt)
			assert_string_equal(stage->line[cnt], line);
		else
			assert_string_equal("(nothing more was said)", line);
		cnt++;
	}
	va_end(ap);
	if (stage->errors.cnt > cnt)
		assert_string_equal(stage->line[cnt], "(nothing more was expected)");
}

void stage_add(struct stage *stage, enum config_kind kind, const char *spec)
{
	config_add_spec(&stage->config, kind, spec, &stage->errors);
}

void stage_add_disk(struct stage *stage, const char *spec)
{
	stage_add(stage, CONFIG_DISK, spec);
}

void stage_add_yaml(struct stage *stage, const char *text, char path[STAGE_PATH_BYTES])
{
	size_t len = strlen(text);
	int fd;

	snprintf(path, STAGE_PATH_BYTES, "/tmp/pario-test-XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, len), (ssize_t)len);
	close(fd);
	config_add_file(&stage->config, path, &stage->errors);
	unlink(path);
}
