/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The session of a capture on control: rings into blocks, blocks into the file, beginning and end.
 * Not what workers do (capture_worker.c).
 */
#include "network/capture.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
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

/* Blocks that are written at once; a few of the largest. */
#define BUFFER_BYTES (1u << 18)
static_assert(BUFFER_BYTES >= 2 * (CAPTURE_SNAPLEN_MAX + PCAPNG_PACKET_BYTES), "any block fits");
static_assert(CAPTURE_RING_BYTES_MIN >= 2 * (CAPTURE_SNAPLEN_MAX + sizeof(struct capture_record)),
	      "any record fits, also behind a skipped rest");
static_assert(CAPTURE_SIZE_MIN >= 2 * PCAPNG_STATISTICS_BYTES + 1024, "the head and the totals");

struct capture {
	struct capture_options options; /* port_name and file_name are NULL */
	char *file_name;
	char *port_name;
	struct capture_filter *filter;
	struct capture_ring **rings; /* of each worker */
	int fd;                      /* -1 once it is closed */
	enum capture_state state;
	enum capture_end end;
	struct join join;
	struct evloop_timer timer;
	uint64_t real_offset_ns; /* from clock_now_ns() to time since 1970 */
	uint64_t start_ns;
	struct pcapng_buffer buffer;
	uint64_t buffered_frames; /* in buffer */
	uint64_t buffered_drops;
	uint64_t frames; /* in the file */
	uint64_t drops;
	uint64_t file_bytes;
	char error[ERR_TEXT_BYTES];
};

static uint64_t real_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

