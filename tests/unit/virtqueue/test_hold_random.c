/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Held calls in random sequences against a model: no completion goes without its call for longer
 * than the bound after the first, and none at all while nothing is in flight.
 * Not single cases (test_hold.c).
 */
#include "hold_rig.h"

#include <stdlib.h>

/* All that matters about calls: what is used and not called for, and since when. */
struct model {
	struct coalesce_config config;
	unsigned unsignalled;
	uint64_t first_ns;
};

static unsigned rand_below(unsigned bound)
{
	return (unsigned)rand() % bound; /* NOLINT: repeatable on purpose */
}

/* After the owner looked: was a call due, was one made? */
static void model_check(struct model *model, struct rig *rig, uint64_t now_ns)
{
	const bool called = fixture_signals(rig->f.call_fd) > 0;
	const uint64_t until_ns = virtqueue_held_until_ns(rig->f.vq);

	if (called)
		model->unsignalled = 0;
	if (model->unsignalled == 0) {
		assert_int_equal(until_ns, 0);
		return;
	}
	/* Held: allowed only so long, only for others to come, only so many. */
	assert_int_not_equal(model->config.mode, COALESCE_OFF);
	assert_int_not_equal(virtqueue_in_flight(rig->f.vq), 0);
	assert_true(now_ns < model->first_ns + (uint64_t)model->config.usecs * US);
	assert_true(model->unsignalled < model->config.packets);
	if (model->config.mode == COALESCE_ADAPTIVE)
		assert_true(virtqueue_in_flight(rig->f.vq) >= COALESCE_IN_FLIGHT_MIN);
	assert_int_equal(until_ns, model->first_ns + (uint64_t)model->config.usecs * US);
}

static void model_burst(struct model *model, struct rig *rig, uint64_t now_ns)
{
	const unsigned cnt = rig->cnt ? rand_below(rig->cnt + 1) : 0;

	complete(rig, cnt);
	if (cnt > 0 && model->unsignalled == 0)
		model->first_ns = now_ns;
	model->unsignalled += cnt;
	virtqueue_notify_burst(rig->f.vq, now_ns);
	model_check(model, rig, now_ns);
}

static void model_change(struct model *model, struct rig *rig, uint64_t now_ns)
{
	const bool held = model->unsignalled > 0;

	model->config = (struct coalesce_config){
		.mode = (enum coalesce_mode)rand_below(COALESCE_MODE_MAX_),
		.packets = rand_below(20),
		.usecs = rand_below(200),
	};
	virtqueue_set_coalesce(rig->f.vq, &model->config);
	if (held)
		assert_true(virtqueue_held_until_ns(rig->f.vq) <= now_ns);
	virtqueue_notify_burst(rig->f.vq, now_ns);
	assert_int_equal(fixture_signals(rig->f.call_fd), held);
	model->unsignalled = 0;
	assert_int_equal(virtqueue_held_until_ns(rig->f.vq), 0);
}

/* One step. The owner is never later than a deadline: it sleeps until then at most. */
static void model_step(struct model *model, struct rig *rig, uint64_t *now_ns)
{
	const uint64_t until_ns = virtqueue_held_until_ns(rig->f.vq);

	/* Now and then long enough for an epoch of the rate. */
	*now_ns += rand_below(100) ? rand_below(30 * US) : rand_below(400000 * US);
	if (until_ns != 0 && *now_ns > until_ns)
		*now_ns = until_ns;
	driver_reap(rig);
	driver_want_always(&rig->f.driver);
	switch (rand_below(500)) {
	case 0:
		model_change(model, rig, *now_ns);
		break;
	case 1:
		virtqueue_notify(rig->f.vq);
		model_check(model, rig, *now_ns);
		assert_int_equal(model->unsignalled, 0);
		break;
	default:
		if (rig->cnt < RING_SIZE)
			submit(rig, rand_below(RING_SIZE - rig->cnt + 1));
		model_burst(model, rig, *now_ns);
	}
}

/* The driver without events wants every call, so that each of ours is seen. */
static void test_random(void **state)
{
	uint64_t verdicts[COALESCE_VERDICT_MAX_] = {0};

	for (unsigned seed = 1; seed <= 20; seed++) {
		struct model model = {.config = hold_8_50us};
		uint64_t now_ns = T0;
		struct rig rig;

		srand(seed);
		rig_init(&rig, *state, false);
		virtqueue_set_coalesce(rig.f.vq, &model.config);
		for (unsigned i = 0; i < 5000; i++)
			model_step(&model, &rig, &now_ns);
		for (unsigned i = 0; i < COALESCE_VERDICT_MAX_; i++)
			verdicts[i] += coalesced(&rig, i);
		rig_fini(&rig);
	}
	/* In so many steps each happened, and not by chance. */
	/* What follows is ports'. */
	for (unsigned i = 0; i < COALESCE_DUE_BUFFERS; i++)
		assert_true(verdicts[i] > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WAYS_DIRECT(test_random),
	};

	return cmocka_run_group_tests_name("held calls at random", tests, NULL, NULL);
}
