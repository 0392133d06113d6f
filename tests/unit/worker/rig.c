/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fixture of the worker tests. Not a test.
 */
#include "rig.h"

#include <dirent.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>

#include "base/check.h"
#include "base/fdio.h"
#include "worker/worker_priv.h"

#define DEADLINE_NS (60 * NS_PER_S)

void rig_wait_step(uint64_t start_ns)
{
	const struct timespec pause = {.tv_nsec = 50 * 1000};

	assert_true(clock_now_ns() - start_ns < DEADLINE_NS);
	nanosleep(&pause, NULL);
}

static void note_thread(struct worker *worker, void *arg)
{
	struct rig *rig = arg;

	(void)worker;
	rig->worker_thread = pthread_self();
}

struct rig *rig_new(unsigned sq_entries)
{
	const struct worker_options options = {.cpu = -1, .idx = 0, .sq_entries = sq_entries};
	struct rig *rig = calloc(1, sizeof(*rig));
	struct err err = ERR_INIT;

	assert_non_null(rig);
	rig->loop = evloop_new(&err);
	assert_non_null(rig->loop);
	if (worker_new(&options, rig->loop, &rig->worker, &err) < 0)
		fail_msg("%s", err.text);
	rig_call(rig, note_thread, rig);
	return rig;
}

void rig_free(struct rig *rig)
{
	worker_free(rig->worker);
	evloop_free(rig->loop);
	free(rig);
}

int rig_setup(void **state)
{
	*state = rig_new(0);
	return 0;
}

int rig_teardown(void **state)
{
	rig_free(*state);
	return 0;
}

struct waiting_call {
	struct worker_call call;
	void (*fn)(struct worker *worker, void *arg);
	void *arg;
	bool done;
};

static void waiting_run(struct worker *worker, struct worker_call *call)
{
	struct waiting_call *waiting = container_of(call, struct waiting_call, call);

	waiting->fn(worker, waiting->arg);
	worker_call_ack(call);
}

static void waiting_done(struct worker_call *call)
{
	container_of(call, struct waiting_call, call)->done = true;
}

void rig_call(struct rig *rig, void (*fn)(struct worker *worker, void *arg), void *arg)
{
	struct waiting_call waiting = {
		.call = {.run_on_worker = waiting_run, .done_on_control = waiting_done},
		.fn = fn,
		.arg = arg,
	};
	const uint64_t start_ns = clock_now_ns();

	worker_call(rig->worker, &waiting.call);
	while (!waiting.done) {
		assert_int_equal(evloop_turn(rig->loop, 1000), 0);
		assert_true(clock_now_ns() - start_ns < DEADLINE_NS);
	}
}

static void no_op(struct worker *worker, void *arg)
{
	(void)worker;
	(void)arg;
}

void rig_turns(struct rig *rig, unsigned cnt)
{
	/* A call takes a turn of its own, for the next is sent after its acknowledgement. */
	for (unsigned i = 0; i < cnt; i++)
		rig_call(rig, no_op, NULL);
}

void rig_wait_asleep(struct rig *rig)
{
	const struct worker_stats *stats = worker_stats(rig->worker);
	const uint64_t start_ns = clock_now_ns();
	uint64_t turns;
	uint64_t sleeps;

	/* A call is what wakes it; with nothing else to do it goes back to sleep after it. */
	rig_turns(rig, 1);
	do {
		turns = stat_read(&stats->turns);
		sleeps = stat_read(&stats->sleeps);
		rig_wait_step(start_ns);
	} while (stat_read(&stats->turns) != turns || stat_read(&stats->sleeps) != sleeps ||
		 sleeps == 0);
}

static unsigned fake_poll(struct poller *poller, uint64_t now_ns)
{
	struct fake_poller *fake = container_of(poller, struct fake_poller, poller);
	unsigned did = 0;

	CHECK(!fake->armed);
	CHECK(poller->hot);
	CHECK(now_ns == worker_now_ns(poller->worker));
	set(&fake->poll_now_ns, now_ns);
	if (get(&fake->work_left) > 0) {
		add(&fake->work_left, -1);
		did = 1;
	}
	add(&fake->polls, 1);
	if (fake->on_poll)
		fake->on_poll(fake); /* may free it */
	return did;
}

static bool fake_prepare_sleep(struct poller *poller)
{
	struct fake_poller *fake = container_of(poller, struct fake_poller, poller);
	bool arrived = false;

	CHECK(!fake->armed);
	__atomic_store_n(&fake->armed, 1, __ATOMIC_SEQ_CST);
	if (fake->arrivals_left > 0) {
		fake->arrivals_left--;
		arrived = true;
	}
	/* Work that came since the last poll: what the re-check after arming is for. */
	if (__atomic_load_n(&fake->work_left, __ATOMIC_SEQ_CST) > 0)
		arrived = true;
	add(&fake->prepares, 1);
	if (fake->on_prepare)
		fake->on_prepare(fake);
	return arrived;
}

