/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/diskstats: whole devices. Documentation/admin-guide/iostats.rst. */
#include <dirent.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "health/source.h"

#define SECTOR_BYTES 512 /* always, whatever the device's own */
#define MAJOR_RAM    1
#define MAJOR_LOOP   7

#define DISK(metric, label, unit, kind, column)   \
	{                                         \
		metric, label, unit, kind, column \
	}

const struct series disk_series[] = {
	DISK("system.disk.operations", "disk.io.direction=read", "{operation}", HEALTH_COUNTER,
	     HEALTH_disk_reads),
	DISK("system.disk.io", "disk.io.direction=read", "By", HEALTH_COUNTER,
	     HEALTH_disk_read_bytes),
	DISK("system.disk.operation_time", "disk.io.direction=read", "ns", HEALTH_COUNTER,
	     HEALTH_disk_read_time_ns),
	DISK("system.disk.operations", "disk.io.direction=write", "{operation}", HEALTH_COUNTER,
	     HEALTH_disk_writes),
	DISK("system.disk.io", "disk.io.direction=write", "By", HEALTH_COUNTER,
	     HEALTH_disk_write_bytes),
	DISK("system.disk.operation_time", "disk.io.direction=write", "ns", HEALTH_COUNTER,
	     HEALTH_disk_write_time_ns),
	DISK("linux.disk.inflight", "", "{operation}", HEALTH_GAUGE, HEALTH_disk_inflight),
	DISK("system.disk.io_time", "", "ns", HEALTH_COUNTER, HEALTH_disk_io_time_ns),
	DISK("linux.disk.weighted_io_time", "", "ns", HEALTH_COUNTER, -1),
};
const size_t disk_series_n = ARRAY_SIZE(disk_series);

/* Where they stand behind the name, in the order of disk_series. */
static const struct {
	uint8_t field;
	uint64_t scale;
} fields[] = {
	{ 0, 1 }, { 2, SECTOR_BYTES }, { 3, NS_PER_MSEC },
	{ 4, 1 }, { 6, SECTOR_BYTES }, { 7, NS_PER_MSEC },
	{ 8, 1 }, { 9, NS_PER_MSEC },  { 10, NS_PER_MSEC },
};

#define FIELDS 11

/* Without sysfs: "sda1" stands behind "sda", "nvme0n1p1" behind "nvme0n1". */
static bool looks_like_partition(const struct member_set *disks, const struct member *disk)
{
	for (size_t i = 0; i < disks->n; i++) {
		const struct member *whole = &disks->members[i];
		size_t n = strlen(whole->name);
		const char *rest;

		if (whole == disk || n == 0 || strncmp(disk->name, whole->name, n) != 0)
			continue;
		rest = disk->name + n;
		if (isdigit((unsigned char)whole->name[n - 1]) && *rest++ != 'p')
			continue;
		if (*rest && strspn(rest, "0123456789") == strlen(rest))
			return true;
	}
	return false;
}

/* In sysfs a slash of the name (cciss/c0d0) is an exclamation mark. */
static void sys_path(char *out, size_t size, const struct member *disk, const char *below)
{
	snprintf(out, size, "block/%s%s", disk->name, below);
	for (char *c = out + strlen("block/"); c < out + strlen("block/") + strlen(disk->name);
	     c++) {
		if (*c == '/')
			*c = '!';
	}
}

/* On top of other devices, which count already: device-mapper, md, bcache. */
static bool has_slaves(int sys_fd, const struct member *disk)
{
	char path[MEMBER_NAME_MAX + 32];
	const struct dirent *entry;
	bool found = false;
	_cleanup_(closedirp) DIR *dir = NULL;

	sys_path(path, sizeof(path), disk, "/slaves");
	if (file_open_folder(sys_fd, path, &dir) < 0)
		return false;
	while (!found && (entry = readdir(dir)))
		found = entry->d_name[0] != '.';
	return found;
}

/* Decided once per device: is it shown (a whole device that stores something), does it count for
 * the host? */
static void classify(struct instruments *in, struct member *disk, uint64_t major)
{
	char path[MEMBER_NAME_MAX + 32];
	bool memory = major == MAJOR_RAM || strncmp(disk->name, "zram", 4) == 0;
	bool stacked = strncmp(disk->name, "dm-", 3) == 0 || strncmp(disk->name, "md", 2) == 0;

	if (in->sys_fd >= 0 && faccessat(in->sys_fd, "block", F_OK, 0) == 0) {
		sys_path(path, sizeof(path), disk, "");
		disk->shown = faccessat(in->sys_fd, path, F_OK, 0) == 0;
		stacked = stacked || has_slaves(in->sys_fd, disk);
	} else {
		disk->shown = !looks_like_partition(&in->disks, disk);
	}
	disk->shown = disk->shown && !memory && major != MAJOR_LOOP;
	disk->counts = disk->shown && !stacked;
}

static bool read_fields(struct span *line, uint64_t values[FIELDS])
{
	for (size_t i = 0; i < FIELDS; i++) {
		if (!span_u64(line, &values[i]))
			return false;
	}
	return true;
}

void source_diskstats(struct instruments *in, const struct source *source, struct span text)
{
	struct span line, name;
	uint64_t major, minor, values[FIELDS];

	(void)source;
	while (span_line(&text, &line)) {
		struct member *disk;
		bool new;

		if (!span_u64(&line, &major) || !span_u64(&line, &minor) ||
		    !span_word(&line, &name) || !read_fields(&line, values)) {
			in->reading.errors++;
			continue;
		}
		disk = set_member(&in->reading, &in->disks, &name, &new);
		if (!disk)
			continue;
		if (new)
			classify(in, disk, major);
		for (size_t i = 0; disk->shown && i < disk_series_n; i++)
			set_value(&in->reading, &in->disks, disk, i, values[fields[i].field],
				  fields[i].scale);
	}
}
