/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Named cases of reads and writes on files and devices: alignment, many iovecs, ends of files, the
 * synchronous path.
 * Not ranges (test_file_range.c), nor what only a scripted kernel does (test_file_faults.c).
 */
#include "places.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/compiler.h"

/* Memory at any address, of any cut, is as good as aligned memory. */
static void test_misaligned_memory(void **state)
{
	static const size_t shifts[] = {0, 512, 1, 511, 4095};
	struct harness *h = *state;
	uint8_t *out = buffer_new(64 * KIB + 4096), *in = buffer_new(64 * KIB + 4096);

	for (unsigned p = 0; p < place_cnt; p++) {
		struct placed placed;
		uint64_t bounced = 0;

		if (!placed_open(h, &places[p], MIB, &placed))
			continue;
		for (unsigned i = 0; i < ARRAY_LEN(shifts); i++) {
			fill(out + shifts[i], 64 * KIB, i);
			assert_int_equal(harness_write(h, placed.channel, out + shifts[i], 4096,
						       64 * KIB),
					 0);
			memset(in, 0, 64 * KIB + 4096);
			assert_int_equal(harness_read(h, placed.channel, in + shifts[4 - i], 4096,
						      64 * KIB),
					 0);
			assert_memory_equal(in + shifts[4 - i], out + shifts[i], 64 * KIB);
			if (i == 0 && places[p].cache == STORAGE_CACHE_NONE)
				bounced = placed.stats->bounced;
		}
		/* The aligned write was not copied; the read to 4095 was, where that matters. */
		if (placed.path[0] && places[p].cache == STORAGE_CACHE_NONE) {
			assert_int_equal(bounced, 1);
			assert_true(placed.stats->bounced >= 5);
		} else {
			assert_int_equal(placed.stats->bounced, 0);
		}
		placed_close(h, &placed);
	}
	free(out);
	free(in);
}

/* More iovecs than the kernel takes at once, of whole sectors and of single bytes. */
static void test_many_iovecs(void **state)
{
	static const struct {
		unsigned cnt;
		unsigned bytes;
	} cases[] = {{1024, 512}, {1025, 512}, {2000, 512}, {4096, 512}, {4096, 1}, {2048, 2}};
	struct iovec *iov = calloc(4096, sizeof(*iov));
	uint8_t *out = buffer_new(2 * MIB), *in = buffer_new(2 * MIB);
	struct harness *h = *state;

	for (unsigned p = 0; p < place_cnt; p++) {
		struct placed placed;

		if (!placed_open(h, &places[p], 4 * MIB, &placed))
			continue;
		for (unsigned c = 0; c < ARRAY_LEN(cases); c++) {
			size_t len = (size_t)cases[c].cnt * cases[c].bytes;
			struct storage_op op = {.kind = STORAGE_WRITE, .iov = iov}, *ops[1] = {&op};
			struct iovec *before = malloc(cases[c].cnt * sizeof(*iov));

			len = len / storage_info(placed.storage)->block_bytes *
			      storage_info(placed.storage)->block_bytes;
			op.iov_cnt = (uint32_t)(len / cases[c].bytes);
			op.offset_bytes = 8192;
			op.len_bytes = len;
			fill(out, len, p + c);
			for (unsigned i = 0; i < op.iov_cnt; i++)
				iov[i] = (struct iovec){out + i * cases[c].bytes, cases[c].bytes};
			memcpy(before, iov, op.iov_cnt * sizeof(*iov));
			harness_io(h, placed.channel, ops, 1);
			assert_int_equal(op.result, 0);
			/* The array is the submitter's and is as it was. */
			assert_memory_equal(iov, before, op.iov_cnt * sizeof(*iov));
			memset(in, 0, len);
			assert_int_equal(harness_read(h, placed.channel, in, 8192, len), 0);
			assert_memory_equal(in, out, len);
			memset(in, 0, len);
			for (unsigned i = 0; i < op.iov_cnt; i++)
				iov[i].iov_base = in + i * cases[c].bytes;
			op.kind = STORAGE_READ;
			harness_io(h, placed.channel, ops, 1);
			assert_int_equal(op.result, 0);
			assert_memory_equal(in, out, len);
			free(before);
		}
		placed_close(h, &placed);
	}
	free(in);
	free(out);
	free(iov);
}

