/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding vCPU threads in recorded /proc trees and among our own threads; the `vcpus` key.
 * Not what placement makes of them: test_placement.c.
 */
#include "fake_host.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/cpuset.h"
#include "worker/vcpus.h"

#define PID 4242

static struct vcpu vcpus[VCPUS_MAX];

static void write_stat(int tid, const char *name, int cpu)
{
	char text[256];

	snprintf(text, sizeof(text),
		 "%d (%s) S 1 1 1 0 -1 4194304 97 0 0 0 0 0 0 0 20 0 1 0 584443 3133440 360 "
		 "18446744073709551615 1 1 1 0 0 0 0 0 0 0 0 0 17 %d 0 0 0 0 0\n",
		 tid, name, cpu);
	fake_write(text, "%d/task/%d/stat", PID, tid);
}

static void write_task(int tid, const char *name, const char *cpus, int last_cpu)
{
	char text[256];

	snprintf(text, sizeof(text), "%s\n", name);
	fake_write(text, "%d/task/%d/comm", PID, tid);
	snprintf(text, sizeof(text),
		 "Name:\t%s\nState:\tS (sleeping)\nCpus_allowed:\tff\nCpus_allowed_list:\t%s\n"
		 "Mems_allowed_list:\t0\n",
		 name, cpus);
	fake_write(text, "%d/task/%d/status", PID, tid);
	write_stat(tid, name, last_cpu);
}

static void assert_vcpu(unsigned i, pid_t tid, const char *cpus, int last_cpu)
{
	char text[64];

	assert_true(vcpus[i].known);
	assert_int_equal(vcpus[i].tid, tid);
	assert_int_equal(vcpus[i].last_cpu, last_cpu);
	cpuset_format(&vcpus[i].cpus, text, sizeof(text));
	assert_string_equal(text, cpus);
}

static void test_front_ends(void **state)
{
	static const struct {
		const char *before;
		const char *after;
	} rows[] = {{"CPU ", "/KVM"},
		    {"CPU ", "/TCG"},
		    {"vcpu", ""},
		    {"crosvm_vcpu", ""},
		    {"fc_vcpu ", ""}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *root = fake_root_new();
		char name[32];

		write_task(PID, "main", "0-7", 0);
		write_task(PID + 1, "IO mon_iothread", "0-7", 0);
		for (int n = 0; n < 12; n++) {
			char cpus[16];

			snprintf(name, sizeof(name), "%s%d%s", rows[i].before, n, rows[i].after);
			snprintf(cpus, sizeof(cpus), "%d,%d", n, n + 20);
			write_task(PID + 10 + n, name, cpus, n + 20);
		}
		assert_int_equal(vcpus_discover(root, PID, vcpus, VCPUS_MAX), 12);
		for (unsigned n = 0; n < 12; n++) {
			char cpus[16];

			snprintf(cpus, sizeof(cpus), "%u,%u", n, n + 20);
			assert_vcpu(n, (pid_t)(PID + 10 + n), cpus, (int)n + 20);
		}
		fake_root_delete();
	}
}

static void test_one_thread_for_all(void **state)
{
	const char *root = fake_root_new();

	(void)state;
	write_task(PID, "qemu-system-x86", "0-1", 0);
	write_task(PID + 1, "ALL CPUs/TCG", "1", 1);
	assert_int_equal(vcpus_discover(root, PID, vcpus, VCPUS_MAX), 1);
	assert_vcpu(0, PID + 1, "1", 1);
	fake_root_delete();
}

