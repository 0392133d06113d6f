/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Held calls of a port's queue, on rings: frames are counted, not chains; what changes meanwhile;
 * what is seen from outside. The clock is the test's.
 * Not the decision itself (test_coalesce_port.c).
 */
#include "hold_rig.h"

#include <stdlib.h>

#include "base/compiler.h"

static const struct coalesce_config off = {COALESCE_OFF, 8, 50, false};

/* Counters of a device that counts frames. */
struct port_rig {
	struct rig rig;
	uint64_t frames, bytes, sent;
	struct virtqueue_port port;
};

static void port_rig_init(struct port_rig *p, const struct way *way,
			  const struct coalesce_config *config)
{
	rig_init(&p->rig, way, false);
	p->frames = 1000;
	p->bytes = p->sent = 0;
	p->port = (struct virtqueue_port){&p->frames, &p->bytes, &p->sent, true};
	virtqueue_set_coalesce(p->rig.f.vq, config);
	submit(&p->rig, 40);
}

/* A burst of frames, over so many chains each: how many calls it makes. */
static uint64_t burst(struct port_rig *p, unsigned frames, unsigned chains, uint64_t now_ns)
{
	complete(&p->rig, frames * chains);
	p->frames += frames;
	p->bytes += 60ull * frames;
	virtqueue_notify_port(p->rig.f.vq, &p->port, now_ns);
	return fixture_signals(p->rig.f.call_fd);
}

static void test_off(void **state)
{
	struct port_rig p;

	port_rig_init(&p, *state, &off);
	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(burst(&p, 1, 1, T0), 1);
		assert_int_equal(burst(&p, 0, 1, T0), 0);
		assert_int_equal(virtqueue_held_until_ns(p.rig.f.vq), 0);
	}
	for (unsigned i = 0; i < COALESCE_VERDICT_MAX_; i++)
		assert_int_equal(coalesced(&p.rig, i), 0);
	rig_fini(&p.rig);
}

static void test_frames_are_counted(void **state)
{
	struct port_rig p;

	port_rig_init(&p, *state, &hold_8_50us);
	/* The first decision knows chains alone; from there on, frames of two chains each. */
	assert_int_equal(burst(&p, 8, 1, T0), 1);
	driver_reap(&p.rig);
	submit(&p.rig, 8);
	assert_int_equal(burst(&p, 3, 2, T0), 0);
	assert_int_equal(virtqueue_held_until_ns(p.rig.f.vq), T0 + 50 * US);
	assert_int_equal(burst(&p, 4, 1, T0 + 10 * US), 0);
	assert_int_equal(burst(&p, 1, 1, T0 + 20 * US), 1);
	assert_int_equal(virtqueue_held_until_ns(p.rig.f.vq), 0);
	/* By time. */
	assert_int_equal(burst(&p, 1, 1, T0 + 30 * US), 0);
	assert_int_equal(burst(&p, 0, 1, T0 + 80 * US - 1), 0);
	assert_int_equal(burst(&p, 0, 1, T0 + 80 * US), 1);
	assert_int_equal(coalesced(&p.rig, COALESCE_HOLD), 3);
	assert_int_equal(coalesced(&p.rig, COALESCE_DUE_PACKETS), 2);
	assert_int_equal(coalesced(&p.rig, COALESCE_DUE_DEADLINE), 1);
	rig_fini(&p.rig);
}

/* A chain that brought no frame has its call like one. */
static void test_chains_without_frames(void **state)
{
	const struct coalesce_config config = {COALESCE_STATIC, 2, 50, false};
	struct port_rig p;

	port_rig_init(&p, *state, &config);
	assert_int_equal(burst(&p, 2, 1, T0), 1);
	complete(&p.rig, 3);
	virtqueue_notify_port(p.rig.f.vq, &p.port, T0);
	assert_int_equal(virtqueue_held_until_ns(p.rig.f.vq), T0 + 50 * US);
	assert_int_equal(burst(&p, 1, 1, T0), 1);
	rig_fini(&p.rig);
}

