/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A block device with real workers, virtqueues and guest memory, and the driver that uses it.
 * The storage is the test's own: a fake one, or src/storage.
 *
 * The driver's rings are those of tools/bench/driver. All of it runs on the test's thread, which
 * is the control thread too.
 */
#ifndef PARIO_TESTS_UNIT_DEVICE_DEVICE_RIG_H
#define PARIO_TESTS_UNIT_DEVICE_DEVICE_RIG_H

#include <stdbool.h>
#include <stdint.h>

#include "device/blk/blk.h"
#include "driver/ring.h"
#include "driver/shm.h"
#include "guest/gmem.h"

#define RIG_QUEUES_MAX 4
#define RIG_WORKERS 2
#define RIG_DATA_BYTES 16384u /* of one request */
#define RIG_NO_STATUS 0xEE    /* what a status byte holds until the device writes it */

struct rig_options {
	enum ring_format format;
	uint16_t size;   /* 0 = 64 */
	unsigned queues; /* 0 = 1 */
	bool event_idx, indirect, in_order;
	enum poll_mode poll_mode;
	uint64_t poll_max_ns;
	struct coalesce_config coalesce;
	bool no_discard;
	uint64_t features_off; /* offered ones that the driver does not take */
};

/* As the driver writes it; tests run on little-endian machines. */
struct rig_header {
	uint32_t type;
	uint32_t reserved;
	uint64_t sector;
};

/* Memory of one request, by token. */
struct rig_request {
	struct rig_header *header;
	uint8_t *data;
	uint8_t *status;
	uint64_t header_gpa, data_gpa, status_gpa;
	void *table;
	uint64_t table_gpa;
};

struct rig_queue {
	struct ring *ring;
	struct rig_request *requests; /* ring->size of them */
	int kick_fd, call_fd, err_fd; /* the driver's */
	int device_call_fd;           /* number of the one that was given to the device */
	bool started;
};

struct rig {
	struct rig_options options;
	struct evloop *loop;
	struct worker *workers[RIG_WORKERS];
	struct device *device;
	struct shm *shm;
	struct gmap_region *regions[2];
	unsigned region_cnt;
	struct gmem *memory;
	struct rig_queue queues[RIG_QUEUES_MAX];
};

/* A join that remembers. */
struct rig_wait {
	struct join join;
	bool finished;
};

/* Everything but started queues. Features are negotiated, memory is set. */
void rig_open(struct rig *rig, const struct rig_options *options, struct storage *storage);
/* Stops what runs. The storage stays the test's. */
void rig_close(struct rig *rig);

void rig_wait_open(struct rig_wait *wait);
/* Turns the loop until the join has finished; returns its status. */
int rig_wait_done(struct rig *rig, struct rig_wait *wait);
/* A message through each worker and back. */
void rig_ping(struct rig *rig);
/* Drops the opener's reference, then sends a message through each worker and back. */
void rig_wait_begin(struct rig *rig, struct rig_wait *wait);
/* Turns the loop until the join has finished, whose opener's reference is gone already. */
int rig_wait_end(struct rig *rig, struct rig_wait *wait);

/* A setup for queue idx with new descriptors; the driver's ends are kept in the rig. */
struct device_queue_setup rig_queue_setup(struct rig *rig, unsigned idx);
int rig_queue_try_start(struct rig *rig, unsigned idx, const struct device_queue_setup *setup,
			struct err *err);
void rig_queue_start(struct rig *rig, unsigned idx);
void rig_queue_stop(struct rig *rig, unsigned idx);
void rig_queue_move(struct rig *rig, unsigned idx, unsigned worker);

/* Adds a request and does not publish it. Data is in requests[token].data. */
void rig_add(struct rig *rig, unsigned idx, uint16_t token, uint32_t type, uint64_t sector,
	     uint32_t out_bytes, uint32_t in_bytes);
/* Publishes; kicks if the device asks for it. Returns whether it did. */
bool rig_publish(struct rig *rig, unsigned idx);
/* Takes what is used; returns how many. Fails the test on a ring error. */
unsigned rig_take_used(struct rig *rig, unsigned idx);
/* Waits (turning the loop) until cnt more are used. */
void rig_wait_used(struct rig *rig, unsigned idx, unsigned cnt);
/* One request from add to used; returns its status. */
uint8_t rig_do(struct rig *rig, unsigned idx, uint32_t type, uint64_t sector, uint32_t out_bytes,
	       uint32_t in_bytes);
struct blk_stats rig_stats(const struct rig *rig);

/* The device only borrowed it: it is open (checked), and closed here. -1 is none. */
void rig_fd_back(int fd);
uint64_t rig_deadline_ns(void);
/* Fails the test once the deadline has passed. */
void rig_check_deadline(uint64_t deadline_ns, const char *what);

#endif
