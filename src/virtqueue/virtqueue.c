/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The queue object: start, bursts, memory changes, faults. Format-free.
 * Not a ring format (split.c, packed.c), not notification (notify.c).
 */
#include "virtqueue/virtqueue.h"

#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/fdio.h"
#include "base/log.h"
#include "base/numa.h"
#include "virtqueue/chain_priv.h"
#include "virtqueue/virtqueue_priv.h"

static const char *const fault_names[] = {
	[VIRTQUEUE_OK] = "ok",
	[VIRTQUEUE_FAULT_AVAIL_JUMP] = "avail_jump",
	[VIRTQUEUE_FAULT_HEAD_RANGE] = "head_range",
	[VIRTQUEUE_FAULT_HEAD_IN_FLIGHT] = "head_in_flight",
	[VIRTQUEUE_FAULT_CHAIN_FRAMING] = "chain_framing",
	[VIRTQUEUE_FAULT_RING_UNMAPPED] = "ring_unmapped",
};
_Static_assert(ARRAY_LEN(fault_names) == VIRTQUEUE_FAULT_MAX_, "a name for each fault");

/* For the log: what the driver or the front end did. */
static const char *const fault_texts[] = {
	[VIRTQUEUE_OK] = "nothing",
	[VIRTQUEUE_FAULT_AVAIL_JUMP] = "more was made available than the ring holds",
	[VIRTQUEUE_FAULT_HEAD_RANGE] = "a head index is not below the ring's size",
	[VIRTQUEUE_FAULT_HEAD_IN_FLIGHT] =
		"a head or buffer id that is in flight was offered again",
	[VIRTQUEUE_FAULT_CHAIN_FRAMING] = "a chain does not end within the ring",
	[VIRTQUEUE_FAULT_RING_UNMAPPED] = "the ring is not in the new memory table",
};
_Static_assert(ARRAY_LEN(fault_texts) == VIRTQUEUE_FAULT_MAX_, "a text for each fault");

static const char *const part_names[] = {
	[PART_DESC] = "descriptor area",
	[PART_DRIVER] = "driver area",
	[PART_DEVICE] = "device area",
};
_Static_assert(ARRAY_LEN(part_names) == PART_CNT_, "a name for each part");

#define ROW(member, unit_, help_)                                  \
	{                                                          \
		.name = #member, .unit = (unit_), .help = (help_), \
		.offset = offsetof(struct virtqueue_stats, member) \
	}
#define COALESCED_ROW(verdict, name_, help_)                                                       \
	{                                                                                          \
		.name = (name_), .unit = "calls", .help = (help_),                                 \
		.offset =                                                                          \
			offsetof(struct virtqueue_stats, coalesced) + (verdict) * sizeof(uint64_t) \
	}
#define ERROR_ROW(error, name_, help_)                                     \
	{                                                                  \
		.name = (name_), .unit = "chains", .help = (help_),        \
		.offset = offsetof(struct virtqueue_stats, chain_errors) + \
			  (error) * sizeof(uint64_t)                       \
	}