/* The last one is held like any other: nothing is in flight, and frames may come all the same. */
static void test_nothing_in_flight(void **state)
{
	struct port_rig p;

	port_rig_init(&p, *state, &hold_8_50us);
	virtqueue_set_coalesce(p.rig.f.vq, &off);
	assert_int_equal(burst(&p, 38, 1, T0), 1);
	driver_reap(&p.rig);
	submit(&p.rig, 30);
	virtqueue_set_coalesce(p.rig.f.vq, &hold_8_50us);
	/* What came while it was off is of no interest. */
	assert_int_equal(burst(&p, 2, 1, T0), 0);
	assert_int_equal(burst(&p, 0, 1, T0 + 50 * US), 1);
	rig_fini(&p.rig);
}

static void test_bounds_that_change(void **state)
{
	static const struct coalesce_config four = {COALESCE_STATIC, 4, 50, false};
	static const struct coalesce_config seven = {COALESCE_STATIC, 7, 40, false};
	static const struct coalesce_config adaptive = {COALESCE_ADAPTIVE, 256, 500, false};
	struct port_rig p;

	port_rig_init(&p, *state, &hold_8_50us);
	/* Allowed to wait on: the same count, the same time. */
	assert_int_equal(burst(&p, 5, 1, T0), 0);
	virtqueue_set_coalesce(p.rig.f.vq, &seven);
	assert_true(virtqueue_held_until_ns(p.rig.f.vq) <= T0);
	assert_int_equal(burst(&p, 0, 1, T0 + US), 0);
	assert_int_equal(virtqueue_held_until_ns(p.rig.f.vq), T0 + 40 * US);
	assert_int_equal(burst(&p, 1, 1, T0 + 2 * US), 0);
	/* Not any more. */
	virtqueue_set_coalesce(p.rig.f.vq, &four);
	assert_int_equal(burst(&p, 0, 1, T0 + 3 * US), 1);
	/* Other modes. */
	assert_int_equal(burst(&p, 1, 1, T0 + 4 * US), 0);
	virtqueue_set_coalesce(p.rig.f.vq, &off);
	assert_int_equal(burst(&p, 0, 1, T0 + 5 * US), 1);
	virtqueue_set_coalesce(p.rig.f.vq, &four);
	assert_int_equal(burst(&p, 1, 1, T0 + 6 * US), 0);
	virtqueue_set_coalesce(p.rig.f.vq, &adaptive);
	assert_int_equal(burst(&p, 0, 1, T0 + 7 * US), 1);
	rig_fini(&p.rig);
}

static void test_notify_releases(void **state)
{
	struct port_rig p;

	port_rig_init(&p, *state, &hold_8_50us);
	assert_int_equal(burst(&p, 7, 1, T0), 0);
	virtqueue_notify(p.rig.f.vq);
	assert_int_equal(fixture_signals(p.rig.f.call_fd), 1);
	assert_int_equal(virtqueue_held_until_ns(p.rig.f.vq), 0);
	assert_int_equal(burst(&p, 0, 1, T0 + 500 * US), 0);
	assert_int_equal(burst(&p, 7, 1, T0 + 500 * US), 0);
	assert_int_equal(burst(&p, 1, 1, T0 + 501 * US), 1);
	rig_fini(&p.rig);
}

static void test_memory_lost(void **state)
{
	struct gmem *without;
	struct port_rig p;

	port_rig_init(&p, *state, &hold_8_50us);
	assert_int_equal(burst(&p, 3, 1, T0), 0);
	without = driver_memory_without(p.rig.f.memory, 0);
	virtqueue_set_memory(p.rig.f.vq, without);
	assert_int_equal(fixture_signals(p.rig.f.call_fd), 1);
	assert_int_equal(virtqueue_held_until_ns(p.rig.f.vq), 0);
	assert_int_equal(virtqueue_free_cnt(p.rig.f.vq), 0);
	assert_int_equal(burst(&p, 3, 1, T0), 0);
	rig_fini(&p.rig);
	free(without);
}

