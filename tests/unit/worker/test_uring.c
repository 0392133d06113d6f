/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests in a worker's ring: completion in every mode, more than the queues hold, errors; and
 * what is said where io_uring cannot be had. Not storage.
 */
#include "rig.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fdio.h"
#include "worker/worker_priv.h"

#define OPS 2000

struct counted_op {
	struct uring_op op;
	int res;
	unsigned done;
	struct fake_poller *wake;
};

static void counted_done(struct uring_op *op, int res, uint32_t cqe_flags)
{
	struct counted_op *counted = container_of(op, struct counted_op, op);

	if (cqe_flags & IORING_CQE_F_MORE)
		abort();
	counted->res = res;
	if (counted->wake)
		worker_poller_wake(&counted->wake->poller);
	add(&counted->done, 1);
}

static struct counted_op ops[OPS];
static char text[16];
static int text_fd;

static int setup(void **state)
{
	memset(ops, 0, sizeof(ops));
	for (unsigned i = 0; i < OPS; i++)
		ops[i].op.done = counted_done;
	memset(text, 0, sizeof(text));
	text_fd = memfd_create("text", MFD_CLOEXEC);
	assert_int_equal(pwrite(text_fd, "what was written", 16, 0), 16);
	return rig_setup(state);
}

static int teardown(void **state)
{
	fdio_close(&text_fd);
	return rig_teardown(state);
}

static void submit_nops(struct worker *worker, void *arg)
{
	const unsigned cnt = *(unsigned *)arg;
	struct uring *uring = worker_uring(worker);

	for (unsigned i = 0; i < cnt; i++) {
		struct io_uring_sqe *sqe = uring_sqe(uring);

		io_uring_prep_nop(sqe);
		uring_sqe_bind(sqe, &ops[i].op);
	}
	if (uring_pending(uring) != cnt)
		abort();
}

static void read_pending(struct worker *worker, void *arg)
{
	*(unsigned *)arg = uring_pending(worker_uring(worker));
}

static void check_nops(struct rig *rig, unsigned cnt)
{
	unsigned pending = 1;

	rig_call(rig, submit_nops, &cnt);
	for (unsigned i = 0; i < cnt; i++) {
		wait_until(get(&ops[i].done));
		assert_int_equal(ops[i].res, 0);
		assert_int_equal(ops[i].done, 1);
	}
	rig_call(rig, read_pending, &pending);
	assert_int_equal(pending, 0);
}

static void test_nop(void **state)
{
	check_nops(*state, 1);
}

/* Both queues are smaller than what one turn asks for: submitted in between, kept by the kernel. */
static void test_more_than_the_queues_hold(void **state)
{
	struct rig *rig = rig_new(4);

	(void)state;
	assert_true(rig->worker->uring.ring.cq.ring_entries * 4 < OPS);
	check_nops(rig, OPS);
	rig_free(rig);
}

/* --- a poller that reads a file --- */

static void submit_read(struct fake_poller *fake)
{
	struct counted_op *counted = fake->arg;
	struct io_uring_sqe *sqe;

	if (!counted)
		return;
	fake->arg = NULL;
	sqe = uring_sqe(worker_uring(fake->poller.worker));
	io_uring_prep_read(sqe, text_fd, text, sizeof(text), 0);
	uring_sqe_bind(sqe, &counted->op);
}

static void check_read(struct rig *rig, enum poll_mode mode, uint64_t poll_max_ns)
{
	struct fake_poller fake;

	fake_init(&fake, mode, poll_max_ns);
	fake.on_poll = submit_read;
	fake.arg = &ops[0];
	ops[0].wake = &fake;
	fake_add(rig, &fake);
	wait_until(get(&ops[0].done) == 1);
	assert_int_equal(ops[0].res, sizeof(text));
	assert_memory_equal(text, "what was written", sizeof(text));
	fake_remove(rig, &fake);
}

static void test_read_adaptive(void **state)
{
	check_read(*state, POLL_MODE_ADAPTIVE, 3600 * NS_PER_S);
}

static void test_read_always(void **state)
{
	check_read(*state, POLL_MODE_ALWAYS, 0);
}

static void test_read_never(void **state)
{
	check_read(*state, POLL_MODE_NEVER, 0);
}

/* --- a request that takes its time: the worker sleeps on it --- */