const struct stat_row virtqueue_stat_rows[] = {
	ROW(fetched, "chains", "Chains taken from the ring."),
	ROW(completed, "chains", "Chains given back to the driver."),
	ROW(bursts, "bursts", "Fetches that found something."),
	ROW(calls, "calls", "Writes to the call descriptor."),
	ROW(calls_suppressed, "calls", "Ends of bursts at which the driver wanted no call."),
	COALESCED_ROW(COALESCE_HOLD, "calls_held", "Ends of bursts at which a call was held back."),
	COALESCED_ROW(COALESCE_DUE_IN_FLIGHT, "calls_due_in_flight",
		      "Calls not held: no or few requests were left to bring another one."),
	COALESCED_ROW(COALESCE_DUE_RATE, "calls_due_rate",
		      "Calls not held: completions were rare."),
	COALESCED_ROW(COALESCE_DUE_RATIO, "calls_due_ratio",
		      "Calls not held: a completion's turn in the adaptive ratio."),
	COALESCED_ROW(COALESCE_DUE_PACKETS, "calls_due_packets",
		      "Calls not held any longer: enough completions."),
	COALESCED_ROW(COALESCE_DUE_DEADLINE, "calls_due_deadline",
		      "Calls not held any longer: the first completion had waited long enough."),
	COALESCED_ROW(COALESCE_DUE_BUFFERS, "calls_due_buffers",
		      "Calls not held: the driver's buffers could run out."),
	COALESCED_ROW(COALESCE_DUE_QUIET, "calls_due_quiet",
		      "Calls not held any longer: no more frames came."),
	COALESCED_ROW(COALESCE_DUE_ANSWERS, "calls_due_answers",
		      "Calls not held: the guest answers what it receives."),
	COALESCED_ROW(COALESCE_DUE_BARREN, "calls_due_barren",
		      "Calls not held: those that were held brought nothing lately."),
	ROW(kicks, "kicks", "Kicks that the driver sent."),
	ROW(pool_starved, "chains", "Times a long chain had to wait for a block of iovecs."),
	ERROR_ROW(CHAIN_BAD_ADDRESS, "chain_errors_bad_address", "A buffer was not guest memory."),
	ERROR_ROW(CHAIN_ZERO_LENGTH, "chain_errors_zero_length", "A descriptor had length 0."),
	ERROR_ROW(CHAIN_READABLE_AFTER_WRITABLE, "chain_errors_readable_after_writable",
		  "A readable descriptor followed a writable one."),
	ERROR_ROW(CHAIN_NEXT_OUT_OF_RANGE, "chain_errors_next_out_of_range",
		  "A next index was beyond its table."),
	ERROR_ROW(CHAIN_TOO_LONG, "chain_errors_too_long",
		  "A chain was a loop, or had too many buffers."),
	ERROR_ROW(CHAIN_INDIRECT_REFUSED, "chain_errors_indirect_refused",
		  "An indirect table was not negotiated, nested, or had a next."),
	ERROR_ROW(CHAIN_INDIRECT_LENGTH, "chain_errors_indirect_length",
		  "An indirect table's length was 0, odd, or too large."),
	ERROR_ROW(CHAIN_INDIRECT_ADDRESS, "chain_errors_indirect_address",
		  "An indirect table was not guest memory."),
};
const unsigned virtqueue_stat_row_cnt = ARRAY_LEN(virtqueue_stat_rows);

const char *virtqueue_fault_name(enum virtqueue_fault fault)
{
	return (unsigned)fault < VIRTQUEUE_FAULT_MAX_ ? fault_names[fault] : "unknown";
}

void virtqueue_break(struct virtqueue *vq, enum virtqueue_fault fault)
{
	/* One for each worker: a guest may break and restart its queues as fast as it likes. */
	static _Thread_local struct log_limit limit;
	unsigned suppressed;

	if (vq->fault != VIRTQUEUE_OK)
		return;
	store_relaxed(&vq->fault, fault);
	if (vq->err_fd >= 0)
		(void)(vq->err_is_socket ? fdio_signal_socket(vq->err_fd)
					 : fdio_signal(vq->err_fd));
	if (!log_limit_pass(&limit, clock_now_ns(), &suppressed))
		return;
	log_warn(vq->tag, "broken, not served until it is started again: %s (%s)",
		 fault_texts[fault], virtqueue_fault_name(fault));
	if (suppressed > 0)
		log_warn(NULL, "%u more queues broke since, not logged one by one", suppressed);
}

static uint64_t part_uva(const struct virtqueue_location *where, unsigned part)
{
	const uint64_t uva[PART_CNT_] = {where->desc_uva, where->driver_uva, where->device_uva};

	return uva[part];
}

/* Host addresses of the parts of the ring. False, with the part, if memory has it not, or odd. */
static bool ring_lookup(const struct virtqueue *vq, const struct gmem *memory,
			uint8_t *hva[PART_CNT_], struct err *err)
{
	struct virtqueue_geometry geometry;

	vq->ops->geometry(vq->size, &geometry);
	for (unsigned i = 0; i < PART_CNT_; i++) {
		const uint64_t uva = part_uva(&vq->where, i);

		hva[i] = gmem_lookup_uva(memory, uva, geometry.bytes[i]);
		if (!hva[i]) {
			err_set(err, EINVAL,
				"%s of %llu bytes at 0x%llx does not lie within one memory region",
				part_names[i], (unsigned long long)geometry.bytes[i],
				(unsigned long long)uva);
			return false;
		}
		/* Both: the front end chooses how its addresses and a file's offsets relate. */
		if (uva % geometry.align_bytes[i] != 0 ||
		    (uintptr_t)hva[i] % geometry.align_bytes[i] != 0) {
			err_set(err, EINVAL, "%s at 0x%llx is not aligned to %u bytes",
				part_names[i], (unsigned long long)uva, geometry.align_bytes[i]);
			return false;
		}
	}
	return true;
}

