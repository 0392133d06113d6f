/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver's end of both ring formats (tools/bench/driver) against the model device of
 * tests/fake: every format, size, feature and framing. pario's own rings are not involved.
 * Notifications are in test_ring_notify.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ring_rig.h"

struct held {
	uint16_t id, desc_cnt, token;
};

/*
 * Random bursts through a ring of `size`: the driver adds some and publishes, the device pops some
 * and uses some, in any order or in order with batches, and the driver takes some.
 */
static void churn(struct pair *p, unsigned int requests)
{
	struct held *held = calloc(p->ring->size, sizeof(*held));
	uint16_t *added = calloc(p->ring->size, sizeof(*added));
	unsigned int held_cnt = 0, done = 0, started = 0, added_first = 0, added_cnt = 0;
	unsigned int unwritten = 0;
	uint16_t size = p->ring->size;
	static struct fake_chain c;

	while (done < requests) {
		unsigned int burst = pair_random(p, size + 1u);
		struct ring_used used[64];
		int n;

		for (unsigned int i = 0; i < burst && started < requests; i++) {
			uint16_t token = (uint16_t)pair_random(p, size);

			if (p->busy[token])
				continue;
			if (pair_add_random(p, token) == -ENOSPC)
				break;
			added[(added_first + added_cnt++) % size] = token;
			started++;
			/* Invisible until published. */
			if (added_cnt == 1)
				assert_int_equal(fake_ring_pop(&p->dev, &c), 0);
		}
		ring_publish(p->ring);
		for (burst = pair_random(p, size + 1u); burst; burst--) {
			int rc = fake_ring_pop(&p->dev, &c);

			if (rc < 0)
				fail_msg("device: %s", p->dev.error);
			if (rc == 0) {
				assert_int_equal(added_cnt, 0);
				break;
			}
			held[held_cnt] = (struct held){c.id, c.desc_cnt, added[added_first]};
			pair_check_chain(p, &c, added[added_first]);
			added_first = (added_first + 1) % size;
			added_cnt--;
			held_cnt++;
		}
		for (burst = pair_random(p, held_cnt + 1u); burst; burst--) {
			unsigned int at = p->dev.in_order ? 0 : pair_random(p, held_cnt);
			struct held h = held[at];
			bool last = !p->dev.in_order || burst == 1 || pair_random(p, 3) == 0;

			p->used_bytes[h.token] = last ? pair_random(p, 1u << 20) : RING_LEN_UNKNOWN;
			fake_ring_push(&p->dev, h.id, h.desc_cnt, p->used_bytes[h.token], last);
			memmove(held + at, held + at + 1, (held_cnt - at - 1) * sizeof(*held));
			held_cnt--;
			unwritten++;
		}
		n = ring_get_used(p->ring, used, 1 + pair_random(p, 64));
		if (n < 0)
			fail_msg("driver: %s", p->ring->error);
		assert_true((unsigned int)n <= unwritten);
		unwritten -= (unsigned int)n;
		for (int i = 0; i < n; i++) {
			assert_true(p->busy[used[i].token]);
			assert_int_equal(used[i].bytes, p->used_bytes[used[i].token]);
			p->busy[used[i].token] = false;
			done++;
		}
	}
	assert_int_equal(ring_get_used(p->ring, &(struct ring_used){0}, 1), 0);
	assert_int_equal(p->ring->free_cnt, size);
	assert_int_equal(p->ring->inflight_cnt, 0);
	assert_int_equal(ring_base(p->ring), fake_ring_base(&p->dev));
	free(held);
	free(added);
}

static void test_churn(void **state)
{
	static const struct {
		enum ring_format format;
		uint16_t size;
		uint32_t base;
	} shape[] = {
		{RING_SPLIT, 1, 0},
		{RING_SPLIT, 2, 65535},
		{RING_SPLIT, 8, 0},
		{RING_SPLIT, 256, 65500},
		{RING_SPLIT, 32768, 0},
		{RING_PACKED, 1, 0x80008000},
		{RING_PACKED, 7, 0x80008000},
		{RING_PACKED, 8, 0x00050005},
		{RING_PACKED, 256, 0x80ff80ff},
		{RING_PACKED, 1000, 0x80008000},
		{RING_PACKED, 32768, 0x80008000},
	};

	(void)state;
	for (unsigned int s = 0; s < sizeof(shape) / sizeof(shape[0]); s++)
		for (unsigned int f = 0; f < FRAMING_CNT; f++)
			for (unsigned int in_order = 0; in_order < 2; in_order++) {
				struct pair *p = pair_new(shape[s].format, shape[s].size, f & 1,
							  in_order, f, shape[s].base);

				churn(p, shape[s].size > 1000 ? 100000 : 20000);
				pair_free(p);
			}
}

