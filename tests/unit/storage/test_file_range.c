/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Named cases of discard and zeroes, of full file systems and of files that fail.
 * Not reads and writes as such (test_file_io.c), nor the ways one by one (test_file_ladders.c).
 */
#include "places.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <unistd.h>

static void assert_zero(const uint8_t *buffer, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++) {
		if (buffer[i])
			fail_msg("byte %zu is %u", i, buffer[i]);
	}
}

static void test_holes(void **state)
{
	struct harness *h = *state;
	uint8_t *buffer = buffer_new(MIB);

	for (unsigned c = 0; c < STORAGE_CACHE_MAX_; c++) {
		struct placed placed;

		place_of(h, PLACE_DISK_FILE, (enum storage_cache)c, 4 * MIB, &placed);
		fill(buffer, MIB, c + 1);
		for (unsigned i = 0; i < 4; i++)
			assert_int_equal(harness_write(h, placed.channel, buffer, i * MIB, MIB), 0);
		assert_int_equal(harness_flush(h, placed.channel), 0);
		assert_true(harness_allocated(placed.path) >= 4 * MIB);
		assert_int_equal(harness_range(h, placed.channel, STORAGE_DISCARD, false, 0, MIB),
				 0);
		assert_true(harness_allocated(placed.path) < 3 * MIB + 64 * KIB);
		assert_int_equal(
			harness_range(h, placed.channel, STORAGE_WRITE_ZEROES, true, MIB, MIB), 0);
		assert_true(harness_allocated(placed.path) < 2 * MIB + 64 * KIB);
		/* Without the guest's leave nothing is deallocated. */
		assert_int_equal(harness_range(h, placed.channel, STORAGE_WRITE_ZEROES, false,
					       2 * MIB, MIB),
				 0);
		assert_true(harness_allocated(placed.path) >= 2 * MIB);
		for (unsigned i = 0; i < 3; i++) {
			fill(buffer, MIB, 77);
			assert_int_equal(harness_read(h, placed.channel, buffer, i * MIB, MIB), 0);
			assert_zero(buffer, MIB);
		}
		placed_close(h, &placed);
	}
	free(buffer);
}

static void test_discard_off(void **state)
{
	struct harness *h = *state;
	struct storage_options options = {.name = "vda", .path = harness_path(h, "off")};
	uint8_t *buffer = buffer_new(MIB);
	struct storage_channel *channel;
	struct storage *storage;

	harness_make_file(options.path, MIB);
	storage = harness_open(&options);
	channel = harness_channel_open(h, storage);
	fill(buffer, MIB, 5);
	assert_int_equal(harness_write(h, channel, buffer, 0, MIB), 0);
	assert_int_equal(harness_range(h, channel, STORAGE_DISCARD, false, 0, MIB), 0);
	assert_int_equal(harness_range(h, channel, STORAGE_WRITE_ZEROES, true, 0, 64 * KIB), 0);
	assert_true(harness_allocated(options.path) >= MIB);
	harness_channel_close(h, channel);
	storage_close(storage);
	free(buffer);
}

/* A loop device's own discard ends as a hole in the file below it. */
static void test_loop_holes(void **state)
{
	struct harness *h = *state;
	uint8_t *buffer = buffer_new(MIB);

	for (unsigned c = 0; c < STORAGE_CACHE_MAX_; c++) {
		struct placed placed;

		place_of(h, PLACE_LOOP_512, (enum storage_cache)c, 4 * MIB, &placed);
		fill(buffer, MIB, c + 1);
		for (unsigned i = 0; i < 3; i++)
			assert_int_equal(harness_write(h, placed.channel, buffer, i * MIB, MIB), 0);
		assert_int_equal(harness_flush(h, placed.channel), 0);
		assert_true(harness_allocated(placed.path) >= 3 * MIB);
		assert_int_equal(harness_range(h, placed.channel, STORAGE_DISCARD, false, 0, MIB),
				 0);
		assert_true(harness_allocated(placed.path) < 2 * MIB + 64 * KIB);
		assert_int_equal(
			harness_range(h, placed.channel, STORAGE_WRITE_ZEROES, true, MIB, MIB), 0);
		assert_true(harness_allocated(placed.path) < MIB + 64 * KIB);
		assert_int_equal(harness_range(h, placed.channel, STORAGE_WRITE_ZEROES, false,
					       2 * MIB, MIB),
				 0);
		assert_true(harness_allocated(placed.path) >= MIB);
		for (unsigned i = 0; i < 3; i++) {
			fill(buffer, MIB, 77);
			assert_int_equal(harness_read(h, placed.channel, buffer, i * MIB, MIB), 0);
			assert_zero(buffer, MIB);
		}
		placed_close(h, &placed);
	}
	free(buffer);
}

