/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory ordering: the only place with fences, and the list of named edges.
 * Not a place for data structures; each end of an edge cites its name.
 *
 * Edges (writer side / reader side):
 *
 *   AVAIL_PUB   split: the driver stores descriptors and ring entries, then avail->idx (release);
 *               we load avail->idx (acquire), then the entries.
 *   USED_PUB    split: we store used elements and everything the guest reads through them, then
 *               used->idx (release); the driver loads it (acquire).
 *   PKD_AVAIL   packed: the driver stores the chain, then the head's flags (release); we load the
 *               head's flags (acquire), then the rest.
 *   PKD_USED    packed: we store id and len (and later used descriptors of the burst), then the
 *               first used descriptor's flags (release).
 *   KICK_ARM    we store avail_event / flags / event suppression, full fence, then read the avail
 *               side again. The driver stores avail, full fence, then reads our suppression.
 *   IRQ_CHECK   we store used, full fence, then read the driver's suppression. The driver stores
 *               its suppression, full fence, then reads used.
 *   INFLT       order in the in-flight region as seen after our own crash: compiler fence only,
 *               because a crash of the process does not reorder its stores.
 *   INBOX_WAKE  a sender pushes a message, full fence, reads the owner's sleeping flag and writes
 *               its eventfd if set. The owner sets the flag, full fence, looks at its inbox again.
 *   CAPTURE_PUB a worker stores a record, then `written` (release); control loads that (acquire),
 *               reads the record, then stores `taken` (release), which the worker loads (acquire)
 *               before it uses the room again.
 */
#ifndef PARIO_BASE_ORDERING_H
#define PARIO_BASE_ORDERING_H

#define load_relaxed(p) __atomic_load_n((p), __ATOMIC_RELAXED)
#define load_acquire(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define store_relaxed(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)

/* Store-to-load fence. A locked instruction is cheaper than mfence on x86, same guarantee. */
static inline void fence_full(void)
{
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
	__asm__ __volatile__("lock; addl $0,-4(%%rsp)" ::: "memory", "cc");
#else
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

static inline void fence_compiler(void)
{
	__asm__ __volatile__("" ::: "memory");
}

static inline void cpu_relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ __volatile__("yield" ::: "memory");
#endif
}

#endif
