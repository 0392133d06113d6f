/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many frames at once into a tap: all of them, in order, whichever way each is written, and to the
 * end when the tap is closed over them.
 * Not what frames look like (test_tap.c).
 */
#include "uplink_rig.h"

#include <errno.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "network/tap_priv.h"

#define STREAMS 2
#define FRAME_BYTES 1514
#define SOURCE_AT 11
#define NUMBER_AT 14
#define PATTERN_AT 18
/* More than a queued write may have. */
#define PIECES (TAP_WRITE_PIECES + 8)

static const uint8_t start[] = {2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 0, 0x88, 0xb5};

/* Numbered frames of one peer. */
struct stream {
	struct peer *peer;
	uint8_t idx;
	bool mixed; /* some are written at once */
	unsigned total;
	unsigned sent;
	unsigned got;
	struct iovec pieces[FRAME_POOL_CNT][PIECES];
	struct worker_call call;
	bool called;
};

static int setup(void **state)
{
	*state = uplink_rig_new();
	return 0;
}

static int teardown(void **state)
{
	uplink_rig_free(*state);
	return 0;
}

static struct stream *stream_new(struct uplink_rig *rig, unsigned worker_idx, uint8_t idx,
				 unsigned total)
{
	struct stream *stream = calloc(1, sizeof(*stream));
	char name[8];

	assert_non_null(stream);
	snprintf(name, sizeof(name), "vm%u", idx);
	stream->peer = peer_new(rig, worker_idx, name, NULL);
	peer_only_count(stream->peer);
	stream->idx = idx;
	stream->total = total;
	return stream;
}

static void stream_free(struct stream *stream)
{
	peer_free(stream->peer);
	free(stream);
}

static unsigned numbered_frame(uint8_t *bytes, uint8_t idx, uint32_t number)
{
	static const unsigned lengths[] = {60, 300, FRAME_BYTES, 200, 1000};
	const unsigned len = lengths[number % ARRAY_LEN(lengths)];

	fill_pattern(bytes, len, number);
	memcpy(bytes, start, sizeof(start));
	bytes[SOURCE_AT] = idx;
	memcpy(bytes + NUMBER_AT, &number, sizeof(number));
	return len;
}

/* What follows the head, in cnt pieces: one, or a byte in each but the last. */
static void cut(struct stream *stream, struct pool_frame *own, unsigned cnt)
{
	struct iovec *pieces = stream->pieces[own - stream->peer->pool.frames];
	uint8_t *at = own->data.iov_base;

	own->frame.iov = &own->data;
	if (own->data.iov_len < cnt || cnt == 1)
		return;
	for (unsigned i = 0; i < cnt; i++)
		pieces[i] = (struct iovec){at + i, 1};
	pieces[cnt - 1].iov_len = own->data.iov_len - (cnt - 1);
	own->frame.iov = pieces;
	own->frame.iov_cnt = (uint16_t)cnt;
}

static struct frame *next_frame(struct stream *stream)
{
	static const unsigned cuts[] = {1, 3, 1, PIECES};
	struct frame_pool *pool = &stream->peer->pool;
	struct pool_frame *own = frame_pool_next(pool);
	const unsigned number = stream->sent;
	uint8_t bytes[FRAME_BYTES];
	unsigned len, head_bytes;

	if (!own || number == stream->total)
		return NULL;
	len = numbered_frame(bytes, stream->idx, number);
	head_bytes = len < FRAME_HEAD_BYTES ? len : FRAME_HEAD_BYTES;
	memcpy(own->frame.head, bytes, head_bytes);
	memcpy(own->data.iov_base, bytes + head_bytes, len - head_bytes);
	frame_pool_take(pool, len, (uint16_t)head_bytes);
	frame_set_plain_header(&own->frame);
	own->frame.plain = number / 3 % 2;
	cut(stream, own, stream->mixed ? cuts[number / 7 % ARRAY_LEN(cuts)] : 1);
	stream->sent++;
	return &own->frame;
}

/* As many as its pool has, in one turn. */
static void stream_send(struct worker *worker, void *arg)
{
	struct stream *stream = arg;
	struct frame *burst[NETPORT_BURST];

	for (unsigned i = 0; i < FRAME_POOL_CNT / NETPORT_BURST; i++) {
		unsigned cnt = 0;

		while (cnt < NETPORT_BURST && (burst[cnt] = next_frame(stream)))
			cnt++;
		if (cnt == 0)
			return;
		frame_pool_send(&stream->peer->pool, stream->peer->port, burst, cnt,
				worker_now_ns(worker));
	}
}

