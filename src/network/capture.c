/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The session of a capture on control: rings into blocks, blocks into the file, beginning and end.
 * Not what workers do (capture_worker.c).
 */
#include "network/capture.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/fdio.h"
#include "network/capture_priv.h"
#include "network/pcapng.h"
#include "worker/join.h"

static_assert(CAPTURE_RING_BYTES_MIN >= 2 * (CAPTURE_SNAPLEN_MAX + sizeof(struct capture_record)),
	      "any record fits, also behind a skipped rest");

struct capture {
	struct capture_options options; /* port_name and file_name are NULL */
	char *file_name;
	char *port_name;
	struct capture_filter *filter;
	struct capture_ring **rings; /* of each worker */
	struct capture_file file;
	enum capture_state state;
	enum capture_end end;
	struct join join;
	struct evloop_timer timer;
	uint64_t start_ns;                /* since 1970 */
	struct capture_ring_stats totals; /* of all rings; once it is ENDED */
	char error[ERR_TEXT_BYTES];
};

static uint64_t real_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

static void note_error(struct capture *capture, int rc)
{
	capture->end = CAPTURE_END_ERROR;
	snprintf(capture->error, sizeof(capture->error), "%s: cannot be written: %s",
		 capture->file_name, strerror(-rc));
}

/* The ring with the oldest record; NULL: all are empty. */
static struct capture_ring *oldest(struct capture *capture, const struct capture_record **record)
{
	struct capture_ring *ring = NULL;

	for (unsigned i = 0; i < capture->options.worker_cnt; i++) {
		const struct capture_record *at = capture_ring_peek(capture->rings[i]);

		if (at && (!ring || at->time_ns < (*record)->time_ns)) {
			ring = capture->rings[i];
			*record = at;
		}
	}
	return ring;
}

/* A worker fills its ring while this goes on: so many bytes at most, or it would not end. */
static uint64_t round_bytes(const struct capture *capture)
{
	return (uint64_t)capture->options.worker_cnt * capture->options.ring_bytes;
}

/* Rings into the file. Sets capture->end if that is the end. */
static void drain(struct capture *capture)
{
	const struct capture_record *record = NULL;
	struct capture_ring *ring;
	uint64_t left = round_bytes(capture);
	int rc = 0;

	while (rc == 0 && left > 0 && (ring = oldest(capture, &record))) {
		const uint32_t bytes = record->record_bytes;

		if (!capture_file_put(&capture->file, record, &rc)) {
			capture->end = CAPTURE_END_SIZE;
			break;
		}
		capture_ring_take(ring, record);
		left -= left < bytes ? left : bytes;
	}
	if (rc == 0)
		rc = capture_file_flush(&capture->file);
	if (rc)
		note_error(capture, rc);
}

static void begin_end(struct capture *capture);

static void expired(struct evloop_timer *timer)
{
	struct capture *capture = container_of(timer, struct capture, timer);

	drain(capture);
	if (capture->end != CAPTURE_END_NONE)
		begin_end(capture); /* may free it */
	else
		evloop_timer_set(capture->options.control, timer,
				 clock_now_ns() + CAPTURE_DRAIN_NS);
}

static void sum_rings(const struct capture *capture, struct capture_ring_stats *sum)
{
	*sum = capture->totals;
	for (unsigned i = 0; capture->rings && i < capture->options.worker_cnt; i++) {
		const struct capture_ring_stats *stats = &capture->rings[i]->stats;

		sum->missed += stat_read(&stats->missed);
		sum->seen += stat_read(&stats->seen);
		sum->accepted += stat_read(&stats->accepted);
	}
}

/* Rings, which no worker has, buffer and descriptor. */
static void free_memory(struct capture *capture)
{
	for (unsigned i = 0; capture->rings && i < capture->options.worker_cnt; i++) {
		if (!capture->rings[i])
			continue;
		capture_ring_fini(capture->rings[i]);
		free(capture->rings[i]);
	}
	free(capture->rings);
	capture->rings = NULL;
	capture_file_fini(&capture->file);
}

