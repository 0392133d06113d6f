/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registered guest memory on a real worker and file: what is used when, and that the data is right
 * whatever is used.
 * Not the table of registered memory (worker/test_uring_fixed.c), nor what is continued and tried
 * again (test_file_fixed.c).
 */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fdio.h"
#include "guest/gmem.h"
#include "worker/worker_priv.h"

/* More than the synchronous path takes, so that each is a request of io_uring in either cache. */
#define LEN (128 * KIB)
#define DISK_BYTES (8 * MIB)
#define REGIONS_MAX 4

/* Guest memory at addresses that the test chooses. */
struct guest {
	struct gmap_region regions[REGIONS_MAX];
	struct gmem *memory;
};

static struct storage_options options_of(const struct harness *h, enum storage_cache cache)
{
	struct storage_options options = {
		.name = "vda",
		.path = harness_path(h, "pinned"),
		.cache = cache,
		.pin_memory = true,
	};

	harness_make_file(options.path, DISK_BYTES);
	return options;
}

static void *reserve(uint64_t size_bytes)
{
	void *at = mmap(NULL, size_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
			-1, 0);

	assert_ptr_not_equal(at, MAP_FAILED);
	return at;
}

static void region_at(struct gmap_region *region, uint64_t gpa, void *hva, uint64_t size_bytes,
		      int prot)
{
	int fd = memfd_create("guest", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size_bytes), 0);
	assert_ptr_equal(mmap(hva, size_bytes, prot, MAP_SHARED | MAP_FIXED, fd, 0), hva);
	close(fd);
	*region = (struct gmap_region){
		.desc = {.gpa = gpa, .size_bytes = size_bytes, .uva = gpa},
		.hva = hva,
		.map = hva,
		.map_bytes = size_bytes,
		.refs = 1,
	};
}

static void guest_build(struct guest *guest, unsigned cnt)
{
	struct gmap_region *regions[REGIONS_MAX];
	struct err err = ERR_INIT;

	for (unsigned i = 0; i < cnt; i++)
		regions[i] = &guest->regions[i];
	if (gmem_new(regions, cnt, &guest->memory, &err) < 0)
		fail_msg("gmem_new: %s", err.text);
}

/* One region of that size. */
static void *guest_simple(struct guest *guest, uint64_t size_bytes)
{
	void *hva = reserve(size_bytes);

	region_at(&guest->regions[0], 0, hva, size_bytes, PROT_READ | PROT_WRITE);
	guest_build(guest, 1);
	return hva;
}

static void guest_free(struct guest *guest)
{
	gmem_put(guest->memory);
}

struct map_call {
	struct storage_channel *channel;
	struct gmem *memory;
	int status;
};

static void map_on_worker(struct worker *worker, void *arg)
{
	struct map_call *c = arg;

	(void)worker;
	c->status = storage_channel_map_guest(c->channel, c->memory);
}

/* Registering and clearing are steps of later turns. */
static void settled_on_worker(struct worker *worker, void *arg)
{
	struct list_node *pos, *tmp;
	bool *settled = arg;

	*settled = true;
	list_for_each_safe(pos, tmp, &worker->uring.memories.list) {
		const struct uring_memory *m = list_entry(pos, struct uring_memory, node);

		*settled &= m->users > 0 && (m->ready_bytes == m->size_bytes || m->status < 0);
	}
}

static int map_guest(struct harness *h, struct storage_channel *channel, struct gmem *memory)
{
	struct map_call c = {.channel = channel, .memory = memory};
	uint64_t deadline_ns = clock_now_ns() + 30 * NS_PER_S;
	bool settled = false;

	harness_run(h, map_on_worker, &c);
	while (!settled) {
		if (clock_now_ns() > deadline_ns)
			fail_msg("the memory was not registered or cleared");
		harness_run(h, settled_on_worker, &settled);
	}
	return c.status;
}

static void count_on_worker(struct worker *worker, void *arg)
{
	struct list_node *pos, *tmp;

	*(unsigned *)arg = 0;
	list_for_each_safe(pos, tmp, &worker->uring.memories.list)
		*(unsigned *)arg += list_entry(pos, struct uring_memory, node)->users > 0;
}

static unsigned pieces(struct harness *h)
{
	unsigned cnt;

	harness_run(h, count_on_worker, &cnt);
	return cnt;
}

static uint64_t fixed_of(const struct storage_channel *channel)
{
	return stat_read(&storage_channel_stats(channel)->fixed);
}

static void fill(uint8_t *at, unsigned seed)
{
	for (unsigned i = 0; i < LEN; i++)
		at[i] = (uint8_t)(seed + i / 512 * 7 + i);
}

static void check(const uint8_t *at, unsigned seed)
{
	static uint8_t expected[LEN];

	fill(expected, seed);
	assert_memory_equal(at, expected, LEN);
}

