/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What requests name, against a scripted kernel: a registered file or its descriptor, registered
 * memory or an address; also when a transfer is continued, repeated or copied.
 * Not real I/O (test_file_pin.c).
 */
#include "scripted.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "guest/gmem.h"

static struct gmap_region regions[ARRAY_LEN(memories) + 1];

/* Regions of the test's memory, each of so many bytes, from the highest address to the lowest. */
static struct gmem *guest_of(unsigned cnt, uint64_t size_bytes)
{
	struct gmap_region *list[ARRAY_LEN(regions)];
	struct gmem *guest;

	for (unsigned i = 0; i < cnt; i++) {
		regions[i] = (struct gmap_region){
			.desc = {.gpa = (uint64_t)i << 30, .size_bytes = size_bytes},
			.hva = memory + (cnt - 1 - i) * size_bytes,
			.refs = 1,
		};
		regions[i].desc.uva = regions[i].desc.gpa;
		list[i] = &regions[i];
	}
	assert_int_equal(gmem_new(list, cnt, &guest, NULL), 0);
	return guest;
}

static void start(struct fixture *f, struct gmem *guest)
{
	fixture_init(f, 512, false);
	f->file.base.pin_memory = true;
	assert_int_equal(storage_channel_map_guest(f->channel, guest), 0);
}

static void stop(struct fixture *f, struct gmem *guest)
{
	fixture_fini(f);
	gmem_put(guest);
	for (unsigned i = 0; i < ARRAY_LEN(memories); i++)
		assert_int_equal(memories[i].users, 0);
}

static void test_slots(void **state)
{
	struct gmem *guest = guest_of(3, 64 * KIB);
	struct fixture f;
	static const struct {
		uint64_t at, len;
		int slot; /* -1: unregistered */
	} cases[] = {
		{0, 4096, 300},
		{64 * KIB - 512, 512, 300},
		{64 * KIB - 512, 1024, -1},
		{64 * KIB, 64 * KIB, 200},
		{128 * KIB, 512, 100},
		{192 * KIB - 512, 512, 100},
		{192 * KIB - 512, 1024, -1},
		{192 * KIB, 512, -1},
		{0, 64 * KIB, 300},
		{0, 192 * KIB, -1},
	};

	(void)state;
	start(&f, guest);
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		enum storage_kind kind = i & 1 ? STORAGE_WRITE : STORAGE_READ;
		struct iovec iov = {memory + cases[i].at, cases[i].len};
		struct storage_op op = op_of(kind, &iov, 1, 0, cases[i].len);
		uint64_t fixed = f.stats->fixed;
		bool registered = cases[i].slot >= 0;
		unsigned opcode = registered
					  ? (i & 1 ? IORING_OP_WRITE_FIXED : IORING_OP_READ_FIXED)
					  : (i & 1 ? IORING_OP_WRITE : IORING_OP_READ);

		sqe_cnt = 0;
		submit(&f, &op);
		assert_sqe(0, opcode, AT(cases[i].at), cases[i].len, 0);
		assert_int_equal(sqes[0].buf_index, registered ? cases[i].slot : 0);
		assert_int_equal(f.stats->fixed - fixed, registered);
		complete(0, (int)cases[i].len);
		assert_reaped(&f, &op, 0);
	}
	stop(&f, guest);
}

/* Each request for itself: what is left of an entry, the next one, and what is done again later. */
static void test_continued(void **state)
{
	struct gmem *guest = guest_of(1, 64 * KIB);
	struct iovec iov[2] = {{memory, 2048}, {memory + 8192, 2048}};
	struct storage_op op = op_of(STORAGE_READ, iov, 2, 0, 4096);
	struct fixture f;

	(void)state;
	start(&f, guest);
	submit(&f, &op);
	assert_sqe(0, IORING_OP_READV, (uint64_t)(uintptr_t)iov, 2, 0);
	complete(0, 512);
	assert_sqe(1, IORING_OP_READ_FIXED, AT(512), 1536, 512);
	complete(1, 1536);
	assert_sqe(2, IORING_OP_READ_FIXED, AT(8192), 2048, 2048);
	complete(2, 512);
	assert_sqe(3, IORING_OP_READ_FIXED, AT(8704), 1536, 2560);
	assert_int_equal(sqes[3].buf_index, 100);
	/* Its memory is not registered any more when it is tried again. */
	complete(3, -EAGAIN);
	assert_int_equal(storage_channel_map_guest(f.channel, NULL), 0);
	expire();
	assert_sqe(4, IORING_OP_READ, AT(8704), 1536, 2560);
	assert_int_equal(sqes[4].buf_index, 0);
	complete(4, 1536);
	assert_reaped(&f, &op, 0);
	assert_int_equal(f.stats->fixed, 3);
	stop(&f, guest);
}

