/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When a port's call is due by what its driver set, rule by rule (VIRTIO 1.3, 5.1.6.5
 * "Notifications Coalescing"), on rings, with a clock that is the test's.
 * Not how the driver's setting gets here (tests/unit/device/test_net_coalesce.c).
 */
#include "hold_rig.h"

#include "base/compiler.h"

/* A port's queue of either direction. */
struct port {
	struct rig rig;
	uint64_t frames, bytes;
	struct virtqueue_port counters;
};

static void set(struct port *port, uint32_t packets, uint32_t usecs)
{
	const struct coalesce_config config = {COALESCE_STATIC, packets, usecs, true};

	virtqueue_set_coalesce(port->rig.f.vq, &config);
}

static void begin(struct port *port, const struct way *way, bool receive)
{
	*port = (struct port){0};
	rig_init(&port->rig, way, false);
	port->counters = (struct virtqueue_port){
		.frames = &port->frames,
		.bytes = &port->bytes,
		.receive = receive,
	};
	submit(&port->rig, RING_SIZE - 2);
}

static void end(struct port *port)
{
	rig_fini(&port->rig);
}

/* cnt packets, or a look at what is held (0): how many calls that made. */
static uint64_t packets(struct port *port, unsigned cnt, uint64_t now_ns)
{
	complete(&port->rig, cnt);
	port->frames += cnt;
	port->bytes += cnt * UINT64_C(64);
	virtqueue_notify_port(port->rig.f.vq, &port->counters, now_ns);
	return fixture_signals(port->rig.f.call_fd);
}

static uint64_t held_until(const struct port *port)
{
	return virtqueue_held_until_ns(port->rig.f.vq);
}

/* The examples of the standard: 15 packets, or 10 us. */
static void test_packets_come_first(void **state)
{
	struct port port;

	for (unsigned receive = 0; receive < 2; receive++) {
		begin(&port, *state, receive);
		set(&port, 15, 10);
		assert_int_equal(packets(&port, 5, T0), 0);
		assert_int_equal(packets(&port, 9, T0 + 1 * US), 0);
		assert_int_equal(packets(&port, 1, T0 + 2 * US), 1);
		assert_int_equal(held_until(&port), 0);
		assert_int_equal(coalesced(&port.rig, COALESCE_DUE_PACKETS), 1);
		/* Nothing is left to be called for. */
		assert_int_equal(packets(&port, 0, T0 + 100 * US), 0);
		end(&port);
	}
}

static void test_time_comes_first(void **state)
{
	struct port port;

	for (unsigned receive = 0; receive < 2; receive++) {
		begin(&port, *state, receive);
		set(&port, 15, 10);
		assert_int_equal(packets(&port, 14, T0), 0);
		assert_int_equal(held_until(&port), T0 + 10 * US);
		assert_int_equal(packets(&port, 0, T0 + 10 * US - 1), 0);
		assert_int_equal(packets(&port, 0, T0 + 10 * US), 1);
		assert_int_equal(coalesced(&port.rig, COALESCE_DUE_DEADLINE), 1);
		end(&port);
	}
}

/* Time does not run while nothing is to be called for, and begins with the first, not each. */
static void test_time_runs_from_the_first_packet(void **state)
{
	struct port port;

	begin(&port, *state, true);
	set(&port, 15, 10);
	assert_int_equal(packets(&port, 1, T0), 0);
	assert_int_equal(packets(&port, 0, T0 + 10 * US), 1);
	assert_int_equal(packets(&port, 1, T0 + 500 * US), 0);
	assert_int_equal(held_until(&port), T0 + 510 * US);
	assert_int_equal(packets(&port, 3, T0 + 504 * US), 0);
	assert_int_equal(packets(&port, 3, T0 + 509 * US), 0);
	assert_int_equal(held_until(&port), T0 + 510 * US);
	assert_int_equal(packets(&port, 0, T0 + 510 * US), 1);
	end(&port);
}

/* Packets are counted anew after each call, whatever it was that made it. */
static void test_packets_count_from_the_last_call(void **state)
{
	struct port port;

	begin(&port, *state, true);
	set(&port, 6, 10);
	assert_int_equal(packets(&port, 5, T0), 0);
	assert_int_equal(packets(&port, 0, T0 + 10 * US), 1);
	assert_int_equal(packets(&port, 5, T0 + 11 * US), 0);
	assert_int_equal(packets(&port, 1, T0 + 12 * US), 1);
	assert_int_equal(packets(&port, 5, T0 + 13 * US), 0);
	assert_int_equal(packets(&port, 1, T0 + 14 * US), 1);
	end(&port);
}

static void test_either_zero_is_every_packet(void **state)
{
	static const uint32_t zeros[][2] = {{0, 0}, {0, 10000}, {1024, 0}};
	struct port port;

	for (unsigned i = 0; i < 6; i++) {
		begin(&port, *state, i % 2);
		set(&port, zeros[i / 2][0], zeros[i / 2][1]);
		for (unsigned n = 0; n < 10; n++) {
			assert_int_equal(packets(&port, 1, T0), 1);
			assert_int_equal(held_until(&port), 0);
		}
		assert_int_equal(coalesced(&port.rig, COALESCE_HOLD), 0);
		end(&port);
	}
}

/* The example of the standard: 10 packets wait, and 8 are enough from now on. */
static void test_fewer_packets_are_looked_at_at_once(void **state)
{
	struct port port;

	for (unsigned receive = 0; receive < 2; receive++) {
		begin(&port, *state, receive);
		set(&port, 15, 1000);
		assert_int_equal(packets(&port, 10, T0), 0);
		set(&port, 8, 1000);
		/* The owner is to look, now. */
		assert_int_not_equal(held_until(&port), 0);
		assert_true(held_until(&port) <= T0 + 1 * US);
		assert_int_equal(packets(&port, 0, T0 + 1 * US), 1);
		assert_int_equal(coalesced(&port.rig, COALESCE_DUE_PACKETS), 1);
		end(&port);
	}
}