/* Writes from one place and reads to another, both judged past pario, and how many were fixed. */
static void check_io(struct harness *h, struct storage_channel *channel, uint8_t *from, uint8_t *to,
		     unsigned fixed)
{
	static unsigned seed;
	static uint8_t file_bytes[LEN] __attribute__((aligned(4096)));
	uint64_t before = fixed_of(channel);
	uint64_t offset = ++seed % 32 * LEN;
	int fd = open(harness_path(h, "pinned"), O_RDONLY | O_CLOEXEC);

	fill(from, seed);
	assert_int_equal(harness_write(h, channel, from, offset, LEN), 0);
	assert_int_equal(pread(fd, file_bytes, LEN, (off_t)offset), LEN);
	check(file_bytes, seed);
	memset(to, 0xee, LEN);
	assert_int_equal(harness_read(h, channel, to, offset, LEN), 0);
	check(to, seed);
	assert_int_equal(fixed_of(channel) - before, fixed);
	close(fd);
}

static void run_inside(struct harness *h, enum storage_cache cache)
{
	struct storage_options options = options_of(h, cache);
	struct storage *storage = harness_open(&options);
	struct storage_channel *channel = harness_channel_open(h, storage);
	struct iovec iov[2];
	struct storage_op op = {.kind = STORAGE_WRITE, .iov = iov, .iov_cnt = 2};
	struct storage_op *ops[1] = {&op};
	struct guest guest;
	uint8_t *at = guest_simple(&guest, MIB);
	uint8_t *other = aligned_alloc(4096, LEN);

	/* Before it is told: the ordinary way. */
	check_io(h, channel, at, at + LEN, 0);
	assert_int_equal(map_guest(h, channel, guest.memory), 0);
	check_io(h, channel, at, at + LEN, 2);
	/* The first bytes and the last. */
	check_io(h, channel, at + MIB - LEN, at, 2);
	/* Memory that is not the guest's, and half of each. */
	check_io(h, channel, other, at, 1);
	check_io(h, channel, at, other, 1);
	/* Several segments. */
	fill(other, 77);
	memcpy(at, other, LEN);
	iov[0] = (struct iovec){at, 4096};
	iov[1] = (struct iovec){at + 4096, LEN - 4096};
	op.len_bytes = LEN;
	harness_io(h, channel, ops, 1);
	assert_int_equal(op.result, 0);
	assert_int_equal(harness_read(h, channel, other, 0, LEN), 0);
	check(other, 77);
	/* And none. */
	assert_int_equal(map_guest(h, channel, NULL), 0);
	assert_int_equal(pieces(h), 0);
	check_io(h, channel, at, at + LEN, 0);
	assert_int_equal(fixed_of(channel), 6);
	harness_channel_close(h, channel);
	storage_close(storage);
	guest_free(&guest);
	munmap(at, MIB);
	free(other);
}

static void test_inside_direct(void **state)
{
	run_inside(*state, STORAGE_CACHE_NONE);
}

static void test_inside_writeback(void **state)
{
	run_inside(*state, STORAGE_CACHE_WRITEBACK);
}

/* Without the option nothing is registered. */
static void test_off(void **state)
{
	struct harness *h = *state;
	struct storage_options options = options_of(h, STORAGE_CACHE_NONE);
	struct storage_channel *channel;
	struct storage *storage;
	struct guest guest;
	uint8_t *at = guest_simple(&guest, MIB);

	options.pin_memory = false;
	storage = harness_open(&options);
	channel = harness_channel_open(h, storage);
	assert_int_equal(map_guest(h, channel, guest.memory), 0);
	assert_int_equal(pieces(h), 0);
	check_io(h, channel, at, at + LEN, 0);
	harness_channel_close(h, channel);
	storage_close(storage);
	guest_free(&guest);
	munmap(at, MIB);
}

/* What lies in two chunks or two regions is in no registered buffer, though all of it is. */
static void test_boundaries(void **state)
{
	struct harness *h = *state;
	struct storage_options options = options_of(h, STORAGE_CACHE_NONE);
	struct storage *storage = harness_open(&options);
	struct storage_channel *channel = harness_channel_open(h, storage);
	const uint64_t size = URING_CHUNK_BYTES + MIB;
	uint8_t *at = reserve(size + MIB);
	uint8_t *edge = at + URING_CHUNK_BYTES;
	struct guest guest;

	/* Neighbours, and the order of gpa is not that of our addresses. */
	region_at(&guest.regions[0], 4ull << 30, at, size, PROT_READ | PROT_WRITE);
	region_at(&guest.regions[1], 0, at + size, MIB, PROT_READ | PROT_WRITE);
	guest_build(&guest, 2);
	assert_int_equal(map_guest(h, channel, guest.memory), 0);
	assert_int_equal(pieces(h), 2);
	check_io(h, channel, edge - LEN, edge, 2);
	check_io(h, channel, edge - 4096, at, 1);
	check_io(h, channel, at, edge - 4096, 1);
	check_io(h, channel, at + size - LEN, at + size, 2);
	check_io(h, channel, at + size - 4096, at + size + MIB - LEN, 1);
	check_io(h, channel, at + size + LEN, at + size - 4096, 1);
	harness_channel_close(h, channel);
	assert_int_equal(pieces(h), 0);
	storage_close(storage);
	guest_free(&guest);
	munmap(at, size + MIB);
}

