/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The affinity of completions on machines that are not there: disks, partitions, mapped devices
 * and what refuses. Not what the kernel does with it.
 */
#include "../worker/fake_host.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cpuset.h"
#include "storage/blockdev_affinity.h"

static const char *root;

static int setup(void **state)
{
	(void)state;
	root = fake_root_new();
	/* As in sysfs: what is not permitted is the file, for some tests are another user's. */
	assert_int_equal(chmod(root, 0755), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_root_delete();
	return 0;
}

static void make_link(const char *target, const char *name)
{
	char path[512];

	/* Makes the directories. */
	fake_write("", "%s.made", name);
	fake_delete("%s.made", name);
	snprintf(path, sizeof(path), "%s/%s", root, name);
	assert_int_equal(symlink(target, path), 0);
}

/* A disk of that name and number with rq_affinity 1. */
static void make_disk(const char *name, unsigned minor_number)
{
	char target[64], link[64];

	fake_write("1\n", "devices/%s/queue/rq_affinity", name);
	snprintf(target, sizeof(target), "../../devices/%s", name);
	snprintf(link, sizeof(link), "dev/block/259:%u", minor_number);
	make_link(target, link);
}

static char value_of(const char *name)
{
	char path[512];
	char value = '\0';
	FILE *file;

	snprintf(path, sizeof(path), "%s/devices/%s/queue/rq_affinity", root, name);
	file = fopen(path, "re");
	assert_non_null(file);
	assert_int_equal(fread(&value, 1, 1, file), 1);
	fclose(file);
	return value;
}

static void assert_cpus(const struct storage_affinity *affinity, unsigned queue, const char *list)
{
	char text[64];

	cpuset_format(&affinity->queue_cpus[queue], text, sizeof(text));
	assert_string_equal(text, list);
}

static void test_disk(void **state)
{
	struct storage_affinity *affinity;
	struct err err = ERR_INIT;

	(void)state;
	make_disk("nvme0n1", 0);
	fake_write("0, 4\n", "devices/nvme0n1/mq/0/cpu_list");
	fake_write("1, 2, 3\n", "devices/nvme0n1/mq/1/cpu_list");
	assert_int_equal(blockdev_affinity_read(root, makedev(259, 0), &affinity, &err), 0);
	assert_string_equal(affinity->disk, "nvme0n1");
	assert_int_equal(affinity->rq_affinity, 1);
	assert_int_equal(affinity->queue_cnt, 2);
	assert_cpus(affinity, 0, "0,4");
	assert_cpus(affinity, 1, "1-3");
	free(affinity);
	for (int value = 2; value >= 0; value--) {
		assert_int_equal(blockdev_affinity_set(root, makedev(259, 0), value, &err), 0);
		assert_int_equal(value_of("nvme0n1"), '0' + value);
	}
}

static void test_partition(void **state)
{
	struct storage_affinity *affinity;
	struct err err = ERR_INIT;

	(void)state;
	make_disk("sda", 0);
	fake_write("2\n", "devices/sda/sda3/partition");
	make_link("../../devices/sda/sda3", "dev/block/259:3");
	assert_int_equal(blockdev_affinity_read(root, makedev(259, 3), &affinity, &err), 0);
	assert_string_equal(affinity->disk, "sda");
	assert_int_equal(affinity->rq_affinity, 1);
	assert_int_equal(affinity->queue_cnt, 0);
	free(affinity);
	assert_int_equal(blockdev_affinity_set(root, makedev(259, 3), 2, &err), 0);
	assert_int_equal(value_of("sda"), '2');
}

/* A logical volume on a partition: two steps down. */
static void test_mapped_on_one(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	make_disk("sda", 0);
	make_disk("dm-0", 7);
	fake_write("2\n", "devices/sda/sda3/partition");
	make_link("../../sda/sda3", "devices/dm-0/slaves/sda3");
	assert_int_equal(blockdev_affinity_set(root, makedev(259, 7), 0, &err), 0);
	assert_int_equal(value_of("sda"), '0');
	assert_int_equal(value_of("dm-0"), '1');
}

static void assert_refused(dev_t dev, int value, int code, const char *text)
{
	struct err err = ERR_INIT;

	assert_int_equal(blockdev_affinity_set(root, dev, value, &err), -code);
	assert_string_equal(err.text, text);
}

static void test_mapped_on_several(void **state)
{
	struct storage_affinity *affinity;

	(void)state;
	make_disk("sda", 0);
	make_disk("sdb", 1);
	make_disk("md0", 2);
	make_link("../../sda", "devices/md0/slaves/sda");
	make_link("../../sdb", "devices/md0/slaves/sdb");
	assert_refused(makedev(259, 2), 2, ENODEV,
		       "rq-affinity: block device 259:2 is made of 2 others; set it on each in "
		       "/sys/block/*/queue/rq_affinity");
	assert_int_equal(blockdev_affinity_read(root, makedev(259, 2), &affinity, NULL), -ENODEV);
}

/* Nothing in the kernel makes one, but no directory may keep the control thread. */
static void test_circle(void **state)
{
	(void)state;
	make_disk("dm-0", 0);
	make_link("../../dm-0", "devices/dm-0/slaves/dm-0");
	assert_int_equal(blockdev_affinity_set(root, makedev(259, 0), 2, NULL), -ENODEV);
}

static void test_no_device(void **state)
{
	(void)state;
	assert_refused(makedev(0, 35), 2, ENODEV,
		       "rq-affinity: the host shows no block device 0:35 under this disk (its file "
		       "system is in memory, on a network or on several devices); leave it out");
}

static void test_no_choice(void **state)
{
	struct storage_affinity *affinity;

	(void)state;
	make_disk("zram0", 0);
	fake_delete("devices/zram0/queue/rq_affinity");
	assert_refused(makedev(259, 0), 1, EOPNOTSUPP,
		       "rq-affinity: block device zram0 has no such choice; leave it out");
	assert_int_equal(blockdev_affinity_read(root, makedev(259, 0), &affinity, NULL), 0);
	assert_int_equal(affinity->rq_affinity, -1);
	free(affinity);
	fake_write("7\n", "devices/zram0/queue/rq_affinity");
	assert_int_equal(blockdev_affinity_set(root, makedev(259, 0), 1, NULL), -EOPNOTSUPP);
}

static void test_values(void **state)
{
	(void)state;
	make_disk("sda", 0);
	assert_refused(makedev(259, 0), 3, EINVAL,
		       "rq-affinity: 3 is none of 0 (any CPU), 1 (near the submitting one), 2 (the "
		       "submitting one)");
	assert_int_equal(blockdev_affinity_set(root, makedev(259, 0), -1, NULL), -EINVAL);
	assert_int_equal(value_of("sda"), '1');
}

/* What is there already needs no right to be written. */
static void test_not_permitted(void **state)
{
	const bool was_root = geteuid() == 0;
	char path[512], text[256];

	(void)state;
	make_disk("sda", 0);
	snprintf(path, sizeof(path), "%s/devices/sda/queue/rq_affinity", root);
	assert_int_equal(chmod(path, 0444), 0);
	if (was_root)
		assert_int_equal(seteuid(65534), 0);
	snprintf(text, sizeof(text),
		 "rq-affinity: that of sda is 1 and user %u may not change it to 2; run pariod as "
		 "root, or set it before: echo 2 > /sys/block/sda/queue/rq_affinity",
		 (unsigned)geteuid());
	assert_refused(makedev(259, 0), 2, EACCES, text);
	assert_int_equal(blockdev_affinity_set(root, makedev(259, 0), 1, NULL), 0);
	if (was_root)
		assert_int_equal(seteuid(0), 0);
}

static void test_other_back_ends(void **state)
{
	const struct storage_options options = {
		.name = "vda", .backend = STORAGE_BACKEND_NULL, .size_bytes = 1 << 20};
	struct storage_affinity *affinity;
	struct storage *storage;
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(storage_open(&options, &storage, &err), 0);
	assert_int_equal(storage_set_rq_affinity(storage, 2, &err), -EINVAL);
	assert_string_equal(err.text, "rq-affinity: only backend file has a block device under it; "
				      "leave it out");
	assert_int_equal(storage_affinity_read(storage, &affinity, NULL), -EINVAL);
	storage_close(storage);
}

/* A file of this machine's, whatever it is on: the disk is named, or why there is none. */
static void test_file(void **state)
{
	char path[512];
	const struct storage_options options = {.name = "vda",
						.backend = STORAGE_BACKEND_FILE,
						.path = path,
						.cache = STORAGE_CACHE_WRITEBACK};
	struct storage_affinity *affinity = NULL;
	struct storage *storage;
	struct err err = ERR_INIT;
	int status;

	(void)state;
	fake_write("", "disk.raw");
	snprintf(path, sizeof(path), "%s/disk.raw", root);
	assert_int_equal(truncate(path, 1 << 20), 0);
	if (storage_open(&options, &storage, &err) < 0)
		fail_msg("%s", err.text);
	status = storage_affinity_read(storage, &affinity, &err);
	if (status == 0) {
		assert_true(affinity->disk[0] != '\0' && affinity->disk[0] != '?');
		if (affinity->rq_affinity >= 0)
			assert_int_equal(
				storage_set_rq_affinity(storage, affinity->rq_affinity, &err), 0);
	} else {
		assert_int_equal(status, -ENODEV);
		assert_int_equal(strncmp(err.text, "rq-affinity: ", 13), 0);
	}
	free(affinity);
	storage_close(storage);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_disk),          TEST(test_partition),
		TEST(test_mapped_on_one), TEST(test_mapped_on_several),
		TEST(test_circle),        TEST(test_no_device),
		TEST(test_no_choice),     TEST(test_values),
		TEST(test_not_permitted), TEST(test_other_back_ends),
		TEST(test_file),
	};

	return cmocka_run_group_tests_name("blockdev_affinity", tests, NULL, NULL);
}
