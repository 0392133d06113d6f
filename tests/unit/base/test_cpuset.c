/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPU lists: every right and wrong form with its message, and pinning. Not placement.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/cpuset.h"

#define HINT "; give CPU numbers and ranges such as 0,2-3"

static void test_right_forms(void **state)
{
	static const struct {
		const char *text;
		const char *canonical;
		int cnt;
	} rows[] = {
		{"0", "0", 1},         {"2-3,5", "2-3,5", 3},      {"5,3,2", "2-3,5", 3},
		{"4-4", "4", 1},       {"0,1,2,3", "0-3", 4},      {"0-1,3-4", "0-1,3-4", 4},
		{"007", "7", 1},       {"0-1023", "0-1023", 1024}, {"1023", "1023", 1},
		{"62-66", "62-66", 5},
	};
	char buf[64];
	cpu_set_t set;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct err err = ERR_INIT;

		assert_int_equal(cpuset_parse(rows[i].text, &set, &err), 0);
		assert_string_equal(err.text, "");
		assert_int_equal(CPU_COUNT(&set), rows[i].cnt);
		cpuset_format(&set, buf, sizeof(buf));
		assert_string_equal(buf, rows[i].canonical);
	}
}

static void test_wrong_forms(void **state)
{
	static const struct {
		const char *text;
		const char *message;
	} rows[] = {
		{"", "CPU list is empty" HINT},
		{",", "CPU list ',' has an empty part" HINT},
		{"1,", "CPU list '1,' has an empty part" HINT},
		{",1", "CPU list ',1' has an empty part" HINT},
		{"1,,2", "CPU list '1,,2' has an empty part" HINT},
		{"3-1", "CPU list '3-1': range '3-1' is reversed; write 1-3"},
		{"0,9-8", "CPU list '0,9-8': range '9-8' is reversed; write 8-9"},
		{"1,1", "CPU list '1,1': CPU 1 appears twice; name each CPU once"},
		{"0-3,2", "CPU list '0-3,2': CPU 2 appears twice; name each CPU once"},
		{"2,0-3", "CPU list '2,0-3': CPU 2 appears twice; name each CPU once"},
		{"1024", "CPU list '1024': '1024' is out of range; CPU numbers are 0 to 1023"},
		{"0-1024",
		 "CPU list '0-1024': '0-1024' is out of range; CPU numbers are 0 to 1023"},
		{"99999999999999999999",
		 "CPU list '99999999999999999999': '99999999999999999999' is out of range; "
		 "CPU numbers are 0 to 1023"},
		{"4294967296",
		 "CPU list '4294967296': '4294967296' is out of range; CPU numbers are 0 to 1023"},
		{"a", "CPU list 'a': 'a' is neither a CPU number nor a range" HINT},
		{"1,x-2", "CPU list '1,x-2': 'x-2' is neither a CPU number nor a range" HINT},
		{"-1", "CPU list '-1': '-1' is neither a CPU number nor a range" HINT},
		{"1-", "CPU list '1-': '1-' is neither a CPU number nor a range" HINT},
		{"-", "CPU list '-': '-' is neither a CPU number nor a range" HINT},
		{"1-2-3", "CPU list '1-2-3': '1-2-3' is neither a CPU number nor a range" HINT},
		{"1--2", "CPU list '1--2': '1--2' is neither a CPU number nor a range" HINT},
		{"+1", "CPU list '+1': '+1' is neither a CPU number nor a range" HINT},
		{"0x1", "CPU list '0x1': '0x1' is neither a CPU number nor a range" HINT},
		{"1, 2", "CPU list '1, 2': ' 2' is neither a CPU number nor a range" HINT},
		{"1 ", "CPU list '1 ': '1 ' is neither a CPU number nor a range" HINT},
		{"1;2", "CPU list '1;2': '1;2' is neither a CPU number nor a range" HINT},
		{"all", "CPU list 'all': 'all' is neither a CPU number nor a range" HINT},
		{"1\n", "CPU list '1?': '1?' is neither a CPU number nor a range" HINT},
	};
	cpu_set_t set;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct err err = ERR_INIT;

		assert_int_equal(cpuset_parse(rows[i].text, &set, &err), -EINVAL);
		assert_int_equal(err.code, EINVAL);
		assert_string_equal(err.text, rows[i].message);
		assert_int_equal(cpuset_parse(rows[i].text, &set, NULL), -EINVAL);
	}
}

