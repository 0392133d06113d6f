/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-net of the driver side (tools/bench/driver/net.c) against a wire made of two model rings:
 * what is sent on one queue arrives on the other, in one buffer or several. And devices that lie.
 * pario's own device is not involved.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "driver/net.h"
#include "fake/fake_ring.h"
#include "netload/looks.h"

#define RING_SIZE 64
#define FRAMES 3000

struct shape {
	enum ring_format format;
	bool event_idx, in_order, indirect, mergeable;
	uint32_t segment_bytes, rx_buffer_bytes;
};

struct end {
	struct front_queue *fq;
	struct net_queue *q;
	struct fake_ring dev;
};

struct rig {
	struct front front;
	struct shm *shm;
	struct end tx, rx;
};

static uint8_t *map(void *ctx, uint64_t gpa, uint64_t bytes)
{
	const struct shm_region *r = ((const struct shm *)ctx)->region;

	return gpa >= r->gpa && bytes <= r->bytes && gpa - r->gpa <= r->bytes - bytes
		       ? r->hva + (gpa - r->gpa)
		       : NULL;
}

static void end_init(struct rig *rig, struct end *e, uint16_t idx, const struct shape *s,
		     const struct net_queue_opts *opts, uint32_t base)
{
	struct ring_opts ring = {.format = s->format,
				 .size = RING_SIZE,
				 .event_idx = s->event_idx,
				 .in_order = s->in_order};

	assert_int_equal(front_queue_new(&e->fq, &rig->front, rig->shm, idx, &ring), 0);
	assert_int_equal(net_queue_new(&e->q, e->fq, rig->shm, opts), 0);
	net_queue_reset(e->q, base);
	e->dev = (struct fake_ring){.packed = s->format == RING_PACKED,
				    .event_idx = s->event_idx,
				    .in_order = s->in_order,
				    .size = RING_SIZE,
				    .desc = e->fq->ring->desc,
				    .driver_area = e->fq->ring->driver_area,
				    .device_area = e->fq->ring->device_area,
				    .map = map,
				    .map_ctx = rig->shm};
	fake_ring_start(&e->dev, base);
}

static void rig_init(struct rig *rig, const struct shape *s)
{
	struct shm_opts mem = {.bytes = 4u << 20};
	struct net_queue_opts tx = {.slot_cnt = s->segment_bytes && !s->indirect ? 8 : RING_SIZE,
				    .buffer_bytes = 1500,
				    .segment_bytes = s->segment_bytes,
				    .indirect = s->indirect};
	struct net_queue_opts rx = {.slot_cnt = RING_SIZE,
				    .buffer_bytes = s->rx_buffer_bytes,
				    .receive = true,
				    .indirect = s->indirect,
				    .mergeable = s->mergeable};
	/* Next to where indices, or laps, wrap. */
	uint32_t base = s->format == RING_PACKED ? 0x003e003eu : 0xfff0u;

	memset(rig, 0, sizeof(*rig));
	assert_int_equal(shm_new(&rig->shm, &mem), 0);
	end_init(rig, &rig->tx, 1, s, &tx, base);
	end_init(rig, &rig->rx, 0, s, &rx, base);
}

static void rig_fini(struct rig *rig)
{
	net_queue_free(rig->tx.q);
	net_queue_free(rig->rx.q);
	front_queue_free(rig->tx.fq);
	front_queue_free(rig->rx.fq);
	shm_free(rig->shm);
}

static bool pop(struct end *e, struct fake_chain *c)
{
	int rc = fake_ring_pop(&e->dev, c);

	if (rc < 0)
		fail_msg("the driver broke a rule: %s", e->dev.error);
	return rc == 1;
}

