/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon of the operation tests. Not a test.
 */
#include "daemon_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/evloop.h"
#include "base/log.h"

#define RIG_DEADLINE_MS 60000

static void unexpected(void *arg, const char *line)
{
	(void)arg;
	fail_msg("complaint at the start: %s", line);
}

void rig_prepare(struct rig *rig)
{
	memset(rig, 0, sizeof(*rig));
	snprintf(rig->dir, sizeof(rig->dir), "/tmp/pario-operate-XXXXXX");
	assert_non_null(mkdtemp(rig->dir));
	rig->errors.say = unexpected;
	config_init(&rig->config);
	rig_key(rig, "api", rig_path(rig, "api", "sock"));
	rig_key(rig, "log-level", "error");
}

void rig_key(struct rig *rig, const char *key, const char *text)
{
	config_set_daemon(&rig->config, key, text, &rig->errors);
}

const char *rig_path(const struct rig *rig, const char *name, const char *suffix)
{
	static char paths[4][RIG_PATH_BYTES];
	static unsigned next;
	char *path = paths[next++ % 4];

	snprintf(path, RIG_PATH_BYTES, "%s/%s.%s", rig->dir, name, suffix);
	return path;
}

void rig_disk(struct rig *rig, const char *spec)
{
	char name[32];
	char whole[256];

	snprintf(name, sizeof(name), "%.*s", (int)strcspn(spec, ","), spec);
	snprintf(whole, sizeof(whole), "%s,socket=%s", spec, rig_path(rig, name, "sock"));
	config_add_spec(&rig->config, CONFIG_DISK, whole, &rig->errors);
}

void rig_start(struct rig *rig)
{
	bool abandoned;

	config_finish(&rig->config, &rig->errors);
	log_set_level(rig->config.daemon.log_level);
	assert_int_equal(daemon_start(&rig->config, &rig->errors, &rig->daemon, &abandoned),
			 EXIT_STATUS_OK);
	assert_non_null(rig->daemon);
}

static void remove_dir(const char *path)
{
	DIR *dir = opendir(path);

	assert_non_null(dir);
	for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
		if (entry->d_name[0] != '.')
			unlinkat(dirfd(dir), entry->d_name, 0);
	}
	closedir(dir);
	assert_int_equal(rmdir(path), 0);
}

void rig_stop(struct rig *rig)
{
	bool abandoned;

	raise(SIGTERM);
	assert_int_equal(daemon_finish(rig->daemon, &abandoned), EXIT_STATUS_OK);
	assert_false(abandoned);
	config_fini(&rig->config);
	remove_dir(rig->dir);
}

void rig_image(const struct rig *rig, const char *name, off_t bytes)
{
	FILE *file = fopen(rig_path(rig, name, "raw"), "we");

	assert_non_null(file);
	assert_int_equal(ftruncate(fileno(file), bytes), 0);
	fclose(file);
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t rig_deadline_ms(void)
{
	return now_ms() + RIG_DEADLINE_MS;
}

void rig_turn(struct rig *rig, int64_t end_ms, const char *what)
{
	if (now_ms() > end_ms)
		fail_msg("waited a minute for: %s", what);
	assert_int_equal(evloop_turn(daemon_loop(rig->daemon), 10), 0);
}

static void take_line(void *arg, const char *line)
{
	struct asked *asked = arg;

	assert_false(asked->answered);
	assert_true(asked->op.errors.cnt <= RIG_LINES_MAX);
	snprintf(asked->line[asked->op.errors.cnt - 1], sizeof(asked->line[0]), "%s", line);
}

static void take_answer(struct operation *op, int status)
{
	struct asked *asked = container_of(op, struct asked, op);

	assert_false(asked->answered);
	asked->answered = true;
	asked->status = status;
}

struct operation *ask(struct asked *asked)
{
	memset(asked, 0, sizeof(*asked));
	asked->op.done = take_answer;
	asked->op.errors.say = take_line;
	asked->op.errors.arg = asked;
	return &asked->op;
}

void rig_answer(struct rig *rig, struct asked *asked, int status, const char *line)
{
	size_t len = line ? strlen(line) : 0;

	rig_until(rig, asked->answered);
	if (len > 3 && strcmp(line + len - 3, "...") == 0)
		snprintf(asked->line[0] + len - 3, 4, "...");
	assert_string_equal(asked->line[0], line ? line : "");
	assert_int_equal(asked->op.errors.cnt, line ? 1 : 0);
	assert_int_equal(asked->status, status);
}

json_t *rig_json(const char *text)
{
	char copy[512];
	json_t *json;

	snprintf(copy, sizeof(copy), "%s", text);
	for (char *c = copy; *c; c++) {
		if (*c == '\'')
			*c = '"';
	}
	json = json_loads(copy, 0, NULL);
	assert_non_null(json);
	return json;
}

void rig_set_disk(struct rig *rig, const char *name, const char *changes, int status,
		  const char *line)
{
	json_t *json = rig_json(changes);
	struct asked asked;

	operate_set(rig->daemon, CONFIG_DISK, name, json, ask(&asked));
	json_decref(json);
	rig_answer(rig, &asked, status, line);
}

void rig_set_daemon(struct rig *rig, const char *changes, int status, const char *line)
{
	json_t *json = rig_json(changes);
	struct asked asked;

	operate_set_daemon(rig->daemon, json, ask(&asked));
	json_decref(json);
	rig_answer(rig, &asked, status, line);
}

void rig_add_kind(struct rig *rig, enum config_kind kind, const char *spec, int status,
		  const char *line)
{
	json_t *json = rig_json(spec);
	const char *name = json_string_value(json_object_get(json, "name"));
	struct asked asked;

	if ((kind == CONFIG_DISK || kind == CONFIG_PORT) && name &&
	    !json_object_get(json, "socket"))
		json_object_set_new(json, "socket", json_string(rig_path(rig, name, "sock")));
	operate_add(rig->daemon, kind, json, ask(&asked));
	json_decref(json);
	rig_answer(rig, &asked, status, line);
}

void rig_add(struct rig *rig, const char *spec, int status, const char *line)
{
	rig_add_kind(rig, CONFIG_DISK, spec, status, line);
}

void rig_set(struct rig *rig, const char *name, const char *changes, int status, const char *line)
{
	json_t *json = rig_json(changes);
	struct asked asked;

	operate_set(rig->daemon, CONFIG_ANY, name, json, ask(&asked));
	json_decref(json);
	rig_answer(rig, &asked, status, line);
}

void rig_remove_any(struct rig *rig, const char *name, int status, const char *line)
{
	struct asked asked;

	operate_remove(rig->daemon, CONFIG_ANY, name, ask(&asked));
	rig_answer(rig, &asked, status, line);
}

void rig_remove(struct rig *rig, const char *name, int status, const char *line)
{
	struct asked asked;

	operate_remove(rig->daemon, CONFIG_DISK, name, ask(&asked));
	rig_answer(rig, &asked, status, line);
}

void rig_resize(struct rig *rig, const char *name, const char *size, int status, const char *line)
{
	struct asked asked;

	operate_resize(rig->daemon, name, size, ask(&asked));
	rig_answer(rig, &asked, status, line);
}
