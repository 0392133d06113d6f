/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libFuzzer target: what a hostile front end can send to a vhost-user session, with a fake device
 * that holds its acknowledgements back when the input says so.
 * Not for sockets' paths (tests/proto) and not for rings (fuzz_chain.c).
 *
 * Input: one byte how far the session has come, then operations (enum op), each one byte and its
 * arguments. Bytes that are missing at the end read as zero. What must hold, whatever the input:
 * replies are framed, the device is driven by its rules (fake_device.c aborts), and at the end
 * no descriptor and no memory is left (the lowest free descriptor, and LeakSanitizer).
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/evloop.h"
#include "base/log.h"
#include "fake/fake_device.h"
#include "vhost_user/vhost_user.h"
#include "vhost_user/wire.h"

#define REGION_BYTES 0x10000u
#define REGIONS 4
#define GPA(r) (0x40000000ull + (r)*0x100000ull)
#define UVA(r) (0x7f0000000000ull + (r)*0x100000ull)
#define OPS_MAX 64
#define FDS_MAX 12

enum op {
	OP_MESSAGE,  /* request, flags, fd nibbles, size, payload, all from the input */
	OP_TEMPLATE, /* request, flags, ring, value: a payload that makes sense */
	OP_BYTES,    /* count, bytes: no framing at all */
	OP_PIECES,   /* as OP_TEMPLATE, a few bytes at a time */
	OP_HOLD,
	OP_RELEASE,
	OP_FAIL_START,
	OP_CONFIG_CHANGED,
	OP_READ, /* toggles whether replies are read, and empties the back-end channel */
	OP_LEAVE,
	OP_MAX_,
};

enum stock {
	STOCK_EVENT,
	STOCK_PIPE_READ,
	STOCK_PIPE_WRITE,
	STOCK_SOCKET,
	STOCK_NULL,
	STOCK_SHORT,
	STOCK_MEM,
	STOCK_MAX_ = STOCK_MEM + REGIONS,
};

/* Made once: sending duplicates them. */
static int stock[STOCK_MAX_];
static int channel; /* other end of STOCK_SOCKET */
static struct evloop *loop;

struct input {
	const uint8_t *data;
	size_t left;
};

struct run {
	struct device *device;
	struct vhost_user *vu;
	int front; /* -1: left */
	bool reads;
	bool closed;
	struct wire_header header; /* of the reply that is coming */
	uint32_t got;
};

static void require(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "fuzz_session: %s\n", what);
	abort();
}

static uint8_t take(struct input *in)
{
	if (!in->left)
		return 0;
	in->left--;
	return *in->data++;
}

static void take_bytes(struct input *in, void *to, size_t n)
{
	for (size_t i = 0; i < n; i++)
		((uint8_t *)to)[i] = take(in);
}

static int memory_file(size_t bytes)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	require(fd >= 0 && ftruncate(fd, (off_t)bytes) == 0, "no memory file");
	return fd;
}

/* So that a peer that does not read is noticed after a few messages. */
static void shrink(int sock)
{
	int bytes = 1; /* the kernel's least */

	setsockopt(sock, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
}

static void set_up_once(void)
{
	int pair[2];

	signal(SIGPIPE, SIG_IGN);
	log_set_level(LOG_LEVEL_ERROR);
	loop = evloop_new(NULL);
	stock[STOCK_EVENT] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	require(loop && stock[STOCK_EVENT] >= 0, "no event loop");
	require(pipe2(pair, O_CLOEXEC | O_NONBLOCK) == 0, "no pipe");
	stock[STOCK_PIPE_READ] = pair[0];
	stock[STOCK_PIPE_WRITE] = pair[1];
	require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0, "no socket");
	shrink(pair[0]);
	stock[STOCK_SOCKET] = pair[0];
	channel = pair[1];
	stock[STOCK_NULL] = open("/dev/null", O_RDWR | O_CLOEXEC);
	stock[STOCK_SHORT] = memory_file(4096);
	for (unsigned i = 0; i < REGIONS; i++)
		stock[STOCK_MEM + i] = memory_file(REGION_BYTES);
}

