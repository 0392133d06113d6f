/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a device model builds on: the device, its queues, and the operations that it fills in.
 * Not for other layers, which see device/device.h.
 *
 * A queue goes through its life by changes (queue.c): control fills in struct queue_change, the
 * owner acts on it between turns and acknowledges, at once or when what has to drain has drained,
 * and control finishes. One change a queue at a time.
 */
#ifndef PARIO_DEVICE_DEVICE_PRIV_H
#define PARIO_DEVICE_DEVICE_PRIV_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "device/device.h"
#include "virtqueue/chain.h"
#include "virtqueue/virtqueue.h"
#include "worker/join.h"
#include "worker/worker.h"

#define DEVICE_TAG_BYTES 112

struct device_queue;

/* A device model. Control thread, unless the name says otherwise. */
struct device_ops {
	const char *kind; /* for tags: "disk" */
	uint32_t virtio_id;
	size_t queue_bytes; /* of a struct that begins with struct device_queue */
	size_t slot_bytes;  /* of a request struct that begins with struct vq_slot */
	/* poll is the model's; the others may be device_queue_*() below. */
	const struct poller_ops *poller_ops;

	/* Name of one of the model's own feature bits, or NULL. */
	const char *(*feature_name)(unsigned bit);
	/* device->acked has changed; also called by reset, with 0. */
	void (*features_acked)(struct device *device);
	/* Writes config space to data (DEVICE_CONFIG_BYTES_MAX, zeroed); returns its length. */
	unsigned (*config_fill)(const struct device *device, void *data);
	/* The range lies within config space. -EINVAL / -EPERM with text. */
	int (*config_write)(struct device *device, uint32_t offset, uint32_t size, const void *data,
			    struct err *err);

	/* On the owner, before the first poll and after the last. 0 or -errno with text. */
	int (*queue_open_on_worker)(struct device_queue *queue, struct worker *worker,
				    struct err *err);
	void (*queue_close_on_worker)(struct device_queue *queue);
};

enum queue_change_kind {
	QUEUE_CHANGE_START,
	QUEUE_CHANGE_STOP,
	QUEUE_CHANGE_MOVE,
	QUEUE_CHANGE_MEMORY,
	QUEUE_CHANGE_CALL,
	QUEUE_CHANGE_ERR,
};

/* Belongs to control but between worker_call() and its acknowledgement. */
struct queue_change {
	struct worker_call call;
	enum queue_change_kind kind;
	bool busy; /* one is under way */
	struct join *join;
	int status;          /* the worker's answer */
	int fd;              /* CALL, ERR: the new one */
	struct gmem *memory; /* MEMORY; borrowed from the device */
	/* MOVE, which goes on as a START elsewhere */
	struct worker *target;
	struct worker *from; /* where to go back to if target cannot take it; else NULL */
	int move_status;
};

/* What the owner waits for before it acknowledges. */
enum queue_waiting {
	QUEUE_WAITING_NOTHING,
	QUEUE_WAITING_DRAIN,  /* nothing is fetched any more; STOP, MOVE */
	QUEUE_WAITING_MEMORY, /* chains parsed under the old memory */
};

/* One queue; allocated at its first start, kept until device_fini() so that counters stay. */
struct device_queue {
	/* control; constant once made */
	struct device *device;
	unsigned idx;
	char tag[DEVICE_TAG_BYTES];

	/* control */
	bool running; /* from a start that was accepted to the end of the stop */
	uint32_t base;
	int kick_fd;         /* borrowed while running, else -1 */
	struct worker *home; /* the owner */
	struct queue_change change;

	/* control makes and frees it; the owner's from START to STOP */
	CACHE_ALIGNED struct virtqueue *vq;

	/* owner worker */
	struct chain_pool *pool;
	enum queue_waiting waiting;
	bool unfinished; /* the model: there is work that neither a kick nor the ring tells of */
	struct poller poller;
};

struct device {
	/* control; constant */
	const struct device_ops *ops;
	char *name;
	uint64_t offered;
	unsigned queue_max;
	enum poll_mode poll_mode;
	uint64_t poll_max_ns;
	struct worker **workers;
	unsigned worker_cnt;
	unsigned worker_shift;

	/* control */
	uint64_t acked;
	struct gmem *memory; /* one reference; NULL before the first */
	struct device_tuning tuning;
	void (*changed)(void *arg);
	void *changed_arg;
	const struct device_front_ops *front_ops;
	void *front;
	unsigned running_cnt; /* queues */
	/* a change of memory that running queues have not all acknowledged */
	struct gmem *memory_old;
	struct join memory_join;
	struct join *memory_waiter;
	struct virtqueue_stats ring_sum; /* of queues that have stopped */

	/* control publishes (release), anybody reads (acquire): NULL until the first start */
	struct device_queue **queues;
};

/* What a model says when it makes a device. Everything is copied. */
struct device_setup {
	const char *name;
	uint64_t features; /* all that is offered */
	unsigned queues;
	enum poll_mode poll_mode;
	uint64_t poll_max_ns;
	struct worker *const *workers;
	unsigned worker_cnt;
	unsigned worker_shift;
};

/* 0 or -EINVAL / -ENOMEM with text. On failure nothing is left. */
int device_init(struct device *device, const struct device_ops *ops,
		const struct device_setup *setup, struct err *err);
/* Every queue stopped. */
void device_fini(struct device *device);

/* Any thread. NULL when the queue was never started. */
static inline struct device_queue *device_queue_get(const struct device *device, unsigned idx)
{
	return load_acquire(&device->queues[idx]);
}

/* Control. Adds the counters of one ring. */
void device_ring_stats_add(struct virtqueue_stats *sum, const struct virtqueue_stats *stats);

static inline bool device_has_feature(uint64_t features, unsigned bit)
{
	return features >> bit & 1;
}

/* queue.c; owner worker. Members of poller_ops that fit every model. */
bool device_queue_prepare_sleep(struct poller *poller);
void device_queue_cancel_sleep(struct poller *poller);
void device_queue_kicked(struct poller *poller);

void device_queue_settle_on_worker(struct device_queue *queue);

/* The model calls this last in each poll: the queue may be another thread's afterwards. */
static inline void device_queue_poll_end(struct device_queue *queue)
{
	if (unlikely(queue->waiting != QUEUE_WAITING_NOTHING))
		device_queue_settle_on_worker(queue);
}

/* May the model fetch? */
static inline bool device_queue_may_fetch(const struct device_queue *queue)
{
	return likely(queue->waiting != QUEUE_WAITING_DRAIN);
}

#endif
