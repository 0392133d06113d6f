/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rows of the schema: the keys of the daemon and of disks. Data only; switches, ports and
 * uplinks are in schema_rows_net.c.
 * A key stands here when it does something; what does nothing yet is refused as unknown.
 */
#include <limits.h>

#include "base/log.h"
#include "control/schema_rows_priv.h"
#include "device/device.h"
#include "worker/placement.h"

#define SIZE_MAX_BYTES (1ull << 60)

#define BACKEND_FILE (1u << STORAGE_BACKEND_FILE)
#define BACKEND_FLASH (1u << STORAGE_BACKEND_FLASH)

/* The names belong to the layers that the values are for; these only bound the index. */
static const char *choice_backend(unsigned idx)
{
	return idx < STORAGE_BACKEND_MAX_ ? storage_backend_name((enum storage_backend)idx) : NULL;
}

static const char *choice_cache(unsigned idx)
{
	return idx < STORAGE_CACHE_MAX_ ? storage_cache_name((enum storage_cache)idx) : NULL;
}

const char *schema_choice_poll(unsigned idx)
{
	return idx < POLL_MODE_MAX_ ? poll_mode_name((enum poll_mode)idx) : NULL;
}

const char *schema_choice_coalesce(unsigned idx)
{
	return coalesce_mode_name((enum coalesce_mode)idx);
}

const char *schema_choice_placement(unsigned idx)
{
	return placement_mode_name((enum placement_mode)idx);
}

static const char *choice_log_level(unsigned idx)
{
	return idx < LOG_LEVEL_MAX_ ? log_level_name((enum log_level)idx) : NULL;
}

static const char *choice_format(unsigned idx)
{
	return idx == CONFIG_FORMAT_RAW ? "raw" : NULL;
}

#define DAEMON(member) SCHEMA_OFFSET(config_daemon, member)

static const struct schema_row daemon_rows[] = {
	{.key = "workers",
	 .type = SCHEMA_CPUS,
	 .value_in_words = "all allowed CPUs but the first, at least one",
	 .offset = DAEMON(workers),
	 .help = "CPUs that serve queues: one thread for each, pinned to it."},
	{.key = "poll",
	 .runtime = true,
	 .type = SCHEMA_CHOICE,
	 .choice = schema_choice_poll,
	 .value = "adaptive",
	 .offset = DAEMON(poll),
	 .help = "How a worker waits for a guest. With adaptive it polls for a while after the "
		 "last "
		 "request, as long as it has learnt to pay and at most poll-max-us, and then "
		 "sleeps until it is notified; with always it polls and takes its CPU whole; with "
		 "never it sleeps as soon as nothing is left to do."},
	/*
	 * 200, as KVM's haltpoll has it: a window is learnt only where gaps are shorter, so that it
	 * costs where requests come by the thousand. A disk that gives completions back in batches
	 * some 300 us apart is slept for, which cost it 1 to 7 % of its speed beside `always`.
	 */
	{.key = "poll-max-us",
	 .runtime = true,
	 .type = SCHEMA_INT,
	 .value = "200",
	 .min = 0,
	 .max = POLL_US_MAX,
	 .offset = DAEMON(poll_max_us),
	 .help = "The longest that poll=adaptive polls a queue that has nothing to do, in "
		 "microseconds; how long it does within that it learns from each queue's gaps. "
		 "Waking a sleeping core costs some 5 to 50."},
	{.key = "placement",
	 .runtime = true,
	 .type = SCHEMA_CHOICE,
	 .choice = schema_choice_placement,
	 .value = "auto",
	 .offset = DAEMON(placement),
	 .help = "Which worker serves a queue. With auto the one that is nearest to the virtual "
		 "CPU that drives it, and queues move when one worker is overloaded and another is "
		 "not; with fixed queue by queue over the workers, and moved for load only; with "
		 "off the same, and never moved."},
	{.key = "rebalance-s",
	 .runtime = true,
	 .type = SCHEMA_INT,
	 .value = "10",
	 .min = 0,
	 .max = 3600,
	 .offset = DAEMON(rebalance_s),
	 .help = "Seconds from one look at the workers' load to the next; 0 never moves a queue "
		 "for load."},
	{.key = "coalesce.mode",
	 .runtime = true,
	 .type = SCHEMA_CHOICE,
	 .choice = schema_choice_coalesce,
	 .value = "off",
	 .offset = DAEMON(coalesce.mode),
	 .help = "When the guest of a disk gets a notification, if it wants any, for completed "
		 "requests: with off at the end of each burst; with static when coalesce.packets "
		 "are completed or coalesce.usecs have passed; with adaptive within the same "
		 "bounds, by the rate of completions and the requests in flight, so that a guest "
		 "that waits is not kept waiting. Ports have keys and defaults of their own."},
	/* 16 and 50: a burst of half the ring's usual fetch, and about what waking a core costs. */
	{.key = "coalesce.packets",
	 .runtime = true,
	 .type = SCHEMA_INT,
	 .value = "16",
	 .min = 1,
	 .max = COALESCE_PACKETS_MAX,
	 .offset = DAEMON(coalesce.packets),
	 .help = "The most completions of a disk to one notification, unless coalesce.mode is "
		 "off."},
	{.key = "coalesce.usecs",
	 .runtime = true,
	 .type = SCHEMA_INT,
	 .value = "50",
	 .min = 1,
	 .max = COALESCE_USECS_MAX,
	 .offset = DAEMON(coalesce.usecs),
	 .help = "How long a disk's completion waits for its notification at most, in "
		 "microseconds, "
		 "unless coalesce.mode is off."},
	{.key = "api",
	 .type = SCHEMA_PATH,
	 .value_in_words = "none: no API",
	 .max = SOCKET_PATH_BYTES_MAX,
	 .offset = DAEMON(api_path),
	 .help = "Answer the HTTP API, which pario uses, on this UNIX socket. With it the daemon "
		 "may start without a disk or port."},
	{.key = "log-level",
	 .runtime = true,
	 .type = SCHEMA_CHOICE,
	 .choice = choice_log_level,
	 .value = "info",
	 .offset = DAEMON(log_level),
	 .help = "Which lines reach the log on standard error: this level and those before it."},
};