static int gate_fd;
static uint64_t gate_value;

static void submit_gate_read(struct fake_poller *fake)
{
	struct counted_op *counted = fake->arg;
	struct io_uring_sqe *sqe;

	if (!counted)
		return;
	fake->arg = NULL;
	sqe = uring_sqe(worker_uring(fake->poller.worker));
	io_uring_prep_read(sqe, gate_fd, &gate_value, sizeof(gate_value), 0);
	uring_sqe_bind(sqe, &counted->op);
}

static void test_completion_wakes_a_sleeper(void **state)
{
	struct rig *rig = *state;
	struct fake_poller fake;
	unsigned pending = 0;

	/* No O_NONBLOCK, so that the read waits in the kernel. */
	gate_fd = eventfd(0, EFD_CLOEXEC);
	fake_init(&fake, POLL_MODE_NEVER, 0);
	fake.on_poll = submit_gate_read;
	fake.arg = &ops[0];
	ops[0].wake = &fake;
	fake_add(rig, &fake);
	fake_wait_cold(rig, &fake);
	assert_int_equal(get(&fake.polls), 1);
	rig_call(rig, read_pending, &pending);
	assert_int_equal(pending, 1);
	rig_wait_asleep(rig);
	assert_int_equal(get(&ops[0].done), 0);
	assert_int_equal(fdio_signal(gate_fd), 0);
	wait_until(get(&ops[0].done) == 1 && get(&fake.polls) == 2);
	assert_int_equal(ops[0].res, sizeof(gate_value));
	assert_int_equal(gate_value, 1);
	fake_wait_cold(rig, &fake);
	fake_remove(rig, &fake);
	fdio_close(&gate_fd);
}

static void submit_bad_read(struct worker *worker, void *arg)
{
	struct io_uring_sqe *sqe = uring_sqe(worker_uring(worker));

	(void)arg;
	io_uring_prep_read(sqe, 1000000, text, sizeof(text), 0);
	uring_sqe_bind(sqe, &ops[0].op);
	/* One that fails at once must not hold up those behind it. */
	sqe = uring_sqe(worker_uring(worker));
	io_uring_prep_nop(sqe);
	uring_sqe_bind(sqe, &ops[1].op);
}

static void test_error_is_a_result(void **state)
{
	struct rig *rig = *state;

	rig_call(rig, submit_bad_read, NULL);
	wait_until(get(&ops[0].done) == 1 && get(&ops[1].done) == 1);
	assert_int_equal(ops[0].res, -EBADF);
	assert_int_equal(ops[1].res, 0);
}

/* --- multishot: an op that lives on while F_MORE is set --- */

static struct {
	struct uring_op op;
	unsigned more;
	unsigned last;
	int last_res;
	struct uring_op cancel;
	unsigned cancelled;
} shots;

static void shots_done(struct uring_op *op, int res, uint32_t cqe_flags)
{
	(void)op;
	if (cqe_flags & IORING_CQE_F_MORE) {
		add(&shots.more, 1);
	} else {
		shots.last_res = res;
		add(&shots.last, 1);
	}
}

static void shots_cancelled(struct uring_op *op, int res, uint32_t cqe_flags)
{
	(void)op;
	(void)res;
	(void)cqe_flags;
	add(&shots.cancelled, 1);
}

static void shots_start(struct worker *worker, void *arg)
{
	struct io_uring_sqe *sqe = uring_sqe(worker_uring(worker));

	(void)arg;
	shots.op.done = shots_done;
	io_uring_prep_poll_multishot(sqe, gate_fd, POLLIN);
	uring_sqe_bind(sqe, &shots.op);
}

static void shots_stop(struct worker *worker, void *arg)
{
	struct io_uring_sqe *sqe = uring_sqe(worker_uring(worker));

	(void)arg;
	shots.cancel.done = shots_cancelled;
	io_uring_prep_cancel(sqe, &shots.op, 0);
	uring_sqe_bind(sqe, &shots.cancel);
}