static int put_totals(struct capture *capture)
{
	const uint64_t now_ns = clock_now_ns() + capture->file.real_offset_ns;
	struct capture_stats stats;
	char comment[96];

	capture_stats(capture, &stats);
	snprintf(comment, sizeof(comment),
		 stats.missed ? "ended: %s, %llu frames missed" : "ended: %s",
		 capture_end_name(capture->end), (unsigned long long)stats.missed);
	return capture_file_put_totals(&capture->file, &(struct pcapng_statistics){
							       .time_ns = now_ns,
							       .start_ns = capture->start_ns,
							       .end_ns = now_ns,
							       .received = stats.seen,
							       .accepted = stats.accepted,
							       .dropped = stats.missed,
							       .delivered = stats.frames,
							       .comment = comment,
						       });
}

/* No worker has a ring any more. */
static void detached(struct join *join)
{
	struct capture *capture = container_of(join, struct capture, join);
	struct capture_ring_stats totals;
	int rc;

	if (capture->end == CAPTURE_END_ASKED || capture->end == CAPTURE_END_PORT)
		drain(capture);
	rc = put_totals(capture);
	if (rc == 0) {
		rc = close(capture->file.fd) < 0 ? -errno : 0;
		capture->file.fd = -1;
	}
	if (rc && capture->end != CAPTURE_END_ERROR)
		note_error(capture, rc);
	sum_rings(capture, &totals);
	free_memory(capture);
	capture->totals = totals;
	capture->state = CAPTURE_ENDED;
	capture->options.ended(capture, capture->options.arg);
}

/* capture->end says why. */
static void begin_end(struct capture *capture)
{
	capture->state = CAPTURE_STOPPING;
	evloop_timer_cancel(capture->options.control, &capture->timer);
	join_open(&capture->join, detached);
	netport_set_capture(capture->options.port, NULL, &capture->join);
	join_done(&capture->join, 0);
}

static void run(struct capture *capture)
{
	evloop_timer_set(capture->options.control, &capture->timer, clock_now_ns());
	capture->options.started(capture, capture->options.arg);
}

/* Every worker has its ring, or could not take it. */
static void attached(struct join *join)
{
	struct capture *capture = container_of(join, struct capture, join);

	capture->state = CAPTURE_RUNNING;
	if (join->status) {
		capture->end = CAPTURE_END_ERROR;
		snprintf(capture->error, sizeof(capture->error),
			 "the workers cannot be told of the capture: %s", strerror(-join->status));
	}
	if (capture->end != CAPTURE_END_NONE)
		begin_end(capture);
	else
		run(capture);
}

static int check_options(const struct capture_options *options, struct err *err)
{
	if (options->size_bytes < CAPTURE_SIZE_MIN)
		return err_set(err, EINVAL, "size: %llu is below the minimum of %u bytes",
			       (unsigned long long)options->size_bytes, CAPTURE_SIZE_MIN);
	if (options->snaplen < CAPTURE_SNAPLEN_MIN || options->snaplen > CAPTURE_SNAPLEN_MAX)
		return err_set(err, EINVAL, "snaplen: %u is not between %u and %u",
			       options->snaplen, CAPTURE_SNAPLEN_MIN, CAPTURE_SNAPLEN_MAX);
	if (!options->in && !options->out)
		return err_set(err, EINVAL, "direction: neither in nor out");
	return 0;
}

static int open_rings(struct capture *capture)
{
	const struct capture_options *options = &capture->options;

	capture->rings = calloc(options->worker_cnt, sizeof(*capture->rings));
	if (!capture->rings)
		return -ENOMEM;
	for (unsigned i = 0; i < options->worker_cnt; i++) {
		struct capture_ring *ring = aligned_alloc(CACHE_LINE_BYTES, sizeof(*ring));

		if (!ring)
			return -ENOMEM;
		capture->rings[i] = ring;
		if (capture_ring_init(ring, options->ring_bytes))
			return -ENOMEM;
		ring->snaplen = options->snaplen;
		ring->wants[CAPTURE_IN] = options->in;
		ring->wants[CAPTURE_OUT] = options->out;
		ring->drops_only = options->drops_only;
		ring->filter = capture->filter;
		ring->port = options->port;
	}
	return 0;
}

