/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory registered with a worker's ring as fixed buffers, and how many use each piece.
 * Not guest memory as such: a piece is an address, a length and an identity.
 *
 * Theory of operation
 *
 * 1. The ring gets a table of empty slots when the first piece comes. A piece owns a run of slots,
 *    one for each chunk, so that a chunk's slot is computed and not looked up.
 * 2. Registering makes the kernel fault in, pin and account all pages, which takes long where they
 *    were never touched; unregistering takes its time too. So both go in small steps, from a timer,
 *    with a pause after each as long as it took: others on this worker keep half of its time. A
 *    chunk's pages are first touched, some MiB in a step, then registered in one. Until a chunk is
 *    ready its requests go the ordinary way.
 * 3. Pieces with the same identity, address and size are one, with a count of users: the queues and
 *    disks of a front end share its regions. A user must put a piece before the region is unmapped;
 *    so an identity cannot come to mean another region while the table has it.
 * 4. Who may still mean a slot when the last user puts its piece? Requests that the kernel took
 *    hold the buffer itself (the slot is resolved when an entry is taken) and end in the pages that
 *    were registered. Entries that are queued but not taken name the slot by number, and would find
 *    its next owner there, or nothing: so they are handed over first, all of them. After that no
 *    entry names it, and new ones cannot, for nobody has the piece.
 * 5. A piece without users keeps its slots until they are cleared, step by step, and is never found
 *    again: the same region gets other slots. A slot that refuses to be cleared (no memory) keeps
 *    its pages until it is filled anew; nobody names it until then.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/overflow.h"
#include "worker/worker_priv.h"

/* The kernel's limit is 16384; this is 1 TiB a worker, in tables of 64 KiB. */
#define URING_MEMORY_SLOTS 8192u
/* One step: chunks that are cleared, bytes that are touched. */
#define URING_CLEAR_STEP 4u
#define URING_TOUCH_STEP (4ull << 20)
#define MIB_BITS 20

static struct worker *memories_worker(struct uring *uring)
{
	return container_of(uring, struct worker, uring);
}

static struct uring_memory *memory_of(struct list_node *node)
{
	return list_entry(node, struct uring_memory, node);
}

/* Says why, and what to do about it. Front ends choose when: limited. */
static COLD void memory_refused(struct uring *uring, const struct uring_memory *memory)
{
	unsigned long long ready = memory->ready_bytes >> MIB_BITS;
	unsigned long long size = memory->size_bytes >> MIB_BITS;
	struct rlimit limit = {.rlim_cur = 0};
	char tag[24];
	unsigned suppressed;

	if (!log_limit_pass(&uring->memories.log_limit, clock_now_ns(), &suppressed))
		return;
	snprintf(tag, sizeof(tag), "worker %u", worker_idx(memories_worker(uring)));
	getrlimit(RLIMIT_MEMLOCK, &limit);
	if (memory->status == -ENOMEM && limit.rlim_cur != RLIM_INFINITY)
		log_warn(tag,
			 "pin-memory: the kernel registered %llu of %llu MiB and then no more: the "
			 "limit RLIMIT_MEMLOCK is %llu KiB; raise it (LimitMEMLOCK=infinity in the "
			 "unit, ulimit -l unlimited in a shell) or grant CAP_IPC_LOCK; the rest "
			 "goes unregistered",
			 ready, size, (unsigned long long)limit.rlim_cur >> 10);
	else if (memory->status == -EFAULT || memory->status == -EOPNOTSUPP)
		log_warn(
			tag,
			"pin-memory: the kernel registered %llu of %llu MiB and then no more (%s): "
			"this memory cannot be pinned; it must be memfd, tmpfs or hugetlbfs and "
			"its "
			"file must not shrink; the rest goes unregistered",
			ready, size, strerrordesc_np(-memory->status));
	else
		log_warn(tag,
			 "pin-memory: the kernel registered %llu of %llu MiB and then no more: %s; "
			 "the rest goes unregistered",
			 ready, size, strerrordesc_np(-memory->status));
}

/*
 * A step of touching the chunk that is next. False: all of it is. What the kernel says does not
 * matter, for the registration finds it again (and Linux before 5.14 has no such call).
 */
