/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session from start to end, and the file that it leaves: content, size, errors.
 * Not how frames get into rings (test_capture_ring.c).
 */
#include "capture_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/ordering.h"

static struct rig_frame made[3];

static uint64_t file_size(const struct rig *rig)
{
	struct stat st;

	assert_int_equal(stat(rig->path, &st), 0);
	return (uint64_t)st.st_size;
}

static struct capture_stats stats_of(const struct rig *rig)
{
	struct capture_stats stats;

	capture_stats(rig->capture, &stats);
	return stats;
}

/* Turns until it has written so many. */
static void wait_written(struct rig *rig, uint64_t frames)
{
	const uint64_t start_ns = clock_now_ns();

	while (stats_of(rig).frames < frames) {
		assert_int_equal(evloop_turn(rig->loop, 1000), 0);
		assert_true(clock_now_ns() - start_ns < 60 * NS_PER_S);
	}
}

static void frames_stand_in_the_file(void **state)
{
	struct rig *rig = *state;
	const uint64_t before_ns = clock_now_ns();
	struct frame *frame = &made[1].frame;
	struct timespec real;
	struct reader *reader;

	rig_frame_init(&made[0], 60, 1);
	rig_frame_init(&made[1], 40000, 2);
	made[1].frame.gso = FRAME_GSO_TCP6;
	made[1].frame.gso_bytes = 1428;
	made[1].frame.csum_partial = true;
	made[1].frame.vlan = 77;
	rig_start(rig, NULL);
	assert_int_equal(rig->started, 1);
	assert_int_equal(capture_state(rig->capture), CAPTURE_RUNNING);
	rig_in(rig, 0, &made[0], before_ns);
	capture_out(rig->port.rings[0], &frame, 1, before_ns + 5);
	frame = &made[0].frame;
	capture_drop(rig->port.rings[0], frame, CAPTURE_OUT, NETPORT_DROP_INBOX_FULL,
		     before_ns + 6);
	wait_written(rig, 3);
	/* What came since the last look is in it too. */
	rig_in(rig, 0, &made[0], before_ns + 7);
	rig_stop(rig);
	assert_null(rig->port.rings[0]);
	clock_gettime(CLOCK_REALTIME, &real);

	reader = reader_open(rig->path);
	assert_string_equal(reader->application, "pario " PARIO_VERSION);
	assert_string_equal(reader->name, "vm1");
	assert_int_equal(reader->snaplen, CAPTURE_SNAPLEN_MAX);
	assert_int_equal(reader->packet_cnt, 4);
	assert_int_equal(reader->packets[0].flags, 1);
	assert_string_equal(reader->packets[0].comment, "");
	assert_int_equal(reader->packets[0].captured_bytes, 60);
	rig_frame_check(&made[0], reader->packets[0].data, 60);
	assert_int_equal(reader->packets[1].flags, 2);
	assert_string_equal(reader->packets[1].comment, "gso tcp6 1428, partial checksum, vlan 77");
	assert_int_equal(reader->packets[1].original_bytes, 40000);
	rig_frame_check(&made[1], reader->packets[1].data, 40000);
	assert_string_equal(reader->packets[2].comment, "dropped: receiver's worker is behind");
	for (unsigned i = 0; i < 4; i++) {
		static const uint64_t offsets_ns[] = {0, 5, 6, 7};

		assert_true(reader->packets[i].time_ns - reader->packets[0].time_ns ==
			    offsets_ns[i]);
	}
	assert_true(reader->packets[0].time_ns <=
		    (uint64_t)real.tv_sec * NS_PER_S + (uint64_t)real.tv_nsec);
	assert_true(reader->packets[0].time_ns + 600 * NS_PER_S > reader->start_ns);
	assert_true(reader->start_ns <= reader->end_ns);
	assert_true(reader->received == 4 && reader->accepted == 4 && reader->delivered == 4 &&
		    reader->dropped == 0);
	assert_string_equal(reader->totals, "ended: asked to");
	reader_free(reader);
	assert_true(stats_of(rig).file_bytes == file_size(rig));
	assert_true(stats_of(rig).dropped == 1);
	assert_int_equal(capture_end(rig->capture), CAPTURE_END_ASKED);
	assert_string_equal(capture_error(rig->capture), "");
}

static void missed_frames_are_told(void **state)
{
	struct rig *rig = *state;
	struct reader *reader;
	uint64_t written;

	rig_frame_init(&made[0], 60000, 1);
	rig_start(rig, NULL);
	for (unsigned i = 0; i < 100; i++)
		rig_in(rig, 0, &made[0], i);
	rig_stop(rig);
	written = stats_of(rig).frames;
	assert_true(written >= 3 && written + stats_of(rig).missed == 100);
	reader = reader_open(rig->path);
	assert_true(reader->packet_cnt == written);
	assert_true(reader->received == 100 && reader->dropped == 100 - written);
	assert_non_null(strstr(reader->totals, " frames missed"));
	reader_free(reader);
}