static int open_memory(struct capture *capture, const struct capture_options *options)
{
	capture->port_name = strdup(options->port_name);
	capture->file_name = strdup(options->file_name);
	if (!capture->port_name || !capture->file_name || capture_file_init(&capture->file))
		return -ENOMEM;
	return open_rings(capture);
}

static int write_head(struct capture *capture, struct err *err)
{
	const int rc =
		capture_file_put_head(&capture->file, capture->port_name, capture->options.snaplen);

	return rc ? err_set(err, -rc, "%s: cannot be written: %s", capture->file_name,
			    strerror(-rc))
		  : 0;
}

static int prepare(struct capture *capture, const struct capture_options *options, struct err *err)
{
	int rc = check_options(options, err);

	if (rc)
		return rc;
	capture->options = *options;
	capture->file.size_bytes = options->size_bytes;
	if (options->ring_bytes == 0)
		capture->options.ring_bytes = CAPTURE_RING_BYTES_DEFAULT;
	CHECK(capture->options.ring_bytes >= CAPTURE_RING_BYTES_MIN &&
	      (capture->options.ring_bytes & (capture->options.ring_bytes - 1)) == 0);
	if (open_memory(capture, options))
		return err_set(err, ENOMEM, "no memory for a capture with %u workers",
			       options->worker_cnt);
	capture->options.port_name = capture->port_name;
	capture->options.file_name = capture->file_name;
	return write_head(capture, err);
}

int capture_start(const struct capture_options *options, int fd, struct capture_filter *filter,
		  struct capture **out, struct err *err)
{
	struct capture *capture = calloc(1, sizeof(*capture));
	int rc;

	*out = NULL;
	if (!capture) {
		fdio_close(&fd);
		capture_filter_free(filter);
		return err_set(err, ENOMEM, "no memory for a capture");
	}
	capture->file.fd = fd;
	capture->filter = filter;
	capture->timer.expired = expired;
	capture->start_ns = real_now_ns();
	capture->file.real_offset_ns = capture->start_ns - clock_now_ns();
	rc = prepare(capture, options, err);
	if (rc) {
		capture->state = CAPTURE_ENDED;
		capture_free(capture);
		return rc;
	}
	*out = capture;
	join_open(&capture->join, attached);
	netport_set_capture(options->port, capture->rings, &capture->join);
	join_done(&capture->join, 0);
	return 0;
}

void capture_stop(struct capture *capture, enum capture_end why)
{
	if (capture->end != CAPTURE_END_NONE)
		return;
	capture->end = why;
	if (capture->state == CAPTURE_RUNNING)
		begin_end(capture);
}

enum capture_state capture_state(const struct capture *capture)
{
	return capture->state;
}

enum capture_end capture_end(const struct capture *capture)
{
	return capture->end;
}

const char *capture_error(const struct capture *capture)
{
	return capture->error;
}

void capture_stats(const struct capture *capture, struct capture_stats *stats)
{
	struct capture_ring_stats sum;

	*stats = (struct capture_stats){
		.frames = capture->file.frames,
		.file_bytes = capture->file.written_bytes,
		.dropped = capture->file.drops,
	};
	sum_rings(capture, &sum);
	stats->missed = sum.missed;
	stats->seen = sum.seen;
	stats->accepted = sum.accepted;
}

void capture_free(struct capture *capture)
{
	if (!capture)
		return;
	CHECK(capture->state == CAPTURE_ENDED);
	free_memory(capture);
	capture_filter_free(capture->filter);
	free(capture->port_name);
	free(capture->file_name);
	free(capture);
}
