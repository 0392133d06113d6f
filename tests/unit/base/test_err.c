/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Error values: code, text, prefix, truncation. Not the texts of any module.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"

static void test_set(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(err.code, 0);
	assert_string_equal(err.text, "");
	assert_int_equal(err_set(&err, EINVAL, "disk %s: %d", "vda", 7), -EINVAL);
	assert_int_equal(err.code, EINVAL);
	assert_string_equal(err.text, "disk vda: 7");
}

static void test_null_is_allowed(void **state)
{
	(void)state;
	assert_int_equal(err_set(NULL, ENOENT, "nobody hears this"), -ENOENT);
	err_prefix(NULL, "nor this");
}

static void test_errno_in_text(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	errno = ENOENT;
	err_set(&err, errno, "cannot open: %m");
	assert_string_equal(err.text, "cannot open: No such file or directory");
}

static void test_stays_one_line(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	err_set(&err, EINVAL, "path '%s'", "a\nb\tc\x1b[31m\x7f");
	assert_string_equal(err.text, "path 'a?b?c?[31m?'");
	err_prefix(&err, "disk '%s'", "x\ry");
	assert_string_equal(err.text, "disk 'x?y': path 'a?b?c?[31m?'");
}

static void test_utf8_is_kept(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	err_set(&err, EINVAL,
		"path 'Gr\xc3\xbc\xc3\x9f"
		"e'");
	assert_string_equal(err.text, "path 'Gr\xc3\xbc\xc3\x9f"
				      "e'");
}

static void test_prefix(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	err_set(&err, ERANGE, "0 is below the minimum of 1");
	err_prefix(&err, "%s", "queues");
	err_prefix(&err, "disks[%d]", 1);
	assert_string_equal(err.text, "disks[1]: queues: 0 is below the minimum of 1");
	assert_int_equal(err.code, ERANGE);
}

static void test_long_text_is_cut(void **state)
{
	struct err err = ERR_INIT;
	char text[2 * ERR_TEXT_BYTES];

	(void)state;
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	err_set(&err, EINVAL, "%s", text);
	assert_int_equal(strlen(err.text), ERR_TEXT_BYTES - 1);
	/* The prefix stays whole: it names the object. */
	err_prefix(&err, "disk vda");
	assert_memory_equal(err.text, "disk vda: xxx", 13);
	assert_int_equal(strlen(err.text), ERR_TEXT_BYTES - 1);
	/* A prefix that is too long itself leaves room for the cause. */
	err_set(&err, EINVAL, "the cause");
	err_prefix(&err, "%s", text);
	assert_true(strlen(err.text) < ERR_TEXT_BYTES);
	assert_non_null(strstr(err.text, "x: the cause"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_set),
		cmocka_unit_test(test_null_is_allowed),
		cmocka_unit_test(test_errno_in_text),
		cmocka_unit_test(test_stays_one_line),
		cmocka_unit_test(test_utf8_is_kept),
		cmocka_unit_test(test_prefix),
		cmocka_unit_test(test_long_text_is_cut),
	};

	return cmocka_run_group_tests_name("err", tests, NULL, NULL);
}