/* One frame from the transmit ring into as many receive buffers as it takes. False: none. */
static bool wire_move(struct rig *rig)
{
	static struct fake_chain in, out[RING_SIZE];
	static uint8_t bytes[2048];
	uint32_t cnt = 0, at = 0, used[RING_SIZE];
	unsigned int buffers = 0;
	uint16_t *num_buffers;

	if (!pop(&rig->tx, &in))
		return false;
	for (unsigned int i = 0; i < in.seg_cnt; i++) {
		assert_false(in.seg[i].writable);
		memcpy(bytes + cnt, in.seg[i].hva, in.seg[i].bytes);
		cnt += in.seg[i].bytes;
	}
	fake_ring_push(&rig->tx.dev, in.id, in.desc_cnt, 0, true);
	do {
		uint32_t piece;

		assert_true(pop(&rig->rx, &out[buffers]));
		assert_int_equal(out[buffers].seg_cnt, 1);
		assert_true(out[buffers].seg[0].writable);
		piece = cnt - at < out[buffers].seg[0].bytes ? cnt - at : out[buffers].seg[0].bytes;
		memcpy(out[buffers].seg[0].hva, bytes + at, piece);
		used[buffers++] = piece;
		at += piece;
	} while (at < cnt);
	num_buffers = (void *)(out[0].seg[0].hva + 10);
	*num_buffers = (uint16_t)buffers;
	fake_ring_hold(&rig->rx.dev);
	for (unsigned int i = 0; i < buffers; i++)
		fake_ring_push(&rig->rx.dev, out[i].id, out[i].desc_cnt, used[i], true);
	fake_ring_show(&rig->rx.dev);
	return true;
}

static uint32_t frame_len(uint32_t n)
{
	return 60 + n * 37 % 1400;
}

static void send_some(struct rig *rig, uint32_t *sent)
{
	struct net_queue *q = rig->tx.q;
	unsigned int burst = 1 + *sent % 7;

	assert_true(net_reclaim(q) >= 0);
	while (burst-- && q->free_cnt && *sent < FRAMES) {
		uint16_t slot = net_free_take(q);
		uint32_t len = frame_len(*sent);

		net_slot_shape(q, slot, NET_HEADER_BYTES + len);
		memset(q->slot[slot].data, 0, NET_HEADER_BYTES);
		memset(q->slot[slot].data + NET_HEADER_BYTES, (int)(*sent & 0xff), len);
		assert_int_equal(net_add(q, slot), 0);
		(*sent)++;
	}
	net_publish(q);
}

static void take_some(struct rig *rig, uint32_t *taken)
{
	struct net_frame frame[5];
	uint8_t bytes[1500];
	int n = net_receive(rig->rx.q, frame, 5);

	if (n < 0)
		fail_msg("%s", rig->rx.q->ring->error);
	for (int i = 0; i < n; i++, (*taken)++) {
		uint32_t len = frame_len(*taken);

		assert_int_equal(frame[i].bytes, len);
		net_frame_copy(rig->rx.q, &frame[i], 0, bytes, len);
		for (uint32_t k = 0; k < len; k++)
			assert_int_equal(bytes[k], *taken & 0xff);
		/* From the middle, over the end of a buffer. */
		memset(bytes, ~(int)*taken, sizeof(bytes));
		net_frame_copy(rig->rx.q, &frame[i], 33, bytes, len - 33);
		assert_int_equal(bytes[0], *taken & 0xff);
		assert_int_equal(bytes[len - 34], *taken & 0xff);
		net_frame_done(rig->rx.q, &frame[i]);
	}
	assert_true(net_post(rig->rx.q, UINT32_MAX) >= 0);
}

static void run_wire(const struct shape *s)
{
	uint32_t sent = 0, taken = 0;
	struct rig rig;

	rig_init(&rig, s);
	assert_int_equal(net_post(rig.rx.q, UINT32_MAX), RING_SIZE);
	while (taken < FRAMES) {
		send_some(&rig, &sent);
		for (unsigned int i = 0; i < 3 && wire_move(&rig); i++)
			;
		take_some(&rig, &taken);
	}
	assert_int_equal(net_reclaim(rig.tx.q) >= 0, 1);
	assert_int_equal(rig.tx.q->free_cnt, rig.tx.q->opts.slot_cnt);
	assert_int_equal(ring_base(rig.tx.q->ring), fake_ring_base(&rig.tx.dev));
	rig_fini(&rig);
}

