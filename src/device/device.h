/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio device: features, config space, and its queues' life on workers.
 * Not the vhost-user protocol (vhost_user/) and not a device model (blk/).
 *
 * Theory of operation
 *
 * 1. struct device is the control side: one front end at a time drives it through the functions
 *    below, all of them on the control thread. Those that reach running queues take a struct join,
 *    add themselves to it (join_add) if there is anything to wait for, and are done when it
 *    finishes: the caller opens it (join_open) and holds its own reference across the call. There
 *    are two askers: the front end, and the operator (move and tune, which say so). The front end
 *    has one change of a queue under way at a time, the operator one move and one tuning; who asks
 *    later waits for the others by itself, and is done when a queue that they stopped is not there
 *    to be changed. A change of memory concerns all queues that run.
 * 2. A queue that was started is owned by one worker: prepared on control, opened and polled there.
 * 3. device_queue_stop lets what is in flight complete, then hands the queue back; the vring base
 *    is exact from then on.
 * 4. Descriptors (kick, call, err) given to a queue stay the caller's, who keeps them open until
 *    the queue has stopped, or the join of the change that replaced them has finished. One of each
 *    a queue is what a thousand disks can afford. Those that are to be signalled have passed
 *    fdio_open_doorbell().
 */
#ifndef PARIO_DEVICE_DEVICE_H
#define PARIO_DEVICE_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/evloop.h"
#include "base/latency.h"
#include "base/stat.h"
#include "guest/gmem.h"
#include "virtqueue/virtqueue.h"
#include "worker/join.h"
#include "worker/worker.h"

/* VIRTIO 1.3, 6 "Reserved Feature Bits". */
#define DEVICE_F_NOTIFY_ON_EMPTY 24
#define DEVICE_F_INDIRECT_DESC 28
#define DEVICE_F_EVENT_IDX 29
#define DEVICE_F_VERSION_1 32
#define DEVICE_F_RING_PACKED 34
#define DEVICE_F_IN_ORDER 35

#define DEVICE_QUEUES_MAX 256
#define DEVICE_CONFIG_BYTES_MAX 256

struct device;

/* The front end's side of the connection, for what the device has to say by itself. Control. */
struct device_front_ops {
	/* Config space changed (vhost-user CONFIG_CHANGE_MSG). */
	void (*config_changed)(void *front);
	/*
	 * Queue idx could not be kept running (a move that failed both ways): it has stopped, and
	 * its base is exact. Not to be answered with a start from here.
	 */
	void (*queue_lost)(void *front, unsigned idx);
};

/* What a queue needs to start. Descriptors are borrowed until it has stopped. */
struct device_queue_setup {
	uint32_t size;
	uint32_t base;
	bool base_is_exact;
	struct virtqueue_location where;
	/* Of a device that serves disabled queues: false starts one; others only start enabled. */
	bool enabled;
	int kick_fd; /* -1: the driver never kicks, the queue is polled whatever the mode */
	int call_fd; /* -1: none */
	int err_fd;  /* -1: none */
};

/* Control thread. */

const char *device_name(const struct device *device);
/* VIRTIO device id: 2 block, 1 net. */
uint32_t device_virtio_id(const struct device *device);
/* Offered: device and ring features, without VHOST_USER_F_PROTOCOL_FEATURES. Constant for life. */
uint64_t device_features(const struct device *device);
/* Queues offered at most. */
unsigned device_queue_max(const struct device *device);
/* What GET_QUEUE_NUM is to be answered: queues, or for some kinds of device pairs of them. */
uint64_t device_queue_cnt_said(const struct device *device);
/*
 * Does a queue that is started and disabled run (device_queue_setup.enabled)? If not, a disabled
 * queue is a stopped one.
 */
bool device_serves_disabled(const struct device *device);

/* What a front end may say to some kinds of device beside features and config space. */
enum device_message {
	DEVICE_MESSAGE_MTU,  /* value: the MTU that the guest is told */
	DEVICE_MESSAGE_RARP, /* value: a MAC address in the first 6 bytes; announce it */
	DEVICE_MESSAGE_MAX_,
};

/* Does the device take messages of that kind? Constant for life. */
bool device_takes_message(const struct device *device, enum device_message message);
/* 0, or -errno with text; -ENOSYS where none are taken. */
int device_message(struct device *device, enum device_message message, uint64_t value,
		   struct err *err);
/*
 * Before queues start, or the same again at any time. -EINVAL with text that names the bits when
 * acked holds what was not offered or RING_PACKED without VERSION_1; -EBUSY while queues run. A
 * driver without VERSION_1 is a legacy one and taken to be little-endian.
 */
int device_set_features(struct device *device, uint64_t acked, struct err *err);
/* Copies config space; -EINVAL when offset + size is beyond it (bytes past the device's own
 * structure and within 256 read as zero). */
int device_config_read(struct device *device, uint32_t offset, uint32_t size, void *data,
		       struct err *err);
/*
 * Only what the device allows to be written (blk: writeback); -EINVAL / -EPERM with text. Takes
 * effect for all that the driver submits after the return.
 */
int device_config_write(struct device *device, uint32_t offset, uint32_t size, const void *data,
			struct err *err);

/* One front end at a time; NULL front to leave. */
void device_set_front(struct device *device, const struct device_front_ops *ops, void *front);

