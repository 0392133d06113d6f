/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Locks of images, in both directions: pario and QEMU's programs refuse what the other writes.
 * Not what happens to those who take no locks.
 */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/compiler.h"

static struct storage_options file_options(const char *path, bool read_only)
{
	return (struct storage_options){.name = "vda", .path = path, .read_only = read_only};
}

static const char *const in_use_for_writing = "path: %s is in use by another process for writing "
					      "(QEMU, qemu-img or another pariod disk); "
					      "end that use first";
static const char *const may_not_write =
	"path: %s is in use by another process that allows nobody else to write it (QEMU, qemu-img "
	"or another pariod disk); end that use first, or set read-only on both sides";

static void assert_refused(const char *path, bool read_only, const char *format)
{
	struct storage_options options = file_options(path, read_only);
	struct storage *storage = NULL;
	struct err err = ERR_INIT;
	char text[512];

	if (strcmp(format, in_use_for_writing) == 0)
		snprintf(text, sizeof(text), in_use_for_writing, path);
	else
		snprintf(text, sizeof(text), may_not_write, path);
	assert_int_equal(storage_open(&options, &storage, &err), -EBUSY);
	assert_string_equal(err.text, text);
}

static void assert_allowed(const char *path, bool read_only)
{
	struct storage_options options = file_options(path, read_only);

	storage_close(harness_open(&options));
}

static void test_pario_and_pario(void **state)
{
	struct harness *h = *state;
	const char *path = harness_path(h, "disk");
	struct storage_options options;
	struct storage *first;

	harness_make_file(path, MIB);
	options = file_options(path, false);
	first = harness_open(&options);
	assert_refused(path, false, in_use_for_writing);
	assert_refused(path, true, in_use_for_writing);
	storage_close(first);

	options = file_options(path, true);
	first = harness_open(&options);
	assert_allowed(path, true);
	assert_refused(path, false, may_not_write);
	storage_close(first);
	assert_allowed(path, false);
}

/* A storage daemon of QEMU's that exports path. It has the image open when this returns. */
static void export_start(struct harness *h, const char *path, bool writable)
{
	char out[1024], pid[32];
	FILE *f;

	if (harness_shell(out, sizeof(out),
			  "qemu-storage-daemon --blockdev driver=file,node-name=f0,filename=%s,"
			  "read-only=%s,auto-read-only=off "
			  "--export type=vhost-user-blk,id=e0,node-name=f0,addr.type=unix,"
			  "addr.path=%s/e0.sock,writable=%s --daemonize --pidfile %s/e0.pid",
			  path, writable ? "off" : "on", h->dir, writable ? "on" : "off",
			  h->dir) != 0)
		fail_msg("qemu-storage-daemon: %s", out);
	f = fopen(harness_path(h, "e0.pid"), "r");
	assert_non_null(f);
	assert_non_null(fgets(pid, sizeof(pid), f));
	fclose(f);
	h->background = (pid_t)atoi(pid);
}

/* It was started by a shell that is gone, so it cannot be waited for. */
static void background_stop(struct harness *h)
{
	uint64_t deadline = clock_now_ns() + 30 * NS_PER_S;
	struct timespec pause = {0, 5 * 1000 * 1000};

	assert_int_equal(kill(h->background, SIGTERM), 0);
	while (kill(h->background, 0) == 0) {
		if (clock_now_ns() > deadline)
			fail_msg("process %d does not end", (int)h->background);
		nanosleep(&pause, NULL);
	}
	h->background = 0;
}

static void test_qemu_holds(void **state)
{
	struct harness *h = *state;
	const char *path = harness_path(h, "disk");

	harness_make_file(path, MIB);
	export_start(h, path, true);
	assert_refused(path, false, in_use_for_writing);
	assert_refused(path, true, in_use_for_writing);
	background_stop(h);
	assert_allowed(path, false);

	export_start(h, path, false);
	assert_allowed(path, true);
	background_stop(h);
}

