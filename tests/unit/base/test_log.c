/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log lines as they arrive on standard error, levels, and the limit. Not who logs what.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"

#define WINDOW_NS (10ull * 1000 * 1000 * 1000)
#define BURST 5

/* Standard error goes to a memory file while a test looks. */
struct capture {
	int memory_fd;
	int saved_fd;
	char text[65536];
};

static int setup(void **state)
{
	struct capture *capture = calloc(1, sizeof(*capture));

	if (!capture)
		return -1;
	capture->memory_fd = memfd_create("stderr", MFD_CLOEXEC);
	capture->saved_fd = dup(STDERR_FILENO);
	if (capture->memory_fd < 0 || capture->saved_fd < 0)
		return -1;
	/* As for a log file: two writes at once do not overwrite each other. */
	if (fcntl(capture->memory_fd, F_SETFL, O_APPEND) < 0)
		return -1;
	*state = capture;
	log_set_level(LOG_LEVEL_INFO);
	return 0;
}

static int teardown(void **state)
{
	struct capture *capture = *state;

	close(capture->memory_fd);
	close(capture->saved_fd);
	free(capture);
	return 0;
}

static void capture_begin(struct capture *capture)
{
	assert_int_equal(ftruncate(capture->memory_fd, 0), 0);
	assert_true(dup2(capture->memory_fd, STDERR_FILENO) >= 0);
}

static const char *capture_end(struct capture *capture)
{
	ssize_t len;

	assert_true(dup2(capture->saved_fd, STDERR_FILENO) >= 0);
	len = pread(capture->memory_fd, capture->text, sizeof(capture->text) - 1, 0);
	assert_true(len >= 0);
	capture->text[len] = '\0';
	return capture->text;
}

static unsigned line_cnt(const char *text)
{
	unsigned cnt = 0;

	for (; *text; text++)
		cnt += *text == '\n';
	return cnt;
}

static void test_level_names(void **state)
{
	enum log_level level = LOG_LEVEL_MAX_;

	(void)state;
	for (unsigned i = 0; i < LOG_LEVEL_MAX_; i++) {
		assert_int_equal(log_level_parse(log_level_name((enum log_level)i), &level), 0);
		assert_int_equal(level, i);
	}
	assert_null(log_level_name(LOG_LEVEL_MAX_));
	assert_int_equal(log_level_parse("loud", &level), -EINVAL);
	assert_int_equal(log_level_parse("", &level), -EINVAL);
	assert_int_equal(log_level_parse("INFO", &level), -EINVAL);
}

static void test_line(void **state)
{
	struct capture *capture = *state;
	const char *text;

	capture_begin(capture);
	log_info("disk vda", "front end connected (%d)", 7);
	text = capture_end(capture);
	/* 2024-01-02T03:04:05.678Z info  disk vda: ... */
	assert_int_equal(line_cnt(text), 1);
	assert_int_equal(text[4], '-');
	assert_int_equal(text[10], 'T');
	assert_int_equal(text[19], '.');
	assert_int_equal(text[23], 'Z');
	assert_string_equal(text + 24, " info  disk vda: front end connected (7)\n");
}

static void test_line_without_tag(void **state)
{
	struct capture *capture = *state;

	capture_begin(capture);
	log_error(NULL, "no");
	assert_string_equal(capture_end(capture) + 24, " error no\n");
}

static void test_levels(void **state)
{
	struct capture *capture = *state;
	const char *text;

	capture_begin(capture);
	log_debug("t", "line d");
	log_info("t", "line i");
	log_set_level(LOG_LEVEL_WARN);
	assert_false(log_enabled(LOG_LEVEL_INFO));
	assert_true(log_enabled(LOG_LEVEL_WARN));
	log_info("t", "line hidden");
	log_warn("t", "line w");
	log_set_level(LOG_LEVEL_DEBUG);
	log_debug("t", "line seen");
	text = capture_end(capture);
	assert_int_equal(line_cnt(text), 3);
	assert_non_null(strstr(text, "line i"));
	assert_non_null(strstr(text, "line w"));
	assert_non_null(strstr(text, "line seen"));
}

