/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The worker's side of a capture: what is copied into a ring, when it is seen at the other end, and
 * what happens when there is no room. Not the file.
 */
#include "capture_rig.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/ordering.h"
#include "network/capture_priv.h"

#define RING_BYTES 4096

struct fixture {
	struct netport port;
	struct capture_ring ring;
	struct rig_frame made[4];
};

static void fixture_open(struct fixture *fixture)
{
	assert_int_equal(capture_ring_init(&fixture->ring, RING_BYTES), 0);
	fixture->ring.snaplen = CAPTURE_SNAPLEN_MAX;
	fixture->ring.wants[CAPTURE_IN] = true;
	fixture->ring.wants[CAPTURE_OUT] = true;
	fixture->ring.port = &fixture->port;
}

static int setup(void **state)
{
	struct fixture *fixture = aligned_alloc(CACHE_LINE_BYTES, sizeof(*fixture));

	assert_non_null(fixture);
	memset(fixture, 0, sizeof(*fixture));
	fixture_open(fixture);
	for (unsigned i = 0; i < ARRAY_LEN(fixture->made); i++)
		rig_frame_init(&fixture->made[i], 100 + i, (uint8_t)(i * 16));
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	capture_ring_fini(&fixture->ring);
	free(fixture);
	return 0;
}

static void in(struct fixture *fixture, struct rig_frame *made, uint64_t now_ns)
{
	struct frame *frame = &made->frame;

	capture_in(&fixture->ring, &frame, 1, now_ns);
	capture_in_end(&fixture->ring);
}

static void out(struct fixture *fixture, struct rig_frame *made, uint64_t now_ns)
{
	struct frame *frame = &made->frame;

	capture_out(&fixture->ring, &frame, 1, now_ns);
}

/* The oldest record, which must be there. */
static const struct capture_record *peek(struct fixture *fixture)
{
	const struct capture_record *record = capture_ring_peek(&fixture->ring);

	assert_non_null(record);
	return record;
}

static void take(struct fixture *fixture)
{
	capture_ring_take(&fixture->ring, peek(fixture));
}

static void assert_empty(struct fixture *fixture)
{
	assert_null(capture_ring_peek(&fixture->ring));
}

static void frames_come_out_as_they_went_in(void **state)
{
	struct fixture *fixture = *state;
	const struct capture_record *record;

	assert_empty(fixture);
	in(fixture, &fixture->made[0], 5);
	out(fixture, &fixture->made[1], 6);
	record = peek(fixture);
	assert_int_equal(record->direction, CAPTURE_IN);
	assert_int_equal(record->captured_bytes, 100);
	assert_int_equal(record->original_bytes, 100);
	assert_true(record->time_ns == 5);
	assert_int_equal(record->drop, NETPORT_DROP_NONE);
	rig_frame_check(&fixture->made[0], record->data, 100);
	take(fixture);
	record = peek(fixture);
	assert_int_equal(record->direction, CAPTURE_OUT);
	assert_int_equal(record->captured_bytes, 101);
	assert_true(record->time_ns == 6);
	rig_frame_check(&fixture->made[1], record->data, 101);
	take(fixture);
	assert_empty(fixture);
	assert_true(fixture->ring.stats.seen == 2 && fixture->ring.stats.accepted == 2 &&
		    fixture->ring.stats.missed == 0);
}

/* Every length from nothing on, across the ring's end many times. */
static void all_lengths_and_places(void **state)
{
	struct fixture *fixture = *state;
	struct rig_frame *made = &fixture->made[0];

	for (uint32_t snaplen = ETHER_HEADER_BYTES; snaplen < 700; snaplen += 13) {
		fixture->ring.snaplen = snaplen;
		for (uint32_t bytes = ETHER_HEADER_BYTES; bytes < 900; bytes += 7) {
			const struct capture_record *record;

			rig_frame_init(made, bytes, (uint8_t)(bytes + snaplen));
			in(fixture, made, bytes);
			record = peek(fixture);
			assert_int_equal((uintptr_t)record % 8, 0);
			assert_int_equal(record->original_bytes, bytes);
			assert_int_equal(record->captured_bytes, bytes < snaplen ? bytes : snaplen);
			rig_frame_check(made, record->data, record->captured_bytes);
			take(fixture);
			assert_empty(fixture);
		}
	}
	assert_true(fixture->ring.stats.missed == 0);
	assert_true(fixture->ring.taken > 100 * RING_BYTES);
}