static void test_no_space(void **state)
{
	struct harness *h = *state;
	const char *dir = harness_path(h, "small");
	struct storage_options options = {
		.name = "vda", .path = harness_path(h, "small/disk"), .discard = true};
	uint8_t *buffer = buffer_new(2 * MIB);
	struct storage_channel *channel;
	struct storage *storage;

	options.cache = STORAGE_CACHE_WRITEBACK;
	if (!harness_mount_tmpfs(dir, "1M"))
		skip_because("a tmpfs cannot be mounted: %s", strerror(errno));
	harness_make_file(options.path, 8 * MIB);
	storage = harness_open(&options);
	channel = harness_channel_open(h, storage);
	fill(buffer, 2 * MIB, 9);
	/* In one piece through io_uring, and in small ones synchronously. */
	assert_int_equal(harness_write(h, channel, buffer, 0, 2 * MIB), -ENOSPC);
	assert_int_equal(harness_write(h, channel, buffer, 4 * MIB, 16 * KIB), -ENOSPC);
	assert_int_equal(storage_channel_stats(channel)->errors[STORAGE_WRITE], 2);
	/* The disk lives on, and with room it takes writes again. */
	assert_int_equal(harness_read(h, channel, buffer, 0, 64 * KIB), 0);
	assert_int_equal(harness_range(h, channel, STORAGE_DISCARD, false, 0, 2 * MIB), 0);
	assert_int_equal(harness_write(h, channel, buffer, 4 * MIB, 16 * KIB), 0);
	/* tmpfs has no ZERO_RANGE: zeroes are written. */
	assert_int_equal(harness_range(h, channel, STORAGE_WRITE_ZEROES, false, 0, 512 * KIB), 0);
	assert_true(harness_allocated(options.path) >= 512 * KIB);
	assert_int_equal(harness_range(h, channel, STORAGE_WRITE_ZEROES, false, 0, 2 * MIB),
			 -ENOSPC);
	harness_channel_close(h, channel);
	storage_close(storage);
	umount(dir);
	free(buffer);
}

/* A file that turns out not to be writable, after it was opened. */
static void test_failing_writes(void **state)
{
	struct harness *h = *state;
	int fd = (int)memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	uint8_t *buffer = buffer_new(MIB);
	struct storage_options options = {.name = "vda", .discard = true};
	struct storage_channel *channel;
	struct storage *storage;
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	options.path = path;
	options.cache = STORAGE_CACHE_WRITEBACK;
	assert_int_equal(ftruncate(fd, MIB), 0);
	storage = harness_open(&options);
	channel = harness_channel_open(h, storage);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
	assert_int_equal(harness_write(h, channel, buffer, 0, 4096), -EPERM);
	assert_int_equal(harness_write(h, channel, buffer, 0, 512 * KIB), -EPERM);
	assert_int_equal(harness_range(h, channel, STORAGE_DISCARD, false, 0, MIB), -EPERM);
	assert_int_equal(harness_range(h, channel, STORAGE_WRITE_ZEROES, true, 0, MIB), -EPERM);
	assert_int_equal(harness_range(h, channel, STORAGE_WRITE_ZEROES, false, 0, MIB), -EPERM);
	assert_int_equal(harness_read(h, channel, buffer, 0, MIB), 0);
	assert_int_equal(harness_flush(h, channel), 0);
	harness_channel_close(h, channel);
	storage_close(storage);
	close(fd);
	free(buffer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_holes),          cmocka_unit_test(test_discard_off),
		cmocka_unit_test(test_loop_holes),     cmocka_unit_test(test_no_space),
		cmocka_unit_test(test_failing_writes),
	};

	return cmocka_run_group_tests(tests, harness_setup, harness_teardown);
}