/* Bounce buffers are few: a burst that needs more than there are waits for its turn. */
static void test_bounce_queue(void **state)
{
	enum { OPS = 24 };
	struct harness *h = *state;
	uint8_t *out = buffer_new(OPS * 512 * KIB), *in = buffer_new(OPS * 512 * KIB);
	static struct storage_op op[OPS];
	static struct iovec iov[OPS];
	struct storage_op *ops[OPS];
	struct placed placed;

	place_of(h, PLACE_DISK_FILE, STORAGE_CACHE_NONE, 16 * MIB, &placed);
	for (unsigned pass = 0; pass < 2; pass++) {
		uint8_t *memory = (pass == 0 ? out : in) + 3;

		fill(memory, OPS * 512 * KIB, pass);
		for (unsigned i = 0; i < OPS; i++) {
			iov[i] = (struct iovec){memory + i * 512 * KIB, 512 * KIB};
			memset(&op[i], 0, sizeof(op[i]));
			op[i].kind = pass == 0 ? STORAGE_WRITE : STORAGE_READ;
			op[i].iov = &iov[i];
			op[i].iov_cnt = 1;
			op[i].offset_bytes = i * 512 * KIB;
			op[i].len_bytes = 512 * KIB;
			ops[i] = &op[i];
		}
		harness_io(h, placed.channel, ops, OPS);
		for (unsigned i = 0; i < OPS; i++)
			assert_int_equal(op[i].result, 0);
	}
	assert_memory_equal(in + 3, out + 3, OPS * 512 * KIB);
	assert_int_equal(placed.stats->bounced, 2 * OPS);
	assert_true(placed.stats->bounce_waits >= 2 * (OPS - 8));
	placed_close(h, &placed);
	free(in);
	free(out);
}

/* The guest was told of 4096-byte blocks and is finer all the same. */
static void test_finer_than_blocks(void **state)
{
	uint8_t *out = buffer_new(8192), *in = buffer_new(8192);
	struct harness *h = *state;
	struct placed placed;

	place_of(h, PLACE_LOOP_4096, STORAGE_CACHE_NONE, MIB, &placed);
	assert_int_equal(storage_info(placed.storage)->block_bytes, 4096);
	fill(out, 8192, 3);
	assert_int_equal(harness_write(h, placed.channel, out, 4096, 8192), 0);
	/* Reads are widened. */
	assert_int_equal(harness_read(h, placed.channel, in, 4096 + 3584, 1024), 0);
	assert_memory_equal(in, out + 3584, 1024);
	/* Writes are refused, and change nothing. */
	assert_int_equal(harness_write(h, placed.channel, out, 512, 512), -EIO);
	assert_int_equal(harness_write(h, placed.channel, out, 4096, 4608), -EIO);
	assert_int_equal(harness_range(h, placed.channel, STORAGE_WRITE_ZEROES, true, 4608, 512),
			 -EIO);
	assert_int_equal(placed.stats->unaligned_writes, 3);
	/* Discard is a hint: the whole blocks of it. */
	assert_int_equal(harness_range(h, placed.channel, STORAGE_DISCARD, false, 4608, 512), 0);
	assert_int_equal(harness_read(h, placed.channel, in, 4096, 8192), 0);
	assert_memory_equal(in, out, 8192);
	assert_int_equal(harness_range(h, placed.channel, STORAGE_DISCARD, false, 4608, 7680), 0);
	assert_int_equal(harness_read(h, placed.channel, in, 4096, 4096), 0);
	assert_memory_equal(in, out, 4096);
	placed_close(h, &placed);

	/* The page cache does it. */
	place_of(h, PLACE_LOOP_4096, STORAGE_CACHE_WRITEBACK, MIB, &placed);
	fill(out, 8192, 4);
	assert_int_equal(harness_write(h, placed.channel, out, 0, 8192), 0);
	assert_int_equal(harness_write(h, placed.channel, out, 1024, 512), 0);
	assert_int_equal(harness_range(h, placed.channel, STORAGE_WRITE_ZEROES, true, 4608, 512),
			 0);
	memmove(out + 1024, out, 512);
	memset(out + 4608, 0, 512);
	assert_int_equal(harness_read(h, placed.channel, in, 0, 8192), 0);
	assert_memory_equal(in, out, 8192);
	assert_int_equal(placed.stats->unaligned_writes, 0);
	placed_close(h, &placed);
	free(in);
	free(out);
}