/* 0 or -errno. */
static int write_all(int fd, const uint8_t *bytes, size_t len)
{
	while (len > 0) {
		const ssize_t n = write(fd, bytes, len);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			bytes += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

/* The buffer's blocks into the file: all of them, or none. 0 or -errno. */
static int flush(struct capture *capture)
{
	const size_t len = capture->buffer.len;
	const int rc = write_all(capture->fd, capture->buffer.bytes, len);

	capture->buffer.len = 0;
	if (rc) {
		/* What was written of them would make the file unreadable. */
		if (ftruncate(capture->fd, (off_t)capture->file_bytes) == 0)
			(void)lseek(capture->fd, (off_t)capture->file_bytes, SEEK_SET);
	} else {
		capture->file_bytes += len;
		capture->frames += capture->buffered_frames;
		capture->drops += capture->buffered_drops;
	}
	capture->buffered_frames = 0;
	capture->buffered_drops = 0;
	return rc;
}

static void note_error(struct capture *capture, int rc)
{
	capture->end = CAPTURE_END_ERROR;
	snprintf(capture->error, sizeof(capture->error), "%s: cannot be written: %s",
		 capture->file_name, strerror(-rc));
}

struct comment {
	char text[PCAPNG_TEXT_BYTES];
	size_t len;
};

static void say(struct comment *comment, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void say(struct comment *comment, const char *fmt, ...)
{
	va_list ap;
	int len;

	if (comment->len > 0)
		comment->len += (size_t)snprintf(comment->text + comment->len,
						 sizeof(comment->text) - comment->len, ", ");
	va_start(ap, fmt);
	len = vsnprintf(comment->text + comment->len, sizeof(comment->text) - comment->len, fmt,
			ap);
	va_end(ap);
	CHECK(len >= 0 && (size_t)len < sizeof(comment->text) - comment->len);
	comment->len += (size_t)len;
}

static void describe(const struct capture_record *record, struct comment *comment)
{
	static const char *const gso_names[] = {
		[FRAME_GSO_NONE] = "", /* not said */
		[FRAME_GSO_TCP4] = "tcp4", [FRAME_GSO_TCP6] = "tcp6",
		[FRAME_GSO_UDP] = "ufo",   [FRAME_GSO_UDP_L4] = "uso",
	};
	static_assert(ARRAY_LEN(gso_names) == FRAME_GSO_MAX_, "a name for each");

	comment->len = 0;
	comment->text[0] = '\0';
	if (record->drop != CAPTURE_DROP_NONE)
		say(comment, "dropped: %s", capture_drop_name(record->drop));
	if (record->gso != FRAME_GSO_NONE)
		say(comment, "gso %s %u%s", gso_names[record->gso], record->gso_bytes,
		    record->gso_ecn ? " ecn" : "");
	if (record->csum_partial)
		say(comment, "partial checksum");
	if (record->vlan)
		say(comment, "vlan %u", record->vlan);
}

/* False: the file's limit is reached, and the block is not in the buffer. */
static bool put_record(struct capture *capture, const struct capture_record *record)
{
	struct pcapng_buffer *buffer = &capture->buffer;
	const size_t before = buffer->len;
	struct comment comment;
	const struct pcapng_packet packet = {
		.time_ns = record->time_ns + capture->real_offset_ns,
		.data = record->data,
		.captured_bytes = record->captured_bytes,
		.original_bytes = record->original_bytes,
		.direction = record->direction == CAPTURE_IN ? PCAPNG_INBOUND : PCAPNG_OUTBOUND,
		.comment = comment.text,
	};

	describe(record, &comment);
	CHECK(pcapng_put_packet(buffer, &packet));
	if (capture->file_bytes + buffer->len + PCAPNG_STATISTICS_BYTES >
	    capture->options.size_bytes) {
		buffer->len = before;
		return false;
	}
	capture->buffered_frames++;
	capture->buffered_drops += record->drop != CAPTURE_DROP_NONE;
	return true;
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
	struct pcapng_buffer *buffer = &capture->buffer;
	const struct capture_record *record = NULL;
	struct capture_ring *ring;
	uint64_t left = round_bytes(capture);
	int rc = 0;

	while (rc == 0 && left > 0 && (ring = oldest(capture, &record))) {
		const uint32_t bytes = record->record_bytes;

		if (!put_record(capture, record)) {
			capture->end = CAPTURE_END_SIZE;
			break;
		}
		capture_ring_take(ring, record);
		left -= left < bytes ? left : bytes;
		if (buffer->max - buffer->len < CAPTURE_SNAPLEN_MAX + PCAPNG_PACKET_BYTES)
			rc = flush(capture);
	}
	if (rc == 0 && buffer->len > 0)
		rc = flush(capture);
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

static void put_totals(struct capture *capture)
{
	const uint64_t now_ns = clock_now_ns() + capture->real_offset_ns;
	struct capture_stats stats;
	struct comment comment = {.len = 0};

	capture_stats(capture, &stats);
	say(&comment, "ended: %s", capture_end_name(capture->end));
	if (stats.missed)
		say(&comment, "%llu frames missed", (unsigned long long)stats.missed);
	CHECK(pcapng_put_statistics(&capture->buffer, &(struct pcapng_statistics){
							      .time_ns = now_ns,
							      .start_ns = capture->start_ns,
							      .end_ns = now_ns,
							      .received = stats.seen,
							      .accepted = stats.accepted,
							      .dropped = stats.missed,
							      .delivered = stats.frames,
							      .comment = comment.text,
						      }));
}

/* No worker has a ring any more. */
static void detached(struct join *join)
{
	struct capture *capture = container_of(join, struct capture, join);
	int rc;

	if (capture->end == CAPTURE_END_ASKED || capture->end == CAPTURE_END_PORT)
		drain(capture);
	put_totals(capture);
	rc = flush(capture);
	if (rc == 0 && close(capture->fd) < 0)
		rc = -errno;
	if (rc && capture->end != CAPTURE_END_ERROR)
		note_error(capture, rc);
	if (rc)
		fdio_close(&capture->fd);
	capture->fd = -1;
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
		evloop_timer_set(capture->options.control, &capture->timer, clock_now_ns());
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
	capture->buffer.bytes = malloc(BUFFER_BYTES);
	capture->buffer.max = BUFFER_BYTES;
	if (!capture->port_name || !capture->file_name || !capture->buffer.bytes)
		return -ENOMEM;
	return open_rings(capture);
}

static int write_head(struct capture *capture, struct err *err)
{
	int rc;

	CHECK(pcapng_put_section(&capture->buffer, "pario " PARIO_VERSION));
	CHECK(pcapng_put_interface(&capture->buffer, capture->port_name, capture->options.snaplen));
	rc = flush(capture);
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
	capture->fd = fd;
	capture->filter = filter;
	capture->timer.expired = expired;
	capture->start_ns = real_now_ns();
	capture->real_offset_ns = capture->start_ns - clock_now_ns();
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
	*stats = (struct capture_stats){
		.frames = capture->frames,
		.file_bytes = capture->file_bytes,
		.dropped = capture->drops,
	};
	for (unsigned i = 0; i < capture->options.worker_cnt; i++) {
		const struct capture_ring_stats *of_ring = &capture->rings[i]->stats;

		stats->missed += stat_read(&of_ring->missed);
		stats->seen += stat_read(&of_ring->seen);
		stats->accepted += stat_read(&of_ring->accepted);
	}
}

void capture_free(struct capture *capture)
{
	if (!capture)
		return;
	CHECK(capture->state == CAPTURE_ENDED);
	for (unsigned i = 0; capture->rings && i < capture->options.worker_cnt; i++) {
		if (!capture->rings[i])
			continue;
		capture_ring_fini(capture->rings[i]);
		free(capture->rings[i]);
	}
	free(capture->rings);
	free(capture->buffer.bytes);
	capture_filter_free(capture->filter);
	fdio_close(&capture->fd);
	free(capture->port_name);
	free(capture->file_name);
	free(capture);
}