/* Each part lies in one region, so its last byte does not wrap. */
static int ring_overlap_check(const struct virtqueue *vq, struct err *err)
{
	struct virtqueue_geometry geometry;

	vq->ops->geometry(vq->size, &geometry);
	for (unsigned i = 0; i < PART_CNT_; i++) {
		for (unsigned j = i + 1; j < PART_CNT_; j++) {
			const uint64_t a = part_uva(&vq->where, i);
			const uint64_t b = part_uva(&vq->where, j);

			if (a <= b + (geometry.bytes[j] - 1) && b <= a + (geometry.bytes[i] - 1))
				return err_set(err, EINVAL, "%s at 0x%llx overlaps %s at 0x%llx",
					       part_names[i], (unsigned long long)a, part_names[j],
					       (unsigned long long)b);
		}
	}
	return 0;
}

static size_t round_up_line(size_t bytes)
{
	return (bytes + CACHE_LINE_BYTES - 1) / CACHE_LINE_BYTES * CACHE_LINE_BYTES;
}

/*
 * One mapping for all of it: the queue, the map of ids, the slots. Pages that were never used
 * take no memory, which is what lets a thousand queues be large. Hence no huge pages either, as
 * neighbouring queues' mappings would be filled with them.
 */
static struct virtqueue *virtqueue_map(const struct virtqueue_ops *ops,
				       const struct virtqueue_config *config)
{
	const size_t slot_bytes = round_up_line(config->slot_bytes);
	const size_t ids_at = round_up_line(ops->object_bytes);
	const size_t slots_at = ids_at + ID_CNT * sizeof(bool);
	const size_t map_bytes = slots_at + slot_bytes * config->size;
	uint8_t *map =
		mmap(NULL, map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct virtqueue *vq;

	if (map == MAP_FAILED)
		return NULL;
	(void)madvise(map, map_bytes, MADV_NOHUGEPAGE); /* kernels without them refuse */
	vq = (struct virtqueue *)(void *)map;
	vq->map_bytes = map_bytes;
	vq->ids = (bool *)(map + ids_at);
	vq->slots = map + slots_at;
	vq->slot_bytes = slot_bytes;
	return vq;
}

static int virtqueue_start(struct virtqueue *vq, const struct virtqueue_config *config,
			   struct err *err)
{
	uint8_t *hva[PART_CNT_];
	int ret;

	if (!ring_lookup(vq, config->memory, hva, err))
		return -EINVAL;
	ret = ring_overlap_check(vq, err);
	if (ret < 0)
		return ret;
	vq->ops->attach(vq, hva);
	vq->attached = true;
	return vq->ops->start(vq, config, err);
}

static uint32_t table_bytes_max(uint32_t size)
{
	return (size > CHAIN_INDIRECT_MIN ? size : CHAIN_INDIRECT_MIN) * WIRE_DESC_BYTES;
}

int virtqueue_new(const struct virtqueue_config *config, struct virtqueue **out, struct err *err)
{
	const struct virtqueue_ops *ops = config->packed ? &packed_ops : &split_ops;
	struct virtqueue *vq;
	int ret;

	CHECK(config->slot_bytes >= sizeof(struct vq_slot));
	if (config->size == 0 || config->size > VIRTQUEUE_SIZE_MAX)
		return err_set(err, EINVAL, "queue size %u is not within 1..%u", config->size,
			       VIRTQUEUE_SIZE_MAX);
	ret = ops->size_check(config->size, err);
	if (ret < 0)
		return ret;
	vq = virtqueue_map(ops, config);
	if (!vq)
		return err_set(err, ENOMEM, "no memory for %u requests of %zu bytes", config->size,
			       config->slot_bytes);
	vq->ops = ops;
	vq->size = config->size;
	vq->event_idx = config->event_idx;
	vq->chain_max = config->size < CHAIN_IOV_MAX ? config->size : CHAIN_IOV_MAX;
	if (config->indirect)
		vq->table_bytes_max = table_bytes_max(config->size);
	vq->table_fast_bytes = config->indirect ? CHAIN_IOV_INLINE * WIRE_DESC_BYTES : 0;
	vq->in_order = config->in_order;
	vq->memory = config->memory;
	vq->where = config->where;
	virtqueue_set_call(vq, config->call_fd);
	virtqueue_set_err(vq, config->err_fd);
	vq->tag = config->tag;
	ret = virtqueue_start(vq, config, err);
	if (ret < 0) {
		virtqueue_free(vq);
		return ret;
	}
	*out = vq;
	return 0;
}

void virtqueue_free(struct virtqueue *vq)
{
	if (vq)
		munmap(vq, vq->map_bytes);
}

void virtqueue_prefer_node(struct virtqueue *vq, int node)
{
	numa_prefer(vq, vq->map_bytes, node);
}

struct vq_slot *virtqueue_slot_fresh(struct virtqueue *vq)
{
	CHECK(vq->slots_fresh_idx < vq->size); /* as zeroes, so that nothing follows it */
	vq->slots_free =
		(struct vq_slot *)(void *)(vq->slots + vq->slots_fresh_idx++ * vq->slot_bytes);
	return vq->slots_free;
}

static void order_push(struct virtqueue *vq, struct vq_slot *slot)
{
	slot->link = NULL;
	if (vq->order_head)
		vq->order_tail->link = slot;
	else
		vq->order_head = slot;
	vq->order_tail = slot;
}

unsigned virtqueue_fetch(struct virtqueue *vq, struct chain_pool *pool, struct vq_slot **slots,
			 unsigned max)
{
	unsigned n;

	if (unlikely(vq->fault != VIRTQUEUE_OK))
		return 0;
	n = vq->ops->fetch(vq, pool, slots, max < VIRTQUEUE_BURST ? max : VIRTQUEUE_BURST);
	if (n == 0)
		return 0;
	vq->in_flight += n;
	vq->gen_in_flight[vq->memory_gen] += n;
	stat_add(&vq->stats.fetched, n);
	stat_inc(&vq->stats.bursts);
	if (vq->in_order) {
		for (unsigned i = 0; i < n; i++)
			order_push(vq, slots[i]);
	}
	return n;
}

/* Takes the last n off the FIFO. */
static void order_pop_back(struct virtqueue *vq, unsigned n)
{
	struct vq_slot *last = NULL;
	unsigned keep = vq->in_flight - n;

	if (keep == 0) {
		vq->order_head = NULL;
		return;
	}
	for (last = vq->order_head; --keep > 0;)
		last = last->link;
	last->link = NULL;
	vq->order_tail = last;
}

void virtqueue_unfetch(struct virtqueue *vq, struct chain_pool *pool, struct vq_slot *const *slots,
		       unsigned n)
{
	if (n == 0)
		return;
	CHECK(n <= vq->in_flight);
	if (vq->in_order)
		order_pop_back(vq, n);
	if (likely(vq->attached))
		vq->ops->unfetch(vq, slots, n);
	for (unsigned i = n; i-- > 0;) {
		CHECK(!slots[i]->done);
		vq->gen_in_flight[slots[i]->memory_gen]--;
		if (unlikely(slots[i]->iov_class != 0))
			chain_iov_release(pool, slots[i]);
		virtqueue_slot_put(vq, slots[i]);
	}
	vq->in_flight -= n;
	store_relaxed(&vq->stats.fetched, vq->stats.fetched - n);
}

/* What a completed chain still held, but for its slot. */
static ALWAYS_INLINE void settle(struct virtqueue *vq, struct chain_pool *pool,
				 struct vq_slot *slot)
{
	CHECK(!slot->done);
	slot->done = true;
	vq->gen_in_flight[slot->memory_gen]--;
	if (unlikely(slot->iov_class != 0))
		chain_iov_release(pool, slot);
}

/* To the used side. The slots are free already, but nothing has taken them yet. */
static void publish(struct virtqueue *vq, struct vq_slot *const *slots, unsigned n)
{
	if (likely(vq->attached))
		vq->ops->publish(vq, slots, n);
	vq->in_flight -= n;
	stat_add(&vq->stats.completed, n);
}

/* What is done at the front of the FIFO. */
static void publish_in_order(struct virtqueue *vq)
{
	struct vq_slot *slots[VIRTQUEUE_BURST];
	unsigned n;

	do {
		n = 0;
		while (n < VIRTQUEUE_BURST && vq->order_head && vq->order_head->done) {
			struct vq_slot *slot = vq->order_head;

			slots[n++] = slot;
			vq->order_head = slot->link;
			virtqueue_slot_put(vq, slot);
		}
		if (n > 0)
			publish(vq, slots, n);
	} while (n == VIRTQUEUE_BURST);
}

/* Are these the front of the FIFO, one after another? Then they are taken off it. */
static bool order_pop_front(struct virtqueue *vq, struct vq_slot *const *slots, unsigned n)
{
	const struct vq_slot *at = vq->order_head;

	/* They are all in the FIFO, so it does not end before one is missed. */
	for (unsigned i = 0; i < n; i++, at = at->link) {
		if (at != slots[i])
			return false;
	}
	vq->order_head = slots[n - 1]->link;
	for (unsigned i = 0; i < n; i++)
		virtqueue_slot_put(vq, slots[i]);
	return true;
}

void virtqueue_complete(struct virtqueue *vq, struct chain_pool *pool, struct vq_slot *const *slots,
			unsigned n)
{
	if (n == 0)
		return;
	CHECK(n <= vq->in_flight);
	if (unlikely(vq->in_order)) {
		for (unsigned i = 0; i < n; i++)
			settle(vq, pool, slots[i]);
		/* However many they are, the driver sees them at once. */
		if (order_pop_front(vq, slots, n))
			publish(vq, slots, n);
		publish_in_order(vq);
		return;
	}
	for (unsigned i = 0; i < n; i++) {
		settle(vq, pool, slots[i]);
		virtqueue_slot_put(vq, slots[i]);
	}
	publish(vq, slots, n);
}

unsigned virtqueue_in_flight(const struct virtqueue *vq)
{
	return vq->in_flight;
}

uint32_t virtqueue_base(const struct virtqueue *vq)
{
	return vq->ops->base(vq);
}

enum virtqueue_fault virtqueue_fault(const struct virtqueue *vq)
{
	return (enum virtqueue_fault)load_relaxed(&vq->fault);
}

const struct virtqueue_stats *virtqueue_stats(const struct virtqueue *vq)
{
	return &vq->stats;
}

struct virtqueue_stats *virtqueue_stats_mutable(struct virtqueue *vq)
{
	return &vq->stats;
}

void virtqueue_set_call(struct virtqueue *vq, int call_fd)
{
	vq->call_fd = call_fd;
	vq->call_is_socket = fdio_is_socket(call_fd);
}

void virtqueue_set_err(struct virtqueue *vq, int err_fd)
{
	vq->err_fd = err_fd;
	vq->err_is_socket = fdio_is_socket(err_fd);
}

void virtqueue_set_memory(struct virtqueue *vq, struct gmem *memory)
{
	uint8_t *hva[PART_CNT_] = {NULL, NULL, NULL};

	CHECK(virtqueue_memory_settled(vq));
	virtqueue_notify(vq);
	vq->memory = memory;
	vq->row = (struct gmem_row){0};
	vq->memory_gen ^= 1;
	if (!vq->attached)
		return;
	if (ring_lookup(vq, memory, hva, NULL)) {
		vq->ops->attach(vq, hva);
		return;
	}
	for (unsigned i = 0; i < PART_CNT_; i++)
		hva[i] = NULL;
	/* There was no call fd to decide for, and soon nobody can be asked. */
	vq->call_owed |= vq->unsignalled_cnt > 0;
	vq->attached = false;
	vq->ops->attach(vq, hva);
	virtqueue_break(vq, VIRTQUEUE_FAULT_RING_UNMAPPED);
}

bool virtqueue_memory_settled(const struct virtqueue *vq)
{
	return vq->gen_in_flight[vq->memory_gen ^ 1] == 0;
}