static int socket_with_room(const char *ifname)
{
	const int bytes = 32 << 20;
	int fd = host_socket(ifname);

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)), 0);
	return fd;
}

/* The next frame there is the next of its stream, and whole. False: there is none now. */
static bool take_one(int fd, struct stream *const *streams, int flags)
{
	uint8_t bytes[FRAME_BYTES + 1], want[FRAME_BYTES];
	const ssize_t got = recv(fd, bytes, sizeof(bytes), flags);
	struct stream *stream;
	uint32_t number;

	if (got < 0) {
		assert_int_equal(errno, EAGAIN);
		return false;
	}
	assert_true(got >= PATTERN_AT && bytes[SOURCE_AT] < STREAMS);
	stream = streams[bytes[SOURCE_AT]];
	assert_non_null(stream);
	memcpy(&number, bytes + NUMBER_AT, sizeof(number));
	assert_int_equal(number, stream->got);
	assert_int_equal(got, numbered_frame(want, stream->idx, number));
	assert_memory_equal(bytes, want, (size_t)got);
	stream->got++;
	return true;
}

static void take_all(int fd, struct stream *const *streams)
{
	for (unsigned i = 0; i < STREAMS; i++) {
		while (streams[i] && streams[i]->got < streams[i]->total) {
			if (!take_one(fd, streams, 0))
				fail_msg("frame %u of stream %u is missing", streams[i]->got, i);
		}
	}
}

static struct tap_stats stats_of(const struct tap *tap)
{
	struct tap_stats stats;

	tap_stats(tap, &stats);
	return stats;
}

/* From both workers, through the tap of the first. */
static void in_order(struct uplink_rig *rig, unsigned total)
{
	struct tap_options options = {.offloads = true};
	struct stream *streams[STREAMS] = {
		stream_new(rig, 0, 0, total),
		stream_new(rig, 1, 1, total),
	};
	struct tap *tap = rig_tap(rig, &options);
	int fd = socket_with_room("tap0");

	for (unsigned i = 0; i < STREAMS; i++)
		streams[i]->mixed = true;
	while (streams[0]->sent < total || streams[1]->sent < total) {
		for (unsigned i = 0; i < STREAMS; i++)
			rig_call(streams[i]->peer->worker, stream_send, streams[i]);
		while (take_one(fd, streams, MSG_DONTWAIT))
			;
	}
	take_all(fd, streams);
	uplink_wait(rig, stats_of(tap).tx_frames == STREAMS * total);
	assert_int_equal(stats_of(tap).tx_full + stats_of(tap).tx_errors, 0);
	close(fd);
	rig_tap_close(rig, tap);
	for (unsigned i = 0; i < STREAMS; i++)
		stream_free(streams[i]);
}

struct keeping {
	struct exchange *exchange;
	struct frame frame;
	unsigned cnt;
};

static void keep_all(struct worker *worker, void *arg)
{
	struct keeping *keeping = arg;

	(void)worker;
	while (exchange_may_keep(keeping->exchange, &keeping->frame))
		keeping->cnt++;
}

/* Keeps all that one may have on the first worker of the second's frames. How many. */
static unsigned keep_all_of_second(struct uplink_rig *rig)
{
	struct keeping *keeping = calloc(1, sizeof(*keeping));
	unsigned cnt;

	assert_non_null(keeping);
	keeping->exchange = fabric_exchange(rig->fabric, rig->workers[0]);
	keeping->frame.exchange = fabric_exchange(rig->fabric, rig->workers[1]);
	rig_call(rig->first, keep_all, keeping);
	cnt = keeping->cnt;
	free(keeping);
	return cnt;
}

static void order_under_load(void **state)
{
	in_order(*state, 20000);
	assert_int_equal(keep_all_of_second(*state), FABRIC_KEPT_MAX);
}

/* The second worker's frames have to be written at once. */
static void order_when_nothing_may_be_kept(void **state)
{
	assert_int_equal(keep_all_of_second(*state), FABRIC_KEPT_MAX);
	in_order(*state, 5000);
}

/* Holds the first worker, so that calls meanwhile run in one turn. */
struct gate {
	struct worker_call call;
	bool entered, open, called;
};