/* Somebody truncates the file under the disk. */
static void test_beyond_the_end(void **state)
{
	static const enum place_kind kinds[] = {PLACE_DISK_FILE, PLACE_TMPFS_FILE};
	static const off_t ends[] = {512 * KIB, 512 * KIB + 1000, 512 * KIB + 4096};
	uint8_t *buffer = buffer_new(64 * KIB);
	struct harness *h = *state;

	for (unsigned k = 0; k < 4; k++) {
		for (unsigned e = 0; e < ARRAY_LEN(ends); e++) {
			struct placed placed;

			place_of(h, kinds[k / 2], (enum storage_cache)(k % 2), MIB, &placed);
			assert_int_equal(truncate(placed.path, ends[e]), 0);
			assert_int_equal(harness_read(h, placed.channel, buffer, 768 * KIB, 4096),
					 -EIO);
			/* Across the end, also to memory that must be bounced. */
			assert_int_equal(
				harness_read(h, placed.channel, buffer, 508 * KIB, 16 * KIB), -EIO);
			assert_int_equal(harness_read(h, placed.channel, buffer + 1, 508 * KIB,
						      16 * KIB),
					 -EIO);
			assert_int_equal(placed.stats->errors[STORAGE_READ], 3);
			assert_int_equal(harness_read(h, placed.channel, buffer, 508 * KIB, 4096),
					 0);
			placed_close(h, &placed);
		}
	}
	free(buffer);
}

/* Once the disk knows, nothing beyond its end reaches the file, which a write would enlarge. */
static void test_beyond_the_capacity(void **state)
{
	uint8_t *buffer = buffer_new(64 * KIB);
	struct harness *h = *state;
	bool changed;

	for (unsigned c = 0; c < STORAGE_CACHE_MAX_; c++) {
		struct placed placed;

		place_of(h, PLACE_DISK_FILE, (enum storage_cache)c, MIB, &placed);
		assert_int_equal(truncate(placed.path, 512 * KIB), 0);
		assert_int_equal(storage_refresh(placed.storage, &changed, NULL), 0);
		assert_true(changed);
		assert_int_equal(harness_write(h, placed.channel, buffer, 512 * KIB, 4096), -EIO);
		assert_int_equal(harness_write(h, placed.channel, buffer, 508 * KIB, 8192), -EIO);
		assert_int_equal(harness_write(h, placed.channel, buffer, UINT64_MAX - 511, 512),
				 -EIO);
		assert_int_equal(harness_read(h, placed.channel, buffer, 512 * KIB, 4096), -EIO);
		assert_int_equal(harness_range(h, placed.channel, STORAGE_DISCARD, false, 0, MIB),
				 -EIO);
		assert_int_equal(harness_range(h, placed.channel, STORAGE_WRITE_ZEROES, false,
					       512 * KIB, 512),
				 -EIO);
		assert_int_equal(harness_flush(h, placed.channel), 0);
		assert_int_equal(harness_write(h, placed.channel, buffer, 508 * KIB, 4096), 0);
		/* The file is as long as it was. */
		assert_int_equal(storage_refresh(placed.storage, &changed, NULL), 0);
		assert_false(changed);
		placed_close(h, &placed);
	}
	free(buffer);
}

