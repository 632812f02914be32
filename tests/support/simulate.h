/* A run on a cluster that is not there: the real master, scheduler, journal and messages; ranks, hosts, links,
 * file systems and the clock are simulated, event by event. The same parameters give the same story. */
#ifndef CLM_TESTS_SIMULATE_H
#define CLM_TESTS_SIMULATE_H

#include "collimate/cluster/run.h"

enum { SIM_QUANTILES = 21 };

/** Measured seconds of the tasks of one stage: quantiles 0, 5, ..., 100 %. */
typedef struct sim_times {
    char stage[24]; /* its name before the first dot */
    double quantile_s[SIM_QUANTILES];
} sim_times;

typedef struct sim_params {
    int ranks, slots; /* slots: tasks at a time on each                                                */
    int ranks_a_host;
    uint64_t seed;
    const sim_times *times;
    int n_times;
    double scale;          /* times the measured seconds                                                    */
    double latency_s;      /* of a message                                                                  */
    double message_s;      /* of the master, to take or to send one                                         */
    double nap_s;          /* of the master, when nothing came                                              */
    double read_s;         /* median latency of the file system a task; log-normal, sigma 1                 */
    double sync_s;         /* the same of syncfs                                                            */
    double stall, stall_s; /* this share of tasks waits for the file system so much longer, on average */
    double slow, slow_by;  /* this share of ranks takes so many times as long                      */
    double hang;           /* this share of attempts never ends                                             */
    double io_error;       /* this share of attempts fails with CLM_E_IO                                    */
    double bad;            /* this share of tasks of a stage that is not fatal fails for good               */
    double cut_a_rank_h,
        cut_s;           /* links that fail, per rank and hour, and for how long: median, log-normal  */
    double die_a_rank_h; /* ranks that fall silent for good                                      */
    double die_a_host_h; /* hosts, with all their ranks                                          */
    double relaunch_s;   /* from the end of a launch to the next                                 */
    double absent;       /* this share of ranks, but not rank 0, is not there in a later launch  */
    double lease_s, silence_s, epoch_s;
} sim_params;
#define SIM_DEFAULTS                  \
    ((sim_params){.ranks = 100,       \
                  .slots = 1,         \
                  .ranks_a_host = 50, \
                  .seed = 1,          \
                  .scale = 1,         \
                  .latency_s = 50e-6, \
                  .message_s = 5e-6,  \
                  .nap_s = 0.5e-3,    \
                  .read_s = 5e-3,     \
                  .sync_s = 20e-3,    \
                  .slow_by = 1,       \
                  .relaunch_s = 60,   \
                  .lease_s = 3600,    \
                  .silence_s = 60,    \
                  .epoch_s = 1})

typedef struct sim_report {
    int64_t tasks, failed, launches, dispatches, duplicates, retried, epochs, ranks_lost, spent;
    uint64_t digest; /* of which task ended how, in the end                                             */
    double seconds;  /* simulated, all launches and what is between them                                */
    /* slot-seconds, which add up to seconds x slots of all ranks */
    double useful_s; /* tasks that counted                                                              */
    double wasted_s; /* tasks that did not: lost, duplicates, failed attempts                           */
    double tail_s;   /* idle: all tasks of the stage are handed out                                     */
    double single_s; /* idle: a stage of one task                                                       */
    double down_s;   /* between launches, and until the ranks have heard of the first task              */
    double idle_s;   /* idle otherwise: tasks under way, ranks that are gone                            */
    double master_s; /* CPU of the master's turns: messages packed and unpacked, decisions              */
    double replay_s, replay_cpu_s;   /* real, of the last launch's opening                               */
    int64_t replayed, journal_bytes; /* of the last launch; in the end                                  */
} sim_report;

/** Run the plan to its end in `folder` (its journal is real), however many launches that takes; each task must end
 *  exactly once, or the error says so. */
CLM_MUST bool sim_run(const sim_params *p, const clm_plan *plan, const char *folder, sim_report *out,
                      clm_err *err);

#endif