static bool memory_touch(struct uring_memory *memory)
{
	const uint64_t page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
	const uint64_t chunk_end = memory->ready_bytes + URING_CHUNK_BYTES;
	const uint64_t goal = chunk_end < memory->size_bytes ? chunk_end : memory->size_bytes;
	uint64_t from, to;

	if (memory->touched_bytes >= goal)
		return false;
	from = align_down(memory->start + memory->touched_bytes, page_bytes);
	memory->touched_bytes += URING_TOUCH_STEP;
	if (memory->touched_bytes > goal)
		memory->touched_bytes = goal;
	to = align_down(memory->start + memory->touched_bytes + page_bytes - 1, page_bytes);
	if (madvise((void *)(uintptr_t)from, to - from, MADV_POPULATE_WRITE) < 0)
		memory->touched_bytes = goal;
	return true;
}

static void memory_register_chunk(struct uring *uring, struct uring_memory *memory)
{
	const uint64_t left = memory->size_bytes - memory->ready_bytes;
	const unsigned slot =
		memory->first_idx + (unsigned)(memory->ready_bytes >> URING_CHUNK_BITS);
	const struct iovec iov = {
		.iov_base = (void *)(uintptr_t)(memory->start + memory->ready_bytes),
		.iov_len = left < URING_CHUNK_BYTES ? left : URING_CHUNK_BYTES,
	};
	const int rc = io_uring_register_buffers_update_tag(&uring->ring, slot, &iov, NULL, 1);

	if (rc == 1) {
		memory->ready_bytes += iov.iov_len;
		return;
	}
	memory->status = rc < 0 ? rc : -EIO;
	memory_refused(uring, memory);
}

static COLD void memory_clear_failed(struct uring *uring, int rc)
{
	unsigned suppressed;

	if (log_limit_pass(&uring->memories.log_limit, clock_now_ns(), &suppressed))
		log_warn("io_uring", "pin-memory: pages of a guest stay pinned for now: %s",
			 rc < 0 ? strerrordesc_np(-rc) : "no memory");
}

/* A step of clearing a piece that nobody uses, from its end. True: it was the last, it is freed. */
static bool memory_clear(struct uring *uring, struct uring_memory *memory)
{
	static const struct iovec none[URING_CLEAR_STEP];
	const uint64_t ready = memory->ready_bytes + URING_CHUNK_BYTES - 1;
	const unsigned left = (unsigned)(ready >> URING_CHUNK_BITS);
	const unsigned cnt = left < URING_CLEAR_STEP ? left : URING_CLEAR_STEP;
	int rc;

	if (cnt > 0) {
		rc = io_uring_register_buffers_update_tag(
			&uring->ring, memory->first_idx + left - cnt, none, NULL, cnt);
		if (rc != (int)cnt)
			memory_clear_failed(uring, rc);
	}
	memory->ready_bytes = (uint64_t)(left - cnt) << URING_CHUNK_BITS;
	if (memory->ready_bytes > 0)
		return false;
	list_remove(&memory->node);
	free(memory);
	return true;
}

/* What is next: a piece to be cleared, for its pages count against a limit, or one to register. */
static struct uring_memory *memories_next(struct uring_memories *memories)
{
	struct uring_memory *next = NULL;
	struct list_node *pos;
	struct list_node *tmp;

	/* The analyser does not see that what was freed had left the list. */
	list_for_each_safe(pos, tmp, &memories->list) { /* NOLINT(clang-analyzer-unix.Malloc) */
		struct uring_memory *memory = memory_of(pos);

		if (memory->users == 0)
			return memory;
		if (!next && memory->status == 0 && memory->ready_bytes < memory->size_bytes)
			next = memory;
	}
	return next;
}

static void memories_step(struct worker *worker, struct worker_timer *timer)
{
	struct uring *uring = &worker->uring;
	struct uring_memory *memory = memories_next(&uring->memories);
	uint64_t start_ns;
	uint64_t end_ns;

	if (!memory)
		return;
	start_ns = clock_now_ns();
	if (memory->users == 0)
		memory_clear(uring, memory);
	else if (!memory_touch(memory))
		memory_register_chunk(uring, memory);
	end_ns = clock_now_ns();
	if (memories_next(&uring->memories))
		worker_timer_set(worker, timer, end_ns + (end_ns - start_ns));
}

static void memories_start(struct uring *uring)
{
	struct worker *worker = memories_worker(uring);

	if (!uring->memories.step.running)
		worker_timer_set(worker, &uring->memories.step, worker_now_ns(worker));
}