/* Of several workers, by time. */
static void workers_are_merged(void **state)
{
	struct rig *rig = *state;
	struct reader *reader;

	rig->options.worker_cnt = 3;
	rig_frame_init(&made[0], 60, 1);
	rig_start(rig, NULL);
	for (unsigned worker = 0; worker < 3; worker++) {
		for (unsigned i = 0; i < 50; i++)
			rig_in(rig, worker, &made[0], 1000 + 3 * i + (worker * 2) % 3);
	}
	rig_stop(rig);
	reader = reader_open(rig->path);
	assert_int_equal(reader->packet_cnt, 150);
	for (unsigned i = 1; i < 150; i++)
		assert_true(reader->packets[i].time_ns == reader->packets[0].time_ns + i);
	reader_free(reader);
}

/* For many limits: never more than that, and as many frames as can be. */
static void size_is_a_bound(void **state)
{
	struct rig *rig = *state;
	const uint64_t size = rig->options.size_bytes;
	struct reader *reader;

	rig_frame_init(&made[0], 333, 1);
	rig_start(rig, NULL);
	for (unsigned i = 0; i < 200; i++)
		rig_in(rig, 0, &made[0], i);
	rig_wait_ended(rig);
	assert_int_equal(capture_end(rig->capture), CAPTURE_END_SIZE);
	assert_null(rig->port.rings[0]);
	assert_true(file_size(rig) <= size);
	assert_true(file_size(rig) + 333 + 1500 > size);
	assert_true(stats_of(rig).file_bytes == file_size(rig));
	reader = reader_open(rig->path);
	assert_true(reader->has_statistics);
	assert_string_equal(reader->totals, "ended: size limit");
	assert_true(reader->packet_cnt == stats_of(rig).frames);
	assert_true(reader->delivered == reader->packet_cnt);
	reader_free(reader);
	/* Once it is over, asking changes nothing. */
	capture_stop(rig->capture, CAPTURE_END_ASKED);
	assert_int_equal(capture_end(rig->capture), CAPTURE_END_SIZE);
	assert_int_equal(rig->ended, 1);
}

static void size_is_a_bound_for_many(void **state)
{
	for (uint64_t size = CAPTURE_SIZE_MIN; size < CAPTURE_SIZE_MIN + 800; size += 37) {
		struct rig *rig;
		void *inner;

		rig_setup(&inner);
		rig = inner;
		rig->options.size_bytes = size;
		size_is_a_bound(&inner);
		rig_teardown(&inner);
	}
	(void)state;
}

/* The file system ends in the middle of a block: what is there is whole blocks, and it is said. */
static void full_file_system_ends_it(void **state)
{
	struct rig *rig = *state;
	const struct rlimit small = {.rlim_cur = 10001, .rlim_max = RLIM_INFINITY};
	struct rlimit before;
	struct reader *reader;

	rig_frame_init(&made[0], 700, 1);
	rig_start(rig, NULL);
	for (unsigned i = 0; i < 5; i++)
		rig_in(rig, 0, &made[0], i);
	wait_written(rig, 5);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	for (unsigned i = 0; i < 20; i++)
		rig_in(rig, 0, &made[0], i);
	rig_wait_ended(rig);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(capture_end(rig->capture), CAPTURE_END_ERROR);
	assert_non_null(strstr(capture_error(rig->capture), rig->path));
	assert_non_null(strstr(capture_error(rig->capture), strerror(EFBIG)));
	reader = reader_open(rig->path);
	assert_int_equal(reader->packet_cnt, 5);
	assert_true(reader->has_statistics);
	assert_string_equal(reader->totals, "ended: error");
	reader_free(reader);
	assert_true(stats_of(rig).frames == 5);
	assert_true(stats_of(rig).file_bytes == file_size(rig));
}

static void no_room_at_the_start_is_refused(void **state)
{
	struct rig *rig = *state;
	struct err err = ERR_INIT;
	int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(capture_start(&rig->options, fd, NULL, &rig->capture, &err), -ENOSPC);
	assert_null(rig->capture);
	assert_int_equal(fcntl(fd, F_GETFD), -1); /* it was taken */
	assert_non_null(strstr(err.text, strerror(ENOSPC)));
	assert_int_equal(rig->port.changes, 0);
	assert_int_equal(rig->ended, 0);
}

