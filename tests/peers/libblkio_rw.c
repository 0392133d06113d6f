/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A front end that is not ours: Debian testing's libblkio writes, reads, zeroes and discards on a
 * vhost-user-blk socket, compares what comes back, and then what stands in the image.
 * Not linked with pario, and not built by Meson: test_libblkio.py compiles it against the library.
 */
#include <blkio.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SECTOR_BYTES 512u
#define SLOT_CNT 32u
#define SLOT_BYTES (256u << 10)
#define AREA_BYTES (24ull << 20) /* of the disk, from its start */
#define IOV_CNT 24u
#define TIMEOUT_S 60

/* Sizes of requests, in turns: below, at and above a block, and none that divides another. */
static const size_t sizes_bytes[] = {512, 4096, 1536, 65536, 7168, 262144, 12288, 131072, 66048};
#define SIZE_CNT (sizeof(sizes_bytes) / sizeof(sizes_bytes[0]))

enum kind { WRITE, WRITEV, READ, READV };

static const char *const kind_names[] = {"write", "writev", "read", "readv"};

struct slot {
	uint8_t *buf;
	uint64_t offset;
	size_t bytes;
	struct iovec iov[IOV_CNT];
	int iov_cnt;
};

struct pass {
	enum kind kind;
	unsigned int generation;
	size_t next_size; /* the size that the pass starts with, so that cuts differ */
};

static struct slot slots[SLOT_CNT];
static unsigned int *free_slots; /* stack of indices */
static unsigned int free_cnt;
static unsigned long request_cnt;

__attribute__((noreturn, format(printf, 1, 2))) static void fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("libblkio_rw: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(1);
}

static void check(int ret, const char *what)
{
	if (ret < 0)
		fail("%s: %s (%s)", what, strerror(-ret), blkio_get_error_msg());
}

/* Each word says where on the disk it belongs and in which generation it was written. */
static uint64_t pattern_word(uint64_t offset, unsigned int generation)
{
	return (offset * 0x9e3779b97f4a7c15ull) ^ ((uint64_t)generation << 56) ^ offset;
}

static void pattern_fill(uint8_t *buf, uint64_t offset, size_t bytes, unsigned int generation)
{
	for (size_t i = 0; i < bytes; i += sizeof(uint64_t)) {
		uint64_t word = pattern_word(offset + i, generation);

		memcpy(buf + i, &word, sizeof(word));
	}
}

/* Generation 0 stands for zeroes. */
static void pattern_compare(const uint8_t *buf, uint64_t offset, size_t bytes,
			    unsigned int generation, const char *who)
{
	for (size_t i = 0; i < bytes; i += sizeof(uint64_t)) {
		uint64_t want = generation ? pattern_word(offset + i, generation) : 0, got;

		memcpy(&got, buf + i, sizeof(got));
		if (got != want)
			fail("%s: byte %llu: %016llx instead of %016llx (generation %u)", who,
			     (unsigned long long)(offset + i), (unsigned long long)got,
			     (unsigned long long)want, generation);
	}
}

/* Cuts a slot's buffer into uneven segments of whole sectors, as a guest's page cache would. */
static void slot_cut(struct slot *s)
{
	size_t left = s->bytes, at = 0;
	int i = 0;

	while (left > 0) {
		size_t part = SECTOR_BYTES * (1 + (size_t)(i * 5) % 13);

		if (part > left || i == IOV_CNT - 1)
			part = left;
		s->iov[i++] = (struct iovec){.iov_base = s->buf + at, .iov_len = part};
		at += part;
		left -= part;
	}
	s->iov_cnt = i;
}

static void slot_submit(struct blkioq *q, struct slot *s, const struct pass *p)
{
	if (p->kind == WRITE || p->kind == WRITEV)
		pattern_fill(s->buf, s->offset, s->bytes, p->generation);
	else
		memset(s->buf, 0xa5, s->bytes);
	slot_cut(s);
	switch (p->kind) {
	case WRITE:
		blkioq_write(q, s->offset, s->buf, s->bytes, s, 0);
		break;
	case WRITEV:
		blkioq_writev(q, s->offset, s->iov, s->iov_cnt, s, 0);
		break;
	case READ:
		blkioq_read(q, s->offset, s->buf, s->bytes, s, 0);
		break;
	case READV:
		blkioq_readv(q, s->offset, s->iov, s->iov_cnt, s, 0);
		break;
	}
	request_cnt++;
}

