/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disks that are added, removed and resized while others are served, and the daemon's end in the
 * middle of it. Not keys that are set (test_operate.c).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/signals.h"
#include "base/clock.h"
#include "app/disk.h"
#include "daemon_rig.h"

/* A removal's deadline comes at once when it is wanted so. */
static bool hasty;

void __real_evloop_timer_set(struct evloop *loop, struct evloop_timer *timer, uint64_t deadline_ns);
void __wrap_evloop_timer_set(struct evloop *loop, struct evloop_timer *timer, uint64_t deadline_ns);

void __wrap_evloop_timer_set(struct evloop *loop, struct evloop_timer *timer, uint64_t deadline_ns)
{
	__real_evloop_timer_set(loop, timer, hasty ? clock_now_ns() : deadline_ns);
}

static unsigned fd_count(void)
{
	unsigned cnt = 0;
	DIR *dir = opendir("/proc/self/fd");

	assert_non_null(dir);
	while (readdir(dir))
		cnt++;
	closedir(dir);
	return cnt;
}

static void begin(struct rig *rig)
{
	hasty = false;
	rig_prepare(rig);
	rig_key(rig, "rebalance-s", "0");
	rig_disk(rig, "a,backend=ram,size=1M,queues=2");
	rig_start(rig);
}

static bool is_there(const struct rig *rig, const char *name)
{
	return access(rig_path(rig, name, "sock"), F_OK) == 0;
}

static void test_add_and_remove(void **state)
{
	struct guest guest_a;
	struct guest guest_b;
	struct rig rig;
	unsigned fds;

	(void)state;
	begin(&rig);
	guest_start(&rig, &guest_a, "a", 2);
	fds = fd_count();
	for (unsigned lap = 0; lap < 5; lap++) {
		rig_add(&rig, "{'name': 'b', 'backend': 'ram', 'size': '1M', 'queues': 4}", 0,
			NULL);
		assert_int_equal(daemon_cnt(rig.daemon, CONFIG_DISK), 2);
		assert_int_equal(
			served_front_state(served_front(daemon_find(rig.daemon, CONFIG_DISK, "b"))),
			FRONT_WAITING);
		guest_start(&rig, &guest_b, "b", 4);
		assert_int_equal(
			served_front_state(served_front(daemon_find(rig.daemon, CONFIG_DISK, "b"))),
			FRONT_CONNECTED);
		guest_progress(&rig, &guest_a);
		/* Once with its guest, once without. */
		if (lap % 2)
			guest_end(&rig, &guest_b);
		rig_remove(&rig, "b", 0, NULL);
		assert_int_equal(daemon_cnt(rig.daemon, CONFIG_DISK), 1);
		assert_int_equal(rig.config.lists[CONFIG_DISK].cnt, 1);
		assert_null(disk_of(daemon_find(rig.daemon, CONFIG_DISK, "b")));
		assert_false(is_there(&rig, "b"));
		if (lap % 2 == 0)
			guest_end(&rig, &guest_b);
		guest_progress(&rig, &guest_a);
	}
	assert_int_equal(fd_count(), fds);
	guest_end(&rig, &guest_a);
	rig_stop(&rig);
}

/* The first of two goes, and the other is found and served as before. */
static void test_removal_of_the_first(void **state)
{
	struct guest guest;
	struct rig rig;

	(void)state;
	begin(&rig);
	rig_add(&rig, "{'name': 'b', 'backend': 'ram', 'size': '1M', 'queues': 2}", 0, NULL);
	guest_start(&rig, &guest, "b", 2);
	rig_remove(&rig, "a", 0, NULL);
	assert_ptr_equal(disk_of(daemon_at(rig.daemon, CONFIG_DISK, 0)),
			 disk_of(daemon_find(rig.daemon, CONFIG_DISK, "b")));
	rig_set_disk(&rig, "b", "{'poll': 'never'}", 0, NULL);
	rig_set_disk(&rig, "b", "{'poll': 'x'}", -EINVAL,
		     "disk b.poll: \"x\" is none of the choices (allowed: adaptive, always, "
		     "never)");
	guest_progress(&rig, &guest);
	guest_end(&rig, &guest);
	rig_stop(&rig);
}

/* A file that looks like qcow2. */
static void make_qcow2(const struct rig *rig, const char *name)
{
	static const char head[1024] = "QFI\xfb\0\0\0\3";
	FILE *file = fopen(rig_path(rig, name, "raw"), "we");

	assert_non_null(file);
	assert_int_equal(fwrite(head, sizeof(head), 1, file), 1);
	fclose(file);
}

