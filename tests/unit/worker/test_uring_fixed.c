/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is registered with a worker's ring: slots of files and of memory, who shares them, and what
 * happens when there are none. Not what storage makes of them (storage/test_file_pin.c).
 */
#include "rig.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/fdio.h"
#include "worker/worker_priv.h"

#define KIB 1024ull
#define GIB (1024ull * 1024 * 1024)

/* --- memory --- */

struct get_call {
	const void *identity;
	void *base;
	uint64_t size_bytes;
	struct uring_memory *memory;
	int status;
};

static void get_on_worker(struct worker *worker, void *arg)
{
	struct get_call *c = arg;

	c->status = uring_memory_get(worker_uring(worker), c->identity, c->base, c->size_bytes,
				     &c->memory);
}

static void put_on_worker(struct worker *worker, void *arg)
{
	uring_memory_put(worker_uring(worker), arg);
}

static int memory_get(struct rig *rig, const void *identity, void *base, uint64_t size_bytes,
		      struct uring_memory **out)
{
	struct get_call c = {.identity = identity, .base = base, .size_bytes = size_bytes};

	rig_call(rig, get_on_worker, &c);
	*out = c.memory;
	return c.status;
}

struct peek {
	const struct uring_memory *memory;
	struct uring_memory seen;
};

static void peek_on_worker(struct worker *worker, void *arg)
{
	struct peek *peek = arg;

	(void)worker;
	peek->seen = *peek->memory;
}

static struct uring_memory look(struct rig *rig, const struct uring_memory *memory)
{
	struct peek peek = {.memory = memory};

	rig_call(rig, peek_on_worker, &peek);
	return peek.seen;
}

static void test_index(void **state)
{
	const uint64_t start = 0x7f0000001000, chunk = URING_CHUNK_BYTES;
	struct uring_memory m = {.start = start, .first_idx = 40};

	(void)state;
	assert_int_equal(uring_memory_idx(&m, start, 1), -1);
	m.ready_bytes = 2 * chunk + 4096;
	assert_int_equal(uring_memory_idx(&m, start, 1), 40);
	assert_int_equal(uring_memory_idx(&m, start - 1, 1), -1);
	assert_int_equal(uring_memory_idx(&m, start - 1, 2), -1);
	assert_int_equal(uring_memory_idx(&m, 0, 1), -1);
	assert_int_equal(uring_memory_idx(&m, start, chunk), 40);
	assert_int_equal(uring_memory_idx(&m, start, chunk + 1), -1);
	assert_int_equal(uring_memory_idx(&m, start + chunk - 1, 1), 40);
	assert_int_equal(uring_memory_idx(&m, start + chunk - 1, 2), -1);
	assert_int_equal(uring_memory_idx(&m, start + chunk, chunk), 41);
	assert_int_equal(uring_memory_idx(&m, start + 2 * chunk, 4096), 42);
	assert_int_equal(uring_memory_idx(&m, start + 2 * chunk, 4097), -1);
	assert_int_equal(uring_memory_idx(&m, start + 2 * chunk + 4095, 1), 42);
	assert_int_equal(uring_memory_idx(&m, start + 2 * chunk + 4096, 1), -1);
	assert_int_equal(uring_memory_idx(&m, start, UINT64_MAX), -1);
	assert_int_equal(uring_memory_idx(&m, UINT64_MAX, 1), -1);
}