static void wrong_options_are_refused(void **state)
{
	struct rig *rig = *state;
	const struct capture_options good = rig->options;
	struct err err = ERR_INIT;

	rig->options.size_bytes = CAPTURE_SIZE_MIN - 1;
	assert_int_equal(capture_start(&rig->options, dup(rig->fd), NULL, &rig->capture, &err),
			 -EINVAL);
	assert_string_equal(err.text, "size: 4095 is below the minimum of 4096 bytes");
	rig->options = good;
	rig->options.snaplen = CAPTURE_SNAPLEN_MAX + 1;
	assert_int_equal(capture_start(&rig->options, dup(rig->fd), NULL, &rig->capture, &err),
			 -EINVAL);
	rig->options.snaplen = CAPTURE_SNAPLEN_MIN - 1;
	assert_int_equal(capture_start(&rig->options, dup(rig->fd), NULL, &rig->capture, &err),
			 -EINVAL);
	assert_non_null(strstr(err.text, "snaplen: 13"));
	rig->options = good;
	rig->options.in = false;
	rig->options.out = false;
	assert_int_equal(capture_start(&rig->options, dup(rig->fd), NULL, &rig->capture, &err),
			 -EINVAL);
	assert_int_equal(rig->port.changes, 0);
}

/* Asked to stop before all workers have it: it ends when they do. */
static void stopped_while_it_starts(void **state)
{
	struct rig *rig = *state;

	rig->port.hold = true;
	rig_start(rig, NULL);
	assert_int_equal(capture_state(rig->capture), CAPTURE_STARTING);
	capture_stop(rig->capture, CAPTURE_END_PORT);
	assert_int_equal(capture_state(rig->capture), CAPTURE_STARTING);
	assert_int_equal(rig->port.changes, 1);
	fake_netport_answer(&rig->port);
	assert_int_equal(capture_state(rig->capture), CAPTURE_STOPPING);
	assert_int_equal(rig->port.changes, 2);
	assert_int_equal(rig->ended, 0);
	fake_netport_answer(&rig->port);
	assert_int_equal(capture_state(rig->capture), CAPTURE_ENDED);
	assert_int_equal(capture_end(rig->capture), CAPTURE_END_PORT);
	assert_int_equal(rig->started, 0);
	assert_int_equal(rig->ended, 1);
	reader_free(reader_open(rig->path));
}

static void workers_that_cannot_take_it(void **state)
{
	struct rig *rig = *state;

	rig->port.refuse = -ENOMEM;
	rig_start(rig, NULL);
	rig_wait_ended(rig);
	assert_int_equal(capture_end(rig->capture), CAPTURE_END_ERROR);
	assert_non_null(strstr(capture_error(rig->capture), strerror(ENOMEM)));
}

static void freed_when_it_ends(void **state)
{
	struct rig *rig = *state;

	rig->free_when_ended = true;
	rig_start(rig, NULL);
	rig_frame_init(&made[0], 60, 1);
	rig_in(rig, 0, &made[0], 1);
	capture_stop(rig->capture, CAPTURE_END_ASKED);
	assert_null(rig->capture);
	assert_int_equal(rig->ended, 1);
	capture_free(NULL);
}

struct sender {
	struct capture_ring *ring;
	struct rig_frame made;
	unsigned stop;
	unsigned sent;
};

static void *send_frames(void *arg)
{
	struct sender *sender = arg;
	struct frame *frame = &sender->made.frame;

	while (!load_acquire(&sender->stop)) {
		capture_in(sender->ring, &frame, 1, clock_now_ns());
		capture_in_end(sender->ring);
		sender->sent++;
	}
	return NULL;
}

/* Two workers that send as fast as they can: every frame is in the file, or is told as missed. */
static void under_load(void **state)
{
	static struct sender senders[2];
	struct rig *rig = *state;
	struct capture_stats stats;
	struct reader *reader;
	pthread_t threads[2];
	uint64_t sent = 0;

	rig->options.worker_cnt = 2;
	rig_start(rig, NULL);
	for (unsigned i = 0; i < 2; i++) {
		rig_frame_init(&senders[i].made, 1514, (uint8_t)i);
		senders[i].ring = rig->port.rings[i];
		assert_int_equal(pthread_create(&threads[i], NULL, send_frames, &senders[i]), 0);
	}
	wait_written(rig, 1000);
	for (unsigned i = 0; i < 2; i++)
		store_release(&senders[i].stop, 1);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		sent += senders[i].sent;
	}
	rig_stop(rig);
	stats = stats_of(rig);
	assert_true(stats.seen == sent && stats.frames + stats.missed == sent);
	reader = reader_open(rig->path);
	assert_true(reader->packet_cnt == stats.frames);
	for (unsigned i = 0; i < reader->packet_cnt; i++) {
		const uint8_t *data = reader->packets[i].data;

		rig_frame_check(&senders[data[0] == 1].made, data, 1514);
	}
	reader_free(reader);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(frames_stand_in_the_file),
		TEST(missed_frames_are_told),
		TEST(workers_are_merged),
		cmocka_unit_test(size_is_a_bound_for_many),
		TEST(full_file_system_ends_it),
		TEST(no_room_at_the_start_is_refused),
		TEST(wrong_options_are_refused),
		TEST(stopped_while_it_starts),
		TEST(workers_that_cannot_take_it),
		TEST(freed_when_it_ends),
		TEST(under_load),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
