/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See harness.h. Not a test.
 */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/evloop.h"

#define WAIT_NS (60 * NS_PER_S)

static int harness_rm(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

int harness_setup(void **state)
{
	struct worker_options options = {.cpu = -1};
	struct harness *h = calloc(1, sizeof(*h));
	const char *where = getenv("PARIO_TEST_DIR");
	struct err err = ERR_INIT;

	if (!h)
		return -1;
	snprintf(h->dir, sizeof(h->dir), "%s/storage-XXXXXX", where ? where : ".");
	snprintf(h->tmpfs, sizeof(h->tmpfs), "/dev/shm/pario-test-%d", getpid());
	h->loop = evloop_new(&err);
	if (!mkdtemp(h->dir) || !h->loop || worker_new(&options, h->loop, &h->worker, &err) < 0) {
		print_error("harness: %s\n", err.text);
		return -1;
	}
	*state = h;
	return 0;
}

int harness_teardown(void **state)
{
	struct harness *h = *state;

	worker_free(h->worker);
	evloop_free(h->loop);
	if (h->background)
		kill(h->background, SIGKILL);
	unlink(h->tmpfs);
	nftw(h->dir, harness_rm, 16, FTW_DEPTH | FTW_PHYS);
	free(h);
	return 0;
}

struct harness_call {
	struct worker_call call;
	void (*fn)(struct worker *worker, void *arg);
	void *arg;
	bool done;
};

static void harness_call_run(struct worker *worker, struct worker_call *call)
{
	struct harness_call *c = container_of(call, struct harness_call, call);

	c->fn(worker, c->arg);
	worker_call_ack(call);
}

static void harness_call_done(struct worker_call *call)
{
	container_of(call, struct harness_call, call)->done = true;
}

static void harness_wait(struct harness *h, const bool *done)
{
	uint64_t deadline = clock_now_ns() + WAIT_NS;

	while (!*done) {
		if (clock_now_ns() > deadline)
			fail_msg("the worker did not answer");
		evloop_turn(h->loop, 1000);
	}
}

void harness_run(struct harness *h, void (*fn)(struct worker *worker, void *arg), void *arg)
{
	struct harness_call c = {.fn = fn, .arg = arg};

	c.call.run_on_worker = harness_call_run;
	c.call.done_on_control = harness_call_done;
	worker_call(h->worker, &c.call);
	harness_wait(h, &c.done);
}

struct storage *harness_open(const struct storage_options *options)
{
	struct storage *storage = NULL;
	struct err err = ERR_INIT;

	if (storage_open(options, &storage, &err) < 0)
		fail_msg("storage_open: %s", err.text);
	return storage;
}

struct channel_call {
	struct storage *storage;
	struct storage_channel *channel;
	int status;
	struct err err;
};

static void channel_open_on_worker(struct worker *worker, void *arg)
{
	struct channel_call *c = arg;

	c->status = storage_channel_open(c->storage, worker, &c->channel, &c->err);
}

static void channel_close_on_worker(struct worker *worker, void *arg)
{
	(void)worker;
	storage_channel_close(arg);
}

struct storage_channel *harness_channel_open(struct harness *h, struct storage *storage)
{
	struct channel_call c = {.storage = storage};

	harness_run(h, channel_open_on_worker, &c);
	if (c.status < 0)
		fail_msg("storage_channel_open: %s", c.err.text);
	return c.channel;
}

void harness_channel_close(struct harness *h, struct storage_channel *channel)
{
	harness_run(h, channel_close_on_worker, channel);
}

struct io_call {
	struct worker_call call;
	struct storage_channel *channel;
	struct storage_op **ops;
	unsigned cnt;
	unsigned reaped;
	unsigned unknown; /* reaped, but none of ours */
	bool acked;
	bool done;
};

static void io_reap(void *arg)
{
	struct io_call *io = arg;
	struct storage_op *got[7]; /* fewer than a burst: reaping goes on where it stopped */
	unsigned n;

	while ((n = storage_reap(io->channel, got, ARRAY_LEN(got))) > 0) {
		for (unsigned i = 0; i < n; i++) {
			unsigned j = 0;

			while (j < io->cnt && io->ops[j] != got[i])
				j++;
			io->unknown += j == io->cnt;
		}
		io->reaped += n;
	}
	if (io->reaped == io->cnt && !io->acked) {
		io->acked = true;
		storage_channel_on_complete(io->channel, NULL, NULL);
		worker_call_ack(&io->call);
	}
}

static void io_run(struct worker *worker, struct worker_call *call)
{
	struct io_call *io = container_of(call, struct io_call, call);

	(void)worker;
	storage_channel_on_complete(io->channel, io_reap, io);
	storage_submit(io->channel, io->ops, io->cnt);
	io_reap(io);
}

static void io_done(struct worker_call *call)
{
	container_of(call, struct io_call, call)->done = true;
}

void harness_io(struct harness *h, struct storage_channel *channel, struct storage_op **ops,
		unsigned cnt)
{
	struct io_call io = {.channel = channel, .ops = ops, .cnt = cnt};

	for (unsigned i = 0; i < cnt; i++)
		ops[i]->result = 12345;
	io.call.run_on_worker = io_run;
	io.call.done_on_control = io_done;
	worker_call(h->worker, &io.call);
	harness_wait(h, &io.done);
	assert_int_equal(io.unknown, 0);
	assert_int_equal(io.reaped, cnt);
	assert_int_equal(storage_pending(channel), 0);
	for (unsigned i = 0; i < cnt; i++)
		assert_true(ops[i]->result <= 0);
}

static int harness_one(struct harness *h, struct storage_channel *channel, struct storage_op *op)
{
	struct storage_op *ops[1] = {op};

	harness_io(h, channel, ops, 1);
	return op->result;
}

int harness_read(struct harness *h, struct storage_channel *channel, void *buffer, uint64_t offset,
		 uint64_t len)
{
	struct iovec iov = {buffer, len};
	struct storage_op op = {.kind = STORAGE_READ, .iov = &iov, .iov_cnt = 1};

	op.offset_bytes = offset;
	op.len_bytes = len;
	return harness_one(h, channel, &op);
}

int harness_write(struct harness *h, struct storage_channel *channel, const void *buffer,
		  uint64_t offset, uint64_t len)
{
	struct iovec iov = {(void *)(uintptr_t)buffer, len};
	struct storage_op op = {.kind = STORAGE_WRITE, .iov = &iov, .iov_cnt = 1};

	op.offset_bytes = offset;
	op.len_bytes = len;
	return harness_one(h, channel, &op);
}

int harness_range(struct harness *h, struct storage_channel *channel, enum storage_kind kind,
		  bool may_unmap, uint64_t offset, uint64_t len)
{
	struct storage_op op = {.kind = kind, .may_unmap = may_unmap};

	op.offset_bytes = offset;
	op.len_bytes = len;
	return harness_one(h, channel, &op);
}

int harness_flush(struct harness *h, struct storage_channel *channel)
{
	struct storage_op op = {.kind = STORAGE_FLUSH};

	/* A flush has neither; what a submitter leaves there is nobody's. */
	op.offset_bytes = 12345;
	op.len_bytes = 54321;
	return harness_one(h, channel, &op);
}

const char *harness_path(const struct harness *h, const char *name)
{
	static char paths[8][256];
	static unsigned next;
	char *path = paths[next++ % 8];

	snprintf(path, sizeof(paths[0]), "%s/%s", h->dir, name);
	return path;
}

void harness_make_file(const char *path, uint64_t size_bytes)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size_bytes), 0);
	close(fd);
}