static void full_ring_misses_and_goes_on(void **state)
{
	struct fixture *fixture = *state;
	struct rig_frame *made = &fixture->made[0];
	const unsigned fits = RING_BYTES / (sizeof(struct capture_record) + 480);

	rig_frame_init(made, 480, 0);
	for (unsigned round = 0; round < 50; round++) {
		const uint64_t missed = fixture->ring.stats.missed;

		for (unsigned i = 0; i < fits + 5; i++)
			in(fixture, made, i);
		assert_true(fixture->ring.stats.missed - missed == 5);
		for (unsigned i = 0; i < fits; i++) {
			assert_true(peek(fixture)->time_ns == i);
			take(fixture);
		}
		assert_empty(fixture);
	}
	/* It never holds more than its bytes, so the last one of all is still that one. */
	assert_true(fixture->ring.write_pos - fixture->ring.taken == 0);
	rig_frame_init(made, RING_BYTES, 0);
	in(fixture, made, 0);
	assert_true(fixture->ring.stats.missed == 50 * 5 + 1);
	assert_empty(fixture);
}

static void burst_is_seen_at_its_end_with_its_fate(void **state)
{
	struct fixture *fixture = *state;
	struct frame *frames[] = {&fixture->made[0].frame, &fixture->made[1].frame,
				  &fixture->made[2].frame};

	capture_in(&fixture->ring, frames, 3, 7);
	assert_empty(fixture);
	capture_drop(&fixture->ring, frames[1], CAPTURE_IN, NETPORT_DROP_SPOOFED, 7);
	/* Of another sender's burst that is within this one: it does not publish ours. */
	out(fixture, &fixture->made[3], 7);
	capture_drop(&fixture->ring, &fixture->made[3].frame, CAPTURE_OUT, NETPORT_DROP_INBOX_FULL,
		     7);
	assert_empty(fixture);
	frames[0]->vlan = 12;
	frames[2]->vlan = 13;
	frames[2]->tagged = true;
	capture_in_end(&fixture->ring);
	assert_int_equal(peek(fixture)->drop, NETPORT_DROP_NONE);
	assert_int_equal(peek(fixture)->vlan, 12);
	take(fixture);
	assert_int_equal(peek(fixture)->drop, NETPORT_DROP_SPOOFED);
	assert_int_equal(peek(fixture)->direction, CAPTURE_IN);
	take(fixture);
	assert_int_equal(peek(fixture)->drop, NETPORT_DROP_NONE);
	assert_int_equal(peek(fixture)->vlan, 0); /* the frame says it itself */
	take(fixture);
	assert_int_equal(peek(fixture)->direction, CAPTURE_OUT);
	assert_int_equal(peek(fixture)->drop, NETPORT_DROP_NONE);
	take(fixture);
	assert_int_equal(peek(fixture)->direction, CAPTURE_OUT);
	assert_int_equal(peek(fixture)->drop, NETPORT_DROP_INBOX_FULL);
	take(fixture);
	assert_empty(fixture);
}

static void drops_alone(void **state)
{
	struct fixture *fixture = *state;
	struct frame *frames[] = {&fixture->made[0].frame, &fixture->made[1].frame};

	fixture->ring.drops_only = true;
	capture_in(&fixture->ring, frames, 2, 7);
	capture_drop(&fixture->ring, frames[1], CAPTURE_IN, NETPORT_DROP_STORM, 7);
	capture_in_end(&fixture->ring);
	out(fixture, &fixture->made[2], 7);
	capture_drop(&fixture->ring, frames[0], CAPTURE_OUT, NETPORT_DROP_NO_QUEUE, 8);
	assert_int_equal(peek(fixture)->drop, NETPORT_DROP_STORM);
	assert_int_equal(peek(fixture)->captured_bytes, 101);
	take(fixture);
	assert_int_equal(peek(fixture)->drop, NETPORT_DROP_NO_QUEUE);
	take(fixture);
	assert_empty(fixture);
	assert_true(fixture->ring.stats.seen == 2);
}