/* At once, for somebody needs the slots. */
static void memories_clear_unused(struct uring *uring)
{
	struct list_node *pos;
	struct list_node *tmp;

	list_for_each_safe(pos, tmp, &uring->memories.list) {
		struct uring_memory *memory = memory_of(pos);

		while (memory->users == 0) {
			if (memory_clear(uring, memory))
				break;
		}
	}
}

void uring_memories_fini(struct uring *uring)
{
	struct list_node *pos;
	struct list_node *tmp;

	/* The ring goes too, and gives back what it holds. */
	list_for_each_safe(pos, tmp, &uring->memories.list) {
		CHECK(memory_of(pos)->users == 0);
		list_remove(pos);
		free(memory_of(pos));
	}
	worker_timer_cancel(memories_worker(uring), &uring->memories.step);
}

void uring_memories_init(struct uring *uring)
{
	uring->memories = (struct uring_memories){.step.expired = memories_step};
	list_init(&uring->memories.list);
}

static struct uring_memory *memories_find(struct uring_memories *memories, const void *identity,
					  uint64_t start, uint64_t size_bytes)
{
	struct list_node *pos;
	struct list_node *tmp;

	list_for_each_safe(pos, tmp, &memories->list) {
		struct uring_memory *memory = memory_of(pos);

		if (memory->users > 0 && memory->identity == identity && memory->start == start &&
		    memory->size_bytes == size_bytes)
			return memory;
	}
	return NULL;
}

/* First gap of so many slots; links memory there. False: there is none. */
static bool memories_place(struct uring_memories *memories, struct uring_memory *memory)
{
	struct list_node *pos;
	struct list_node *tmp;
	unsigned first = 0;

	list_for_each_safe(pos, tmp, &memories->list) {
		if (memory_of(pos)->first_idx - first >= memory->slot_cnt)
			break;
		first = memory_of(pos)->first_idx + memory_of(pos)->slot_cnt;
	}
	if (memory->slot_cnt > URING_MEMORY_SLOTS - first)
		return false;
	memory->first_idx = first;
	/* Before pos: a list is pushed to the back of its head. */
	list_push_back(pos, &memory->node);
	return true;
}

static int memories_have_slots(struct uring *uring)
{
	int rc;

	if (uring->memories.have_slots)
		return 0;
	rc = io_uring_register_buffers_sparse(&uring->ring, URING_MEMORY_SLOTS);
	uring->memories.have_slots = rc == 0;
	return rc;
}

static int memory_new(struct uring *uring, const void *identity, uint64_t start,
		      uint64_t size_bytes, struct uring_memory **out)
{
	const uint64_t slot_cnt = (size_bytes + URING_CHUNK_BYTES - 1) >> URING_CHUNK_BITS;
	struct uring_memory *memory;
	int rc;

	CHECK(size_bytes > 0);
	if (slot_cnt > URING_MEMORY_SLOTS)
		return -ENOSPC;
	rc = memories_have_slots(uring);
	if (rc < 0)
		return rc;
	memory = calloc(1, sizeof(*memory));
	if (!memory)
		return -ENOMEM;
	*memory = (struct uring_memory){
		.start = start,
		.slot_cnt = (unsigned)slot_cnt,
		.size_bytes = size_bytes,
		.identity = identity,
	};
	if (!memories_place(&uring->memories, memory)) {
		memories_clear_unused(uring);
		if (!memories_place(&uring->memories, memory)) {
			free(memory);
			return -ENOSPC;
		}
	}
	*out = memory;
	return 0;
}

int uring_memory_get(struct uring *uring, const void *identity, void *base, uint64_t size_bytes,
		     struct uring_memory **out)
{
	const uint64_t start = (uint64_t)(uintptr_t)base;
	struct uring_memory *memory;
	int rc;

	memory = memories_find(&uring->memories, identity, start, size_bytes);
	if (!memory) {
		rc = memory_new(uring, identity, start, size_bytes, &memory);
		if (rc < 0)
			return rc;
	}
	memory->users++;
	memory->status = 0;
	memories_start(uring);
	*out = memory;
	return 0;
}

void uring_memory_put(struct uring *uring, struct uring_memory *memory)
{
	CHECK(memory->users > 0);
	if (--memory->users > 0)
		return;
	uring_submit_all(uring);
	memories_start(uring);
}