static void test_control_characters(void **state)
{
	struct capture *capture = *state;
	const char *text;

	capture_begin(capture);
	log_info("t", "serial '%s'", "a\nb\x1b[2J");
	text = capture_end(capture);
	assert_int_equal(line_cnt(text), 1);
	assert_non_null(strstr(text, "serial 'a?b?[2J'\n"));
}

static void test_long_line(void **state)
{
	struct capture *capture = *state;
	char name[2048];
	const char *text;

	memset(name, 'n', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	capture_begin(capture);
	log_info("t", "%s", name);
	log_info(name, "lost behind its tag");
	text = capture_end(capture);
	assert_int_equal(line_cnt(text), 2);
	assert_true(strlen(text) <= 2 * 1024);
	assert_int_equal(text[strlen(text) - 1], '\n');
}

static void *log_many(void *arg)
{
	for (int i = 0; i < 100; i++)
		log_info("thread", "%s", (const char *)arg);
	return NULL;
}

static void test_threads_do_not_mix(void **state)
{
	static char words[4][2] = {"a", "b", "c", "d"};
	struct capture *capture = *state;
	pthread_t threads[4];
	char *text;
	char *line;
	char *rest;
	unsigned cnt = 0;

	capture_begin(capture);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, log_many, words[i]), 0);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	capture_end(capture);
	text = capture->text;
	for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		assert_int_equal(strlen(line), strlen("2024-01-02T03:04:05.678Z info  thread: a"));
		cnt++;
	}
	assert_int_equal(cnt, 400);
}

static void test_limit(void **state)
{
	struct log_limit limit = {0};
	const uint64_t start_ns = 1000;
	unsigned suppressed = 99;

	(void)state;
	for (unsigned i = 0; i < BURST; i++) {
		assert_true(log_limit_pass(&limit, start_ns + i, &suppressed));
		assert_int_equal(suppressed, 0);
	}
	for (unsigned i = 0; i < 7; i++)
		assert_false(log_limit_pass(&limit, start_ns + WINDOW_NS - 1, &suppressed));
	/* A new window: the first line says how many were held back, the next ones do not. */
	assert_true(log_limit_pass(&limit, start_ns + WINDOW_NS, &suppressed));
	assert_int_equal(suppressed, 7);
	assert_true(log_limit_pass(&limit, start_ns + WINDOW_NS, &suppressed));
	assert_int_equal(suppressed, 0);
	for (unsigned i = 2; i < BURST; i++)
		assert_true(log_limit_pass(&limit, start_ns + WINDOW_NS, &suppressed));
	assert_false(log_limit_pass(&limit, start_ns + WINDOW_NS, &suppressed));
}

static void test_limits_are_independent(void **state)
{
	struct log_limit a = {0};
	struct log_limit b = {0};
	unsigned suppressed;

	(void)state;
	for (unsigned i = 0; i < 2 * BURST; i++)
		(void)log_limit_pass(&a, 1000, &suppressed);
	assert_false(log_limit_pass(&a, 1000, &suppressed));
	assert_true(log_limit_pass(&b, 1000, &suppressed));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_level_names),
		cmocka_unit_test_setup_teardown(test_line, setup, teardown),
		cmocka_unit_test_setup_teardown(test_line_without_tag, setup, teardown),
		cmocka_unit_test_setup_teardown(test_levels, setup, teardown),
		cmocka_unit_test_setup_teardown(test_control_characters, setup, teardown),
		cmocka_unit_test_setup_teardown(test_long_line, setup, teardown),
		cmocka_unit_test_setup_teardown(test_threads_do_not_mix, setup, teardown),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_limits_are_independent),
	};

	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
