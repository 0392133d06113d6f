/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fixture of the tests of captures. Not a test.
 */
#include "capture_rig.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

#define DEADLINE_NS (60 * NS_PER_S)
#define HEAD_BYTES 60

void rig_frame_init(struct rig_frame *made, uint32_t bytes, uint8_t seed)
{
	struct frame *frame = &made->frame;
	uint32_t rest;

	memset(frame, 0, sizeof(*frame));
	frame_init(frame, NULL);
	frame->bytes = bytes;
	frame->head_bytes = (uint16_t)(bytes < HEAD_BYTES ? bytes : HEAD_BYTES);
	rest = bytes - frame->head_bytes;
	for (uint32_t i = 0; i < frame->head_bytes; i++)
		frame->head[i] = (uint8_t)(i + seed);
	frame->head[12] = 0x08;
	frame->head[13] = 0x00;
	for (uint32_t i = 0; i < rest; i++)
		made->rest[i] = (uint8_t)(HEAD_BYTES + i + seed);
	/* Two pieces of uneven length. */
	made->iov[0] = (struct iovec){.iov_base = made->rest, .iov_len = rest / 3};
	made->iov[1] =
		(struct iovec){.iov_base = made->rest + rest / 3, .iov_len = rest - rest / 3};
	frame->iov = made->iov;
	frame->iov_cnt = rest ? 2 : 0;
}

uint8_t rig_frame_byte(const struct rig_frame *made, uint32_t i)
{
	return i < HEAD_BYTES ? made->frame.head[i] : made->rest[i - HEAD_BYTES];
}

void rig_frame_check(const struct rig_frame *made, const uint8_t *data, uint32_t bytes)
{
	for (uint32_t i = 0; i < bytes; i++) {
		if (data[i] != rig_frame_byte(made, i))
			fail_msg("byte %u of %u is %02x", i, bytes, data[i]);
	}
}

static void started(struct capture *capture, void *arg)
{
	struct rig *rig = arg;

	assert_int_equal(capture_state(capture), CAPTURE_RUNNING);
	rig->started++;
}

static void ended(struct capture *capture, void *arg)
{
	struct rig *rig = arg;

	assert_int_equal(capture_state(capture), CAPTURE_ENDED);
	assert_int_not_equal(capture_end(capture), CAPTURE_END_NONE);
	rig->ended++;
	if (rig->free_when_ended) {
		capture_free(capture);
		rig->capture = NULL;
	}
}

int rig_setup(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));

	assert_non_null(rig);
	rig->loop = evloop_new(NULL);
	assert_non_null(rig->loop);
	rig->port.worker_cnt = 1;
	snprintf(rig->path, sizeof(rig->path), "/tmp/pario-capture-XXXXXX");
	rig->fd = mkstemp(rig->path);
	assert_true(rig->fd >= 0);
	rig->options = (struct capture_options){
		.port = &rig->port,
		.port_name = "vm1",
		.file_name = rig->path,
		.worker_cnt = 1,
		.control = rig->loop,
		.size_bytes = CAPTURE_SIZE_DEFAULT,
		.snaplen = CAPTURE_SNAPLEN_MAX,
		.ring_bytes = CAPTURE_RING_BYTES_MIN,
		.in = true,
		.out = true,
		.started = started,
		.ended = ended,
		.arg = rig,
	};
	*state = rig;
	return 0;
}

int rig_teardown(void **state)
{
	struct rig *rig = *state;

	capture_free(rig->capture);
	if (rig->fd >= 0)
		close(rig->fd);
	unlink(rig->path);
	evloop_free(rig->loop);
	free(rig);
	return 0;
}

void rig_start(struct rig *rig, struct capture_filter *filter)
{
	struct err err = ERR_INIT;
	const int fd = rig->fd;

	rig->fd = -1;
	rig->port.worker_cnt = rig->options.worker_cnt;
	if (capture_start(&rig->options, fd, filter, &rig->capture, &err))
		fail_msg("%s", err.text);
}

void rig_wait_state(struct rig *rig, enum capture_state state)
{
	const uint64_t start_ns = clock_now_ns();

	while (rig->capture && capture_state(rig->capture) != state) {
		assert_int_equal(evloop_turn(rig->loop, 1000), 0);
		assert_true(clock_now_ns() - start_ns < DEADLINE_NS);
	}
}

void rig_wait_ended(struct rig *rig)
{
	rig_wait_state(rig, CAPTURE_ENDED);
	assert_int_equal(rig->ended, 1);
}

void rig_stop(struct rig *rig)
{
	capture_stop(rig->capture, CAPTURE_END_ASKED);
	rig_wait_ended(rig);
}

void rig_in(struct rig *rig, unsigned worker, struct rig_frame *made, uint64_t now_ns)
{
	struct frame *frame = &made->frame;

	capture_in(rig->port.rings[worker], &frame, 1, now_ns);
	capture_in_end(rig->port.rings[worker]);
}