/* Submits what is pending and waits for at least one completion. */
static int reap(struct blkioq *q, struct blkio_completion *done, int max)
{
	struct timespec timeout = {.tv_sec = TIMEOUT_S};
	int n = blkioq_do_io(q, done, 1, max, &timeout);

	check(n, "blkioq_do_io");
	return n;
}

/* Covers the area once with requests of mixed sizes, as many in flight as there are slots. */
static void pass_run(struct blkioq *q, struct pass p)
{
	struct blkio_completion done[SLOT_CNT];
	uint64_t offset = 0;

	while (offset < AREA_BYTES || free_cnt < SLOT_CNT) {
		while (offset < AREA_BYTES && free_cnt > 0) {
			struct slot *s = &slots[free_slots[--free_cnt]];
			size_t bytes = sizes_bytes[p.next_size++ % SIZE_CNT];

			if (bytes > AREA_BYTES - offset)
				bytes = AREA_BYTES - offset;
			s->offset = offset;
			s->bytes = bytes;
			offset += bytes;
			slot_submit(q, s, &p);
		}
		for (int i = 0, n = reap(q, done, SLOT_CNT); i < n; i++) {
			struct slot *s = done[i].user_data;

			if (done[i].ret)
				fail("%s of %zu at %llu: %s", kind_names[p.kind], s->bytes,
				     (unsigned long long)s->offset, strerror(-done[i].ret));
			if (p.kind == READ || p.kind == READV)
				pattern_compare(s->buf, s->offset, s->bytes, p.generation, "read");
			free_slots[free_cnt++] = (unsigned int)(s - slots);
		}
	}
}

/* One request that was just queued: its result. */
static int one(struct blkioq *q)
{
	struct blkio_completion done;

	request_cnt++;
	if (reap(q, &done, 1) != 1)
		fail("a single request completed more than once");
	return done.ret;
}

static void must(int ret, const char *what)
{
	if (ret)
		fail("%s: %s", what, strerror(-ret));
}

static void read_and_compare(struct blkioq *q, uint64_t offset, size_t bytes,
			     unsigned int generation, const char *who)
{
	memset(slots[0].buf, 0xa5, bytes);
	blkioq_read(q, offset, slots[0].buf, bytes, NULL, 0);
	must(one(q), who);
	pattern_compare(slots[0].buf, offset, bytes, generation, who);
}

/* Zeroes come where they were asked for and nowhere else; a discard harms no neighbour. */
static void check_ranges(struct blkioq *q, unsigned int generation)
{
	const uint64_t start = 1 << 20, end = 3 << 20;

	blkioq_write_zeroes(q, start, (end - start) / 2, NULL, BLKIO_REQ_NO_UNMAP);
	must(one(q), "write zeroes, mapped");
	blkioq_write_zeroes(q, start + (end - start) / 2, (end - start) / 2, NULL, 0);
	must(one(q), "write zeroes");
	for (uint64_t at = start; at < end; at += SLOT_BYTES)
		read_and_compare(q, at, SLOT_BYTES, 0, "zeroed");
	read_and_compare(q, start - SECTOR_BYTES, SECTOR_BYTES, generation, "before the zeroes");
	read_and_compare(q, end, SECTOR_BYTES, generation, "after the zeroes");

	blkioq_discard(q, start, end - start, NULL, 0);
	must(one(q), "discard");
	read_and_compare(q, start - SECTOR_BYTES, SECTOR_BYTES, generation, "before the discard");
	read_and_compare(q, end, SECTOR_BYTES, generation, "after the discard");
}