static void test_change(void **state)
{
	struct harness *h = *state;
	struct storage_options options = options_of(h, STORAGE_CACHE_NONE);
	struct storage *storage = harness_open(&options);
	struct storage_channel *channel = harness_channel_open(h, storage);
	struct guest first, second, third;
	uint8_t *at = guest_simple(&first, MIB);
	uint8_t *elsewhere = reserve(2 * MIB);

	/* A region stays and another comes: the first is not registered anew. */
	second.regions[0] = first.regions[0];
	region_at(&second.regions[1], 1ull << 30, elsewhere, MIB, PROT_READ | PROT_WRITE);
	guest_build(&second, 2);
	assert_int_equal(map_guest(h, channel, first.memory), 0);
	check_io(h, channel, at, elsewhere, 1);
	assert_int_equal(map_guest(h, channel, second.memory), 0);
	check_io(h, channel, at, elsewhere, 2);
	/* The first goes; its address is another region's, with other pages. */
	assert_int_equal(map_guest(h, channel, NULL), 0);
	munmap(at, MIB);
	region_at(&third.regions[0], 0, at, MIB, PROT_READ | PROT_WRITE);
	region_at(&third.regions[1], 1ull << 30, elsewhere + MIB, MIB, PROT_READ | PROT_WRITE);
	guest_build(&third, 2);
	assert_int_equal(map_guest(h, channel, third.memory), 0);
	assert_int_equal(pieces(h), 2);
	check_io(h, channel, at, at + LEN, 2);
	check_io(h, channel, elsewhere + MIB, at, 2);
	check_io(h, channel, elsewhere, at, 1);
	harness_channel_close(h, channel);
	storage_close(storage);
	guest_free(&first);
	guest_free(&second);
	guest_free(&third);
	munmap(at, MIB);
	munmap(elsewhere, 2 * MIB);
}

/* --- an operation that is queued for the kernel while its memory goes --- */

struct race {
	struct storage_channel *channel;
	struct storage_op *op;
	struct gmem *after;
	bool reaped;
};

static void race_start(struct worker *worker, void *arg)
{
	struct race *race = arg;

	(void)worker;
	storage_submit(race->channel, &race->op, 1);
	/* The same turn: the ring was not entered, and the entry names a slot by its number. */
	storage_channel_map_guest(race->channel, race->after);
}

static void race_reap(struct worker *worker, void *arg)
{
	struct race *race = arg;
	struct storage_op *op;

	(void)worker;
	race->reaped = race->reaped || storage_reap(race->channel, &op, 1) == 1;
}

static void test_change_under_queued(void **state)
{
	struct harness *h = *state;
	struct storage_options options = options_of(h, STORAGE_CACHE_NONE);
	struct storage *storage = harness_open(&options);
	struct storage_channel *channel = harness_channel_open(h, storage);
	struct guest before, after;
	uint8_t *at = guest_simple(&before, MIB);
	uint8_t *elsewhere = guest_simple(&after, MIB);
	struct gmem *next[] = {NULL, after.memory};

	for (unsigned i = 0; i < ARRAY_LEN(next); i++) {
		struct iovec iov = {at, LEN};
		struct storage_op op = {.kind = STORAGE_READ, .iov = &iov, .iov_cnt = 1};
		struct race race = {.channel = channel, .op = &op, .after = next[i]};
		uint64_t deadline_ns = clock_now_ns() + 30 * NS_PER_S;

		assert_int_equal(map_guest(h, channel, before.memory), 0);
		check_io(h, channel, at, at + LEN, 2);
		fill(elsewhere, 5);
		assert_int_equal(harness_write(h, channel, elsewhere, 0, LEN), 0);
		memset(at, 0, LEN);
		op.len_bytes = LEN;
		harness_run(h, race_start, &race);
		while (!race.reaped && clock_now_ns() < deadline_ns)
			harness_run(h, race_reap, &race);
		assert_true(race.reaped);
		assert_int_equal(op.result, 0);
		check(at, 5);
	}
	harness_channel_close(h, channel);
	storage_close(storage);
	guest_free(&before);
	guest_free(&after);
	munmap(at, MIB);
	munmap(elsewhere, MIB);
}