static void one_direction(void **state)
{
	struct fixture *fixture = *state;
	struct frame *frame = &fixture->made[0].frame;

	for (unsigned wanted = 0; wanted < CAPTURE_DIRECTION_MAX_; wanted++) {
		fixture->ring.wants[wanted] = true;
		fixture->ring.wants[!wanted] = false;
		capture_in(&fixture->ring, &frame, 1, 1);
		capture_drop(&fixture->ring, frame, CAPTURE_IN, NETPORT_DROP_VLAN, 1);
		capture_in_end(&fixture->ring);
		out(fixture, &fixture->made[0], 2);
		capture_drop(&fixture->ring, frame, CAPTURE_OUT, NETPORT_DROP_EGRESS_VLAN, 3);
		for (unsigned i = 0; i < (wanted == CAPTURE_IN ? 1 : 2); i++) {
			assert_int_equal(peek(fixture)->direction, wanted);
			take(fixture);
		}
		assert_empty(fixture);
	}
}

static void only_what_the_filter_takes(void **state)
{
	struct fixture *fixture = *state;
	struct frame *frame = &fixture->made[1].frame;
	struct capture_filter *filter;

	/* ARP, and later: byte 80, which is not in head. */
	assert_int_equal(capture_filter_parse("4,40 0 0 12,21 0 1 2054,6 0 0 262144,6 0 0 0",
					      &filter, NULL),
			 0);
	fixture->ring.filter = filter;
	in(fixture, &fixture->made[0], 1);
	assert_empty(fixture);
	capture_in(&fixture->ring, &frame, 1, 1);
	capture_drop(&fixture->ring, frame, CAPTURE_IN, NETPORT_DROP_VLAN, 1);
	capture_in_end(&fixture->ring);
	assert_empty(fixture);
	frame->head[13] = 0x06;
	in(fixture, &fixture->made[1], 2);
	assert_int_equal(peek(fixture)->captured_bytes, 101);
	take(fixture);
	assert_true(fixture->ring.stats.seen == 3 && fixture->ring.stats.accepted == 1);
	capture_filter_free(filter);
	assert_int_equal(capture_filter_parse("4,48 0 0 80,21 0 1 80,6 0 0 262144,6 0 0 0", &filter,
					      NULL),
			 0);
	fixture->ring.filter = filter;
	fixture->ring.snaplen = 20; /* it looks further than what is kept */
	in(fixture, &fixture->made[0], 3);
	assert_int_equal(peek(fixture)->captured_bytes, 20);
	take(fixture);
	rig_frame_init(&fixture->made[0], 100, 1);
	in(fixture, &fixture->made[0], 4);
	assert_empty(fixture);
	capture_filter_free(filter);
}

static void what_goes_out_has_the_ports_tag(void **state)
{
	struct fixture *fixture = *state;
	struct rig_frame *made = &fixture->made[0];
	const struct capture_record *record;

	made->frame.vlan = 0x123;
	fixture->port.edit = NETPORT_TAG_PUSH;
	out(fixture, made, 1);
	record = peek(fixture);
	assert_int_equal(record->original_bytes, 104);
	assert_int_equal(record->captured_bytes, 104);
	assert_int_equal(record->vlan, 0);
	assert_memory_equal(record->data + 12, "\x81\x00\x01\x23\x08\x00", 6);
	assert_memory_equal(record->data + 18, made->frame.head + 14, 46);
	for (uint32_t i = 60; i < 100; i++)
		assert_int_equal(record->data[i + 4], rig_frame_byte(made, i));
	take(fixture);
	/* Coming in, it is as the sender has it. */
	in(fixture, made, 1);
	assert_int_equal(peek(fixture)->original_bytes, 100);
	take(fixture);

	memcpy(made->frame.head + 12, "\x81\x00\x01\x23\x08\x00", 6);
	made->frame.tagged = true;
	fixture->port.edit = NETPORT_TAG_POP;
	out(fixture, made, 1);
	record = peek(fixture);
	assert_int_equal(record->original_bytes, 96);
	assert_int_equal(record->captured_bytes, 96);
	assert_int_equal(record->vlan, 0x123);
	assert_memory_equal(record->data, made->frame.head, 12);
	assert_memory_equal(record->data + 12, made->frame.head + 16, 44);
	for (uint32_t i = 60; i < 100; i++)
		assert_int_equal(record->data[i - 4], rig_frame_byte(made, i));
}

