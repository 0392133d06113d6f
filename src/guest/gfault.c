/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The SIGBUS handler and its table of guest mappings.
 * Not for SIGSEGV: an address outside every mapping is our own bug.
 */
#include "guest/gfault.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/check.h"
#include "base/compiler.h"
#include "base/ordering.h"

#define CHUNK_SLOTS 512
#define CHUNKS_MAX 4096

struct gfault_slot {
	uintptr_t start;
	size_t page_bytes;
	size_t bytes; /* 0 = free */
};

/* Chunks are never freed: the handler may be looking at them. */
static struct gfault_slot *chunks[CHUNKS_MAX];
static uint64_t survived;

static bool gfault_patch(uintptr_t hva)
{
	for (unsigned c = 0; c < CHUNKS_MAX; c++) {
		const struct gfault_slot *chunk = load_acquire(&chunks[c]);

		if (!chunk)
			return false;
		for (unsigned i = 0; i < CHUNK_SLOTS; i++) {
			size_t bytes = load_acquire(&chunk[i].bytes);
			uintptr_t start = chunk[i].start;
			uintptr_t page;

			if (bytes == 0 || hva < start || hva - start >= bytes)
				continue;
			page = hva - (hva - start) % chunk[i].page_bytes;
			return mmap((void *)page, chunk[i].page_bytes, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1,
				    0) != MAP_FAILED;
		}
	}
	return false;
}

static void gfault_on_sigbus(int sig, siginfo_t *info, void *context)
{
	static const char text[] =
		"pario: guest memory vanished (its file was truncated); an empty page is in its "
		"place\n";
	int saved = errno;

	(void)context;
	if (info->si_code == BUS_ADRERR && gfault_patch((uintptr_t)info->si_addr)) {
		/* The first few are worth a line; a guest must not be able to fill the log. */
		if (__atomic_fetch_add(&survived, 1, __ATOMIC_RELAXED) < 8 &&
		    write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
			errno = saved;
		errno = saved;
		return;
	}
	signal(sig, SIG_DFL);
	raise(sig);
}

int gfault_install(struct err *err)
{
	struct sigaction action;

	memset(&action, 0, sizeof(action));
	action.sa_sigaction = gfault_on_sigbus;
	action.sa_flags = SA_SIGINFO;
	sigemptyset(&action.sa_mask);
	if (sigaction(SIGBUS, &action, NULL) < 0)
		return err_set(err, errno, "cannot handle SIGBUS: %m");
	return 0;
}

int gfault_register(void *map, size_t bytes, size_t page_bytes)
{
	for (unsigned c = 0; c < CHUNKS_MAX; c++) {
		if (!chunks[c]) {
			struct gfault_slot *chunk = calloc(CHUNK_SLOTS, sizeof(*chunk));

			if (!chunk)
				return -ENOMEM;
			store_release(&chunks[c], chunk);
		}
		for (unsigned i = 0; i < CHUNK_SLOTS; i++) {
			struct gfault_slot *slot = &chunks[c][i];

			if (slot->bytes)
				continue;
			slot->start = (uintptr_t)map;
			slot->page_bytes = page_bytes;
			store_release(&slot->bytes, bytes);
			return (int)(c * CHUNK_SLOTS + i);
		}
	}
	return -ENOMEM;
}

void gfault_unregister(int slot)
{
	unsigned idx = (unsigned)slot;

	CHECK(slot >= 0 && idx / CHUNK_SLOTS < CHUNKS_MAX && chunks[idx / CHUNK_SLOTS]);
	store_release(&chunks[idx / CHUNK_SLOTS][idx % CHUNK_SLOTS].bytes, 0);
}

uint64_t gfault_count(void)
{
	return load_relaxed(&survived);
}