/* The split index wraps at 65536 and the packed position at any size, many times over. */
static void test_many_laps(void **state)
{
	(void)state;
	for (unsigned int format = 0; format < 2; format++) {
		struct pair *p = pair_new(format, 64, true, false, DIRECT, ring_base_fresh(format));

		churn(p, 200000);
		pair_free(p);
	}
}

static void test_capacity_and_arguments(void **state)
{
	(void)state;
	for (unsigned int format = 0; format < 2; format++) {
		struct pair *p = pair_new(format, 8, false, false, DIRECT, ring_base_fresh(format));
		struct ring_seg seg[9] = {{p->shm->region[0].gpa, 1}};

		assert_int_equal(ring_add(p->ring, seg, 1, 0, 8), -EINVAL);
		assert_int_equal(ring_add(p->ring, seg, 0, 0, 0), -EINVAL);
		assert_int_equal(ring_add(p->ring, seg, 9, 0, 0), -EINVAL);
		assert_int_equal(ring_add(p->ring, seg, 3, 0, 0), 0);
		assert_int_equal(ring_add(p->ring, seg, 1, 0, 0), -EBUSY);
		assert_int_equal(ring_add(p->ring, seg, 3, 2, 1), 0);
		assert_int_equal(ring_add(p->ring, seg, 1, 0, 2), -ENOSPC);
		assert_int_equal(p->ring->free_cnt, 0);
		pair_free(p);
	}
	assert_int_equal(ring_new(NULL, NULL, &(struct ring_opts){.size = 0}), -EINVAL);
	assert_int_equal(ring_new(NULL, NULL, &(struct ring_opts){.size = 24}), -EINVAL);
	assert_int_equal(ring_new(NULL, NULL,
				  &(struct ring_opts){.format = RING_PACKED, .size = 32769}),
			 -EINVAL);
}

static void expect_broken(struct pair *p, const char *why)
{
	struct ring_used used[8];

	assert_int_equal(ring_get_used(p->ring, used, 8), -EPROTO);
	assert_non_null(p->ring->error);
	if (!strstr(p->ring->error, why))
		fail_msg("'%s' does not say '%s'", p->ring->error, why);
	pair_free(p);
}

static struct pair *pair_with_two(enum ring_format format, bool in_order)
{
	struct pair *p = pair_new(format, 8, false, in_order, DIRECT, ring_base_fresh(format));

	pair_add_one(p, 3);
	pair_add_one(p, 5);
	ring_publish(p->ring);
	pair_device_takes(p, 2, false);
	return p;
}

static void test_device_that_lies(void **state)
{
	(void)state;
	for (unsigned int format = 0; format < 2; format++) {
		struct pair *p = pair_with_two(format, false);

		fake_ring_push(&p->dev, 8, 1, 0, true);
		expect_broken(p, "beyond the ring");

		p = pair_with_two(format, false);
		fake_ring_push(&p->dev, 7, 1, 0, true);
		expect_broken(p, "not in flight");

		/* The same id twice. */
		p = pair_with_two(format, false);
		fake_ring_push(&p->dev, format == RING_PACKED ? 3 : 0, 1, 0, true);
		fake_ring_push(&p->dev, format == RING_PACKED ? 3 : 0, 1, 0, true);
		expect_broken(p, "not in flight");
	}
	struct pair *p = pair_with_two(RING_SPLIT, false);

	__atomic_store_n((uint16_t *)&p->ring->used->idx, 3, __ATOMIC_RELEASE);
	expect_broken(p, "ahead of the requests");

	/* In order: the second alone cannot be used as one buffer. */
	p = pair_with_two(RING_SPLIT, true);
	fake_ring_push(&p->dev, 1, 1, 0, true);
	expect_broken(p, "not in the order");
}

/* Unpublished requests cannot be completed: the split index says so. */
static void test_unpublished_is_not_in_flight(void **state)
{
	struct pair *p = pair_new(RING_SPLIT, 8, false, false, DIRECT, 0);

	(void)state;
	pair_add_one(p, 0);
	fake_ring_push(&p->dev, 0, 1, 0, true);
	expect_broken(p, "ahead of the requests");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_churn),
		cmocka_unit_test(test_many_laps),
		cmocka_unit_test(test_capacity_and_arguments),
		cmocka_unit_test(test_device_that_lies),
		cmocka_unit_test(test_unpublished_is_not_in_flight),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