/* Each at a later step; nothing of the disk is left. */
static void test_adding_fails(void **state)
{
	char spec[256];
	struct rig rig;
	unsigned fds;

	(void)state;
	begin(&rig);
	fds = fd_count();
	rig_add(&rig, "{'name': 'b', 'backend': 'null', 'size': '1M', 'queues': 0}", -EINVAL,
		"disk b.queues: 0 is below the minimum of 1 (allowed: 1 to 256)");
	rig_add(&rig, "{'name': 'a', 'backend': 'null', 'size': '1M', 'socket': '/tmp/x'}", -EINVAL,
		"disk a.name: \"a\" is already the name of another disk");
	rig_add(&rig, "{'name': 'b', 'path': '/no/such/file'}", -EINVAL,
		"disk b.path: /no/such/file does not exist;...");
	make_qcow2(&rig, "cow");
	snprintf(spec, sizeof(spec), "{'name': 'b', 'path': '%s', 'cache': 'writeback'}",
		 rig_path(&rig, "cow", "raw"));
	rig_add(&rig, spec, -EINVAL, "disk b.path:...");
	/* The endpoint: another disk's socket under another name, which is alive. */
	assert_int_equal(link(rig_path(&rig, "a", "sock"), rig_path(&rig, "twin", "sock")), 0);
	snprintf(spec, sizeof(spec),
		 "{'name': 'b', 'backend': 'null', 'size': '1M', 'socket': '%s'}",
		 rig_path(&rig, "twin", "sock"));
	rig_add(&rig, spec, -EINVAL, "disk b.socket: somebody listens on ...");
	assert_int_equal(fd_count(), fds);
	assert_int_equal(daemon_cnt(rig.daemon, CONFIG_DISK), 1);
	assert_int_equal(rig.config.lists[CONFIG_DISK].cnt, 1);
	rig_add(&rig, "{'name': 'b', 'backend': 'null', 'size': '1M'}", 0, NULL);
	rig_stop(&rig);
}

static void test_start_without_disks(void **state)
{
	struct guest guest;
	struct rig rig;

	(void)state;
	hasty = false;
	rig_prepare(&rig);
	rig_start(&rig);
	assert_int_equal(daemon_cnt(rig.daemon, CONFIG_DISK), 0);
	rig_set_daemon(&rig, "{'poll': 'never'}", 0, NULL);
	rig_add(&rig, "{'name': 'a', 'backend': 'null', 'size': '1M'}", 0, NULL);
	assert_int_equal(config_disk_at(&rig.config, 0)->front.poll, POLL_MODE_NEVER);
	guest_start(&rig, &guest, "a", 2);
	guest_end(&rig, &guest);
	rig_remove(&rig, "a", 0, NULL);
	rig_stop(&rig);
}

#define SLOW(us) "{'name': 's', 'backend': 'flash', 'size': '1M', 'read-us': " us "}"

/* Operations on a disk wait for its removal, those on others do not. */
static void test_removal_drains(void **state)
{
	static struct asked removal;
	static struct asked again;
	struct guest guest;
	struct rig rig;

	(void)state;
	begin(&rig);
	rig_add(&rig, SLOW("300000"), 0, NULL);
	guest_start_one(&rig, &guest, "s");
	rig_until(&rig, served_front_state(served_front(
				daemon_find(rig.daemon, CONFIG_DISK, "s"))) == FRONT_CONNECTED);
	operate_remove(rig.daemon, CONFIG_DISK, "s", ask(&removal));
	operate_remove(rig.daemon, CONFIG_DISK, "s", ask(&again));
	rig_set_disk(&rig, "a", "{'poll': 'never'}", 0, NULL);
	if (!removal.answered)
		assert_int_equal(
			served_front_state(served_front(daemon_find(rig.daemon, CONFIG_DISK, "s"))),
			FRONT_DRAINING);
	rig_answer(&rig, &removal, 0, NULL);
	rig_answer(&rig, &again, -ENOENT, "no disk is named \"s\" (there are: a)");
	guest_end(&rig, &guest);
	rig_stop(&rig);
}

static void test_removal_takes_too_long(void **state)
{
	struct guest guest;
	struct rig rig;

	(void)state;
	begin(&rig);
	rig_add(&rig, SLOW("2000000"), 0, NULL);
	guest_start_one(&rig, &guest, "s");
	hasty = true;
	rig_remove(&rig, "s", -EBUSY,
		   "disk s: not drained within 10 s: requests are still with its storage; it is "
		   "gone when they are done");
	hasty = false;
	assert_int_equal(
		served_front_state(served_front(daemon_find(rig.daemon, CONFIG_DISK, "s"))),
		FRONT_DRAINING);
	rig_set_disk(&rig, "s", "{'poll': 'never'}", -EBUSY,
		     "disk s: is being removed: it is gone when it is drained");
	rig_remove(&rig, "s", -EBUSY, "disk s: is being removed: it is gone when it is drained");
	rig_add(&rig, "{'name': 's', 'backend': 'null', 'size': '1M', 'socket': '/tmp/x'}", -EINVAL,
		"disk s.name: \"s\" is already the name of another disk");
	/* The others live on. */
	rig_set_daemon(&rig, "{'poll': 'never'}", 0, NULL);
	rig_until(&rig, !disk_of(daemon_find(rig.daemon, CONFIG_DISK, "s")));
	rig_add(&rig, SLOW("0"), 0, NULL);
	guest_end(&rig, &guest);
	rig_stop(&rig);
}