static void test_sharing(void **state)
{
	struct rig *rig = *state;
	uint8_t *base =
		mmap(NULL, 256 * KIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct uring_memory *a, *b, *c, *d;

	assert_int_equal(memory_get(rig, "one", base, 128 * KIB, &a), 0);
	assert_int_equal(memory_get(rig, a, base, 128 * KIB, &b), 0);
	assert_ptr_not_equal(a, b);
	assert_int_equal(memory_get(rig, a, base, 128 * KIB, &c), 0);
	assert_ptr_equal(b, c);
	assert_int_equal(memory_get(rig, a, base + 4096, 128 * KIB, &d), 0);
	assert_ptr_not_equal(b, d);
	wait_until(look(rig, d).ready_bytes == 128 * KIB);
	assert_int_equal(look(rig, a).first_idx, 0);
	assert_int_equal(look(rig, b).first_idx, 1);
	assert_int_equal(look(rig, d).first_idx, 2);
	rig_call(rig, put_on_worker, b);
	assert_int_equal(look(rig, c).users, 1);
	assert_int_equal(look(rig, c).ready_bytes, 128 * KIB);
	/* The gap that one leaves is filled first. */
	rig_call(rig, put_on_worker, c);
	assert_int_equal(memory_get(rig, "two", base, 256 * KIB, &b), 0);
	wait_until(look(rig, b).ready_bytes == 256 * KIB);
	assert_int_equal(look(rig, b).first_idx, 1);
	rig_call(rig, put_on_worker, a);
	rig_call(rig, put_on_worker, b);
	rig_call(rig, put_on_worker, d);
	munmap(base, 256 * KIB);
}

struct exchange {
	struct uring_memory *put;
	struct get_call get;
};

static void put_and_get(struct worker *worker, void *arg)
{
	struct exchange *c = arg;

	put_on_worker(worker, c->put);
	get_on_worker(worker, &c->get);
}

/* A TiB each: addresses that are nobody's, so that nothing is pinned. */
static void test_no_slots_left(void **state)
{
	struct rig *rig = *state;
	struct exchange c = {.get = {.identity = &c, .size_bytes = 1}};
	struct uring_memory *all, *other;
	uint8_t *base =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	c.get.base = base;
	munmap(base, 4096);
	assert_int_equal(memory_get(rig, rig, base, 1024 * GIB + 1, &all), -ENOSPC);
	assert_int_equal(memory_get(rig, rig, base, 1024 * GIB, &all), 0);
	wait_until(look(rig, all).status < 0);
	assert_int_equal(look(rig, all).ready_bytes, 0);
	assert_int_equal(memory_get(rig, &all, base, 1, &other), -ENOSPC);
	/* What is put is cleared at once when its slots are wanted. */
	c.put = all;
	rig_call(rig, put_and_get, &c);
	assert_int_equal(c.get.status, 0);
	assert_int_equal(look(rig, c.get.memory).first_idx, 0);
	rig_call(rig, put_on_worker, c.get.memory);
}

/* The first chunk is there, the second is not: so much is registered, and put again. */
static void test_half(void **state)
{
	struct rig *rig = *state;
	struct uring_memory *memory;
	uint8_t *base = mmap(NULL, 2 * URING_CHUNK_BYTES, PROT_NONE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	assert_ptr_not_equal(base, MAP_FAILED);
	mprotect(base, URING_CHUNK_BYTES, PROT_READ | PROT_WRITE);
	assert_int_equal(memory_get(rig, rig, base, 2 * URING_CHUNK_BYTES, &memory), 0);
	wait_until(look(rig, memory).status < 0);
	assert_int_equal(look(rig, memory).status, -EFAULT);
	assert_int_equal(look(rig, memory).ready_bytes, URING_CHUNK_BYTES);
	rig_call(rig, put_on_worker, memory);
	munmap(base, 2 * URING_CHUNK_BYTES);
}

/* Gone before its first chunk: nothing is left of it, no timer either (worker_free looks). */
static void get_and_put(struct worker *worker, void *arg)
{
	static uint8_t page[4096] __attribute__((aligned(4096)));
	struct get_call *c = arg;

	c->status = uring_memory_get(worker_uring(worker), c, page, sizeof(page), &c->memory);
	uring_memory_put(worker_uring(worker), c->memory);
}

static void test_put_at_once(void **state)
{
	struct get_call c;

	rig_call(*state, get_and_put, &c);
	assert_int_equal(c.status, 0);
}

/* A region that is named again while it is being cleared is registered anew, in other slots. */
static void test_again(void **state)
{
	static uint8_t page[4096] __attribute__((aligned(4096)));
	struct rig *rig = *state;
	struct exchange c = {.get = {.identity = page, .base = page, .size_bytes = sizeof(page)}};

	assert_int_equal(memory_get(rig, page, page, sizeof(page), &c.put), 0);
	wait_until(look(rig, c.put).ready_bytes == sizeof(page));
	rig_call(rig, put_and_get, &c);
	assert_int_equal(c.get.status, 0);
	wait_until(look(rig, c.get.memory).ready_bytes == sizeof(page));
	assert_int_equal(look(rig, c.get.memory).first_idx, 1);
	assert_int_equal(look(rig, c.get.memory).users, 1);
	rig_call(rig, put_on_worker, c.get.memory);
}

/* --- files --- */

static void file_get_on_worker(struct worker *worker, void *arg)
{
	int *fd = arg;

	*fd = uring_file_get(worker_uring(worker), *fd);
}

static void file_put_on_worker(struct worker *worker, void *arg)
{
	uring_file_put(worker_uring(worker), *(int *)arg);
}

static int file_get(struct rig *rig, int fd)
{
	rig_call(rig, file_get_on_worker, &fd);
	return fd;
}

struct file_read {
	struct uring_op op;
	int slot;
	char bytes[4];
	int res;
	unsigned done;
};

static void file_read_done(struct uring_op *op, int res, uint32_t cqe_flags)
{
	struct file_read *r = container_of(op, struct file_read, op);

	(void)cqe_flags;
	r->res = res;
	add(&r->done, 1);
}

static void file_read_on_worker(struct worker *worker, void *arg)
{
	struct io_uring_sqe *sqe = uring_sqe(worker_uring(worker));
	struct file_read *r = arg;

	r->op.done = file_read_done;
	io_uring_prep_read(sqe, r->slot, r->bytes, sizeof(r->bytes), 0);
	sqe->flags = IOSQE_FIXED_FILE;
	uring_sqe_bind(sqe, &r->op);
}

static int file_read(struct rig *rig, int slot, const char *expected)
{
	struct file_read r = {.slot = slot};

	rig_call(rig, file_read_on_worker, &r);
	wait_until(get(&r.done) == 1);
	if (r.res == 4)
		assert_memory_equal(r.bytes, expected, 4);
	return r.res;
}

static void test_files(void **state)
{
	struct rig *rig = *state;
	int fds[2], slot, again;

	for (unsigned i = 0; i < 2; i++) {
		fds[i] = memfd_create("file", MFD_CLOEXEC);
		assert_int_equal(pwrite(fds[i], i ? "two." : "one.", 4, 0), 4);
	}
	slot = file_get(rig, fds[0]);
	assert_true(slot >= 0);
	assert_int_equal(file_get(rig, fds[0]), slot);
	again = file_get(rig, fds[1]);
	assert_int_not_equal(again, slot);
	assert_int_equal(file_read(rig, slot, "one."), 4);
	assert_int_equal(file_read(rig, again, "two."), 4);
	rig_call(rig, file_put_on_worker, &again);
	assert_int_equal(file_read(rig, again, ""), -EBADF);
	/* One of two users goes. */
	rig_call(rig, file_put_on_worker, &slot);
	assert_int_equal(file_read(rig, slot, "one."), 4);
	rig_call(rig, file_put_on_worker, &slot);
	assert_int_equal(file_read(rig, slot, ""), -EBADF);
	/* The number is another file's now. */
	fdio_close(&fds[0]);
	assert_int_equal(dup(fds[1]), slot);
	assert_int_equal(file_get(rig, slot), slot);
	assert_int_equal(file_read(rig, slot, "two."), 4);
	rig_call(rig, file_put_on_worker, &slot);
	fdio_close(&slot);
	fdio_close(&fds[1]);
}

static bool hung_up(int fd)
{
	struct pollfd poll_fd = {.fd = fd};

	return poll(&poll_fd, 1, 0) == 1 && (poll_fd.revents & POLLHUP);
}

/* What was put and closed is closed: the other end of a pipe sees it. */
static void test_file_is_let_go(void **state)
{
	struct rig *rig = *state;
	int ends[2], slot;

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	slot = file_get(rig, ends[1]);
	assert_true(slot >= 0);
	fdio_close(&ends[1]);
	assert_false(hung_up(ends[0]));
	rig_call(rig, file_put_on_worker, &slot);
	wait_until(hung_up(ends[0]));
	fdio_close(&ends[0]);
}

/* Beyond the table, or no descriptor at all. */
static void test_file_refused(void **state)
{
	struct rig *rig = *state;
	const int none = -1;
	struct rlimit limit;
	int fd, far;

	assert_int_equal(file_get(rig, -1), -1);
	assert_int_equal(file_get(rig, 1000000), -1);
	rig_call(rig, file_put_on_worker, (void *)(uintptr_t)&none);
	/* Not open. */
	fd = dup(0);
	far = fd;
	fdio_close(&fd);
	assert_int_equal(file_get(rig, far), -1);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	if (limit.rlim_cur <= 4096) {
		print_message("skipped: descriptors beyond the table (RLIMIT_NOFILE is %llu)\n",
			      (unsigned long long)limit.rlim_cur);
		return;
	}
	fd = fcntl(0, F_DUPFD_CLOEXEC, 4096);
	assert_true(fd >= 4096);
	assert_int_equal(file_get(rig, fd), -1);
	fdio_close(&fd);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_index),
		TEST(test_sharing),
		TEST(test_no_slots_left),
		TEST(test_half),
		TEST(test_put_at_once),
		TEST(test_again),
		TEST(test_files),
		TEST(test_file_is_let_go),
		TEST(test_file_refused),
	};

	return cmocka_run_group_tests_name("uring_fixed", tests, NULL, NULL);
}