/* O_DIRECT refuses the address, registered or not: the copy is in memory of ours. */
static void test_bounced(void **state)
{
	struct gmem *guest = guest_of(1, 64 * KIB);
	struct iovec iov = {memory + 1, 4096};
	struct storage_op op = op_of(STORAGE_WRITE, &iov, 1, 0, 4096);
	struct fixture f;

	(void)state;
	start(&f, guest);
	submit(&f, &op);
	assert_int_equal(sqe_cnt, 1);
	assert_int_equal(sqes[0].opcode, IORING_OP_WRITE);
	assert_int_not_equal(sqes[0].addr, AT(1));
	complete(0, 4096);
	assert_reaped(&f, &op, 0);
	assert_int_equal(f.stats->bounced, 1);
	assert_int_equal(f.stats->fixed, 0);
	stop(&f, guest);
}

/* More regions than there is room for: the others are registered. */
static void test_no_room(void **state)
{
	struct gmem *guest = guest_of(ARRAY_LEN(regions), 4096);
	struct iovec iov = {memory, 4096};
	struct storage_op op = op_of(STORAGE_READ, &iov, 1, 0, 4096);
	struct fixture f;

	(void)state;
	fixture_init(&f, 512, false);
	f.file.base.pin_memory = true;
	assert_int_equal(storage_channel_map_guest(f.channel, guest), -ENOSPC);
	/* The last, which has the lowest address. */
	submit(&f, &op);
	assert_sqe(0, IORING_OP_READ, AT(0), 4096, 0);
	complete(0, 4096);
	assert_reaped(&f, &op, 0);
	iov.iov_base = memory + 4096;
	submit(&f, &op);
	assert_sqe(1, IORING_OP_READ_FIXED, AT(4096), 4096, 0);
	complete(1, 4096);
	assert_reaped(&f, &op, 0);
	stop(&f, guest);
}

/* Everything but what needs the claim goes to the slot. */
static void test_file_slot(void **state)
{
	struct iovec iov[2] = {{memory, 4096}, {memory + 8192, 4096}};
	struct storage_op read = op_of(STORAGE_READ, iov, 2, 0, 8192);
	struct storage_op flush = op_of(STORAGE_FLUSH, NULL, 0, 0, 0);
	struct storage_op zero = op_of(STORAGE_WRITE_ZEROES, NULL, 0, 0, 4096);
	struct storage_op *ops[] = {&read, &flush, &zero};
	struct fixture f;

	(void)state;
	file_slot = 17;
	file_puts = 0;
	fixture_init(&f, 512, false);
	submit(&f, &read);
	assert_sqe(0, IORING_OP_READV, (uint64_t)(uintptr_t)iov, 2, 0);
	submit(&f, &flush);
	assert_int_equal(sqes[1].fd, 17);
	assert_int_equal(sqes[1].flags, IOSQE_FIXED_FILE);
	submit(&f, &zero);
	assert_int_equal(sqes[2].opcode, IORING_OP_FALLOCATE);
	assert_int_equal(sqes[2].fd, FD + 1);
	assert_int_equal(sqes[2].flags, 0);
	for (unsigned i = 0; i < 3; i++) {
		complete(i, i == 0 ? 8192 : 0);
		assert_reaped(&f, ops[i], 0);
	}
	assert_int_equal(file_puts, 0);
	fixture_fini(&f);
	assert_int_equal(file_puts, 1);
	file_slot = -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slots),     cmocka_unit_test(test_continued),
		cmocka_unit_test(test_bounced),   cmocka_unit_test(test_no_room),
		cmocka_unit_test(test_file_slot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