/* What is posted, fetched or not, less what is used; wherever the ring begins. */
static void test_free_cnt(void **state)
{
	const struct seg seg = {DATA_GPA, 64, true};
	struct rig rig;

	rig_init(&rig, *state, false);
	for (unsigned round = 0; round < 50; round++) {
		const unsigned cnt = round % 3 ? (round * 13) % (RING_SIZE + 1) : RING_SIZE;
		const unsigned fetched = round % (cnt + 1);

		assert_int_equal(virtqueue_free_cnt(rig.f.vq), 0);
		if (fetched)
			submit(&rig, fetched);
		for (unsigned i = fetched; i < cnt; i++) {
			assert_true(driver_add(&rig.f.driver, &seg, 1) >= 0);
			driver_publish(&rig.f.driver);
			assert_int_equal(virtqueue_free_cnt(rig.f.vq), i + 1);
		}
		while (rig.cnt < cnt) {
			assert_int_equal(
				virtqueue_fetch(rig.f.vq, rig.f.pool,
						&rig.slots[(rig.first + rig.cnt) % RING_SIZE], 1),
				1);
			rig.cnt++;
			assert_int_equal(virtqueue_free_cnt(rig.f.vq), cnt);
		}
		for (unsigned i = cnt; i > 0; i--) {
			assert_int_equal(virtqueue_free_cnt(rig.f.vq), i);
			complete(&rig, 1);
		}
		driver_reap(&rig);
	}
	rig_fini(&rig);
}

static void test_view(void **state)
{
	struct coalesce_view view;
	struct port_rig p;

	port_rig_init(&p, *state, &hold_8_50us);
	assert_int_equal(burst(&p, 1, 1, T0), 0);
	assert_int_equal(burst(&p, 0, 1, T0 + 53 * US), 1); /* below 64 us */
	assert_int_equal(burst(&p, 1, 1, T0 + 60 * US), 0);
	assert_int_equal(burst(&p, 7, 1, T0 + 63 * US), 1); /* below 4 us */
	assert_int_equal(burst(&p, 8, 1, T0 + 70 * US), 1); /* at once */
	virtqueue_coalesce_view(p.rig.f.vq, &view);
	assert_int_equal(view.config.mode, COALESCE_STATIC);
	assert_int_equal(view.packets, 8);
	assert_int_equal(view.usecs, 50);
	assert_int_equal(view.why, COALESCE_DUE_PACKETS);
	for (unsigned i = 0; i < COALESCE_HELD_BUCKETS; i++)
		assert_int_equal(view.held[i], i == 0 || i == 2 || i == 6);
	rig_fini(&p.rig);
}

/* A stream on a ring: held by the rate, and what was chosen is seen. */
static void test_adaptive(void **state)
{
	static const struct coalesce_config config = {COALESCE_ADAPTIVE, 256, 500, false};
	struct coalesce_view view;
	uint64_t now_ns = T0;
	unsigned calls = 0;
	struct port_rig p;

	port_rig_init(&p, *state, &config);
	for (unsigned i = 0; i < 4000; i++, now_ns += 10 * US) {
		const uint64_t due_ns = virtqueue_held_until_ns(p.rig.f.vq);

		if (due_ns && due_ns <= now_ns)
			calls += (unsigned)burst(&p, 0, 1, due_ns);
		calls += (unsigned)burst(&p, 1, 1, now_ns);
		driver_reap(&p.rig);
		submit(&p.rig, 1);
	}
	/* 40 buffers are too few to hold any. */
	assert_int_equal(coalesced(&p.rig, COALESCE_HOLD), 0);
	assert_true(coalesced(&p.rig, COALESCE_DUE_BUFFERS) > 3000);
	assert_int_equal(calls, 4000);
	virtqueue_coalesce_view(p.rig.f.vq, &view);
	assert_int_equal(view.why, COALESCE_DUE_BUFFERS);
	assert_in_range(view.usecs, 260, 276);
	rig_fini(&p.rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WAYS_DIRECT(test_off),
		WAYS_DIRECT(test_frames_are_counted),
		WAYS_DIRECT(test_chains_without_frames),
		WAYS_DIRECT(test_nothing_in_flight),
		WAYS_DIRECT(test_bounds_that_change),
		WAYS_DIRECT(test_notify_releases),
		WAYS_DIRECT(test_memory_lost),
		WAYS_DIRECT(test_free_cnt),
		WAYS_DIRECT(test_view),
		WAYS_DIRECT(test_adaptive),
	};

	return cmocka_run_group_tests_name("a port's held calls", tests, NULL, NULL);
}
