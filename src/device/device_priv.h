/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a device model builds on: the device, its queues, and the operations that it fills in.
 * Not for other layers, which see device/device.h.
 *
 * A queue goes through its life by changes: control fills in struct queue_change and hands it to
 * the owner (change.c), who acts on it between turns and acknowledges, at once or when what has to
 * drain has drained (queue.c). One at a time; what is asked for meanwhile waits in line. What a
 * queue that moves leaves behind is a remainder (remainder.c).
 */
#ifndef PARIO_DEVICE_DEVICE_PRIV_H
#define PARIO_DEVICE_DEVICE_PRIV_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/latency.h"
#include "base/list.h"
#include "base/stat.h"
#include "device/device.h"
#include "virtqueue/chain.h"
#include "virtqueue/virtqueue.h"
#include "worker/join.h"
#include "worker/worker.h"

#define DEVICE_TAG_BYTES 112

/* "queue", the model's first, "ring", the model's others. */
#define DEVICE_MODEL_TABLES_MAX 2
#define DEVICE_TABLES_MAX (DEVICE_MODEL_TABLES_MAX + 2)

struct device_queue;
struct device_remainder;

/* A device model. Control thread, unless the name says otherwise. */
struct device_ops {
	const char *kind; /* for tags: "disk" */
	uint32_t virtio_id;
	size_t queue_bytes;     /* of a struct that begins with struct device_queue */
	size_t remainder_bytes; /* of a struct that begins with struct device_remainder */
	size_t slot_bytes;      /* of a request struct that begins with struct vq_slot */
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
	/* On the owner: queue->memory is another one. May be NULL. */
	void (*queue_memory_on_worker)(struct device_queue *queue);

	/*
	 * On the owner that the queue leaves, in place of queue_close_on_worker: what is
	 * outstanding goes to rem, with all that it needs on this worker. Returns how much that is;
	 * at 0 everything was closed.
	 */
	unsigned (*queue_detach_on_worker)(struct device_queue *queue,
					   struct device_remainder *rem);
	/*
	 * On the worker that was left: takes from rem->outstanding what has come to its end, gives
	 * what it borrowed from rem->pool back, and puts it on rem->finished. Returns the work
	 * done; at 0 it is called again when worker_poller_wake() said so. The queue is not to be
	 * touched.
	 */
	unsigned (*remainder_reap_on_worker)(struct device_remainder *rem);
	/* There, when nothing is outstanding any more. */
	void (*remainder_close_on_worker)(struct device_remainder *rem);
	/*
	 * On the owner: gives all of rem->batch back to the driver and ends with
	 * device_queue_notify(). Returns how many. On control for a queue that no worker has.
	 */
	unsigned (*queue_adopt)(struct device_queue *queue, struct device_remainder *rem,
				uint64_t now_ns);
	/* rem is about to be freed: its counters are the queue's now. */
	void (*remainder_retire)(struct device_remainder *rem);

	/*
	 * A queue that is started and disabled runs: the model is told, and gives back what it
	 * holds. See queue.c, 5. Both or none.
	 */
	bool serves_disabled;
	void (*queue_enable_on_worker)(struct device_queue *queue, bool enabled);
	/* On the owner: what device_tell_queues() is for. May be NULL. */
	void (*queue_told_on_worker)(struct device_queue *queue);
	/*
	 * On the owner: the queue has come, or the operator has tuned it: how it coalesces. NULL:
	 * as host says.
	 */
	void (*queue_coalesce_on_worker)(struct device_queue *queue,
					 const struct coalesce_config *host);
	/* Is queue idx to be told? NULL: all are. One that waits for who tells must not be. */
	bool (*queue_is_told)(const struct device *device, unsigned idx);
	/* See device_queue_group(). NULL: each queue is a group. */
	unsigned (*queue_group)(const struct device *device, unsigned idx);
	/*
	 * Queue idx starts (it is not on a worker yet), has stopped, or was enabled or disabled.
	 * Must not ask for changes other than by device_tell_queues(). May be NULL.
	 */
	void (*queue_changed)(struct device *device, unsigned idx);
	/* See device_message(). NULL: none are taken. */
	int (*message)(struct device *device, enum device_message message, uint64_t value,
		       struct err *err);