static void test_very_long_list(void **state)
{
	struct err err = ERR_INIT;
	char text[2048];
	cpu_set_t set;

	(void)state;
	memset(text, '1', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(cpuset_parse(text, &set, &err), -EINVAL);
	/* The hint at the end is not cut off. */
	assert_non_null(strstr(err.text, HINT));
}

static void test_format_empty(void **state)
{
	char buf[8] = "xxxxxxx";
	cpu_set_t set;

	(void)state;
	CPU_ZERO(&set);
	cpuset_format(&set, buf, sizeof(buf));
	assert_string_equal(buf, "");
}

static void test_format_is_always_terminated(void **state)
{
	struct err err = ERR_INIT;
	char buf[16];
	cpu_set_t set;

	(void)state;
	assert_int_equal(cpuset_parse("10-13,20,30-35", &set, &err), 0);
	for (size_t size = 0; size < sizeof(buf); size++) {
		memset(buf, '#', sizeof(buf));
		cpuset_format(&set, buf, size);
		assert_int_equal(buf[size], '#');
		if (size > 0) {
			assert_non_null(memchr(buf, '\0', size));
			assert_memory_equal(buf, "10-13,20,30-35", strlen(buf));
		}
	}
}

static void *pin_thread(void *arg)
{
	int *cpu = arg;
	cpu_set_t set;
	int allowed = *cpu;

	*cpu = -1;
	if (cpuset_pin_self(allowed) == 0 && cpuset_allowed(&set) == 0 && CPU_COUNT(&set) == 1 &&
	    CPU_ISSET(allowed, &set) && sched_getcpu() == allowed)
		*cpu = allowed;
	return NULL;
}

static void test_pin_each_allowed_cpu(void **state)
{
	cpu_set_t before;
	cpu_set_t after;
	pthread_t thread;

	(void)state;
	assert_int_equal(cpuset_allowed(&before), 0);
	assert_true(CPU_COUNT(&before) > 0);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		int result = cpu;

		if (!CPU_ISSET(cpu, &before))
			continue;
		assert_int_equal(pthread_create(&thread, NULL, pin_thread, &result), 0);
		assert_int_equal(pthread_join(thread, NULL), 0);
		assert_int_equal(result, cpu);
	}
	/* Only the threads were pinned. */
	assert_int_equal(cpuset_allowed(&after), 0);
	assert_true(CPU_EQUAL(&before, &after));
}

static void test_pin_refused(void **state)
{
	cpu_set_t before;
	cpu_set_t after;

	(void)state;
	assert_int_equal(cpuset_allowed(&before), 0);
	assert_int_equal(cpuset_pin_self(-1), -EINVAL);
	assert_int_equal(cpuset_pin_self(CPU_SETSIZE), -EINVAL);
	assert_int_equal(cpuset_pin_self(CPU_SETSIZE - 1), -EINVAL);
	assert_int_equal(cpuset_allowed(&after), 0);
	assert_true(CPU_EQUAL(&before, &after));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_right_forms),
		cmocka_unit_test(test_wrong_forms),
		cmocka_unit_test(test_very_long_list),
		cmocka_unit_test(test_format_empty),
		cmocka_unit_test(test_format_is_always_terminated),
		cmocka_unit_test(test_pin_each_allowed_cpu),
		cmocka_unit_test(test_pin_refused),
	};

	return cmocka_run_group_tests_name("cpuset", tests, NULL, NULL);
}