static void test_qemu_guest_holds(void **state)
{
	struct harness *h = *state;
	const char *path = harness_path(h, "disk");
	char out[1024], pid[32];
	FILE *f;

	harness_make_file(path, MIB);
	for (unsigned read_only = 0; read_only < 2; read_only++) {
		if (harness_shell(out, sizeof(out),
				  "qemu-system-x86_64 -accel tcg -M q35 -m 64 -nodefaults "
				  "-display none -S -blockdev driver=file,node-name=f0,filename=%s,"
				  "read-only=%s,auto-read-only=off -device virtio-blk-pci,drive=f0 "
				  "-daemonize -pidfile %s/q.pid",
				  path, read_only ? "on" : "off", h->dir) != 0)
			fail_msg("qemu-system-x86_64: %s", out);
		f = fopen(harness_path(h, "q.pid"), "r");
		assert_non_null(f);
		assert_non_null(fgets(pid, sizeof(pid), f));
		fclose(f);
		h->background = (pid_t)atoi(pid);
		assert_refused(path, false, read_only ? may_not_write : in_use_for_writing);
		if (read_only)
			assert_allowed(path, true);
		else
			assert_refused(path, true, in_use_for_writing);
		background_stop(h);
	}
	assert_allowed(path, false);
}

struct qemu_use {
	const char *command; /* PATH is the image */
	bool with_writer;    /* works while a writing disk is open */
	bool with_reader;
};

static void test_pario_holds(void **state)
{
	static const struct qemu_use uses[] = {
		{"qemu-io -f raw -c 'write 0 512' $IMAGE", false, false},
		{"qemu-img resize -f raw $IMAGE 2M", false, false},
		{"qemu-img convert -f raw -O raw $IMAGE $IMAGE.copy", false, true},
		/* As beside a guest of QEMU's own: who only looks allows everything to others. */
		{"qemu-io -r -f raw -c 'read 0 512' $IMAGE", true, true},
		{"qemu-img info -f raw $IMAGE", true, true},
	};
	struct harness *h = *state;
	const char *path = harness_path(h, "disk");
	char out[2048];

	for (unsigned read_only = 0; read_only < 2; read_only++) {
		struct storage_options options = file_options(path, read_only);
		struct storage *storage;

		harness_make_file(path, MIB);
		storage = harness_open(&options);
		for (size_t i = 0; i < ARRAY_LEN(uses); i++) {
			bool works = read_only ? uses[i].with_reader : uses[i].with_writer;
			int status = harness_shell(out, sizeof(out), "IMAGE=%s; %s", path,
						   uses[i].command);

			if (works && status != 0)
				fail_msg("%s: %s", uses[i].command, out);
			if (!works && status == 0)
				fail_msg("%s worked (read-only %u): %s", uses[i].command, read_only,
					 out);
			if (!works)
				assert_contains(out, "lock");
		}
		storage_close(storage);
	}
	/* And all of them once it is closed. */
	for (size_t i = 0; i < ARRAY_LEN(uses); i++) {
		if (harness_shell(out, sizeof(out), "IMAGE=%s; %s", path, uses[i].command) != 0)
			fail_msg("%s: %s", uses[i].command, out);
	}
}

/* The bytes themselves, as any program that follows the convention would look at them. */
static void test_bytes(void **state)
{
	struct harness *h = *state;
	const char *path = harness_path(h, "disk");

	harness_make_file(path, MIB);
	for (unsigned read_only = 0; read_only < 2; read_only++) {
		struct storage_options options = file_options(path, read_only);
		struct storage *storage = harness_open(&options);
		int fd = open(path, O_RDWR | O_CLOEXEC);

		assert_true(fd >= 0);
		for (off_t byte = 0; byte < 300; byte++) {
			struct flock lock = {.l_type = F_WRLCK,
					     .l_whence = SEEK_SET,
					     .l_start = byte,
					     .l_len = 1};
			bool expected = byte == 100 || (byte == 101 && !read_only) || byte == 201;

			assert_int_equal(fcntl(fd, F_OFD_GETLK, &lock), 0);
			if ((lock.l_type != F_UNLCK) != expected)
				fail_msg("byte %d: %d", (int)byte, lock.l_type);
			if (expected)
				assert_int_equal(lock.l_type, F_RDLCK);
		}
		close(fd);
		storage_close(storage);
	}
}

