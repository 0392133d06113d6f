/* SPDX-License-Identifier: Apache-2.0 */
/*
 * many_disks PARIOD DISKS: each disk has a front end with four started queues and one request done
 * on each; pariod's own memory, without the front ends', stays under 512 MiB for 1,000 of them.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "daemon.h"
#include "driver/blk.h"

#define QUEUES 4
/* Ours: the socket, the memory, and three eventfds a queue. */
#define FDS_PER_DISK (2 + 3 * QUEUES)
#define BUDGET_BYTES_PER_DISK ((512ull << 20) / 1000)

static void ok(struct front *f, int rc, const char *what)
{
	if (rc < 0)
		die("%s: %s (%s)", what, f->error, strerror(-rc));
}

static void disk_up(const char *path, struct shm *shm)
{
	struct front_opts opts = {.path = path, .wait_ms = 10000};
	struct ring_opts ring = {.format = RING_SPLIT, .size = 256, .event_idx = true};
	struct blk_queue_opts slots = {.slot_cnt = 1, .data_bytes = 512};
	struct front *f;
	int rc = front_open(&f, &opts);

	ok(f, rc, "connect");
	ok(f,
	   front_negotiate(f, 1ull << VU_PF_MQ | 1ull << VU_PF_REPLY_ACK | 1ull << VU_PF_CONFIG |
				      1ull << VU_PF_CONFIGURE_MEM_SLOTS),
	   "negotiate");
	ok(f, front_set_features(f, f->features_offered & ~(3ull << 34)), "features");
	ok(f, front_share_mem(f, shm), "memory");
	for (uint16_t i = 0; i < QUEUES; i++) {
		struct front_queue *fq;
		struct blk_queue *q;

		ok(f, front_queue_new(&fq, f, shm, i, &ring), "queue");
		ok(f, front_queue_start(fq), "start");
		ok(f, blk_queue_new(&q, fq, shm, &slots), "slots");
		rc = blk_call(q, 0, VIRTIO_BLK_T_FLUSH, 0, NULL, 0);
		ok(f, rc, "flush");
		if (rc != VIRTIO_BLK_S_OK)
			die("flush: status %d", rc);
	}
	/* Everything stays open until the process ends: that is the point. */
}

int main(int argc, char **argv)
{
	struct rlimit lim;
	struct shm_opts shm_opts = {.bytes = 2 << 20};
	struct daemon_usage idle, loaded;
	unsigned disks;
	struct daemon d;
	const char **args;
	char path[128];
	unsigned n = 0;
	uint64_t used;

	if (argc != 3)
		die("usage: many_disks PARIOD DISKS");
	disks = (unsigned)strtoul(argv[2], NULL, 10);
	if (getrlimit(RLIMIT_NOFILE, &lim) < 0 || lim.rlim_max < disks * FDS_PER_DISK)
		die("%u disks need %u descriptors; the hard limit (ulimit -Hn) is %llu", disks,
		    disks * FDS_PER_DISK, (unsigned long long)lim.rlim_max);
	lim.rlim_cur = lim.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &lim) < 0)
		die("RLIMIT_NOFILE: %s", strerror(errno));
	daemon_prepare(&d);
	args = calloc(disks * 2 + 8, sizeof(*args));
	if (!args)
		die("out of memory");
	args[n++] = argv[1];
	args[n++] = "--workers";
	args[n++] = "0-1";
	args[n++] = "--log-level";
	args[n++] = "warn";
	for (unsigned i = 0; i < disks; i++) {
		char *spec;

		args[n++] = "--disk";
		if (asprintf(&spec, "d%u,backend=null,size=1G,queues=4,socket=%s/%u.sock", i, d.dir,
			     i) < 0)
			die("out of memory");
		args[n++] = spec;
	}
	snprintf(path, sizeof(path), "%s/%u.sock", d.dir, disks - 1);
	daemon_start(&d, args, path);
	daemon_usage(&d, &idle);
	for (unsigned i = 0; i < disks; i++) {
		struct shm *shm;

		if (shm_new(&shm, &shm_opts) < 0)
			die("no shared memory");
		snprintf(path, sizeof(path), "%s/%u.sock", d.dir, i);
		disk_up(path, shm);
	}
	daemon_usage(&d, &loaded);
	used = loaded.rss_bytes;
	printf("%u disks of %u started queues: %llu MiB (idle: %llu MiB), %u fds, %u threads\n",
	       disks, QUEUES, (unsigned long long)used >> 20,
	       (unsigned long long)idle.rss_bytes >> 20, loaded.fds, loaded.threads);
	if (used > BUDGET_BYTES_PER_DISK * disks)
		die("over the budget of %llu MiB",
		    (unsigned long long)(BUDGET_BYTES_PER_DISK * disks) >> 20);
	daemon_stop(&d);
	return 0;
}