/* Disks of one front end: what they share is registered once, and goes with the last. */
static void run_sharing(struct harness *h, bool first_closes_first)
{
	struct storage_options options = options_of(h, STORAGE_CACHE_NONE);
	struct storage *storage = harness_open(&options);
	struct storage_channel *channels[2];
	unsigned closes = first_closes_first ? 0 : 1;
	struct guest guest;
	uint8_t *at = guest_simple(&guest, MIB);

	for (unsigned i = 0; i < 2; i++) {
		channels[i] = harness_channel_open(h, storage);
		assert_int_equal(map_guest(h, channels[i], guest.memory), 0);
		assert_int_equal(pieces(h), 1);
	}
	check_io(h, channels[0], at, at + LEN, 2);
	check_io(h, channels[1], at, at + LEN, 2);
	harness_channel_close(h, channels[closes]);
	assert_int_equal(pieces(h), 1);
	check_io(h, channels[!closes], at, at + LEN, 2);
	harness_channel_close(h, channels[!closes]);
	assert_int_equal(pieces(h), 0);
	storage_close(storage);
	guest_free(&guest);
	munmap(at, MIB);
}

static void test_sharing(void **state)
{
	run_sharing(*state, true);
	run_sharing(*state, false);
}

/* Pages that the kernel may not write to cannot be registered; all goes on, and the rest is. */
static void test_refused(void **state)
{
	struct harness *h = *state;
	struct storage_options options = options_of(h, STORAGE_CACHE_NONE);
	struct storage *storage = harness_open(&options);
	struct storage_channel *channel = harness_channel_open(h, storage);
	uint8_t *at = reserve(2 * MIB);
	struct guest guest;

	region_at(&guest.regions[0], 0, at, MIB, PROT_READ);
	region_at(&guest.regions[1], MIB, at + MIB, MIB, PROT_READ | PROT_WRITE);
	guest_build(&guest, 2);
	assert_int_equal(map_guest(h, channel, guest.memory), 0);
	check_io(h, channel, at + MIB, at + MIB + LEN, 2);
	mprotect(at, MIB, PROT_READ | PROT_WRITE);
	check_io(h, channel, at, at + LEN, 0);
	/* The next user has it tried again. */
	assert_int_equal(map_guest(h, channel, guest.memory), 0);
	check_io(h, channel, at, at + LEN, 2);
	harness_channel_close(h, channel);
	storage_close(storage);
	guest_free(&guest);
	munmap(at, 2 * MIB);
}

static int drop_cap_ipc_lock(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &header, data) < 0)
		return -errno;
	data[0].effective &= ~(1u << CAP_IPC_LOCK);
	return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

/* In a child of its own, which gets another worker: the limit is looked at when a ring is made. */
static int limited_child(void)
{
	/* The ring itself counts too. */
	const struct rlimit limit = {.rlim_cur = 4 * MIB, .rlim_max = 4 * MIB};
	struct storage_channel *channel;
	struct storage_options options;
	struct storage *storage;
	struct guest guest;
	struct harness *h;
	void *state = NULL;
	uint8_t *at;

	if (drop_cap_ipc_lock() < 0 || setrlimit(RLIMIT_MEMLOCK, &limit) < 0 ||
	    harness_setup(&state) < 0)
		return 1;
	h = state;
	options = options_of(h, STORAGE_CACHE_NONE);
	at = guest_simple(&guest, 8 * MIB);
	storage = harness_open(&options);
	channel = harness_channel_open(h, storage);
	map_guest(h, channel, guest.memory);
	check_io(h, channel, at, at + LEN, 0);
	harness_channel_close(h, channel);
	storage_close(storage);
	guest_free(&guest);
	munmap(at, 8 * MIB);
	harness_teardown(&state);
	return 0;
}

static void test_memlock(void **state)
{
	static char said[4096];
	size_t len = 0;
	ssize_t n;
	int status, fds[2];
	pid_t child;

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		dup2(fds[1], STDERR_FILENO);
		_exit(limited_child());
	}
	fdio_close(&fds[1]);
	while (len < sizeof(said) - 1 && (n = read(fds[0], said + len, sizeof(said) - 1 - len)) > 0)
		len += (size_t)n;
	fdio_close(&fds[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	if (status != 0)
		fail_msg("the child failed: %s", said);
	assert_contains(said, "registered 0 of 8 MiB");
	assert_contains(said, "RLIMIT_MEMLOCK is 4096 KiB");
	assert_contains(said, "LimitMEMLOCK=infinity");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_inside_direct),
		cmocka_unit_test(test_inside_writeback),
		cmocka_unit_test(test_off),
		cmocka_unit_test(test_boundaries),
		cmocka_unit_test(test_change),
		cmocka_unit_test(test_sharing),
		cmocka_unit_test(test_change_under_queued),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_memlock),
	};

	return cmocka_run_group_tests(tests, harness_setup, harness_teardown);
}