/* Replies: whole headers with the one set of flags, payloads of bounded size. */
static void read_replies(struct run *run)
{
	uint8_t byte[512];
	ssize_t n;

	if (!run->reads || run->front < 0)
		return;
	while ((n = recv(run->front, byte, sizeof(byte), MSG_DONTWAIT)) > 0) {
		for (ssize_t i = 0; i < n; i++) {
			if (run->got < sizeof(run->header))
				((uint8_t *)&run->header)[run->got] = byte[i];
			run->got++;
			if (run->got == sizeof(run->header)) {
				require(run->header.flags == 0x5, "flags of a reply");
				require(run->header.size <= 268, "size of a reply");
			}
			if (run->got >= sizeof(run->header) &&
			    run->got == sizeof(run->header) + run->header.size)
				run->got = 0;
		}
	}
}

static void send_bytes(struct run *run, const void *bytes, size_t size, const int *fds,
		       unsigned fd_cnt)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(FDS_MAX * sizeof(int))] = {0};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = size};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	if (run->front < 0 || !size)
		return;
	if (fd_cnt) {
		struct cmsghdr *c;

		msg.msg_control = control;
		msg.msg_controllen = CMSG_SPACE(fd_cnt * sizeof(int));
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(fd_cnt * sizeof(int));
		memcpy(CMSG_DATA(c), fds, fd_cnt * sizeof(int));
	}
	/* A connection that the back end closed takes nothing any more. */
	(void)!sendmsg(run->front, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void turn(struct run *run)
{
	require(evloop_turn(loop, 0) == 0, "event loop");
	read_replies(run);
}

struct packet {
	struct wire_header header;
	uint8_t payload[2304];
};

static void op_message(struct run *run, struct input *in)
{
	struct packet p = {0};
	int fds[FDS_MAX];
	unsigned fd_cnt;
	uint8_t size_code;

	p.header.request = take(in);
	if (p.header.request == 0xff)
		take_bytes(in, &p.header.request, 4);
	p.header.flags = take(in) ^ 0x1u;
	fd_cnt = take(in) % (FDS_MAX + 1);
	for (unsigned i = 0; i < fd_cnt; i++)
		fds[i] = stock[take(in) % STOCK_MAX_];
	size_code = take(in);
	p.header.size = size_code;
	if (size_code >= 0xfe)
		take_bytes(in, &p.header.size, size_code == 0xff ? 4 : 2);
	if (p.header.size <= sizeof(p.payload))
		take_bytes(in, p.payload, p.header.size);
	send_bytes(run, &p,
		   sizeof(p.header) + (p.header.size <= sizeof(p.payload) ? p.header.size : 0), fds,
		   fd_cnt);
}

static void template_regions(struct packet *p, unsigned cnt, unsigned first, int *fds)
{
	struct wire_mem_table table = {.cnt = cnt};

	for (unsigned i = 0; i < cnt; i++) {
		unsigned r = (first + i) % REGIONS;

		table.regions[i] = (struct wire_region){
			.gpa = GPA(r), .size_bytes = REGION_BYTES, .uva = UVA(r)};
		fds[i] = stock[STOCK_MEM + r];
	}
	memcpy(p->payload, &table, sizeof(table));
	p->header.size = 8 + 32 * cnt;
}

static void template_payload(struct packet *p, const void *payload, uint32_t bytes)
{
	memcpy(p->payload, payload, bytes);
	p->header.size = bytes;
}

static void template_u64(struct packet *p, uint64_t value)
{
	template_payload(p, &value, sizeof(value));
}

static void template_state(struct packet *p, uint32_t ring, uint32_t value)
{
	struct wire_vring_state state = {.idx = ring, .num = value};

	template_payload(p, &state, sizeof(state));
}

static void template_location(struct packet *p, uint8_t ring, uint8_t value)
{
	uint64_t at = UVA(value % REGIONS) + ring % 8 * 0x2000ull;
	struct wire_vring_location loc = {
		.idx = ring, .desc_uva = at, .avail_uva = at + 0x1000, .used_uva = at + 0x1800};

	template_payload(p, &loc, sizeof(loc));
}

static void template_region(struct packet *p, unsigned r, int *fds)
{
	struct wire_mem_reg reg = {
		.region = {.gpa = GPA(r), .size_bytes = REGION_BYTES, .uva = UVA(r)}};

	template_payload(p, &reg, sizeof(reg));
	fds[0] = stock[STOCK_MEM + r];
}

static void template_config(struct packet *p, uint8_t offset, uint8_t size)
{
	struct wire_config config = {.offset = offset, .size = size};

	template_payload(p, &config, sizeof(config));
	p->header.size += size;
}

/* A message as a well-meaning front end sends it. Returns the number of descriptors. */
static unsigned template_fill(struct packet *p, uint32_t request, uint8_t ring, uint8_t value,
			      int *fds)
{
	p->header.request = request;
	switch (request) {
	case WIRE_SET_FEATURES:
		template_u64(p, 1ull << 32 | (value & 1 ? 1ull << 34 : 0) |
					(value & 2 ? 1ull << 30 : 0) | (value & 0x7c));
		return 0;
	case WIRE_SET_PROTOCOL_FEATURES:
		template_u64(p, value & 1 ? WIRE_PF_OFFERED : value);
		return 0;
	case WIRE_SET_STATUS:
		template_u64(p, value);
		return 0;
	case WIRE_SET_VRING_KICK:
	case WIRE_SET_VRING_CALL:
	case WIRE_SET_VRING_ERR:
		template_u64(p, ring | (value & 1 ? WIRE_VRING_NO_FD : 0));
		fds[0] = stock[value / 2 % STOCK_MAX_];
		return !(value & 1);
	case WIRE_SET_MEM_TABLE:
		template_regions(p, value % (REGIONS + 1), ring, fds);
		return value % (REGIONS + 1);
	case WIRE_ADD_MEM_REG:
	case WIRE_REM_MEM_REG:
		template_region(p, ring % REGIONS, fds);
		return request == WIRE_ADD_MEM_REG || value & 1;
	case WIRE_SET_VRING_ADDR:
		template_location(p, ring, value);
		return 0;
	case WIRE_SET_VRING_NUM:
		template_state(p, ring, 1u << (value % 16));
		return 0;
	case WIRE_SET_VRING_BASE:
	case WIRE_GET_VRING_BASE:
	case WIRE_SET_VRING_ENABLE:
		template_state(p, ring, value);
		return 0;
	case WIRE_GET_CONFIG:
	case WIRE_SET_CONFIG:
		template_config(p, ring, value);
		return 0;
	case WIRE_SET_BACKEND_REQ_FD:
		fds[0] = stock[value % STOCK_MAX_];
		return 1;
	default:
		return 0;
	}
}

static void op_template(struct run *run, struct input *in, bool pieces)
{
	struct packet p = {0};
	int fds[FDS_MAX];
	uint8_t request = take(in), flags = take(in), ring = take(in), value = take(in);
	unsigned fd_cnt = template_fill(&p, request % 48, ring, value, fds);
	size_t size = sizeof(p.header) + p.header.size, piece;

	p.header.flags = 0x1 | (flags & 0x8);
	if (!pieces) {
		send_bytes(run, &p, size, fds, fd_cnt);
		return;
	}
	piece = 1 + flags % 32;
	for (size_t at = 0; at < size; at += piece) {
		send_bytes(run, (const uint8_t *)&p + at, size - at < piece ? size - at : piece,
			   fds, at <= value && value < at + piece ? fd_cnt : 0);
		turn(run);
	}
}

static void op_bytes(struct run *run, struct input *in)
{
	uint8_t bytes[64];
	unsigned n = take(in) % sizeof(bytes);

	take_bytes(in, bytes, n);
	send_bytes(run, bytes, n, stock, n & 1);
}

static void leave(struct run *run)
{
	if (run->front >= 0)
		close(run->front);
	run->front = -1;
}

/* What one input left in the stock is not to be found by the next. */
static void drain_stock(void)
{
	uint8_t bytes[1024];

	while (recv(channel, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
	while (recv(stock[STOCK_SOCKET], bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
	while (read(stock[STOCK_PIPE_READ], bytes, sizeof(bytes)) > 0)
		;
}

static void perform(struct run *run, struct input *in)
{
	switch (take(in) % OP_MAX_) {
	case OP_MESSAGE:
		op_message(run, in);
		break;
	case OP_TEMPLATE:
		op_template(run, in, false);
		break;
	case OP_BYTES:
		op_bytes(run, in);
		break;
	case OP_PIECES:
		op_template(run, in, true);
		break;
	case OP_HOLD:
		fake_device_hold(run->device);
		break;
	case OP_RELEASE:
		fake_device_release(run->device);
		break;
	case OP_FAIL_START:
		fake_device_fail_start(run->device, 12, take(in) & 1);
		break;
	case OP_CONFIG_CHANGED:
		fake_device_config_changed(run->device);
		break;
	case OP_READ:
		run->reads = !run->reads;
		drain_stock();
		break;
	case OP_LEAVE:
		leave(run);
		break;
	}
}

/* Requests that a session begins with, by (request, ring, value). */
static void say(struct run *run, uint32_t request, uint8_t ring, uint8_t value)
{
	struct packet p = {0};
	int fds[FDS_MAX];
	unsigned fd_cnt = template_fill(&p, request, ring, value, fds);

	p.header.flags = 0x1;
	send_bytes(run, &p, sizeof(p.header) + p.header.size, fds, fd_cnt);
	turn(run);
}

static void begin(struct run *run, uint8_t how_far)
{
	static const unsigned queues[] = {1, 2, 4, 16};
	struct vhost_user_options options = {0};
	int pair[2];

	run->device = fake_device_new("fuzz", queues[how_far & 3]);
	require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0, "no connection");
	shrink(pair[1]);
	run->front = pair[0];
	run->reads = true;
	options.fd = pair[1];
	require(vhost_user_open(loop, run->device, &options, &run->vu, NULL) == 0, "no endpoint");
	if (how_far & 4) {
		say(run, WIRE_SET_PROTOCOL_FEATURES, 0, 1);
		say(run, WIRE_SET_FEATURES, 0, how_far & 0x10 ? 3 : 2);
		say(run, WIRE_SET_MEM_TABLE, 0, 2);
		say(run, WIRE_SET_BACKEND_REQ_FD, 0, STOCK_SOCKET);
	}
	if (how_far & 8) {
		say(run, WIRE_SET_VRING_NUM, 0, 7);
		say(run, WIRE_SET_VRING_ADDR, 0, 0);
		say(run, WIRE_SET_VRING_KICK, 0, 0);
		say(run, WIRE_SET_VRING_CALL, 0, 0);
		say(run, WIRE_SET_VRING_ENABLE, 0, 1);
	}
}

static void note_closed(void *arg)
{
	*(bool *)arg = true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	struct run run = {0};
	int lowest, after;

	if (!loop)
		set_up_once();
	lowest = fcntl(0, F_DUPFD_CLOEXEC, 0);
	close(lowest);
	begin(&run, take(&in));
	for (unsigned i = 0; i < OPS_MAX && in.left; i++) {
		perform(&run, &in);
		turn(&run);
	}
	fake_device_release(run.device);
	vhost_user_close(run.vu, note_closed, &run.closed);
	require(run.closed, "the endpoint did not close");
	leave(&run);
	drain_stock();
	require(!fake_device_misuse(run.device), "the device was misused");
	fake_device_free(run.device);
	after = fcntl(0, F_DUPFD_CLOEXEC, 0);
	close(after);
	require(after == lowest, "a descriptor was left open");
	return 0;
}
