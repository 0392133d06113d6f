/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libFuzzer target: both ring formats and the chain parser, over guest memory of any content that
 * changes between any two loads (built with PARIO_FUZZ_GPTR_HOOK; without it, between bursts).
 * Not what a device makes of a chain (fuzz_blk_request.c).
 *
 * Input, little-endian; what is missing is zero:
 *   u8   flags: packed, indirect, event index, in order, base exact, fill, poor pool
 *   u8   size: split 2^(n mod 12), packed 1 + n, with fill 2048
 *   u32  vring base
 *   u8   number of writes between loads; for each: u8 loads to let pass, u16 offset, u8 value
 *   u8   number of actions; for each: u8, see act()
 *   rest image of the first region's beginning, where the ring is
 * Fill: first the ring and the space behind it become one long chain, then the image is laid over.
 * Poor pool: one block of each size is left in it.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/log.h"
#include "guest/gmem.h"
#include "virtqueue/virtqueue.h"

#define MUST(expr)                                                                    \
	do {                                                                          \
		if (!(expr)) {                                                        \
			fprintf(stderr, "violated: %s (line %d)\n", #expr, __LINE__); \
			abort();                                                      \
		}                                                                     \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
void gptr_fuzz_hook(void);

enum {
	FLAG_PACKED = 1,
	FLAG_INDIRECT = 2,
	FLAG_EVENT = 4,
	FLAG_ORDER = 8,
	FLAG_EXACT = 16,
	FLAG_FILL = 32,
	FLAG_POOR = 64
};

/* gpa 0 on, so that small numbers are good addresses; the second follows, the last ends at 2^64. */
#define ROW_CNT 4
#define RING_BYTES 0x12000u
#define PATTERN_BYTES 0x1003u
#define FILL_SIZE 2048u
#define WRITES_MAX 64u
#define ACTIONS_MAX 64u
#define HELD_MAX 4096u
#define BLOCK_CNT 256u

static const struct {
	uint64_t gpa;
	uint32_t bytes;
} layout[ROW_CNT] = {
	{0, RING_BYTES},
	{RING_BYTES, PATTERN_BYTES},
	{UINT64_C(0x100000000), 0x800},
	{UINT64_MAX - 0xfff, 0x1000},
};

struct guest_write {
	unsigned loads;
	uint16_t offset;
	uint8_t value;
};

struct input {
	const uint8_t *data;
	size_t size;
};

/* All of one run; static, as it is large. */
static struct {
	struct gmem *memory;
	struct gmem *smaller; /* the same but for the third region */
	struct chain_pool *rich, *poor;
	struct chain_pool *pool; /* of this run */
	int call_fd;
	uint8_t *shadow;                /* the first region as the guest wrote it */
	uint8_t filling[2][RING_BYTES]; /* what FLAG_FILL puts there first */
	uint8_t pattern[PATTERN_BYTES]; /* what the other regions hold */

	struct virtqueue_config config;
	struct virtqueue *vq;
	uint64_t ring_end; /* of the ring's parts in the first region */
	struct vq_slot *held[HELD_MAX];
	unsigned held_cnt, held_max;
	struct guest_write writes[WRITES_MAX];
	unsigned write_cnt, write_idx, loads;
} run;

static uint8_t take_u8(struct input *in)
{
	if (!in->size)
		return 0;
	in->size--;
	return *in->data++;
}

static uint16_t take_u16(struct input *in)
{
	const uint16_t low = take_u8(in);

	return (uint16_t)(low | take_u8(in) << 8);
}

static void guest_poke(uint32_t offset, uint8_t value)
{
	run.memory->rows[0].hva[offset % RING_BYTES] = value;
	run.shadow[offset % RING_BYTES] = value;
}

/* Before each load by the code under test. */
void gptr_fuzz_hook(void)
{
	while (run.write_idx < run.write_cnt) {
		const struct guest_write *w = &run.writes[run.write_idx];

		if (run.loads < w->loads)
			break;
		run.loads = 0;
		run.write_idx++;
		guest_poke(w->offset, w->value);
	}
	run.loads++;
}

static struct gmem *memory_new(const struct gmem *from, unsigned without)
{
	struct gmem *memory = calloc(1, sizeof(*memory) + ROW_CNT * sizeof(memory->rows[0]));

	MUST(memory);
	for (unsigned i = 0; i < ROW_CNT; i++) {
		/* Of its own size each, so that a sanitizer sees its end. */
		uint8_t *hva = from ? from->rows[i].hva : malloc(layout[i].bytes);

		MUST(hva);
		if (i == without)
			continue;
		memory->rows[memory->row_cnt++] = (struct gmem_row){
			.gpa = layout[i].gpa,
			.size_bytes = layout[i].bytes,
			.hva = hva,
			.uva = layout[i].gpa,
		};
	}
	return memory;
}

static void put_desc(uint8_t *at, uint64_t gpa, uint32_t len, uint16_t a, uint16_t b)
{
	const uint64_t rest = len | (uint64_t)a << 32 | (uint64_t)b << 48;

	for (unsigned i = 0; i < 8; i++) {
		at[i] = (uint8_t)(gpa >> 8 * i);
		at[8 + i] = (uint8_t)(rest >> 8 * i);
	}
}

/* Descriptors of 8 bytes each, linked to the next; by and by writable. */
static void make_filling(uint8_t *filling, bool packed)
{
	for (uint32_t i = 0; i * 16 < RING_BYTES; i++) {
		const uint16_t flags = 1 | (i > 1100 ? 2 : 0);

		put_desc(filling + i * 16, 0x8000 + i * 8, 8, packed ? (uint16_t)i : flags,
			 packed ? (uint16_t)(flags | 0x80) : (uint16_t)(i + 1));
	}
}

/*
 * A pool of which all is lent to the chains of a queue that is freed with them in flight, so that
 * nothing comes back; but for one block of each size, whose chains are completed.
 */
static struct chain_pool *poor_pool_new(void)
{
	enum { SIZE = 16384, CHAIN_CNT = 4096 + 4096 + BLOCK_CNT, TABLE_AT = 0xc0000 };
	const unsigned given_back[] = {0, 4096, 4096 + 4096};
	static struct vq_slot *slots[SIZE];
	struct gmem *memory = calloc(1, sizeof(*memory) + sizeof(memory->rows[0]));
	uint8_t *hva = calloc(1, 0x100000);
	struct virtqueue_config config = {
		.size = SIZE,
		.packed = true,
		.indirect = true,
		.base = 0x80008000,
		.base_is_exact = true,
		.memory = memory,
		.slot_bytes = sizeof(struct vq_slot),
		.where = {.driver_uva = SIZE * 16, .device_uva = SIZE * 16 + 4},
		.call_fd = -1,
		.err_fd = -1,
	};
	struct chain_pool *pool = chain_pool_new();
	struct virtqueue *vq;

	MUST(memory && hva && pool);
	memory->row_cnt = 1;
	memory->rows[0] = (struct gmem_row){0, 0x100000, hva, 0};
	for (unsigned i = 0; i < CHAIN_IOV_INLINE + 1; i++)
		put_desc(hva + TABLE_AT + i * 16, 0, 1, 0, 0);
	for (unsigned i = 0; i < CHAIN_CNT; i++)
		put_desc(hva + i * 16, TABLE_AT, (CHAIN_IOV_INLINE + 1) * 16, (uint16_t)i, 0x84);
	MUST(virtqueue_new(&config, &vq, NULL) == 0);
	for (unsigned i = 0; i < CHAIN_CNT; i++)
		MUST(virtqueue_fetch(vq, pool, &slots[i], 1) == 1);
	for (unsigned i = 0; i < 3; i++)
		virtqueue_complete(vq, pool, &slots[given_back[i]], 1);
	virtqueue_free(vq);
	free(hva);
	free(memory);
	return pool;
}

static void set_up_once(void)
{
	if (run.memory)
		return;
	log_set_level(LOG_LEVEL_ERROR);
	run.memory = memory_new(NULL, ROW_CNT);
	run.smaller = memory_new(run.memory, 2);
	run.rich = chain_pool_new();
	run.poor = poor_pool_new();
	run.shadow = malloc(RING_BYTES);
	run.call_fd = eventfd(0, EFD_NONBLOCK);
	MUST(run.rich && run.shadow && run.call_fd >= 0);
	make_filling(run.filling[0], false);
	make_filling(run.filling[1], true);
	for (unsigned i = 0; i < PATTERN_BYTES; i++)
		run.pattern[i] = (uint8_t)(i * 3);
}

static void lay_out(struct input *in, uint8_t flags, uint8_t size_code)
{
	struct virtqueue_config *config = &run.config;
	uint64_t driver_bytes, device_bytes;

	memset(config, 0, sizeof(*config));
	config->packed = flags & FLAG_PACKED;
	config->indirect = flags & FLAG_INDIRECT;
	config->event_idx = flags & FLAG_EVENT;
	config->in_order = flags & FLAG_ORDER;
	config->base_is_exact = flags & FLAG_EXACT;
	config->size = config->packed ? 1u + size_code : 1u << size_code % 12;
	if (flags & FLAG_FILL)
		config->size = FILL_SIZE;
	config->base = take_u16(in);
	config->base |= (uint32_t)take_u16(in) << 16;
	driver_bytes = config->packed ? 4 : 6 + 2 * config->size;
	device_bytes = config->packed ? 4 : 6 + 8 * config->size;
	config->where.driver_uva = 16 * config->size;
	config->where.device_uva = (config->where.driver_uva + driver_bytes + 3) & ~UINT64_C(3);
	run.ring_end = config->where.device_uva + device_bytes;
	config->memory = run.memory;
	config->slot_bytes = sizeof(struct vq_slot) + 17;
	config->call_fd = run.call_fd;
	config->err_fd = -1;
	config->tag = "fuzz";
}

static void take_writes(struct input *in)
{
	run.write_cnt = take_u8(in) % (WRITES_MAX + 1);
	run.write_idx = 0;
	run.loads = 0;
	for (unsigned i = 0; i < run.write_cnt; i++) {
		run.writes[i].loads = take_u8(in);
		run.writes[i].offset = take_u16(in);
		run.writes[i].value = take_u8(in);
	}
}

/* The range lies in one region as a whole. */
static void check_entry(const struct iovec *iov)
{
	const uint8_t *hva = iov->iov_base;

	MUST(iov->iov_len > 0);
	for (unsigned i = 0; i < ROW_CNT; i++) {
		const struct gmem_row *row = &run.memory->rows[i];

		if (hva >= row->hva && hva < row->hva + row->size_bytes) {
			MUST(iov->iov_len <= row->size_bytes - (size_t)(hva - row->hva));
			return;
		}
	}
	MUST(!"an entry is no guest memory");
}

static void check_slot(const struct vq_slot *slot)
{
	const unsigned cnt = slot->out_cnt + slot->in_cnt;
	uint64_t out_bytes = 0, in_bytes = 0;

	MUST(slot->error < CHAIN_ERROR_MAX_);
	MUST(chain_error_name((enum chain_error)slot->error) != NULL);
	MUST(cnt <= CHAIN_IOV_MAX + (slot->error != CHAIN_OK));
	MUST(slot->error != CHAIN_OK || cnt > 0);
	for (unsigned i = 0; i < cnt; i++) {
		check_entry(&slot->iov[i]);
		if (i < slot->out_cnt)
			out_bytes += slot->iov[i].iov_len;
		else
			in_bytes += slot->iov[i].iov_len;
	}
	MUST(out_bytes == slot->out_bytes);
	MUST(in_bytes == slot->in_bytes);
	MUST(!slot->tail_in || slot->in_cnt > 0);
	MUST(slot->error != CHAIN_OK || slot->tail_in == (slot->in_cnt > 0));
	if (run.config.packed)
		MUST(slot->desc_cnt >= 1 && slot->desc_cnt <= run.config.size);
	else
		MUST(slot->id < run.config.size);
}

static void fetch(unsigned max)
{
	const bool broken = virtqueue_fault(run.vq) != VIRTQUEUE_OK;
	struct vq_slot *slots[VIRTQUEUE_BURST];
	unsigned n = virtqueue_fetch(run.vq, run.pool, slots, max);
	unsigned desc_cnt = 0;

	MUST(n <= max);
	MUST(!broken || n == 0);
	for (unsigned i = 0; i < n; i++) {
		check_slot(slots[i]);
		MUST(run.held_cnt < run.config.size);
		for (unsigned j = 0; j < run.held_cnt; j++)
			MUST(run.held[j] != slots[i] && run.held[j]->id != slots[i]->id);
		run.held[run.held_cnt++] = slots[i];
	}
	for (unsigned i = 0; i < run.held_cnt; i++)
		desc_cnt += run.held[i]->desc_cnt;
	if (run.held_max < run.held_cnt)
		run.held_max = run.held_cnt;
	MUST(desc_cnt <= run.config.size);
	MUST(virtqueue_in_flight(run.vq) >= run.held_cnt);
}

/* The oldest or the newest n. */
static void complete(unsigned n, bool newest)
{
	struct vq_slot *slots[VIRTQUEUE_BURST];

	if (n > run.held_cnt)
		n = run.held_cnt;
	for (unsigned i = 0; i < n; i++) {
		const unsigned pick = newest ? run.held_cnt - 1 : 0;

		slots[i] = run.held[pick];
		slots[i]->used_bytes = (uint32_t)(slots[i]->in_bytes & 0xffff);
		run.held_cnt--;
		memmove(&run.held[pick], &run.held[pick + 1],
			(run.held_cnt - pick) * sizeof(run.held[0]));
	}
	virtqueue_complete(run.vq, run.pool, slots, n);
}

static void change_memory(bool smaller)
{
	if (virtqueue_memory_settled(run.vq))
		virtqueue_set_memory(run.vq, smaller ? run.smaller : run.memory);
}

/* Low three bits: what; high five: how much. */
static void act(struct input *in)
{
	const uint8_t code = take_u8(in);
	const unsigned arg = code >> 3;
	uint16_t offset;

	switch (code & 7) {
	case 0:
	case 1:
		fetch(arg + 1);
		break;
	case 2:
		complete(arg + 1, false);
		break;
	case 3:
		complete(arg + 1, true);
		break;
	case 4:
		virtqueue_notify(run.vq);
		break;
	case 5:
		if (arg & 1)
			virtqueue_arm(run.vq);
		else
			virtqueue_disarm(run.vq);
		(void)virtqueue_has_avail(run.vq);
		break;
	case 6:
		change_memory(arg & 1);
		break;
	default:
		offset = take_u16(in);
		for (unsigned i = 0; i <= arg % 4; i++)
			guest_poke(offset + i, take_u8(in));
		break;
	}
}

/* Everything comes home, and nothing but the ring was written. */
static void finish(void)
{
	const struct virtqueue_config *config = &run.config;
	const struct virtqueue_stats *stats = virtqueue_stats(run.vq);
	const uint8_t *hva = run.memory->rows[0].hva;
	const uint64_t device_at = config->where.device_uva;
	const uint64_t desc_end = config->packed ? 16 * config->size : 0;

	fetch(VIRTQUEUE_BURST);
	MUST(config->packed || virtqueue_base(run.vq) <= 0xffff);
	MUST(!config->packed || (virtqueue_base(run.vq) & 0x7fff) < config->size);
	while (run.held_cnt > 0)
		complete(VIRTQUEUE_BURST, run.held_cnt % 2);
	virtqueue_notify(run.vq);
	MUST(virtqueue_in_flight(run.vq) == 0);
	MUST(virtqueue_memory_settled(run.vq));
	MUST(stats->fetched == stats->completed);
	/* The pool has BLOCK_CNT blocks of the scarcest kind: with fewer in use, some were lost. */
	MUST(stats->pool_starved == 0 || run.held_max >= BLOCK_CNT || run.pool == run.poor);
	MUST(memcmp(hva + desc_end, run.shadow + desc_end, device_at - desc_end) == 0);
	MUST(memcmp(hva + run.ring_end, run.shadow + run.ring_end, RING_BYTES - run.ring_end) == 0);
	for (unsigned i = 1; i < ROW_CNT; i++)
		MUST(memcmp(run.memory->rows[i].hva, run.pattern, layout[i].bytes) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	struct input actions = {NULL, 0};
	uint8_t flags, size_code, action_cnt;

	set_up_once();
	flags = take_u8(&in);
	size_code = take_u8(&in);
	lay_out(&in, flags, size_code);
	take_writes(&in);
	action_cnt = take_u8(&in) % (ACTIONS_MAX + 1);
	/* Actions take a byte, some a few more; those are set apart so that the image stays put. */
	actions.data = in.data;
	actions.size = in.size < action_cnt * 4u ? in.size : action_cnt * 4u;
	in.data += actions.size;
	in.size -= actions.size;

	if (flags & FLAG_FILL)
		memcpy(run.shadow, run.filling[run.config.packed], RING_BYTES);
	else
		memset(run.shadow, 0, RING_BYTES);
	memcpy(run.shadow, in.data, in.size < RING_BYTES ? in.size : RING_BYTES);
	memcpy(run.memory->rows[0].hva, run.shadow, RING_BYTES);
	for (unsigned i = 1; i < ROW_CNT; i++)
		memcpy(run.memory->rows[i].hva, run.pattern, layout[i].bytes);
	run.pool = flags & FLAG_POOR ? run.poor : run.rich;
	run.held_cnt = 0;
	run.held_max = 0;
	if (virtqueue_new(&run.config, &run.vq, NULL) < 0)
		return 0;
	for (unsigned i = 0; i < action_cnt; i++)
		act(&actions);
	finish();
	virtqueue_free(run.vq);
	return 0;
}
