/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_moves_front SOCKET QUEUES [CPU]...: a front end that does on its standard input's word what
 * a test wants, and answers each with a line. It has a thread for each CPU, pinned there and named
 * as QEMU names its virtual CPUs.
 *   read       one read of queue 0, which is not waited for      "reading"
 *   write N    N writes of queue 0, one after the other          "wrote, read pending|done"
 *   finish     waits for the read                                "read ok"
 *   pin I CPU  pins virtual CPU I there                          "pinned"
 * Ends with its standard input. Not a test by itself: test_moves.py, test_placement.py.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon.h"
#include "driver/blk.h"

#define VCPUS_MAX 8
#define QUEUES_MAX 8
#define READ_SLOT 0
#define WRITE_SLOT 1
#define DEADLINE_S 60

static struct front *front;
static struct shm *shm;
static struct blk_queue *queues[QUEUES_MAX];
static unsigned queue_cnt;
static pthread_t vcpus[VCPUS_MAX];
static unsigned vcpu_cnt;
static bool read_pending;

static void ok(int rc, const char *what)
{
	if (rc < 0)
		die("%s: %s (%s)", what, front->error, strerror(-rc));
}

static void *run_vcpu(void *arg)
{
	(void)arg;
	for (;;)
		nanosleep(&(struct timespec){3600, 0}, NULL);
	return NULL;
}

static void pin(unsigned idx, int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (idx >= vcpu_cnt || pthread_setaffinity_np(vcpus[idx], sizeof(set), &set))
		die("virtual CPU %u cannot be pinned to CPU %d", idx, cpu);
}

static void add_vcpu(int cpu)
{
	char name[16];

	if (vcpu_cnt == VCPUS_MAX)
		die("at most %d virtual CPUs", VCPUS_MAX);
	if (pthread_create(&vcpus[vcpu_cnt], NULL, run_vcpu, NULL))
		die("no thread");
	snprintf(name, sizeof(name), "CPU %u/KVM", vcpu_cnt);
	pthread_setname_np(vcpus[vcpu_cnt], name);
	pin(vcpu_cnt++, cpu);
}

static void connect_to(const char *path)
{
	const uint64_t protocol = 1ull << VU_PF_MQ | 1ull << VU_PF_REPLY_ACK | 1ull << VU_PF_CONFIG;
	struct front_opts opts = {.path = path, .wait_ms = 10000};
	struct shm_opts shm_opts = {.bytes = 8 << 20};
	int rc = front_open(&front, &opts);

	ok(rc, "connect");
	ok(front_negotiate(front, protocol), "negotiate");
	ok(front_set_features(front, front->features_offered & ~(1ull << 34) & ~(1ull << 35)),
	   "features");
	if (shm_new(&shm, &shm_opts) < 0)
		die("no shared memory");
	ok(front_share_mem(front, shm), "memory");
}

static void start_queue(uint16_t idx)
{
	struct ring_opts ring = {.format = RING_SPLIT, .size = 64, .event_idx = true};
	struct blk_queue_opts opts = {.slot_cnt = 2, .data_bytes = 4096};
	struct front_queue *fq;

	ok(front_queue_new(&fq, front, shm, idx, &ring), "queue");
	ok(front_queue_start(fq), "start");
	ok(blk_queue_new(&queues[idx], fq, shm, &opts), "slots");
}

static void submit(uint16_t slot, uint32_t type, uint64_t sector)
{
	struct blk_queue *q = queues[0];

	ok(blk_start(q, slot, type, sector, 4096), "request");
	if (ring_publish(q->ring))
		front_queue_kick(q->fq);
}

static void wait_for(uint16_t slot)
{
	struct blk_queue *q = queues[0];
	time_t end = time(NULL) + DEADLINE_S;

	for (;;) {
		struct ring_used used;
		int n = ring_get_used(q->ring, &used, 1);

		if (n < 0)
			die("ring: %s", q->ring->error);
		if (n == 0) {
			if (front_queue_failed(q->fq))
				die("the queue is broken");
			if (time(NULL) > end)
				die("request %u was not completed within %d s", slot, DEADLINE_S);
			sched_yield();
			continue;
		}
		if (blk_status(q, used.token) != VIRTIO_BLK_S_OK)
			die("request %u: status %u", used.token, blk_status(q, used.token));
		if (used.token == READ_SLOT)
			read_pending = false;
		if (used.token == slot)
			return;
	}
}

static void write_some(unsigned cnt)
{
	/* Page 1, so that another channel than the read's has it. */
	for (unsigned i = 0; i < cnt; i++) {
		submit(WRITE_SLOT, VIRTIO_BLK_T_OUT, 8);
		wait_for(WRITE_SLOT);
	}
	printf("wrote, read %s\n", read_pending ? "pending" : "done");
}

static void obey(const char *line)
{
	unsigned number;
	int cpu;

	if (strcmp(line, "read\n") == 0) {
		submit(READ_SLOT, VIRTIO_BLK_T_IN, 0);
		read_pending = true;
		printf("reading\n");
	} else if (sscanf(line, "write %u", &number) == 1) {
		write_some(number);
	} else if (strcmp(line, "finish\n") == 0) {
		if (read_pending)
			wait_for(READ_SLOT);
		printf("read ok\n");
	} else if (sscanf(line, "pin %u %d", &number, &cpu) == 2) {
		pin(number, cpu);
		printf("pinned\n");
	} else {
		die("not understood: %s", line);
	}
}

int main(int argc, char **argv)
{
	char line[64];

	if (argc < 3)
		die("usage: test_moves_front SOCKET QUEUES [CPU]...");
	setvbuf(stdout, NULL, _IOLBF, 0);
	queue_cnt = (unsigned)strtoul(argv[2], NULL, 10);
	if (queue_cnt < 1 || queue_cnt > QUEUES_MAX)
		die("1 to %d queues", QUEUES_MAX);
	for (int i = 3; i < argc; i++)
		add_vcpu((int)strtol(argv[i], NULL, 10));
	connect_to(argv[1]);
	for (unsigned i = 0; i < queue_cnt; i++)
		start_queue((uint16_t)i);
	printf("started\n");
	while (fgets(line, sizeof(line), stdin))
		obey(line);
	front_close(front);
	for (unsigned i = 0; i < queue_cnt; i++) {
		struct front_queue *fq = queues[i]->fq;

		blk_queue_free(queues[i]);
		front_queue_free(fq);
	}
	shm_free(shm);
	return 0;
}