static void frames_arrive(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 2 * 2 * 2 * 2 * 3; i++) {
		struct shape s = {.format = i & 1 ? RING_PACKED : RING_SPLIT,
				  .in_order = i & 2,
				  .indirect = i & 4,
				  .event_idx = i & 8,
				  .mergeable = i / 16 == 1,
				  .segment_bytes = i / 16 == 2 ? 200 : 0,
				  .rx_buffer_bytes = i / 16 == 1 ? 300 : 1500};

		run_wire(&s);
	}
}

/* ---- devices that lie ---- */

struct lie {
	const char *says;
	uint32_t bytes;
	uint16_t num_buffers;
};

static void a_false_frame_is_refused(void **state)
{
	static const struct lie lie[] = {
		{"is 0 or absurd", 100, 0},
		{"is 0 or absurd", 100, 60000},
		{"more buffers than were used", 100, 2},
		{"beyond the buffer", 301, 1},
		{"beyond the buffer", RING_LEN_UNKNOWN, 1},
		{"shorter than its header", 11, 1},
	};
	static struct fake_chain c;

	(void)state;
	for (unsigned int i = 0; i < 2 * sizeof(lie) / sizeof(lie[0]); i++) {
		const struct lie *l = &lie[i / 2];
		struct shape s = {.format = i & 1 ? RING_PACKED : RING_SPLIT,
				  .mergeable = true,
				  .rx_buffer_bytes = 300};
		struct net_frame frame[4];
		struct rig rig;

		rig_init(&rig, &s);
		assert_int_equal(net_post(rig.rx.q, 8), 8);
		assert_true(pop(&rig.rx, &c));
		memcpy(c.seg[0].hva + 10, &l->num_buffers, sizeof(l->num_buffers));
		fake_ring_push(&rig.rx.dev, c.id, 1, l->bytes, true);
		assert_int_equal(net_receive(rig.rx.q, frame, 4), -EPROTO);
		assert_non_null(strstr(rig.rx.q->ring->error, l->says));
		rig_fini(&rig);
	}
}

static void a_false_ring_is_refused(void **state)
{
	static struct fake_chain c;

	(void)state;
	for (unsigned int i = 0; i < 5; i++) {
		struct shape s = {.format = i & 1 ? RING_PACKED : RING_SPLIT,
				  .rx_buffer_bytes = 300};
		struct net_frame frame[4];
		struct rig rig;

		rig_init(&rig, &s);
		assert_int_equal(net_post(rig.rx.q, 8), 8);
		assert_true(pop(&rig.rx, &c));
		if (i == 4)
			*(uint16_t *)&rig.rx.q->ring->used->idx += 9;
		else
			fake_ring_push(&rig.rx.dev, i & 2 ? 20 : RING_SIZE + 1, 1, 100, true);
		assert_int_equal(net_receive(rig.rx.q, frame, 4), -EPROTO);
		assert_non_null(rig.rx.q->ring->error);
		rig_fini(&rig);
	}
}

static void a_slot_in_flight_is_not_added_again(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		struct shape s = {.format = i ? RING_PACKED : RING_SPLIT, .rx_buffer_bytes = 300};
		struct rig rig;

		rig_init(&rig, &s);
		assert_int_equal(net_post(rig.rx.q, 8), 8);
		assert_int_equal(net_add(rig.rx.q, 3), -EBUSY);
		rig_fini(&rig);
	}
}