	/* Tables of counters, from 0 on. */
	unsigned table_cnt;
	void (*table)(unsigned idx, struct stat_table *table);
	/* Adds the queue's to sum, those of its remainders included. */
	void (*queue_table_add)(const struct device_queue *queue, unsigned idx, void *sum);
};

enum queue_change_kind {
	QUEUE_CHANGE_START,
	QUEUE_CHANGE_STOP,
	QUEUE_CHANGE_MOVE,
	QUEUE_CHANGE_MEMORY,
	QUEUE_CHANGE_CALL,
	QUEUE_CHANGE_ERR,
	QUEUE_CHANGE_TUNE,
	QUEUE_CHANGE_ENABLE,
	QUEUE_CHANGE_MODEL,
};

/*
 * Each may have one change of a queue under way or in line: the front end, the operator's two, the
 * model.
 */
enum queue_asker {
	QUEUE_ASKER_FRONT,
	QUEUE_ASKER_MOVE,
	QUEUE_ASKER_TUNE,
	QUEUE_ASKER_MODEL,
	QUEUE_ASKER_MAX_,
};

/* Belongs to control but between worker_call() and its acknowledgement. */
struct queue_change {
	struct worker_call call;
	struct device_queue *queue;
	struct queue_change *next; /* asked for after this one */
	enum queue_change_kind kind;
	bool busy; /* in line, or under way */
	struct join *join;
	int status;          /* the worker's answer */
	int fd;              /* CALL, ERR: the new one */
	struct gmem *memory; /* MEMORY; borrowed from the device */
	struct device_tuning tuning;
	bool enabled; /* START, ENABLE */
	/* MOVE */
	bool coming; /* it has left, and starts elsewhere */
	struct device_remainder *remainder;
	struct worker *target;
	struct worker *from; /* where to go back to if target cannot take it; else NULL */
	int move_status;
};

/* What the owner waits for before it acknowledges. */
enum queue_waiting {
	QUEUE_WAITING_NOTHING,
	QUEUE_WAITING_DRAIN,  /* nothing is fetched any more */
	QUEUE_WAITING_MEMORY, /* chains parsed under the old memory */
	QUEUE_WAITING_QUIET,  /* as DRAIN, to be disabled */
	QUEUE_WAITING_KICK,   /* then for the kick fd to tell of former kicks */
};

/* Table "queue"; the rest of it is struct device_queue's starts and moves. */
struct device_queue_stats {
	uint64_t load_ns;
	uint64_t adopted;
	uint64_t moves;
	uint64_t starts;
};

/*
 * One queue; allocated at its first start, kept until device_fini() so that counters stay. Padding:
 * each owner's part has cache lines of its own.
 */
struct device_queue { /* NOLINT(clang-analyzer-optin.performance.Padding) */
	/* control; constant once made */
	struct device *device;
	unsigned idx;
	char tag[DEVICE_TAG_BYTES];

	/* control */
	bool running;      /* from a start that was accepted to the end of the stop */
	bool lost;         /* no worker could take it, and its remainders are not in yet */
	bool enabled_said; /* what the owner was, or is about to be, told */
	uint32_t base;
	uint32_t size;       /* of the ring while running */
	int kick_fd;         /* borrowed while running, else -1 */
	struct worker *home; /* the owner */
	uint64_t starts;
	uint64_t moves;
	struct virtqueue_stats ring_retired; /* of former runs */
	struct list_node remainders;
	struct queue_change *line; /* the first is under way */
	struct queue_change changes[QUEUE_ASKER_MAX_];

