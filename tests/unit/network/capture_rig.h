/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of captures share: frames, a session over a file and a fake port. Not a test.
 */
#ifndef PARIO_TESTS_UNIT_NETWORK_CAPTURE_RIG_H
#define PARIO_TESTS_UNIT_NETWORK_CAPTURE_RIG_H

#include "pcapng_reader.h"

#include "base/evloop.h"
#include "fake_netport.h"
#include "network/capture.h"
#include "network/frame.h"

/* A frame; what is behind its first 60 bytes is in iov. Byte i is i + seed, but for the type. */
struct rig_frame {
	struct frame frame;
	struct iovec iov[2];
	uint8_t rest[FRAME_BYTES_MAX];
};

void rig_frame_init(struct rig_frame *made, uint32_t bytes, uint8_t seed);
/* What it holds at offset i. */
uint8_t rig_frame_byte(const struct rig_frame *made, uint32_t i);
void rig_frame_check(const struct rig_frame *made, const uint8_t *data, uint32_t bytes);

struct rig {
	struct evloop *loop;
	struct netport port;
	char path[64];
	int fd; /* -1 once a session has it */
	struct capture *capture;
	struct capture_options options;
	unsigned started;
	unsigned ended;
	bool free_when_ended;
};

/* For cmocka's fixtures: one worker, a temporary file. */
int rig_setup(void **state);
int rig_teardown(void **state);
/* rig->options as they are. */
void rig_start(struct rig *rig, struct capture_filter *filter);
/* Stops it if it runs, and turns the loop until it has ended. */
void rig_stop(struct rig *rig);
void rig_wait_ended(struct rig *rig);
void rig_wait_state(struct rig *rig, enum capture_state state);
/* cnt frames into the ring of a worker, as one burst that comes in. */
void rig_in(struct rig *rig, unsigned worker, struct rig_frame *made, uint64_t now_ns);

#endif
