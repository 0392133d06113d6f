/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening files and devices: every refusal with its text, what is found out, and refresh.
 * Not locks (test_lock.c) and not image formats (test_image.c).
 */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/compiler.h"
#include "storage/file_priv.h"

static struct storage_options file_options(const char *path)
{
	return (struct storage_options){.name = "vda", .path = path, .discard = true};
}

/* Opening must fail so, with PATH in text replaced by the path. */
static void assert_refused(const struct storage_options *options, int code, const char *text)
{
	struct storage *storage = NULL;
	struct err err = ERR_INIT;
	char expected[1024] = "";
	const char *part;
	size_t len = 0;

	while ((part = strstr(text, "PATH"))) {
		len += (size_t)snprintf(expected + len, sizeof(expected) - len, "%.*s%s",
					(int)(part - text), text, options->path);
		text = part + 4;
	}
	snprintf(expected + len, sizeof(expected) - len, "%s", text);
	if (storage_open(options, &storage, &err) == 0)
		fail_msg("opened, instead of: %s", expected);
	assert_string_equal(err.text, expected);
	assert_int_equal(err.code, code);
	assert_null(storage);
}

static void test_wrong_paths(void **state)
{
	struct harness *h = *state;
	struct storage_options options = file_options(harness_path(h, "missing"));
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int sock;

	assert_refused(&options, ENOENT,
		       "path: PATH does not exist; create it (truncate -s 10G PATH) or correct the "
		       "path");
	options.path = h->dir;
	assert_refused(&options, EISDIR,
		       "path: PATH is a directory; a disk needs a file or a block device");
	options.path = "/dev/null";
	assert_refused(&options, EINVAL,
		       "path: PATH is a character device; a disk needs a file or a block device");
	options.path = harness_path(h, "fifo");
	assert_int_equal(mkfifo(options.path, 0600), 0);
	assert_refused(&options, EINVAL,
		       "path: PATH is a pipe; a disk needs a file or a block device");
	options.path = harness_path(h, "socket");
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", options.path);
	sock = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(sock, (struct sockaddr *)&sun, sizeof(sun)), 0);
	assert_refused(&options, EINVAL,
		       "path: PATH is a socket; a disk needs a file or a block device");
	close(sock);
	options.path = harness_path(h, "loop");
	assert_int_equal(symlink("loop", options.path), 0);
	assert_refused(&options, ELOOP,
		       "path: PATH cannot be opened: Too many levels of symbolic links");
}

static void test_wrong_sizes(void **state)
{
	struct harness *h = *state;
	struct storage_options options = file_options(harness_path(h, "sizes"));

	harness_make_file(options.path, 0);
	assert_refused(&options, EINVAL,
		       "path: PATH is empty; give it the disk's size: truncate -s 10G PATH");
	harness_make_file(options.path, 1000);
	assert_refused(&options, EINVAL,
		       "path: the size of PATH, 1000 bytes, is no multiple of its block size 512; "
		       "round it up: truncate -s %512 PATH");
	harness_make_file(options.path, 4608);
	storage_close(harness_open(&options));
	options.block_size = 4096;
	assert_refused(&options, EINVAL,
		       "path: the size of PATH, 4608 bytes, is no multiple of its block size 4096; "
		       "round it up: truncate -s %4096 PATH");
	options.block_size = 0;
	options.size_bytes = 8192;
	assert_refused(
		&options, EINVAL,
		"size: 8192 is beyond the 4608 bytes of PATH; leave size out, or enlarge the "
		"file first");
	options.size_bytes = 1000;
	assert_refused(&options, EINVAL, "size: 1000 is no multiple of the block size 512");
}

/* What user nobody gets to hear. Root may do everything, so it happens in a child. */
static void refused_as_nobody(const struct storage_options *options, int code, const char *text)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		if (setgid(65534) < 0 || setuid(65534) < 0)
			_exit(1);
		assert_refused(options, code, text);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_permissions(void **state)
{
	struct storage_options options = file_options("/tmp/pario-test-permissions.raw");

	(void)state;
	if (geteuid() != 0)
		skip_because("only root can become another user");
	harness_make_file(options.path, MIB);
	chmod(options.path, 0644);
	refused_as_nobody(&options, EACCES,
			  "path: PATH may not be written by user 65534; change its owner or mode, "
			  "or set read-only");
	chmod(options.path, 0600);
	refused_as_nobody(&options, EACCES,
			  "path: PATH may not be opened by user 65534; change its owner or mode");
	options.read_only = true;
	refused_as_nobody(&options, EACCES,
			  "path: PATH may not be opened by user 65534; change its owner or mode");
	unlink(options.path);
}