/* What must be refused is refused, and the queue goes on. */
static void check_refusals(struct blkioq *q, uint64_t capacity_bytes, unsigned int generation)
{
	blkioq_write(q, capacity_bytes - SECTOR_BYTES, slots[1].buf, 2 * SECTOR_BYTES, NULL, 0);
	if (one(q) == 0)
		fail("a write beyond the end of the disk was accepted");
	blkioq_read(q, capacity_bytes, slots[1].buf, SECTOR_BYTES, NULL, 0);
	if (one(q) == 0)
		fail("a read beyond the end of the disk was accepted");
	read_and_compare(q, 0, 4096, generation, "after a refusal");
}

static struct blkio *disk_open(const char *path, int queue_cnt, int poll_queue_cnt)
{
	struct blkio *b;

	check(blkio_create("virtio-blk-vhost-user", &b), "blkio_create");
	check(blkio_set_str(b, "path", path), "path");
	check(blkio_connect(b), "blkio_connect");
	check(blkio_set_int(b, "num-queues", queue_cnt), "num-queues");
	check(blkio_set_int(b, "num-poll-queues", poll_queue_cnt), "num-poll-queues");
	check(blkio_start(b), "blkio_start");
	return b;
}

static void slots_init(struct blkio *b, struct blkio_mem_region *region)
{
	check(blkio_alloc_mem_region(b, region, (size_t)SLOT_CNT * SLOT_BYTES), "memory");
	check(blkio_map_mem_region(b, region), "blkio_map_mem_region");
	free_cnt = 0;
	for (unsigned int i = 0; i < SLOT_CNT; i++) {
		slots[i].buf = (uint8_t *)region->addr + (size_t)i * SLOT_BYTES;
		free_slots[free_cnt++] = i;
	}
}

/* Writes through one queue are read through the others; the last queue is polled. */
static void disk_exercise(const char *path, unsigned int generation)
{
	const int queue_cnt = 2, poll_queue_cnt = 1;
	struct blkio *b = disk_open(path, queue_cnt, poll_queue_cnt);
	struct blkioq *q0 = blkio_get_queue(b, 0), *q1 = blkio_get_queue(b, 1);
	struct blkioq *polled = blkio_get_poll_queue(b, 0);
	struct blkio_mem_region region;
	uint64_t capacity_bytes;

	check(blkio_get_uint64(b, "capacity", &capacity_bytes), "capacity");
	if (capacity_bytes < AREA_BYTES)
		fail("the disk has %llu bytes, %llu are needed", (unsigned long long)capacity_bytes,
		     AREA_BYTES);
	slots_init(b, &region);

	pass_run(q0, (struct pass){WRITE, generation, 0});
	pass_run(q1, (struct pass){READ, generation, 1});
	pass_run(polled, (struct pass){READV, generation, 2});
	check_ranges(q1, generation);
	check_refusals(q0, capacity_bytes, generation);
	pass_run(polled, (struct pass){WRITEV, generation + 1, 3});
	pass_run(q0, (struct pass){READV, generation + 1, 4});
	blkioq_flush(q1, NULL, 0);
	must(one(q1), "flush");

	blkio_unmap_mem_region(b, &region);
	blkio_free_mem_region(b, &region);
	blkio_destroy(&b);
}

static void image_compare(const char *path, unsigned int generation)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint8_t *buf = malloc(SLOT_BYTES);

	if (fd < 0 || !buf)
		fail("%s: %s", path, strerror(errno));
	for (uint64_t at = 0; at < AREA_BYTES; at += SLOT_BYTES) {
		if (pread(fd, buf, SLOT_BYTES, (off_t)at) != (ssize_t)SLOT_BYTES)
			fail("%s: short at %llu", path, (unsigned long long)at);
		pattern_compare(buf, at, SLOT_BYTES, generation, path);
	}
	free(buf);
	close(fd);
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "usage: libblkio_rw SOCKET IMAGE\n");
		return 2;
	}
	free_slots = calloc(SLOT_CNT, sizeof(*free_slots));
	if (!free_slots)
		fail("no memory");
	/* Twice: the next front end finds the disk as the first left it, and works as the first. */
	for (unsigned int generation = 1; generation <= 3; generation += 2) {
		disk_exercise(argv[1], generation);
		image_compare(argv[2], generation + 1);
	}
	free(free_slots);
	printf("libblkio_rw: %lu requests, all as they should be\n", request_cnt);
	return 0;
}