/* Memory that the kernel cannot reach is an I/O error, as when a guest's memory went away. */
static void test_bad_memory(void **state)
{
	struct harness *h = *state;
	void *hole = mmap(NULL, 128 * KIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(hole != MAP_FAILED);
	for (unsigned p = 0; p < place_cnt; p++) {
		struct placed placed;

		if (places[p].kind == PLACE_RAM || places[p].kind == PLACE_FLASH ||
		    !placed_open(h, &places[p], MIB, &placed))
			continue;
		/* There must be something to be copied: the zero page needs no reading. */
		assert_int_equal(harness_write(h, placed.channel, hole, 0, 4096), -EFAULT);
		assert_int_equal(harness_write(h, placed.channel, hole, 0, 128 * KIB), -EFAULT);
		assert_int_equal(harness_read(h, placed.channel, hole, 0, 4096), -EFAULT);
		assert_int_equal(harness_read(h, placed.channel, hole, 0, 128 * KIB), -EFAULT);
		placed_close(h, &placed);
	}
	munmap(hole, 128 * KIB);
}

static void burst(struct harness *h, struct placed *placed, uint8_t *buffer, enum storage_kind kind,
		  unsigned cnt, uint64_t len)
{
	static struct storage_op op[32];
	static struct iovec iov[32];
	struct storage_op *ops[32];

	for (unsigned i = 0; i < cnt; i++) {
		iov[i] = (struct iovec){buffer + i * len, len};
		memset(&op[i], 0, sizeof(op[i]));
		op[i].kind = kind;
		op[i].iov = &iov[i];
		op[i].iov_cnt = 1;
		op[i].offset_bytes = i * len;
		op[i].len_bytes = len;
		ops[i] = &op[i];
	}
	harness_io(h, placed->channel, ops, cnt);
	for (unsigned i = 0; i < cnt; i++)
		assert_int_equal(op[i].result, 0);
}

/* Which requests are made in the worker itself: small ones, 256 KiB a turn, only in memory. */
static void test_synchronous_path(void **state)
{
	struct harness *h = *state;
	uint8_t *buffer = buffer_new(4 * MIB);
	struct placed placed;

	place_of(h, PLACE_TMPFS_FILE, STORAGE_CACHE_WRITEBACK, 4 * MIB, &placed);
	fill(buffer, 4 * MIB, 1);
	burst(h, &placed, buffer, STORAGE_WRITE, 32, 4 * KIB);
	assert_int_equal(placed.stats->sync_calls, 32);
	burst(h, &placed, buffer, STORAGE_READ, 16, 64 * KIB);
	assert_int_equal(placed.stats->sync_calls, 36);
	burst(h, &placed, buffer, STORAGE_WRITE, 2, 65 * KIB);
	assert_int_equal(placed.stats->sync_calls, 36);
	assert_int_equal(harness_flush(h, placed.channel), 0);
	assert_int_equal(placed.stats->sync_calls, 36);
	placed_close(h, &placed);

	/* A file system with an asynchronous path: only what is cached, and only reads. */
	place_of(h, PLACE_DISK_FILE, STORAGE_CACHE_WRITEBACK, 4 * MIB, &placed);
	burst(h, &placed, buffer, STORAGE_WRITE, 16, 4 * KIB);
	assert_int_equal(placed.stats->sync_calls, 0);
	burst(h, &placed, buffer, STORAGE_READ, 16, 4 * KIB);
	assert_int_equal(placed.stats->sync_calls, 16);
	placed_close(h, &placed);

	place_of(h, PLACE_DISK_FILE, STORAGE_CACHE_NONE, 4 * MIB, &placed);
	burst(h, &placed, buffer, STORAGE_WRITE, 16, 4 * KIB);
	burst(h, &placed, buffer, STORAGE_READ, 16, 4 * KIB);
	assert_int_equal(placed.stats->sync_calls, 0);
	assert_int_equal(placed.stats->bounced, 0);
	placed_close(h, &placed);
	free(buffer);
}

static void test_read_only(void **state)
{
	struct harness *h = *state;
	struct storage_options options = {
		.name = "vda", .path = harness_path(h, "ro"), .read_only = true};
	uint8_t *buffer = buffer_new(4096);
	struct storage_channel *channel;
	struct storage *storage;

	harness_make_file(options.path, MIB);
	storage = harness_open(&options);
	channel = harness_channel_open(h, storage);
	assert_int_equal(harness_read(h, channel, buffer, 0, 4096), 0);
	assert_int_equal(harness_flush(h, channel), 0);
	harness_channel_close(h, channel);
	storage_close(storage);
	free(buffer);
}

static void test_empty(void **state)
{
	struct harness *h = *state;
	uint8_t byte = 0;

	for (unsigned p = 0; p < place_cnt; p++) {
		struct placed placed;

		if (!placed_open(h, &places[p], MIB, &placed))
			continue;
		assert_int_equal(harness_read(h, placed.channel, &byte, 4096, 0), 0);
		assert_int_equal(harness_write(h, placed.channel, &byte, 4096, 0), 0);
		assert_int_equal(harness_range(h, placed.channel, STORAGE_DISCARD, false, 0, 0), 0);
		assert_int_equal(harness_range(h, placed.channel, STORAGE_WRITE_ZEROES, true, 0, 0),
				 0);
		placed_close(h, &placed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_misaligned_memory),
		cmocka_unit_test(test_many_iovecs),
		cmocka_unit_test(test_bounce_queue),
		cmocka_unit_test(test_finer_than_blocks),
		cmocka_unit_test(test_beyond_the_end),
		cmocka_unit_test(test_beyond_the_capacity),
		cmocka_unit_test(test_bad_memory),
		cmocka_unit_test(test_synchronous_path),
		cmocka_unit_test(test_read_only),
		cmocka_unit_test(test_empty),
	};

	return cmocka_run_group_tests(tests, harness_setup, harness_teardown);
}