static void gate_run(struct worker *worker, struct worker_call *call)
{
	struct gate *gate = container_of(call, struct gate, call);
	const uint64_t start_ns = clock_now_ns();

	(void)worker;
	set(&gate->entered, true);
	while (!get(&gate->open))
		rig_wait_step(start_ns);
	worker_call_ack(call);
}

static void gate_done(struct worker_call *call)
{
	container_of(call, struct gate, call)->called = true;
}

static void gate_close(struct uplink_rig *rig, struct gate *gate)
{
	*gate = (struct gate){
		.call = {.run_on_worker = gate_run, .done_on_control = gate_done},
	};
	worker_call(rig->workers[0], &gate->call);
	wait_until(get(&gate->entered));
}

static void gate_open(struct uplink_rig *rig, struct gate *gate)
{
	set(&gate->open, true);
	uplink_wait(rig, gate->called);
}

static void stream_run(struct worker *worker, struct worker_call *call)
{
	stream_send(worker, container_of(call, struct stream, call));
	worker_call_ack(call);
}

static void stream_called(struct worker_call *call)
{
	container_of(call, struct stream, call)->called = true;
}

static void stream_call(struct stream *stream)
{
	stream->called = false;
	stream->call.run_on_worker = stream_run;
	stream->call.done_on_control = stream_called;
	worker_call(stream->peer->worker->worker, &stream->call);
}

static void more_than_can_be_under_way(void **state)
{
	struct uplink_rig *rig = *state;
	struct tap_options options = {.offloads = true};
	struct stream *streams[STREAMS] = {
		stream_new(rig, 0, 0, FRAME_POOL_CNT),
		stream_new(rig, 0, 1, FRAME_POOL_CNT),
	};
	struct tap *tap = rig_tap(rig, &options);
	int fd = socket_with_room("tap0");
	struct gate gate;

	gate_close(rig, &gate);
	for (unsigned i = 0; i < STREAMS; i++)
		stream_call(streams[i]);
	gate_open(rig, &gate);
	uplink_wait(rig, streams[0]->called && streams[1]->called);
	take_all(fd, streams);
	uplink_wait(rig, stats_of(tap).tx_frames == STREAMS * FRAME_POOL_CNT);
	assert_int_equal(stats_of(tap).tx_full + stats_of(tap).tx_errors, 0);
	close(fd);
	rig_tap_close(rig, tap);
	for (unsigned i = 0; i < STREAMS; i++)
		stream_free(streams[i]);
}

/* How many writes are under way when the tap is told to stop. */
struct look {
	struct worker_call call;
	const struct tap_queue *queue;
	unsigned writing_cnt;
	bool called;
};

static void look_run(struct worker *worker, struct worker_call *call)
{
	struct look *look = container_of(call, struct look, call);

	(void)worker;
	look->writing_cnt = look->queue->writing_cnt;
	worker_call_ack(call);
}

static void look_done(struct worker_call *call)
{
	container_of(call, struct look, call)->called = true;
}

/* One turn sends as much as can be and closes the tap: all of it arrives. */
static void closed_over_writes(void **state)
{
	struct uplink_rig *rig = *state;
	struct tap_options options = {.ifname = "stays0", .offloads = true};
	int fd;

	host_persistent("stays0", IFF_TAP, false);
	host_up("stays0");
	fd = socket_with_room("stays0");
	for (unsigned i = 0; i < 20; i++) {
		struct stream *streams[STREAMS] = {stream_new(rig, 0, 0, TAP_WRITES)};
		struct tap *tap = rig_tap(rig, &options);
		struct look look = {
			.call = {.run_on_worker = look_run, .done_on_control = look_done},
			.queue = &tap->queues[0],
		};
		bool closed = false;
		struct gate gate;

		gate_close(rig, &gate);
		stream_call(streams[0]);
		worker_call(rig->workers[0], &look.call);
		tap_close(tap, uplink_closed, &closed);
		gate_open(rig, &gate);
		uplink_wait(rig, closed);
		assert_true(streams[0]->called && look.called);
		assert_int_equal(look.writing_cnt, TAP_WRITES);
		take_all(fd, streams);
		stream_free(streams[0]);
	}
	close(fd);
	host_delete("stays0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(order_under_load, setup, teardown),
		cmocka_unit_test_setup_teardown(order_when_nothing_may_be_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(more_than_can_be_under_way, setup, teardown),
		cmocka_unit_test_setup_teardown(closed_over_writes, setup, teardown),
	};
	const char *reason;

	if (!host_enter(&reason)) {
		printf("skipped: %s\n", reason);
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
