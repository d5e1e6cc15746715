/* SPDX-License-Identifier: Apache-2.0 */
/* The subcommands, one file each. Each gets argv with itself as argv[0] and returns the exit code. */
#ifndef KYMO_CMD_CMD_H
#define KYMO_CMD_CMD_H

#define DEFAULT_PROFILE "profile.kymo"

int cmd_record(int argc, char **argv);
int cmd_dump(int argc, char **argv);
int cmd_report(int argc, char **argv);
int cmd_ticks(int argc, char **argv);
int cmd_export(int argc, char **argv);
int cmd_sql(int argc, char **argv);
int cmd_info(int argc, char **argv);
int cmd_version(int argc, char **argv);

#endif