	/* control makes and frees it; the owner's from START to STOP */
	CACHE_ALIGNED struct virtqueue *vq;

	/* owner worker */
	struct gmem *memory; /* borrowed: what chains are parsed under */
	struct chain_pool *pool;
	struct queue_change *draining; /* acknowledged when what `waiting` says has come true */
	enum queue_waiting waiting;
	bool unfinished; /* the model: there is work that neither a kick nor the ring tells of */
	/* Disabled queues of a device that serves them; see queue.c, 5. */
	bool quiet;
	bool kicked;      /* while quiet: the ring may be looked at */
	bool kick_is_old; /* the next one that the kick fd tells of came before it was quiet */
	bool kick_lost;   /* the kick fd is not watched: polled when enabled again */
	uint64_t quiet_fetched;
	struct poller poller;

	/* the owner writes, anybody reads */
	CACHE_ALIGNED uint64_t load_ns;
	uint64_t adopted; /* completions that crossed workers */
	struct latency latency;
};
static_assert(offsetof(struct device_queue, vq) % CACHE_LINE_BYTES == 0,
	      "control and the owner share no cache line");
static_assert(offsetof(struct device_queue, load_ns) % CACHE_LINE_BYTES == 0,
	      "who reads counters takes no line that the owner works on");
static_assert(sizeof(struct device_queue) % CACHE_LINE_BYTES == 0,
	      "what a model adds begins with a line of its own");

/*
 * What a queue had outstanding when it left a worker. It stays there until it has all come to its
 * end, and is handed to the queue's owner of that time in batches. Control makes and frees it.
 * Padding: as above.
 */
struct device_remainder { /* NOLINT(clang-analyzer-optin.performance.Padding) */
	/* control; constant once made */
	struct device_queue *queue;
	struct worker *worker; /* that was left */

	/* control */
	struct list_node node; /* of queue->remainders */
	bool held;             /* with a batch, until the queue has come to a worker */

	/* whoever has the call: the worker, then control, the owner, control, and so on */
	CACHE_ALIGNED struct worker_call call;
	struct vq_slot *batch; /* linked by the model */
	bool last;             /* all is closed and nothing follows */

	/* worker */
	CACHE_ALIGNED struct chain_pool *pool;
	bool call_here;
	bool detached;            /* the queue has left */
	unsigned outstanding;     /* not on finished yet */
	struct vq_slot *finished; /* linked by the model */
	struct poller poller;
};
static_assert(offsetof(struct device_remainder, call) % CACHE_LINE_BYTES == 0,
	      "what control writes is not on the line of the call");
static_assert(offsetof(struct device_remainder, pool) % CACHE_LINE_BYTES == 0,
	      "what the worker works on is not on the line of the call");
static_assert(sizeof(struct device_remainder) % CACHE_LINE_BYTES == 0,
	      "what a model adds begins with a line of its own");

struct device {
	/* control; constant */
	const struct device_ops *ops;
	char *name;
	uint64_t offered;
	unsigned queue_max;
	uint64_t queue_cnt_said;
	unsigned worker_shift;
	unsigned table_cnt;
	struct stat_table tables[DEVICE_TABLES_MAX];

	/* control */
	struct worker **workers;
	unsigned worker_cnt;
	struct worker **homes; /* of each queue; NULL: by order */
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

	/* control publishes (release), anybody reads (acquire): NULL until the first start */
	struct device_queue **queues;
};