static void test_less_time_is_looked_at_at_once(void **state)
{
	struct port port;

	begin(&port, *state, true);
	set(&port, 15, 1000);
	assert_int_equal(packets(&port, 3, T0), 0);
	set(&port, 15, 20);
	assert_true(held_until(&port) <= T0 + 50 * US);
	assert_int_equal(packets(&port, 0, T0 + 50 * US), 1);
	assert_int_equal(coalesced(&port.rig, COALESCE_DUE_DEADLINE), 1);
	/* Or it is less, and not over yet. */
	set(&port, 15, 1000);
	assert_int_equal(packets(&port, 3, T0 + 100 * US), 0);
	set(&port, 15, 20);
	assert_int_equal(packets(&port, 0, T0 + 119 * US), 0);
	assert_int_equal(held_until(&port), T0 + 120 * US);
	assert_int_equal(packets(&port, 0, T0 + 120 * US), 1);
	end(&port);
}

static void test_more_of_both_goes_on_waiting(void **state)
{
	struct port port;

	begin(&port, *state, true);
	set(&port, 10, 100);
	assert_int_equal(packets(&port, 9, T0), 0);
	set(&port, 12, 200);
	assert_int_equal(packets(&port, 0, T0 + 1 * US), 0);
	assert_int_equal(held_until(&port), T0 + 200 * US);
	assert_int_equal(packets(&port, 2, T0 + 150 * US), 0);
	assert_int_equal(packets(&port, 1, T0 + 151 * US), 1);
	end(&port);
}

/* To every packet, or to a host that holds nothing. */
static void test_an_end_of_holding_is_looked_at_at_once(void **state)
{
	static const struct coalesce_config ends[] = {
		{COALESCE_STATIC, 0, 0, true},
		{COALESCE_STATIC, 15, 0, true},
		{COALESCE_STATIC, 0, 1000, true},
		{COALESCE_OFF, 64, 1000, false},
	};
	struct port port;

	for (unsigned i = 0; i < ARRAY_LEN(ends); i++) {
		begin(&port, *state, true);
		set(&port, 15, 1000);
		assert_int_equal(packets(&port, 1, T0), 0);
		virtqueue_set_coalesce(port.rig.f.vq, &ends[i]);
		assert_true(held_until(&port) <= T0 + 1 * US);
		assert_int_equal(packets(&port, 0, T0 + 1 * US), 1);
		end(&port);
	}
}

/* A driver that wants no call gets none, by whatever rule it would be due. */
static void test_never_while_suppressed(void **state)
{
	struct port port;

	for (unsigned receive = 0; receive < 2; receive++) {
		begin(&port, *state, receive);
		driver_want_never(&port.rig.f.driver);
		set(&port, 8, 50);
		assert_int_equal(packets(&port, 8, T0), 0);
		assert_int_equal(packets(&port, 1, T0 + 1 * US), 0);
		assert_int_equal(packets(&port, 0, T0 + 51 * US), 0);
		assert_int_equal(packets(&port, 6, T0 + 60 * US), 0);
		set(&port, 5, 50);
		assert_int_equal(packets(&port, 0, T0 + 61 * US), 0);
		set(&port, 0, 0);
		assert_int_equal(packets(&port, 1, T0 + 62 * US), 0);
		assert_int_equal(virtqueue_stats(port.rig.f.vq)->calls, 0);
		assert_int_equal(virtqueue_stats(port.rig.f.vq)->calls_suppressed, 4);
		/* It is the driver's wish at the time that counts, not that at the first packet. */
		set(&port, 8, 50);
		assert_int_equal(packets(&port, 7, T0 + 70 * US), 0);
		driver_want_always(&port.rig.f.driver);
		assert_int_equal(packets(&port, 1, T0 + 71 * US), 1);
		end(&port);
	}
}

static void test_queues_count_for_themselves(void **state)
{
	struct port one, other;

	begin(&one, *state, true);
	begin(&other, *state, true);
	set(&one, 15, 100);
	set(&other, 15, 50);
	assert_int_equal(packets(&one, 10, T0), 0);
	assert_int_equal(packets(&other, 10, T0 + 10 * US), 0);
	assert_int_equal(packets(&other, 0, T0 + 60 * US), 1);
	assert_int_equal(packets(&one, 0, T0 + 60 * US), 0);
	assert_int_equal(packets(&other, 9, T0 + 61 * US), 0);
	assert_int_equal(packets(&one, 5, T0 + 62 * US), 1);
	end(&other);
	end(&one);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WAYS_DIRECT(test_packets_come_first),
		WAYS_DIRECT(test_time_comes_first),
		WAYS_DIRECT(test_time_runs_from_the_first_packet),
		WAYS_DIRECT(test_packets_count_from_the_last_call),
		WAYS_DIRECT(test_either_zero_is_every_packet),
		WAYS_DIRECT(test_fewer_packets_are_looked_at_at_once),
		WAYS_DIRECT(test_less_time_is_looked_at_at_once),
		WAYS_DIRECT(test_more_of_both_goes_on_waiting),
		WAYS_DIRECT(test_an_end_of_holding_is_looked_at_at_once),
		WAYS_DIRECT(test_never_while_suppressed),
		WAYS_DIRECT(test_queues_count_for_themselves),
	};

	return cmocka_run_group_tests_name("notifications coalescing", tests, NULL, NULL);
}