/*
 * Takes a reference on memory. Running queues switch; join gets the acknowledgement when no
 * request that was parsed under the old memory is left, and the device's reference on that is
 * gone. While no queue runs: at once, and memory may be NULL. A ring that is not in the new memory
 * breaks its queue.
 */
void device_set_memory(struct device *device, struct gmem *memory, struct join *join);
struct gmem *device_memory(const struct device *device);

bool device_queue_running(const struct device *device, unsigned idx);
/*
 * -EINVAL / -EBUSY / -ENOMEM with text at once; else the join hears when the worker has it, or why
 * it could not take it (the queue is stopped then). The queue is served from what the driver has
 * made available already; no kick is waited for.
 */
int device_queue_start(struct device *device, unsigned idx, const struct device_queue_setup *setup,
		       struct join *join, struct err *err);
/*
 * Stops and drains. A queue that does not run (index beyond the
 * device's included): nothing to wait for.
 */
void device_queue_stop(struct device *device, unsigned idx, struct join *join);
/* The base at which it stopped, or the one it was started with; 0 if it never ran. */
uint32_t device_queue_base(const struct device *device, unsigned idx);
/*
 * Operator. Hands a running queue to another worker, without draining: that one takes over parsing
 * at once; what is in flight is finished by the worker that submitted it and given back to the
 * driver by the new one. If the worker cannot take it, it goes back where it was and the join hears
 * the error; if it cannot be taken back either, it stops when what is in flight has ended. -ENOMEM:
 * it stayed. A queue that does not run (any more): nothing to wait for.
 */
void device_queue_move(struct device *device, unsigned idx, struct worker *worker,
		       struct join *join);
/* Where a running queue is; NULL for one that does not run. */
struct worker *device_queue_worker(const struct device *device, unsigned idx);
/* Replace the call or err fd of a running queue (borrowed; -1 = none). Else: nothing. */
void device_queue_set_call(struct device *device, unsigned idx, int call_fd, struct join *join);
void device_queue_set_err(struct device *device, unsigned idx, int err_fd, struct join *join);

/*
 * Of a device that serves disabled queues: a running queue is enabled or disabled. Disabled, when
 * the join hears, nothing is in flight any more and ring memory is only touched after a kick. A
 * queue that does not run: nothing to wait for.
 */
void device_queue_set_enabled(struct device *device, unsigned idx, bool enabled, struct join *join);

/* What may change while queues run. */
struct device_tuning {
	enum poll_mode poll_mode;
	uint64_t poll_max_ns;
	struct coalesce_config coalesce;
};

/* Operator. For the queues that run, which take it before the join finishes, and all later ones. */
void device_tune(struct device *device, const struct device_tuning *tuning, struct join *join);
const struct device_tuning *device_tuning(const struct device *device);

/* The workers that may serve the device's queues. */
struct worker *const *device_workers(const struct device *device, unsigned *cnt);
/*
 * Replaces them (copied, at least one). Queues that run elsewhere stay there until they are moved.
 * 0 or -EINVAL / -ENOMEM with text; nothing has changed then.
 */
int device_set_workers(struct device *device, struct worker *const *workers, unsigned cnt,
		       struct err *err);
/*
 * Queues of one group are used by the same virtual CPU: of a port a pair's two, of a disk each
 * alone. DEVICE_GROUP_ANY: by whichever has something to say (a port's control queue). Groups count
 * from 0, and do not fall from a queue to the next.
 */
#define DEVICE_GROUP_ANY (~0u)
unsigned device_queue_group(const struct device *device, unsigned idx);
/*
 * In the order of queues over the workers, group i is on worker (i + shift) % their number, and a
 * queue of none counts by its own number.
 */
unsigned device_worker_shift(const struct device *device);
/*
 * Where queue idx starts from its next start on, one of the workers or not; NULL: in the order of
 * queues over the workers. It must live until it is replaced.
 */
void device_queue_set_home(struct device *device, unsigned idx, struct worker *worker);

/*
 * changed(arg) is told after a queue has started or stopped, before the join of that; it may ask
 * for changes, and must not free the device. NULL to leave. One at a time.
 */
void device_set_watcher(struct device *device, void (*changed)(void *arg), void *arg);

/* A queue at this moment. But for the latency, all of it is 0 when it does not run. */
struct device_queue_view {
	bool running;
	bool packed;
	struct worker *worker; /* NULL unless it runs */
	uint32_t size;
	unsigned in_flight;
	enum virtqueue_fault fault;
	/* How long it is polled without work; UINT64_MAX: always. 0 while it starts or moves. */
	uint64_t window_ns;
	struct coalesce_view coalesce;
	struct latency latency; /* from fetched to given back, over all its runs */
};

/* False, and a view of zeroes, for a queue that was never started. */
bool device_queue_view(const struct device *device, unsigned idx, struct device_queue_view *view);

/*
 * The tables of counters that each queue has, over all its runs: "queue", "requests", "ring",
 * "storage" (in the order that they have for the device).
 */
const struct stat_table *device_stat_tables(const struct device *device, unsigned *cnt);
/* Copies a queue's counters of one table into out (its bytes); zeroes if it was never started. */
void device_queue_stats(const struct device *device, unsigned idx, unsigned table, void *out);
/* The same summed over all queues. */
void device_stats(const struct device *device, unsigned table, void *sum);

/* Table "ring" summed over all queues. */
void device_ring_stats(const struct device *device, struct virtqueue_stats *sum);

/* Queues must be stopped. Features, config writes and bases are forgotten. */
void device_reset(struct device *device);

#endif