static void test_multishot_is_pending_until_its_last(void **state)
{
	struct rig *rig = *state;
	unsigned pending = 0;

	memset(&shots, 0, sizeof(shots));
	gate_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	rig_call(rig, shots_start, NULL);
	for (unsigned i = 1; i <= 10; i++) {
		assert_int_equal(fdio_signal(gate_fd), 0);
		wait_until(get(&shots.more) == i);
		rig_call(rig, read_pending, &pending);
		assert_int_equal(pending, 1);
	}
	rig_call(rig, shots_stop, NULL);
	wait_until(get(&shots.last) == 1 && get(&shots.cancelled) == 1);
	assert_int_equal(shots.last_res, -ECANCELED);
	rig_call(rig, read_pending, &pending);
	assert_int_equal(pending, 0);
	fdio_close(&gate_fd);
}

/* --- one entry a turn --- */

static void count_entries(struct worker *worker, void *arg)
{
	*(uint64_t *)arg = stat_read(&worker_stats(worker)->ring_entries);
}

/* A worker that polls and has nothing in flight leaves the kernel alone. */
static void test_polling_does_not_enter_the_ring(void **state)
{
	struct rig *rig = *state;
	struct fake_poller fake;
	uint64_t before;
	uint64_t after;
	unsigned polls;

	fake_init(&fake, POLL_MODE_ALWAYS, 0);
	fake_add(rig, &fake);
	rig_turns(rig, 2);
	rig_call(rig, count_entries, &before);
	polls = get(&fake.polls);
	wait_until(get(&fake.polls) > polls + 100000);
	rig_call(rig, count_entries, &after);
	/* Nothing rings for a call while the worker is awake. */
	assert_int_equal(after, before);
	fake_remove(rig, &fake);
}

/* --- where io_uring cannot be had --- */

/* Makes io_uring_setup fail with code, as a container's filter does. */
static int forbid_io_uring(int code)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)code),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = {.len = ARRAY_LEN(filter), .filter = filter};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
		return -errno;
	return 0;
}

/* In a child, for the filter stays. Writes the text of worker_new's error to out. */
static int child_worker_new(int code, int out)
{
	const struct worker_options options = {.cpu = -1, .idx = 3};
	struct err err = ERR_INIT;
	struct worker *worker = NULL;
	struct evloop *loop = evloop_new(NULL);
	unsigned fds = open_fd_cnt();
	int rc;

	if (!loop || forbid_io_uring(code) < 0)
		return 1;
	rc = worker_new(&options, loop, &worker, &err);
	if (rc != -code || err.code != code || worker || open_fd_cnt() != fds)
		return 2;
	evloop_free(loop);
	return write(out, err.text, strlen(err.text)) == (ssize_t)strlen(err.text) ? 0 : 3;
}

static void check_error(int code, const char *what)
{
	char said[ERR_TEXT_BYTES] = "";
	int fds[2];
	int status = -1;
	ssize_t len;
	pid_t child;

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0)
		_exit(child_worker_new(code, fds[1]));
	assert_int_equal(waitpid(child, &status, 0), child);
	fdio_close(&fds[1]);
	len = read(fds[0], said, sizeof(said) - 1);
	fdio_close(&fds[0]);
	assert_int_equal(status, 0);
	assert_true(len > 0);
	assert_memory_equal(said, "worker 3: ", strlen("worker 3: "));
	assert_non_null(strstr(said, "Linux 6.1"));
	assert_non_null(strstr(said, what));
}

static void test_missing(void **state)
{
	(void)state;
	check_error(ENOSYS, "CONFIG_IO_URING");
}

static void test_forbidden(void **state)
{
	FILE *file = fopen("/proc/sys/kernel/io_uring_disabled", "r");
	int disabled = 0;

	(void)state;
	if (file) {
		if (fscanf(file, "%d", &disabled) != 1)
			disabled = 0;
		fclose(file);
	}
	check_error(EPERM, disabled ? "kernel.io_uring_disabled" : "seccomp");
}

static void test_too_old(void **state)
{
	(void)state;
	check_error(EINVAL, "DEFER_TASKRUN");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_nop),
		TEST(test_more_than_the_queues_hold),
		TEST(test_read_adaptive),
		TEST(test_read_always),
		TEST(test_read_never),
		TEST(test_completion_wakes_a_sleeper),
		TEST(test_error_is_a_result),
		TEST(test_multishot_is_pending_until_its_last),
		TEST(test_polling_does_not_enter_the_ring),
		cmocka_unit_test(test_missing),
		cmocka_unit_test(test_forbidden),
		cmocka_unit_test(test_too_old),
	};

	return cmocka_run_group_tests_name("uring", tests, NULL, NULL);
}