static void more_slots_than_descriptors_are_refused(void **state)
{
	struct net_queue_opts opts = {.slot_cnt = RING_SIZE + 1, .buffer_bytes = 100};
	struct shape s = {.format = RING_SPLIT, .rx_buffer_bytes = 300};
	struct net_queue *q = NULL;
	struct rig rig;

	(void)state;
	rig_init(&rig, &s);
	assert_int_equal(net_queue_new(&q, rig.tx.fq, rig.shm, &opts), -EINVAL);
	opts.slot_cnt = 1;
	opts.buffer_bytes = NET_HEADER_BYTES - 1;
	assert_int_equal(net_queue_new(&q, rig.tx.fq, rig.shm, &opts), -EINVAL);
	opts.buffer_bytes = 64u << 20;
	assert_int_equal(net_queue_new(&q, rig.tx.fq, rig.shm, &opts), -ENOSPC);
	assert_null(q);
	assert_non_null(strstr(rig.front.error, "no memory"));
	rig_fini(&rig);
}

/* The device uses so many buffers of a queue, one frame each. */
static void use(struct end *e, unsigned int cnt)
{
	static struct fake_chain c;
	const uint16_t one = 1;

	for (; cnt; cnt--) {
		assert_true(pop(e, &c));
		memset(c.seg[0].hva, 0, NET_HEADER_BYTES);
		memcpy(c.seg[0].hva + 10, &one, sizeof(one));
		fake_ring_push(&e->dev, c.id, c.desc_cnt, 80, true);
	}
}

static void take(struct netload_looks *l, int queue, struct end *e, unsigned int cnt,
		 const uint64_t *look)
{
	struct net_frame frame[RING_SIZE];
	uint64_t position;

	assert_int_equal(net_receive(e->q, frame, cnt), (int)cnt);
	position = netload_looks_taken(&l->queue[queue], cnt);
	for (unsigned int i = 0; i < cnt; i++) {
		assert_int_equal(netload_looks_of(l, &l->queue[queue], position + i), look[i]);
		net_frame_done(e->q, &frame[i]);
	}
	assert_true(net_post(e->q, UINT32_MAX) >= 0);
}

/* Two receive queues, used in turns: every buffer has the look that first saw it, for many laps. */
static void looks_say_when_buffers_were_used(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		struct shape s = {.format = i ? RING_PACKED : RING_SPLIT,
				  .rx_buffer_bytes = 300,
				  .mergeable = true};
		struct netload_looks l;
		struct rig rig[2];
		int queue[2];

		assert_int_equal(netload_looks_init(&l, 2), 0);
		for (unsigned int k = 0; k < 2; k++) {
			rig_init(&rig[k], &s);
			queue[k] = netload_looks_add(&l, rig[k].rx.q);
			assert_int_equal(queue[k], k);
			assert_int_equal(net_post(rig[k].rx.q, UINT32_MAX), RING_SIZE);
		}
		for (unsigned int lap = 0; lap < 40; lap++) {
			uint64_t t = l.now;

			use(&rig[0].rx, 3);
			netload_looks_take(&l); /* t */
			use(&rig[1].rx, 2);
			use(&rig[0].rx, 4);
			netload_looks_take(&l); /* t + 1 */
			/* Some are taken from the ring and not given out meanwhile. */
			take(&l, queue[0], &rig[0].rx, 2, (const uint64_t[]){t, t});
			use(&rig[1].rx, 1);
			netload_looks_take(&l); /* t + 2 */
			netload_looks_take(&l);
			take(&l, queue[1], &rig[1].rx, 3, (const uint64_t[]){t + 1, t + 1, t + 2});
			take(&l, queue[0], &rig[0].rx, 5,
			     (const uint64_t[]){t, t + 1, t + 1, t + 1, t + 1});
			/* Used and taken between two looks. */
			use(&rig[1].rx, 1);
			take(&l, queue[1], &rig[1].rx, 1, (const uint64_t[]){l.now});
		}
		netload_looks_fini(&l);
		rig_fini(&rig[0]);
		rig_fini(&rig[1]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_arrive),
		cmocka_unit_test(a_false_frame_is_refused),
		cmocka_unit_test(a_false_ring_is_refused),
		cmocka_unit_test(a_slot_in_flight_is_not_added_again),
		cmocka_unit_test(more_slots_than_descriptors_are_refused),
		cmocka_unit_test(looks_say_when_buffers_were_used),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