static void test_exclusive_lock(void **state)
{
	struct harness *h = *state;
	const char *path = harness_path(h, "disk");
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int fd;

	/* A program with an exclusive lock on the whole file is no QEMU, but means it. */
	harness_make_file(path, MIB);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
	assert_refused(path, false, may_not_write);
	close(fd);
	assert_allowed(path, false);
}

static void test_devices(void **state)
{
	struct harness *h = *state;
	const char *file = harness_path(h, "backing");
	struct storage_options options;
	struct harness_loop loop;
	struct storage *storage;
	char out[1024];

	harness_make_file(file, MIB);
	if (!harness_loop_open(&loop, file, 512))
		skip_because("no loop device: %s", strerror(errno));
	options = file_options(loop.path, false);
	storage = harness_open(&options);
	/* The kernel's claim comes first between two of ours, the locks with QEMU. */
	assert_int_equal(storage_open(&options, &storage, NULL), -EBUSY);
	assert_refused(loop.path, true, in_use_for_writing);
	assert_true(harness_shell(out, sizeof(out), "qemu-io -f raw -c 'write 0 512' %s",
				  loop.path) != 0);
	assert_contains(out, "lock");
	storage_close(storage);
	assert_int_equal(harness_shell(out, sizeof(out), "qemu-io -f raw -c 'write 0 512' %s",
				       loop.path),
			 0);
	harness_loop_close(&loop);
}

/* Has a channel, so that its worker's ring keeps the file; for ever. */
static int holder(const struct storage_options *options, int ready)
{
	struct harness *h;
	void *state = NULL;

	if (harness_setup(&state) < 0)
		return 1;
	h = state;
	harness_channel_open(h, harness_open(options));
	if (write(ready, h->dir, sizeof(h->dir)) < 0)
		return 1;
	for (;;)
		pause();
}

/* The kernel takes a ring apart after its process has gone; nobody waits for that. */
static void run_killed(struct harness *h, const struct storage_options *options)
{
	struct storage *storage;
	char dir[sizeof(h->dir)];
	int status, fds[2];
	pid_t child;

	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
		child = fork();
		assert_true(child >= 0);
		if (child == 0)
			_exit(holder(options, fds[1]));
		close(fds[1]);
		assert_int_equal(read(fds[0], dir, sizeof(dir)), sizeof(dir));
		close(fds[0]);
		assert_int_equal(storage_open(options, &storage, NULL), -EBUSY);
		kill(child, SIGKILL);
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_allowed(options->path, false);
		rmdir(dir);
	}
}

static void test_killed(void **state)
{
	struct harness *h = *state;
	const char *path = harness_path(h, "killed");
	struct storage_options options = file_options(path, false);
	struct harness_loop loop;

	harness_make_file(path, MIB);
	run_killed(h, &options);
	if (!harness_loop_open(&loop, path, 512))
		skip_because("the half with a device: no loop device: %s", strerror(errno));
	options.path = loop.path;
	run_killed(h, &options);
	harness_loop_close(&loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pario_and_pario),
		cmocka_unit_test(test_qemu_holds),
		cmocka_unit_test(test_qemu_guest_holds),
		cmocka_unit_test(test_pario_holds),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_exclusive_lock),
		cmocka_unit_test(test_devices),
		cmocka_unit_test(test_killed),
	};

	return cmocka_run_group_tests(tests, harness_setup, harness_teardown);
}