static void test_read_only_file_system(void **state)
{
	struct harness *h = *state;
	const char *dir = harness_path(h, "ro");
	struct storage_options options = file_options(harness_path(h, "ro/disk"));

	options.cache = STORAGE_CACHE_WRITEBACK;
	if (!harness_mount_tmpfs(dir, "4M"))
		skip_because("a tmpfs cannot be mounted: %s", strerror(errno));
	harness_make_file(options.path, MIB);
	assert_int_equal(mount("none", dir, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
	assert_refused(&options, EROFS,
		       "path: PATH is on a read-only file system; set read-only, or move it");
	options.read_only = true;
	storage_close(harness_open(&options));
	umount(dir);
}

static void test_no_direct(void **state)
{
	/* A regular file of a file system that has no O_DIRECT in any kernel. */
	struct storage_options options = file_options("/proc/version");

	(void)state;
	options.read_only = true;
	assert_refused(&options, EINVAL,
		       "path: PATH is on a file system that cannot do O_DIRECT; use "
		       "cache=writeback");
	/* And then it is the next thing that is wrong. */
	options.cache = STORAGE_CACHE_WRITEBACK;
	assert_refused(&options, EINVAL,
		       "path: PATH is empty; give it the disk's size: truncate -s 10G PATH");
}

static void test_file_info(void **state)
{
	struct harness *h = *state;
	struct storage_options options = file_options(harness_path(h, "info"));
	const struct storage_info *info;
	struct storage *storage;

	harness_make_file(options.path, 3 * MIB);
	for (unsigned c = 0; c < STORAGE_CACHE_MAX_; c++) {
		options.cache = (enum storage_cache)c;
		options.read_only = false;
		options.discard = true;
		storage = harness_open(&options);
		info = storage_info(storage);
		assert_int_equal(info->capacity_bytes, 3 * MIB);
		assert_true(info->block_bytes == 512 || c == STORAGE_CACHE_NONE);
		assert_int_equal(info->physical_block_bytes, 4096);
		assert_true(info->can_discard);
		assert_true(info->volatile_cache);
		assert_false(info->read_only);
		assert_int_equal(info->discard_granularity_bytes, 4096);
		storage_close(storage);
		options.discard = false;
		storage = harness_open(&options);
		assert_false(storage_info(storage)->can_discard);
		storage_close(storage);
		options.read_only = true;
		options.discard = true;
		storage = harness_open(&options);
		assert_true(storage_info(storage)->read_only);
		assert_false(storage_info(storage)->can_discard);
		assert_false(storage_info(storage)->volatile_cache);
		storage_close(storage);
	}
	options = file_options(options.path);
	options.size_bytes = MIB;
	options.block_size = 4096;
	storage = harness_open(&options);
	assert_int_equal(storage_info(storage)->capacity_bytes, MIB);
	assert_int_equal(storage_info(storage)->block_bytes, 4096);
	storage_close(storage);
}

/* What the kernel was told: io_uring would give up with EAGAIN where O_NONBLOCK is left. */
static void test_descriptor_flags(void **state)
{
	struct harness *h = *state;
	struct storage_options options = file_options(harness_path(h, "flags"));

	harness_make_file(options.path, MIB);
	for (unsigned i = 0; i < 4; i++) {
		struct storage *storage;
		int flags, fd;

		options.cache = (enum storage_cache)(i & 1);
		options.read_only = i & 2;
		storage = harness_open(&options);
		fd = file_of(storage)->fd;
		flags = fcntl(fd, F_GETFL);
		assert_int_equal(flags & O_NONBLOCK, 0);
		assert_int_equal(flags & O_ACCMODE, options.read_only ? O_RDONLY : O_RDWR);
		assert_int_equal(!!(flags & O_DIRECT), options.cache == STORAGE_CACHE_NONE);
		assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
		/* What rings may keep open has neither locks nor claim: another description. */
		fd = file_of(storage)->claim_fd;
		assert_true(fd >= 0);
		assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
		storage_close(storage);
	}
}

static void test_refresh(void **state)
{
	struct harness *h = *state;
	struct storage_options options = file_options(harness_path(h, "refresh"));
	struct err err = ERR_INIT;
	const struct storage_info *info;
	struct storage *storage;
	bool changed;

	harness_make_file(options.path, MIB);
	storage = harness_open(&options);
	info = storage_info(storage);
	assert_int_equal(storage_refresh(storage, &changed, &err), 0);
	assert_false(changed);
	assert_int_equal(truncate(options.path, 2 * MIB), 0);
	assert_int_equal(storage_refresh(storage, &changed, &err), 0);
	assert_true(changed);
	assert_int_equal(info->capacity_bytes, 2 * MIB);
	assert_int_equal(truncate(options.path, 2 * MIB + 100), 0);
	assert_int_equal(storage_refresh(storage, &changed, &err), -EINVAL);
	assert_false(changed);
	assert_contains(err.text, "is no multiple of its block size 512");
	assert_int_equal(info->capacity_bytes, 2 * MIB);
	assert_int_equal(truncate(options.path, 0), 0);
	assert_int_equal(storage_refresh(storage, &changed, &err), -EINVAL);
	assert_contains(err.text, "is empty");
	assert_int_equal(info->capacity_bytes, 2 * MIB);
	assert_int_equal(truncate(options.path, 512 * KIB), 0);
	assert_int_equal(storage_refresh(storage, &changed, &err), 0);
	assert_true(changed);
	assert_int_equal(info->capacity_bytes, 512 * KIB);
	storage_close(storage);

	/* A size that was given is the most that is served. */
	assert_int_equal(truncate(options.path, 4 * MIB), 0);
	options.size_bytes = 2 * MIB;
	storage = harness_open(&options);
	info = storage_info(storage);
	assert_int_equal(info->capacity_bytes, 2 * MIB);
	assert_int_equal(truncate(options.path, 8 * MIB), 0);
	assert_int_equal(storage_refresh(storage, &changed, &err), 0);
	assert_false(changed);
	assert_int_equal(truncate(options.path, MIB), 0);
	assert_int_equal(storage_refresh(storage, &changed, &err), 0);
	assert_true(changed);
	assert_int_equal(info->capacity_bytes, MIB);
	storage_close(storage);
}

static void test_block_devices(void **state)
{
	struct harness *h = *state;
	const char *file = harness_path(h, "backing");
	const char *dir = harness_path(h, "mnt");
	struct harness_loop loop;
	struct storage_options options;
	struct storage *storage;
	char out[512];

	harness_make_file(file, 16 * MIB);
	if (!harness_loop_open(&loop, file, 4096))
		skip_because("no loop device: %s", strerror(errno));
	options = file_options(loop.path);
	storage = harness_open(&options);
	assert_int_equal(storage_info(storage)->capacity_bytes, 16 * MIB);
	assert_int_equal(storage_info(storage)->block_bytes, 4096);
	assert_true(storage_info(storage)->can_discard);
	assert_true(storage_info(storage)->volatile_cache);
	assert_true(storage_info(storage)->discard_granularity_bytes >= 4096);
	storage_close(storage);

	options.block_size = 512;
	assert_refused(&options, EINVAL,
		       "block-size: 512 is finer than the 4096-byte blocks that O_DIRECT needs for "
		       "PATH; leave it out, or use cache=writeback");
	options.cache = STORAGE_CACHE_WRITEBACK;
	storage = harness_open(&options);
	assert_int_equal(storage_info(storage)->block_bytes, 512);
	storage_close(storage);

	/* Mounted on the host: not for a guest to write. */
	options = file_options(loop.path);
	if (harness_shell(out, sizeof(out), "mkfs.ext4 -q -F %s", loop.path) != 0)
		fail_msg("mkfs.ext4: %s", out);
	mkdir(dir, 0700);
	assert_int_equal(mount(loop.path, dir, "ext4", 0, NULL), 0);
	assert_refused(&options, EBUSY,
		       "path: PATH is in use by this host (mounted, or part of another "
		       "device); end that use first, or set read-only");
	options.read_only = true;
	storage_close(harness_open(&options));
	options.read_only = false;
	assert_int_equal(umount(dir), 0);
	/* And the other way round: nobody mounts what a guest writes. */
	storage = harness_open(&options);
	assert_int_equal(mount(loop.path, dir, "ext4", 0, NULL), -1);
	assert_int_equal(errno, EBUSY);
	storage_close(storage);
	/* A read-only device. */
	if (harness_shell(out, sizeof(out), "blockdev --setro %s", loop.path) != 0)
		fail_msg("blockdev: %s", out);
	assert_refused(&options, EROFS, "path: PATH is a read-only device; set read-only");
	options.read_only = true;
	storage_close(harness_open(&options));
	harness_loop_close(&loop);
}

static unsigned open_fds(void)
{
	unsigned cnt = 0;

	for (int fd = 0; fd < 256; fd++)
		cnt += fcntl(fd, F_GETFD) >= 0;
	return cnt;
}

static void test_nothing_left_behind(void **state)
{
	struct harness *h = *state;
	struct storage_options options = file_options(harness_path(h, "leak"));
	struct storage *storage;
	unsigned before;

	harness_make_file(options.path, 1000);
	before = open_fds();
	for (unsigned i = 0; i < 20; i++)
		assert_true(storage_open(&options, &storage, NULL) < 0);
	assert_int_equal(open_fds(), before);
	harness_make_file(options.path, 1024);
	for (unsigned i = 0; i < 20; i++)
		storage_close(harness_open(&options));
	assert_int_equal(open_fds(), before);
}

int main(void)
{
	const struct CMUnitTest plain[] = {
		/* Forks, before this process has threads. */
		cmocka_unit_test(test_permissions),
	};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wrong_paths),
		cmocka_unit_test(test_wrong_sizes),
		cmocka_unit_test(test_no_direct),
		cmocka_unit_test(test_read_only_file_system),
		cmocka_unit_test(test_file_info),
		cmocka_unit_test(test_descriptor_flags),
		cmocka_unit_test(test_refresh),
		cmocka_unit_test(test_block_devices),
		cmocka_unit_test(test_nothing_left_behind),
	};
	int failed = cmocka_run_group_tests(plain, NULL, NULL);

	return failed + cmocka_run_group_tests(tests, harness_setup, harness_teardown);
}