static void test_other_names(void **state)
{
	static const char *const names[] = {
		"qemu-system-x86", "CPU 0",         "CPU /KVM",       "CPU 0/",    "CPU 0/KVMx",
		"CPU -1/KVM",      "CPU 0x1/KVM",   "vcpu",           "vcpu0x",    "vcpu 0",
		"fc_vcpu",         "fc_vcpu0",      "crosvm_vcpu",    "Xvcpu0",    "",
		"CPU 1024/KVM",    "vcpu999999999", "vcpu4294967296", "CPU 0/XEN",
	};
	const char *root = fake_root_new();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		write_task(PID + (int)i, names[i], "0", 0);
	fake_write("vcpu0\n", "%d/task/self/comm", PID);
	fake_write("vcpu0\n", "%d/task/12x/comm", PID);
	fake_write("vcpu0\n", "%d/task/99999999999/comm", PID);
	fake_write("", "%d/task/77", PID);
	assert_int_equal(vcpus_discover(root, PID, vcpus, VCPUS_MAX), 0);
	fake_root_delete();
}

static void test_holes_and_doubles(void **state)
{
	const char *root = fake_root_new();

	(void)state;
	write_task(PID + 9, "CPU 3/KVM", "3", 3);
	write_task(PID + 2, "CPU 1/KVM", "1", 1);
	write_task(PID + 7, "CPU 1/KVM", "7", 7);
	assert_int_equal(vcpus_discover(root, PID, vcpus, VCPUS_MAX), 4);
	assert_false(vcpus[0].known);
	assert_vcpu(1, PID + 2, "1", 1);
	assert_false(vcpus[2].known);
	assert_vcpu(3, PID + 9, "3", 3);
	/* Only as many as there is room for. */
	memset(&vcpus[3], 0xaa, sizeof(vcpus[3]));
	assert_int_equal(vcpus_discover(root, PID, vcpus, 3), 2);
	assert_int_equal(vcpus[3].tid, (int)0xaaaaaaaa);
	fake_root_delete();
}

static void test_files_missing_or_spoilt(void **state)
{
	const char *root = fake_root_new();
	char *groups = malloc(80000);

	(void)state;
	assert_non_null(groups);
	fake_write("vcpu0\n", "%d/task/1/comm", PID);
	/* A name that looks like the fields that follow it. */
	write_task(2, "vcpu1", "1", 1);
	write_stat(2, "a) S 1 (b c) d", 5);
	write_task(3, "vcpu2", "nonsense", 1);
	fake_write("3 (vcpu2) S 1 1\n", "%d/task/3/stat", PID);
	write_task(4, "vcpu3", "3", 99999);
	/* A line of groups that is far longer than any buffer, and holds the key as well. */
	snprintf(groups, 80000, "Name:\tvcpu4\nGroups:\t1 2 3 4 5 ");
	for (size_t at = strlen(groups); at < 70000; at += 18)
		memcpy(groups + at, "Cpus_allowed_list:", 19);
	strncat(groups, "\nCpus_allowed_list:\t6-7\n", 100);
	write_task(5, "vcpu4", "", 4);
	fake_write(groups, "%d/task/5/status", PID);
	write_task(6, "vcpu5", "5", 5);
	fake_delete("%d/task/6/status", PID);
	assert_int_equal(vcpus_discover(root, PID, vcpus, VCPUS_MAX), 6);
	assert_vcpu(0, 1, "", -1);
	assert_vcpu(1, 2, "1", 5);
	assert_vcpu(2, 3, "", -1);
	assert_vcpu(3, 4, "3", -1);
	assert_vcpu(4, 5, "6-7", 4);
	assert_vcpu(5, 6, "", 5);
	fake_root_delete();
	free(groups);
}

static void test_no_process(void **state)
{
	const char *root = fake_root_new();
	char longer[600];

	(void)state;
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(vcpus_discover(root, PID, vcpus, VCPUS_MAX), 0);
	write_task(1, "vcpu0", "0", 0);
	assert_int_equal(vcpus_discover(root, 0, vcpus, VCPUS_MAX), 0);
	assert_int_equal(vcpus_discover(root, -1, vcpus, VCPUS_MAX), 0);
	assert_int_equal(vcpus_discover(longer, PID, vcpus, VCPUS_MAX), 0);
	assert_int_equal(vcpus_discover(root, PID, vcpus, 0), 0);
	assert_int_equal(vcpus_discover(root, PID, vcpus, 1), 1);
	fake_root_delete();
}