/* What a model says when it makes a device. Everything is copied. */
struct device_setup {
	const char *name;
	uint64_t features; /* all that is offered */
	unsigned queues;
	uint64_t queue_cnt_said; /* 0: queues */
	struct device_tuning tuning;
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

static inline bool device_has_feature(uint64_t features, unsigned bit)
{
	return features >> bit & 1;
}

/* queue.c; owner worker. Members of poller_ops that fit every model. */
bool device_queue_prepare_sleep(struct poller *poller);
void device_queue_cancel_sleep(struct poller *poller);
uint64_t device_queue_next_deadline(struct poller *poller);
void device_queue_kicked(struct poller *poller);
/* A change arrives. */
void device_queue_change_on_worker(struct worker *worker, struct worker_call *call);

/* device.c; control. Did it start with a ring that nobody had served before? */
bool device_queue_starts_fresh(const struct device *device, unsigned idx);

/* view.c; control. Tables (DEVICE_TABLES_MAX at most) of devices with these ops; how many. */
unsigned device_tables_init(const struct device_ops *ops, struct stat_table *tables);

/*
 * change.c; control. Has every running queue's owner call queue_told_on_worker(). The model asks
 * one at a time.
 */
void device_tell_queues(struct device *device, struct join *join);
/* The same. Ends a lost queue when its last remainder is in; the device may go with it. */
void device_queue_settle_lost(struct device_queue *queue);
/* Is it on its way from a worker to another? */
static inline bool device_queue_moving(const struct device_queue *queue)
{
	return queue->line && queue->line->kind == QUEUE_CHANGE_MOVE;
}

/* remainder.c */
/* Control. Sends an empty one to the queue's owner, ahead of the move. NULL: no memory. */
struct device_remainder *device_remainder_new(struct device_queue *queue);
/* On the owner that the queue leaves, after its last poll. Control may have rem afterwards. */
void device_remainder_detach_on_worker(struct device_queue *queue, struct device_remainder *rem,
				       struct worker *worker);
/* Control: the move has ended, batches that were held go on. */
void device_remainders_release(struct device_queue *queue);

void device_queue_settle_on_worker(struct device_queue *queue);

/* The model calls this last in each poll: the queue may be another thread's afterwards. */
static inline void device_queue_poll_end(struct device_queue *queue)
{
	if (unlikely(queue->waiting != QUEUE_WAITING_NOTHING))
		device_queue_settle_on_worker(queue);
}

/* Does it wait for all that is in flight? */
static inline bool device_queue_drains(const struct device_queue *queue)
{
	return unlikely(queue->waiting == QUEUE_WAITING_DRAIN ||
			queue->waiting == QUEUE_WAITING_QUIET);
}

/* May the model fetch? */
static inline bool device_queue_may_fetch(const struct device_queue *queue)
{
	return !device_queue_drains(queue) && likely(!queue->quiet || queue->kicked);
}

/* The model, after its bursts: a call that is due. Nothing is held back of a queue that drains. */
static inline void device_queue_notify(struct device_queue *queue, unsigned given_back,
				       uint64_t now_ns)
{
	if (device_queue_drains(queue))
		virtqueue_notify(queue->vq);
	else if (given_back || virtqueue_held_until_ns(queue->vq))
		virtqueue_notify_burst(queue->vq, now_ns);
}

/*
 * The same of a port's queue. True: a call is held, and somebody has to look at it when it is due
 * (device_queue_stay_polled()).
 */
static inline bool device_queue_notify_port(struct device_queue *queue, unsigned given_back,
					    const struct virtqueue_port *port, uint64_t now_ns)
{
	if (device_queue_drains(queue)) {
		virtqueue_notify(queue->vq);
		return false;
	}
	return (given_back || virtqueue_held_until_ns(queue->vq)) &&
	       virtqueue_notify_port(queue->vq, port, now_ns);
}

/*
 * With a call that is held a port's queue is polled until that is due, so that the deadline costs
 * no timer, as long as frames come as often as polling waits for any. Then prepare_sleep lets it
 * go.
 */
static inline void device_queue_stay_polled(struct device_queue *queue, uint64_t now_ns)
{
	if (queue->poller.mode == POLL_MODE_ADAPTIVE &&
	    now_ns - virtqueue_port_burst_ns(queue->vq) < queue->poller.poll_max_ns)
		worker_poller_wake(&queue->poller);
}

#endif
