/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file of a capture: records become blocks, blocks are written in one piece, or not at all.
 * Not the rings that they come from, and not when (capture.c).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/fdio.h"
#include "network/capture_priv.h"

/* Blocks that are written at once; a few of the largest. */
#define BUFFER_BYTES (1u << 18)
#define BLOCK_BYTES_MAX (CAPTURE_SNAPLEN_MAX + PCAPNG_PACKET_BYTES)
static_assert(BUFFER_BYTES >= 2 * BLOCK_BYTES_MAX, "any block fits");
static_assert(CAPTURE_SIZE_MIN >= 2 * PCAPNG_STATISTICS_BYTES + 1024, "the head and the totals");

int capture_file_init(struct capture_file *file)
{
	file->buffer.bytes = malloc(BUFFER_BYTES);
	file->buffer.max = BUFFER_BYTES;
	return file->buffer.bytes ? 0 : -ENOMEM;
}

void capture_file_fini(struct capture_file *file)
{
	free(file->buffer.bytes);
	file->buffer.bytes = NULL;
	fdio_close(&file->fd);
}

/* 0 or -errno. */
static int write_all(int fd, const uint8_t *bytes, size_t len)
{
	while (len > 0) {
		const ssize_t n = write(fd, bytes, len);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			bytes += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

int capture_file_flush(struct capture_file *file)
{
	const size_t len = file->buffer.len;
	const int rc = write_all(file->fd, file->buffer.bytes, len);

	file->buffer.len = 0;
	if (rc) {
		/* What was written of them would make the file unreadable. */
		if (ftruncate(file->fd, (off_t)file->written_bytes) == 0)
			(void)lseek(file->fd, (off_t)file->written_bytes, SEEK_SET);
	} else {
		file->written_bytes += len;
		file->frames += file->buffered_frames;
		file->drops += file->buffered_drops;
	}
	file->buffered_frames = 0;
	file->buffered_drops = 0;
	return rc;
}

int capture_file_put_head(struct capture_file *file, const char *port_name, uint32_t snaplen)
{
	CHECK(pcapng_put_section(&file->buffer, "pario " PARIO_VERSION));
	CHECK(pcapng_put_interface(&file->buffer, port_name, snaplen));
	return capture_file_flush(file);
}

int capture_file_put_totals(struct capture_file *file, const struct pcapng_statistics *totals)
{
	CHECK(pcapng_put_statistics(&file->buffer, totals));
	return capture_file_flush(file);
}

struct comment {
	char text[PCAPNG_TEXT_BYTES];
	size_t len;
};

static void say(struct comment *comment, const char *what)
{
	const size_t room = sizeof(comment->text) - comment->len;
	const int len = snprintf(comment->text + comment->len, room, "%s%s",
				 comment->len > 0 ? ", " : "", what);

	CHECK(len >= 0 && (size_t)len < room);
	comment->len += (size_t)len;
}

static void describe(const struct capture_record *record, struct comment *comment)
{
	static const char *const gso_names[] = {
		[FRAME_GSO_NONE] = "", /* not said */
		[FRAME_GSO_TCP4] = "tcp4", [FRAME_GSO_TCP6] = "tcp6",
		[FRAME_GSO_UDP] = "ufo",   [FRAME_GSO_UDP_L4] = "uso",
	};
	static_assert(ARRAY_LEN(gso_names) == FRAME_GSO_MAX_, "a name for each");

	char what[96];

	comment->len = 0;
	comment->text[0] = '\0';
	if (record->drop != NETPORT_DROP_NONE) {
		snprintf(what, sizeof(what), "dropped: %s", netport_drop_name(record->drop));
		say(comment, what);
	}
	if (record->gso != FRAME_GSO_NONE) {
		snprintf(what, sizeof(what), "gso %s %u%s", gso_names[record->gso],
			 record->gso_bytes, record->gso_ecn ? " ecn" : "");
		say(comment, what);
	}
	if (record->csum_partial)
		say(comment, "partial checksum");
	if (record->vlan) {
		snprintf(what, sizeof(what), "vlan %u", record->vlan);
		say(comment, what);
	}
}

bool capture_file_put(struct capture_file *file, const struct capture_record *record, int *status)
{
	struct pcapng_buffer *buffer = &file->buffer;
	const size_t before = buffer->len;
	struct comment comment;
	const struct pcapng_packet packet = {
		.time_ns = record->time_ns + file->real_offset_ns,
		.data = record->data,
		.captured_bytes = record->captured_bytes,
		.original_bytes = record->original_bytes,
		.direction = record->direction == CAPTURE_IN ? PCAPNG_INBOUND : PCAPNG_OUTBOUND,
		.comment = comment.text,
	};

	describe(record, &comment);
	CHECK(pcapng_put_packet(buffer, &packet));
	if (file->written_bytes + buffer->len + PCAPNG_STATISTICS_BYTES > file->size_bytes) {
		buffer->len = before;
		return false;
	}
	file->buffered_frames++;
	file->buffered_drops += record->drop != NETPORT_DROP_NONE;
	*status = buffer->max - buffer->len < BLOCK_BYTES_MAX ? capture_file_flush(file) : 0;
	return true;
}