/* What is shorter than a header is dropped, and shown. */
static void runts_are_recorded(void **state)
{
	struct fixture *fixture = *state;
	struct frame *frame = &fixture->made[0].frame;

	for (uint16_t bytes = 0; bytes < ETHER_HEADER_BYTES; bytes++) {
		frame->bytes = bytes;
		frame->head_bytes = bytes;
		frame->iov_cnt = 0;
		capture_in(&fixture->ring, &frame, 1, 1);
		capture_drop(&fixture->ring, frame, CAPTURE_IN, NETPORT_DROP_RUNT, 1);
		capture_in_end(&fixture->ring);
		assert_int_equal(peek(fixture)->captured_bytes, bytes);
		assert_int_equal(peek(fixture)->drop, NETPORT_DROP_RUNT);
		take(fixture);
	}
}

static void large_frames_keep_their_length_and_offloads(void **state)
{
	struct fixture *fixture = *state;
	struct rig_frame *made = &fixture->made[0];
	const struct capture_record *record;

	rig_frame_init(made, 65000, 3);
	made->frame.gso = FRAME_GSO_TCP4;
	made->frame.gso_bytes = 1448;
	made->frame.gso_ecn = true;
	made->frame.csum_partial = true;
	fixture->ring.snaplen = 128;
	in(fixture, made, 1);
	record = peek(fixture);
	assert_int_equal(record->original_bytes, 65000);
	assert_int_equal(record->captured_bytes, 128);
	assert_int_equal(record->gso, FRAME_GSO_TCP4);
	assert_int_equal(record->gso_bytes, 1448);
	assert_true(record->gso_ecn && record->csum_partial);
}

#define STREAM_CNT 20000

static void *stream(void *arg)
{
	struct fixture *fixture = arg;
	struct rig_frame *made = &fixture->made[0];

	for (unsigned i = 0; i < STREAM_CNT; i++) {
		rig_frame_init(made, 60 + i % 700, (uint8_t)i);
		in(fixture, made, i);
	}
	return NULL;
}

/* One thread in, another out: all that was not missed, in order, whole. */
static void two_threads(void **state)
{
	struct fixture *fixture = *state;
	struct rig_frame *want = &fixture->made[1];
	uint64_t got = 0, last = 0;
	pthread_t thread;
	bool over = false;

	assert_int_equal(pthread_create(&thread, NULL, stream, fixture), 0);
	while (!over || capture_ring_peek(&fixture->ring)) {
		const struct capture_record *record = capture_ring_peek(&fixture->ring);

		over = stat_read(&fixture->ring.stats.seen) == STREAM_CNT;
		if (!record)
			continue;
		assert_true(got == 0 || record->time_ns > last);
		last = record->time_ns;
		rig_frame_init(want, 60 + (uint32_t)(last % 700), (uint8_t)last);
		assert_int_equal(record->captured_bytes, want->frame.bytes);
		rig_frame_check(want, record->data, record->captured_bytes);
		capture_ring_take(&fixture->ring, record);
		got++;
	}
	assert_int_equal(pthread_join(thread, NULL), 0);
	while (capture_ring_peek(&fixture->ring)) {
		take(fixture);
		got++;
	}
	assert_true(got > 0);
	assert_true(got + fixture->ring.stats.missed == STREAM_CNT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(frames_come_out_as_they_went_in, setup, teardown),
		cmocka_unit_test_setup_teardown(all_lengths_and_places, setup, teardown),
		cmocka_unit_test_setup_teardown(full_ring_misses_and_goes_on, setup, teardown),
		cmocka_unit_test_setup_teardown(burst_is_seen_at_its_end_with_its_fate, setup,
						teardown),
		cmocka_unit_test_setup_teardown(drops_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(one_direction, setup, teardown),
		cmocka_unit_test_setup_teardown(only_what_the_filter_takes, setup, teardown),
		cmocka_unit_test_setup_teardown(what_goes_out_has_the_ports_tag, setup, teardown),
		cmocka_unit_test_setup_teardown(runts_are_recorded, setup, teardown),
		cmocka_unit_test_setup_teardown(large_frames_keep_their_length_and_offloads, setup,
						teardown),
		cmocka_unit_test_setup_teardown(two_threads, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
