/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can be seen of a device's queues: their state and their tables of counters.
 * Not the counting, which is the owner's.
 *
 * All of it runs on control, which knows where a queue is; what its owner writes meanwhile is read
 * with relaxed loads.
 */
#include <stddef.h>
#include <string.h>

#include "base/check.h"
#include "device/device_priv.h"

enum { TABLE_QUEUE = 0, TABLE_RING = 2 };

#define ROW(member, name_, unit_, help_)                              \
	{                                                             \
		.name = (name_), .unit = (unit_), .help = (help_),    \
		.offset = offsetof(struct device_queue_stats, member) \
	}

static const struct stat_row queue_rows[] = {
	ROW(load_ns, "load", "ns", "Time of workers that went into the queue (sampled)."),
	ROW(adopted, "adopted", "requests",
	    "Given back by another worker than submitted them, as the queue had moved."),
	ROW(moves, "moves", "times", "Moves to another worker."),
	ROW(starts, "starts", "times", "Starts."),
};
static_assert(ARRAY_LEN(queue_rows) * sizeof(uint64_t) == sizeof(struct device_queue_stats),
	      "one row a counter");

/* The model's index of a table. */
static unsigned model_table(unsigned table)
{
	return table < TABLE_RING ? table - 1 : table - 2;
}

unsigned device_tables_init(const struct device_ops *ops, struct stat_table *tables)
{
	unsigned model_cnt = ops->table_cnt;

	CHECK(model_cnt >= 1 && model_cnt <= DEVICE_MODEL_TABLES_MAX);
	for (unsigned i = 0; i < model_cnt + 2; i++) {
		struct stat_table *table = &tables[i];

		if (i == TABLE_QUEUE)
			*table = (struct stat_table){
				.name = "queue",
				.rows = queue_rows,
				.row_cnt = ARRAY_LEN(queue_rows),
				.bytes = sizeof(struct device_queue_stats),
			};
		else if (i == TABLE_RING)
			*table = (struct stat_table){
				.name = "ring",
				.rows = virtqueue_stat_rows,
				.row_cnt = virtqueue_stat_row_cnt,
				.bytes = sizeof(struct virtqueue_stats),
			};
		else
			ops->table(model_table(i), table);
	}
	return model_cnt + 2;
}

const struct stat_table *device_stat_tables(const struct device *device, unsigned *cnt)
{
	*cnt = device->table_cnt;
	return device->tables;
}

static void add_table(const struct device_queue *queue, unsigned table, void *sum)
{
	if (table == TABLE_QUEUE) {
		struct device_queue_stats stats = {
			.load_ns = stat_read(&queue->load_ns),
			.adopted = stat_read(&queue->adopted),
			.moves = queue->moves,
			.starts = queue->starts,
		};

		stat_sum(sum, &stats, sizeof(stats));
	} else if (table == TABLE_RING) {
		stat_sum(sum, &queue->ring_retired, sizeof(queue->ring_retired));
		if (queue->running)
			stat_sum(sum, virtqueue_stats(queue->vq), sizeof(queue->ring_retired));
	} else {
		queue->device->ops->queue_table_add(queue, model_table(table), sum);
	}
}

void device_queue_stats(const struct device *device, unsigned idx, unsigned table, void *out)
{
	const struct device_queue *queue;

	CHECK(table < device->table_cnt);
	memset(out, 0, device->tables[table].bytes);
	queue = idx < device->queue_max ? device_queue_get(device, idx) : NULL;
	if (queue)
		add_table(queue, table, out);
}

void device_stats(const struct device *device, unsigned table, void *sum)
{
	CHECK(table < device->table_cnt);
	memset(sum, 0, device->tables[table].bytes);
	for (unsigned i = 0; i < device->queue_max; i++) {
		const struct device_queue *queue = device_queue_get(device, i);

		if (queue)
			add_table(queue, table, sum);
	}
}

void device_ring_stats(const struct device *device, struct virtqueue_stats *sum)
{
	device_stats(device, TABLE_RING, sum);
}

/* The worker sets its poller up between these, with plain stores. */
static bool is_coming(const struct device_queue *queue)
{
	return queue->line &&
	       (queue->line->kind == QUEUE_CHANGE_START || queue->line->kind == QUEUE_CHANGE_MOVE);
}

static void view_running(const struct device_queue *queue, struct device_queue_view *view)
{
	const struct virtqueue_stats *stats = virtqueue_stats(queue->vq);
	/* In this order, for both grow. */
	uint64_t completed = stat_read(&stats->completed);
	uint64_t fetched = stat_read(&stats->fetched);

	view->running = true;
	view->packed = device_has_feature(queue->device->acked, DEVICE_F_RING_PACKED);
	view->worker = queue->home;
	view->size = queue->size;
	view->in_flight = (unsigned)(fetched - completed);
	view->fault = virtqueue_fault(queue->vq);
	virtqueue_coalesce_view(queue->vq, &view->coalesce);
	if (!is_coming(queue))
		view->window_ns = load_relaxed(&queue->poller.window_ns);
}

bool device_queue_view(const struct device *device, unsigned idx, struct device_queue_view *view)
{
	const struct device_queue *queue;

	memset(view, 0, sizeof(*view));
	queue = idx < device->queue_max ? device_queue_get(device, idx) : NULL;
	if (!queue)
		return false;
	if (queue->running)
		view_running(queue, view);
	stat_sum(&view->latency, &queue->latency, sizeof(view->latency));
	return true;
}