static void fake_cancel_sleep(struct poller *poller)
{
	struct fake_poller *fake = container_of(poller, struct fake_poller, poller);

	CHECK(fake->armed);
	set(&fake->armed, 0);
	add(&fake->cancels, 1);
	if (fake->on_cancel)
		fake->on_cancel(fake);
}

static uint64_t fake_next_deadline(struct poller *poller)
{
	struct fake_poller *fake = container_of(poller, struct fake_poller, poller);
	const uint64_t deadline_ns = fake->deadline_ns;

	fake->deadline_ns = 0;
	if (fake->on_deadline)
		fake->on_deadline(fake); /* may free it */
	return deadline_ns;
}

static void fake_kicked(struct poller *poller)
{
	struct fake_poller *fake = container_of(poller, struct fake_poller, poller);

	add(&fake->kicks, 1);
	if (fake->on_kick)
		fake->on_kick(fake);
}

static const struct poller_ops fake_ops = {
	.poll = fake_poll,
	.prepare_sleep = fake_prepare_sleep,
	.cancel_sleep = fake_cancel_sleep,
	.next_deadline = fake_next_deadline,
	.kicked = fake_kicked,
};

void fake_init(struct fake_poller *fake, enum poll_mode mode, uint64_t poll_max_ns)
{
	*fake = (struct fake_poller){
		.poller = {.ops = &fake_ops, .mode = mode, .poll_max_ns = poll_max_ns},
	};
}

struct fake_order {
	struct fake_poller *fake;
	enum poll_mode mode;
	uint64_t poll_max_ns;
	int fd;
	int rc;
};

static void order_add(struct worker *worker, void *arg)
{
	worker_poller_add(worker, &((struct fake_order *)arg)->fake->poller);
}

static void order_remove(struct worker *worker, void *arg)
{
	(void)worker;
	worker_poller_remove(&((struct fake_order *)arg)->fake->poller);
}

static void order_wake(struct worker *worker, void *arg)
{
	(void)worker;
	worker_poller_wake(&((struct fake_order *)arg)->fake->poller);
}

static void order_set_kick(struct worker *worker, void *arg)
{
	struct fake_order *order = arg;

	(void)worker;
	order->rc = worker_poller_set_kick(&order->fake->poller, order->fd);
}

static void order_set_mode(struct worker *worker, void *arg)
{
	struct fake_order *order = arg;

	(void)worker;
	worker_poller_set_mode(&order->fake->poller, order->mode, order->poll_max_ns);
}

static void order_is_hot(struct worker *worker, void *arg)
{
	struct fake_order *order = arg;

	(void)worker;
	order->rc = order->fake->poller.hot;
}

void fake_add(struct rig *rig, struct fake_poller *fake)
{
	rig_call(rig, order_add, &(struct fake_order){.fake = fake});
}

void fake_remove(struct rig *rig, struct fake_poller *fake)
{
	rig_call(rig, order_remove, &(struct fake_order){.fake = fake});
}

void fake_wake(struct rig *rig, struct fake_poller *fake)
{
	rig_call(rig, order_wake, &(struct fake_order){.fake = fake});
}

int fake_set_kick(struct rig *rig, struct fake_poller *fake, int fd)
{
	struct fake_order order = {.fake = fake, .fd = fd};

	rig_call(rig, order_set_kick, &order);
	return order.rc;
}

void fake_set_mode(struct rig *rig, struct fake_poller *fake, enum poll_mode mode,
		   uint64_t poll_max_ns)
{
	rig_call(rig, order_set_mode,
		 &(struct fake_order){.fake = fake, .mode = mode, .poll_max_ns = poll_max_ns});
}

bool fake_is_hot(struct rig *rig, struct fake_poller *fake)
{
	struct fake_order order = {.fake = fake};

	rig_call(rig, order_is_hot, &order);
	return order.rc;
}

void fake_wait_cold(struct rig *rig, struct fake_poller *fake)
{
	wait_until(!fake_is_hot(rig, fake));
}

void fake_drive(struct fake_poller *fake, int kick_fd)
{
	__atomic_add_fetch(&fake->work_left, 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&fake->armed, __ATOMIC_SEQ_CST))
		assert_int_equal(fdio_signal(kick_fd), 0);
}

int kick_fd_new(void)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	assert_true(fd >= 0);
	return fd;
}

static void count_watches(struct worker *worker, void *arg)
{
	struct list_node *node;
	struct list_node *next;
	unsigned cnt = 0;

	list_for_each_safe(node, next, &worker->watches) {
		cnt++;
	}
	*(unsigned *)arg = cnt;
}

unsigned watch_cnt(struct rig *rig)
{
	unsigned cnt;

	rig_call(rig, count_watches, &cnt);
	return cnt;
}

static unsigned dir_entry_cnt(const char *path)
{
	DIR *dir = opendir(path);
	unsigned cnt = 0;

	assert_non_null(dir);
	while (readdir(dir))
		cnt++;
	closedir(dir);
	return cnt;
}

unsigned open_fd_cnt(void)
{
	return dir_entry_cnt("/proc/self/fd");
}

unsigned thread_cnt(void)
{
	return dir_entry_cnt("/proc/self/task");
}