uint64_t harness_allocated(const char *path)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	/* Delayed allocation counts only when it happened. */
	assert_true(fd >= 0);
	fsync(fd);
	assert_int_equal(fstat(fd, &st), 0);
	close(fd);
	return (uint64_t)st.st_blocks * 512;
}

bool harness_mount_tmpfs(const char *path, const char *size)
{
	static bool private;
	char options[64];

	if (!private &&
	    (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0))
		return false;
	private = true;
	snprintf(options, sizeof(options), "size=%s", size);
	return (mkdir(path, 0700) == 0 || errno == EEXIST) &&
	       mount("pario-test", path, "tmpfs", 0, options) == 0;
}

bool harness_loop_open(struct harness_loop *loop, const char *file, uint32_t block_bytes)
{
	struct loop_config config;
	int read_only = 0;
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	int backing = open(file, O_RDWR | O_CLOEXEC);

	loop->fd = -1;
	for (unsigned attempt = 0; control >= 0 && backing >= 0 && attempt < 16; attempt++) {
		int idx = ioctl(control, LOOP_CTL_GET_FREE);

		if (idx < 0)
			break;
		snprintf(loop->path, sizeof(loop->path), "/dev/loop%d", idx);
		loop->fd = open(loop->path, O_RDWR | O_CLOEXEC);
		memset(&config, 0, sizeof(config));
		config.fd = (uint32_t)backing;
		config.block_size = block_bytes;
		config.info.lo_flags = LO_FLAGS_AUTOCLEAR;
		if (loop->fd < 0 || ioctl(loop->fd, LOOP_CONFIGURE, &config) == 0)
			break;
		/* Another test took it first. */
		close(loop->fd);
		loop->fd = -1;
	}
	if (control >= 0)
		close(control);
	if (backing >= 0)
		close(backing);
	/* A test that made the device read-only left it so to the next. */
	if (loop->fd >= 0)
		ioctl(loop->fd, BLKROSET, &read_only);
	return loop->fd >= 0;
}

void harness_loop_close(struct harness_loop *loop)
{
	close(loop->fd);
}

int harness_shell(char *out, size_t size, const char *fmt, ...)
{
	char command[1024];
	size_t len = 0, n;
	va_list ap;
	FILE *pipe;
	int status;

	va_start(ap, fmt);
	vsnprintf(command, sizeof(command), fmt, ap);
	va_end(ap);
	strncat(command, " 2>&1", sizeof(command) - strlen(command) - 1);
	pipe = popen(command, "r");
	assert_non_null(pipe);
	while (len < size - 1 && (n = fread(out + len, 1, size - 1 - len, pipe)) > 0)
		len += n;
	out[len] = '\0';
	status = pclose(pipe);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