/* The daemon ends: what runs is finished, what waits is told so. */
static void test_end_in_the_middle(void **state)
{
	static struct asked removal;
	static struct asked waiting;
	static struct asked late;
	struct guest guest;
	struct rig rig;
	json_t *changes = rig_json("{'poll': 'never'}");

	(void)state;
	begin(&rig);
	rig_add(&rig, SLOW("300000"), 0, NULL);
	guest_start_one(&rig, &guest, "s");
	operate_remove(rig.daemon, CONFIG_DISK, "s", ask(&removal));
	operate_set(rig.daemon, CONFIG_DISK, "s", changes, ask(&waiting));
	operate_set_daemon(rig.daemon, changes, ask(&late));
	json_decref(changes);
	assert_false(removal.answered);
	rig_stop(&rig);
	assert_true(removal.answered);
	assert_int_equal(removal.status, 0);
	assert_true(waiting.answered);
	assert_int_equal(waiting.status, -EBUSY);
	assert_string_equal(waiting.line[0], "the daemon is ending");
	assert_true(late.answered);
	assert_int_equal(late.status, -EBUSY);
	assert_int_equal(pthread_join(guest.thread, NULL), 0);
}

static void test_resize(void **state)
{
	char line[ERR_TEXT_BYTES];
	char spec[256];
	struct guest guest;
	struct disk *disk;
	struct rig rig;
	struct stat st;

	(void)state;
	begin(&rig);
	rig_image(&rig, "f", 1 << 20);
	snprintf(spec, sizeof(spec),
		 "{'name': 'f', 'path': '%s', 'queues': 2, 'cache': 'writeback', 'block-size': "
		 "4096}",
		 rig_path(&rig, "f", "raw"));
	rig_add(&rig, spec, 0, NULL);
	guest_start(&rig, &guest, "f", 2);
	disk = disk_of(daemon_find(rig.daemon, CONFIG_DISK, "f"));
	rig_resize(&rig, "f", "3M", 0, NULL);
	assert_int_equal(storage_info(disk->storage)->capacity_bytes, 3 << 20);
	assert_int_equal(stat(rig_path(&rig, "f", "raw"), &st), 0);
	assert_int_equal(st.st_size, 3 << 20);
	rig_resize(&rig, "f", "3M", 0, NULL);
	rig_resize(&rig, "f", "2M", -EINVAL,
		   "disk f.size: 2097152 is less than the 3145728 bytes that it has: a disk that "
		   "runs only grows");
	rig_resize(&rig, "f", "3146240", -EINVAL,
		   "disk f.size: 3146240 is not a multiple of the disk's blocks of 4096 bytes");
	rig_resize(&rig, "f", "big", -EINVAL,
		   "disk f.size: \"big\" is not a size (allowed: 512 to 1048576T, suffixes K, M, "
		   "G, T)");
	rig_resize(&rig, "a", "2M", -EINVAL,
		   "disk a.size: only a disk of backend file can be resized; remove the disk and "
		   "add it anew");
	/* Another file has taken its place: what is served is not what was grown. */
	assert_int_equal(rename(rig_path(&rig, "f", "raw"), rig_path(&rig, "g", "raw")), 0);
	rig_image(&rig, "f", 1 << 20);
	snprintf(line, sizeof(line),
		 "disk f.size: %s has 3145728 bytes; a block device is made bigger with its own "
		 "tools first, and a file that took another's place is not served",
		 rig_path(&rig, "f", "raw"));
	rig_resize(&rig, "f", "4M", -EINVAL, line);
	guest_progress(&rig, &guest);
	guest_end(&rig, &guest);

	snprintf(spec, sizeof(spec),
		 "{'name': 'r', 'path': '%s', 'read-only': true, 'cache': 'writeback'}",
		 rig_path(&rig, "f", "raw"));
	rig_add(&rig, spec, 0, NULL);
	rig_resize(&rig, "r", "8M", -EINVAL, "disk r.size: a read-only disk is not resized");
	rig_stop(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_add_and_remove),
		cmocka_unit_test(test_removal_of_the_first),
		cmocka_unit_test(test_adding_fails),
		cmocka_unit_test(test_start_without_disks),
		cmocka_unit_test(test_removal_drains),
		cmocka_unit_test(test_removal_takes_too_long),
		cmocka_unit_test(test_end_in_the_middle),
		cmocka_unit_test(test_resize),
	};

	signals_block();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