#define DISK(member) SCHEMA_OFFSET(config_disk, member)

static const struct schema_row disk_rows[] = {
	SCHEMA_NAME_ROW(config_disk, "disk"),
	{.key = "backend",
	 .type = SCHEMA_CHOICE,
	 .choice = choice_backend,
	 .value = "file",
	 .offset = DISK(backend),
	 .help = "Where the bytes are: in a file or block device, nowhere (null: writes vanish, "
		 "reads leave the buffer as it is), in the daemon's memory (ram), or there and as "
		 "slow as a flash drive's channels make it (flash)."},
	{.key = "path",
	 .type = SCHEMA_PATH,
	 .value_in_words = "none: backend file needs one",
	 .max = PATH_MAX - 1,
	 .backends = BACKEND_FILE,
	 .offset = DISK(path),
	 .help = "The image file or block device."},
	{.key = "size",
	 .type = SCHEMA_SIZE,
	 .value_in_words = "the file's own; the other backends need one",
	 .min = 512,
	 .max = SIZE_MAX_BYTES,
	 .offset = DISK(size_bytes),
	 .help = "The disk's size in bytes, a multiple of 512; K, M, G and T stand for powers of "
		 "1024. With backend file: serve only so much of the file."},
	{.key = "channels",
	 .type = SCHEMA_INT,
	 .value = "32",
	 .min = 1,
	 .max = STORAGE_FLASH_CHANNELS_MAX,
	 .backends = BACKEND_FLASH,
	 .offset = DISK(channels),
	 .help = "Channels of the modelled flash drive, which work in parallel; pages of 4 KiB are "
		 "spread over them in turn, and each serves one at a time."},
	{.key = "read-us",
	 .type = SCHEMA_INT,
	 .value = "80",
	 .min = 0,
	 .max = STORAGE_FLASH_US_MAX,
	 .backends = BACKEND_FLASH,
	 .offset = DISK(read_us),
	 .help = "How long a channel takes to read a page, in microseconds."},
	{.key = "write-us",
	 .type = SCHEMA_INT,
	 .value = "200",
	 .min = 0,
	 .max = STORAGE_FLASH_US_MAX,
	 .backends = BACKEND_FLASH,
	 .offset = DISK(write_us),
	 .help = "How long a channel takes to program a page, in microseconds."},
	{.key = "format",
	 .type = SCHEMA_CHOICE,
	 .choice = choice_format,
	 .value_in_words = "raw, unless the file looks like another format",
	 .backends = BACKEND_FILE,
	 .offset = DISK(format),
	 .help = "Given as raw, a file that looks like qcow2, VMDK or the like is served byte for "
		 "byte; otherwise it is refused."},
	{.key = "read-only",
	 .type = SCHEMA_BOOL,
	 .value = "false",
	 .offset = DISK(read_only),
	 .help = "Serve the disk read-only and open the image for reading only."},
	{.key = "cache",
	 .type = SCHEMA_CHOICE,
	 .choice = choice_cache,
	 .value = "none",
	 .backends = BACKEND_FILE,
	 .offset = DISK(cache),
	 .help = "none bypasses the host's page cache (O_DIRECT), writeback uses it; a guest's "
		 "flush makes the data durable in both."},
	{.key = "pin-memory",
	 .type = SCHEMA_BOOL,
	 .value = "false",
	 .backends = BACKEND_FILE,
	 .offset = DISK(pin_memory),
	 .help = "Register guest memory with the kernel once, in place of on each request, which "
		 "makes all of it resident. Only for guests without balloon, free-page reporting "
		 "and virtio-mem: pages that these take away stay registered, and data is then "
		 "silently wrong. Needs RLIMIT_MEMLOCK or CAP_IPC_LOCK; what cannot be registered "
		 "is served as without it."},
	{.key = "queues",
	 .type = SCHEMA_INT,
	 .value = "64",
	 .min = 1,
	 .max = DEVICE_QUEUES_MAX,
	 .offset = DISK(queues),
	 .help = "The most queues that a front end may use; it may use fewer."},
	{.key = "serial",
	 .type = SCHEMA_TEXT,
	 .value_in_words = "the name, cut to 20 bytes",
	 .max = CONFIG_SERIAL_BYTES_MAX,
	 .offset = DISK(serial),
	 .help = "The serial number that the guest sees."},
	{.key = "block-size",
	 .type = SCHEMA_POW2,
	 .value_in_words = "the back end's: 512, or that of the block device",
	 .min = 512,
	 .max = 4096,
	 .offset = DISK(block_size_bytes),
	 .help = "The logical block size that the guest sees, in bytes."},
	{.key = "seg-max",
	 .type = SCHEMA_INT,
	 .value = "126",
	 .min = 1,
	 .max = 1022,
	 .offset = DISK(seg_max),
	 .help = "The most data segments of one request; with two more it must fit the queue size "
		 "that the front end chose (QEMU: 128)."},
	{.key = "discard",
	 .type = SCHEMA_BOOL,
	 .value = "true",
	 .offset = DISK(discard),
	 .help = "Offer discard and write-zeroes to the guest, which give space back to the host."},
	SCHEMA_SOCKET_ROWS(config_disk),
	SCHEMA_RING_ROWS(config_disk, "false",
			 "Offer completion in the order of submission. A slow request then holds "
			 "up those behind it."),
	SCHEMA_SERVICE_ROWS(config_disk, "disk"),
	{.key = "coalesce.mode",
	 .runtime = true,
	 .type = SCHEMA_CHOICE,
	 .choice = schema_choice_coalesce,
	 .value_in_words = "the daemon's",
	 .offset = SCHEMA_OFFSET(config_disk, front.coalesce.mode),
	 .help = "As the daemon's key, for this disk."},
	{.key = "coalesce.packets",
	 .runtime = true,
	 .type = SCHEMA_INT,
	 .value_in_words = "the daemon's",
	 .min = 1,
	 .max = COALESCE_PACKETS_MAX,
	 .offset = SCHEMA_OFFSET(config_disk, front.coalesce.packets),
	 .help = "As the daemon's key, for this disk."},
	{.key = "coalesce.usecs",
	 .runtime = true,
	 .type = SCHEMA_INT,
	 .value_in_words = "the daemon's",
	 .min = 1,
	 .max = COALESCE_USECS_MAX,
	 .offset = SCHEMA_OFFSET(config_disk, front.coalesce.usecs),
	 .help = "As the daemon's key, for this disk."},
	{.key = "rq-affinity",
	 .runtime = true,
	 .type = SCHEMA_INT,
	 .value_in_words = "as it is",
	 .min = 0,
	 .max = 2,
	 .backends = BACKEND_FILE,
	 .offset = DISK(rq_affinity),
	 .help = "The kernel's rq_affinity of the block device: completions on any CPU (0), in the "
		 "group of the CPU that submitted (1), or on that CPU itself (2)."},
};

_Static_assert(ARRAY_LEN(daemon_rows) <= CONFIG_KEYS_MAX, "a bit of `given` for each key");
_Static_assert(ARRAY_LEN(disk_rows) <= CONFIG_KEYS_MAX, "a bit of `given` for each key");

const struct schema_table schema_daemon = {
	.name = "daemon",
	.noun = "daemon",
	.object_bytes = sizeof(struct config_daemon),
	.prefix = "daemon.",
	.rows = daemon_rows,
	.row_cnt = ARRAY_LEN(daemon_rows),
};

const struct schema_table schema_disk = {
	.name = "disks",
	.noun = "disk",
	.object_bytes = sizeof(struct config_disk),
	.prefix = "disks[].",
	.rows = disk_rows,
	.row_cnt = ARRAY_LEN(disk_rows),
};