struct vcpu_thread {
	pthread_t thread;
	const char *name;
	int cpu;
	pid_t tid;
	sem_t ready;
	sem_t leave;
};

static void *be_a_vcpu(void *arg)
{
	struct vcpu_thread *self = arg;

	self->tid = gettid();
	if (prctl(PR_SET_NAME, self->name) || cpuset_pin_self(self->cpu))
		self->tid = -1;
	sem_post(&self->ready);
	sem_wait(&self->leave);
	return NULL;
}

static void test_real_threads(void **state)
{
	struct vcpu_thread threads[] = {{.name = "CPU 0/KVM"}, {.name = "CPU 1/KVM"}};
	cpu_set_t allowed;
	int cpu = 0;

	(void)state;
	assert_int_equal(cpuset_allowed(&allowed), 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
		/* Different CPUs if there are two. */
		while (cpu < CPU_SETSIZE - 1 && !CPU_ISSET(cpu, &allowed))
			cpu++;
		if (CPU_ISSET(cpu, &allowed))
			threads[i].cpu = cpu++;
		else
			threads[i].cpu = threads[0].cpu;
		sem_init(&threads[i].ready, 0, 0);
		sem_init(&threads[i].leave, 0, 0);
		assert_int_equal(pthread_create(&threads[i].thread, NULL, be_a_vcpu, &threads[i]),
				 0);
		sem_wait(&threads[i].ready);
	}
	assert_int_equal(vcpus_discover(NULL, getpid(), vcpus, VCPUS_MAX), 2);
	for (unsigned i = 0; i < ARRAY_LEN(threads); i++) {
		char text[16];

		snprintf(text, sizeof(text), "%d", threads[i].cpu);
		assert_vcpu(i, threads[i].tid, text, threads[i].cpu);
		sem_post(&threads[i].leave);
		pthread_join(threads[i].thread, NULL);
	}
	/* They are gone, and with them what was known. */
	assert_int_equal(vcpus_discover(NULL, getpid(), vcpus, VCPUS_MAX), 0);
}

static void test_key(void **state)
{
	struct err err = ERR_INIT;
	unsigned cnt;

	(void)state;
	assert_int_equal(vcpus_parse("9,4-6,0", vcpus, VCPUS_MAX, &cnt, &err), 0);
	assert_int_equal(cnt, 5);
	assert_vcpu(0, 0, "9", 9);
	assert_vcpu(1, 0, "4", 4);
	assert_vcpu(2, 0, "5", 5);
	assert_vcpu(3, 0, "6", 6);
	assert_vcpu(4, 0, "0", 0);
	assert_int_equal(vcpus_parse("0-1023", vcpus, 3, &cnt, &err), 0);
	assert_int_equal(cnt, 3);
	assert_int_equal(vcpus_parse("0-1023", vcpus, VCPUS_MAX, &cnt, &err), 0);
	assert_int_equal(cnt, 1024);
	assert_vcpu(1023, 0, "1023", 1023);
	assert_int_equal(vcpus_parse("1,1", vcpus, VCPUS_MAX, &cnt, &err), -EINVAL);
	assert_int_equal(cnt, 0);
	assert_string_equal(err.text, "CPU list '1,1': CPU 1 appears twice; name each CPU once");
}

static void test_source_names(void **state)
{
	(void)state;
	assert_string_equal(vcpu_source_name(VCPU_SOURCE_THREADS), "threads");
	assert_string_equal(vcpu_source_name(VCPU_SOURCE_VCPUS), "vcpus");
	assert_string_equal(vcpu_source_name(VCPU_SOURCE_ORDER), "order");
	assert_null(vcpu_source_name(VCPU_SOURCE_MAX_));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_front_ends),
		cmocka_unit_test(test_one_thread_for_all),
		cmocka_unit_test(test_other_names),
		cmocka_unit_test(test_holes_and_doubles),
		cmocka_unit_test(test_files_missing_or_spoilt),
		cmocka_unit_test(test_no_process),
		cmocka_unit_test(test_real_threads),
		cmocka_unit_test(test_key),
		cmocka_unit_test(test_source_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
